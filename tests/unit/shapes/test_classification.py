"""Classification: metrics against scikit-learn, ties, label names, and the intervals of random models."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from xrete.check.certificates import theory_of
from xrete.shapes.classification import ORDINAL, SHAPE, Labelled, accuracy, macro_f1, mean_absolute_error
from xrete.shapes.multilabel import SHAPE as MULTI
from xrete.shapes.multilabel import MultiLabelled, mean_r_precision, r_precisions

NLI = ("entailment", "neutral", "contradiction")
STARS = ("1", "2", "3", "4", "5")
ROWS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=60)


@given(ROWS)
def test_metrics_are_those_of_scikit_learn(rows: list[tuple[int, int]]) -> None:
    gold, said = np.array(rows).T
    assert accuracy(gold, said) == pytest.approx(sklearn.metrics.accuracy_score(gold, said), abs=1e-12)
    f1 = sklearn.metrics.f1_score(gold, said, average="macro")
    assert macro_f1(gold, said) == pytest.approx(f1, abs=1e-12)
    mae = sklearn.metrics.mean_absolute_error(gold, said)
    assert mean_absolute_error(gold, said) == pytest.approx(mae, abs=1e-12)


def bools(seed: int, items: int = 40, labels: int = 9, share: float = 0.3) -> NDArray[np.bool_]:
    return np.random.default_rng(seed).random((items, labels)) < share


def multi(gold: NDArray[np.bool_], name: str = "text") -> MultiLabelled:
    classes = tuple(f"label {column}" for column in range(gold.shape[1]))
    labels = [[classes[column] for column in np.flatnonzero(row)] for row in gold]
    return MultiLabelled(first=[f"{name} {row}" for row in range(len(gold))], labels=labels, classes=classes)


@pytest.mark.parametrize("seed", range(5))
def test_multi_label_metrics_are_those_of_scikit_learn(seed: int) -> None:
    gold = bools(seed)
    scores = np.random.default_rng(seed + 100).standard_normal(gold.shape)
    items = MULTI.items(multi(gold), scores)
    found = {name: metric.statistic(items) / 100 for name, metric in MULTI.metrics.items()}
    said = scores > 0
    assert found["subset_accuracy"] == pytest.approx(sklearn.metrics.accuracy_score(gold, said))
    assert found["micro_f1"] == pytest.approx(sklearn.metrics.f1_score(gold, said, average="micro"))
    assert found["label_accuracy"] == pytest.approx(1 - sklearn.metrics.hamming_loss(gold, said))


def reference_r_precision(gold: NDArray[np.bool_], scores: NDArray[np.float64]) -> float:
    """The mean R-precision of `multi_eurlex/utils/retrieval_metrics.py`, in its own steps, with a stable sort."""
    found = []
    for y_true, y_score in zip(gold.astype(int), scores, strict=True):
        n_pos = np.sum(y_true == 1)
        if n_pos:
            order = np.argsort(y_score, kind="stable")[::-1]
            found.append(float(np.sum(np.take(y_true, order[:n_pos]) == 1)) / n_pos)
    return float(np.mean(found))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("ties", [False, True])
def test_r_precision_is_that_of_the_reference(seed: int, ties: bool) -> None:
    gold = bools(seed, share=0.15)
    scores = np.random.default_rng(seed + 100).standard_normal(gold.shape)
    scores = scores.round() if ties else scores
    assert not gold.any(axis=1).all(), "some items should have no label"
    assert mean_r_precision(gold, scores) == pytest.approx(reference_r_precision(gold, scores))
    items = MULTI.items(multi(gold), scores)
    assert MULTI.metrics["r_precision"].statistic(items) == pytest.approx(100 * mean_r_precision(gold, scores))


def test_r_precision_by_hand() -> None:
    gold = np.array([[1, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 0]], dtype=bool)
    scores = np.array([[0.9, 0.8, 0.1, 0.2], [0.5, 0.5, 0.5, 0.1], [1.0, 2.0, 3.0, 4.0]])
    # Two labels, one of them among the best two; then a tie of three, which the last of them wins; then none.
    np.testing.assert_allclose(r_precisions(gold, scores), [0.5, 0.0, 0.0])
    assert mean_r_precision(gold, scores) == 0.25
    gold[1] = [False, False, True, False]
    assert mean_r_precision(gold, scores) == 0.75


def labelled(labels: list[str], classes: tuple[str, ...] = NLI, name: str = "text") -> Labelled:
    texts = [f"{name} {row}" for row in range(len(labels))]
    return Labelled(first=texts, second=[f"other {x}" for x in texts], labels=labels, classes=classes)


def test_a_tie_goes_to_the_first_class_and_the_lower_star() -> None:
    items = SHAPE.items(labelled(["neutral", "entailment"]), np.array([[0.0, 0, 0], [-1, 2, 2]]))
    assert list(items["prediction"]) == ["entailment", "neutral"]
    stars = ORDINAL.items(labelled(["5", "1"], STARS), np.array([[0.0, 1, 0, 1, 0], [0, 0, 0, 0, 0]]))
    assert list(stars["prediction"]) == [2, 1]
    assert list(stars["gold"]) == [5, 1]
    assert ORDINAL.metrics["mae"].statistic(stars) == 1.5
    assert ORDINAL.metrics["mae_x100"].statistic(stars) == 150
    assert ORDINAL.metrics["accuracy"].statistic(stars) == 50


def test_error_in_stars_is_no_metric_of_names() -> None:
    assert list(SHAPE.metrics) == ["accuracy", "macro_f1"]
    assert list(ORDINAL.metrics) == ["mae", "mae_x100", "accuracy"]
    assert list(MULTI.metrics) == ["r_precision", "subset_accuracy", "micro_f1", "label_accuracy"]


def test_a_constant_three_is_120_and_random_stars_are_160() -> None:
    gold = np.repeat([1, 2, 3, 4, 5], 100)
    assert 100 * mean_absolute_error(gold, np.full(500, 3)) == pytest.approx(120)
    everything = np.array([[x, y] for x in range(1, 6) for y in range(1, 6)])
    assert 100 * mean_absolute_error(everything[:, 0], everything[:, 1]) == pytest.approx(160)


def test_items_hold_names_so_that_the_order_of_classes_is_nobodys_business() -> None:
    scores = np.random.default_rng(0).standard_normal((30, 3))
    labels = [NLI[row % 3] for row in range(30)]
    here = SHAPE.items(labelled(labels), scores)
    there = SHAPE.items(labelled(labels, NLI[::-1]), scores[:, ::-1])
    for column in ("gold", "prediction"):
        assert list(here[column]) == list(there[column])
    assert list(SHAPE.content(labelled(labels))) == list(SHAPE.content(labelled(labels, NLI[::-1])))


def test_unknown_labels_are_refused_by_name() -> None:
    with pytest.raises(
        ValueError, match="label of item 2 is 'contradictory', which is none of entailment, neutral"
    ):
        labelled(["neutral", "contradictory"])
    with pytest.raises(ValueError, match="a label of item 1 is 'x', which is none of the 2 classes"):
        MultiLabelled(first=["a"], labels=[["y", "x"]], classes=("y", "z"))


def test_metrics_survive_the_store() -> None:
    """Items come back from parquet as objects."""
    labels = ["neutral", "entailment", "neutral", "contradiction"]
    items = SHAPE.items(labelled(labels), np.eye(3)[[1, 1, 1, 2]])
    stored = {name: column.astype(object) for name, column in items.items()}
    for metric in SHAPE.metrics.values():
        assert metric.statistic(stored) == metric.statistic(items)
    assert SHAPE.metrics["accuracy"].statistic(stored) == 75


def theory(shape: Any, data: object, training: object, name: str) -> tuple[float, float]:
    (found,) = (x for x in theory_of(shape).probe(shape, data, [training]) if x.name == name)
    return found.low, found.high


def test_the_interval_of_random_classes_is_binomial() -> None:
    data, training = (labelled([NLI[row % 3] for row in range(90)], name=name) for name in ("scored", "trained"))
    low, high = theory(SHAPE, data, training, "random")
    bounds = scipy.stats.binom.interval(0.999, 90, 1 / 3)
    assert (round(low * 0.9), round(high * 0.9)) == bounds
    assert theory(SHAPE, data, training, "constant") == pytest.approx((100 / 3, 100 / 3))
    assert theory(SHAPE, data, training, "shuffled-oracle") == (0, 0)


def test_the_interval_of_random_stars_holds_what_is_drawn() -> None:
    data, training = (labelled([STARS[x % 5] for x in range(100)], STARS, name) for name in ("scored", "trained"))
    low, high = theory(ORDINAL, data, training, "random")
    gold = ORDINAL.labels(data)
    draws = np.random.default_rng(5).integers(0, 5, (4000, 100))
    errors = np.abs(draws - gold).mean(axis=1)
    assert np.mean((errors >= low) & (errors <= high)) > 0.997
    assert np.mean((errors > low + 0.1) & (errors < high - 0.1)) < 0.999
    assert theory(ORDINAL, data, training, "constant") == (2, 2)  # all are equally frequent: one star
    assert theory(ORDINAL, data, training, "shuffled-oracle") == pytest.approx(
        (1.6, 1.6)
    )  # 1, 1, 1, 1, 4 stars off


def test_the_interval_of_random_label_sets_holds_what_is_drawn() -> None:
    gold = bools(3, items=60, labels=8)
    gold[~gold.any(axis=1), 0] = True
    low, high = theory(MULTI, multi(gold), multi(gold, "trained"), "random")
    scores = np.random.default_rng(5).random((3000, *gold.shape))
    found = np.array([100 * mean_r_precision(gold, chance) for chance in scores])
    assert np.mean((found >= low) & (found <= high)) > 0.996
    assert found.mean() == pytest.approx(100 * gold.sum(axis=1).mean() / 8, abs=0.5)


def test_no_certificate_but_the_constant_where_texts_cannot_tell() -> None:
    data = Labelled(first=["same", "same"], labels=["neutral", "entailment"], classes=NLI)
    assert [x.name for x in theory_of(SHAPE).probe(SHAPE, data, [data])] == ["constant"]
