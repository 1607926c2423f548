"""The interval of a mean difference over languages and seeds, both of which are samples of more."""

from __future__ import annotations

import math

from xrete.lazy import NDArray, np

LEVEL = 0.95


def crossed_margin(differences: NDArray[np.float64]) -> float | None:
    """Returns the half width of the interval of the mean of differences [seeds, languages].

    Both are drawn: another language is as much chance as another seed. Student's interval over languages, from
    their means over seeds, and the one over seeds, from their means over languages, add as the sides of a right
    angle. What is peculiar to one seed in one language counts in both, so the interval errs on the wide side. A
    single seed, or a single language, is taken as it is.

    Returns:
        None where there is but one of both.
    """
    from scipy.special import stdtrit  # scipy.stats takes a second to import, which every report would wait for

    sides = []
    for axis in (0, 1):
        means = differences.mean(axis=axis)
        if len(means) > 1:
            error = float(means.std(ddof=1)) / math.sqrt(len(means))
            sides.append(float(stdtrit(len(means) - 1, 0.5 + LEVEL / 2)) * error)
    return math.hypot(*sides) if sides else None


def told(differences: NDArray[np.float64]) -> str:
    """Writes the mean of differences [seeds, languages] with its interval and what it is over."""
    seeds, languages = differences.shape
    margin = crossed_margin(differences)
    interval = "" if margin is None else f" ± {margin:.1f}"
    count = f"{languages} language{'s' if languages > 1 else ''}, {seeds} seed{'s' if seeds > 1 else ''}"
    return f"{differences.mean():+.1f}{interval} ({count})"
