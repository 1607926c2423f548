"""Comparisons: pairs are of the same items, and what cannot be compared is named."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats as scipy_stats

from xrete.errors import RecordError, XreteError
from xrete.record import Record
from xrete.scores import resampling
from xrete.scores.comparison import Run, compare_task, corrected_over_tasks, standings
from xrete.shapes import load_shape
from xrete.shapes.metric import Items, join_runs
from xrete.shapes.mining import SHAPE as MINING
from xrete.store import Outcome, Slot, read_items

MakeRecord = Callable[..., Record]
Make = Callable[..., Run]

EASE = np.random.default_rng(0).random((3, 200))
"""Of 200 items in three languages: which part of all models has it right."""


def bitext(row: int, skill: float, size: int = 200) -> Items:
    """Outcomes of a model that has right what is easier than its skill, and now and then something else."""
    random = np.random.default_rng([row, int(1000 * skill)])
    right = EASE[row, :size] < skill + random.normal(0, 0.05, size)
    return {"xx2en": np.where(right, np.arange(size), size), "en2xx": np.arange(size)}


@pytest.fixture
def make(results: Path, make_record: MakeRecord) -> Make:
    """Saves a record with items of a model of some skill; its data is that of the languages."""

    def save(
        model: str,
        skill: float,
        languages: str = "deu swh tzl",
        *,
        data: Mapping[str, Any] | None = None,
        method: str = resampling.STRATIFIED,
        size: int = 200,
        **options: Any,
    ) -> Run:
        rows = dict(zip(("deu", "swh", "tzl"), range(3), strict=True))
        items = {x: bitext(rows[x], skill, size) for x in languages.split()}
        scores = {x: 100 * float(np.mean(columns["xx2en"] == np.arange(size))) for x, columns in items.items()}
        record = make_record(model, scores=scores, **options)
        digests = {x: f"digest of {x}" for x in items}
        record = record.model_copy(
            update={
                "data": record.data.model_copy(update={"languages": digests, **(data or {})}),
                "interval": record.interval.model_copy(update={"method": method}),
            }
        )
        slot = Slot(results, model, record.task, "zero-shot", "dir", f"{len(list(results.rglob('*.json'))):012x}")
        return Run(slot.record_file, slot.save(record, {x: Outcome(y, None) for x, y in items.items()}))

    return save


def test_differences_are_those_of_the_records(make: Make) -> None:
    first, second = make("good", 0.8), make("poor", 0.6)
    found = compare_task(first, second, "accuracy", higher_is_better=True)
    for language, difference in found.languages.items():
        assert difference.first == pytest.approx(first.record.languages[language].score)
        assert difference.second == pytest.approx(second.record.languages[language].score)
        assert difference.ci95
        low, high = difference.ci95
        assert low < difference.difference < high
        assert difference.better == "first"
    assert found.mean.first == pytest.approx(first.record.score)
    assert found.mean.difference == pytest.approx(np.mean([x.difference for x in found.languages.values()]))
    assert found.mean.better == "first"
    assert found.mean.p == 1 / (resampling.PERMUTATIONS + 1)
    assert found.method == resampling.STRATIFIED
    assert not found.left_out


def test_p_values_are_those_of_the_sign_test_corrected_over_languages(make: Make) -> None:
    first, second = make("good", 0.7), make("poor", 0.68)
    found = compare_task(first, second, "accuracy", higher_is_better=True)
    for language, columns in read_items(first.path, first.record).items():
        other = read_items(second.path, second.record)[language]
        ours, theirs = (x["xx2en"] == np.arange(200) for x in (columns, other))
        exact = scipy_stats.binomtest(int((ours & ~theirs).sum()), int((ours != theirs).sum())).pvalue
        assert found.languages[language].p == pytest.approx(exact, abs=0.02)
    p_values = [x.p for x in found.languages.values()]
    assert [x.corrected for x in found.languages.values()] == resampling.holm(p_values)


def test_the_other_way_round_everything_turns_around(make: Make) -> None:
    first, second = make("good", 0.75), make("poor", 0.7)
    found, turned = (compare_task(*runs, "accuracy", True) for runs in ((first, second), (second, first)))
    assert turned.mean.difference == -found.mean.difference
    assert turned.mean.p == pytest.approx(found.mean.p, abs=0.01)
    assert turned.mean.ci95
    low, high = turned.mean.ci95
    assert (-high, -low) == pytest.approx(found.mean.ci95, abs=0.3)


def test_a_model_is_no_better_than_itself(make: Make) -> None:
    found = compare_task(make("one", 0.7), make("other", 0.7), "accuracy", higher_is_better=True)
    for difference in (found.mean, *found.languages.values()):
        assert difference.difference == 0
        assert difference.ci95 == (0, 0)
        assert difference.p == 1
        assert difference.better is None


@pytest.mark.parametrize(("higher_is_better", "better"), [(True, "first"), (False, "second"), (None, None)])
def test_the_direction_says_who_is_better(make: Make, higher_is_better: bool | None, better: str | None) -> None:
    found = compare_task(make("good", 0.8), make("poor", 0.6), "accuracy", higher_is_better)
    assert found.mean.better == better


def test_another_metric_is_compared_by_name(make: Make) -> None:
    found = compare_task(make("good", 0.8), make("poor", 0.6), "accuracy_en2xx", higher_is_better=True)
    assert found.metric == "accuracy_en2xx"
    assert found.mean.first == found.mean.second == 100


def test_items_that_languages_share_are_drawn_together(make: Make) -> None:
    """The interval of the mean is that of each item's mean over languages; swaps are of items in all languages."""
    options = {"method": resampling.PARALLEL, "task": "somebody/parallel"}
    runs = make("good", 0.72, **options), make("poor", 0.7, **options)
    found = compare_task(*runs, "accuracy", higher_is_better=True)
    assert found.method == resampling.PARALLEL
    items = [read_items(run.path, run.record) for run in runs]
    right = [np.mean([x["xx2en"] == np.arange(200) for x in side.values()], axis=0) for side in items]
    difference = 100 * (right[0] - right[1])
    assert found.mean.ci95
    low, high = found.mean.ci95
    assert (high - low) / 2 == pytest.approx(1.96 * difference.std() / np.sqrt(200), rel=0.1)
    exact = scipy_stats.permutation_test(
        right, lambda x, y, axis: np.mean(x - y, axis=axis), permutation_type="samples", vectorized=True, rng=1
    )
    assert found.mean.p == pytest.approx(exact.pvalue, abs=0.02)


