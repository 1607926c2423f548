"""Exact nearest neighbours by cosine, in blocks, with ties that do not depend on the blocks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BLOCK = 4096
"""Queries whose scores are held at once."""

NEAR_TIE = 1e-5
"""Float32 products of unit vectors are off by less; candidates this close to the best are scored again."""

EXACT_NUMBERS = 2**22
"""Numbers of each side that are held at once while near ties are scored again."""


def mutual_nearest(
    queries: NDArray[np.float32], candidates: NDArray[np.float32], *, block: int = BLOCK
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Finds the nearest candidate of every query, and the nearest query of every candidate.

    Args:
        queries: Unit vectors [n, d].
        candidates: Unit vectors [m, d].
        block: Queries whose scores are held at once.

    Returns:
        Index of the best candidate for each query [n], and of the best query for each candidate [m]. Scores are
        float32 products; where several are within `NEAR_TIE` of the best they are computed again in float64, one
        pair at a time, and the lowest index wins a tie. So the answer depends neither on `block` nor on the
        order in which a matrix product adds.
    """
    forward = np.empty(len(queries), np.int32)
    best = np.full(len(candidates), -np.inf, np.float32)
    rivals: list[NDArray[np.int64]] = []  # rows (candidate, query) that may be the best of a candidate
    for start in range(0, len(queries), block):
        part = queries[start : start + block]
        scores = part @ candidates.T
        close = np.argwhere(scores >= scores.max(axis=1, keepdims=True) - NEAR_TIE)
        forward[start : start + block] = _settle(close, part, candidates)
        best = np.maximum(best, scores.max(axis=0))
        close = np.argwhere(best[:, None] - NEAR_TIE <= scores.T)
        close[:, 1] += start
        rivals.append(close)
    return forward, _settle(np.concatenate(rivals), candidates, queries)


def _settle(
    pairs: NDArray[np.int64], rows: NDArray[np.float32], others: NDArray[np.float32]
) -> NDArray[np.int32]:
    """Returns, for each row that is in `pairs` (row, other), the best other; the lowest index wins a tie.

    A collapsed model makes every pair a near tie, so the products are taken a part at a time.
    """
    step = max(1, EXACT_NUMBERS // rows.shape[1])
    parts = (pairs[start : start + step] for start in range(0, len(pairs), step))
    exact = np.concatenate([_dot(rows[part[:, 0]], others[part[:, 1]]) for part in parts])
    order = np.lexsort((pairs[:, 1], -exact, pairs[:, 0]))
    first = np.unique(pairs[order, 0], return_index=True)[1]
    return pairs[order][first, 1].astype(np.int32)


def _dot(left: NDArray[np.float32], right: NDArray[np.float32]) -> NDArray[np.float64]:
    """Row-wise products in float64, each row added in the same order."""
    return np.asarray((left.astype(np.float64) * right).sum(axis=-1))
