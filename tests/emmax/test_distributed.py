"""Two processes on one global batch are one process: with copies (DDP) and with spread parameters (FSDP2)."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from xrete import registry
from xrete.errors import UsageError
from xrete.models.emmax.config import Config, dump
from xrete.models.emmax.folders import checkpoints
from xrete.models.emmax.pretrain import pretrain
from xrete.training.team import Team

pytestmark = pytest.mark.timeout(900)  # two processes of gloo are slow on a busy machine

LAUNCHED = """
import sys
from pathlib import Path
from xrete import registry
from xrete.models.emmax import pretrain
from xrete.models.emmax.config import read
from xrete.training.team import Team
from xrete.models.emmax.training import Training

folder = Path(sys.argv[1])
registry.add_plugin_file(Path(sys.argv[2]))
Team.leave = lambda team: None  # the launch makes several runs
pretrain.draw = lambda log, folder: []
new_step = Training.make_step


def stop_the_second(run, name, number, share):
    if (run.team.rank, name, number) == (1, "em", 0):
        run.stopped = True
    return new_step(run, name, number, share)


for file in sorted(folder.glob("*.toml")):
    config = read(None, file, [])
    if config.compute.sharding == "fsdp":
        Training.make_step = stop_the_second
        try:
            pretrain.pretrain(config, folder / file.stem)
        except KeyboardInterrupt:
            Training.make_step = new_step
    assert Training.make_step is new_step
    pretrain.pretrain(config, folder / file.stem)
