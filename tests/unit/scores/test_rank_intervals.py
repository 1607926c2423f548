"""Ranks: what is claimed of an order is right as often as promised, and ties share a group."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from xrete.scores.rank_intervals import rank_intervals, significantly_better, tie_groups
from xrete.scores.resampling import replicates
from xrete.shapes.metric import Metric

MEAN = Metric.mean_of(lambda items: np.asarray(items["x"]))
CHANCES = np.array([0.9, 0.75, 0.75, 0.7, 0.7, 0.3])
"""Of six models to be right: the first is best, the last is worst, and two pairs are equally good."""


def matrix(*rows: str) -> NDArray[np.bool_]:
    return np.array([[x == "1" for x in row] for row in rows])


def leaderboard(random: np.random.Generator, items: int = 300) -> NDArray[np.bool_]:
    """Which of six models are told apart on a sample of items, some of which are hard for all."""
    ease = random.normal(0, 0.1, items)
    models = [{"x": 100.0 * (random.random(items) < chance + ease)} for chance in CHANCES]
    scores = np.array([model["x"].mean() for model in models])
    return significantly_better(scores, replicates(MEAN, models, random, 500))


def test_what_is_said_of_a_leaderboard_is_wrong_in_one_of_twenty() -> None:
    """In 300 samples: no worse or equal model is called better, and all true ranks lie in their intervals."""
    random = np.random.default_rng(5)
    best = [1 + sum(chance < CHANCES) for chance in CHANCES]
    worst = [sum(chance <= CHANCES) for chance in CHANCES]
    wrong_orders = wrong_ranks = apart = 0
    for _ in range(300):
        better = leaderboard(random)
        wrong_orders += bool((better & (CHANCES[:, None] <= CHANCES)).any())
        intervals = rank_intervals(better)
        wrong_ranks += any(
            low > first or high < last for (low, high), first, last in zip(intervals, best, worst, strict=True)
        )
        apart += bool(better[0, 1:].all() and better[:5, 5].all())
    assert wrong_orders / 300 <= 0.07
    assert wrong_ranks / 300 <= 0.07
    assert apart / 300 >= 0.9  # and it does say what there is to say


@pytest.mark.parametrize("seed", range(5))
def test_who_is_better_is_what_a_plain_loop_says(seed: int) -> None:
    """Fifteen models, some as near each other as chance, two of them the same, on the scale of percents."""
    random = np.random.default_rng(seed)
    scores = 50 + random.normal(0, 2.5, 15)
    draws = scores[:, None] + random.normal(0, 0.5, (15, 400)) + random.normal(0, 3, 400)
    scores[3], draws[3] = scores[7], draws[7]
    gaps = {(i, j): draws[i] - draws[j] for i in range(15) for j in range(15)}
    errors = {pair: gap.std() for pair, gap in gaps.items()}
    studentised = [
        np.abs(gap - (scores[i] - scores[j])) / errors[i, j] for (i, j), gap in gaps.items() if errors[i, j] > 0
    ]
    critical = np.quantile(np.max(studentised, axis=0), 0.95)
    expected = [[scores[i] - scores[j] > critical * errors[i, j] + 1e-9 for j in range(15)] for i in range(15)]
    better = significantly_better(scores, draws)
    assert better.tolist() == expected
    assert 0 < better.sum() < 105


def test_models_far_apart_have_a_rank_and_a_group_each() -> None:
    draws = np.array([[90.0], [80.0], [70.0]]) + np.random.default_rng(0).normal(0, 0.5, (3, 1000))
    better = significantly_better(np.array([90.0, 80.0, 70.0]), draws)
    assert rank_intervals(better) == [(1, 1), (2, 2), (3, 3)]
    assert tie_groups(better) == [1, 2, 3]
    errors = significantly_better(np.array([90.0, 80.0, 70.0]), draws, higher_is_better=False)
    assert rank_intervals(errors) == [(3, 3), (2, 2), (1, 1)]
    assert tie_groups(errors) == [3, 2, 1]


def test_equal_models_are_tied() -> None:
    draws = np.tile(np.random.default_rng(0).normal(50, 1, 1000), (3, 1))
    better = significantly_better(np.array([50.0, 50.0, 50.0 + 1e-13]), draws)
    assert rank_intervals(better) == [(1, 3)] * 3
    assert tie_groups(better) == [1, 1, 1]


def test_models_without_chance_are_ordered() -> None:
    """All right and all wrong: no resample says anything else."""
    better = significantly_better(np.array([0.0, 100.0]), np.tile([[0.0], [100.0]], 100))
    assert rank_intervals(better) == [(2, 2), (1, 1)]


def test_one_model_is_first() -> None:
    better = significantly_better(np.array([50.0]), np.random.default_rng(0).normal(50, 1, (1, 100)))
    assert rank_intervals(better) == [(1, 1)]
    assert tie_groups(better) == [1]


@pytest.mark.parametrize(
    ("better", "intervals", "groups"),
    [
        (matrix("000", "000", "000"), [(1, 3)] * 3, [1, 1, 1]),
        (matrix("011", "000", "000"), [(1, 1), (2, 3), (2, 3)], [1, 2, 2]),
        (matrix("001", "001", "000"), [(1, 2), (1, 2), (3, 3)], [1, 1, 2]),
        # The first and the last are apart, the one between is tied with both: a chain is one group.
        (matrix("001", "000", "000"), [(1, 2), (1, 3), (2, 3)], [1, 1, 1]),
        # The second is better than the third, and still nobody beats all the others.
        (matrix("0001", "0010", "0000", "0000"), [(1, 3), (1, 3), (2, 4), (2, 4)], [1, 1, 1, 1]),
        (matrix("000", "101", "000"), [(2, 3), (1, 1), (2, 3)], [2, 1, 2]),
    ],
)
def test_intervals_and_groups_follow_from_who_is_better(
    better: NDArray[np.bool_], intervals: list[tuple[int, int]], groups: list[int]
) -> None:
    assert rank_intervals(better) == intervals
    assert tie_groups(better) == groups


@given(seed=st.integers(0, 10_000), models=st.integers(1, 8))
def test_groups_are_as_fine_as_the_order_allows(seed: int, models: int) -> None:
    """Every model of a group is better than every one of a later group, and no group could be split so."""
    random = np.random.default_rng(seed)
    scores = random.integers(0, 6, models)
    better = (scores[:, None] > scores + random.integers(0, 2)) & (random.random((models, models)) < 0.9)
    groups = np.array(tie_groups(better))
    assert set(groups) == set(range(1, max(groups) + 1))
    for one, other in itertools.permutations(range(models), 2):
        if groups[one] < groups[other]:
            assert better[one, other]
    for group in set(groups):
        members = np.flatnonzero(groups == group)
        parts = (part for size in range(1, len(members)) for part in itertools.combinations(members, size))
        assert not any(better[np.ix_(part, np.setdiff1d(members, part))].all() for part in parts)
