"""Sweeps on a real Ray cluster, whose workers are killed, and which is interrupted."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from xrete.record import Record, read_record
from xrete.store import find_records

OFFLINE = Path(__file__).parents[1] / "offline"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("ray") is None, reason="Ray comes with the extra 'ray'"),
    pytest.mark.skipif(sys.platform != "linux", reason="processes end with their workers on Linux only"),
]

Run = Callable[..., subprocess.CompletedProcess[str]]

PLUGIN = Path(__file__).parents[1] / "plugins" / "held_models.py"
TASKS = ("tatoeba", "flores", "qe")
SWEEP = (
    "run", "--plugin", str(PLUGIN), "--model", "held,other-held", "--task", ",".join(TASKS), "--data", "mini",
    "--limit", "4", "--no-cache",
)  # fmt: skip


@pytest.fixture(autouse=True)
def _ray(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Ray leaves nothing behind: its files are in a folder (with a short name: of sockets), its token is ours."""
    folder = tempfile.mkdtemp(prefix="ray-", dir="/tmp")
    monkeypatch.setenv("RAY_TMPDIR", folder)
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", uuid4().hex)
    monkeypatch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")  # uses the loopback address, the only one here
    yield
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def hold(tmp_path: Path) -> Path:
    folder = tmp_path / "hold"
    folder.mkdir()
    return folder


@pytest.fixture
def start(tmp_path: Path, hold: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
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


def test_a_killed_worker_costs_no_record_and_doubles_none(
    start: Callable[..., subprocess.Popen[str]], shell: Run, hold: Path, tmp_path: Path
) -> None:
    sweep = start(*SWEEP, "--on", "ray", "--results", "swept", "--json")
    first, worker = wait_for(lambda: numbers(hold / "first"), sweep)
    second, _ = wait_for(lambda: numbers(hold / "second"), sweep)
    assert list(tmp_path.glob("swept/*/*.partial/*.parquet")), "they stand still in the middle"
    os.kill(worker, signal.SIGKILL)
    os.kill(second, signal.SIGKILL)
    wait_for(lambda: gone(first), seconds=20)
    printed, said = sweep.communicate(timeout=120)
    assert sweep.returncode == 0, said

    assert shell(*SWEEP, "--results", "here").returncode == 0
    swept, here = records(tmp_path / "swept"), records(tmp_path / "here")
    assert len(swept) == 2 * len(TASKS)
    assert {name: scores(record) for name, record in swept.items()} == {
        name: scores(record) for name, record in here.items()
    }
    assert all(record.status == "complete" for record in swept.values())
    assert not list(tmp_path.glob("swept/*/*.partial"))
    assert sorted(json.loads(line)["digest"] for line in printed.splitlines()) == sorted(
        str(record.digest) for record in swept.values()
    )


def test_ctrl_c_leaves_no_process_and_the_sweep_goes_on_anywhere(
    start: Callable[..., subprocess.Popen[str]], shell: Run, hold: Path, tmp_path: Path
) -> None:
    sweep = start(*SWEEP, "--on", "ray", "--results", "swept")
    processes = wait_for(lambda: numbers(hold / "first"), sweep)
    sweep.send_signal(signal.SIGINT)
    _, said = sweep.communicate(timeout=60)
    assert sweep.returncode == 130
    assert "stopped; run the same command again to go on" in said
    assert "Traceback" not in said
    wait_for(lambda: all(map(gone, processes)), seconds=20)
    done = len(records(tmp_path / "swept"))
    assert done < 2 * len(TASKS)
    assert shell(*SWEEP, "--results", "swept").returncode == 0
    assert {record.status for record in records(tmp_path / "swept").values()} == {"complete"}
    assert len(records(tmp_path / "swept")) == 2 * len(TASKS)


def parent(process: int) -> int:
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])


def ancestors(process: int) -> list[int]:
    """The processes that a process descends from, the nearest first."""
    line = [process]
    while line[-1] > 1:
        line.append(parent(line[-1]))
    return line[1:]


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def has_started(log: Path, node: subprocess.Popen[bytes]) -> bool:
    """Returns whether a node runs, or has ended."""
    return b"Ray runtime started" in log.read_bytes() or node.poll() is not None


