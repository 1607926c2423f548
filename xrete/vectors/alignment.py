"""How well one language lies beside another in one space: numbers that explain its retrieval accuracy.

Pure mathematics on unit vectors; sums are in float64.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.float32]


def pair_cosine(left: Rows, right: Rows) -> float:
    """Mean cosine of rows [n, d] that translate each other."""
    return float(np.mean((left.astype(np.float64) * right).sum(axis=1)))


def rank_correlation(left: Sequence[float], right: Sequence[float]) -> float:
    """Spearman's rho; nan where there are fewer than three pairs or one side does not vary."""
    from scipy.stats import rankdata  # a second to import, which listing tasks need not wait for

    if len(left) < 3:
        return math.nan
    ranks = np.stack([rankdata(left), rankdata(right)])
    ranks -= ranks.mean(axis=1, keepdims=True)
    scale = math.sqrt(float(np.prod((ranks**2).sum(axis=1))))
    return float(ranks[0] @ ranks[1]) / scale if scale else math.nan
