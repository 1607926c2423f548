"""Multiple choice: ties, refusals, features, and theory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.stats

from xrete.check.certificates import theory_of
from xrete.protocols.heads import fit_heads
from xrete.shapes.choice import SHAPE, Choices

COLUMNS: dict[str, Any] = {
    "first": ["It rained.", "The lamp fell."],
    "questions": ["effect", "cause"],
    "choice1": ["We got wet.", "It was dark."],
    "choice2": ["We sang.", "The cat jumped."],
    "labels": [0, 1],
}
DATA = Choices(**COLUMNS)


def test_a_tie_goes_to_the_first_choice() -> None:
    items = SHAPE.items(DATA, np.array([[0.5, 0.5], [0.5, 0.5]]))
    assert list(items["prediction"]) == [0, 0]
    assert SHAPE.metrics["accuracy"].statistic(items) == 50


def test_the_higher_score_is_predicted() -> None:
    items = SHAPE.items(DATA, np.array([[1.0, 0], [-2, -1]]))
    assert SHAPE.metrics["accuracy"].statistic(items) == 100


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"questions": ["effect", "reason"]}, "the question of item 2 is 'reason', neither 'cause' nor 'effect'"),
        ({"labels": [0, 2]}, "the label of item 2 is 2, neither 0 nor 1"),
        ({"labels": [0, "1"]}, "the label of item 2 is '1', neither 0 nor 1"),
        ({"labels": [0]}, "2 texts and 1 in the column 'labels'"),
    ],
)
def test_damaged_items_are_refused(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Choices(**COLUMNS | change)


def test_the_question_is_part_of_the_premise() -> None:
    assert DATA.prompts() == ["It rained. What was the effect?", "The lamp fell. What was the cause?"]


def test_features_are_those_of_each_choice() -> None:
    seen: list[str] = []

    def encode(texts: Any) -> Any:
        seen.extend(texts)
        return np.random.default_rng(len(seen)).standard_normal((len(texts), 3)).astype(np.float32)

    features = SHAPE.features(DATA, encode)
    assert features.shape == (2, 2, 12)
    assert len(seen) == SHAPE.count_texts(DATA) == 6
    u, v = features[..., :3], features[..., 3:6]
    np.testing.assert_array_equal(u[:, 0], u[:, 1])
    np.testing.assert_allclose(features[..., 6:], np.concatenate([np.abs(u - v), u * v], axis=-1))


def test_exchanging_the_choices_exchanges_the_scores() -> None:
    random = np.random.default_rng(0)
    features = random.standard_normal((40, 2, 6)).astype(np.float32)
    labels = random.integers(0, 2, 40)
    (head,) = fit_heads("choices", features, labels, [0.1])
    (mirror,) = fit_heads("choices", features[:, ::-1], 1 - labels, [0.1])
    np.testing.assert_allclose(head(features), mirror(features), atol=1e-4)


def test_the_interval_of_a_random_model_is_binomial() -> None:
    data, training = (
        Choices(
            first=[f"premise {name} {row}" for row in range(80)],
            questions=["cause"] * 80,
            choice1=[f"first {name} {row}" for row in range(80)],
            choice2=[f"second {name} {row}" for row in range(80)],
            labels=[int(row % 4 == 0) for row in range(80)],
        )
        for name in ("scored", "trained")
    )
    found = {x.name: (x.low, x.high) for x in theory_of(SHAPE).probe(SHAPE, data, [training])}
    low, high = scipy.stats.binom.interval(0.999, 80, 0.5)
    assert found["random"] == pytest.approx((100 * low / 80, 100 * high / 80))
    assert found["constant"] == (75, 75)
    assert found["oracle"] == (100, 100)
    assert found["shuffled-oracle"] == (0, 0)


def test_parts_of_data_keep_their_names() -> None:
    assert DATA.take([1]).keys() == [DATA.keys()[1]]
    assert DATA.take([1]).labels == [1]
    assert "The cat jumped." in DATA.keys()[1]
