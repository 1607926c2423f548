"""`xrete run --dtype`: auto takes what the device multiplies fastest, and float32 says once what that would be."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest_plugins = ["tests.local_copies"]  # which imports much, so that no other test waits for it

Run = Callable[..., Any]
LocalCopy = Callable[[str], Path]
NOTE = "--dtype auto"


@pytest.mark.parametrize(
    ("asked", "fast", "taken", "notes"),
    [
        ("float32", True, "float32", 1),
        ("float32", False, "float32", 0),
        ("auto", True, "bfloat16", 0),
        ("auto", False, "float32", 0),
    ],
)
def test_what_a_run_computes_in_and_says(
    xrete: Run,
    local_copy: LocalCopy,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    asked: str,
    fast: bool,
    taken: str,
    notes: int,
) -> None:
    monkeypatch.setattr("xrete.encoding.transformer.multiplies_bfloat16", lambda: fast)
    done = xrete(
        "run", "--model", f"hf:{local_copy('multilingual-e5-small')}", "--task", "tatoeba,flores", "--data", "mini",
        "--languages", "de", "--limit", 3, "--device", "cpu", "--dtype", asked, "--results", tmp_path / "results",
        "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert [record["environment"]["dtype"] for record in records] == [taken] * 2
    assert done.stderr.count(NOTE) == notes
