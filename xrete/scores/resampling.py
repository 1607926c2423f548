"""Intervals and tests that resample items: the bootstrap, paired over models, and the permutation test.

Everything is computed for a *stratum*: items that are drawn together. Strata are the languages of a task, drawn
apart; or, where all languages hold the same items in translation, all of them together (`across`), because what is
hard in one language is hard in the others. A macro mean is the mean over strata, and so are its replicates.

One item shows no variance, so that a stratum of one has no interval (`varies`), nor has a mean over such strata.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence

from xrete.lazy import NDArray, np
from xrete.shapes.metric import RUN, Items, Metric, join_runs, runs

STRATIFIED = "percentile bootstrap over items, stratified by language"
PARALLEL = "percentile bootstrap over items, drawn for all languages together"
"""How records name the method: the second where all languages hold the same items."""

TOGETHER = ""
"""The name of the one stratum of languages that hold the same items."""

RESAMPLES = 1000
PERMUTATIONS = 9_999
SLOW_PERMUTATIONS = 1_999
"""Of metrics that are no means over items, each of which has to be computed anew."""

ROUNDING = 1e-9
"""Relative to the scores: two statistics that differ by less are equal but for the order of their sums."""

Strata = Mapping[str, tuple[Metric, Sequence[Items]]]
"""By name: the metric of a stratum, and its items for each model."""


def generator(seed: int, name: str) -> np.random.Generator:
    """Returns a random generator that depends on seed and language (or stratum) only, not on the order of work."""
    return np.random.default_rng([seed, zlib.crc32(name.encode())])


def varies(items: Items) -> bool:
    """Returns whether a stratum has items enough to tell by resampling how much chance there is in its score."""
    return _size(items) > 1


def replicates(
    metric: Metric, models: Sequence[Items], random: np.random.Generator, resamples: int = RESAMPLES
) -> NDArray[np.float64]:
    """Draws bootstrap replicates of a metric in one stratum, paired: a resample has the same items for every model.

    Args:
        metric: What is computed from each resample.
        models: For each model, columns of equal length n; each resample draws n rows with replacement.
        random: The generator.
        resamples: Number of replicates.

    Returns:
        The metric of each resample [models, resamples].
    """
    n = _size(models[0])
    if metric.per_item is not None:
        # A resample of a mean is decided by how often each distinct outcome is drawn: one multinomial draw.
        outcomes = np.stack([metric.per_item(items) for items in models], axis=1)
        values, counts = np.unique(outcomes, axis=0, return_counts=True)
        draws = random.multinomial(n, counts / n, size=resamples)
        return np.asarray((draws @ values / n).T, dtype=np.float64)
    drawn = np.empty((len(models), resamples))
    for resample in range(resamples):
        rows = random.integers(0, n, n)
        drawn[:, resample] = [metric.statistic(_take(items, rows)) for items in models]
    return drawn


def interval(draws: NDArray[np.float64]) -> tuple[float, float]:
    """Returns the 2.5 and 97.5 percentiles of draws [resamples]."""
    low, high = np.percentile(draws, [2.5, 97.5])
    return float(low), float(high)


def differences_by_chance(
    metric: Metric, first: Items, second: Items, random: np.random.Generator, permutations: int | None = None
) -> NDArray[np.float64]:
    """Draws differences of two models in one stratum as they would be if it were chance which model did what.

    Each item's outcomes, those of all training runs of a model, are swapped between the models with probability
    one half.

    Args:
        metric: What is compared.
        first: Columns of equal length, of one model.
        second: The same items, of the other.
        random: The generator.
        permutations: Number of draws; None takes `PERMUTATIONS` for a mean, else `SLOW_PERMUTATIONS`.

    Returns:
        The metric of the first minus that of the second [permutations].
    """
    n = _size(first)
    if metric.per_item is not None:
        # A swap turns an item's difference around; equal ones are counted, and one binomial draw turns them all.
        permutations = permutations or PERMUTATIONS
        sizes, counts = np.unique(np.abs(metric.per_item(first) - metric.per_item(second)), return_counts=True)
        total = np.zeros(permutations)
        for size, count in zip(sizes, counts, strict=True):
            if size:
                total += size * (2 * random.binomial(count, 0.5, permutations) - count)
        return total / n
    permutations = permutations or SLOW_PERMUTATIONS
    if metric.in_one_unit is not None:
        first, second = metric.in_one_unit(first), metric.in_one_unit(second)
    first, second = _as_many_runs(first, second)
    unequal = [name for name in first if not np.array_equal(first[name], second[name])]
    drawn = np.empty(permutations)
    for permutation in range(permutations):
        swapped = random.random(n) < 0.5
        sides = [
            {**own, **{name: np.where(swapped, theirs[name], own[name]) for name in unequal}}
            for own, theirs in ((first, second), (second, first))
        ]
        drawn[permutation] = metric.statistic(sides[0]) - metric.statistic(sides[1])
    return drawn


def p_value(difference: float, by_chance: NDArray[np.float64]) -> float:
    """Returns the two-sided p-value, (k + 1) / (n + 1), which is never 0 (Phipson and Smyth 2010).

    Args:
        difference: What was observed.
        by_chance: Differences by chance [n], k of which are at least as far from 0.
    """
    largest = max(abs(difference), float(np.abs(by_chance).max()))
    extreme = np.abs(by_chance) >= abs(difference) - ROUNDING * largest
    return float((extreme.sum() + 1) / (len(by_chance) + 1))


def holm(p_values: Sequence[float]) -> list[float]:
    """Returns p-values corrected for their number (Holm 1979), in the order given.

    The chance that any of those below 0.05 is there by chance is at most 5 %, whatever depends on what.
    """
    order = np.argsort(p_values, kind="stable")
    steps = np.array(p_values)[order] * np.arange(len(order), 0, -1)
    corrected = np.empty(len(order))
    corrected[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return [float(p) for p in corrected]


def strata(metric: Metric, models: Sequence[Mapping[str, Items]], *, parallel: bool) -> Strata:
    """Returns what is drawn apart, for a macro mean over languages.

    Args:
        metric: Of one language.
        models: For each model, items by language; the same languages, and the same items in each.
        parallel: Row i is the same item in every language.
    """
    if not parallel:
        return {language: (metric, [items[language] for items in models]) for language in models[0]}
    together = [across(metric, items) for items in models]
    return {TOGETHER: (together[0][0], [items for _, items in together])}


def across(metric: Metric, languages: Mapping[str, Items]) -> tuple[Metric, Items]:
    """Makes one stratum of languages that hold the same items: its metric is the macro mean.

    Args:
        metric: Of one language.
        languages: Items by language; row i is the same item in every one.

    Returns:
        The metric of the stratum, and its items: the columns of all languages side by side.
    """
    together = {f"{code} {name}": column for code, columns in languages.items() for name, column in columns.items()}
    # A metric is handed one training run at a time, whose columns have plain names.
    names = {code: [name for name in columns if RUN not in name] for code, columns in languages.items()}

    def apart(columns: Items) -> list[Items]:
        # A record from before its shape had all the columns of today's lacks some, which no metric of both needs.
        present = {code: [name for name in names[code] if f"{code} {name}" in columns] for code in names}
        return [{name: columns[f"{code} {name}"] for name in present[code]} for code in names]

    if (per_item := metric.per_item) is not None:
        return Metric.mean_of(lambda items: np.mean([per_item(x) for x in apart(items)], axis=0)), together

    def in_one_unit(columns: Items) -> Items:
        assert metric.in_one_unit is not None
        changed = map(metric.in_one_unit, apart(columns))
        return {
            f"{code} {x}": column for code, own in zip(names, changed, strict=True) for x, column in own.items()
        }

    def statistic(columns: Items) -> float:
        return float(np.mean([metric.statistic(x) for x in apart(columns)]))

    return Metric(statistic, in_one_unit=in_one_unit if metric.in_one_unit else None), together


def _as_many_runs(first: Items, second: Items) -> tuple[Items, Items]:
    """Repeats the training runs of two models until both have as many, which changes no mean over runs."""
    sides = runs(first), runs(second)
    count = math.lcm(*map(len, sides))
    one, other = (join_runs({place: side[place % len(side)] for place in range(count)}) for side in sides)
    return one, other


def _size(items: Items) -> int:
    return len(next(iter(items.values())))


def _take(items: Items, rows: NDArray[np.int64]) -> Items:
    return {name: column[rows] for name, column in items.items()}
