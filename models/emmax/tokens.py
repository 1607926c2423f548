"""Sentences as a transformer takes them: packed one behind the other, or padded to one length.

Packed, no time goes into padding and no mask is needed, but the attention must know where sentences end: it is
`packed_attention`, which transformers finds under the name "packed". The vectors are the same either way, but for
sentences that hold the padding id themselves: XLM-R's padded positions shift behind it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface

from xrete.encoding.transformer import move
from xrete.errors import UsageError

from .config import Compute

Attention = Literal["packed", "sdpa", "eager"]
BEHIND_PADDING = ("camembert", "roberta", "xlm-roberta", "xlm-roberta-xl")
"""Types of models whose first position is the one behind the padding id."""
PACKABLE = ("bert", *BEHIND_PADDING)
"""Types of models that take positions, have no others than these, and hand on what attention is told, also a mask
that is ready."""


@dataclass(frozen=True)
class Tokens(ABC):
    """Token ids of sentences of about one length.

    Attributes:
        ids: int64 [n, length], or [1, tokens] where they are packed.
        seed: Of their dropout, so that a second pass drops the same.
    """

    ids: Tensor
    seed: int

    @abstractmethod
    def __len__(self) -> int:
        """Returns how many sentences there are."""

    @abstractmethod
    def inputs(self) -> dict[str, Any]:
        """What the transformer takes."""

    @abstractmethod
    def first(self, states: Tensor) -> Tensor:
        """Takes each sentence's first state from those of all: [n, length, d] or [1, tokens, d] to [n, d]."""

    @abstractmethod
    def mean(self, states: Tensor) -> Tensor:
        """Averages each sentence's states, [n, length, d] or [1, tokens, d], to float32 [n, d]."""


@dataclass(frozen=True)
class Padded(Tokens):
    """A rectangle of tokens.

    Attributes:
        mask: 1 where there is a token, int64 [n, length].
        attention: What attention is told: the mask, or it made ready, or nothing where there is no padding.
    """

    mask: Tensor
    attention: Tensor | None

    def __len__(self) -> int:
        return len(self.ids)

    def inputs(self) -> dict[str, Any]:
        """Tokens, and where there is none."""
        return {"input_ids": self.ids, "attention_mask": self.attention}

    def first(self, states: Tensor) -> Tensor:
        """Takes the first column of [n, length, d]."""
        return states[:, 0]

    def mean(self, states: Tensor) -> Tensor:
        """Averages rows of [n, length, d], without their padding."""
        weights = self.mask.unsqueeze(-1).float()
        return (states.float() * weights).sum(dim=1) / weights.sum(dim=1)


@dataclass(frozen=True)
class Packed(Tokens):
    """One row of tokens, sentence after sentence.

    Attributes:
        positions: Of each token in its sentence, as the transformer counts, int64 [1, tokens].
        offsets: Where each sentence begins, and where the last one ends, int32 [n + 1].
        lengths: Tokens of each sentence.
    """

    positions: Tensor
    offsets: Tensor
    lengths: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.lengths)

    def inputs(self) -> dict[str, Any]:
        """Tokens and positions; this object goes on to `packed_attention`."""
        return {"input_ids": self.ids, "position_ids": self.positions, "packed": self}

    def first(self, states: Tensor) -> Tensor:
        """Takes the states where sentences begin, of [1, tokens, d]."""
        return states[0, self.offsets[:-1]]

    def mean(self, states: Tensor) -> Tensor:
        """Averages [1, tokens, d] from offset to offset."""
        return torch.segment_reduce(states[0].float(), "mean", offsets=self.offsets.long(), unsafe=True)

    def runs(self) -> list[tuple[int, int]]:
        """Returns how many sentences of one length follow each other, and that length."""
        return [(len(list(run)), length) for length, run in groupby(self.lengths)]


@dataclass(frozen=True)
class Layout:
    """How sentences of token ids become tensors.

    Attributes:
        fill: The tokenizer's padding id.
        first_position: Of a sentence's first token, where they are packed; None pads them.
        ready: Whether attention takes masks that are ready, of those that are padded. To make one itself,
            transformers asks the device whether there is padding, and a GPU is waited for.
    """

    fill: int
    first_position: int | None
    ready: bool = False

    def __call__(self, ids: NDArray[np.int64], lengths: Sequence[int], device: torch.device, seed: int) -> Tokens:
        """Lays sentences out.

        Args:
            ids: Of all tokens, sentence after sentence, [tokens].
            lengths: Tokens of each sentence.
            device: Where they go.
            seed: Of their dropout.
        """
        mask = _mask(lengths)
        if self.first_position is None:
            padded = np.full(mask.shape, self.fill, dtype=np.int64)
            padded[mask] = ids
            moved = move(mask.astype(np.int64), device)
            attention: Tensor | None = moved
            if self.ready:  # [n, 1, 1, length], True where there is a token
                attention = None if mask.all() else moved.bool()[:, None, None, :]
            return Padded(move(padded, device), seed, moved, attention)
        positions = self.first_position + np.nonzero(mask)[1]
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
        row, places = move(ids[None, :], device), move(positions[None, :], device)
        return Packed(row, seed, places, move(offsets, device), tuple(lengths))

    def places(self, lengths: Sequence[int]) -> NDArray[np.int64]:
        """Returns where each token is among the states of all, flattened, [tokens]."""
        return np.arange(sum(lengths)) if self.first_position is not None else np.flatnonzero(_mask(lengths))


