"""Ranking: metrics against ir-measures and the published loops; pools, items, limits and models of known score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from xrete.check.certificates import theory_of
from xrete.dataset import Dataset
from xrete.scores.resampling import replicates
from xrete.shapes import load_shape
from xrete.shapes.contract import Encode
from xrete.shapes.metric import Items
from xrete.shapes.ranking import DEPTH, SHAPE, Pool, Ranking
from xrete.sources import Mini
from xrete.task import TaskCard
from xrete.vectors.search import top_k


class _Task:
    """A ranking task for data made here."""

    def __init__(self, data: Mapping[str, Ranking], languages: Sequence[str] | None = None) -> None:
        self.data = data
        self.card = TaskCard(
            name="made", title="made", shape="ranking", category="retrieval", metric="map@20",
            languages=tuple(languages or data), splits=("test",), counts={}, licence="CC0", citation="none",
            layout="none",
        )  # fmt: skip

    def files(self, language: str, split: str) -> Sequence[str]:
        return []

    def from_folder(self, folder: Any, language: str, split: str) -> Ranking:
        return self.data[language]

    def from_mini(self, mini: Mini, language: str, split: str) -> Ranking | None:
        return self.data.get(language)


class Counting:
    """Gives each text a random unit vector of its own, and counts."""

    def __init__(self, dimension: int = 8) -> None:
        self.dimension = dimension
        self.encoded: list[str] = []

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.encoded.extend(texts)
        rows = [np.random.default_rng(list(text.encode())).standard_normal(self.dimension) for text in texts]
        vectors = np.stack(rows)
        return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)


def made(seed: int, candidates: int, queries: int, most: int, prefix: str = "", **options: Any) -> Ranking:
    chance = np.random.default_rng(seed)
    ids = [f"{prefix}c{number}" for number in range(candidates)]
    relevant = [
        [ids[row] for row in chance.permutation(candidates)[: chance.integers(1, most + 1)]] for _ in range(queries)
    ]
    names = [f"q{number}" for number in range(queries)]
    pool = Pool(ids, [f"text of {name}" for name in ids])
    return Ranking(names, [f"{prefix}{name}?" for name in names], relevant, pool, **options)


def score(data: Mapping[str, Ranking], encode: Encode, **options: Any) -> dict[str, Items]:
    dataset = Dataset(_Task(data), Mini(), **options)
    return dict(SHAPE.zero_shot(dataset, encode, dataset.languages))


def run_of(data: Ranking, encode: Encode) -> dict[str, dict[str, float]]:
    """The whole ranking, as a run in the sense of TREC: scores that say the order, without ties."""
    best = top_k(encode(data.queries), encode(data.pool.texts), DEPTH).indices
    return {
        name: {data.pool.ids[row]: float(-rank) for rank, row in enumerate(rows)}
        for name, rows in zip(data.ids, best.tolist(), strict=True)
    }


@pytest.mark.parametrize(("candidates", "most"), [(300, 1), (300, 15), (12, 3), (150, 20)])
def test_metrics_agree_with_ir_measures(candidates: int, most: int) -> None:
    """AP@20 divides by R there and by min(R, 20) here: the same up to 20 right candidates."""
    measures = pytest.importorskip("ir_measures")
    data = made(candidates, candidates, 25, most)
    items = score({"xx": data}, Counting())["xx"]
    right = {q: dict.fromkeys(names, 1) for q, names in zip(data.ids, data.relevant, strict=True)}
    names = {
        "map@20": "AP@20", "mrr": "RR@100", "recall@1": "R@1", "recall@10": "R@10", "recall@100": "R@100",
        "ndcg@10": "nDCG@10",
    }  # fmt: skip
    parsed = {ours: measures.parse_measure(theirs) for ours, theirs in names.items()}
    found = measures.calc_aggregate(list(parsed.values()), right, run_of(data, Counting()))
    assert parsed.keys() == SHAPE.metrics.keys()
    for ours, measure in parsed.items():
        assert SHAPE.metrics[ours].statistic(items) == pytest.approx(100 * found[measure], abs=1e-4), ours


def official_average_precision(right: set[int], ranked: Sequence[int], k: int) -> float:
    """`average_precision_at_k` of the published evaluation."""
    hits = total = 0.0
    for place, candidate in enumerate(ranked[:k]):
        if candidate in right:
            hits += 1
            total += hits / (place + 1)
    return total / min(len(right), k)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 2**32 - 1), most=st.integers(1, 40), candidates=st.integers(40, 150))
def test_map_is_the_published_loop(seed: int, most: int, candidates: int) -> None:
    """Also with more than 20 right candidates."""
    data = made(seed, candidates, 6, most)
    items = score({"xx": data}, Counting())["xx"]
    best = top_k(Counting()(data.queries), Counting()(data.pool.texts), candidates).indices.tolist()
    rows = [{data.pool.rows[name] for name in names} for names in data.relevant]
    expected = [100 * official_average_precision(*pair, 20) for pair in zip(rows, best, strict=True)]
    per_item = SHAPE.metrics["map@20"].per_item
    assert per_item is not None
    np.testing.assert_allclose(per_item(items), expected, rtol=1e-12)


def test_worked_example() -> None:
    """Right candidates at ranks 1, 3 and 60, and one that is not among the first 100."""
    items = {
        "relevant": np.array([4]),
        **{f"rank_{column}": np.array([rank], np.uint8) for column, rank in enumerate((1, 3, 60, 0), start=1)},
    }
    values = {name: metric.statistic(items) for name, metric in SHAPE.metrics.items()}
    ideal = 1 + 1 / np.log2(3) + 1 / np.log2(4) + 1 / np.log2(5)
    assert values == pytest.approx(
        {
            "map@20": 100 * (1 / 1 + 2 / 3) / 4,
            "mrr": 100,
            "recall@1": 25,
            "recall@10": 50,
            "recall@100": 75,
            "ndcg@10": 100 * (1 + 1 / 2) / ideal,
        }
    )


def test_nothing_found_scores_nothing() -> None:
    items = {"relevant": np.array([3, 1]), "rank_1": np.zeros(2, np.uint8)}
    assert {metric.statistic(items) for metric in SHAPE.metrics.values()} == {0.0}


def test_scores_are_functions_of_items() -> None:
    """Any rows of the items can be scored, in any order, as the bootstrap does."""
    items = score({"xx": made(2, 80, 30, 6)}, Counting())["xx"]
    rows = np.random.default_rng(0).integers(0, 30, 50)
    for metric in SHAPE.metrics.values():
        assert metric.per_item is not None
        part = {name: column[rows] for name, column in items.items()}
        assert metric.statistic(part) == pytest.approx(float(metric.per_item(items)[rows].mean()))
        assert np.isfinite(replicates(metric, [items], np.random.default_rng(0), 10)).all()


@pytest.mark.parametrize("candidates", [12, 20, 150])
def test_items_name_the_first_twenty_candidates(candidates: int) -> None:
    data = made(3, candidates, 8, 4)
    items = score({"xx": data}, Counting())["xx"]
    best = top_k(Counting()(data.queries), Counting()(data.pool.texts), 20).indices
    padded = np.pad(best, ((0, 0), (0, 20 - best.shape[1])), constant_values=-1)
    assert np.stack([items[f"candidate_{rank}"] for rank in range(1, 21)], axis=1).tolist() == padded.tolist()


def test_languages_that_share_a_pool_are_searched_in_one_pass() -> None:
    """The pool is encoded once, and the scores are those of each language alone."""
    first = made(1, 200, 9, 1)
    second = Ranking([f"{x}!" for x in first.ids], [f"{x} ¿" for x in first.queries], first.relevant, first.pool)
    encode = Counting()
    together = score({"xx": first, "yy": second}, encode)
    assert len(encode.encoded) == 200 + 2 * 9
    for language, data in (("xx", first), ("yy", second)):
        alone = score({language: data}, Counting())[language]
        assert all((together[language][name] == column).all() for name, column in alone.items())


def test_languages_with_pools_of_their_own_are_apart() -> None:
    together = score({"xx": made(1, 50, 5, 2, "x"), "yy": made(2, 60, 7, 2, "y")}, Counting())
    alone = score({"yy": made(2, 60, 7, 2, "y")}, Counting())["yy"]
    assert all((together["yy"][name] == column).all() for name, column in alone.items())


def test_parallel_pools_are_one() -> None:
    """The right candidates of a question are those of all languages, and all candidates compete."""
    data = {x: made(seed, 40, 6, 2, x, parallel=True) for seed, x in enumerate(("xx", "yy", "zz"))}
    items = score(data, Counting())
    pool = [text for ranking in data.values() for text in ranking.pool.texts]
    names = [name for ranking in data.values() for name in ranking.pool.ids]
    for language, ranking in data.items():
        best = top_k(Counting()(ranking.queries), Counting()(pool), 100).indices
        for row in range(6):
            right = {name for other in data.values() for name in other.relevant[row]}
            ranks = [rank for rank, place in enumerate(best[row].tolist(), start=1) if names[place] in right]
            columns = [items[language][x][row] for x in items[language] if x.startswith("rank_")]
            assert [items[language][f"candidate_{x}"][row] for x in range(1, 21)] == best[row, :20].tolist()
            assert items[language]["relevant"][row] == len(right)
            assert [rank for rank in columns if rank] == ranks


def test_a_part_of_the_languages_has_the_pool_of_the_data_set() -> None:
    """A run that goes on after a break scores the rest against the same candidates."""
    data = {x: made(seed, 40, 6, 2, x, parallel=True) for seed, x in enumerate(("xx", "yy"))}
    dataset = Dataset(_Task(data), Mini())
    whole = dict(SHAPE.zero_shot(dataset, Counting(), ["xx", "yy"]))
    ((language, rest),) = SHAPE.zero_shot(dataset, Counting(), ["yy"])
    assert language == "yy"
    assert all((whole["yy"][name] == column).all() for name, column in rest.items())


def test_missing_languages_of_a_common_pool_are_noted() -> None:
    data = {"xx": made(1, 40, 6, 2, "x", parallel=True)}
    (note,) = SHAPE.notes(Dataset(_Task(data, ["xx", "yy"]), Mini()))
    assert note.startswith("candidates of 1 of 2 languages: fewer candidates and fewer right ones")
    assert SHAPE.notes(Dataset(_Task(data), Mini())) == ()
    assert SHAPE.notes(Dataset(_Task({"xx": made(1, 40, 6, 2)}, ["xx", "yy"]), Mini())) == ()


def test_a_trial_run_keeps_the_right_candidates_and_some_others() -> None:
    data = made(3, 100, 20, 3)
    small = SHAPE.take_first(data, 4)
    right = {name for names in data.relevant[:4] for name in names}
    others = set(small.pool.ids) - right
    assert (SHAPE.size(small), len(others)) == (4, 4)
    assert not others & {name for names in data.relevant for name in names}
    assert [small.pool.texts[small.pool.rows[x]] for x in right] == [
        data.pool.texts[data.pool.rows[x]] for x in right
    ]
    assert SHAPE.size(SHAPE.take_first(data, 1000)) == 20


def test_a_tie_goes_to_the_earlier_candidate() -> None:
    pool = Pool(["a", "b", "c"], ["same", "same", "same"])
    data = Ranking(["1", "2"], ["p", "q"], [["a"], ["c"]], pool)
    items = score({"xx": data}, Counting())["xx"]
    assert items["rank_1"].tolist() == [1, 3]


def test_the_fingerprint_covers_all_that_is_scored() -> None:
    base = made(1, 10, 3, 2)
    pools = [
        Pool(base.pool.ids, [*base.pool.texts[:-1], "other"]),
        Pool(base.pool.ids[::-1], base.pool.texts[::-1]),
        Pool([*base.pool.ids, "more"], [*base.pool.texts, "more"]),
    ]
    changed = [Ranking(base.ids, base.queries, base.relevant, pool) for pool in pools]
    changed.append(Ranking(base.ids, base.queries, base.relevant[::-1], base.pool))
    changed.append(Ranking(base.ids, base.queries[::-1], base.relevant, base.pool))
    contents = {tuple(SHAPE.content(data)) for data in (base, *changed)}
    assert len(contents) == 6


@pytest.mark.parametrize("most", [1, 3])
@pytest.mark.parametrize("candidates", [15, 60])
def test_models_with_known_scores(most: int, candidates: int) -> None:
    """With pools smaller than the depth, and with queries that share right candidates."""
    data = made(most, candidates, 10, most)
    certificates = list(theory_of(SHAPE).zero_shot(SHAPE, data))
    assert [certificate.name for certificate in certificates] == ["constant", "random", "oracle", "shuffled-oracle"]
    for certificate in certificates:
        value = SHAPE.metrics["map@20"].statistic(score({"xx": data}, certificate.encode)["xx"])
        assert certificate.low - 1e-9 <= value <= certificate.high + 1e-9, certificate.name
    if most == 1:
        assert certificates[2].low == 100
        assert (certificates[3].low == 0) == (candidates == 60)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ids": ["q0", "q0"]}, "query 'q0' occurs twice"),
        ({"ids": ["q0"]}, "2 queries with 1 names and 2 lists of answers"),
        ({"queries": ["a", None]}, "'query' of item 2 is None, which is no text"),
        ({"queries": ["a", "b\udc00c"]}, r"'query' of item 2 holds \\udc00, half of a pair, which is no character"),
        ({"relevant": [["c0"], ["c1", "c1"]]}, "query 'q1' names a right candidate twice"),
        ({"relevant": [["c0"], []]}, "query 'q1' has no right candidate"),
        ({"relevant": [["c0"], ["c9"]]}, "query 'q1' asks for 'c9', which is not among the candidates"),
    ],
)
def test_impossible_data_is_refused(change: dict[str, Any], message: str) -> None:
    fields: dict[str, Any] = {"ids": ["q0", "q1"], "queries": ["a", "b"], "relevant": [["c0"], ["c1"]]}
    with pytest.raises(ValueError, match=message):
        Ranking(**fields | change, pool=Pool(["c0", "c1"], ["x", "y"]))


def test_impossible_pools_are_refused() -> None:
    with pytest.raises(ValueError, match="candidate 'c1' occurs twice"):
        Pool(["c0", "c1", "c1"], ["x", "y", "z"])
    with pytest.raises(ValueError, match="2 names of candidates and 1 texts"):
        Pool(["c0", "c1"], ["x"])


def test_the_shape_is_registered() -> None:
    assert load_shape("ranking") is SHAPE
