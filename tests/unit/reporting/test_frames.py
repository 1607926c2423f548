"""Data frames: all scores, and the items of a record."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import xrete
from xrete.errors import RecordError, XreteError
from xrete.record import Record, read_record, write_record
from xrete.reporting.collect import Entry
from xrete.store import find_records

MakeRecord = Callable[..., Record]
MakeEntries = Callable[[list[Record]], list[Entry]]

ROOT = Path(__file__).parents[3]
COLUMNS = "model task protocol split language metric score low high n source revision".split()


def test_the_frame_holds_what_the_records_say() -> None:
    frame = xrete.leaderboard(ROOT / "results" / "measured")
    assert list(frame.columns) == COLUMNS
    assert set(frame["source"]) == {"measured"}
    for path in find_records(ROOT / "results" / "measured"):
        record = read_record(path)
        rows = frame.query("model == @record.model.name and task == @record.task and protocol == @record.protocol")
        assert dict(zip(rows["language"], rows["score"], strict=True)) == {
            language: score.score for language, score in record.languages.items()
        }
        assert rows["n"].tolist() == [score.n for score in record.languages.values()]


def test_published_numbers_are_rows_too(tmp_path: Path) -> None:
    frame = xrete.leaderboard(tmp_path, published=True)
    assert set(frame["source"]) == {"mteb", "paper"}
    labse = frame.query("model == 'sentence-transformers/LaBSE' and task == 'tatoeba'")
    assert len(labse) == 112
    assert (labse["low"] <= labse["score"]).all()
    assert (labse["score"] <= labse["high"]).all()
    assert not frame.duplicated(["source", "model", "task", "protocol", "split", "language", "metric"]).any()


def test_an_empty_folder_gives_an_empty_frame(tmp_path: Path) -> None:
    assert list(xrete.leaderboard(tmp_path).columns) == COLUMNS
    assert len(xrete.leaderboard()) == 0
    with pytest.raises(XreteError, match="missing results folder"):
        xrete.leaderboard(tmp_path / "none")


def test_a_damaged_record_is_a_warning(tmp_path: Path, make_record: MakeRecord) -> None:
    write_record(tmp_path / "good.json", make_record())
    (tmp_path / "bad.json").write_text("{", "utf-8")
    with pytest.warns(UserWarning, match=r"bad\.json is not a record"):
        frame = xrete.leaderboard(tmp_path)
    assert len(frame) == 2


def test_the_items_of_a_record(tmp_path: Path, new_ngrams: Callable[..., Any]) -> None:
    task = xrete.load_task("tatoeba", "mini", languages=["de", "sw"])
    with pytest.raises(RecordError, match=r"no items of .* were kept; give a folder"):
        xrete.evaluate(new_ngrams(), task).to_frame()
    saved = xrete.evaluate(new_ngrams(), task, results=tmp_path)
    frame = saved.to_frame()
    (path,) = find_records(tmp_path)
    assert frame.equals(read_record(path).to_frame())
    for language, rows in frame.groupby("language"):
        right = np.mean(rows["xx2en"].to_numpy() == np.arange(len(rows)))
        assert saved.languages[str(language)].score == pytest.approx(100 * right)
    assert saved.items is not None
    (path.parent / saved.items.file).write_bytes(b"other")
    with pytest.raises(RecordError, match="is not the file that"):
        saved.to_frame()


def test_hostile_names_are_harmless(tmp_path: Path, make_record: MakeRecord) -> None:
    write_record(tmp_path / "evil.json", make_record("evil\x1b[31m\u202e\nname"))
    (name,) = set(xrete.leaderboard(tmp_path)["model"])
    assert name.isprintable()
