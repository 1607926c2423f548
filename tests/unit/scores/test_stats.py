"""Intervals and tests: the distributions of the plain procedures, coverage as promised, and others' results."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats as scipy_stats

from xrete.scores.resampling import (
    across,
    differences_by_chance,
    generator,
    holm,
    interval,
    p_value,
    replicates,
    strata,
)
from xrete.shapes.metric import Items, Metric, join_runs, runs

Floats = NDArray[np.float64]

QUANTILES = np.array([0.01, 0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975, 0.99])
RESAMPLES = 20_000


def column(items: Items) -> Floats:
    return np.asarray(items["x"], dtype=np.float64)


def correlation(items: Items) -> float:
    return float(np.corrcoef(items["x"], items["y"])[0, 1])


MEAN = Metric.mean_of(column)
SLOW_MEAN = Metric(MEAN.statistic)
"""The same number by the general way, which knows nothing of means."""

DATA = {
    "accuracy": 100.0 * (np.random.default_rng(1).random(150) < 0.83),
    "rare": 100.0 * (np.arange(150) < 3),
    "all right": np.full(150, 100.0),
    "levels": np.random.default_rng(2).integers(0, 4, 150).astype(float),
    "continuous": np.random.default_rng(3).standard_normal(150),
    "one item": np.array([50.0]),
}


def one(metric: Metric, items: Items, random: np.random.Generator, resamples: int = 1000) -> Floats:
    """Replicates of one model."""
    (draws,) = replicates(metric, [items], random, resamples)
    return np.asarray(draws)


@pytest.mark.parametrize("name", DATA)
def test_replicates_of_a_mean_are_distributed_as_those_of_the_plain_bootstrap(name: str) -> None:
    """Drawing counts of distinct values is drawing rows: theory and scipy agree."""
    values = DATA[name]
    draws = one(MEAN, {"x": values}, generator(0, name), RESAMPLES)
    assert draws.shape == (RESAMPLES,)
    error = values.std() / np.sqrt(len(values))  # theory: the variance of a resample's mean is the population's / n
    assert draws.mean() == pytest.approx(values.mean(), abs=5 * error / np.sqrt(RESAMPLES) + 1e-12)
    assert draws.std() == pytest.approx(error, rel=0.03, abs=1e-12)
    if error:
        naive = scipy_stats.bootstrap((values,), np.mean, n_resamples=RESAMPLES, rng=np.random.default_rng(9))
        step = 100 / len(values) if name in ("accuracy", "rare") else 0.0  # quantiles of a lattice jump by a step
        expected = np.quantile(naive.bootstrap_distribution, QUANTILES)
        assert np.abs(np.quantile(draws, QUANTILES) - expected).max() <= max(step, 0.08 * error) + 1e-9


@given(values=st.lists(st.floats(-100, 100), min_size=1, max_size=30), data=st.data())
def test_the_order_of_items_does_not_matter_for_a_mean(values: list[float], data: st.DataObject) -> None:
    moved = data.draw(st.permutations(values))
    draws = [one(MEAN, {"x": np.array(x)}, generator(7, "deu"), 40) for x in (values, moved)]
    assert (draws[0] == draws[1]).all()


@given(values=st.lists(st.floats(-100, 100), min_size=1, max_size=30), seed=st.integers(0, 2**32))
def test_replicates_lie_within_the_data(values: list[float], seed: int) -> None:
    draws = one(MEAN, {"x": np.array(values)}, generator(seed, "deu"), 50)
    assert min(values) - 1e-9 <= draws.min() <= draws.max() <= max(values) + 1e-9


def test_a_language_draws_the_same_whatever_is_drawn_before_it() -> None:
    items = {"x": DATA["continuous"]}
    alone = one(MEAN, items, generator(42, "swh"))
    one(MEAN, items, generator(42, "deu"))
    assert (one(MEAN, items, generator(42, "swh")) == alone).all()
    for other in (generator(42, "deu"), generator(43, "swh")):
        assert (one(MEAN, items, other) != alone).any()


def test_a_metric_that_is_no_mean_resamples_whole_rows() -> None:
    draw = np.random.default_rng(5)
    x = draw.standard_normal(80)
    y = x + draw.standard_normal(80)
    draws = one(Metric(correlation), {"x": x, "y": y}, generator(0, "de-en"), 2000)
    naive = scipy_stats.bootstrap(
        (x, y),
        lambda x, y: float(np.corrcoef(x, y)[0, 1]),
        n_resamples=2000,
        paired=True,
        vectorized=False,
        rng=np.random.default_rng(6),
    ).bootstrap_distribution
    assert np.abs(np.quantile(draws, QUANTILES[1:-1]) - np.quantile(naive, QUANTILES[1:-1])).max() < 0.03
    again = one(Metric(correlation), {"x": x, "y": y}, generator(0, "de-en"), 2000)
    assert (draws == again).all()


def test_both_ways_agree_on_a_mean() -> None:
    """The general path and the short one, on the same metric."""
    items = {"x": DATA["accuracy"]}
    short = interval(one(MEAN, items, generator(0, "a"), RESAMPLES))
    general = interval(one(Metric(MEAN.statistic), items, generator(0, "b"), RESAMPLES))
    assert short == pytest.approx(general, abs=100 / 150)


def test_replicates_of_two_models_are_of_the_same_items() -> None:
    """The difference of two models varies as that of single items does, not as two models apart would."""
    draw = np.random.default_rng(4)
    first = draw.standard_normal(200)
    second = first + 0.1 * draw.standard_normal(200)
    error = (first - second).std() / np.sqrt(200)
    for metric, resamples, tolerance in ((MEAN, RESAMPLES, 0.03), (SLOW_MEAN, 2000, 0.1)):
        drawn = replicates(metric, [{"x": first}, {"x": second}], generator(0, "deu"), resamples)
        assert (drawn[0] - drawn[1]).std() == pytest.approx(error, rel=tolerance)
        twice = replicates(metric, [{"x": first}, {"x": first}], generator(0, "deu"), 50)
        assert (twice[0] == twice[1]).all()


def test_the_interval_of_a_macro_mean_is_narrower_by_theory() -> None:
    """Of k independent strata the variance of the mean is that of their sum, divided by k²."""
    languages = [100.0 * (np.random.default_rng(i).random(200) < 0.5 + i / 20) for i in range(9)]
    draws = [one(MEAN, {"x": x}, generator(0, str(i)), RESAMPLES) for i, x in enumerate(languages)]
    error = np.sqrt(sum(x.var() / len(x) for x in languages)) / len(languages)
    center = float(np.mean([x.mean() for x in languages]))
    low, high = interval(np.mean(draws, axis=0))
    assert (low, high) == pytest.approx((center - 1.96 * error, center + 1.96 * error), abs=0.1 * error)


def test_languages_of_the_same_items_are_drawn_together() -> None:
    """Their stratum is the mean of each item over languages: theory says what its variance is."""
    draw = np.random.default_rng(8)
    hard = draw.standard_normal(200)
    languages = {str(i): {"x": hard + draw.standard_normal(200)} for i in range(9)}
    metric, items = across(MEAN, languages)
    sentences = np.mean([x["x"] for x in languages.values()], axis=0)
    assert metric.statistic(items) == pytest.approx(sentences.mean())
    drawn = one(metric, items, generator(0, ""), RESAMPLES)
    assert drawn.std() == pytest.approx(sentences.std() / np.sqrt(200), rel=0.03)
    general, _ = across(SLOW_MEAN, languages)
    assert general.per_item is None
    assert one(general, items, generator(0, ""), 2000).std() == pytest.approx(drawn.std(), rel=0.1)


def test_a_column_that_a_model_lacks_is_nothing_to_a_metric_without_it() -> None:
    """Records from before a shape had more columns are ranked beside new ones."""
    old = {code: {"x": np.arange(6.0)} for code in "ab"}
    new = {code: {**columns, "y": np.zeros(6)} for code, columns in old.items()}
    ((metric, items),) = strata(MEAN, [new, old], parallel=True).values()
    assert metric.per_item is not None
    assert [metric.per_item(columns).tolist() for columns in items] == [list(range(6))] * 2


def test_strata_are_languages_or_all_of_them_together() -> None:
    models = [{x: {"x": DATA[name]} for x in ("deu", "swh")} for name in ("accuracy", "rare")]
    apart = strata(MEAN, models, parallel=False)
    assert list(apart) == ["deu", "swh"]
    assert [items["x"].mean() for items in apart["deu"][1]] == [x.mean() for x in (DATA["accuracy"], DATA["rare"])]
    ((metric, together),) = strata(MEAN, models, parallel=True).values()
    assert [metric.statistic(x) for x in together] == pytest.approx([DATA["accuracy"].mean(), DATA["rare"].mean()])


def right(random: np.random.Generator, chances: Floats | float, shape: tuple[int, ...]) -> Floats:
    """Outcomes of a model, in percent, that is right with the given chances."""
    return np.asarray(100.0 * (random.random(shape) < chances))


def one_language(random: np.random.Generator) -> Floats:
    return one(MEAN, {"x": right(random, 0.7, (300,))}, random)


def a_macro_mean(random: np.random.Generator) -> Floats:
    chances = (0.5, 0.6, 0.7, 0.8, 0.9)
    return np.asarray(np.mean([one(MEAN, {"x": right(random, p, (100,))}, random) for p in chances], axis=0))


def the_same_sentences(random: np.random.Generator) -> dict[str, Items]:
    """Half of all sentences are hard in every one of 12 languages."""
    chances = np.where(random.random(100) < 0.5, 0.95, 0.45)
    return {str(i): {"x": right(random, chances, (100,))} for i in range(12)}


def a_parallel_macro_mean(random: np.random.Generator) -> Floats:
    return one(*across(MEAN, the_same_sentences(random)), random)


def the_same_sentences_as_if_they_were_not(random: np.random.Generator) -> Floats:
    return np.asarray(np.mean([one(MEAN, x, random) for x in the_same_sentences(random).values()], axis=0))


def two_models(random: np.random.Generator) -> Floats:
    """The second is right where the first is, or by luck."""
    first = right(random, 0.6, (300,))
    second = np.maximum(first, right(random, 0.25, (300,)))
    drawn = replicates(MEAN, [{"x": second}, {"x": first}], random)
    return np.asarray(drawn[0] - drawn[1])


def a_share(random: np.random.Generator) -> Floats:
    """Hits among labels, of which items have one to three: no mean over items."""
    labels = random.integers(1, 4, 200)
    metric = Metric(lambda items: 100 * float(items["hits"].sum() / items["labels"].sum()))
    return one(metric, {"labels": labels, "hits": random.binomial(labels, 0.7)}, random, 120)


def coverage(draw: Callable[[np.random.Generator], Floats], truth: float, samples: int) -> float:
    random = np.random.default_rng(11)
    intervals = (interval(draw(random)) for _ in range(samples))
    return sum(low <= truth <= high for low, high in intervals) / samples


@pytest.mark.parametrize(
    ("draw", "truth", "samples"),
    [
        (one_language, 70, 2000),
        (a_macro_mean, 70, 1000),
        (a_parallel_macro_mean, 70, 1000),
        (two_models, 10, 1000),
        (a_share, 70, 400),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_an_interval_covers_the_truth_as_often_as_it_says(
    draw: Callable[[np.random.Generator], Floats], truth: float, samples: int
) -> None:
    """Of many samples of a model whose true score is known, 93 to 97 % have it in their 95 % interval."""
    assert 0.93 <= coverage(draw, truth, samples) <= 0.97


def test_sentences_that_languages_share_are_no_independent_sentences() -> None:
    """What the parallel method is for: languages drawn apart give an interval that misses far too often."""
    assert coverage(the_same_sentences_as_if_they_were_not, 70, 60) < 0.75


def test_a_permutation_test_finds_nothing_as_often_as_it_says() -> None:
    """Of many pairs of equally good models, at most 5 % have p below 0.05, and hardly fewer."""
    random = np.random.default_rng(12)
    found = 0
    for _ in range(2000):
        hard = random.random(200)
        first, second = ({"x": right(random, hard, (200,))} for _ in range(2))
        by_chance = differences_by_chance(MEAN, first, second, random, 999)
        found += p_value(first["x"].mean() - second["x"].mean(), by_chance) < 0.05
    assert 0.03 <= found / 2000 <= 0.055


PAIRS = {
    "right or wrong": (right(np.random.default_rng(1), 0.7, (12,)), right(np.random.default_rng(2), 0.3, (12,))),
    "levels": (np.array([3.0, 1, 4, 1, 5, 9, 2, 6]), np.array([2.0, 7, 1, 8, 2, 8, 1, 8])),
    "continuous": (
        np.random.default_rng(3).standard_normal(11) + 0.7,
        np.random.default_rng(4).standard_normal(11),
    ),
}


@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize("metric", [MEAN, SLOW_MEAN], ids=["short", "general"])
def test_a_permutation_test_is_that_of_scipy(pair: str, metric: Metric) -> None:
    """scipy goes through every way to swap; drawing them comes to that but for chance."""
    first, second = PAIRS[pair]
    exact = scipy_stats.permutation_test(
        (first, second),
        lambda x, y, axis: np.mean(x - y, axis=axis),
        permutation_type="samples",
        n_resamples=2**12,  # as many as there are ways to swap, so that it draws none
    )
    by_chance = differences_by_chance(metric, {"x": first}, {"x": second}, generator(0, "deu"), 9_999)
    found = p_value(first.mean() - second.mean(), by_chance)
    assert found == pytest.approx(exact.pvalue, abs=5 * np.sqrt(exact.pvalue * (1 - exact.pvalue) / 9_999))
    reference = np.quantile(exact.null_distribution, QUANTILES)
    step = np.abs(np.diff(np.unique(exact.null_distribution))).max()
    assert np.abs(np.quantile(by_chance, QUANTILES) - reference).max() <= step + 1e-9


def test_of_right_and_wrong_answers_it_is_the_sign_test() -> None:
    """The exact test of McNemar: of 28 items that only one model has right, how likely are 20 or more of one?"""
    first = np.repeat([100.0, 0.0, 100.0, 0.0], [20, 8, 300, 70])
    second = np.repeat([0.0, 100.0, 100.0, 0.0], [20, 8, 300, 70])
    by_chance = differences_by_chance(MEAN, {"x": first}, {"x": second}, generator(0, "deu"), 99_999)
    exact = scipy_stats.binomtest(20, 28).pvalue
    assert p_value(first.mean() - second.mean(), by_chance) == pytest.approx(exact, rel=0.1)


def test_a_p_value_is_never_zero_and_never_above_one() -> None:
    first, second = {"x": np.full(50, 100.0)}, {"x": np.zeros(50)}
    assert p_value(100, differences_by_chance(MEAN, first, second, generator(0, "deu"), 999)) == 1 / 1000
    assert p_value(0, differences_by_chance(MEAN, first, first, generator(0, "deu"), 999)) == 1


def test_holm_on_a_worked_example() -> None:
    """Sorted, .005 × 4, .01 × 3, .03 × 2 and .04 × 1, none smaller than the one before; as R's p.adjust has it."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == [1, 1]
    assert holm([]) == []


