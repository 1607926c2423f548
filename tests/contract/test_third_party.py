"""A third party's package, built and installed for real beside XRETE, and used from the command line."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]

SOURCE = Path(__file__).parents[1] / "third_party"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Installs the package into a folder, and returns a PYTHONPATH with it."""
    folder = tmp_path_factory.mktemp("acme")
    ignore = shutil.ignore_patterns("__pycache__")
    source = shutil.copytree(SOURCE, folder / "source", ignore=ignore)
    subprocess.run(
        [
            sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation",
            "--disable-pip-version-check", "--target", str(folder / "site"), str(source),
        ],
        check=True, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    return os.pathsep.join([str(folder / "site"), os.environ["PYTHONPATH"]])


@pytest.fixture
def acme(installed: str, shell: Run) -> Run:
    """Runs `xrete` where the package is installed."""
    return lambda *arguments: shell(*arguments, environment={"PYTHONPATH": installed})


def lines(text: str) -> list[Any]:
    return [json.loads(line) for line in text.splitlines()]


def test_they_are_listed_beside_ours(acme: Run) -> None:
    tasks = {row["name"]: row for row in lines(acme("tasks", "--json").stdout)}
    assert tasks["acme/animals"]["origin"] == "acme-xrete"
    assert tasks["tatoeba"]["origin"] == "xrete"
    assert "acme needs a part that nobody makes any more" in tasks["acme/torn"]["error"]
    models = {row["name"]: row for row in lines(acme("models", "--json").stdout)}
    assert models["acme/hash"]["origin"] == "acme-xrete"
    assert acme("models", "acme/hash").stdout.startswith("name  ")


def test_they_keep_the_contract(acme: Run) -> None:
    for name in ("acme/animals", "acme/tatoeba", "acme/hash"):
        done = acme("check", name)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "FAIL" not in done.stdout
    assert "the oracle model scores what theory says" in acme("check", "acme/animals").stdout
    torn = acme("check", "acme/torn")
    assert torn.returncode == 1
    assert "FAIL  the plugin loads" in torn.stdout


def test_they_are_scored_and_filed_under_their_own_names(acme: Run, tmp_path: Path) -> None:
    folder = tmp_path / "data" / "animals"
    folder.mkdir(parents=True)
    (folder / "de.txt").write_text("Hund\nKatze\nMaus\n", "utf-8")
    (folder / "en.txt").write_text("hund\nkatze\nmouse\n", "utf-8")
    done = acme(
        "run", "--model", "acme/hash", "--task", "acme/animals,acme/tatoeba", "--data", "data", "--results", "out",
        "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    animals, namesake = lines(done.stdout)
    assert (animals["model"]["name"], animals["task"], namesake["task"]) == (
        "acme/hash",
        "acme/animals",
        "acme/tatoeba",
    )
    assert animals["score"] == 100.0
    assert animals["languages"]["de"]["n"] == 3
    assert animals["missing_languages"] == ["sw"]
    report = acme("report", "out", "--format", "json")
    assert report.returncode == 0, report.stderr
    assert "acme/animals" in report.stdout


def test_a_category_takes_theirs_and_ours(acme: Run) -> None:
    done = acme("run", "--model", "acme/hash", "--task", "retrieval", "--data", "mini", "--limit", "2", "--json")
    assert {row["task"] for row in lines(done.stdout)} >= {"tatoeba", "acme/animals", "acme/tatoeba"}
    assert "left out: plugin 'acme/torn'" in done.stderr


def test_the_doctor_sees_the_broken_one(acme: Run) -> None:
    states = {row["name"]: row["state"] for row in lines(acme("doctor", "--json").stdout)}
    assert states["acme/animals"] == "loads, from acme-xrete"
    assert "nobody makes any more" in states["acme/torn"]
