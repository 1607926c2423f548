"""For the hub: cards that its own library reads back, and a folder of records that is whole."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from huggingface_hub import ModelCard, metadata_load

from xrete.errors import RecordError, XreteError
from xrete.record import Record, read_record
from xrete.reporting.collect import Entry
from xrete.reporting.formats import hub
from xrete.reporting.tables.views import Request
from xrete.reporting.text import plain
from xrete.store import read_items

MakeRecord = Callable[..., Record]
MakeEntries = Callable[[Iterable[Record]], list[Entry]]

HOSTILE = [
    "---\nlicense: mit\n---",
    "a: b\n- c: [x](javascript:alert(1))",
    "../../../etc/passwd",
    "<script>alert(1)</script>|*x*",
    "=1+1",
    "\u202egnp.exe",
    "x" * 300,
    '"quoted" {{braces}} !!python/object:os.system',
]


def written(entries: list[Entry], folder: Path) -> list[Path]:
    return list(hub.write(entries, Request(), folder, []))


def test_a_card_says_what_the_record_says(
    make_record: MakeRecord, make_entries: MakeEntries, tmp_path: Path
) -> None:
    records = [
        make_record("labse", missing=["fra"]),
        make_record("labse", "xnli", {"de": 70.0}, protocol="probe"),
        make_record("labse", "pawsx", limit=10),
        make_record("labse", "qe", source="mini"),
        make_record("labse", "bucc", status="failed", error="no memory"),
    ]
    written(make_entries(records), tmp_path)
    card = ModelCard.load(tmp_path / "models" / "labse" / "README.md")
    results = card.data.eval_results
    assert card.data.model_name == "labse"
    assert results is not None
    assert len(results) == 2, "whole records of real data only"
    (tatoeba,) = (x for x in results if x.metric_name and "zero-shot" in x.metric_name)
    assert tatoeba.metric_value == 75.0
    assert (tatoeba.dataset_type, tatoeba.dataset_split) == ("mteb/tatoeba-bitext-mining", "test")
    assert (tatoeba.task_type, tatoeba.metric_type) == ("sentence-similarity", "accuracy")
    assert tatoeba.metric_name == "accuracy, zero-shot, mean over 2 of 3 languages"
    assert tatoeba.metric_args == {
        "protocol": "zero-shot",
        "languages": "deu swh",
        "items": 2000,
        "ci95": [73.5, 76.3],
        "higher_is_better": True,
        "data_fingerprint": "deu-swh:test:False",
    }
    assert "| labse" in card.text
    assert "75.0 ±1.4 (2/3)" in card.text


def test_geometry_has_its_three_metrics(make_record: MakeRecord, tmp_path: Path) -> None:
    record = make_record(
        "labse", "flores-geometry", {"deu_Latn": 0.4}, metric="kl", higher_is_better=False,
        variants={"ch": 40.0, "pr": 0.1, "ch_raw": 1.0},
    ).model_copy(update={"shape": "geometry"})  # fmt: skip
    written([Entry("x.json", record)], tmp_path)
    results = ModelCard.load(tmp_path / "models" / "labse" / "README.md").data.eval_results
    assert results is not None
    assert [(x.metric_type, x.metric_value) for x in results] == [("kl", 0.4), ("ch", 40.4), ("pr", 0.5)]


def test_the_records_come_whole_and_can_be_read(
    make_record: MakeRecord, make_entries: MakeEntries, tmp_path: Path
) -> None:
    files = written(make_entries([make_record("a"), make_record("b")]), tmp_path)
    assert sorted(files) == sorted(path for path in tmp_path.rglob("*") if path.is_file())
    for path in tmp_path.rglob("*.json"):
        assert set(read_items(path, read_record(path))) == {"deu", "swh"}


def test_what_is_not_whole_is_not_published(
    make_record: MakeRecord, make_entries: MakeEntries, tmp_path: Path
) -> None:
    (entry,) = make_entries([make_record("a")])
    assert entry.path
    (items,) = entry.path.parent.glob("*.parquet")
    items.write_bytes(b"other")
    with pytest.raises(RecordError, match="is not the file that"):
        written([entry], tmp_path)
    with pytest.raises(XreteError, match="no complete record of real data"):
        written(make_entries([make_record("a", limit=5)]), tmp_path)
    with pytest.raises(XreteError, match="no real records here"):
        written(make_entries([make_record("a", source="mini")]), tmp_path)


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names(name: str, make_record: MakeRecord, make_entries: MakeEntries, tmp_path: Path) -> None:
    out = tmp_path / "out"
    files = written(make_entries([make_record(name, n=20), make_record(name, name, n=20)]), out)
    assert all(path.resolve().is_relative_to(out.resolve()) for path in files)
    (card,) = out.glob("models/*/README.md")
    body = card.read_text("utf-8").split("---\n", 2)[2]
    known = metadata_load(card)
    assert known is not None
    assert set(known) == {"tags", "model-index"}
    assert known["model-index"][0]["name"] == plain(name)
    assert "<script" not in body
    assert not any(line.startswith(("---", "license")) for line in body.splitlines())
    assert ModelCard.load(card).data.model_name == plain(name)


def test_items_of_a_hostile_record_stay_in_their_folder(
    make_record: MakeRecord, make_entries: MakeEntries, tmp_path: Path
) -> None:
    (entry,) = make_entries([make_record("a")])
    assert entry.record.items
    part = entry.record.items.model_copy(update={"file": "../../secret.parquet"})
    forged = Entry(entry.file, entry.record.model_copy(update={"items": part}), entry.path)
    with pytest.raises(RecordError, match="missing items of"):
        written([forged], tmp_path)
