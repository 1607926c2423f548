"""The cross-lingual encoder M (Eq. 1), its momentum copy for keys, and the queue of keys."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from xrete.errors import UsageError, XreteError

from ..tokenizer import load_tokenizer, unigram, wrap_unigram
from ..transformer import first_sentence, max_length, quiet
from ..weights import find_any
from .config import EncoderConfig, Scratch

IGNORED = -100
"""Marks tokens that masked language modelling does not predict."""


@dataclass(frozen=True)
class Tokens:
    """Padded token ids of sentences of about one length.

    Attributes:
        ids: int64 [n, length].
        mask: 1 where there is a token, int64 [n, length].
    """

    ids: Tensor
    mask: Tensor


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

    def states(self, tokens: Tokens) -> Any:
        """Runs the transformer."""
        device = tokens.ids.device.type
        with torch.autocast(device, self.dtype, enabled=self.dtype != torch.float32):
            return self.transformer(input_ids=tokens.ids, attention_mask=tokens.mask)

    def forward(self, groups: Sequence[Tokens]) -> Tensor:
        """Encodes groups of sentences, each padded to its own length.

        Returns:
            Unit vectors, float32 [n, d], group after group.
        """
        return nn.functional.normalize(torch.cat([self._pool(group) for group in groups]), dim=-1)

    def _pool(self, tokens: Tokens) -> Tensor:
        output = self.states(tokens)
        if self.dense is not None:
            pooled: Tensor = self.dense(output.pooler_output.float())
            return pooled
        states: Tensor = output.last_hidden_state
        if self.pooling == "cls":
            return states[:, 0].float()
        weights = tokens.mask.unsqueeze(-1).float()
        return (states.float() * weights).sum(dim=1) / weights.sum(dim=1)


class Query(nn.Module):
    """What is trained by the encoder's optimiser: the encoder, and the head of masked language modelling if any.

    One forward does both, so that gradients are exchanged between processes once.
    """

    def __init__(self, encoder: SentenceEncoder, head: nn.Module | None) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head

    def forward(self, groups: Sequence[Tokens], masked: Sequence[Masked] = ()) -> tuple[Tensor, Tensor]:
        """Encodes sentences, and predicts the masked tokens of corrupted ones.

        Returns:
            Unit vectors [n, d], and the sum of the cross-entropies of all masked tokens.
        """
        return self.encoder(groups), self._predict(masked)

    def _predict(self, masked: Sequence[Masked]) -> Tensor:
        """Sums over masked tokens only: a head over all tokens of a large vocabulary would be most of the step."""
        losses = []
        for corrupted in masked:
            assert self.head is not None
            states = self.encoder.states(corrupted.tokens).last_hidden_state
            chosen = corrupted.targets != IGNORED
            with torch.autocast(states.device.type, self.encoder.dtype, enabled=states.dtype != torch.float32):
                logits = self.head(states[chosen])
            losses.append(
                nn.functional.cross_entropy(
                    logits.float(), corrupted.targets[chosen], label_smoothing=corrupted.smoothing, reduction="sum"
                )
            )
        return torch.stack(losses).sum() if losses else torch.zeros(())


@dataclass(frozen=True)
class Masked:
    """A group whose tokens were corrupted; `targets` holds the right ids, or `IGNORED`, int64 [n, length]."""

    tokens: Tokens
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
        source: What it is, for the card.
        max_length: Most tokens read of a sentence.
    """

    query: Query
    tokenizer: Any
    source: str
    max_length: int


def open_start(
    config: EncoderConfig, *, mlm: bool, dtype: torch.dtype, attention: str, texts: Iterable[str]
) -> Start:
    """Opens the encoder that the config names, or draws one of the shape that it gives.

    Args:
        config: The encoder's settings.
        mlm: Whether a head of masked language modelling is needed.
        dtype: What autocast runs the transformer in.
        attention: "sdpa" or "eager".
        texts: Sentences that a new tokenizer is trained on; not touched where there is one.

    Raises:
        UsageError: there is no such folder.
        XreteError: it does not load.
    """
    changes: dict[str, Any] = {"attn_implementation": attention}
    if config.dropout is not None:
        changes["hidden_dropout_prob"] = config.dropout
    if config.attention_dropout is not None:
        changes["attention_probs_dropout_prob"] = config.attention_dropout
    if config.start:
        place = find_any("emmax", config.start, weights=True)
        model, tokenizer = _open(place.folder, changes, mlm=mlm, pooler=config.pooling == "pooler_dense")
        limit = min(config.max_length, max_length(place.folder) or config.max_length)
        source = f"{config.start} ({place.revision})"
    else:
        tokenizer = train_tokenizer(texts, config.scratch.vocabulary, config.max_length)
        model = _draw(config.scratch, tokenizer, changes, config.max_length, mlm=mlm)
        limit, source = config.max_length, "random weights"
    head = None
    if mlm:
        head = model.lm_head if hasattr(model, "lm_head") else model.cls
        model = model.base_model
    if config.pooling != "pooler_dense" and getattr(model, "pooler", None) is not None:
        model.pooler = None  # nothing would train it, and processes that exchange gradients would wait for its
    encoder = SentenceEncoder(model, config.pooling, dtype)
    if config.pooling == "pooler_dense" and model.pooler is None:
        raise UsageError(
            "encoder.pooling = 'pooler_dense' with mlm.weight above 0: this model's head leaves no pooler"
        )
    return Start(Query(encoder, head), tokenizer, source, limit)


def _open(folder: Any, changes: dict[str, Any], *, mlm: bool, pooler: bool) -> tuple[Any, Any]:
    from transformers import AutoModel, AutoModelForMaskedLM

    kind: Any = AutoModelForMaskedLM if mlm else AutoModel
    if mlm and pooler:
        changes["add_pooling_layer"] = True
    with quiet():
        try:
            model = kind.from_pretrained(
                folder, dtype=torch.float32, trust_remote_code=False, weights_only=True, **changes
            )
        except Exception as error:  # transformers, safetensors and pickle each raise their own
            raise XreteError(f"{folder}: the encoder does not load: {first_sentence(error)}") from error
        return model, load_tokenizer(folder, model.config)


def _draw(scratch: Scratch, tokenizer: Any, changes: dict[str, Any], length: int, *, mlm: bool) -> Any:
    from transformers import AutoModel, AutoModelForMaskedLM, XLMRobertaConfig

    attention = changes.pop("attn_implementation")
    config = XLMRobertaConfig(
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
    kind: Any = AutoModelForMaskedLM if mlm else AutoModel
    with quiet():
        return kind.from_config(config, attn_implementation=attention)


def train_tokenizer(texts: Iterable[str], vocabulary: int, length: int) -> Any:
    """Trains a tokenizer with XLM-R's rules and special pieces, of at most `vocabulary` pieces."""
    from tokenizers import trainers

    special = {"bos": "<s>", "pad": "<pad>", "eos": "</s>", "unk": "<unk>"}
    trainer = trainers.UnigramTrainer(
        vocab_size=vocabulary,
        special_tokens=[*special.values(), "<mask>"],
        unk_token=special["unk"],
        show_progress=False,
    )
    core = unigram()
    core.train_from_iterator(texts, trainer)
    return wrap_unigram(core, special, length)
