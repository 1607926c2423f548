"""Two processes train what one trains, on the same global batches."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from safetensors.torch import load_file

from xrete.record import Record, read_record
from xrete.store import find_records

PLUGIN = Path(__file__).parents[1] / "toys.py"
TASKS = ("toy-pairs", "toy-choose", "toy-search", "toy-staged")
TOLERANCE = 1e-4
"""Of weights: sums of floats in another order, which the steps of AdamW carry on."""
NO_GRADIENT = "attention.self.key.bias"
"""Attention does not depend on it, so its gradient is rounding alone, of which AdamW makes whole steps."""


def command(encoder: Path, data: Path, results: Path, tasks: str, *more: str, processes: int = 1) -> list[str]:
    launch = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    return [
        *(sys.executable, *(launch if processes > 1 else []), "-m", "xrete", "run", "--plugin", str(PLUGIN)),
        *("--model", f"hf:{encoder}?pooling=mean", "--task", tasks, "--protocol", "fine-tune"),
        *("--data", str(data), "--results", str(results), "--device", "cpu"),
        *("--set", "dropout=0", "--set", "epochs=1", *more),
    ]


def records(results: Path) -> dict[str, Record]:
    found = map(read_record, find_records(results))
    return {record.task: record for record in found}


@pytest.mark.slow
def test_two_processes_are_one(toy_encoder: Path, toy_data: Path, tmp_path: Path) -> None:
    batches = ("--set", "batch=15")  # the last batch of an epoch has an odd number of items
    for processes in (1, 2):
        subprocess.run(
            command(
                toy_encoder, toy_data, tmp_path / str(processes), ",".join(TASKS), *batches, processes=processes
            ),
            check=True,
            timeout=300,
            capture_output=True,
        )
    one, two = (records(tmp_path / name) for name in "12")
    assert set(one) == set(two) == set(TASKS)
    for task, record in one.items():
        assert record.score == pytest.approx(two[task].score, abs=1e-3), task
        assert two[task].environment.processes == 2
        weights, others = (
            load_file(next((tmp_path / name).rglob(f"{task}.weights/*/*/model/model.safetensors"))) for name in "12"
        )
        for name in weights:
            if not name.endswith(NO_GRADIENT):
                assert float((weights[name] - others[name]).abs().max()) < TOLERANCE, f"{task} {name}"


@pytest.mark.slow
def test_a_process_that_gets_sigkill_loses_nothing(toy_encoder: Path, toy_data: Path, tmp_path: Path) -> None:
    changes = ("--set", "evaluate_every=5", "--set", "epochs=3")
    whole, broken = (
        command(toy_encoder, toy_data, tmp_path / x, "toy-pairs", *changes) for x in ("whole", "broken")
    )
    subprocess.run(whole, check=True, timeout=300, capture_output=True)
    child = subprocess.Popen(broken, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not list((tmp_path / "broken").rglob("state-*/progress.json")):
        assert child.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    assert not records(tmp_path / "broken")
    subprocess.run(broken, check=True, timeout=300, capture_output=True)
    first, second = (records(tmp_path / x)["toy-pairs"] for x in ("whole", "broken"))
    assert second.score == first.score
    assert second.fine_tuning == first.fine_tuning
    files = [
        [file.read_bytes() for file in sorted((tmp_path / x).rglob("*.safetensors"))] for x in ("whole", "broken")
    ]
    assert files[0] == files[1]