def test_a_task_says_itself_that_its_languages_share_items(make: Make) -> None:
    """A record of the first release has another method; the card of the task decides."""
    runs = make("good", 0.8, task="flores"), make("poor", 0.7, task="flores")
    assert compare_task(*runs, "accuracy", higher_is_better=True).method == resampling.PARALLEL


def test_languages_of_one_side_only_are_left_out_and_named(make: Make) -> None:
    first, second = make("good", 0.8, "deu swh"), make("poor", 0.6, "swh tzl")
    found = compare_task(first, second, "accuracy", higher_is_better=True)
    assert list(found.languages) == ["swh"]
    assert found.left_out == {"deu": "scored by the first only", "tzl": "scored by the second only"}
    assert found.mean.first == pytest.approx(first.record.languages["swh"].score)


def test_languages_of_other_data_are_left_out_and_named(make: Make) -> None:
    other = {"languages": {"deu": "digest of deu", "swh": "another", "tzl": "digest of tzl"}, "fingerprint": "x"}
    found = compare_task(make("good", 0.8), make("poor", 0.6, data=other), "accuracy", higher_is_better=True)
    assert list(found.languages) == ["deu", "tzl"]
    assert found.left_out == {"swh": "scored on different data"}


def test_different_data_is_refused_by_name(make: Make) -> None:
    first = make("good", 0.8)
    other = {
        "languages": dict.fromkeys(("deu", "swh", "tzl"), "another"),
        "fingerprint": "abcdefghij",
        "split": "dev",
    }
    with pytest.raises(
        XreteError,
        match=r"^tatoeba, zero-shot: scored on different data, test of dir \(fingerprint deu-swh-\) "
        r"and dev of dir \(fingerprint abcdefgh\); run one of them again on the data of the other$",
    ):
        compare_task(first, make("poor", 0.6, data=other), "accuracy", higher_is_better=True)


