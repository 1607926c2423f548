"""Intervals: the distribution of the plain bootstrap, and nothing that depends on the order of work."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats as scipy_stats

from xrete.shapes import Items, Metric
from xrete.stats import generator, interval, mean_interval, replicates

Floats = NDArray[np.float64]

QUANTILES = np.array([0.01, 0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975, 0.99])
RESAMPLES = 20_000


def column(items: Items) -> Floats:
    return np.asarray(items["x"], dtype=np.float64)


def correlation(items: Items) -> float:
    return float(np.corrcoef(items["x"], items["y"])[0, 1])


MEAN = Metric.mean_of(column)
DATA = {
    "accuracy": 100.0 * (np.random.default_rng(1).random(150) < 0.83),
    "rare": 100.0 * (np.arange(150) < 3),
    "all right": np.full(150, 100.0),
    "levels": np.random.default_rng(2).integers(0, 4, 150).astype(float),
    "continuous": np.random.default_rng(3).standard_normal(150),
    "one item": np.array([50.0]),
}


@pytest.mark.parametrize("name", DATA)
def test_replicates_of_a_mean_are_distributed_as_those_of_the_plain_bootstrap(name: str) -> None:
    """Drawing counts of distinct values is drawing rows: theory and scipy agree."""
    values = DATA[name]
    draws = replicates(MEAN, {"x": values}, generator(0, name), RESAMPLES)
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
    draws = [replicates(MEAN, {"x": np.array(x)}, generator(7, "deu"), 40) for x in (values, moved)]
    assert (draws[0] == draws[1]).all()


@given(values=st.lists(st.floats(-100, 100), min_size=1, max_size=30), seed=st.integers(0, 2**32))
def test_replicates_lie_within_the_data(values: list[float], seed: int) -> None:
    draws = replicates(MEAN, {"x": np.array(values)}, generator(seed, "deu"), 50)
    assert min(values) - 1e-9 <= draws.min() <= draws.max() <= max(values) + 1e-9


def test_a_language_draws_the_same_whatever_is_drawn_before_it() -> None:
    items = {"x": DATA["continuous"]}
    alone = replicates(MEAN, items, generator(42, "swh"))
    replicates(MEAN, items, generator(42, "deu"))
    assert (replicates(MEAN, items, generator(42, "swh")) == alone).all()
    for other in (generator(42, "deu"), generator(43, "swh")):
        assert (replicates(MEAN, items, other) != alone).any()


def test_a_metric_that_is_no_mean_resamples_whole_rows() -> None:
    draw = np.random.default_rng(5)
    x = draw.standard_normal(80)
    y = x + draw.standard_normal(80)
    draws = replicates(Metric(correlation), {"x": x, "y": y}, generator(0, "de-en"), 2000)
    naive = scipy_stats.bootstrap(
        (x, y),
        lambda x, y: float(np.corrcoef(x, y)[0, 1]),
        n_resamples=2000,
        paired=True,
        vectorized=False,
        rng=np.random.default_rng(6),
    ).bootstrap_distribution
    assert np.abs(np.quantile(draws, QUANTILES[1:-1]) - np.quantile(naive, QUANTILES[1:-1])).max() < 0.03
    again = replicates(Metric(correlation), {"x": x, "y": y}, generator(0, "de-en"), 2000)
    assert (draws == again).all()


def test_both_ways_agree_on_a_mean() -> None:
    """The general path and the short one, on the same metric."""
    items = {"x": DATA["accuracy"]}
    short = interval(replicates(MEAN, items, generator(0, "a"), RESAMPLES))
    general = interval(replicates(Metric(MEAN.statistic), items, generator(0, "b"), RESAMPLES))
    assert short == pytest.approx(general, abs=100 / 150)


def test_an_interval_covers_the_truth_as_often_as_it_says() -> None:
    """Of 400 samples of 300 answers of a model that is right in 70 %, about 95 % have 70 in their interval."""
    draw = np.random.default_rng(11)
    covered = 0
    for number in range(400):
        items = {"x": 100.0 * (draw.random(300) < 0.7)}
        low, high = interval(replicates(MEAN, items, generator(number, "deu"), 500))
        covered += low <= 70 <= high
    assert 0.92 <= covered / 400 <= 0.98


def test_the_interval_of_a_macro_mean_is_narrower_by_theory() -> None:
    """Of k independent strata the variance of the mean is that of their sum, divided by k²."""
    strata = [100.0 * (np.random.default_rng(i).random(200) < 0.5 + i / 20) for i in range(9)]
    draws = [replicates(MEAN, {"x": x}, generator(0, str(i)), RESAMPLES) for i, x in enumerate(strata)]
    error = np.sqrt(sum(x.var() / len(x) for x in strata)) / len(strata)
    center = float(np.mean([x.mean() for x in strata]))
    low, high = mean_interval(iter(draws))
    assert (low, high) == pytest.approx((center - 1.96 * error, center + 1.96 * error), abs=0.1 * error)
    assert mean_interval(draws[:1]) == interval(draws[0])
