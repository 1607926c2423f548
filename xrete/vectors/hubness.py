"""Hubs: vectors that are near to many others, and take the place of the right ones in retrieval.

`hubness` says how strong they are. CSLS and the ratio margin correct for them afterwards, without training: they
relate a cosine to the mean cosine of both vectors with their nearest neighbours.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

from xrete.lazy import NDArray, np
from xrete.vectors.margin import SMALLEST
from xrete.vectors.top_k import slices

NEIGHBOURS = 10
"""The k of hubness, as Radovanović, Nanopoulos and Ivanović 2010 (JMLR 11) take it, and of CSLS."""

DECIMALS = 12
"""Places of float64 scores that count; products of equal vectors may differ behind them."""

CELLS = 2**22
"""Scores that are held at once, 16 MB in float32 and 32 MB in float64; one row at least."""


def hubness(queries: NDArray[np.float32], candidates: NDArray[np.float32], k: int = NEIGHBOURS) -> float:
    """Skewness of the k-occurrences: how unevenly candidates are among the `k` nearest ones of the queries.

    Args:
        queries: Unit vectors [n, d].
        candidates: Unit vectors [m, d].
        k: Neighbours of a query.

    Returns:
        The skewness, near 0 where no candidate stands out; nan where all are neighbours equally often, as where
        there are no more than `k`.
    """
    return skewness(occurrences(queries, candidates, k))


def occurrences(
    queries: NDArray[np.float32], candidates: NDArray[np.float32], k: int = NEIGHBOURS
) -> NDArray[np.int32]:
    """Counts how many queries have each candidate among their `k` nearest, int32 [m].

    Candidates that tie with the k-th nearest count too, so the order of rows does not matter.

    Args:
        queries: Unit vectors [n, d].
        candidates: Unit vectors [m, d].
        k: Neighbours of a query; all candidates where there are fewer.
    """
    k = min(k, len(candidates))
    counts = np.zeros(len(candidates), np.int32)
    for rows in slices(len(queries), max(1, CELLS // len(candidates))):
        scores = queries[rows] @ candidates.T
        counts += (scores >= np.partition(scores, -k, axis=1)[:, -k, None]).sum(axis=0, dtype=np.int32)
    return counts


def skewness(counts: NDArray[np.int32]) -> float:
    """Returns E[(N - E N)^3] / (E[(N - E N)^2])^(3/2) of counts [m]; nan where they are all equal."""
    deviations = counts - counts.mean()
    variance = float(np.mean(deviations**2))
    return float(np.mean(deviations**3)) / variance**1.5 if variance > 0.0 else math.nan


class Corrected(NamedTuple):
    """Index of the best candidate for each query by CSLS, and by ratio margin, both int32 [n]."""

    csls: NDArray[np.int32]
    margin: NDArray[np.int32]


def corrected_nearest(
    queries: NDArray[np.float32], candidates: NDArray[np.float32], k: int = NEIGHBOURS
) -> Corrected:
    """Finds the best candidate of every query where hubs are corrected for; the lowest index wins a tie.

    With r the mean cosine with the `k` nearest on the other side, CSLS is 2 cos(x, y) - r(x) - r(y) (Conneau et al.
    2018, Eq. 3), and the ratio margin 2 cos(x, y) / (r(x) + r(y)) (Artetxe and Schwenk 2019, Eq. 3). Both are
    taken over all candidates, in float64.

    Args:
        queries: Unit vectors [n, d].
        candidates: Unit vectors [m, d].
        k: Neighbours; all where there are fewer.
    """
    n, m = len(queries), len(candidates)
    own = min(k, m)
    density = np.empty(n)
    nearest = np.empty((0, m))  # each candidate's best cosines so far
    for rows, scores in _cosines(queries, candidates):
        density[rows] = np.partition(scores, m - own, axis=1)[:, m - own :].mean(axis=1)
        pool = np.concatenate([nearest, scores]) if len(nearest) else scores
        kept = min(k, len(pool))
        nearest = np.partition(pool, len(pool) - kept, axis=0)[len(pool) - kept :]
    theirs = nearest.mean(axis=0)
    csls, margin = np.empty(n, np.int32), np.empty(n, np.int32)
    for rows, scores in _cosines(queries, candidates):
        csls[rows] = np.round(2 * scores - theirs, DECIMALS).argmax(axis=1)  # r(x) is one number for a whole row
        both = np.maximum(density[rows, None] + theirs, 2 * SMALLEST)
        margin[rows] = np.round(2 * scores / both, DECIMALS).argmax(axis=1)
    return Corrected(csls, margin)


def _cosines(
    queries: NDArray[np.float32], candidates: NDArray[np.float32]
) -> Iterator[tuple[slice, NDArray[np.float64]]]:
    """Yields rows of queries and their products with all candidates, in blocks."""
    right = candidates.astype(np.float64).T
    for rows in slices(len(queries), max(1, CELLS // len(candidates))):
        yield rows, queries[rows].astype(np.float64) @ right
