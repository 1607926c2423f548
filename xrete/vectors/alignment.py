"""How well one language lies beside another in one space: numbers that explain its retrieval accuracy.

Pure mathematics on unit vectors; sums are in float64.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.float32]

NEIGHBOURS = 10
"""The k of hubness, as Radovanović, Nanopoulos and Ivanović 2010 (JMLR 11) take it."""

BLOCK = 1024
"""Queries whose scores are held at once."""


def pair_cosine(left: Rows, right: Rows) -> float:
    """Mean cosine of rows [n, d] that translate each other."""
    return float(np.mean((left.astype(np.float64) * right).sum(axis=1)))


def hubness(queries: Rows, candidates: Rows, k: int = NEIGHBOURS) -> float:
    """Skewness of the k-occurrences: how unevenly candidates are among the `k` nearest ones of the queries.

    S = E[(N - E N)^3] / (E[(N - E N)^2])^(3/2) over the candidates' counts N (Radovanović et al. 2010). Candidates
    that tie with the k-th nearest count too, so the order of rows does not matter.

    Args:
        queries: Unit vectors [n, d].
        candidates: Unit vectors [m, d].
        k: Neighbours of a query.

    Returns:
        The skewness, near 0 where no candidate stands out; nan where all are neighbours equally often, as where
        there are no more than `k`.
    """
    if len(candidates) <= k:
        return math.nan
    counts = np.zeros(len(candidates))
    for start in range(0, len(queries), BLOCK):
        scores = queries[start : start + BLOCK] @ candidates.T
        nearest = np.partition(scores, -k, axis=1)[:, -k, None]
        counts += (scores >= nearest).sum(axis=0)
    deviations = counts - counts.mean()
    variance = float(np.mean(deviations**2))
    return float(np.mean(deviations**3)) / variance**1.5 if variance > 0.0 else math.nan


def rank_correlation(left: Sequence[float], right: Sequence[float]) -> float:
    """Spearman's rho; nan where there are fewer than three pairs or one side does not vary."""
    from scipy.stats import rankdata  # a second to import, which listing tasks need not wait for

    if len(left) < 3:
        return math.nan
    ranks = np.stack([rankdata(left), rankdata(right)])
    ranks -= ranks.mean(axis=1, keepdims=True)
    scale = math.sqrt(float(np.prod((ranks**2).sum(axis=1))))
    return float(ranks[0] @ ranks[1]) / scale if scale else math.nan
