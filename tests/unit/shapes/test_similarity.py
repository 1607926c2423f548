"""Similarity: correlations against scipy, undefined ones, scores of upstream files, and what theory says."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from xrete.check.certificates import theory_of
from xrete.dataset import Dataset
from xrete.shapes.similarity import SHAPE, ScoredPairs, average_ranks, pearson, score_numbers, spearman
from xrete.sources import Mini

STEPS = st.lists(st.tuples(st.integers(0, 25), st.integers(-9, 9)), min_size=3, max_size=60)


def columns(rows: list[tuple[int, int]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    gold, said = np.array(rows, dtype=np.float64).T
    return gold / 5, said / 7


@given(STEPS)
def test_correlations_are_those_of_scipy(rows: list[tuple[int, int]]) -> None:
    gold, said = columns(rows)
    if np.ptp(gold) == 0 or np.ptp(said) == 0:
        assert spearman(gold, said) == pearson(gold, said) == 0
        return
    assert spearman(gold, said) == pytest.approx(scipy.stats.spearmanr(gold, said).statistic, abs=1e-12)
    assert pearson(gold, said) == pytest.approx(scipy.stats.pearsonr(gold, said).statistic, abs=1e-12)


@given(STEPS)
def test_ranks_are_those_of_scipy(rows: list[tuple[int, int]]) -> None:
    gold, _ = columns(rows)
    np.testing.assert_array_equal(average_ranks(gold), scipy.stats.rankdata(gold))


@given(STEPS, st.randoms(use_true_random=False))
def test_the_order_of_items_and_the_unit_of_predictions_do_not_matter(
    rows: list[tuple[int, int]], random: object
) -> None:
    gold, said = columns(rows)
    order = np.random.default_rng(len(rows)).permutation(len(rows))
    for correlation in (spearman, pearson):
        assert correlation(gold[order], said[order]) == pytest.approx(correlation(gold, said), abs=1e-12)
        assert correlation(gold, 3 * said + 1) == pytest.approx(correlation(gold, said), abs=1e-9)
        assert correlation(gold, -said) == pytest.approx(-correlation(gold, said), abs=1e-12)


def test_rounding_is_no_correlation() -> None:
    gold = np.arange(50.0)
    assert spearman(gold, 0.7 + 1e-8 * gold) == 0
    assert spearman(gold, 0.7 + 1e-4 * gold) == 1


class Task:
    """Pairs in memory, offered as a mini sample."""

    def __init__(self, data: ScoredPairs) -> None:
        from dataclasses import replace

        from xrete.tasks.multists import TASK

        self.card = replace(TASK.card, languages=("en-en",), groups={})
        self.data = data

    def files(self, language: str, split: str) -> list[str]:
        return ["none"]

    def from_folder(self, folder: object, language: str, split: str) -> ScoredPairs:
        return self.data

    def from_mini(self, mini: Mini, language: str, split: str) -> ScoredPairs | None:
        return self.data if split == "test" else None


PAIRS = ScoredPairs(first=list("abcdef"), second=list("ghijkl"), scores=[0, 1, 1, 3, 4.5, 5])


def encode(texts: Sequence[str]) -> NDArray[np.float32]:
    rows = [np.random.default_rng(ord(text)).standard_normal(8) for text in texts]
    return np.stack([row / np.linalg.norm(row) for row in rows]).astype(np.float32)


def test_predictions_are_cosines() -> None:
    dataset = Dataset(Task(PAIRS), Mini())
    ((language, items),) = SHAPE.zero_shot(dataset, encode, ["en-en"])
    u, v = encode(list(PAIRS.first)), encode(list(PAIRS.second or ()))
    assert language == "en-en"
    np.testing.assert_allclose(items["prediction"], [float(a @ b) for a, b in zip(u, v, strict=True)], atol=1e-6)
    np.testing.assert_array_equal(items["gold"], PAIRS.scores)
    expected = 100 * scipy.stats.spearmanr(items["gold"], items["prediction"]).statistic
    assert SHAPE.metrics["spearman"].statistic(items) == pytest.approx(expected)


def test_a_constant_model_scores_0_and_is_warned_about() -> None:
    dataset = Dataset(Task(PAIRS), Mini())
    with pytest.warns(UserWarning, match="multists, en-en: the model gives every pair the same cosine"):
        ((_, items),) = SHAPE.zero_shot(dataset, lambda texts: np.full((len(texts), 4), 0.5, np.float32), ["en-en"])
    assert {name: metric.statistic(items) for name, metric in SHAPE.metrics.items()} == {
        "spearman": 0,
        "pearson": 0,
    }


def test_a_constant_gold_score_is_noted() -> None:
    import xrete

    class Model:
        def encode(self, texts: Sequence[str], /) -> NDArray[np.float32]:
            return encode([text[:1] for text in texts])

    constant = xrete.evaluate(Model(), Dataset(Task(replace(PAIRS, scores=[2.5] * 6)), Mini()))
    assert constant.score == 0
    assert constant.notes == (
        "en-en: the gold score is the same for every pair; the correlation is undefined and counts as 0",
    )
    assert xrete.evaluate(Model(), Dataset(Task(PAIRS), Mini())).notes == ()


def test_a_model_with_an_opinion_is_not_warned_about() -> None:
    dataset = Dataset(Task(PAIRS), Mini())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        list(SHAPE.zero_shot(dataset, encode, ["en-en"]))


@pytest.mark.parametrize("name", ["constant", "random", "oracle", "shuffled-oracle"])
@pytest.mark.parametrize("seed", range(3))
def test_theory(name: str, seed: int) -> None:
    random = np.random.default_rng(seed)
    data = ScoredPairs(
        first=[f"first {row}" for row in range(60)],
        second=[f"second {row}" for row in range(60)],
        scores=(random.integers(0, 11, 60) / 2).tolist(),
    )
    (certificate,) = (x for x in theory_of(SHAPE).zero_shot(SHAPE, data) if x.name == name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ((_, items),) = SHAPE.zero_shot(Dataset(Task(data), Mini()), certificate.encode, ["en-en"])
    for metric in SHAPE.metrics.values():
        assert certificate.low - 1e-9 <= metric.statistic(items) <= certificate.high + 1e-9


def test_the_interval_of_a_random_model_is_that_of_the_t_distribution() -> None:
    data = ScoredPairs(first=list("ab") * 25, second=list("cd") * 25, scores=[*range(50)])
    (certificate,) = (x for x in theory_of(SHAPE).zero_shot(SHAPE, data) if x.name == "random")
    t = scipy.stats.t.ppf(0.9995, 48)
    assert certificate.high == pytest.approx(100 * t / np.sqrt(48 + t**2), rel=0.05)
    assert certificate.low == pytest.approx(-certificate.high, rel=0.1)


def test_no_oracle_where_a_text_would_need_two_vectors() -> None:
    data = ScoredPairs(first=["a", "b"], second=["same", "same"], scores=[0, 1])
    assert [x.name for x in theory_of(SHAPE).zero_shot(SHAPE, data)] == ["constant", "random"]


def test_scores_of_files() -> None:
    assert score_numbers(["0", "2.400000", "5"], 0, 5) == [0, 2.4, 5]
    with pytest.raises(ValueError, match="the score of item 2 is 'neutral', which is no number"):
        score_numbers(["0", "neutral"], 0, 5)
    with pytest.raises(ValueError, match=r"the score of item 1 is 55\.5, outside 0 to 5"):
        score_numbers(["55.5"], 0, 5)
    with pytest.raises(ValueError, match="the score of item 2 is nan, outside 0 to 5"):
        score_numbers(["1", "nan"], 0, 5)


def test_damaged_pairs_are_refused() -> None:
    with pytest.raises(ValueError, match="2 texts and 1 in the column 'second'"):
        ScoredPairs(first=["a", "b"], second=["c"], scores=[1, 2])
    with pytest.raises(ValueError, match="the score of item 2 is inf"):
        ScoredPairs(first=["a", "b"], second=["c", "d"], scores=[1, float("inf")])


def test_parts_of_data_keep_their_names() -> None:
    part = PAIRS.take([4, 1])
    assert (part.first, part.second, part.scores) == (["e", "b"], ["k", "h"], [4.5, 1])
    assert part.keys() == [PAIRS.keys()[4], PAIRS.keys()[1]]
    assert SHAPE.take_first(PAIRS, 2).first == ["a", "b"]
    assert SHAPE.size(SHAPE.take_first(PAIRS, 99)) == 6


def test_the_fingerprint_sees_texts_and_scores() -> None:
    other = ScoredPairs(first=PAIRS.first, second=PAIRS.second, scores=[0, 1, 1, 3, 4.5, 4.9])
    assert list(SHAPE.content(PAIRS)) != list(SHAPE.content(other))
    assert list(SHAPE.content(PAIRS))[:7] == list("abcdefg")
