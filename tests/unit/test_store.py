"""The results folder: records that are finished are found, those that are not go on, and nothing is mixed up."""

from __future__ import annotations

import random
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from xrete.errors import RecordError, XreteError
from xrete.record import Record, read_record
from xrete.store import Outcome, Slot, find_records, read_items

MakeRecord = Callable[..., Record]

KEY = "0123456789ab"
OUTCOMES = {
    "deu": Outcome({"xx2en": np.array([0, 1, 1], np.int32), "en2xx": np.array([0, 1, 2], np.int32)}, 2),
    "swh": Outcome({"xx2en": np.array([1, 0], np.int32), "en2xx": np.array([1, 1], np.int32)}, None),
}


def slot(results: Path, model: str = "labse", task: str = "tatoeba") -> Slot:
    return Slot(results, model, task, "zero-shot", "dir", KEY)


def same(left: Outcome, right: Outcome) -> bool:
    return left.truncated == right.truncated and all(
        left.items[name].tobytes() == right.items[name].tobytes()
        and left.items[name].dtype == right.items[name].dtype
        for name in {*left.items, *right.items}
    )


def test_a_record_lies_where_it_says(results: Path, make_record: MakeRecord) -> None:
    place = slot(results)
    saved = place.save(make_record("labse"), OUTCOMES)
    assert place.record_file == results / "labse" / f"tatoeba.zero-shot.dir.{KEY}.json"
    assert read_record(place.record_file) == saved
    assert saved.items is not None
    assert saved.items.file == f"tatoeba.zero-shot.dir.{KEY}.items.parquet"
    assert saved.items.rows == 5
    assert list(find_records(results)) == [place.record_file]


def test_items_come_back_by_language(results: Path, make_record: MakeRecord) -> None:
    place = slot(results)
    saved = place.save(make_record(), OUTCOMES)
    items = read_items(place.record_file, saved)
    assert list(items) == ["deu", "swh"]
    for language, outcome in OUTCOMES.items():
        assert same(Outcome(items[language], None), Outcome(outcome.items, None))


def test_items_of_another_run_are_refused(results: Path, make_record: MakeRecord) -> None:
    place = slot(results)
    saved = place.save(make_record(), OUTCOMES)
    content = place.items_file.read_bytes()
    for at in range(0, len(content), 97):
        place.items_file.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        with pytest.raises(
            RecordError, match=r"items\.parquet is not the file that .*\.json was written with; run"
        ):
            read_items(place.record_file, saved)
    place.items_file.unlink()
    with pytest.raises(RecordError, match=r"missing items of .*\.json: .*run it again with --force"):
        read_items(place.record_file, saved)


def test_a_record_without_items_says_so(results: Path, make_record: MakeRecord) -> None:
    place = slot(results)
    saved = place.save(make_record(status="failed", error="no"), {})
    assert saved.items is None
    with pytest.raises(RecordError, match=r"has no items \(failed\); run it again"):
        read_items(place.record_file, saved)


@pytest.mark.parametrize("status", ["partial", "failed"])
def test_only_a_complete_record_is_finished(results: Path, make_record: MakeRecord, status: str) -> None:
    place = slot(results)
    assert place.finished() is None
    place.save(make_record(status=status), {})
    assert place.finished() is None
    assert place.record_file.exists()
    saved = place.save(make_record(), OUTCOMES)
    assert slot(results).finished() == saved


@pytest.mark.parametrize("content", [b"", b"{", b"{}", b"\xff\xfe", b'{"schema": "xrete/record/1"}'])
def test_a_damaged_record_is_set_aside(results: Path, make_record: MakeRecord, content: bytes) -> None:
    place = slot(results)
    place.save(make_record(), OUTCOMES)
    place.record_file.write_bytes(content)
    assert place.finished() is None
    assert place.record_file.with_suffix(".damaged").read_bytes() == content
    assert list(find_records(results)) == []
    saved = place.save(make_record(), OUTCOMES)
    assert place.finished() == saved


def test_finished_languages_are_kept_until_the_record_is_complete(results: Path, make_record: MakeRecord) -> None:
    for language, outcome in OUTCOMES.items():
        slot(results).save_outcome(language, outcome)
    found = slot(results).load_outcomes()
    assert list(found) == ["deu", "swh"]
    assert all(same(found[language], OUTCOMES[language]) for language in OUTCOMES)
    assert list(find_records(results)) == []
    slot(results).save(make_record(status="partial"), OUTCOMES)
    assert len(slot(results).load_outcomes()) == 2
    slot(results).save(make_record(), OUTCOMES)
    assert slot(results).load_outcomes() == {}
    assert not slot(results).journal.exists()


