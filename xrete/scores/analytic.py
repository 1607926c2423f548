"""Intervals of numbers whose items are not known: exact for shares, Fisher's transformation for correlations.

A published accuracy times its number of sentences is a count, so that its interval is known without the sentences.
What cannot be known is which sentences two models got right both: such numbers are never paired.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from xrete.lazy import NDArray, np

LEVEL = 0.95
NORMAL = 1.959963984540054
"""The 97.5 percentile of the normal distribution."""

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


def draws(
    value: float, interval: tuple[float, float], random: np.random.Generator, size: int
) -> NDArray[np.float64]:
    """Draws scores that are as likely as an interval says, float64 [size]: normal on either side of the score.

    Args:
        value: The score.
        interval: Its 95 % interval.
        random: The generator.
        size: Number of draws.
    """
    low, high = interval
    deviations = random.standard_normal(size)
    return value + deviations * np.where(deviations < 0, value - low, high - value) / NORMAL


def _transformed(value: float, n: int, *, ranks: bool) -> tuple[float, float]:
    """Returns the correlation by Fisher's transformation, and its standard error."""
    correlation = min(max(value / 100, -1 + 1e-12), 1 - 1e-12)
    error = math.sqrt((1 + correlation**2 / 2) / (n - 3)) if ranks else 1 / math.sqrt(n - 3)
    return math.atanh(correlation), error
