"""The cross-lingual encoder M (Eq. 1), its momentum copy for keys, and the queue of keys."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from xrete.errors import UsageError, XreteError
from xrete.quiet import quiet

from ..tokenizer import load_tokenizer, unigram, wrap_unigram
from ..transformer import first_sentence, max_length
from ..weights import find_any, snapshot
from .config import Compute, EncoderConfig, Scratch
from .tokens import Layout, Tokens, layout_of, pick_attention

CPU = torch.device("cpu")
SPECIAL = {"bos": "<s>", "pad": "<pad>", "eos": "</s>", "unk": "<unk>"}
"""XLM-R's special pieces, in the order of their ids; "<mask>" comes next here."""
NUMBERED = 1e-4
"""What `tokenizers` puts between the log probabilities of characters that it numbers."""
MAY_BE_NEW = re.compile(r"^lm_head\.|^cls\.|\bpooler\.")
"""Weights that an encoder may lack, by name: those of a head, and of a pooler."""


class SentenceEncoder(nn.Module):
    """A transformer whose pooled states, on the unit sphere, are the sentence vectors (Eq. 1).

    Attributes:
        transformer: A transformers model with `last_hidden_state`.
        pooling: "cls", "mean" or "pooler_dense".
        dense: The official code's extra linear layer, for "pooler_dense".
    """

    def __init__(self, transformer: Any, pooling: str, dtype: torch.dtype = torch.float32) -> None:
        """Wraps a transformer.

        Args:
            transformer: On its device, in float32.
            pooling: How token states become a vector.
            dtype: What autocast runs the transformer in.
        """
        super().__init__()
        self.transformer = transformer
        self.pooling = pooling
        self.dtype = dtype
        width = transformer.config.hidden_size
        self.dense = nn.Linear(width, width) if pooling == "pooler_dense" else None

    @property
    def dimension(self) -> int:
        """Size of the vectors."""
        return int(self.transformer.config.hidden_size)

    def autocast(self, device: torch.device) -> torch.autocast:
        """What the transformer, and a head on it, run in."""
        return torch.autocast(device.type, self.dtype, enabled=self.dtype != torch.float32)

    def states(self, tokens: Tokens) -> Tensor:
        """Runs the transformer; the states of all tokens, laid out as the ids are."""
        if self.training:
            _seed_dropout(tokens)
        with self.autocast(tokens.ids.device):
            states: Tensor = self.transformer(**tokens.inputs()).last_hidden_state
        return states

    def forward(self, groups: Sequence[Tokens]) -> Tensor:
        """Encodes groups of sentences.

        Returns:
            Unit vectors, float32 [n, d], group after group.
        """
        return nn.functional.normalize(torch.cat([self._pool(group) for group in groups]), dim=-1)

    def _pool(self, tokens: Tokens) -> Tensor:
        states = self.states(tokens)
        if self.pooling == "mean":
            return tokens.mean(states)
        first = tokens.first(states)
        if self.dense is None:
            return first.float()
        with self.autocast(first.device):
            pooled = self.transformer.pooler(first.unsqueeze(1))
        found: Tensor = self.dense(pooled.float())
        return found


def _seed_dropout(tokens: Tokens) -> None:
    """Seeds one device's generator: `torch.manual_seed` sees to all kinds of devices, which takes 1 ms."""
    match tokens.ids.device.type:
        case "cpu":
            torch.default_generator.manual_seed(tokens.seed)
        case "cuda":
            with torch.cuda.device(tokens.ids.device):  # which need not be the current one
                torch.cuda.manual_seed(tokens.seed)
        case _:
            torch.manual_seed(tokens.seed)