def test_a_cleared_journal_is_empty(results: Path) -> None:
    slot(results).save_outcome("deu", OUTCOMES["deu"])
    slot(results).clear()
    assert slot(results).load_outcomes() == {}
    slot(results).clear()


def test_a_damaged_journal_entry_is_scored_again(results: Path) -> None:
    """Cut anywhere it is left out; other bytes stop no run, and where the columns lie they are noticed."""
    place = slot(results)
    rows = np.arange(100, dtype=np.int32)
    outcome = Outcome({"xx2en": rows % 17, "en2xx": rows}, 3)
    place.save_outcome("deu", outcome)
    place.save_outcome("swh", OUTCOMES["swh"])
    file = place.journal / "deu.parquet"
    content = file.read_bytes()
    for cut in range(0, len(content), 13):
        file.write_bytes(content[:cut])
        assert list(place.load_outcomes()) == ["swh"]
    columns = len(content) - int.from_bytes(content[-8:-4], "little") - 8  # what stands behind is about them
    draw = random.Random(0)
    for at in range(0, len(content), 23):
        file.write_bytes(content[:at] + bytes([content[at] ^ draw.randrange(1, 256)]) + content[at + 1 :])
        found = place.load_outcomes()
        assert same(found["swh"], OUTCOMES["swh"])
        if at < columns and "deu" in found:
            assert same(found["deu"], outcome)


@given(names=st.lists(st.text(st.characters(codec="utf-8"), min_size=1), min_size=2, max_size=2, unique=True))
def test_different_models_have_different_places(names: list[str]) -> None:
    places = [slot(Path("results"), name).record_file for name in names]
    assert places[0] != places[1]
    for place in places:
        assert place.parent.parent == Path("results")
        assert len(place.parent.name) < 100
        assert place.parent.name not in ("", ".", "..")
        assert "\0" not in str(place)


@given(left=st.text("ab/:.-_ ", min_size=1), right=st.text("ab/:.-_ ", min_size=1))
def test_names_that_look_alike_are_distinct(left: str, right: str) -> None:
    assume(left != right)
    assert slot(Path("results"), left).record_file != slot(Path("results"), right).record_file
    assert slot(Path("results"), task=left).record_file != slot(Path("results"), task=right).record_file


def test_names_stay_readable() -> None:
    assert slot(Path("results"), "me5-small").record_file.parent.name == "me5-small"
    folder = slot(Path("results"), "st:sentence-transformers/LaBSE").record_file.parent.name
    assert folder.startswith("st_sentence-transformers_LaBSE-")
    assert slot(Path("results"), task="acme/animals").record_file.name.startswith("acme_animals-")


def test_two_runs_of_the_same_thing_wait_for_each_other(results: Path) -> None:
    order: list[str] = []
    entered = threading.Event()

    def second() -> None:
        entered.set()
        with slot(results).lock():
            order.append("second")

    with slot(results).lock():
        waiting = threading.Thread(target=second)
        waiting.start()
        entered.wait()
        waiting.join(0.2)
        order.append("first")
    waiting.join(10)
    assert order == ["first", "second"]


def test_the_next_run_removes_what_a_killed_one_was_writing(results: Path) -> None:
    place = slot(results)
    for file in (place.record_file, place.items_file, place.journal / "deu.parquet"):
        file.parent.mkdir(parents=True, exist_ok=True)
        Path(tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.", suffix=".tmp")[1]).write_text("half")
    assert len(list(results.rglob("*.tmp"))) == 3
    with place.lock():
        assert not list(results.rglob("*.tmp"))


def test_an_error_gives_the_lock_back(results: Path) -> None:
    with pytest.raises(ValueError, match="no"), slot(results).lock():
        raise ValueError("no")
    done = threading.Thread(target=lambda: slot(results).lock().__enter__())
    done.start()
    done.join(10)
    assert not done.is_alive()


def test_a_results_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(XreteError, match=r"^cannot write .*/taken/.*name another folder, then run again$"):
        slot(tmp_path / "taken").lock().__enter__()


def test_records_are_found_in_order_and_nothing_else_is(tmp_path: Path, make_record: MakeRecord) -> None:
    results = tmp_path / "run.partial" / "results"  # a folder may be called anything
    for model in ("b", "a", "c/d"):
        slot(results, model).save(make_record(), OUTCOMES)
        slot(results, model).save_outcome("deu", OUTCOMES["deu"])
    (results / "paper").mkdir()
    (results / "paper" / "table-01.json").write_text("{}")  # the paper's numbers
    found = list(find_records(results))
    assert found == sorted(found)
    assert [path.parent.name.split("-")[0] for path in found] == ["a", "b", "c_d"]
