"""Runs of the command: two processes train what one trains, and one that is killed loses nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

import xrete
from xrete.dataset import Dataset
from xrete.protocols import Tuning
from xrete.record import Record, read_record
from xrete.store import find_records
from xrete.training.finetune.job import TrainerStep

Open = Callable[..., Dataset]

PLUGIN = Path(__file__).parents[1] / "toys.py"
TASKS = ("toy-pairs", "toy-choose", "toy-order", "toy-search", "toy-staged")
TOLERANCE = 1e-4
"""Of weights: sums of floats in another order, which the steps of AdamW carry on."""
NO_GRADIENT = "attention.self.key.bias"
"""Attention does not depend on it, so its gradient is rounding alone, of which AdamW makes whole steps."""


def command(
    encoder: Path,
    data: Path,
    results: Path,
    tasks: str,
    *changes: str,
    limit: int | None = None,
    processes: int = 1,
) -> list[str]:
    launch = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    return [
        *(sys.executable, *(launch if processes > 1 else []), "-m", "xrete", "run", "--plugin", str(PLUGIN)),
        *("--model", f"hf:{encoder}?pooling=mean", "--task", tasks, "--protocol", "fine-tune"),
        *("--data", str(data), "--results", str(results), "--device", "cpu"),
        *(word for change in changes for word in ("--set", change)),
        *(("--limit", str(limit)) if limit else ()),
    ]


def here(model: Any, dataset: Dataset, results: Path, *changes: str, **options: Any) -> Record:
    """The same, in this process."""
    tuning = Tuning(changes=changes)
    return xrete.evaluate(model, dataset, protocol="fine-tune", tuning=tuning, results=results, **options)


@pytest.mark.slow
def test_two_processes_are_one(
    toy: Open, toy_encoder: Path, toy_data: Path, toy_model: Any, tmp_path: Path
) -> None:
    changes = ("dropout=0", "epochs=1", "batch=15")  # the last of 6 batches has 5 items, 3 and 2
    two = command(toy_encoder, toy_data, tmp_path / "two", ",".join(TASKS), *changes, limit=40, processes=2)
    subprocess.run(two, check=True, timeout=300, capture_output=True)
    found = {record.task: record for record in map(read_record, find_records(tmp_path / "two"))}
    assert set(found) == set(TASKS)
    for task in TASKS:
        dataset = toy(task.removeprefix("toy-"), limit=40)
        record = here(toy_model, dataset, tmp_path / "one", *changes)
        assert record.score == pytest.approx(found[task].score, abs=1e-3), task
        assert (record.environment.processes, found[task].environment.processes) == (1, 2)
        weights, others = (
            load_file(next((tmp_path / name).rglob(f"{task}.weights/*/*/model/model.safetensors")))
            for name in ("one", "two")
        )
        for name in weights:
            if not name.endswith(NO_GRADIENT):
                assert float((weights[name] - others[name]).abs().max()) < TOLERANCE, f"{task} {name}"


@pytest.mark.slow
def test_a_process_that_gets_sigkill_loses_nothing(
    toy: Open, toy_encoder: Path, toy_data: Path, toy_model: Any, tmp_path: Path
) -> None:
    changes = ("evaluate_every=5", "epochs=4")
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    child = subprocess.Popen(
        command(toy_encoder, toy_data, broken, "toy-pairs", *changes),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 120
    while not list(broken.rglob("state-*/progress.json")):
        assert child.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    assert not list(find_records(broken))
    steps: list[TrainerStep] = []
    second = here(toy_model, toy("pairs"), broken, *changes, watch=steps.append)
    assert steps[0].done > 5  # what the killed process left is gone on with
    first = here(toy_model, toy("pairs"), whole, *changes)
    assert second.score == first.score
    assert second.fine_tuning == first.fine_tuning
    files = [[file.read_bytes() for file in sorted(x.rglob("*.safetensors"))] for x in (whole, broken)]
    assert files[0] == files[1]
    assert files[0]


BREAKS = """
import os
from datetime import timedelta
from torch.distributed.distributed_c10d import _set_pg_timeout
from xrete.encoding.workers import WorkerTeam
from xrete.training.finetune import trainer

TASKS = {"unused": None}
whole_step, patient_meet = trainer.StageTrainer.step, WorkerTeam.meet


def meet(team):  # nobody comes, and the 20 seconds until that is believed show nothing more than two
    _set_pg_timeout(timedelta(seconds=2), team._impatient)
    return patient_meet(team)


WorkerTeam.meet = meet


def step(self, rows, number):
    if number == 3 and os.environ["RANK"] == RANK:
        raise ValueError("no memory left")
    return whole_step(self, rows, number)


trainer.StageTrainer.step = step
"""


@pytest.mark.slow
@pytest.mark.parametrize("rank", ["0", "1"])
def test_a_process_that_fails_ends_the_others_at_once(
    toy_encoder: Path, toy_data: Path, tmp_path: Path, rank: str
) -> None:
    """They wait for it in the middle of a step, and connections time out after half an hour."""
    plugin = tmp_path / "breaks.py"
    plugin.write_text(BREAKS.replace("RANK:", f"'{rank}':"), "utf-8")
    two = [*command(toy_encoder, toy_data, tmp_path / "results", "toy-pairs,toy-choose", processes=2)]
    started = time.monotonic()
    done = subprocess.run([*two, "--plugin", str(plugin)], check=False, timeout=150, capture_output=True, text=True)
    assert done.returncode != 0
    assert "no memory left" in done.stderr
    assert time.monotonic() - started < 100
