"""The records in `results/` and the tables in the README agree: no number there was typed by hand."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xrete import registry
from xrete.record import read_record
from xrete.shapes import load_shape
from xrete.store import find_records, read_items

ROOT = Path(__file__).parents[2]
FOLDERS = [ROOT / "results" / name for name in ("measured", "fine-tuned")]
RECORDS = sorted(path for folder in FOLDERS for path in find_records(folder))
TASKS = "tatoeba flores flores-geometry lareqa multists qe xnli americasnli pawsx xcopa".split()
"""Those whose public test files were at hand."""
BLOCK = re.compile(r"```console\n(xrete report [^\n]+)\n```\n\n((?:\|[^\n]*\n)+)")

ANSWER = re.compile(r"```console\n(xrete recommend [^\n]+)\n```\n\n```text\n(.*?)```", re.DOTALL)


def test_there_are_published_records() -> None:
    names = {(record.model.name, record.task) for record in map(read_record, RECORDS)}
    assert {(model, task) for model in ("use-m3", "me5-small") for task in TASKS} <= names


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_published_record_follows_from_its_items(path: Path) -> None:
    record = read_record(path)
    assert record.status == "complete"
    assert record.data.source == "dir"
    assert record.data.limit is None
    if record.items is None:
        assert record.task == "flores-geometry"
        return
    metric = load_shape(registry.task(record.task).card.shape).metrics[record.metric]
    items = read_items(path, record)
    assert set(items) == set(record.languages)
    for language, columns in items.items():
        assert metric.statistic(columns) == pytest.approx(record.languages[language].score, abs=1e-9)
    assert np.mean([score.score for score in record.languages.values()]) == pytest.approx(record.score, abs=1e-9)


def test_the_readme_shows_what_the_records_say(xrete: Callable[..., Any]) -> None:
    shown = BLOCK.findall((ROOT / "README.md").read_text("utf-8"))
    assert shown
    for command, table in shown:
        done = xrete(*command.replace("results/", f"{ROOT / 'results'}/").split()[1:])
        assert done.returncode == 0
        assert table in done.stdout


def test_the_readme_shows_what_is_recommended(xrete: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Every line but the ellipsis, in order."""
    monkeypatch.chdir(ROOT)
    ((command, text),) = ANSWER.findall((ROOT / "README.md").read_text("utf-8"))
    printed = iter(xrete(*command.split()[1:]).stdout.splitlines())
    assert [line for line in text.splitlines() if line != "…" and line not in printed] == []


def test_the_page_on_fine_tuning_shows_what_the_records_say(xrete: Callable[..., Any]) -> None:
    """Scores and gains; what stands before is the zero-shot record of MultiSTS, and else the probe's."""
    page = (ROOT / "docs" / "fine-tune.md").read_text("utf-8")
    tuned = [
        (path, record)
        for path, record in zip(RECORDS, map(read_record, RECORDS), strict=True)
        if record.fine_tuning
    ]
    assert {record.task for _, record in tuned} == {"qe", "multists", "pawsx", "xnli"}
    for path, record in tuned:
        protocol = "zero-shot" if record.task == "multists" else "probe"
        (before,) = [
            other for other in RECORDS
            if (other.parent.name, *other.name.split(".")[:2]) == (path.parent.name, record.task, protocol)
            and other.parts[-3] == ("measured" if record.task in ("pawsx", "xnli") else "fine-tuned")
        ]  # fmt: skip
        (task,) = json.loads(xrete("compare", path, before, "--format", "json").stdout)["tasks"]
        numbers = [record.score, *(record.ci95 or ()), task["difference"], *task["ci95"]]
        shown = "{:.1f} [{:.1f}, {:.1f}] | {:+.1f} [{:.1f}, {:.1f}] |".format(*numbers)
        assert shown in page, path
        assert f"| {task['second_score']:.1f} ({protocol}" in page
