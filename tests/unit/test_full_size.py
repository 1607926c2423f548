"""bench/full_size.py, small: its files are what the tasks read, and the planted answers are the right ones."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from xrete import registry
from xrete.dataset import open_dataset
from xrete.evaluation.run import evaluate
from xrete.tasks import bucc, mewslix, multieurlex

BENCH = Path(__file__).parents[2] / "bench" / "full_size.py"


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("full_size", BENCH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "full_size", module)
    spec.loader.exec_module(module)
    return module


def write_bucc(bench: Any, folder: Path) -> None:
    bench.write_bucc(folder, 900, 1_200, 60)


def write_mewslix(bench: Any, folder: Path) -> None:
    bench.write_mewslix(folder, 1_500, {"de": 40, "sw": 30})


def write_multieurlex(bench: Any, folder: Path) -> None:
    bench.write_multieurlex(folder, {"train": 600, "dev": 100, "test": 100})


@pytest.mark.parametrize(
    ("adapter", "write", "languages", "least"),
    [
        (bucc.TASK, write_bucc, ["ru-en"], 85),
        (mewslix.TASK, write_mewslix, ["de"], 95),
        (multieurlex.TASK, write_multieurlex, ["en"], 50),
    ],
)
def test_planted_answers_come_out(
    bench: Any,
    adapter: Any,
    write: Callable[[Any, Path], None],
    languages: list[str],
    least: float,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(bucc.ENGLISH, "ru-en", 1_200)
    monkeypatch.setattr(mewslix, "ENTITIES", 1_500)
    if isinstance(adapter, multieurlex.MultiEurlex):
        monkeypatch.setattr(adapter, "card", replace(adapter.card, counts={}))
    else:
        monkeypatch.setattr(type(adapter), "card", replace(adapter.card, counts={}))
    write(bench, tmp_path / "data")
    bench.write_encoder(tmp_path / "encoder")
    data = open_dataset(adapter, tmp_path / "data", languages=languages)
    model = registry.load_model(f"st:{tmp_path / 'encoder'}")
    score = evaluate(model, data, train_languages="en").score
    assert score is not None
    assert score >= least, score
