"""Sweeps on a Ray cluster: what starts and watches them, and fixtures for tests of them."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from xrete.record import Record, read_record
from xrete.store import find_records

MARKS = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("ray") is None, reason="Ray comes with the extra 'ray'"),
    pytest.mark.skipif(sys.platform != "linux", reason="processes end with their workers on Linux only"),
    pytest.mark.usefixtures("ray_of_its_own"),
]
"""Of every module that starts a cluster."""

Run = Callable[..., subprocess.CompletedProcess[str]]
Start = Callable[..., subprocess.Popen[str]]

PLUGINS = Path(__file__).parent / "plugins"
TASKS = ("tatoeba", "flores", "qe")
SWEEP = (
    "run", "--plugin", str(PLUGINS / "held_models.py"), "--model", "held,other-held", "--task", ",".join(TASKS),
    "--data", "mini", "--limit", "4", "--no-cache",
)  # fmt: skip


@pytest.fixture
def ray_of_its_own(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Ray leaves nothing behind: its files are in a folder (with a short name: of sockets), its token is ours."""
    folder = tempfile.mkdtemp(prefix="ray-", dir="/tmp")
    monkeypatch.setenv("RAY_TMPDIR", folder)
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", uuid4().hex)
    monkeypatch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")  # uses the loopback address, the only one here
    yield
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def swept_here(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Record]:
    """The records of the sweep in one process, by their files: what every cluster must come to."""
    folder = tmp_path_factory.mktemp("here")
    command = [sys.executable, "-m", "xrete", *SWEEP, "--results", "here"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return records(folder / "here")


@pytest.fixture
def hold(tmp_path: Path) -> Path:
    folder = tmp_path / "hold"
    folder.mkdir()
    return folder


@pytest.fixture
def start_sweep(tmp_path: Path, hold: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts `xrete` in the background, and ends it after the test."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: object) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "xrete", *map(str, arguments)],
            # Ray may end what a dead worker has started, or may be told not to.
            env={**os.environ, "HOLD": str(hold), "RAY_process_group_cleanup_enabled": "false"},
            cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        started.append(process)
        return process

    yield start
    for process in started:
        process.send_signal(signal.SIGINT)  # with its Ray, if it has not ended
        process.communicate(timeout=60)


def wait_for(what: Callable[[], Any], process: subprocess.Popen[str] | None = None, seconds: float = 120) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := what()):
        assert process is None or process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


def numbers(file: Path) -> list[int]:
    """The process that stands still, and its parent, the worker."""
    text = file.read_text() if file.exists() else ""
    return list(map(int, text.split())) if text.endswith("\n") else []


def gone(process: int) -> bool:
    """Returns whether it has ended, reaped or not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def records(results: Path) -> dict[str, Record]:
    return {str(file.relative_to(results)): read_record(file) for file in find_records(results)}


def scores(record: Record) -> dict[str, Any]:
    """What a record says of model and task; when, how long and by which command are left out."""
    other = {"command", "cost", "created", "digest"}
    return {key: value for key, value in record.model_dump().items() if key not in other}
