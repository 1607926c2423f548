"""The record: what is written is read, old files are read for ever, and damage is named."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from xrete.errors import RecordError
from xrete.record import LanguageScore, Record, read_content, read_record, record_digest, write_record

MakeRecord = Callable[..., Record]

GOLDEN = Path(__file__).parents[1] / "golden" / "record-v1.json"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "record.json"


def golden() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(GOLDEN.read_text("utf-8"))
    return content


def same(old: Any, new: Any) -> bool:
    """Returns whether `new` says all that `old` says; keys with defaults may have been added."""
    if isinstance(old, dict):
        return isinstance(new, dict) and all(key in new and same(value, new[key]) for key, value in old.items())
    return bool(old == new)


def test_a_record_of_the_first_release_is_read_for_ever(path: Path) -> None:
    """Never change the golden file. Whoever cannot read it has broken every record that was ever published."""
    record = read_record(GOLDEN)
    assert record.model.params == 117653760
    assert record.groups["long-tail"].missing == ("cym",)
    assert record.languages["swg"].ci95 == (46.42857142857143, 64.28571428571429)
    write_record(path, record)
    assert same(golden(), json.loads(path.read_text("utf-8")))
    assert next(iter(json.loads(path.read_text("utf-8")))) == "schema"


@pytest.mark.parametrize("status", ["complete", "partial", "failed"])
def test_what_is_written_is_read(path: Path, make_record: MakeRecord, status: str) -> None:
    record = make_record(status=status, error="naïve – 文" if status == "failed" else None)
    write_record(path, record)
    assert read_record(path) == record
    assert path.read_text("utf-8") == record.to_json()


@given(
    score=st.floats(allow_nan=False, allow_infinity=False),
    low=st.floats(0, 1),
    error=st.none() | st.text(st.characters(codec="utf-8")),
    name=st.text(st.characters(codec="utf-8")),
)
def test_numbers_and_texts_come_back_to_the_bit(
    tmp_path_factory: pytest.TempPathFactory, score: float, low: float, error: str | None, name: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "record.json"
    language = LanguageScore(score=score, n=3, ci95=(low, score), variants={name: score})
    changes = {"score": score, "error": error, "languages": {name: language}}
    record = read_record(GOLDEN).model_copy(update=changes)
    write_record(path, record)
    assert read_record(path) == record


def test_a_newer_schema_is_refused_by_name(path: Path) -> None:
    path.write_text(json.dumps(golden() | {"schema": "xrete/record/2", "key of the future": 1}))
    with pytest.raises(
        RecordError, match=r"record\.json has schema 'xrete/record/2'; .* reads xrete/record/1: update"
    ):
        read_record(path)


@pytest.mark.parametrize("key", sorted(set(golden()) - {"error", "notes", "schema"}))
def test_a_missing_key_is_named(path: Path, key: str) -> None:
    path.write_text(json.dumps({name: value for name, value in golden().items() if name != key}))
    with pytest.raises(
        RecordError, match=rf"record\.json is damaged: {key}: Field required; restore it or run again$"
    ):
        read_record(path)


@pytest.mark.parametrize(
    ("place", "value", "says"),
    [
        (("surprise",), 1, "surprise: Extra inputs are not permitted"),
        (("model", "surprise"), 1, "model.surprise: Extra inputs are not permitted"),
        (("languages", "tzl", "surprise"), 1, "languages.tzl.surprise: Extra inputs"),
        (("languages", "tzl", "score"), "high", "languages.tzl.score: Input should be a valid number"),
        (("groups", "all", "ci95"), [1], "groups.all.ci95"),
        (("status",), "done", "status: Input should be 'complete', 'partial' or 'failed'"),
        (("data", "source"), "web", "data.source: Input should be 'dir', 'hub' or 'mini'"),
        (("items", "rows"), 1.5, "items.rows: Input should be a valid integer"),
    ],
)
def test_a_wrong_key_is_named_with_its_place(path: Path, place: tuple[str, ...], value: object, says: str) -> None:
    content = golden()
    part = content
    for name in place[:-1]:
        part = part[name]
    part[place[-1]] = value
    path.write_text(json.dumps(content))
    with pytest.raises(RecordError, match=re.escape(says)):
        read_record(path)


def test_what_is_no_record_is_said(path: Path) -> None:
    with pytest.raises(RecordError, match=r"^missing record: .*/record\.json$"):
        read_record(path)
    path.write_text('{\n"schema": \n')
    with pytest.raises(
        RecordError, match=r"record\.json is not a record: not JSON at line 3; restore or remove it"
    ):
        read_record(path)
    path.write_bytes(b'{\n"schema": "\xff"}')
    with pytest.raises(RecordError, match=r"record\.json, line 2: not UTF-8"):
        read_record(path)
    for content in ("[]", "{}", "3", '"text"', "null"):
        path.write_text(content)
        with pytest.raises(RecordError, match=r"record\.json has schema None"):
            read_record(path)


@given(cut=st.integers(0, GOLDEN.stat().st_size - 2), junk=st.binary(max_size=3))
def test_a_record_that_is_cut_or_torn_is_refused(
    tmp_path_factory: pytest.TempPathFactory, cut: int, junk: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "torn.json"
    whole = GOLDEN.read_bytes()
    assume((whole[:cut] + junk).strip() != whole.strip())  # the junk may be what was cut
    path.write_bytes(whole[:cut] + junk)
    with pytest.raises(RecordError):
        read_record(path)


def test_a_sealed_record_has_the_digest_of_its_file(path: Path, make_record: MakeRecord) -> None:
    """As anyone can take it: of the file's JSON without that key, with sorted keys and no spaces, in ASCII."""
    record = make_record("modèle – 文", error="naïve")
    assert record.digest is None
    write_record(path, record.sealed())
    content = json.loads(path.read_text("utf-8"))
    digest = content.pop("digest")
    assert digest == hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
    assert digest == record_digest(read_content(path)) == read_record(path).sealed().digest
    assert record_digest(content | {"score": 1.0}) != digest


def test_records_do_not_change(make_record: MakeRecord) -> None:
    record: Any = make_record()
    with pytest.raises(ValueError, match="frozen"):
        record.score = 100.0