def test_old_records_of_unequal_languages_are_refused(make: Make) -> None:
    """The first release did not keep what each language was scored on."""
    old: dict[str, Any] = {"data": {"languages": {}}}
    first, second = make("good", 0.8, "deu swh", **old), make("poor", 0.6, "deu", **old)
    with pytest.raises(
        XreteError, match=r"different data in 2 and 1 languages, .* do not say which languages share"
    ):
        compare_task(first, second, "accuracy", higher_is_better=True)
    assert compare_task(first, make("same", 0.5, "deu swh", **old), "accuracy", higher_is_better=True)


def test_without_items_there_is_nothing_to_compare(make: Make) -> None:
    first, second = make("good", 0.8), make("poor", 0.6)
    bare = Run(second.path, second.record.model_copy(update={"items": None}))
    with pytest.raises(RecordError, match="has no items"):
        compare_task(first, bare, "accuracy", higher_is_better=True)
    geometry = Run(first.path, first.record.model_copy(update={"shape": "geometry"}))
    with pytest.raises(XreteError, match="scores are of all languages together"):
        compare_task(geometry, geometry, "kl", higher_is_better=False)
    assert second.record.items
    second.path.with_name(second.record.items.file).unlink()
    with pytest.raises(RecordError, match="missing items"):
        compare_task(first, second, "accuracy", higher_is_better=True)


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"x": np.arange(200)}, "are not those of .*: they hold x; run it again"),
        ({"en2xx": np.arange(200)}, "are not those of .*: they hold en2xx; run it again"),
        (None, "lack swh; run it again"),
    ],
)
def test_forged_items_are_refused_in_one_sentence(make: Make, columns: dict[str, Any] | None, words: str) -> None:
    runs = [make("a", 0.9, "deu swh"), make("b", 0.8, "deu swh")]
    items = read_items(runs[0].path, runs[0].record)
    forged = {"deu": items["deu"]} if columns is None else dict.fromkeys(items, columns)
    slot = Slot(runs[0].path.parents[1], "forged", "flores", "zero-shot", "dir", "0" * 12)
    saved = slot.save(runs[0].record, {language: Outcome(own, None) for language, own in forged.items()})
    run = Run(slot.record_file, saved)
    with pytest.raises(RecordError, match=words):
        compare_task(run, runs[1], "accuracy", higher_is_better=True)
    with pytest.raises(RecordError, match=words):
        standings([run, runs[1]], "accuracy", ["deu"], higher_is_better=True)


def test_means_are_corrected_over_tasks(make: Make) -> None:
    pairs = [(0.70, 0.70), (0.72, 0.70), (0.80, 0.60)]
    tasks = [
        compare_task(make("a", a, task=f"t{i}"), make("b", b, task=f"t{i}"), "accuracy", True)
        for i, (a, b) in enumerate(pairs)
    ]
    corrected = corrected_over_tasks(tasks)
    assert [x.mean.corrected for x in corrected] == resampling.holm([x.mean.p for x in tasks])
    assert corrected[2].mean.better == "first"
    assert corrected[0].mean.better is None


