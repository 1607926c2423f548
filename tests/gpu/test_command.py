"""The command that measures everything on a GPU, rehearsed on a CPU: all parts, cut in the middle, and failing."""

from __future__ import annotations

import importlib
import json
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Any

import pytest
import torch

BENCH = Path(__file__).parents[2] / "bench"
COMMAND = [sys.executable, str(BENCH / "gpu.py"), "--device", "cpu", "--corpus", "absent", "--data", "absent"]
pytestmark = [
    pytest.mark.skipif(not BENCH.is_dir(), reason="these tests were copied out of their checkout"),
    pytest.mark.timeout(600),
]


def rows_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "measurements.jsonl").read_text("utf-8").splitlines()]


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module of the command."""
    monkeypatch.syspath_prepend(BENCH)
    return importlib.import_module("gpu")


@pytest.mark.slow
def test_all_parts_are_rehearsed(tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = subprocess.run(
        [*COMMAND, "--minutes", "8", "--out", str(out)], capture_output=True, text=True, check=False
    )
    log = (out / "log.txt").read_text("utf-8")
    assert done.returncode == 0, done.stderr + log
    rows = rows_of(out)
    ended = {row["part"]: row["ended"] for row in rows if row["name"] == "part"}
    assert ended == dict.fromkeys(("proofs", "steps", "encoding", "search", "geometry", "real_run"), "done")
    assert not [row for row in rows if "failed" in row and row["name"] != "all"], log
    (proofs,) = (row for row in rows if row["part"] == "proofs" and row["name"] == "all")
    # The suite runs all of tests/gpu by itself; here the part has to find, run and write down some of both files.
    assert (proofs["passed"], proofs["failed"], proofs["skipped"]) == (6, 0, 1)
    outcomes = {row["name"]: row["outcome"] for row in rows if "outcome" in row}
    assert outcomes["test_scoring_on_gpu.py::test_search_finds_the_same[True]"] == "passed"
    assert outcomes["test_training_on_gpu.py::test_packed_is_padded[em-float32]"] == "passed"
    assert outcomes["test_training_on_gpu.py::test_compiling_changes_nothing"] == "skipped"
    names = {row["name"] for row in rows}
    assert names > {
        "machine",
        "toy: packed",
        "toy: plain",
        "toy: xrete bfloat16",
        "top 20: torch",
        "principal ratio",
    }
    assert {row["score"] > 0 for row in rows if row["name"] in ("scored: tatoeba", "scored: flores")} == {True}
    assert sorted(file.name for file in out.iterdir()) == [
        "log.txt", "measurements.jsonl", "records.tar.gz", "summary.md",
    ]  # fmt: skip
    with tarfile.open(out / "records.tar.gz") as archive:
        kept = archive.getnames()
    assert "run/log.jsonl" in kept
    assert sum(name.startswith("results/") and name.endswith(".json") for name in kept) == 2
    assert "| steps | toy: packed |" in (out / "summary.md").read_text("utf-8")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_what_was_done_is_there_after_a_kill(tmp_path: Path, number: signal.Signals) -> None:
    command = [*COMMAND, "--only", "geometry", "real_run", "--out", str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    file = tmp_path / "measurements.jsonl"
    began = time.monotonic()
    while not file.exists() or '"geometry", "name": "part"' not in file.read_text("utf-8"):
        assert process.poll() is None
        assert time.monotonic() - began < 120
        time.sleep(0.1)
    process.send_signal(number)
    process.wait(30)
    names = {row["name"] for row in rows_of(tmp_path)}
    assert names >= {"machine", "Calinski-Harabasz", "principal ratio", "part"}
    if number == signal.SIGKILL:
        subprocess.run(["pkill", "-f", f"--out {tmp_path.resolve()}"], check=False)  # what it could not end
    else:
        alive = subprocess.run(["pgrep", "-f", f"--out {tmp_path.resolve()}"], capture_output=True, check=False)
        assert not alive.stdout


def test_it_says_what_it_would_do() -> None:
    done = subprocess.run([*COMMAND, "--dry-run", "--minutes", "9"], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert [line.partition(":")[0] for line in lines] == [
        "proofs", "steps", "encoding", "search", "geometry", "real_run",
    ]  # fmt: skip
    assert sum(float(line.split()[-2]) for line in lines) == pytest.approx(540, abs=3)


def test_a_proof_that_failed_or_was_not_tried_is_an_exit_code(bench: Any) -> None:
    passed = {"part": "proofs", "name": "one", "outcome": "passed"}
    ended = {"part": "proofs", "name": "all", "failed": 0}
    assert bench.proved([passed, ended])
    assert not bench.proved([passed])
    assert not bench.proved([passed, passed | {"outcome": "failed"}, ended])


def test_what_cannot_be_measured_is_a_row(bench: Any, tmp_path: Path) -> None:
    def raises(error: Exception) -> Any:
        raise error

    place = Path("absent")
    given = bench.Given.of("steps", tmp_path, "cpu", time.time() + 5, place, place)
    given.measure("large", lambda: raises(torch.OutOfMemoryError("80 GB\nmore")))
    given.measure("odd", lambda: raises(ValueError("no kernel")))
    given.measure("long", lambda: {"seconds": 1}, seconds=100)
    assert given.measure("good", lambda: {"seconds": 1}) == {"seconds": 1}
    rows = {row.pop("name"): row for row in rows_of(tmp_path)}
    assert rows["large"]["failed"] == "out of memory: 80 GB"
    assert rows["odd"]["failed"] == "ValueError: no kernel"
    assert rows["long"]["skipped"].endswith(" s left of about 100")
    assert rows["good"]["seconds"] == 1