class Query(nn.Module):
    """What is trained by the encoder's optimiser: the encoder, and the head of masked language modelling if any.

    One forward does both, so that gradients are exchanged between processes once.
    """

    def __init__(self, encoder: SentenceEncoder, head: nn.Module | None) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head

    def use(self, *, vectors: bool, head: bool) -> None:
        """Lets only those parts learn that a phase's losses reach.

        Args:
            vectors: Whether there is a loss on sentence vectors.
            head: Whether there is one on hidden tokens.
        """
        pooler = getattr(self.encoder.transformer, "pooler", None)
        shared = {id(parameter) for parameter in self.encoder.parameters()}  # such as tied embeddings
        for part, used in ((self.encoder.dense, vectors), (pooler, vectors), (self.head, head)):
            for parameter in part.parameters() if part is not None else ():
                parameter.requires_grad_(used or (part is self.head and id(parameter) in shared))

    def forward(self, groups: Sequence[Tokens], masked: Sequence[Masked] = ()) -> tuple[Tensor, Tensor]:
        """Encodes sentences, and predicts the masked tokens of corrupted ones.

        Returns:
            Unit vectors [n, d], and the sum of the cross-entropies of all masked tokens.
        """
        device = self.encoder.transformer.device
        vectors = self.encoder(groups) if groups else torch.zeros(0, self.encoder.dimension, device=device)
        return vectors, self._predict(masked) if masked else torch.zeros((), device=device)

    def _predict(self, masked: Sequence[Masked]) -> Tensor:
        """Sums over masked tokens only: a head over all tokens of a large vocabulary would be most of the step."""
        losses = []
        for corrupted in masked:
            assert self.head is not None
            states = self.encoder.states(corrupted.tokens)
            with self.encoder.autocast(states.device):
                logits = self.head(states.flatten(0, 1)[corrupted.places])
            losses.append(
                nn.functional.cross_entropy(
                    logits.float(), corrupted.targets, label_smoothing=corrupted.smoothing, reduction="sum"
                )
            )
        return torch.stack(losses).sum()


@dataclass(frozen=True)
class Masked:
    """A group whose tokens were corrupted.

    Attributes:
        tokens: The group, as it is read.
        places: Which states the predicted tokens have, numbered through all rows, int64 [m].
        targets: Their right ids, int64 [m].
        smoothing: Label smoothing.
    """

    tokens: Tokens
    places: Tensor
    targets: Tensor
    smoothing: float


class KeyEncoder(nn.Module):
    """The momentum copy of the encoder, which makes the keys: a deep copy at the start, then a moving average."""

    def __init__(self, encoder: SentenceEncoder, momentum: float, *, dropout: bool) -> None:
        """Copies the encoder.

        Args:
            encoder: M, as it starts.
            momentum: m.
            dropout: Whether keys have dropout, too.
        """
        super().__init__()
        self.average = AveragedModel(encoder, multi_avg_fn=get_ema_multi_avg_fn(momentum))
        self.average.requires_grad_(False)
        self._dropout = dropout
        self.train()

    @property
    def encoder(self) -> SentenceEncoder:
        """The copy."""
        assert isinstance(self.average.module, SentenceEncoder)
        return self.average.module

    def train(self, mode: bool = True) -> KeyEncoder:
        """Leaves dropout off unless keys have it."""
        return super().train(mode and self._dropout)

    def update(self, encoder: nn.Module) -> None:
        """Moves the copy: Theta_k <- m Theta_k + (1 - m) Theta_q, in fused steps over all tensors."""
        self.average.update_parameters(encoder)

    @torch.no_grad()
    def forward(self, groups: Sequence[Tokens]) -> Tensor:
        """Encodes groups of sentences; unit vectors [n, d] without a gradient."""
        vectors: Tensor = self.average(groups)
        return vectors


