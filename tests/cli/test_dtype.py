"""`xrete run --dtype`: auto takes bfloat16 where scores stay the same, and float32 says once what it would give."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest_plugins = ["tests.local_copies"]  # which imports much, so that no other test waits for it

Run = Callable[..., Any]
LocalCopy = Callable[[str], Path]
NOTE = "--dtype auto"
CHOICE = re.compile(
    r"precision: (?P<cell>.*): (?P<dtype>\w+), since its mini sample scores (?P<exact>[\d.]+) in float32 "
    r"and (?P<fast>[\d.]+) in bfloat16"
)


@pytest.mark.parametrize(
    ("asked", "fast", "notes"),
    [("float32", True, 1), ("float32", False, 0), ("auto", True, 0), ("auto", False, 0)],
)
def test_what_a_run_computes_in_and_says(
    xrete: Run,
    local_copy: LocalCopy,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    asked: str,
    fast: bool,
    notes: int,
) -> None:
    monkeypatch.setattr("xrete.devices.multiplies_bfloat16", lambda: fast)
    model = f"hf:{local_copy('multilingual-e5-small')}"
    command = (
        "run", "--model", model, "--task", "tatoeba,flores", "--data", "mini", "--languages", "de", "--limit", 3,
        "--device", "cpu", "--results", tmp_path / "results", "--dtype", asked,
    )  # fmt: skip
    unmeasured = xrete(*command, "--dry-run")
    done = xrete(*command, "--json")
    assert done.returncode == unmeasured.returncode == 0, done.stderr
    records = {record["task"]: record for record in map(json.loads, done.stdout.splitlines())}
    assert list(records) == ["tatoeba", "flores"]
    chosen = [dict(line.groupdict()) for line in map(CHOICE.fullmatch, done.stderr.splitlines()) if line]
    assert [choice["cell"] for choice in chosen] == (
        [f"{model} · {task}" for task in records] if asked == "auto" and fast else []
    )
    for choice, record in zip(chosen, records.values(), strict=False):
        agree = abs(float(choice["exact"]) - float(choice["fast"])) <= 0.1
        assert record["environment"]["dtype"] == choice["dtype"] == ("bfloat16" if agree else "float32")
    if not chosen:
        assert {record["environment"]["dtype"] for record in records.values()} == {"float32"}
    assert unmeasured.stderr.count("float32, since bfloat16 was not compared with it yet") == len(chosen)
    assert done.stderr.count(NOTE) == notes
