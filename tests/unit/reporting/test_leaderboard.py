"""From records to a leaderboard: what is shown, what is compared, and why something is missing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xrete.errors import UsageError, XreteError
from xrete.record import Record
from xrete.reporting.collect import Entry, read_entries
from xrete.reporting.leaderboard import Leaderboard, TableCell
from xrete.reporting.tables.marks import contest
from xrete.reporting.tables.views import Request, build

MakeRecord = Callable[..., Record]
MakeEntries = Callable[[Iterable[Record]], list[Entry]]
SaveRecord = Callable[..., Path]


def board(records: Sequence[Record], **options: Any) -> Leaderboard:
    return build([Entry(f"{i}.json", record) for i, record in enumerate(records)], Request(**options))


def cells(made: Leaderboard) -> dict[tuple[str, str], TableCell]:
    """The cells by row and column: of the latter the last but one line, which names what varies in these tests."""
    return {
        (row.labels[0], "/".join(column.lines[:-1])): cell
        for row in made.rows
        for column, cell in zip(made.columns, row.cells, strict=True)
    }


def test_a_main_table_has_one_column_a_task_and_protocol(make_record: MakeRecord) -> None:
    made = board(
        [
            make_record("a", "flores"),
            make_record("a", "xnli", {"de": 70.0}, protocol="fine-tune"),
            make_record("a", "xnli", {"de": 50.0}, protocol="zero-shot"),
            make_record("b", "xnli", {"de": 60.0}, protocol="probe"),
        ]
    )
    assert [column.lines[:2] for column in made.columns] == [
        ("xnli", "fine-tune"),
        ("xnli", "probe"),
        ("flores", "zero-shot"),
    ]
    found = cells(made)
    assert found["a", "xnli/fine-tune"].value == 70.0
    assert found["a", "xnli/probe"].reason == "not run"
    assert found["b", "xnli/probe"].value == 60.0
    assert not any(cell.mark for cell in made.cells)


def test_a_failed_fine_tuning_does_not_vanish_behind_a_zero_shot_score(make_record: MakeRecord) -> None:
    made = board(
        [
            make_record("a", "xnli", protocol="fine-tune", status="failed", error="loss is NaN"),
            make_record("a", "xnli", protocol="zero-shot"),
        ]
    )
    found = cells(made)
    assert found["a", "xnli/fine-tune"].reason == "failed: loss is NaN"
    assert found["a", "xnli/zero-shot"].value == 75.0


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"status": "failed", "error": "no memory"}, "failed: no memory"),
        ({"status": "failed"}, "failed: its record does not say why"),
        ({"status": "partial", "scores": {"deu": 1.0}}, "unfinished"),
        ({"limit": 50}, "only with --limit 50"),
        ({"scores": {"deu": float("nan")}}, "its record holds no finite number"),
    ],
)
def test_a_missing_cell_says_why(make_record: MakeRecord, options: dict[str, Any], reason: str) -> None:
    made = board([make_record("a", **options), make_record("b")])
    cell = cells(made)["a", "tatoeba/zero-shot"]
    assert (cell.value, cell.reason, cell.mark) == (None, reason, None)


def test_the_best_two_are_marked_where_somebody_is_worse_beyond_chance(
    make_record: MakeRecord, make_entries: MakeEntries
) -> None:
    def cells_of(*scores: float, **options: Any) -> list[TableCell]:
        records = [make_record(f"m{i}", scores={"deu": score}, **options) for i, score in enumerate(scores)]
        return list(build(make_entries(records), Request()).cells)

    def marks(*scores: float, **options: Any) -> list[str | None]:
        return [cell.mark for cell in cells_of(*scores, **options)]

    assert marks(90, 80, 70) == ["best", "second", None]
    assert marks(90, 80) == ["best", None]
    assert marks(90) == [None]
    assert marks(90, 90) == [None, None]
    assert marks(90, 90, 80, 70) == ["best", "best", "second", None]
    assert marks(90.1, 90.0, 80) == ["best", "best", None], "one item more is chance"
    assert marks(0.45, 0.35, 0.55, metric="mae", higher_is_better=False) == ["second", "best", None]
    standings = [cell.standing for cell in cells_of(90.1, 90.0, 80)]
    assert [standing and (standing.best, standing.worst) for standing in standings] == [(1, 2), (1, 2), (3, 3)]


def test_without_items_nothing_is_ranked(make_record: MakeRecord, make_entries: MakeEntries) -> None:
    assert not any(cell.mark or cell.standing for cell in board([make_record("a"), make_record("b")]).cells)
    entries = make_entries([make_record("a"), make_record("b", scores={"deu": 10.0, "swh": 10.0})])
    path = entries[0].path
    assert path
    path.with_name(path.stem + ".items.parquet").unlink()
    made = build(entries, Request())
    assert not any(cell.mark or cell.standing for cell in made.cells)
    assert any(remark.startswith("No ranks of tatoeba: missing items of") for remark in made.remarks)


@pytest.mark.parametrize(
    "other",
    [
        {"scores": {"deu": 99.0}, "missing": ["swh"]},
        {"scores": {"deu": 99.0, "fra": 99.0}},
        {"scores": {"deu": 99.0, "swh": 99.0}, "split": "dev"},
        {"scores": {"deu": 99.0, "swh": 99.0}, "fingerprint": "changed"},
    ],
    ids=["fewer languages", "other languages", "another split", "other data"],
)
def test_no_mark_and_no_order_across_unequal_evidence(
    make_record: MakeRecord, make_entries: MakeEntries, other: dict[str, Any]
) -> None:
    usual = [make_record("b"), make_record("a", scores={"deu": 80.0, "swh": 50.0})]
    made = build(make_entries([make_record("z", **other), *usual]), Request())
    assert [row.labels[0] for row in made.rows] == ["a", "b", "z"], "rows are in the order of names"
    assert [row.cells[0].mark for row in made.rows] == [None, "best", None]
    assert [len(row.cells[0].notes) for row in made.rows] == [0, 0, 1]
    assert "not compared with the others" in made.rows[2].cells[0].notes[0]


@settings(deadline=None, max_examples=15)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 10).map(lambda tens: 10 * tens),
            st.sampled_from(["deu", "deu swh", "swh"]),
            st.sampled_from(["dev", "test"]),
        ),
        min_size=1,
        max_size=8,
    )
)
def test_marks_are_right_within_each_contest(
    make_record: MakeRecord, make_entries: MakeEntries, models: list[tuple[int, str, str]]
) -> None:
    records = [
        make_record(f"m{i}", scores=dict.fromkeys(codes.split(), float(score)), split=split)
        for i, (score, codes, split) in enumerate(models)
    ]
    entries = make_entries(records)
    for request in (Request(), Request(table="per-language", tasks=("tatoeba",))):
        made = list(build(entries, request).cells)
        for cell in made:
            rivals = {x.value for x in made if contest(x) == contest(cell) is not None and x.value is not None}
            if cell.mark:
                assert cell.value is not None
                assert min(rivals) < cell.value
                assert sum(x > cell.value for x in rivals) == ["best", "second"].index(cell.mark)
            elif cell.value is not None:
                assert cell.value == min(rivals) or sum(x > cell.value for x in rivals) >= 2


def test_a_mean_carries_its_coverage(make_record: MakeRecord) -> None:
    made = board(
        [make_record("a", missing=["fra", "spa"], groups={"head": ["deu", "fra"], "long-tail": ["swh", "spa"]})],
        table="long-tail",
    )
    head, tail = made.rows[0].cells
    assert [column.lines[1] for column in made.columns] == ["head", "long-tail"]
    assert head.evidence
    assert tail.evidence
    assert (head.value, head.evidence.languages, head.evidence.expected) == (90.0, ("deu",), 2)
    assert (tail.value, tail.evidence.languages, tail.evidence.n) == (60.0, ("swh",), 1000)
    assert head.evidence.language_set != tail.evidence.language_set


def test_of_several_records_the_widest_then_the_newest_is_shown(make_record: MakeRecord) -> None:
    made = board(
        [
            make_record(scores={"deu": 1.0, "swh": 1.0}, created="2026-01-01T00:00:00+00:00"),
            make_record(scores={"deu": 2.0, "swh": 2.0}, created="2026-02-01T00:00:00+00:00"),
            make_record(scores={"deu": 3.0}, created="2026-03-01T00:00:00+00:00"),
        ]
    )
    assert made.rows[0].cells[0].value == 2.0
    assert any(remark.startswith("Several records: 3 of use-m3 on tatoeba") for remark in made.remarks)


def test_revisions_are_rows_of_their_own(make_record: MakeRecord) -> None:
    made = board(
        [
            make_record("a", revision="0123456789abcdef"),
            make_record("a", revision="fedcba9876543210"),
            make_record("b", revision="0123456789abcdef"),
        ]
    )
    assert [row.labels[0] for row in made.rows] == ["a (01234567)", "a (fedcba98)", "b"]


def test_real_and_mini_records_never_meet(make_record: MakeRecord) -> None:
    records = [make_record("a"), make_record("b", source="mini"), make_record("c", source="hub")]
    real = board(records)
    assert [row.labels[0] for row in real.rows] == ["a", "c"]
    assert "1 record of the mini sample left out (--data mini shows them)." in real.remarks
    mini = board(records, kind="mini")
    assert [row.labels[0] for row in mini.rows] == ["b"]
    assert mini.title == "MINI SAMPLE · Main results"
    assert board(records[1:2]).title.startswith("MINI SAMPLE")
    with pytest.raises(XreteError, match=r"no real records here, but 1 mini ones: --data mini"):
        board(records[1:2], kind="real")
    with pytest.raises(XreteError, match="cannot stand beside the mini sample"):
        board(records[1:2], with_paper=True)


def test_trial_runs_are_left_out_and_counted(make_record: MakeRecord) -> None:
    made = board([make_record("a"), make_record("a", limit=10, scores={"deu": 100.0, "swh": 100.0, "fra": 100.0})])
    assert made.rows[0].cells[0].value == 75.0
    assert "1 record of trial runs (--limit) left out." in made.remarks


def test_another_metric(make_record: MakeRecord) -> None:
    records = [
        make_record(f"m{i}", scores={"deu": 50.0 + i}, variants={"accuracy_en2xx": -5, "mrr": 1}) for i in (0, 1)
    ]
    made = board(records, metric="accuracy_en2xx")
    assert [(cell.value, cell.ci95, cell.higher_is_better) for cell in made.cells] == [
        (45.0, None, True),
        (46.0, None, True),
    ]
    unknown = board(records, metric="mrr")
    assert {cell.higher_is_better for cell in unknown.cells} == {None}, (
        "a record says it of its headline metric only"
    )
    assert any("mrr" in remark for remark in unknown.remarks)
    with pytest.raises(UsageError, match=r"unknown metric 'accuracy_en'; did you mean accuracy_en2xx"):
        board(records, metric="accuracy_en")


def test_a_table_of_languages(make_record: MakeRecord) -> None:
    records = [
        make_record("a"),
        make_record("b", scores={"deu": 50.0}, missing=["swh"]),
        make_record("c", "flores"),
    ]
    made = board(records, table="per-language", tasks=("tatoeba",))
    assert [column.lines[0] for column in made.columns] == ["a", "b"]
    assert [row.labels for row in made.rows] == [
        ("deu", "German"),
        ("swh", "Swahili"),
        ("mean", "all"),
    ]
    assert made.rows[1].cells[1].reason == "language not scored"
    assert made.intervals
    assert not any(cell.mark for cell in made.cells), "the two were scored on different data"
    for tasks in ((), ("tatoeba", "flores")):
        with pytest.raises(UsageError, match="name it with --task"):
            board(records, table="per-language", tasks=tasks)


def test_the_paper_stands_apart(make_record: MakeRecord, make_entries: MakeEntries) -> None:
    records = [make_record("a"), make_record("b", scores={"deu": 10.0, "swh": 10.0})]
    made = build(make_entries(records), Request(with_paper=True))
    paper = [row for row in made.rows if row.section == "paper"]
    found = cells(made)
    assert found["paper: EMMA-X", "tatoeba/zero-shot"].value == 82.5
    assert found["paper: EMMA-X", "xnli/fine-tune"].value == 88.1, "columns that nobody measured here stand too"
    assert found["paper: ChatGPT (prompted)", "xnli/fine-tune"].value == 60.9
    assert len(made.columns) == 12
    assert "paper: XLM-R (literature)" in [row.labels[0] for row in paper]
    assert not any(cell.mark for row in paper for cell in row.cells)
    assert found["a", "tatoeba/zero-shot"].mark == "best", "the paper's higher numbers take no mark away"
    assert any("not measured with XRETE" in remark for remark in made.remarks)


def test_the_papers_stars_are_compared_in_one_unit(make_record: MakeRecord) -> None:
    mae = make_record("a", "multiarc", {"de": 0.4}, metric="mae", higher_is_better=False, protocol="fine-tune")
    made = board([mae], with_paper=True)
    assert [column.lines[-1] for column in made.columns if column.lines[0] == "multiarc"] == ["mae ↓"]
    emmax = cells(made)["paper: EMMA-X", "multiarc/fine-tune"]
    assert (emmax.value, emmax.printed, emmax.digits) == (0.327, "32.7", 3)
    assert "The paper prints multiarc in another unit: 32.7 is 0.327 here." in made.remarks


@pytest.mark.parametrize(
    ("table", "task", "column", "value"),
    [
        ("zero-shot", "tatoeba", "tatoeba/zero-shot", 83.6),
        ("long-tail", "flores", "flores/head/zero-shot", 99.9),
    ],
)
def test_each_table_has_the_papers_own(
    make_record: MakeRecord, table: Any, task: str, column: str, value: float
) -> None:
    made = board([make_record("a", task, groups={"head": ["deu"]})], with_paper=True, table=table)
    assert cells(made)["paper: LaBSE", column].value == value
    narrowed = board(
        [make_record("a", task, groups={"head": ["deu"]})], with_paper=True, table=table, tasks=(task,)
    )
    assert {x.lines[0] for x in narrowed.columns} == {task}, "columns of the paper are of the named tasks only"


def test_the_papers_languages(make_record: MakeRecord) -> None:
    made = board([make_record("a")], table="per-language", tasks=("tatoeba",), with_paper=True)
    assert [column.lines[0] for column in made.columns] == ["a", "paper: EMMA-X"], "no ablations here"
    afrikaans = next(row for row in made.rows if row.labels[0] == "afr")
    assert (afrikaans.cells[0].reason, afrikaans.cells[1].value) == ("language not scored", 93.9)
    assert made.rows[-1].cells[1].reason == "not in the paper"


def test_filters_know_their_names(make_record: MakeRecord) -> None:
    records = [make_record("labse"), make_record("xlmr", "flores")]
    assert [row.labels[0] for row in board(records, models=("xlmr",)).rows] == ["xlmr"]
    with pytest.raises(UsageError, match="unknown model 'labs'; did you mean labse"):
        board(records, models=("labs",))
    with pytest.raises(UsageError, match="unknown task 'xnli'"):
        board(records, tasks=("xnli",))
    with pytest.raises(XreteError, match="no record of labse on flores"):
        board(records, models=("labse",), tasks=("flores",))
    with pytest.raises(XreteError, match="no record here belongs in table zero-shot"):
        board(records, models=("xlmr",), table="zero-shot")


def test_reading_skips_the_papers_tables_and_names_what_is_damaged(save_record: SaveRecord, results: Path) -> None:
    save_record("a")
    (results / "paper").mkdir()
    (results / "paper" / "table-01.json").write_text("{}")
    (results / "broken.json").write_text("{")
    (results / "newer.json").write_text('{"schema": "xrete/record/9"}')
    entries, unreadable = read_entries([results, results / "model-000"])
    assert [entry.file for entry in entries] == ["model-000/record.json"], "each record once"
    assert ["broken.json is not a record" in unreadable[0], "xrete/record/9" in unreadable[1]] == [True, True]


def test_nothing_to_read_is_an_error(results: Path) -> None:
    with pytest.raises(XreteError, match="no records below"):
        read_entries([results])
    (results / "broken.json").write_text("{")
    with pytest.raises(XreteError, match=r"no readable record below .* \(1 damaged\)"):
        read_entries([results])
    with pytest.raises(XreteError, match="missing results folder"):
        read_entries([results / "nowhere"])
