"""The overall order: win rates and Borda redone by hand and by MTEB's code, and intervals that hold the truth."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import norm

from xrete.scores import overall
from xrete.scores.overall import Order, borda, order, task_means, win_rates

NAN = float("nan")
Arrays = NDArray[np.float64]


def test_win_rates_by_hand() -> None:
    values = np.array([[90.0, 80.0, 70.0, NAN], [80.0, 85.0, 70.0, 50.0], [NAN, NAN, NAN, 60.0], [NAN] * 4])
    first = 1.5 / 3  # of the second: a win, a loss, a draw; it meets no other
    second = (1.5 / 3 + 0 / 1) / 2
    assert win_rates(values)[:3] == pytest.approx([first, second, 1.0])
    assert np.isnan(win_rates(values)[3])


def test_borda_by_hand() -> None:
    """Four less the rank: 3, 1.5, 1.5, 0 on the first task; 2, none, 3, 1 on the second, one unknown."""
    scores = np.array([[90.0, 50.0], [80.0, NAN], [80.0, 60.0], [10.0, 40.0]])
    assert borda(scores).tolist() == [1, 3, 2, 4]
    assert borda(np.array([[1.0], [1.0], [0.0]])).tolist() == [1, 1, 3]


def test_task_means_are_over_the_cells_that_there_are() -> None:
    values = np.array([[1.0, 3.0, 5.0], [1.0, NAN, NAN]])
    means = task_means(values, np.array([0, 0, 1]))
    assert means[0].tolist() == [2.0, 5.0]
    assert means[1, 0] == 1.0
    assert np.isnan(means[1, 1])


@pytest.mark.skipif(find_spec("mteb") is None, reason="mteb comes with the extra 'mteb'")
@pytest.mark.parametrize("seed", range(5))
def test_borda_is_mtebs(seed: int) -> None:
    import polars as pl
    from mteb.benchmarks._create_table import _borda_rank_from_long, _get_borda_rank

    random = np.random.default_rng(seed)
    tasks = np.repeat(np.arange(6), 4)
    values = np.round(random.random((40, 24)), 1)  # rounded, so that there are ties
    values[random.random(values.shape) < 0.5] = NAN
    values[:, 0] = np.round(random.random(40), 1)  # every model has something
    rows = [
        {"model_name": f"{model:02}", "task_name": f"{tasks[cell]}", "score": values[model, cell]}
        for model, cell in np.argwhere(np.isfinite(values))
    ]
    long = _borda_rank_from_long(pl.DataFrame(rows), n_models=40).sort("model_name")
    means = task_means(values, tasks)
    assert borda(means).tolist() == long["Rank (Borda)"].to_list()
    whole = np.nan_to_num(means)
    wide = pl.DataFrame({f"{task}": column for task, column in enumerate(whole.T)})
    assert borda(whole).tolist() == wide.select(_get_borda_rank(list(wide.columns))).to_series().to_list()


# --- Simulated models whose order is known ------------------------------------------------------------------

SKILLS = np.array([0.0, 0.3, 0.5, 0.9, 1.0, 1.6])
WORLDS = {"five tasks": (5, 10, 0.5, 0.5), "twelve tasks": (12, 8, 0.6, 0.4), "one task": (1, 60, 0.0, 1.0)}
"""Tasks, languages of each, and how far a model's skill differs between tasks, and between languages of a task."""


def world(random: np.random.Generator, tasks: int, languages: int, between: float, within: float) -> Arrays:
    of_task = random.normal(0, between, (len(SKILLS), tasks, 1))
    return (SKILLS[:, None, None] + of_task + random.normal(0, within, (len(SKILLS), tasks, languages))).reshape(
        len(SKILLS), -1
    )


def true_win_rates(between: float, within: float) -> Arrays:
    """The chance that a model beats another one in a cell: their difference is normal."""
    gaps = SKILLS[:, None] - SKILLS
    chances = norm.cdf(gaps / np.sqrt(2 * (between**2 + within**2)))
    return np.asarray((chances.sum(axis=1) - 0.5) / (len(SKILLS) - 1))


def simulate(name: str, times: int = 250) -> tuple[float, float]:
    """Returns how often intervals hold the true win rate, and how often all rank intervals hold the true rank."""
    tasks, languages, *spreads = WORLDS[name]
    random = np.random.default_rng(7)
    truth = true_win_rates(*spreads)
    ranks = np.argsort(np.argsort(-SKILLS)) + 1
    held, ranked = [], []
    for _ in range(times):
        made: Order = order(
            world(random, tasks, languages, *spreads), np.repeat(range(tasks), languages).astype(str)
        )
        places = [place for place in made.places if place]
        held += [low <= rate <= high for (low, high), rate in zip((x.ci95 for x in places), truth, strict=True)]
        ranked.append(
            all(x.standing.best <= rank <= x.standing.worst for x, rank in zip(places, ranks, strict=True))
        )
    return float(np.mean(held)), float(np.mean(ranked))


@pytest.mark.slow
@pytest.mark.parametrize("name", WORLDS)
def test_intervals_hold_the_truth(name: str) -> None:
    held, ranked = simulate(name)
    assert 0.93 <= held <= 0.97
    assert ranked >= 0.95


def test_without_the_correction_they_would_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overall, "_correction", lambda members, drawn: 1.0)
    held, _ = simulate("five tasks", times=60)
    assert held < 0.9


def test_models_with_few_cells_have_no_place() -> None:
    random = np.random.default_rng(1)
    values = world(random, 1, 60, 0.0, 1.0)
    values[2, 4:] = NAN
    made = order(values, ["a"] * 60)
    assert made.places[2] is None
    assert (made.cells, made.drawn) == (60, "languages")
    assert sum(place is not None for place in made.places) == 5
    assert order(values[:1], ["a"] * 60).places == (None,)


def test_equal_models_are_tied() -> None:
    random = np.random.default_rng(1)
    values = random.normal(size=(4, 60))
    values[0] += 5
    places = order(values, ["a"] * 60).places
    standings = [(x.standing.best, x.standing.worst, x.standing.group) for x in places if x]
    assert standings == [(1, 1, 1), (2, 4, 2), (2, 4, 2), (2, 4, 2)]
