"""Others' published numbers beside ours: whose model it is, means over the same languages, and what agrees."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from xrete.errors import XreteError
from xrete.published.numbers import Publication, PublishedNumber
from xrete.record import Record
from xrete.reporting.collect import Entry
from xrete.reporting.formats.csv_json import to_csv
from xrete.reporting.formats.markdown import to_markdown
from xrete.reporting.leaderboard import Leaderboard, TableCell
from xrete.reporting.published import name_elsewhere
from xrete.reporting.tables.views import Request, build

MakeRecord = Callable[..., Record]
LABSE = "sentence-transformers/LaBSE"


def number(model: str, language: str, value: float, **options: Any) -> PublishedNumber:
    fields = {
        "source": "mteb", "model": model, "revision": "1", "task": "tatoeba", "protocol": "zero-shot",
        "metric": "accuracy", "language": language, "group": None, "value": value, "n": 1000, "split": "test",
        "data_revision": "d1", "evaluator": "1.0.0",
    }  # fmt: skip
    return PublishedNumber(**fields | options)


def publication(*numbers: PublishedNumber) -> tuple[Publication, ...]:
    return (Publication(source="mteb", version="c0ffee", licence="", command="", numbers=numbers),)


def board(records: list[Record], *numbers: PublishedNumber, **options: Any) -> Leaderboard:
    entries = [Entry(f"{place}.json", record) for place, record in enumerate(records)]
    return build(entries, Request(**{"tasks": ("tatoeba",), "publications": publication(*numbers)} | options))


def cells(made: Leaderboard, label: str) -> tuple[TableCell, ...]:
    return next(row.cells for row in made.rows if row.labels[-1] == label)


def test_a_model_of_ours_has_a_name_elsewhere() -> None:
    names = {name: name_elsewhere(name) for name in ("labse", "st:a/b", "me5-small", "use-m3", "nobody", "labse:x")}
    assert names == {
        "labse": LABSE, "st:a/b": "a/b", "me5-small": "intfloat/multilingual-e5-small",
        "use-m3": None, "nobody": None, "labse:x": None,
    }  # fmt: skip


def test_own_numbers_are_compared_on_the_languages_of_both(make_record: MakeRecord) -> None:
    """Ours is 75.0 (73.5 to 76.3) on two languages; theirs is 75.5 on these, and 83.7 on all three."""
    ours = make_record("labse", scores={"deu": 90.0, "swh": 60.0})
    theirs = [number(LABSE, "deu", 90.5), number(LABSE, "swh", 60.5), number(LABSE, "fra", 100.0)]
    made = board([ours], *theirs, number("acme/other", "deu", 10.0))
    assert [row.labels[-1] for row in made.rows] == ["labse", f"mteb: {LABSE}", "mteb: acme/other"]
    (cell,) = cells(made, f"mteb: {LABSE}")
    assert cell.value == pytest.approx(251 / 3)
    assert cell.verdict
    assert (cell.verdict.status, cell.verdict.ours) == ("reproduced", "labse")
    assert cell.verdict.difference == pytest.approx(-0.5)
    assert cell.notes == ("on the 2 languages of labse, mteb has 75.5, and labse 75.0",)
    (other,) = cells(made, "mteb: acme/other")
    assert (other.verdict, other.mark, other.standing) == (None, None, None)
    assert other.evidence
    assert (other.evidence.record, other.evidence.source, len(other.evidence.missing)) == (None, "mteb", 111)
    assert any("1 reproduced" in remark for remark in made.remarks)
    (differs,) = cells(board([ours], *theirs[:1], number(LABSE, "swh", 70.0)), f"mteb: {LABSE}")
    assert differs.verdict
    assert differs.verdict.status == "differs"


@pytest.mark.parametrize(
    ("options", "sentence"), [({"split": "dev"}, "on split test"), ({"language": "fra"}, "also over deu swh")]
)
def test_what_is_not_compared(make_record: MakeRecord, options: dict[str, Any], sentence: str) -> None:
    ours = make_record("labse", scores={"deu": 90.0, "swh": 60.0})
    (cell,) = cells(board([ours], number(LABSE, "deu", 90.0)._replace(**options)), f"mteb: {LABSE}")
    assert cell.verdict
    assert (cell.verdict.status, cell.verdict.difference) == ("not comparable", None)
    assert sentence in cell.notes[0]


def test_means_over_groups_and_languages(make_record: MakeRecord) -> None:
    theirs = [number("a/b", "deu", 90.0), number("a/b", "swh", 60.0), number("a/b", "yid", 30.0)]
    made = board([make_record("labse", scores={"deu": 90.0}, groups={"head": ["deu"]})], *theirs, table="long-tail")
    assert [cell.value for cell in cells(made, "mteb: a/b")][-2:] == [75.0, 30.0], "German and Swahili are head"
    made = board([make_record("labse")], *theirs, number(LABSE, "deu", 90.0), table="per-language")
    assert sum("mteb" in str(column.lines) for column in made.columns) == 1, "of hundreds only the same models"
    made = board([make_record("labse")], *theirs, table="per-language", models=("labse", "a/b"))
    (german,) = (row for row in made.rows if row.labels[0] == "deu")
    assert german.cells[-1].value == 90.0
    assert german.cells[-1].ci95 == pytest.approx((87.97, 91.79), abs=0.01)


def test_another_metric_is_asked_for(make_record: MakeRecord) -> None:
    theirs = [
        number("a/b", "en-en", value, task="multists", metric=metric, n=250)
        for metric, value in (("spearman", 80.0), ("pearson", 70.0))
    ]
    ours = make_record("labse", "multists", {"en-en": 60.0}, metric="spearman")
    made = board([ours], *theirs, tasks=("multists",))
    assert [cell.value for cell in cells(made, "mteb: a/b")] == [80.0]


def test_models_narrow_the_others_too(make_record: MakeRecord) -> None:
    records = [make_record("labse"), make_record("use-m3")]
    theirs = [number(name, "deu", 90.0) for name in (LABSE, "a/b", "c/d")]
    made = board(records, *theirs, models=("labse", "a/b"))
    assert [row.labels[-1] for row in made.rows] == ["labse", f"mteb: {LABSE}", "mteb: a/b"]


def test_published_numbers_do_not_stand_beside_the_mini_sample(make_record: MakeRecord) -> None:
    with pytest.raises(XreteError, match="cannot stand beside the mini sample"):
        board([make_record("labse", source="mini")], number(LABSE, "deu", 90.0))


def test_hostile_names_are_harmless(make_record: MakeRecord) -> None:
    name = "<b>|=1+1\u202e\n`x`"
    made = board([make_record("labse")], number(name, "deu", 90.0))
    text = to_markdown(made)
    assert "<b>" not in text
    assert "\u202e" not in text + to_csv([made])
    assert "\n=1" not in to_csv([made])