class KeyQueue(nn.Module):
    """The newest K keys, first in, first out; empty at the start.

    Attributes:
        keys: float32 [K, d].
        ids: Digest of each key's sentence, int64 [K].
        pointer: Where the next key goes.
        valid: How many rows hold a key.
    """

    keys: Tensor
    ids: Tensor

    def __init__(self, size: int, dimension: int) -> None:
        super().__init__()
        self.register_buffer("keys", torch.zeros(size, dimension))
        self.register_buffer("ids", torch.zeros(size, dtype=torch.long))
        self.pointer = 0
        self.valid = 0

    def newest(self) -> tuple[Tensor, Tensor]:
        """Returns the keys [n, d] and their ids [n] that are there, in the order of their rows."""
        return self.keys[: self.valid], self.ids[: self.valid]

    @torch.no_grad()
    def push(self, keys: Tensor, ids: Tensor) -> None:
        """Adds a batch of any size; of one larger than the queue only the last K stay."""
        size = len(self.keys)
        keys, ids = keys[-size:] if size else keys[:0], ids[-size:] if size else ids[:0]
        head = min(len(keys), size - self.pointer)
        for part, start, end in ((slice(0, head), self.pointer, head), (slice(head, None), 0, len(keys) - head)):
            self.keys[start : start + end] = keys[part]
            self.ids[start : start + end] = ids[part]
        self.valid = min(size, self.valid + len(keys))
        self.pointer = (self.pointer + len(keys)) % size if size else 0


@dataclass(frozen=True)
class Start:
    """What a run starts from.

    Attributes:
        query: The encoder and its head.
        tokenizer: A transformers tokenizer.
        layout: How sentences are laid out for the encoder.
        source: What it is, for the card.
        max_length: Most tokens read of a sentence.
    """

    query: Query
    tokenizer: Any
    layout: Layout
    source: str
    max_length: int


def open_start(
    config: EncoderConfig,
    compute: Compute,
    *,
    mlm: bool,
    device: torch.device = CPU,
    tokenizer: Any = None,
) -> Start:
    """Opens the encoder that the config names, or draws one of the shape that it gives.

    Args:
        config: The encoder's settings.
        compute: How it runs.
        mlm: Whether a head of masked language modelling is needed; one that the folder lacks starts at random.
        device: Where it will run; it is opened on the CPU.
        tokenizer: For random weights, of `read_tokenizer`; a folder has its own.

    Raises:
        UsageError: there is no such folder, or the encoder does not run or pool in that way.
        XreteError: it does not load, or lacks weights.
    """
    changes: dict[str, Any] = {}
    if config.dropout != "own":
        changes["hidden_dropout_prob"] = config.dropout
    if config.attention_dropout != "own":
        changes["attention_probs_dropout_prob"] = config.attention_dropout
    if config.start:
        folder, source = _find(config)
        make = partial(_load, folder, changes)
        transformer = make("AutoModel")
        tokenizer = load_tokenizer(folder, transformer.config)
        limit = min(config.max_length, max_length(folder) or config.max_length)
    else:
        make = partial(_draw, config.scratch, tokenizer, changes, config.max_length)
        transformer, limit, source = make("AutoModel"), config.max_length, "random weights"
    head = None
    if mlm:
        model = make("AutoModelForMaskedLM")
        setattr(model, model.base_model_prefix, transformer)
        model.tie_weights()
        head = model.lm_head if hasattr(model, "lm_head") else model.cls
    if config.pooling != "pooler_dense":
        transformer.pooler = None  # nothing would train it, and processes would wait for its gradients
    elif not hasattr(getattr(transformer, "pooler", None), "dense"):
        raise UsageError(
            f"encoder.pooling = 'pooler_dense' needs an encoder with BERT's pooler, and {source} has none; "
            "use 'cls' or 'mean'"
        )
    with quiet():  # encoders that have one way only say so
        transformer.set_attn_implementation(pick_attention(compute, transformer.config.model_type, device))
    encoder = SentenceEncoder(transformer, config.pooling, getattr(torch, compute.dtype))
    return Start(Query(encoder, head), tokenizer, layout_of(transformer, tokenizer), source, limit)


def _find(config: EncoderConfig) -> tuple[Path, str]:
    """Returns the folder of the encoder to start from, and what it is."""
    if config.revision:
        return snapshot(config.start, config.revision, weights=True), f"{config.start} ({config.revision})"
    place = find_any("encoder.start", config.start, weights=True)
    return place.folder, f"{config.start} ({place.revision})"


