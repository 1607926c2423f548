"""What certificates are made of: encoders that give texts what theory needs, and exact intervals."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from xrete.shapes.contract import Encode

COVERAGE = 0.999
"""Of the interval that a random model's score must lie in."""

Code = TypeVar("Code", bound=Hashable)


def codebook(pairs: Iterable[tuple[str, Code]]) -> dict[str, Code] | None:
    """Returns texts to codes; None where one text would need two, so that no encoder of texts can give them."""
    book: dict[str, Code] = {}
    for text, code in pairs:
        if book.setdefault(text, code) != code:
            return None
    return book


def code_encoder(book: dict[str, tuple[float, ...]]) -> Encode:
    """Makes a model that gives each text its code, scaled to unit length after a leading 1 (no vector is zero)."""

    def encode(texts: Sequence[str]) -> NDArray[np.float32]:
        vectors = np.array([(1.0, *book[text]) for text in texts])
        return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)

    return encode


def constant_encoder(texts: Sequence[str]) -> NDArray[np.float32]:
    """A model that gives every text the same vector: float32 [n, 4]."""
    return np.full((len(texts), 4), 0.5, dtype=np.float32)


def exact_interval(outcomes: Iterable[NDArray[np.float64]]) -> tuple[int, int]:
    """Returns the interval that holds a sum of independent whole numbers with probability `COVERAGE` at least.

    Args:
        outcomes: For each number its distribution, float64 [values]: `outcomes[i][value]` is the probability of
            `value`.
    """
    total = np.ones(1)
    for distribution in outcomes:
        total = np.convolve(total, distribution)
    below = np.cumsum(total)
    tail = (1 - COVERAGE) / 2
    low = int(np.searchsorted(below, tail, side="right"))
    high = int(np.searchsorted(below, 1 - tail, side="left"))
    return low, min(high, len(total) - 1)