def layout_of(transformer: Any, tokenizer: Any) -> Layout:
    """Returns how the transformer takes sentences: packed, where its attention is told so."""
    config, fill = transformer.config, tokenizer.pad_token_id or 0
    if config._attn_implementation != "packed":
        ready = config._attn_implementation == "sdpa" and config.model_type in PACKABLE
        return Layout(fill, None, ready)
    return Layout(fill, config.pad_token_id + 1 if config.model_type in BEHIND_PADDING else 0)


def pick_attention(compute: Compute, kind: str, device: torch.device) -> Attention:
    """Picks what is fastest where that is left open.

    Args:
        compute: What was asked for.
        kind: The type of the model.
        device: Where it runs.

    Raises:
        UsageError: sentences are to be packed for a model that cannot take them so, or for compiled code.
    """
    if compute.attention == "packed" and compute.compile:
        raise UsageError(
            "compute.attention = 'packed' does not go with compute.compile: packed sentences have a new shape in "
            "each step, and each is compiled anew; leave one of them out"
        )
    if compute.attention == "packed" and kind not in PACKABLE:
        raise UsageError(
            f"compute.attention = 'packed' needs an encoder of type {', '.join(PACKABLE)}, and this one is of type "
            f"{kind}; leave it at 'auto'"
        )
    if compute.attention != "auto":
        return compute.attention
    if device.type != "cpu":
        return "sdpa"
    if compute.dtype == "bfloat16":  # in which SDPA's backward pass is several times slower there
        return "eager"
    return "packed" if kind in PACKABLE and not compute.compile else "sdpa"


def packed_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    packed: Packed,
    dropout: float = 0.0,
    scaling: float | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """Attention within each of the packed sentences: an attention function of transformers.

    Sentences of one length need no mask, and attend at once; those of all lengths do where there is a kernel.

    Args:
        module: The layer, not needed.
        query: [1, heads, tokens, width], and so are `key` and `value`.
        key: See `query`.
        value: See `query`.
        attention_mask: None; see `packed`.
        packed: The sentences.
        dropout: Share of the weights that are dropped.
        scaling: Of the products; None is 1 / sqrt(width).

    Returns:
        States [1, tokens, heads, width], and no weights.
    """
    if query.is_cuda and not dropout and _has_kernel(query):
        from torch.nn.attention.varlen import varlen_attn

        q, k, v = (states.squeeze(0).transpose(0, 1) for states in (query, key, value))
        longest, offsets = max(packed.lengths), packed.offsets
        at_once = varlen_attn(q, k, v, offsets, offsets, longest, longest, scale=scaling)
        assert isinstance(at_once, Tensor)
        return at_once.unsqueeze(0), None
    runs = packed.runs()
    sizes = [count * length for count, length in runs]
    parts = []
    for run, *states in zip(runs, *(part[0].split(sizes, dim=1) for part in (query, key, value)), strict=True):
        q, k, v = (part.unflatten(1, run).transpose(0, 1) for part in states)
        attended = nn.functional.scaled_dot_product_attention(q, k, v, dropout_p=dropout, scale=scaling)
        parts.append(attended.transpose(1, 2).flatten(0, 1))
    return torch.cat(parts).unsqueeze(0), None


def _has_kernel(query: Tensor) -> bool:
    """Returns whether a GPU has torch's kernel for sentences of variable lengths, which knows no dropout."""
    width = query.shape[-1]
    fits = query.dtype == torch.bfloat16 and width <= 256 and width % 8 == 0
    return fits and torch.cuda.get_device_capability(query.device) >= (8, 0)


def _no_mask(*_: Any, **__: Any) -> None:
    """The mask of packed sentences."""


AttentionInterface.register("packed", packed_attention)
AttentionMaskInterface.register("packed", _no_mask)


def _mask(lengths: Sequence[int]) -> NDArray[np.bool_]:
    """Where a rectangle of sentences has tokens, [n, longest]."""
    return np.arange(max(lengths))[None, :] < np.asarray(lengths)[:, None]