def _load(folder: Path, changes: dict[str, Any], kind: str) -> Any:
    """Loads a model of a class of transformers from a folder. No code of the folder runs.

    Raises:
        XreteError: it does not load, or lacks weights, which transformers would draw at random; only a head or a
            pooler may.
    """
    with quiet():
        try:
            model, report = getattr(transformers, kind).from_pretrained(
                folder,
                dtype=torch.float32,
                trust_remote_code=False,
                weights_only=True,
                output_loading_info=True,
                attn_implementation="eager",  # whatever the folder asks for; `open_start` sets what is wanted
                **changes,
            )
        except Exception as error:  # transformers, safetensors and pickle each raise their own
            raise XreteError(f"{folder}: the encoder does not load: {first_sentence(error)}") from error
    missing = [name for name in sorted(report["missing_keys"]) if not MAY_BE_NEW.search(name)]
    if missing:
        raise XreteError(
            f"{folder}: {len(missing)} weights of {type(model).__name__} are missing, the first is {missing[0]}; "
            "fetch the encoder again or name another folder"
        )
    return model


def _draw(scratch: Scratch, tokenizer: Any, changes: dict[str, Any], length: int, kind: str) -> Any:
    """Draws the weights of an XLM-R of the shape that the config gives."""
    config = transformers.XLMRobertaConfig(
        vocab_size=len(tokenizer),
        hidden_size=scratch.width,
        num_hidden_layers=scratch.layers,
        num_attention_heads=scratch.heads,
        intermediate_size=scratch.feed_forward,
        max_position_embeddings=length + tokenizer.pad_token_id + 1,
        type_vocab_size=1,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        **changes,
    )
    with quiet():
        return getattr(transformers, kind).from_config(config)


def train_tokenizer(texts: Iterable[str], vocabulary: int) -> str:
    """Trains a tokenizer with XLM-R's rules and special pieces, of at most `vocabulary` pieces.

    Returns:
        The file of `read_tokenizer`; of the same texts always the same.

    Raises:
        UsageError: the texts have more characters than that.
    """
    from tokenizers import trainers

    trainer = trainers.UnigramTrainer(
        vocab_size=vocabulary,
        special_tokens=[*SPECIAL.values(), "<mask>"],
        unk_token=SPECIAL["unk"],
        show_progress=False,
    )
    core = unigram()
    try:
        core.train_from_iterator(texts, trainer)
    except XreteError:  # of the texts
        raise
    except Exception as error:  # all that the library raises is of this class
        raise UsageError(
            f"encoder.scratch.vocabulary = {vocabulary}: no tokenizer of this text ({error}); raise it"
        ) from error
    saved = json.loads(core.to_str())
    saved["model"]["vocab"] = _in_one_order(saved["model"]["vocab"], first=len(SPECIAL) + 1)
    return json.dumps(saved, ensure_ascii=False)


def read_tokenizer(file: Path, length: int) -> Any:
    """Opens a tokenizer that `train_tokenizer` made, for sentences of at most `length` tokens."""
    from tokenizers import Tokenizer

    return wrap_unigram(Tokenizer.from_file(str(file)), SPECIAL, length)


def _in_one_order(pieces: list[tuple[str, float]], first: int) -> list[tuple[str, float]]:
    """Undoes what differs from one training to the next, since the trainer goes through its tables in no order.

    The last digits of log probabilities differ. And characters rarer than every piece are numbered as they come, in
    steps of `NUMBERED` above the least log probability; here they all have the least.

    Args:
        pieces: Pieces and their log probabilities.
        first: How many special ones there are, which stay in front.
    """
    least = min(score for _, score in pieces)
    rare = least + NUMBERED * sum(len(piece) == 1 for piece, _ in pieces)
    settled = [
        (piece, round(least if len(piece) == 1 and score < rare else score, 9)) for piece, score in pieces[first:]
    ]
    return [*pieces[:first], *sorted(settled, key=lambda item: (-item[1], item[0]))]
