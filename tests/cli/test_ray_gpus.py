"""Jobs of a sweep on a Ray cluster that has GPUs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ray_sweeps import MARKS, PLUGINS, Run

pytestmark = MARKS


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

    mixed = ("run", "--plugin", str(PLUGINS / "fake_models.py"), "--model", "fading,hash", *sweep[3:])
    done = shell(*mixed, "--gpus", 0, environment=joined)
    assert done.returncode == 1
    failed, record = sorted(
        map(json.loads, done.stdout.splitlines()), key=lambda line: line["status"], reverse=True
    )
    assert (record["status"], record["model"]["name"]) == ("complete", "hash")
    reason = "RuntimeError: the moon has set; run again with --debug for the traceback"
    assert failed == {"status": "failed", "model": "fading", "task": "qe", "protocol": None, "error": reason}
    assert f"error: fading · qe: {reason}" in done.stderr