"""

ALONE = (
    "encoder.dropout=0", "encoder.key_momentum=0.999", "em.parallel_fraction=0.5",
    "warmup.encoder_steps=2", "warmup.classifier_steps=1",
    "em.steps=2",
)  # fmt: skip
HEAVY = ("mlm.weight=0.5", "compute.cache_tokens=60")
DENSE = ("encoder.pooling=pooler_dense", "warmup.mlm_steps=1")
RUNS = {
    "plain": ("ranks.balance=false", "ranks.typical_start=data"),
    "joint": ("warmup.order=joint", "ranks.classifier=fcn", "compute.attention=sdpa", *HEAVY),
    "spread": (*DENSE, *HEAVY, "warmup.encoder_steps=1", "watch.save_every=1", "watch.score_every=9"),
    "scratch": (*DENSE, "encoder.start=", "encoder.scratch.layers=1", "encoder.scratch.width=8",
                "encoder.scratch.heads=2", "encoder.scratch.vocabulary=200", "warmup.classifier_steps=0",
                "em.steps=0"),
}  # fmt: skip
SPREAD = "spread"
"""The run whose parameters are spread over the launch's processes. One of them is stopped in phase 2, so both stop,
and the run goes on with two processes again. It has held-out retrieval, too."""


@pytest.fixture(scope="module")
def launched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("launched")


@pytest.fixture
def run_of(configure: Callable[..., Config], world: Path) -> Callable[..., Config]:
    """The config of a run, as one process has it, or each of two."""

    def make(name: str, *more: str) -> Config:
        scored = ('watch.tasks=["world"]', f"watch.data={world}")
        return configure(*ALONE, *RUNS[name], *(scored if name == SPREAD else ()), *more)

    return make


@pytest.fixture
def two(launched: Path, run_of: Callable[..., Config], world: Path) -> Path:
    """Folder of the runs of two processes; made once."""
    if not list(launched.iterdir()):
        for name in RUNS:
            more = ("compute.sharding=fsdp",) if name == SPREAD else ()
            (launched / f"{name}.toml").write_text(dump(run_of(name, *more)), "utf-8")
        script = launched / "launched.py"
        script.write_text(LAUNCHED, "utf-8")
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
        done = subprocess.run(
            [*command, str(script), str(launched), str(world / "world.py")],
            capture_output=True, text=True, timeout=850, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        (launched / "said").write_text(done.stderr, "utf-8")
    return launched


@pytest.mark.slow
@pytest.mark.parametrize("name", ["plain", "joint", "spread"])
def test_two_processes_are_one(
    two: Path, run_of: Callable[..., Config], world: Path, tmp_path: Path, console: Any, log: Any, name: str
) -> None:
    """To 1e-5 in weights that moved by 1e-3: sums over processes come in another order.

    Only the biases of attention's keys are free: their gradient is 0 but for rounding, which Adam makes large.
    """
    registry.add_plugin_file(world / "world.py")
    last = pretrain(run_of(name), tmp_path / "run", console=console)
    assert checkpoints(two / name)[-1].name == checkpoints(tmp_path / "run")[-1].name
    found, expected = log(two / name), log(tmp_path / "run")
    assert [entry["event"] for entry in found] == [entry["event"] for entry in expected]
    for ours, theirs in zip(found, expected, strict=True):
        assert_close(ours, theirs)
    one = load_file(checkpoints(tmp_path / "run")[-1] / "state.safetensors")
    both = load_file(checkpoints(two / name)[-1] / "state.safetensors")
    assert one.keys() == both.keys()
    for key, value in one.items():
        if not key.startswith("optimiser/") and not key.endswith("attention.self.key.bias"):
            assert torch.allclose(both[key], value, rtol=1e-4, atol=1e-5), key
    assert last.exists()


def assert_close(found: Any, expected: Any) -> None:
    """Compares entries of logs."""
    assert type(found) is type(expected)
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for key, value in expected.items():
            assert_close(found[key], value)
    elif isinstance(expected, list):
        assert len(found) == len(expected)
        for ours, theirs in zip(found, expected, strict=True):
            assert_close(ours, theirs)
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, rel=1e-3, abs=1e-5)
    else:
        assert found == expected


@pytest.mark.slow
def test_a_run_of_two_processes_goes_on_with_one(
    two: Path, run_of: Callable[..., Config], world: Path, tmp_path: Path, console: Any
) -> None:
    """From the checkpoint that two processes, each with half of every parameter, wrote in the middle of phase 2."""
    registry.add_plugin_file(world / "world.py")
    shutil.copytree(two / "spread", tmp_path / "run")
    last, middle = (tmp_path / "run" / f"3-em-000000{step}" for step in (2, 1))
    assert middle.is_dir()
    expected = load_file(last / "state.safetensors")
    shutil.rmtree(last)
    pretrain(run_of("spread"), tmp_path / "run", console=console)
    found = load_file(last / "state.safetensors")
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        if not key.endswith(("attention.self.key.bias", "attention.self.key.bias/exp_avg_sq")):
            assert torch.allclose(found[key].double(), value.double(), rtol=1e-3, atol=1e-5), key


@pytest.mark.slow
def test_processes_share_a_new_tokenizer(
    two: Path, run_of: Callable[..., Config], tmp_path: Path, console: Any, log: Any
) -> None:
    """From random weights, which make all sentences alike; so rounding decides all but the losses."""
    last = pretrain(run_of("scratch"), tmp_path / "run", console=console)
    for ours, theirs in zip(log(two / "scratch"), log(tmp_path / "run"), strict=True):
        for key in ("loss_mlm", "loss_encoder"):
            assert ours.get(key, 0.0) == pytest.approx(theirs.get(key, 0.0), rel=1e-4)
    (tokenizer,) = (two / "scratch" / "corpora").glob("tokenizer.*.json")
    assert tokenizer.read_bytes() == (tmp_path / "run" / "corpora" / tokenizer.name).read_bytes()
    assert (last / "model" / "tokenizer.json").is_file()


@pytest.mark.slow
def test_only_the_first_process_talks(two: Path) -> None:
    said = (two / "said").read_text("utf-8")
    assert said.count("phase 2: EM: 2 steps") == len(RUNS) - 1
    assert said.count("going on after em 1") == said.count("phase 2: EM: 1 steps") == 1
    entries = [json.loads(line) for line in (two / SPREAD / "log.jsonl").read_text("utf-8").splitlines()]
    scored = [entry["phase"] for entry in entries if entry["event"] == "score"]
    assert scored == ["start", "mlm", "encoder", "classifier", "em"]


# --- a team of one ------------------------------------------------------------------------------------------


def test_rows_are_shared_out_in_order() -> None:
    shares = [Team(rank, 3, torch.device("cpu")).rows(12) for rank in range(3)]
    assert [row for share in shares for row in range(12)[share]] == list(range(12))
    with pytest.raises(UsageError, match="a batch of 16 cannot be divided by 3 processes"):
        Team(0, 3, torch.device("cpu")).rows(16)


def test_a_process_alone_exchanges_nothing() -> None:
    team = Team.join("cpu")
    rows = torch.arange(6.0).reshape(3, 2).requires_grad_()
    assert team.leads
    assert team.gather(rows) is rows
    assert torch.equal(team.sum(rows), rows.detach())
    assert torch.equal(team.mean(torch.tensor([6.0, 0.0]), torch.tensor([3.0, 0.0])), torch.tensor([2.0, 0.0]))
    assert team.any(True)
    assert not team.any(False)
    module = torch.nn.Linear(2, 2)
    assert team.replicate(module) is module


FAILS = """
import sys
from pathlib import Path
from xrete.models.emmax import pretrain
from xrete.models.emmax.config import read
from xrete.models.emmax.training import Training

whole_step = Training.make_step


def step(run, name, number, share):
    if (run.team.rank, number) == (int(sys.argv[3]), 1):
        raise ValueError("no memory left")
    return whole_step(run, name, number, share)


Training.make_step = step
pretrain.pretrain(read(None, Path(sys.argv[1]), []), Path(sys.argv[2]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("rank", ["0", "1"])
def test_a_process_that_fails_ends_the_others_at_once(
    run_of: Callable[..., Config], tmp_path: Path, rank: str
) -> None:
    """They wait for it in the middle of a step, and connections time out after half an hour."""
    script, settings = tmp_path / "fails.py", tmp_path / "run.toml"
    script.write_text(FAILS, "utf-8")
    settings.write_text(dump(run_of("plain")), "utf-8")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run(
        [*command, str(script), str(settings), str(tmp_path / "run"), rank],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    assert "no memory left" in done.stderr
