"""Several processes on one results folder, and a folder on a file system without locks."""

from __future__ import annotations

import errno
import fcntl
import multiprocessing
import os
import random
import time
from pathlib import Path
from typing import Any

import pytest

from xrete import registry
from xrete.check.records import Case, open_case, verify
from xrete.errors import XreteError
from xrete.evaluation.run import evaluate
from xrete.record import Record, read_record
from xrete.store import find_records

SECONDS = float(os.environ.get("XRETE_CROWD", "2"))
"""More of it: XRETE_CROWD=60 pytest tests/unit/test_crowd.py."""
SEEDS = (1, 2, 3)
FORK = multiprocessing.get_context("fork")


@pytest.fixture
def model() -> Any:
    registry.add_plugin_file(Path(__file__).parents[1] / "plugins" / "fake_models.py")
    return registry.load_model("hash")


@pytest.fixture
def data() -> Any:
    return registry.load_task("tatoeba", data="mini", languages=["de", "sw"], limit=4)


def scores(record: Record) -> Any:
    return record.languages, record.groups, record.items


def work(model: Any, data: Any, results: Path, number: int, until: float) -> None:
    """Scores one seed after the other; each is new, finished, or at another process, and some are forced."""
    chance = random.Random(number)
    for seed in SEEDS:
        evaluate(model, data, results=results, seed=seed)
    while time.monotonic() < until:
        evaluate(model, data, results=results, seed=chance.choice(SEEDS), force=chance.random() < 0.5)


@pytest.mark.parametrize("count", [2, 8])
def test_processes_share_a_results_folder(model: Any, data: Any, count: int, tmp_path: Path) -> None:
    alone = {seed: scores(evaluate(model, data, results=tmp_path / "alone", seed=seed)) for seed in SEEDS}
    until = time.monotonic() + SECONDS
    processes = [
        FORK.Process(target=work, args=(model, data, tmp_path / "shared", number, until)) for number in range(count)
    ]
    for process in processes:
        process.start()
    seen = 0
    while any(process.is_alive() for process in processes):  # a reader among them never sees half a record
        for file in find_records(tmp_path / "shared"):
            read_record(file)
            seen += 1
        time.sleep(0.01)
    assert [process.exitcode for process in processes] == [0] * count
    assert seen
    files = list(find_records(tmp_path / "shared"))
    assert len(files) == len(SEEDS)
    for file in files:
        case = open_case(file)
        assert isinstance(case, Case)
        assert [finding for finding in verify(case) if finding.state == "wrong"] == []
        assert scores(case.record) == alone[case.record.environment.seed]
    left = [path for path in (tmp_path / "shared").rglob("*") if path.suffix in (".tmp", ".partial", ".damaged")]
    assert left == []


@pytest.mark.parametrize("answer", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_named(
    model: Any, data: Any, answer: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flock(*_: Any) -> None:
        raise OSError(answer, os.strerror(answer))

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(XreteError, match=r"^cannot lock .*tatoeba.*: its file system has no locks.*another disk$"):
        evaluate(model, data, results=tmp_path / "results")
    assert not list(find_records(tmp_path / "results"))
