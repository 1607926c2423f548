"""The network that is trained: a transformer and a head; texts go in, a loss or scores come out."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

from xrete.errors import UsageError
from xrete.shapes.contract import Segments
from xrete.task import Stage
from xrete.training.finetune.objectives import OBJECTIVES, gather_with_gradients

if TYPE_CHECKING:
    from xrete.encoding.transformer import TransformerEncoder
    from xrete.model import Role
    from xrete.training.team import Team

SCALE = 100.0
"""What cosines start to be multiplied by, with "in-batch"; it is learned (XTREME-R, `BertForRetrieval`)."""


@dataclass(frozen=True)
class PaddedBatch:
    """Items, as the transformer reads them.

    Attributes:
        sides: What the tokenizer gives. One, with the rows of an item in turn: its alternatives, or its two texts
            that are read alone. In batches whose texts are compared all with all, which may be of unlike length,
            first and second ones apart.
        rows: Of an item, in a side.
        targets: What the objective aims at [items], or [items, labels]; none where the rows only stand in for a
            process that has no items.
    """

    sides: tuple[dict[str, Tensor], ...]
    rows: int
    targets: Tensor


@dataclass(frozen=True)
class ItemTokens:
    """Items, tokenised.

    Attributes:
        sides: As in `PaddedBatch`, not padded.
        rows: As in `PaddedBatch`.
        targets: As in `PaddedBatch`, on the processor.
    """

    sides: tuple[dict[str, list[list[int]]], ...]
    rows: int
    targets: Tensor

    @property
    def lengths(self) -> list[int]:
        """Tokens of the longest row of each item, all its rows counted, so that a batch can be planned."""
        sizes = [[len(row) for row in side["input_ids"]] for side in self.sides]
        longest = [max(row) for row in zip(*sizes, strict=True)]
        step = self.rows
        return [len(sizes) * step * max(longest[i : i + step]) for i in range(0, len(longest), step)]


class Reader:
    """Turns texts into what the transformer reads.

    Attributes:
        lengths: Most tokens of first (or only) and of second texts that are read alone; of pairs, the first counts.
    """

    def __init__(
        self, encoder: TransformerEncoder, stage: Stage, roles: Sequence[Role], device: torch.device
    ) -> None:
        """Takes over how a model reads.

        Args:
            encoder: The model.
            stage: What it is trained for.
            roles: What first and second texts are, which then have the model's own prompts; empty where they are
                alike.
            device: Where batches go.
        """
        self._tokenizer = encoder.tokenizer
        prompts = [encoder.prompts.get(role, encoder.prefix) for role in roles]
        self._prefixes = prompts or [encoder.prefix] * 2
        self._objective = OBJECTIVES[stage.objective]
        self._device = device
        most = encoder.max_length or stage.max_length
        self.lengths = [min(most, stage.max_length), min(most, stage.max_length_second or stage.max_length)]

    def tokenise(self, segments: Segments, targets: NDArray[Any]) -> ItemTokens:
        """Tokenises items.

        Args:
            segments: Their texts.
            targets: What is aimed at: [items], or [items, labels].
        """
        aims = torch.as_tensor(targets, dtype=self._objective.target_dtype)
        if self._objective.trains_encoder:
            ((first, second),) = segments
            assert second is not None
            first, second = (
                [prefix + text for text in side]
                for prefix, side in zip(self._prefixes, (first, second), strict=True)
            )
            if self._objective.reads == "alone":
                # One pass of the transformer, which fills the gradient of its large table of tokens once.
                return ItemTokens((self._tokens(_in_turn([first, second]), None, self.lengths[0]),), 2, aims)
            sides = tuple(self._tokens(x, None, y) for x, y in zip((first, second), self.lengths, strict=True))
            return ItemTokens(sides, 1, aims)
        firsts = _in_turn([first for first, _ in segments])
        seconds = _in_turn([second for _, second in segments if second is not None])
        return ItemTokens((self._tokens(firsts, seconds or None, self.lengths[0]),), len(segments), aims)

    def pad(self, tokens: ItemTokens, items: Sequence[int]) -> PaddedBatch:
        """Makes a batch of some items; of none, one row stands in."""
        step = tokens.rows
        rows = [row for item in items for row in range(item * step, (item + 1) * step)] or list(range(step))
        sides = tuple(
            {
                name: pad_sequence(
                    [torch.tensor(column[row]) for row in rows],
                    batch_first=True,
                    # A tokenizer without a padding token has sentences all the same; the mask hides what is there.
                    padding_value=(self._tokenizer.pad_token_id or 0) if name == "input_ids" else 0,
                ).to(self._device)
                for name, column in side.items()
            }
            for side in tokens.sides
        )
        return PaddedBatch(sides, step, tokens.targets[list(items)].to(self._device))

    def _tokens(
        self, firsts: Sequence[str], seconds: Sequence[str] | None, most: int
    ) -> dict[str, list[list[int]]]:
        read = self._tokenizer(
            list(firsts),
            None if seconds is None else list(seconds),
            truncation=True, max_length=most, return_attention_mask=True, verbose=False,
        )  # fmt: skip
        return {name: list(column) for name, column in read.items()}


def _in_turn(columns: Sequence[Sequence[str]]) -> list[str]:
    """Returns the first item's texts of all columns, then the second item's, ..."""
    return [text for row in zip(*columns, strict=True) for text in row]


class Dense(nn.Module):
    """RoBERTa's head: dropout, dense, tanh, dropout, linear."""

    def __init__(self, width: int, outputs: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.dense = nn.Linear(width, width)
        self.out = nn.Linear(width, outputs)

    def forward(self, states: Tensor) -> Tensor:
        """Maps [rows, width] to [rows, outputs]."""
        states = torch.tanh(self.dense(self.dropout(states)))
        scores: Tensor = self.out(self.dropout(states))
        return scores


class Network(nn.Module):
    """Transformer and head.

    Attributes:
        backbone: The transformer; its states are `last_hidden_state`.
        head: What gives scores, or None ("cosine", "cosent").
    """

    def __init__(
        self, backbone: nn.Module, encoder: TransformerEncoder, stage: Stage, outputs: int, precision: torch.dtype
    ) -> None:
        """Makes a fresh head; seed torch's generator before.

        Args:
            backbone: The transformer, in float32.
            encoder: How token states become a vector, where texts are read alone.
            stage: Objective and head.
            outputs: Number of scores of a row: classes, labels or 1.
            precision: Of the transformer's sums; float32 for no autocast.
        """
        super().__init__()
        self.backbone = backbone
        self._objective = objective = OBJECTIVES[stage.objective]
        for name, weight in backbone.named_parameters():
            if "pooler." in name and not (objective.trains_encoder and encoder.pooling == "pooler"):
                weight.requires_grad_(False)  # nothing of the loss reaches it
        self._pool = encoder.pooled
        self._precision = precision
        self.extra = copy.deepcopy(encoder.head) if objective.trains_encoder else None
        width = self._width(encoder)
        self.head: nn.Module | None = None
        match objective.head:
            case "token":
                self.head = _head(stage, width, outputs)
            case "comparison":
                self.head = nn.Linear(3 * width, outputs)
            case "scale":
                self.head = _Scale()

    def _width(self, encoder: TransformerEncoder) -> int:
        config: Any = self.backbone.config
        if self.extra is None:
            return int(config.hidden_size)
        with torch.inference_mode():
            return int(encoder.encode([""]).shape[1])

    def forward(self, batch: PaddedBatch, team: Team) -> Tensor:
        """Returns the loss summed over a batch's items, a scalar."""
        if self._objective.reads == "apart":
            scores, targets = self._candidates(batch, team)
        else:
            targets = batch.targets
            scores = self.scores(batch)[: len(targets)]
        return self._objective.loss(scores, targets, team)

    def scores(self, batch: PaddedBatch) -> Tensor:
        """Returns what the objective is about: [items, classes, labels or alternatives], or [items]."""
        (side,) = batch.sides
        if self._objective.reads == "alone":
            u, v = self.vectors(side).unflatten(0, (-1, 2)).unbind(1)
            if self.head is None:
                return functional.cosine_similarity(u, v)
            compared: Tensor = self.head(torch.cat([u, v, (u - v).abs()], dim=1))
            return compared
        assert self.head is not None
        states = self._states(side)[:, 0]
        with self._autocast(states.device):
            scores: Tensor = self.head(states)
        scores = scores.float()
        if self._objective.scores == "alternatives":
            return scores.view(-1, batch.rows)
        return scores.squeeze(1) if self._objective.scores == "number" else scores

    def vectors(self, side: dict[str, Tensor]) -> Tensor:
        """Returns a vector of each text as the model makes it, float32 [texts, dimension]."""
        with self._autocast(side["input_ids"].device):
            output = self.backbone(**side)
        vectors: Tensor = self._pool(output, side["attention_mask"])
        return self.extra({"sentence_embedding": vectors})["sentence_embedding"] if self.extra else vectors

    def _candidates(self, batch: PaddedBatch, team: Team) -> tuple[Tensor, Tensor]:
        """Returns scaled cosines of own first with all second texts [n, N], and the places of partners [n]."""
        u, v = (functional.normalize(self.vectors(side))[: len(batch.targets)] for side in batch.sides)
        v, first = gather_with_gradients(v, team)  # those of other processes are pushed away, too
        assert self.head is not None
        return self.head(u @ v.T), torch.arange(first, first + len(u), device=u.device)

    def _states(self, side: dict[str, Tensor]) -> Tensor:
        with self._autocast(side["input_ids"].device):
            states: Tensor = self.backbone(**side).last_hidden_state
        return states

    def _autocast(self, device: torch.device) -> AbstractContextManager[Any]:
        if self._precision == torch.float32:
            return nullcontext()
        return torch.autocast(device.type, dtype=self._precision)


class _Scale(nn.Module):
    """Multiplies cosines by a number that is learned."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(SCALE))

    def forward(self, cosines: Tensor) -> Tensor:
        return cosines * self.scale


def _head(stage: Stage, width: int, outputs: int) -> nn.Module:
    if stage.head == "dense":
        return Dense(width, outputs, stage.dropout)
    return nn.Sequential(nn.Dropout(stage.dropout), nn.Linear(width, outputs))


def open_backbone(encoder: TransformerEncoder, lora: int | None) -> tuple[nn.Module, torch.dtype]:
    """Returns a copy of an encoder's transformer in float32 to train, and the precision that it runs in.

    Args:
        encoder: The model as it is before.
        lora: Rank of low-rank adapters, which alone are then trained (LoRA); None trains every weight.

    Raises:
        UsageError: the precision cannot be trained in, or a package is missing.
    """
    precision = next(encoder.model.parameters()).dtype
    if precision == torch.float16:
        raise UsageError("float16 overflows in training; use --dtype bfloat16 or float32")
    # Vectors may have been made in inference mode, whose tensors cannot be trained.
    backbone: nn.Module = copy.deepcopy(encoder.model).float()
    for weight in backbone.parameters():
        weight.requires_grad_(True)
    if lora is None:
        return backbone, precision
    try:
        import peft
    except ImportError:
        raise UsageError("--lora needs the package peft: pip install 'xrete[lora]'") from None
    config = peft.LoraConfig(r=lora, lora_alpha=2 * lora, lora_dropout=0.0, target_modules="all-linear")
    adapted: nn.Module = peft.get_peft_model(backbone, config)
    return adapted, precision