@given(p_values=st.lists(st.floats(1e-4, 1), min_size=1, max_size=12), level=st.floats(0.001, 0.999))
def test_holm_rejects_step_by_step(p_values: list[float], level: float) -> None:
    """By definition: the smallest p-values, as long as the k-th of n is at most level / (n - k)."""
    ordered = sorted(p_values)
    steps = enumerate(ordered)
    rejected = len(list(itertools.takewhile(lambda step: step[1] * (len(ordered) - step[0]) <= level, steps)))
    assert sum(p <= level for p in holm(p_values)) == rejected
    assert all(old <= new <= 1 for old, new in zip(p_values, holm(p_values), strict=True))


def trained(random: np.random.Generator, seeds: Sequence[int]) -> Items:
    """Outcomes of training runs, as `join_runs` keeps them."""
    return join_runs({seed: {"gold": np.arange(60), "x": right(random, 0.6, (60,))} for seed in seeds})


@pytest.mark.parametrize("metric", [MEAN, SLOW_MEAN], ids=["short", "general"])
def test_training_runs_on_the_same_items_are_drawn_together(metric: Metric) -> None:
    random = np.random.default_rng(3)
    languages = {code: trained(random, (1, 2, 3)) for code in ("de", "sw")}
    joined, items = across(metric, languages)
    assert joined.statistic(items) == pytest.approx(np.mean([metric.statistic(x) for x in languages.values()]))
    assert one(joined, items, generator(0, ""), 500).mean() == pytest.approx(joined.statistic(items), abs=1)


@pytest.mark.parametrize("metric", [MEAN, SLOW_MEAN], ids=["short", "general"])
def test_models_with_unequal_numbers_of_training_runs_are_compared(metric: Metric) -> None:
    """All runs of an item are swapped at once, as if their mean were its outcome: theory says the variance."""
    random = np.random.default_rng(4)
    first, second = trained(random, (1, 2, 3)), trained(random, (7, 9))
    drawn = differences_by_chance(metric, first, second, generator(0, ""), 4000)
    means = [np.mean([run["x"] for run in runs(side)], axis=0) for side in (first, second)]
    assert drawn.std() == pytest.approx(np.sqrt(((means[0] - means[1]) ** 2).sum()) / 60, rel=0.05)
