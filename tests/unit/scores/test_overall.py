"""The overall order: win rates and Borda redone by hand and by MTEB's code, and intervals that hold the truth."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import norm

from xrete.scores import overall
from xrete.scores.overall import borda, order, task_means, win_rates

NAN = float("nan")
Arrays = NDArray[np.float64]


def test_win_rates_by_hand() -> None:
    values = np.array([[90.0, 80.0, 70.0, NAN], [80.0, 85.0, 70.0, 50.0], [NAN, NAN, NAN, 60.0], [NAN] * 4])
    first = 1.5 / 3  # of the second: a win, a loss, a draw; it meets no other
    second = (1.5 / 3 + 0 / 1) / 2
    assert win_rates(values)[:3] == pytest.approx([first, second, 1.0])
    assert np.isnan(win_rates(values)[3])


@pytest.mark.parametrize("seed", range(5))
def test_win_rates_are_those_of_a_plain_loop(seed: int) -> None:
    """Twelve models with ties, of which several have the same cells and some have none in common."""
    random = np.random.default_rng(seed)
    values = random.integers(0, 4, (12, 9)).astype(float)
    values[~random.permutation(np.repeat(random.random((4, 9)) < 0.4, 3, axis=0))] = NAN
    weights = np.concatenate([np.ones((1, 9)), random.integers(0, 3, (3, 9))])
    for counts, rates in zip(weights, overall.weighted_win_rates(values, weights).T, strict=True):
        for model, (own, rate) in enumerate(zip(values, rates, strict=True)):
            shares = []
            for other in np.delete(values, model, axis=0):
                common = np.isfinite(own) & np.isfinite(other) & (counts > 0)
                if common.any():
                    wins = (own > other) + 0.5 * (own == other)
                    shares.append((wins * counts)[common].sum() / counts[common].sum())
            assert rate == pytest.approx(np.mean(shares) if shares else NAN, rel=1e-6, nan_ok=True)


def test_borda_by_hand() -> None:
    """Four less the rank: 3, 1.5, 1.5, 0 on the first task; 2, none, 3, 1 on the second, one unknown."""
    scores = np.array([[90.0, 50.0], [80.0, NAN], [80.0, 60.0], [10.0, 40.0]])
    assert borda(scores).tolist() == [1, 3, 2, 4]
    assert borda(np.array([[1.0], [1.0], [0.0]])).tolist() == [1, 1, 3]


def test_task_means_are_over_all_cells() -> None:
    values = np.array([[1.0, 3.0, 5.0], [1.0, NAN, 7.0]])
    means = task_means(values, np.array([0, 0, 1]))
    assert means.ravel().tolist() == pytest.approx([2.0, 5.0, NAN, 7.0], nan_ok=True)


SUBSETS = {"Tatoeba": ["deu-eng", "swh-eng", "fra-eng"], "STS17": ["en-en", "es-es"], "BUCC.v2": ["de-en", "fr-en"]}


@pytest.mark.skipif(find_spec("mteb") is None, reason="mteb comes with the extra 'mteb'")
@pytest.mark.parametrize("seed", range(3))
def test_borda_is_mtebs(seed: int) -> None:
    """Thirty models with ties on three tasks, ten of which lack a language, ranked by MTEB's `Benchmark`."""
    import mteb

    random = np.random.default_rng(seed)
    tasks = [mteb.get_task(name, hf_subsets=subsets) for name, subsets in SUBSETS.items()]
    members = np.repeat(range(3), [len(subsets) for subsets in SUBSETS.values()])
    values = random.integers(0, 9, (30, len(members))) / 8  # whole eighths have exact means, so that ties are ties
    values[:10, 0] = NAN
    results = [
        mteb.results.ModelResult(
            model_name=f"a/{model}",
            model_revision="r",
            task_results=[result(name, values[model, members == row]) for row, name in enumerate(SUBSETS)],
        )
        for model in range(30)
    ]
    ranked = mteb.Benchmark(name="three", tasks=tasks).get_score(mteb.BenchmarkResults(model_results=results))
    assert borda(task_means(values, members)).tolist() == [ranked[f"a/{model}"]["Rank"] for model in range(30)]


def result(name: str, values: Arrays) -> Any:
    import mteb

    rows = [
        {"hf_subset": subset, "main_score": float(value), "languages": ["eng-Latn"]}
        for subset, value in zip(SUBSETS[name], values, strict=True)
        if np.isfinite(value)
    ]
    content = {"task_name": name, "mteb_version": "2.0.0", "dataset_revision": "d", "evaluation_time": 1.0}
    return mteb.TaskResult.from_dict(content | {"scores": {"test": rows}})


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
        made = order(
            world(random, tasks, languages, *spreads), [f"{x // languages}" for x in range(tasks * languages)]
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
    monkeypatch.setattr(overall, "correction_of", lambda members, drawn: 1.0)
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
