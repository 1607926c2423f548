"""The leaderboard page as a file: what is in it, and that nothing in a record can get out of its data."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from xrete.errors import DataError, XreteError
from xrete.record import Record
from xrete.reporting import page as pages
from xrete.reporting.collect import Entry
from xrete.reporting.page.pictures import read_pictures
from xrete.reporting.tables.views import Request
from xrete.store import find_records

MEASURED = Path(__file__).parents[3] / "results" / "measured"
MakeRecord = Callable[..., Record]
MakeEntries = Callable[[Iterable[Record]], list[Entry]]

SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)
STYLE = re.compile(r"<style>(.*?)</style>", re.DOTALL)
DATA = re.compile(r'<script type="application/json" id="data">(.*?)</script>', re.DOTALL)
HOSTILE = "</script><script>alert(1)</script><!--\u2028\u202e&quot;"


def page(entries: list[Entry], folder: Path, **options: Any) -> tuple[str, dict[str, Any]]:
    (path,) = pages.write(entries, Request(**options), folder, [folder])
    text = path.read_text("utf-8")
    (data,) = DATA.findall(text)
    return text, json.loads(data)


def test_the_policy_lets_only_its_own_script_and_style_run(make_record: MakeRecord, tmp_path: Path) -> None:
    text, _ = page([Entry("a.json", make_record())], tmp_path)
    (policy,) = re.findall(r'<meta http-equiv="Content-Security-Policy" content="([^"]*)">', text)
    rules = dict(rule.split(" ", 1) for rule in html.unescape(policy).split("; "))
    assert rules["default-src"] == "'none'"
    assert "unsafe" not in policy
    for name, pattern in (("script-src", SCRIPT), ("style-src", STYLE)):
        (content,) = pattern.findall(text)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert rules[name] == f"'sha256-{digest}'"
    assert not re.search(r'\s(style|on\w+)="', text), "nothing that the policy would have to allow"


def test_nothing_of_a_record_leaves_its_data(make_record: MakeRecord, tmp_path: Path) -> None:
    records = [make_record(HOSTILE, HOSTILE, metric=HOSTILE, protocol=HOSTILE, split=HOSTILE, source="mini")]
    records.append(make_record(HOSTILE, status="failed", error=HOSTILE, source="mini"))
    text, data = page([Entry(HOSTILE, record) for record in records], tmp_path)
    assert len(re.findall("<script", text)) == 2
    assert "alert(1)" not in DATA.sub("", text)
    assert data["models"][0]["label"].startswith("</script><script>alert(1)</script><!--\\u2028\\u202e")
    assert text.count("\u202e") == 0


def test_the_same_records_give_the_same_page(make_record: MakeRecord, tmp_path: Path) -> None:
    entries = [Entry("a.json", make_record()), Entry("b.json", make_record("b"))]
    assert page(entries, tmp_path / "1")[0] == page(entries, tmp_path / "2")[0]


def test_numbers_are_the_records_own(make_record: MakeRecord, make_entries: MakeEntries, tmp_path: Path) -> None:
    groups = {"head": ["deu"], "long-tail": ["swh", "yid"]}
    records = [
        make_record("a", scores={"deu": 90.0, "swh": 60.0}, missing=["yid"], groups=groups),
        make_record("b", scores={"deu": 50.0, "swh": 40.0}, missing=["yid"], groups=groups),
    ]
    _, data = page(make_entries(records), tmp_path)
    first, second = data["cells"]
    part = data["data"][first["data"]]
    assert first["data"] == second["data"], "on the same data"
    assert (part["languages"], part["missing"], part["items"]) == (["deu", "swh"], ["yid"], [1000, 1000])
    assert (first["scores"], first["low"], first["high"]) == ([90.0, 60.0], [88.5, 58.5], [91.3, 61.3])
    assert first["groups"]["all"] == {
        "value": 75.0, "shown": "75.0", "interval": [73.5, 76.3], "spread": None, "mark": "best", "rank": [1, 1],
    }  # fmt: skip
    assert second["groups"]["all"]["rank"] == [2, 2]
    assert first["groups"]["long-tail"]["value"] == 60.0
    assert data["languages"]["swh"] == {"name": "Swahili", "of": ["sw"], "scripts": ["Latn"]}
    assert data["scripts"] == {"Hebr": "Hebrew", "Latn": "Latin"}
    assert data["runs"][first["run"]]["file"].endswith(".json")


def test_a_pair_has_two_languages(make_record: MakeRecord, tmp_path: Path) -> None:
    _, data = page([Entry("a.json", make_record("a", "bucc", {"ru-en": 80.0}, metric="f1"))], tmp_path)
    assert data["languages"]["ru-en"]["of"] == ["ru", "en"]
    assert data["languages"]["ru-en"]["scripts"] == ["Cyrl", "Latn"]


def test_what_is_not_finite_is_left_out(make_record: MakeRecord, tmp_path: Path) -> None:
    record = make_record(scores={"deu": float("nan"), "swh": 60.0})
    _, data = page([Entry("a.json", record)], tmp_path)
    assert data["cells"][0]["reason"] == "its record holds no finite number"


def test_tasks_that_are_not_installed_have_a_category(make_record: MakeRecord, tmp_path: Path) -> None:
    _, data = page([Entry("a.json", make_record(task="acme/round"))], tmp_path)
    assert data["tasks"] == {"acme/round": {"title": "acme/round", "category": "retrieval"}}


def test_the_papers_rows_say_what_became_of_them(make_record: MakeRecord, tmp_path: Path) -> None:
    entries = [Entry("a.json", make_record("labse", scores={"deu": 83.5}))]
    assert page(entries, tmp_path)[1]["paper"] == []
    _, data = page(entries, tmp_path, with_paper=True)
    (labse,) = (row for row in data["paper"] if row["label"] == "LaBSE" and row["table"] == 2)
    (cell,) = labse["cells"]
    assert (cell["shown"], cell["status"], cell["notes"]) == ("83.6", "reproduced", [])
    assert cell["difference"] == pytest.approx(-0.1)
    assert not any(row["label"] == "EMMA-X" and row["table"] == 2 for row in data["paper"]), "82.5 as in Table 1"
    mini = [Entry("a.json", make_record("labse", source="mini"))]
    with pytest.raises(XreteError, match="cannot stand beside the mini sample"):
        page(mini, tmp_path, with_paper=True)


def test_the_mini_sample_is_called_that(make_record: MakeRecord, tmp_path: Path) -> None:
    text, _ = page([Entry("a.json", make_record(source="mini"))], tmp_path)
    assert "<strong>Mini sample.</strong>" in text


def test_pictures_are_found_and_are_no_records(make_record: MakeRecord, tmp_path: Path) -> None:
    folder = tmp_path / "a" / "space"
    folder.mkdir(parents=True)
    known = {
        "model": {"name": "a", "revision": "1.0"}, "task": "flores-geometry",
        "sentences": [{"row": 4, "text": "x"}],
        "data": {"source": "dir", "split": "devtest"}, "highlighted": [4, 9], "isolation": {"deu_Latn": 0.5},
        "tsne": {"deu_Latn": [[0.0, 1.0]]},
    }  # fmt: skip
    (folder / "picture.json").write_text(json.dumps(known), "utf-8")
    assert list(find_records(tmp_path)) == []
    _, data = page([Entry("a.json", make_record("a"))], tmp_path)
    (picture,) = data["pictures"]
    assert (picture["points"], picture["sentences"]) == ([[[0.0, 1.0]]], [[0, "x"]])
    for other in (make_record("b"), make_record("a", source="mini"), make_record("a", revision="2")):
        assert page([Entry("a.json", other)], tmp_path)[1]["pictures"] == [], "of another model, or other data"
    (folder / "picture.json").write_text("{}", "utf-8")
    with pytest.raises(DataError, match="is damaged; draw it again with 'xrete picture'"):
        list(read_pictures([tmp_path]))


def test_published_pictures_hold_no_sentence_and_no_place() -> None:
    pictures = list(read_pictures([MEASURED]))
    assert {picture.model[0] for picture in pictures} == {"me5-small", "use-m3"}
    for picture in pictures:
        assert [text for _, text in picture.content["sentences"]] == [
            f"sentence {number}" for number in (86, 91, 487, 679, 739, 816, 941)
        ]
    for path in MEASURED.glob("*/space/*"):
        assert path.stat().st_size < 400_000
        assert not re.search(r"/(work|home|root|Users|tmp)/", path.read_text("utf-8"))
