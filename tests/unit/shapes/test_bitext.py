"""Bitext retrieval: its metrics are those of brute force, and certified models score what theory says."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from xrete.check.certificates import theory_of
from xrete.dataset import Dataset
from xrete.shapes.bitext import SHAPE, Bitext
from xrete.shapes.metric import Items
from xrete.sources import Mini
from xrete.task import TaskCard


class OneLanguage:
    """A task whose only data is what it was made with."""

    card = TaskCard(
        name="one", title="one", shape="bitext", category="retrieval", metric="accuracy", languages=("deu",),
        splits=("test",), counts={}, licence="CC0 1.0", citation="our own", layout="nowhere",
    )  # fmt: skip

    def __init__(self, data: Bitext) -> None:
        self.data = data

    def files(self, language: str, split: str) -> Sequence[str]:
        return [language]

    def from_folder(self, folder: object, language: str, split: str) -> Bitext:
        return self.data

    def from_mini(self, mini: Mini, language: str, split: str) -> Bitext:
        return self.data


def bitext(n: int) -> Bitext:
    return Bitext([f"Satz {row}" for row in range(n)], [f"sentence {row}" for row in range(n)])


def score(data: Bitext, vectors: dict[str, NDArray[np.float32]]) -> tuple[Items, float, float]:
    """The items, and the accuracies of both directions."""
    dataset = Dataset(OneLanguage(data), Mini())
    ((language, items),) = SHAPE.zero_shot(dataset, lambda texts: np.stack([vectors[x] for x in texts]), ["deu"])
    assert language == "deu"
    found = {name: metric.statistic(items) for name, metric in SHAPE.metrics.items()}
    return items, found["accuracy"], found["accuracy_en2xx"]


@pytest.mark.parametrize("n", [2, 3, 4, 5, 7, 10, 31, 72, 104, 250, 600])
def test_certified_models_score_what_theory_says(n: int) -> None:
    data = bitext(n)
    dataset = Dataset(OneLanguage(data), Mini())
    names = []
    for certificate in theory_of(SHAPE).zero_shot(SHAPE, data):
        ((_, items),) = SHAPE.zero_shot(dataset, certificate.encode, ["deu"])
        for metric in (metric for name, metric in SHAPE.metrics.items() if name.startswith("accuracy")):
            assert certificate.low - 1e-9 <= metric.statistic(items) <= certificate.high + 1e-9, certificate.name
        names.append(certificate.name)
    assert names == ["constant", "random", "oracle", "shuffled-oracle"]


@given(n=st.integers(2, 60))
def test_the_exact_certificates_hold_at_any_size(n: int) -> None:
    data = bitext(n)
    dataset = Dataset(OneLanguage(data), Mini())
    for certificate in theory_of(SHAPE).zero_shot(SHAPE, data):
        if certificate.low == certificate.high:
            ((_, items),) = SHAPE.zero_shot(dataset, certificate.encode, ["deu"])
            assert SHAPE.metrics["accuracy"].statistic(items) == pytest.approx(certificate.low)


@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 30), noise=st.floats(0, 2))
def test_the_metrics_are_those_of_brute_force(seed: int, n: int, noise: float) -> None:
    draw = np.random.default_rng(seed)
    target = draw.standard_normal((n, 8))
    source = target + noise * draw.standard_normal((n, 8))
    sides = [(x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32) for x in (source, target)]
    data = bitext(n)
    items, forward, backward = score(
        data, dict(zip([*data.source, *data.target], np.concatenate(sides), strict=True))
    )
    cosines = sides[0].astype(np.float64) @ sides[1].T.astype(np.float64)
    assert forward == pytest.approx(100 * np.mean(cosines.argmax(axis=1) == np.arange(n)))
    assert backward == pytest.approx(100 * np.mean(cosines.argmax(axis=0) == np.arange(n)))
    assert items["xx2en"].tolist() == cosines.argmax(axis=1).tolist()
    assert items["en2xx"].tolist() == cosines.argmax(axis=0).tolist()


def test_the_two_directions_are_two_numbers() -> None:
    """Both sources are nearest to the first target; the first target is nearest to the second source."""
    data = bitext(2)
    vectors = {
        "Satz 0": [0.8, 0.6],
        "Satz 1": [1.0, 0.0],
        "sentence 0": [1.0, 0.0],
        "sentence 1": [-0.6, -0.8],
    }
    items, forward, backward = score(data, {text: np.array(x, np.float32) for text, x in vectors.items()})
    assert (items["xx2en"].tolist(), items["en2xx"].tolist()) == ([0, 0], [1, 1])
    assert (forward, backward) == (50.0, 50.0)
    data = bitext(3)
    rows = {"Satz 0": 0, "Satz 1": 0, "Satz 2": 2, "sentence 0": 0, "sentence 1": 1, "sentence 2": 2}
    table = np.array([[1, 0, 0], [0.8, 0.6, 0], [0, 0, 1]], np.float32)
    _, forward, backward = score(data, {text: table[row] for text, row in rows.items()})
    assert forward == pytest.approx(200 / 3)  # "Satz 1" finds "sentence 0"
    assert backward == pytest.approx(200 / 3)  # "sentence 1" finds "Satz 0", the first of two equals


def test_sides_of_unequal_length_are_no_bitext() -> None:
    with pytest.raises(ValueError, match="3 sentences on one side and 2 on the other"):
        Bitext(["a", "b", "c"], ["x", "y"])


def test_a_bitext_knows_its_size_its_head_and_its_content() -> None:
    data = bitext(5)
    assert (SHAPE.size(data), SHAPE.count_texts(data)) == (5, 10)
    assert SHAPE.take_first(data, 2) == Bitext(data.source[:2], data.target[:2])
    assert list(SHAPE.content(data)) == [*data.source, *data.target]
