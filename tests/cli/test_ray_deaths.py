"""Sweeps on a real Ray cluster that is interrupted, and whose workers and nodes die."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.ray_sweeps import MARKS, SWEEP, TASKS, Run, Start, gone, numbers, records, scores, wait_for
from xrete.record import Record

pytestmark = MARKS

OFFLINE = Path(__file__).parents[1] / "offline"


def test_a_killed_worker_costs_no_record_and_doubles_none(
    start_sweep: Start, swept_here: dict[str, Record], hold: Path, tmp_path: Path
) -> None:
    sweep = start_sweep(*SWEEP, "--on", "ray", "--results", "swept", "--json")
    first, worker = wait_for(lambda: numbers(hold / "first"), sweep)
    second, _ = wait_for(lambda: numbers(hold / "second"), sweep)
    assert list(tmp_path.glob("swept/*/*.partial/*.parquet")), "they stand still in the middle"
    os.kill(worker, signal.SIGKILL)
    os.kill(second, signal.SIGKILL)
    wait_for(lambda: gone(first), seconds=20)
    printed, said = sweep.communicate(timeout=120)
    assert sweep.returncode == 0, said

    swept = records(tmp_path / "swept")
    assert len(swept) == 2 * len(TASKS)
    assert {name: scores(record) for name, record in swept.items()} == {
        name: scores(record) for name, record in swept_here.items()
    }
    assert all(record.status == "complete" for record in swept.values())
    assert not list(tmp_path.glob("swept/*/*.partial"))
    assert sorted(json.loads(line)["digest"] for line in printed.splitlines()) == sorted(
        str(record.digest) for record in swept.values()
    )


def test_ctrl_c_leaves_no_process_and_the_sweep_goes_on_anywhere(
    start_sweep: Start, shell: Run, hold: Path, tmp_path: Path
) -> None:
    sweep = start_sweep(*SWEEP, "--on", "ray", "--results", "swept")
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
    start_sweep: Start,
    swept_here: dict[str, Record],
    hold: Path,
    tmp_path: Path,
    two_nodes: tuple[str, subprocess.Popen[bytes]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    address, second = two_nodes
    monkeypatch.setenv("RAY_ADDRESS", address)
    sweep = start_sweep(*SWEEP, "--on", "ray", "--results", "swept", "--json")
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

    swept = records(tmp_path / "swept")
    assert {name: scores(record) for name, record in swept.items()} == {
        name: scores(record) for name, record in swept_here.items()
    }
    assert len(printed.splitlines()) == len(swept) == 2 * len(TASKS)
