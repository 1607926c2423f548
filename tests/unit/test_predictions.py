"""Predictions, scored by what XTREME's `evaluate.py` does with them: labels and predictions, line by line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from xrete.registry import load_task
from xrete.store import find_records


def accuracy(labels: list[str], predictions: list[str]) -> float:
    assert len(labels) == len(predictions)
    return 100 * sum(map(str.__eq__, labels, predictions)) / len(labels)


def score(results: Path, language: str) -> dict[str, Any]:
    (record,) = find_records(results)
    found: dict[str, Any] = json.loads(record.read_text())["languages"][language]
    return found


@pytest.fixture
def predict(xrete: Callable[..., Any], tmp_path: Path) -> Callable[[str], Path]:
    def run(task: str) -> Path:
        arguments = ["--task", task, "--data", "mini", "--results", tmp_path / "results", "--predictions", tmp_path]
        done = xrete("run", "--model", "use-m3", "--languages", "de", *arguments)
        assert done.returncode == 0, done.stderr
        return tmp_path / "use-m3" / task

    return run


def test_tatoeba_is_asked_in_sorted_english(predict: Callable[[str], Path], tmp_path: Path) -> None:
    data = load_task("tatoeba", data="mini", languages=["de"])["deu"]
    order = sorted(range(len(data.target)), key=lambda row: data.target[row].strip())
    predictions = (predict("tatoeba") / "test-de.tsv").read_text().splitlines()
    official = accuracy(list(map(str, order)), predictions)
    assert official == pytest.approx(score(tmp_path / "results", "deu")["variants"]["accuracy_en2xx"])
    assert 0 < official < 100


def test_a_task_that_xtreme_does_not_have_writes_nothing(xrete: Callable[..., Any], tmp_path: Path) -> None:
    out = tmp_path / "predictions"
    done = xrete(
        "run", "--model", "use-m3", "--task", "flores", "--data", "mini", "--languages", "de",
        "--results", tmp_path / "results", "--predictions", out,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert not out.exists()


def test_labels_of_a_classification_are_names(predict: Callable[[str], Path], tmp_path: Path) -> None:
    data = load_task("pawsx", data="mini", languages=["de"])["de"]
    predictions = (predict("pawsx") / "test-de.tsv").read_text().splitlines()
    assert accuracy(list(data.labels), predictions) == pytest.approx(score(tmp_path / "results", "de")["score"])
