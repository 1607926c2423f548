"""Bitext mining against a plain re-implementation of the published procedure, and F1 from items alone."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from xrete.check.certificates import theory_of
from xrete.dataset import Dataset
from xrete.shapes import load_shape
from xrete.shapes.contract import Encode
from xrete.shapes.metric import Items
from xrete.shapes.mining import SHAPE, Corpora
from xrete.sources import Mini
from xrete.task import TaskCard
from xrete.vectors.margin import best_threshold, mine, reach
from xrete.vectors.search import nearest_both

Vectors = NDArray[np.float32]
SEEDS = st.integers(0, 2**32 - 1)


def unit(vectors: NDArray[Any]) -> Vectors:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)


def draw(seed: int, n: int, m: int, dimension: int = 6) -> tuple[Vectors, Vectors]:
    """Vectors near one another, so that cosines and margins are positive."""
    chance = np.random.default_rng(seed)
    return unit(chance.standard_normal((n, dimension)) + 1), unit(chance.standard_normal((m, dimension)) + 1)


def official_mining(x: Vectors, y: Vectors, scoring: str) -> list[tuple[int, int, float]]:
    """Steps 3 to 6 of the published mining, with loops; a denominator is at least 1e-6."""
    cosine = [[math.fsum(a.astype(float) * b.astype(float)) for b in y] for a in x]
    n, m = len(x), len(y)

    def neighbours(row: Sequence[float], size: int) -> list[int]:
        return sorted(range(size), key=lambda j: (-row[j], j))[: min(4, size)]

    x_near = [neighbours(cosine[i], m) for i in range(n)]
    y_near = [neighbours([cosine[i][j] for i in range(n)], n) for j in range(m)]
    x_mean = [sum(cosine[i][j] for j in x_near[i]) / len(x_near[i]) for i in range(n)]
    y_mean = [sum(cosine[i][j] for i in y_near[j]) / len(y_near[j]) for j in range(m)]

    def score(i: int, j: int) -> float:
        return cosine[i][j] / (1 if scoring == "cosine" else max(1e-6, (x_mean[i] + y_mean[j]) / 2))

    proposals = [max(((score(i, j), i, j) for j in x_near[i]), key=lambda p: p[0]) for i in range(n)]
    proposals += [max(((score(i, j), i, j) for i in y_near[j]), key=lambda p: p[0]) for j in range(m)]
    found, used_x, used_y = [], set(), set()
    for value, i, j in sorted(proposals, key=lambda p: -p[0]):
        if i not in used_x and j not in used_y:
            used_x.add(i)
            used_y.add(j)
            if value > 0:
                found.append((i, j, value))
    return found


def official_threshold(candidates: Sequence[tuple[Any, float]], gold: set[Any]) -> float:
    """`bucc_optimize`, with the guard that it lacks, and F1 written as a fraction."""
    items = sorted(candidates, key=lambda item: -item[1])
    correct = 0
    threshold = best = 0.0
    for i in range(len(items)):
        correct += items[i][0] in gold
        f1 = 2 * correct / (i + 1 + len(gold))
        if f1 > best:
            best = f1
            following = items[i + 1][1] if i + 1 < len(items) else items[i][1]
            threshold = (items[i][1] + following) / 2
    return threshold


@pytest.mark.filterwarnings("ignore:some sentences have no similarity")
@pytest.mark.parametrize("scoring", ["margin", "cosine"])
@settings(deadline=None, max_examples=40)
@given(seed=SEEDS, n=st.integers(1, 25), m=st.integers(1, 25))
def test_mining_follows_the_published_steps(scoring: Any, seed: int, n: int, m: int) -> None:
    x, y = draw(seed, n, m)
    found = mine(*nearest_both(x, y, 4), scoring)
    expected = official_mining(x, y, scoring)
    assert list(zip(found.source.tolist(), found.target.tolist(), strict=True)) == [p[:2] for p in expected]
    np.testing.assert_allclose(found.score, [p[2] for p in expected], rtol=1e-12)


@settings(deadline=None, max_examples=100)
@given(
    scores=st.lists(st.integers(1, 8), max_size=12),
    gold=st.sets(st.integers(0, 14), min_size=1, max_size=8),
)
def test_the_threshold_is_the_published_one(scores: list[int], gold: set[int]) -> None:
    """Ties are common; the first of equally good prefixes wins; gold beyond the list stays in the recall."""
    values = np.array(scores, dtype=np.float64)
    right = np.array([row in gold for row in range(len(scores))], dtype=bool)
    expected = official_threshold(list(enumerate(map(float, scores))), gold)
    assert best_threshold(values, right, len(gold)) == expected
    assert not (values[right] > 0).any() or reach(values, right, len(gold), expected) <= expected


def test_the_whole_list_may_be_the_best_prefix() -> None:
    """The official script raises an IndexError here."""
    assert best_threshold(np.array([3.0, 2.0]), np.array([True, True]), 2) == 2.0
    assert best_threshold(np.zeros(0), np.zeros(0, bool), 2) == 0.0


def test_swapping_the_sides_swaps_the_pairs() -> None:
    x, y = draw(1, 30, 20)
    forward, backward = nearest_both(x, y, 4)
    there, back = mine(forward, backward), mine(backward, forward)
    pairs = [set(zip(m.source.tolist(), m.target.tolist(), strict=True)) for m in (there, back)]
    assert pairs[0] == {(i, j) for j, i in pairs[1]}


def test_untrained_encoders_are_scored_with_a_warning() -> None:
    near = nearest_both(unit(-np.ones((3, 2))), unit(np.ones((5, 2))), 4)
    with pytest.warns(RuntimeWarning, match="no similarity with their nearest neighbours"):
        found = mine(*near)
    assert len(found.source) == len(found.target) == len(found.score) == 0


class _Task:
    """A mining task of one language, for data made here."""

    def __init__(self, data: Corpora) -> None:
        self.data = data
        self.card = TaskCard(
            name="made", title="made", shape="mining", category="retrieval", metric="f1", languages=("xx-en",),
            splits=("test",), counts={}, licence="CC0", citation="none", layout="none",
        )  # fmt: skip

    def files(self, language: str, split: str) -> Sequence[str]:
        return []

    def from_folder(self, folder: Any, language: str, split: str) -> Corpora:
        return self.data

    def from_mini(self, mini: Mini, language: str, split: str) -> Corpora:
        return self.data


def encoder(table: Mapping[str, NDArray[Any]]) -> Encode:
    return lambda texts: unit(np.stack([table[text] for text in texts]))


def items_of(data: Corpora, encode: Encode, limit: int | None = None) -> Items:
    dataset = Dataset(_Task(data), Mini(), limit=limit)
    ((_, items),) = SHAPE.zero_shot(dataset, encode, ["xx-en"])
    return items


def value(items: Items, metric: str) -> float:
    return SHAPE.metrics[metric].statistic(items)


def hidden(
    seed: int, prefix: str, n: int = 30, pairs: int = 12, noise: float = 0.8
) -> tuple[Corpora, dict[str, Any]]:
    """Corpora with noisy translations hidden in them, and the vectors of their sentences."""
    chance = np.random.default_rng(seed)
    source = [f"{prefix}s{row}" for row in range(n)]
    target = [f"{prefix}t{row}" for row in range(n + 5)]
    table = {text: chance.standard_normal(8) for text in (*source, *target)}
    gold = list(zip(chance.permutation(n)[:pairs].tolist(), chance.permutation(n)[:pairs].tolist(), strict=True))
    for i, j in gold:
        table[target[j]] = table[source[i]] + noise * chance.standard_normal(8)
    return Corpora(source, target, gold), table


def by_hand(data: Corpora, table: Mapping[str, Any], threshold: float | None, scoring: str) -> tuple[float, float]:
    """Returns F1 and the best threshold of one corpus, with loops and sets."""
    x, y = (unit(np.stack([table[text] for text in side])) for side in (data.source, data.target))
    found = [((i, j), score) for i, j, score in official_mining(x, y, scoring)]
    best = official_threshold(found, set(data.gold))
    predicted = {pair for pair, score in found if score >= (best if threshold is None else threshold)}
    correct = len(predicted & set(data.gold))
    if not correct:
        return 0.0, best
    precision, recall = correct / len(predicted), correct / len(data.gold)
    return 200 * precision * recall / (precision + recall), best


@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 10_000))
def test_f1_comes_from_items_alone_and_is_that_of_the_published_procedure(seed: int) -> None:
    test, first = hidden(seed, "a")
    tuning, second = hidden(seed + 1, "b", n=20)
    table = first | second
    alone = items_of(test, encoder(table))
    tuned = items_of(Corpora(test.source, test.target, test.gold, tuning), encoder(table))
    for scoring, suffix in (("margin", ""), ("cosine", "_cosine")):
        oracle, _ = by_hand(test, table, None, scoring)
        _, threshold = by_hand(tuning, table, None, scoring)
        assert value(alone, f"f1{suffix}") == pytest.approx(oracle)
        assert value(alone, f"f1{suffix}_oracle") == pytest.approx(oracle)
        assert value(tuned, f"f1{suffix}_oracle") == pytest.approx(oracle)
        assert value(tuned, f"f1{suffix}") == pytest.approx(by_hand(test, table, threshold, scoring)[0])
    precision, recall = value(tuned, "precision"), value(tuned, "recall")
    assert value(tuned, "f1") == pytest.approx(2 * precision * recall / max(precision + recall, 1e-9))


@pytest.mark.parametrize("scoring", ["margin", "cosine"])
def test_items_say_which_pairs_were_found_and_which_are_gold(scoring: str) -> None:
    data, table = hidden(8, "w")
    items = items_of(data, encoder(table))
    pairs = list(zip(items["source"].tolist(), items["target"].tolist(), strict=True))
    x, y = (unit(np.stack([table[text] for text in side])) for side in (data.source, data.target))
    mined = {(i, j): score for i, j, score in official_mining(x, y, scoring)}
    threshold = official_threshold(list(mined.items()), set(data.gold))
    found = {pair for pair, is_found in zip(pairs, items[f"{scoring}_found"], strict=True) if is_found}
    assert len(set(pairs)) == len(pairs)
    assert found == {pair for pair, score in mined.items() if score >= threshold}
    assert {pair for pair, is_gold in zip(pairs, items["gold"], strict=True) if is_gold} == set(data.gold)
    assert 0 < len(found & set(data.gold)) < len(data.gold)  # or nothing was tested
    for pair, score in zip(pairs, items[scoring].tolist(), strict=True):
        assert math.isnan(score) or score == pytest.approx(mined[pair])


def test_repeated_sentences_are_missed_and_count_as_missed() -> None:
    """White space around a sentence does not make it another one."""
    eye = np.eye(6)
    texts = ["one", "two", "three", " one", "four"]
    table = {text: eye[number] for number, text in enumerate(["one", "two", "three", "four"])}
    table |= {" one": eye[0], **{f"{text} en": table[text] for text in ("one", "two", "three", "four")}}
    data = Corpora(texts, ["one en", "two en", "three en", "four en"], [(0, 0), (1, 1), (2, 2), (4, 3)])
    items = items_of(data, encoder(table))
    assert value(items, "precision") == 100
    assert value(items, "recall") == 75
    assert int(items["gold"].sum()) == 4


def test_permuting_the_corpora_changes_no_score() -> None:
    data, table = hidden(4, "p")
    order = np.random.default_rng(0).permutation(len(data.source)).tolist()
    moved = Corpora([data.source[row] for row in order], data.target, [(order.index(i), j) for i, j in data.gold])
    before, after = (items_of(x, encoder(table)) for x in (data, moved))
    for metric in SHAPE.metrics:
        assert value(before, metric) == value(after, metric)


def test_fewer_items_are_a_smaller_corpus() -> None:
    data, table = hidden(5, "h")
    small = SHAPE.take_first(data, 3)
    assert SHAPE.size(small) == 3
    assert [(small.source[i], small.target[j]) for i, j in small.gold] == [
        (data.source[i], data.target[j]) for i, j in data.gold[:3]
    ]
    assert len(small.source) == 6
    assert small.ids is None
    named = SHAPE.take_first(replace(data, ids=(data.source, data.target)), 3)
    assert named.ids == (small.source, small.target)
    assert value(items_of(data, encoder(table), limit=3), "recall") >= 0


def test_notes_say_where_the_threshold_was_tuned() -> None:
    data, _ = hidden(6, "n")
    (note,) = SHAPE.notes(Dataset(_Task(data), Mini()))
    assert note == "no sample to tune a threshold on for xx-en: it was tuned on the gold pairs that are scored"
    assert SHAPE.notes(Dataset(_Task(Corpora(data.source, data.target, data.gold, data)), Mini())) == ()


def test_names_decide_no_score() -> None:
    data, _ = hidden(9, "i")
    assert list(SHAPE.content(replace(data, ids=(data.source, data.target)))) == list(SHAPE.content(data))


def test_the_sample_for_tuning_is_part_of_the_fingerprint() -> None:
    data, _ = hidden(7, "f")
    tuned = Corpora(data.source, data.target, data.gold, data)
    assert list(SHAPE.content(data)) != list(SHAPE.content(tuned))
    assert SHAPE.count_texts(tuned) == 2 * SHAPE.count_texts(data)


@pytest.mark.parametrize("repeat", [False, True])
def test_models_with_known_scores(repeat: bool) -> None:
    """With the pair of the first rows gold or not, and with gold sentences that occur twice."""
    source = [f"s{row}" for row in range(12)]
    target = [f"t{row}" for row in range(15)]
    if repeat:
        source[11] = source[0]
    for gold in ([(0, 0), (1, 3), (2, 5)], [(0, 1), (1, 3), (2, 5), (3, 4), (4, 2)]):
        data = Corpora(source, target, gold, Corpora(["u", "v"], ["w"], [(1, 0)]))
        certificates = {certificate.name: certificate for certificate in theory_of(SHAPE).zero_shot(SHAPE, data)}
        assert list(certificates) == ["constant", "random", "oracle", "shuffled-oracle"]
        for certificate in certificates.values():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)
                score = value(items_of(data, certificate.encode), "f1")
            assert certificate.low - 1e-9 <= score <= certificate.high + 1e-9, certificate.name
        reachable = len(gold) - repeat
        assert certificates["oracle"].low == pytest.approx(200 * reachable / (reachable + len(gold)))


@pytest.mark.parametrize(
    ("gold", "message"),
    [
        ([], "no gold pairs"),
        ([(0, 0), (0, 0)], "a gold pair occurs twice"),
        ([(0, 2)], "gold pair of lines 1 and 3, but the sides have 2 and 2 lines"),
    ],
)
def test_impossible_gold_is_refused(gold: list[tuple[int, int]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Corpora(["a", "b"], ["c", "d"], gold)


def test_every_sentence_has_a_name_or_none_has() -> None:
    with pytest.raises(ValueError, match="2 and 1 names of the 2 and 2 sentences of the sides"):
        Corpora(["a", "b"], ["c", "d"], [(0, 0)], ids=(["1", "2"], ["3"]))


def test_the_shape_is_registered() -> None:
    assert load_shape("mining") is SHAPE