@pytest.fixture
def two_nodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A cluster of two `ray start`, with room for one job each: its address, and the process of the second node."""
    address = f"127.0.0.1:{free_port()}"
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    common = (
        "--num-cpus", "1", "--object-store-memory", str(80 * 2**20), "--disable-usage-stats", "--block",
    )  # fmt: skip
    monkeypatch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "1")  # else one node is all that may be
    monkeypatch.setenv("RAY_raylet_start_wait_time_s", "120")  # on a busy machine
    # Nodes know each other by the machine's address, which tests may not reach otherwise.
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(x for x in paths if x != str(OFFLINE)))
    head = ("--head", "--port", address.rpartition(":")[2], "--include-dashboard", "false")
    nodes: list[subprocess.Popen[bytes]] = []
    try:
        for name, own in (("head", head), ("second", ("--address", address))):
            command = [sys.executable, "-u", "-m", "ray.scripts.scripts", "start", *own, *common]
            log = tmp_path / f"{name}.log"
            with log.open("wb") as out:
                nodes.append(subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT))
            wait_for(partial(has_started, log, nodes[-1]))
            assert nodes[-1].poll() is None, log.read_text("utf-8")
        yield address, nodes[1]
    finally:
        for node in reversed(nodes):
            node.terminate()
            node.wait(timeout=60)


def test_a_node_that_dies_costs_no_record(
    start: Callable[..., subprocess.Popen[str]],
    shell: Run,
    hold: Path,
    tmp_path: Path,
    two_nodes: tuple[str, subprocess.Popen[bytes]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    address, second = two_nodes
    monkeypatch.setenv("RAY_ADDRESS", address)
    sweep = start(*SWEEP, "--on", "ray", "--results", "swept", "--json")
    held = [wait_for(partial(numbers, hold / name), sweep)[0] for name in ("first", "second")]
    lines = {process: ancestors(process) for process in held}
    (lost,) = (process for process in held if second.pid in lines[process])
    (kept,) = (process for process in held if process != lost)
    raylet = lines[lost][lines[lost].index(second.pid) - 1]
    assert b"raylet" in Path(f"/proc/{raylet}/cmdline").read_bytes()
    os.kill(raylet, signal.SIGKILL)
    wait_for(lambda: gone(lost), seconds=60)
    assert not gone(kept), "the job of the other node goes on"
    os.kill(kept, signal.SIGKILL)  # it stands still; it is started again
    printed, words = sweep.communicate(timeout=240)
    assert sweep.returncode == 0, words
    assert second.wait(timeout=60) != 0, "the node is dead"

    monkeypatch.delenv("RAY_ADDRESS")
    assert shell(*SWEEP, "--results", "here").returncode == 0
    swept, here = records(tmp_path / "swept"), records(tmp_path / "here")
    assert {name: scores(record) for name, record in swept.items()} == {
        name: scores(record) for name, record in here.items()
    }
    assert len(printed.splitlines()) == len(swept) == 2 * len(TASKS)


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A cluster that says it has two GPUs: the address that a command can join it at."""
    monkeypatch.setenv("RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES", "1")  # there are none to be seen
    program = (
        "import sys, ray\n"
        "info = ray.init('local', num_cpus=2, num_gpus=2, include_dashboard=False, log_to_driver=False)\n"
        "print(info.address_info['gcs_address'], flush=True)\n"
        "sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        yield process.stdout.readline().strip()
        process.communicate(timeout=60)


def test_a_job_of_two_gpus_is_one_launch_of_two_processes(shell: Run, cluster: str, tmp_path: Path) -> None:
    joined = {"RAY_ADDRESS": cluster, "CUDA_VISIBLE_DEVICES": ""}
    sweep = (
        "run", "--model", "emmax", "--task", "qe", "--data", "mini", "--limit", "4", "--device", "cpu",
        "--on", "ray", "--json",
    )  # fmt: skip
    done = shell(*sweep, "--gpus", 3, environment=joined)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert "error: --gpus 3: no node of the Ray cluster has more than 2" in done.stderr

    done = shell(*sweep, "--gpus", 2, environment=joined)
    assert done.returncode == 0, done.stderr
    (record,) = map(json.loads, done.stdout.splitlines())
    assert (record["status"], record["environment"]["device"]) == ("complete", "cpu x 2")

    mixed = ("run", "--plugin", str(PLUGIN.with_name("fake_models.py")), "--model", "fading,hash", *sweep[3:])
    done = shell(*mixed, "--gpus", 0, environment=joined)
    assert done.returncode == 1
    failed, record = sorted(
        map(json.loads, done.stdout.splitlines()), key=lambda line: line["status"], reverse=True
    )
    assert (record["status"], record["model"]["name"]) == ("complete", "hash")
    reason = "RuntimeError: the moon has set; run again with --debug for the traceback"
    assert failed == {"status": "failed", "model": "fading", "task": "qe", "protocol": None, "error": reason}
    assert f"error: fading · qe: {reason}" in done.stderr
