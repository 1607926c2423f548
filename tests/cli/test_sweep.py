"""Sweeps in this process: which cells there are, what is said before, and what becomes of those that fail."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer

from xrete.cli.app import app
from xrete.cli.options import seeds_of
from xrete.cli.sweep import arguments_for
from xrete.errors import UsageError, XreteError
from xrete.evaluation import ray
from xrete.evaluation.sweep import Cell
from xrete.record import read_record
from xrete.store import find_records

Run = Callable[..., subprocess.CompletedProcess[str]]
Fakes = tuple[str, str]


def lines(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture
def sweep(xrete: Run, fake_models: Fakes, tmp_path: Path) -> Run:
    """Runs a sweep of the fake models over a few sentences."""
    return lambda *arguments: xrete(
        "run", *fake_models, "--data", "mini", "--limit", "4", "--results", tmp_path / "r", *arguments
    )


# --- cells --------------------------------------------------------------------------------------------------


def test_each_task_is_scored_under_every_named_protocol_that_it_has(sweep: Run) -> None:
    done = sweep(
        "--model", "hash", "--task", "tatoeba,qe", "--protocol", "probe", "--protocol", "zero-shot", "--json"
    )
    assert done.returncode == 0, done.stderr
    assert [(record["task"], record["protocol"]) for record in lines(done)] == [
        ("tatoeba", "zero-shot"), ("qe", "probe"), ("qe", "zero-shot"),
    ]  # fmt: skip
    assert "left out: tatoeba has no protocol 'probe'; it has zero-shot\n" in done.stderr


def test_a_protocol_that_no_task_has_is_wrong_usage(sweep: Run, tmp_path: Path) -> None:
    done = sweep("--model", "hash", "--task", "tatoeba,flores", "--protocol", "zero-shot,probe")
    assert done.returncode == 2
    assert done.stderr == ("error: unknown protocol of tatoeba, flores 'probe' (1 known: run 'xrete tasks')\n")
    assert not (tmp_path / "r").exists()


def test_a_protocol_for_other_models_is_left_out_beside_one_that_fits(sweep: Run) -> None:
    done = sweep("--model", "hash", "--task", "qe", "--protocol", "zero-shot,prompt", "--json")
    assert (done.returncode, len(lines(done))) == (0, 1)
    assert "left out: hash · qe · prompt: the protocol is not for such a model" in done.stderr
    alone = sweep("--model", "hash", "--task", "qe", "--protocol", "prompt")
    assert alone.returncode == 2
    assert "protocol 'prompt' of qe wants a chat model" in alone.stderr


def test_languages_that_one_task_lacks_fail_its_cells_alone(sweep: Run) -> None:
    done = sweep("--model", "hash", "--task", "xnli,tatoeba", "--languages", "ja", "--json")
    assert done.returncode == 2
    assert [(line["status"], line["task"]) for line in lines(done)] == [("failed", "xnli"), ("complete", "tatoeba")]
    (said,) = (line for line in done.stderr.splitlines() if line.startswith("error: "))
    error = said.removeprefix("error: xnli: ")
    assert lines(done)[0] == {
        "status": "failed", "model": "hash", "task": "xnli", "protocol": None, "error": error,
    }  # fmt: skip
    assert error.startswith("unknown language of xnli 'ja' (")


def test_what_failed_is_listed_at_the_end_with_its_reason(sweep: Run, tmp_path: Path) -> None:
    done = sweep("--model", "crashing,unloadable,hash", "--task", "tatoeba,qe", "--protocol", "zero-shot")
    assert done.returncode == 1
    assert [line.split()[:2] for line in done.stdout.splitlines()] == [["hash", "tatoeba"], ["hash", "qe"]]
    moon = "RuntimeError: the moon is in the wrong quarter; run again with --debug for the traceback"
    weights = "the weights are on the moon; fetch them"
    assert done.stderr.splitlines()[-5:] == [
        "failed: 4 of 6",
        f"  crashing · tatoeba · zero-shot: {moon}",
        f"  crashing · qe · zero-shot: {moon}",
        f"  unloadable · tatoeba · zero-shot: {weights}",
        f"  unloadable · qe · zero-shot: {weights}",
    ]


def test_a_cell_that_fails_half_way_has_a_record_that_says_so(sweep: Run, tmp_path: Path) -> None:
    done = sweep("--model", "fading,hash", "--task", "tatoeba", "--no-cache")
    assert done.returncode == 1
    records = {file.parent.name: read_record(file) for file in find_records(tmp_path / "r")}
    assert {name: record.status for name, record in records.items()} == {"fading": "failed", "hash": "complete"}
    assert records["fading"].error == "RuntimeError: the moon has set"
    assert 0 < len(records["fading"].languages) < len(records["hash"].languages)


# --- the plan -----------------------------------------------------------------------------------------------


def test_a_dry_run_has_a_line_for_each_cell_and_does_nothing(sweep: Run, tmp_path: Path) -> None:
    command = ["--model", "hash,sleepy", "--task", "tatoeba,qe", "--protocol", "zero-shot,probe", "--dry-run"]
    done = sweep(*command, "--on", "ray", "--json")
    assert done.returncode == 0, done.stderr
    assert [(row["model"], row["task"], row["protocol"]) for row in lines(done)] == [
        (model, task, protocol)
        for model in ("hash", "sleepy")
        for task, protocol in (("tatoeba", "zero-shot"), ("qe", "zero-shot"), ("qe", "probe"))
    ]
    assert all(row["texts"] > 0 for row in lines(done))
    assert not (tmp_path / "r").exists()


def test_a_sweep_shows_its_plan_first(sweep: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    assert "to do" not in sweep("--model", "hash", "--task", "qe").stderr
    done = sweep("--model", "hash", "--task", "qe,tatoeba")
    assert "to do" in done.stderr
    assert "to do" not in done.stdout
    (finished,) = (line for line in done.stderr.splitlines() if line.split()[:2] == ["hash", "qe"])
    assert finished.rstrip().endswith("finished")


# --- options ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "seeds"),
    [("42", (42,)), ("42,43,44", (42, 43, 44)), (" 7 , 0,7 ", (7, 0)), ("4294967295", (2**32 - 1,))],
)
def test_seeds(text: str, seeds: tuple[int, ...]) -> None:
    assert seeds_of(text) == seeds


@pytest.mark.parametrize("text", ["x", "1.5", "-1", "1,two", "", ",", "4294967296", "9" * 5000, "²", "1_0"])
def test_seeds_that_are_none(sweep: Run, text: str) -> None:
    with pytest.raises(UsageError, match="--seed"):
        seeds_of(text)
    assert sweep("--model", "hash", "--task", "qe", "--seed", text).returncode == 2


def test_the_first_seed_is_that_of_the_intervals(sweep: Run) -> None:
    (record,) = lines(sweep("--model", "hash", "--task", "qe", "--seed", "7,8", "--json"))
    assert (record["environment"]["seed"], record["interval"]["seed"]) == (7, 7)


@pytest.mark.parametrize("name", ["nonsense", "cuda:x", "cuda:", "gpu", "CPU", ""])
def test_a_device_that_is_none_is_refused_for_every_model(sweep: Run, name: str) -> None:
    done = sweep("--model", "hash", "--task", "qe", "--device", name)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"error: unknown device {name!r}; use auto, cpu, cuda, cuda:N or mps\n"


@pytest.mark.parametrize("name", ["auto", "cpu", "cuda", "cuda:1", "mps"])
def test_a_model_without_a_device_takes_every_one(sweep: Run, name: str) -> None:
    assert sweep("--model", "hash", "--task", "qe", "--device", name, "--dry-run").returncode == 0


# --- jobs ---------------------------------------------------------------------------------------------------


def test_a_job_is_the_same_command_for_one_cell(fake_models: Fakes) -> None:
    def parsed(*arguments: str) -> typer.Context:
        command: Any = typer.main.get_command(app)
        context: typer.Context = command.commands["run"].make_context("run", list(arguments))
        return context

    context = parsed(
        *fake_models, "--model", "hash,sleepy", "--task", "qe", "--task", "tatoeba",
        "--protocol", "zero-shot,probe", "--data", "a folder", "--languages", "sw,de", "--device", "cuda:1",
        "--dtype", "float16", "--limit", "3", "--force", "--seed", "1,2", "--no-cache", "--cache-limit", "1.5",
        "--price", "1,2", "--on", "ray", "--gpus", "2", "--results", "r", "--batch-tokens", "100",
    )  # fmt: skip
    run, *arguments = arguments_for(context, Cell("sleepy", "qe", "probe"))
    assert run == "run"
    own = {
        "model": ("sleepy",), "task": ("qe",), "protocol": ("probe",), "on": "here", "gpus": None, "json_": True,
    }  # fmt: skip
    assert parsed(*arguments).params == {**context.params, **own}
    plain = arguments_for(parsed("--model", "hash", "--task", "qe"), Cell("hash", "qe", None))
    assert plain == ["run", "--model", "hash", "--task", "qe", "--json"]


def job(program: str, folder: Path, **environment: str) -> ray.RayJob:
    return ray.RayJob(("-c", program), str(folder), environment, str(folder))


def test_a_job_runs_where_the_sweep_was_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OF_BOTH", "the node's")
    program = "import os, sys; print(os.getcwd(), os.environ['OF_BOTH'], os.environ['OWN']); sys.exit('why')"
    code, printed, said = job(program, tmp_path, OF_BOTH="the sweep's", OWN="the sweep's").run()
    assert (code, printed, said) == (1, f"{tmp_path} the node's the sweep's\n", "why\n")


def test_a_job_that_a_signal_ended_is_one_to_try_again(tmp_path: Path) -> None:
    with pytest.raises(ray.ProcessDied, match="SIGKILL"):
        job("import os; os.kill(os.getpid(), 9)", tmp_path).run()


def test_a_job_wants_the_disk_of_the_sweep(tmp_path: Path) -> None:
    for folder, mark in ((tmp_path / "absent", tmp_path), (tmp_path, tmp_path / "absent")):
        with pytest.raises(XreteError, match=r"has no .*absent: .* must be on a shared disk"):
            ray.RayJob(("-c", ""), str(folder), {}, str(mark)).run()


@pytest.mark.parametrize(
    ("line", "said", "why"),
    [
        ('{"status": "failed", "error": "no data"}', "error: qe: no data\n", "no data"),
        ("", "a warning\nerror: missing plugin file: x.py\n", "missing plugin file: x.py"),
        ('{"status": "complete", "error": null}', "Segmentation fault\n", "Segmentation fault"),
        ("a plugin printed this", "", "it said nothing"),
    ],
)
def test_why_a_job_failed(line: str, said: str, why: str) -> None:
    assert ray.why(line, said) == why


def test_ray_that_is_not_installed(sweep: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    done = sweep("--model", "hash", "--task", "qe", "--on", "ray")
    assert (done.returncode, done.stdout) == (1, "")
    assert "error: --on ray needs Ray: pip install 'xrete[ray]'\n" in done.stderr


@pytest.mark.parametrize(
    ("address", "code", "expected"),
    [
        ("127.0.0.1:1", 1, "no Ray cluster answers at 127.0.0.1:1 (RAY_ADDRESS): "),
        ("ray://127.0.0.1:10001", 2, "name the cluster as HOST:6379, or auto"),
        ("nonsense", 2, "RAY_ADDRESS is nonsense; "),
    ],
)
def test_a_cluster_that_is_not_there(
    sweep: Run, monkeypatch: pytest.MonkeyPatch, address: str, code: int, expected: str
) -> None:
    pytest.importorskip("ray")
    monkeypatch.setenv("RAY_ADDRESS", address)
    done = sweep("--model", "hash", "--task", "qe", "--on", "ray", "--json")
    assert (done.returncode, done.stdout) == (code, "")
    assert expected in done.stderr


def test_gpus_are_for_jobs(sweep: Run) -> None:
    done = sweep("--model", "hash", "--task", "qe", "--gpus", 2)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: --gpus is for jobs on Ray")
