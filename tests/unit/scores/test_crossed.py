"""The interval over languages and seeds: by hand, in its limits, and that it covers what it should."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from xrete.scores.crossed import crossed_margin, told


def test_both_intervals_add() -> None:
    differences = np.array([[1.0, 0.0, 2.0], [4.0, 1.0, 4.0]])
    languages = stats.t.ppf(0.975, 2) * (np.var([2.5, 0.5, 3.0], ddof=1) / 3) ** 0.5
    seeds = stats.t.ppf(0.975, 1) * (np.var([1.0, 3.0], ddof=1) / 2) ** 0.5
    expected = (languages**2 + seeds**2) ** 0.5
    assert crossed_margin(differences) == pytest.approx(expected)
    assert told(differences) == f"+2.0 ± {expected:.1f} (3 languages, 2 seeds)"


def test_one_seed_or_one_language_leaves_students_t() -> None:
    values = np.array([1.0, 4.0, 2.5, 0.0])
    low, high = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert crossed_margin(values[None]) == pytest.approx((high - low) / 2)
    assert crossed_margin(values[:, None]) == pytest.approx((high - low) / 2)
    assert crossed_margin(np.array([[3.0]])) is None
    assert told(np.array([[3.0]])) == "+3.0 (1 language, 1 seed)"
    assert crossed_margin(np.full((2, 3), 1.0)) == 0.0


@pytest.mark.parametrize(("seeds", "languages"), [(2, 30), (3, 10), (5, 5)])
def test_it_covers_the_truth_as_often_as_it_says(seeds: int, languages: int) -> None:
    random, covered = np.random.default_rng(seeds), 0
    for _ in range(600):
        draws = (
            random.normal(0, 1, (seeds, 1)) + random.normal(0, 2, (1, languages))
            + random.normal(0, 1, (seeds, languages))
        )  # fmt: skip
        covered += abs(draws.mean()) <= (crossed_margin(draws) or 0)
    assert covered / 600 > 0.93