def test_standings_tell_what_is_known_of_the_order(make: Make) -> None:
    runs = [make(f"m{skill}", skill) for skill in (0.3, 0.9, 0.7, 0.705)]
    found = standings(runs, "accuracy", ["deu", "swh"], higher_is_better=True)
    assert found is not None
    assert [x.group for x in found] == [3, 1, 2, 2]
    assert [(x.best, x.worst) for x in found] == [(4, 4), (1, 1), (2, 3), (2, 3)]
    turned = standings(runs, "accuracy", ["deu", "swh"], higher_is_better=False)
    assert turned is not None
    assert [x.group for x in turned] == [1, 3, 2, 2]
    bare = Run(runs[0].path, runs[0].record.model_copy(update={"items": None}))
    assert standings([bare, *runs], "accuracy", ["deu"], higher_is_better=True) is None


def mined(source: list[int], target: list[int], gold: list[bool], scores: list[float]) -> Items:
    items: dict[str, Any] = {"source": np.array(source), "target": np.array(target), "gold": np.array(gold)}
    for scoring in ("margin", "cosine"):
        items |= {scoring: np.array(scores), f"{scoring}_found": np.array(scores) >= 0.5}
    return items


def test_mined_pairs_are_paired_by_what_they_are() -> None:
    """Two models list other pairs in another order; side by side, each row is one pair and no metric changes."""
    first = mined([3, 1, 2, 7], [3, 5, 2, 7], [True, False, True, True], [0.9, 0.8, 0.7, np.nan])
    second = mined([2, 7, 3, 9, 9], [2, 7, 3, 1, 2], [True, True, True, False, False], [0.9, 0.6, 0.2, 0.95, 0.3])
    both = MINING.paired([first, second])
    rows = [list(zip(x["source"].tolist(), x["target"].tolist(), strict=True)) for x in both]
    assert rows[0] == rows[1]
    assert sorted(rows[0]) == [(1, 5), (2, 2), (3, 3), (7, 7), (9, 1), (9, 2)]
    assert (both[0]["gold"] == both[1]["gold"]).all()
    for before, after in zip((first, second), both, strict=True):
        assert {name: column.dtype for name, column in after.items()} == {
            name: column.dtype for name, column in before.items()
        }
        for metric in MINING.metrics.values():
            assert metric.statistic(after) == pytest.approx(metric.statistic(before))


def test_of_one_item_nothing_is_known(make: Make) -> None:
    """A resample of one item is that item: no interval, and no order, however far apart the scores are."""
    runs = make("good", 2.0, "deu", size=1), make("poor", 0.0, "deu", size=1)
    found = compare_task(*runs, "accuracy", higher_is_better=True)
    assert (found.mean.first, found.mean.second, found.mean.ci95, found.mean.p) == (100, 0, None, 1)
    assert found.languages["deu"].ci95 is None
    assert standings(runs, "accuracy", ["deu"], higher_is_better=True) is None


@pytest.mark.parametrize("metric", ["pearson", "spearman"])
@pytest.mark.parametrize("seeds", [(1,), (1, 2)])
def test_correlations_are_compared_whatever_the_unit_of_a_models_cosines(
    metric: str, seeds: tuple[int, ...]
) -> None:
    """A swap of cosines about 0.95 with others about 0.3 would make noise, and a better model could never win."""
    random = np.random.default_rng(5)
    own = load_shape("similarity").metrics[metric]
    gold = random.standard_normal(100)

    def predicted(noise: float, scale: float, center: float) -> Items:
        drawn = {x: center + scale * (gold + noise * random.standard_normal(100)) for x in seeds}
        return join_runs({seed: {"gold": gold, "prediction": prediction} for seed, prediction in drawn.items()})

    better, worse = predicted(0.5, 0.01, 0.95), predicted(1.5, 0.3, 0.3)
    for in_unit in (better, {x: column * 30 - 7 if "prediction" in x else column for x, column in better.items()}):
        by_chance = resampling.differences_by_chance(own, in_unit, worse, resampling.generator(0, ""), 400)
        assert resampling.p_value(own.statistic(in_unit) - own.statistic(worse), by_chance) < 0.01
        joined, together = resampling.across(own, {"de": in_unit, "sw": in_unit})
        assert joined.in_one_unit
        assert joined.statistic(joined.in_one_unit(together)) == pytest.approx(joined.statistic(together))
