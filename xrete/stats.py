"""Intervals by the bootstrap, over items, stratified by language."""

from __future__ import annotations

import zlib
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from xrete.shapes import Items, Metric

METHOD = "percentile bootstrap over items, stratified by language"
RESAMPLES = 1000


def generator(seed: int, language: str) -> np.random.Generator:
    """Returns a random generator that depends on the seed and the language only, not on the order of work."""
    return np.random.default_rng([seed, zlib.crc32(language.encode())])


def replicates(
    metric: Metric, items: Items, random: np.random.Generator, resamples: int = RESAMPLES
) -> NDArray[np.float64]:
    """Draws bootstrap replicates of a metric.

    Args:
        metric: What is computed from each resample.
        items: Columns of equal length n; each resample draws n rows with replacement.
        random: The generator.
        resamples: Number of replicates.

    Returns:
        The metric of each resample [resamples].
    """
    n = len(next(iter(items.values())))
    if metric.per_item is not None:
        # A resample of a mean is decided by how often each distinct value is drawn: one multinomial draw.
        values, counts = np.unique(metric.per_item(items), return_counts=True)
        draws = random.multinomial(n, counts / n, size=resamples)
        return np.asarray(draws @ values / n, dtype=np.float64)
    rows = (random.integers(0, n, n) for _ in range(resamples))
    return np.array([metric.statistic({name: column[row] for name, column in items.items()}) for row in rows])


def interval(draws: NDArray[np.float64]) -> tuple[float, float]:
    """Returns the 2.5 and 97.5 percentiles."""
    low, high = np.percentile(draws, [2.5, 97.5])
    return float(low), float(high)


def mean_interval(draws: Iterable[NDArray[np.float64]]) -> tuple[float, float]:
    """Returns the interval of the unweighted mean over strata that were resampled apart."""
    return interval(np.mean(list(draws), axis=0))
