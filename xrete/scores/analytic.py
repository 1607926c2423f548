"""Intervals of numbers whose items are not known: exact for shares, Fisher's transformation for correlations.

A published accuracy times its number of sentences is a count, so that its interval is known without the sentences.
What cannot be known is which sentences two models got right both: such numbers are never paired.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import Literal

from xrete.lazy import NDArray, np

LEVEL = 0.95
NORMAL = 1.959963984540054
"""The 97.5 percentile of the normal distribution."""

NEWTON_STEPS = 10
"""Of `criticals`: for up to 100,000 models the ninth still moves the sixth decimal, the tenth only rounding."""

Chance = Literal["share", "pearson", "spearman"]

KINDS: dict[str, Chance] = {"accuracy": "share", "pearson": "pearson", "spearman": "spearman"}
"""Metrics whose chance follows from their value and the number of sentences; of others (F1, mAP) it does not."""


def interval(metric: str, value: float, n: int | None) -> tuple[float, float] | None:
    """Returns the 95 % interval of a score in XRETE's unit, 0 to 100 (correlations: -100 to 100).

    Args:
        metric: Its metric.
        value: The score.
        n: Number of sentences or pairs that it rests on; None where nobody says it.

    Returns:
        None where no interval follows from these.
    """
    kind = KINDS.get(metric)
    if kind is None or n is None:
        return None
    if kind == "share":
        return clopper_pearson(round(value * n / 100), n)
    return fisher(value, n, ranks=kind == "spearman")


@cache
def clopper_pearson(count: int, n: int) -> tuple[float, float]:
    """Returns the exact 95 % interval of a share, in percent (Clopper and Pearson 1934, Biometrika 26).

    Args:
        count: Right answers.
        n: All answers.
    """
    from scipy.special import betaincinv

    tail = (1 - LEVEL) / 2
    low = betaincinv(count, n - count + 1, tail) if count > 0 else 0.0
    high = betaincinv(count + 1, n - count, 1 - tail) if count < n else 1.0
    return 100 * float(low), 100 * float(high)


def fisher(value: float, n: int, *, ranks: bool) -> tuple[float, float] | None:
    """Returns the 95 % interval of a correlation times 100, by Fisher's transformation; None of under four pairs.

    Args:
        value: The correlation times 100.
        n: Number of pairs.
        ranks: Whether it is Spearman's, whose error is larger (Bonett and Wright 2000, Psychometrika 65).
    """
    if n <= 3:
        return None
    centre, error = _transformed(value, n, ranks=ranks)
    return 100 * math.tanh(centre - NORMAL * error), 100 * math.tanh(centre + NORMAL * error)


def of_mean(
    values: Sequence[float], intervals: Sequence[tuple[float, float] | None], *, together: bool
) -> tuple[float, float] | None:
    """Returns the 95 % interval of a mean from those of its parts (Zou and Donner 2008, Statistics in Medicine 27).

    Args:
        values: The parts [parts].
        intervals: Theirs [parts].
        together: The parts hold the same sentences in translation, so that their errors may add up: the interval
            is then the mean of theirs, which is the widest possible. Else errors are independent.

    Returns:
        None where a part has none.
    """
    known = [x for x in intervals if x is not None]
    if len(known) < len(values):
        return None
    centre = float(np.mean(values))
    below = [value - low for value, (low, _) in zip(values, known, strict=True)]
    above = [high - value for value, (_, high) in zip(values, known, strict=True)]
    width = sum if together else lambda sides: math.hypot(*sides)
    return centre - width(below) / len(values), centre + width(above) / len(values)


def significantly_better(
    values: Sequence[float], intervals: Sequence[tuple[float, float]], *, higher_is_better: bool = True
) -> NDArray[np.bool_]:
    """Returns which models are better than which others, as if each had been asked about other sentences.

    That is cautious: on the same sentences models tend to be right or wrong together. The error of a difference is
    that of the sides on which the two intervals meet (Zou and Donner 2008), the critical value is Tukey and
    Kramer's, which holds for all pairs at once however unequal the errors are (Hayter 1984, Annals of Statistics
    12): the chance that any pair is told apart by chance is at most 5 %.

    Args:
        values: The scores [models].
        intervals: Their 95 % intervals [models].
        higher_is_better: The direction of the metric.

    Returns:
        [models, models]: the model of the row is better than the model of the column.
    """
    sign = 1.0 if higher_is_better else -1.0
    scores, ends = sign * np.asarray(values), sign * np.asarray(intervals)
    below, above = scores - ends.min(axis=1), ends.max(axis=1) - scores
    errors = np.hypot(below[:, None], above[None]) / NORMAL
    return np.asarray(scores[:, None] - scores > critical(len(scores)) * errors)


@cache
def critical(models: int) -> float:
    """Returns how many errors two of some models must lie apart: the 95th percentile of their studentised range.

    It is divided by the root of 2, so that it is in errors of a difference: 1.96 for two models.

    Args:
        models: Number of models, 1 or more.
    """
    return float(criticals(np.array([models]))[0])


def criticals(models: NDArray[np.int64]) -> NDArray[np.float64]:
    """Returns `critical` of many numbers of models at once, [numbers]."""
    from scipy.special import ndtr, ndtri

    grid = np.linspace(-8.0, 8.0, 201)
    density = np.exp(-(grid**2) / 2) / math.sqrt(2 * math.pi) * (grid[1] - grid[0])
    below, count = ndtr(grid), np.maximum(models, 2)
    others = count[:, None] - 1
    # Newton's method on the logarithm of the distribution, which is concave: from below it never passes the root.
    # It starts as if all models were around 0, where an interval holds most of the normal distribution.
    ranges = 2 * ndtri((1 + (LEVEL / count) ** (1 / (count - 1))) / 2)
    for _ in range(NEWTON_STEPS):
        lower = grid - ranges[:, None]
        between = np.maximum(below - ndtr(lower), 1e-300)
        rest = np.exp((others - 1) * np.log(between))  # a third of the time of a power
        within = count * ((rest * between) @ density)
        slope = count * ((others * rest * np.exp(-(lower**2) / 2)) @ density) / math.sqrt(2 * math.pi)
        ranges += (math.log(LEVEL) - np.log(within)) * within / slope
    return np.where(models > 1, ranges / math.sqrt(2), 0.0)


def _transformed(value: float, n: int, *, ranks: bool) -> tuple[float, float]:
    """Returns the correlation by Fisher's transformation, and its standard error."""
    correlation = min(max(value / 100, -1 + 1e-12), 1 - 1e-12)
    error = math.sqrt((1 + correlation**2 / 2) / (n - 3)) if ranks else 1 / math.sqrt(n - 3)
    return math.atanh(correlation), error
