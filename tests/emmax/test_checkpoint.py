"""A run that is stopped or killed at any step, and started again, is the unbroken run, to the last bit."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from xrete.errors import UsageError, XreteError
from xrete.models.emmax import checkpoint
from xrete.models.emmax.config import Config, dump
from xrete.models.emmax.folders import best_of, checkpoints, find_encoder
from xrete.models.emmax.log import Watch
from xrete.models.emmax.loop import train
from xrete.models.emmax.pretrain import pretrain
from xrete.models.emmax.scoring import Scorer, Scores
from xrete.models.emmax.training import Training

Configure = Callable[..., Config]
ReadLog = Callable[[Path], list[dict[str, Any]]]

BRIEF = ("warmup.encoder_steps=2", "warmup.classifier_steps=2", "em.steps=2")
HARD = (*BRIEF, "mlm.weight=0.3", "warmup.mlm_steps=1", "compute.cache_tokens=150", "encoder.key_dropout=true")
"""All that could differ after a start: dropout, hidden tokens, a queue that wraps, gradient caching."""


def assert_equal_runs(one: Path, other: Path, log: ReadLog) -> None:
    assert [folder.name for folder in checkpoints(one)] == [folder.name for folder in checkpoints(other)]
    for left, right in zip(checkpoints(one), checkpoints(other), strict=True):
        assert (left / "state.json").read_text() == (
            right / "state.json"
        ).read_text()  # with digests of all tensors
        assert (left / "model/model.safetensors").read_bytes() == (right / "model/model.safetensors").read_bytes()
    assert log(one) == log(other)


class Killed(BaseException):
    """What ends a process at once; unlike an error, nobody catches it."""


@pytest.fixture
def kill(console: Any) -> Callable[[Config, Path, int], None]:
    """Makes a run that ends right after its n-th step of all phases, before anything is logged or saved."""

    def run(config: Config, folder: Path, step: int) -> None:
        count, steps = Watch.count, iter(range(1, 1000))

        def stop(self: Watch, *given: Any) -> None:
            if next(steps) == step:
                raise Killed
            count(self, *given)

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(Watch, "count", stop)
            with pytest.raises(Killed):
                pretrain(config, folder, console=console)

    return run


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Runs that nobody stopped, by their settings."""
    return {}


@pytest.fixture
def whole(unbroken: dict[str, Path], configure: Configure, tmp_path_factory: Any, console: Any) -> Any:
    def run(*settings: str) -> Path:
        if (key := repr(settings)) not in unbroken:
            unbroken[key] = tmp_path_factory.mktemp("unbroken")
            pretrain(configure(*settings), unbroken[key], console=console)
        return unbroken[key]

    return run


# --- stopped, killed ----------------------------------------------------------------------------------------


def test_a_run_that_is_stopped_after_every_step(
    configure: Configure, whole: Any, tmp_path: Path, console: Any, log: ReadLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By Ctrl-C, while the step is under way; so phases end, and begin, with a process of their own."""
    settings = (*HARD, "watch.keep=1", "watch.save_every=1000")
    new_step = Training.make_step
    sessions = 0

    def interrupted(self: Training, *given: Any) -> Any:
        os.kill(os.getpid(), signal.SIGINT)
        return new_step(self, *given)

    with monkeypatch.context() as patched:
        patched.setattr(Training, "make_step", interrupted)
        while True:
            sessions += 1
            try:
                pretrain(configure(*settings), tmp_path, console=console)
            except KeyboardInterrupt:
                continue
            break
    assert sessions == 8  # one for each of 7 steps, and one that finds all done
    assert_equal_runs(tmp_path, whole(*settings), log)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("step", [1, 3, 5, 7])
def test_a_run_that_is_killed(
    configure: Configure, whole: Any, tmp_path: Path, console: Any, log: ReadLog, kill: Any, step: int
) -> None:
    """Steps are 1 of phase 0, then 2 of each phase; checkpoints are those of the ends of phases."""
    settings = (*HARD, "watch.keep=9")
    kill(configure(*settings), tmp_path, step)
    pretrain(configure(*settings), tmp_path, console=console)
    assert_equal_runs(tmp_path, whole(*settings), log)


@pytest.mark.parametrize("step", [2, 4])
def test_a_joint_run_that_is_killed(
    configure: Configure, whole: Any, tmp_path: Path, console: Any, log: ReadLog, kill: Any, step: int
) -> None:
    settings = (*BRIEF, "warmup.order=joint", "watch.save_every=1", "ranks.zero_means=true")
    kill(configure(*settings), tmp_path, step)
    pretrain(configure(*settings), tmp_path, console=console)
    assert_equal_runs(tmp_path, whole(*settings), log)


COMMAND = """
import sys, time
from xrete.cli.app import main
from xrete.models.emmax.log import Watch

def count(self, step, phase=sys.argv.pop(1), number=int(sys.argv.pop(1)), count=Watch.count):
    count(self, step)
    if (step.phase, step.number) == (phase, number):
        print("here", flush=True)
        time.sleep(2)

Watch.count = count
main()
"""


@pytest.mark.slow
def test_a_process_that_gets_sigkill_and_one_that_gets_sigterm(
    configure: Configure, whole: Any, tmp_path: Path, console: Any, log: ReadLog
) -> None:
    settings = (*BRIEF, "warmup.encoder_steps=4", "watch.save_every=2")
    file = tmp_path / "run.toml"
    file.write_text(dump(configure(*settings)), "utf-8")

    def start(phase: str, number: int) -> subprocess.Popen[str]:
        arguments = ["pretrain", "emmax", "--config", file, "--out", tmp_path / "run"]
        process = subprocess.Popen(
            [sys.executable, "-c", COMMAND, phase, str(number), *map(str, arguments)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert process.stdout
        assert process.stdout.readline() == "here\n", process.stderr.read() if process.stderr else ""
        return process

    first = start("encoder", 2)
    first.kill()
    assert first.wait(60) == -signal.SIGKILL
    first.communicate()
    assert [folder.name for folder in checkpoints(tmp_path / "run")] == ["1-encoder-0000002"]
    second = start("em", 0)
    second.terminate()
    _, said = second.communicate(timeout=60)
    assert second.returncode == 130
    assert said.splitlines()[-1] == "stopped; run the same command again to go on"
    assert "going on after encoder 2" in said
    assert checkpoints(tmp_path / "run")[-1].name == "3-em-0000001"
    pretrain(configure(*settings), tmp_path / "run", console=console)
    # The stop saved a step that the unbroken run did not save.
    assert_equal_states(checkpoints(tmp_path / "run")[-1], checkpoints(whole(*settings))[-1])
    assert log(tmp_path / "run") == log(whole(*settings))


def assert_equal_states(one: Path, other: Path) -> None:
    assert (one / "state.json").read_text() == (other / "state.json").read_text()
    found, expected = load_file(one / "state.safetensors"), load_file(other / "state.safetensors")
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_a_second_ctrl_c_ends_a_run_at_once_and_a_second_sigterm_does_not(
    assemble: Callable[..., Training],
) -> None:
    run = assemble()
    with run.stoppable():
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        assert run.stopped
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


# --- what a checkpoint holds --------------------------------------------------------------------------------


def test_everything_comes_back(assemble: Callable[..., Training]) -> None:
    settings = ("mlm.weight=0.1", "loss.queue=20", *BRIEF)
    run = assemble(*settings)
    train(run)
    back = assemble(*settings)
    assert back.progress == run.progress
    assert (back.queue.pointer, back.queue.valid) == (run.queue.pointer, run.queue.valid) == (4, 20)
    assert bool(back.typical.known.all())
    assert back.typical.values.tolist() == run.typical.values.tolist()
    for name, module in run.state.modules().items():
        state = back.state.modules()[name].state_dict()
        assert state.keys() == module.state_dict().keys()
        assert all(torch.equal(value, state[key]) for key, value in module.state_dict().items()), name
    back.make_optimisers("em", ["encoder", "classifier"])
    for name, optimiser in run.state.optimisers.items():
        for group, theirs in zip(optimiser.param_groups, back.state.optimisers[name].param_groups, strict=True):
            for weight, other in zip(group["params"], theirs["params"], strict=True):
                state, restored = optimiser.state[weight], back.state.optimisers[name].state[other]
                assert state.keys() == restored.keys() == {"step", "exp_avg", "exp_avg_sq"}
                assert all(torch.equal(state[key], restored[key]) for key in state)
    saved = json.loads((checkpoints(run.checkpoints.folder)[-1] / "state.json").read_text())
    assert saved["rank_order"] == "paraphrase_first"
    assert len(saved["corpora"]) == 64
    assert Config.model_validate(saved["config"]) == run.config


def test_tied_weights_are_saved_once(assemble: Callable[..., Training]) -> None:
    run = assemble("mlm.weight=0.1", "em.steps=0", "warmup.classifier_steps=0", "warmup.encoder_steps=1")
    train(run)
    (folder,) = checkpoints(run.checkpoints.folder)
    aliases = json.loads((folder / "state.json").read_text())["aliases"]
    assert aliases["query/head.decoder.weight"] == "query/encoder.transformer.embeddings.word_embeddings.weight"
    tensors = load_file(folder / "state.safetensors")
    assert not tensors.keys() & aliases.keys()
    back = assemble("mlm.weight=0.1", "em.steps=0", "warmup.classifier_steps=0", "warmup.encoder_steps=1")
    assert back.query.head is not None
    assert back.query.head.decoder.weight is back.query.encoder.transformer.get_input_embeddings().weight


# --- damage -------------------------------------------------------------------------------------------------


def flip(folder: Path) -> None:
    file = folder / "state.safetensors"
    raw = bytearray(file.read_bytes())
    raw[-1] ^= 1
    file.write_bytes(raw)


def tear(folder: Path) -> None:
    file = folder / "state.json"
    file.write_text(file.read_text()[:-100])


def age(folder: Path) -> None:
    file = folder / "state.json"
    file.write_text(file.read_text().replace("xrete/emmax/1", "xrete/emmax/9"))


SHORT = ("warmup.classifier_steps=0", "em.steps=0", "warmup.encoder_steps=4", "watch.save_every=1", "watch.keep=9")


@pytest.mark.parametrize("damage", [flip, tear, age])
def test_a_damaged_checkpoint_is_named_and_the_one_before_it_taken(
    configure: Configure, whole: Any, tmp_path: Path, console: Any, log: ReadLog, damage: Callable[[Path], None]
) -> None:
    shutil.copytree(whole(*SHORT), tmp_path / "run")
    for folder in checkpoints(tmp_path / "run")[-2:]:
        damage(folder)
    pretrain(configure(*SHORT), tmp_path / "run", console=console)
    warnings = [entry["text"] for entry in log(tmp_path / "run") if entry["event"] == "warning"]
    assert len(warnings) == 2
    for name, text in zip(("1-encoder-0000004", "1-encoder-0000003"), warnings, strict=True):
        assert str(tmp_path / "run" / name) in text
        assert text.endswith("; going on from 1-encoder-0000002")
        assert f"warning: {text}" in console.file.getvalue()
    assert_equal_states(tmp_path / "run/1-encoder-0000004", whole(*SHORT) / "1-encoder-0000004")


def test_a_new_checkpoint_stays_though_later_ones_that_are_damaged_are_there(
    configure: Configure, whole: Any, tmp_path: Path, console: Any, kill: Any
) -> None:
    run = tmp_path / "run"
    shutil.copytree(whole(*SHORT), run)
    for folder in checkpoints(run)[-2:]:
        flip(folder)
    settings = (*SHORT, "watch.keep=1")
    kill(configure(*settings), run, 2)  # steps 3 and 4 are done again, of which 3 is saved
    pretrain(configure(*settings), run, console=console)
    assert "going on after encoder 3" in console.file.getvalue()
    assert [folder.name for folder in checkpoints(run)] == ["1-encoder-0000004"]


def test_if_all_are_damaged_the_run_does_not_start_anew_by_itself(
    configure: Configure, whole: Any, tmp_path: Path, console: Any
) -> None:
    shutil.copytree(whole(*SHORT), tmp_path / "run")
    for folder in checkpoints(tmp_path / "run"):
        (folder / "state.safetensors").write_bytes(b"")
    sentence = (
        r"1-encoder-0000004 is damaged: state\.safetensors .*no checkpoint there is whole, --fresh starts anew"
    )
    with pytest.raises(XreteError, match=sentence):
        pretrain(configure(*SHORT), tmp_path / "run", console=console)
    pretrain(configure(*SHORT), tmp_path / "run", fresh=True, console=console)
    assert_equal_states(tmp_path / "run/1-encoder-0000004", whole(*SHORT) / "1-encoder-0000004")


@pytest.mark.parametrize(
    ("place", "error"),
    [
        ("save_file", SafetensorError("I/O error: no space left on device")),
        ("write_model", OSError(errno.ENOSPC, "No space left on device")),
    ],
)
def test_a_full_disk_leaves_no_half_checkpoint(
    configure: Configure, whole: Any, tmp_path: Path, console: Any, error: Exception, place: str
) -> None:
    real, calls, run = getattr(checkpoint, place), iter(range(9)), tmp_path / "run"

    def full(*given: Any) -> None:
        if next(calls) == 2:
            raise error
        real(*given)

    sentence = r"cannot write .*1-encoder-0000003: .*[Nn]o space left on device; free"
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(checkpoint, place, full)
        with pytest.raises(XreteError, match=sentence):
            pretrain(configure(*SHORT), run, console=console)
    names = sorted(path.name for path in run.iterdir())
    assert names == ["1-encoder-0000001", "1-encoder-0000002", "config.toml", "corpora", "log.jsonl"]
    (run / ".1-encoder-0000002.part").mkdir()  # of a process that was killed while it wrote
    (run / ".1-encoder-0000002.part" / "state.safetensors").touch()
    pretrain(configure(*SHORT), run, console=console)
    assert not (run / ".1-encoder-0000002.part").exists()
    assert_equal_states(run / "1-encoder-0000004", whole(*SHORT) / "1-encoder-0000004")


# --- the same folder, other settings ------------------------------------------------------------------------


def test_other_settings_are_refused_by_name(configure: Configure, whole: Any, tmp_path: Path, console: Any) -> None:
    shutil.copytree(whole(*SHORT), tmp_path / "run")
    with pytest.raises(
        UsageError, match=r"other settings \(loss\.queue was 24, is 25; seed was 42, is 7\); use --fr"
    ):
        pretrain(configure(*SHORT, "loss.queue=25", "seed=7"), tmp_path / "run", console=console)
    many = ("loss.queue=25", "seed=7", "ranks.number=3", "mlm.share=0.2", "em.steps=1")
    with pytest.raises(UsageError, match="; and 2 more"):
        pretrain(configure(*SHORT, *many), tmp_path / "run", console=console)
    assert "queue = 24" in (whole(*SHORT) / "config.toml").read_text()


def test_how_it_is_computed_and_watched_may_change(
    configure: Configure, tmp_path: Path, console: Any, kill: Any
) -> None:
    kill(configure(*SHORT), tmp_path, 3)
    changed = (
        "compute.cache_tokens=100",
        "compute.checkpoint_activations=true",
        "watch.log_every=2",
        "watch.keep=2",
    )
    pretrain(configure(*SHORT, *changed), tmp_path, console=console)
    assert [folder.name for folder in checkpoints(tmp_path)] == ["1-encoder-0000003", "1-encoder-0000004"]


def test_other_text_is_refused(configure: Configure, whole: Any, tmp_path: Path, world: Path, console: Any) -> None:
    shutil.copytree(whole(*SHORT), tmp_path / "run")
    shutil.copytree(world, tmp_path / "world")
    settings = [f'data.monolingual=[{{kind="text", path="{tmp_path}/world/mono/{{language}}.txt"}}]']
    pretrain(configure(*SHORT, *settings), tmp_path / "other", console=console)
    with (tmp_path / "world/mono/qta.txt").open("a", encoding="utf-8") as file:
        file.write("one more sentence\n")
    with pytest.raises(UsageError, match=r"other holds a run on other text; use --fresh or another --out"):
        pretrain(configure(*SHORT, *settings), tmp_path / "other", console=console)


# --- which are kept -----------------------------------------------------------------------------------------


@pytest.fixture
def scored(monkeypatch: pytest.MonkeyPatch) -> Callable[[Sequence[float]], tuple[str, ...]]:
    """Makes held-out retrieval be what the test says: of the start, then of each step."""

    def script(values: Sequence[float]) -> tuple[str, ...]:
        left = iter(values)
        monkeypatch.setattr(Scorer, "__init__", lambda self, config: setattr(self, "tasks", ["fake"]))
        monkeypatch.setattr(Scorer, "score", lambda *given: Scores({"fake": {"all": next(left)}}, {}, {}))
        return (*SHORT, "watch.score_every=1", "watch.keep=1")

    return script


def test_the_best_checkpoint_is_kept_beside_the_newest(
    configure: Configure, tmp_path: Path, console: Any, scored: Any
) -> None:
    best = pretrain(configure(*scored([90.0, 10.0, 30.0, 20.0, 30.0])), tmp_path, console=console)
    assert best == tmp_path / "1-encoder-0000002"  # the start was better, but is no checkpoint
    assert [folder.name for folder in checkpoints(tmp_path)] == ["1-encoder-0000002", "1-encoder-0000004"]
    assert best_of(tmp_path) == "1-encoder-0000002"
    assert find_encoder(str(tmp_path)) == best / "model"
    assert find_encoder(str(tmp_path / "1-encoder-0000004")) == tmp_path / "1-encoder-0000004/model"
    tear(tmp_path / "1-encoder-0000004")
    assert best_of(tmp_path) == "1-encoder-0000002"
    shutil.rmtree(best)
    assert find_encoder(str(tmp_path)) == tmp_path / "1-encoder-0000004/model"


def test_a_run_that_goes_on_knows_its_best(
    configure: Configure, tmp_path: Path, console: Any, scored: Any, kill: Any
) -> None:
    settings = scored([0.0, 10.0, 30.0, 20.0, 25.0, 27.0])
    kill(configure(*settings), tmp_path, 4)
    assert pretrain(configure(*settings), tmp_path, console=console).name == "1-encoder-0000002"
    state = json.loads((tmp_path / "1-encoder-0000004/state.json").read_text())
    assert [entry["score"] for entry in state["scores"]] == [0.0, 10.0, 30.0, 20.0, 25.0]


def test_patience_ends_phase_2(
    configure: Configure, tmp_path: Path, console: Any, scored: Any, log: ReadLog
) -> None:
    settings = ("warmup.encoder_steps=1", "em.steps=9", "watch.patience=2")
    config = configure(*scored([0.0, 50.0, 10.0, 20.0, 15.0, 20.0]), *settings)
    assert pretrain(config, tmp_path, console=console).name == "1-encoder-0000001"
    assert checkpoints(tmp_path)[-1].name == "3-em-0000009"
    assert [entry["step"] for entry in log(tmp_path) if entry["event"] == "step"] == [1, 1, 2, 3, 4]
    lines = (tmp_path / "log.jsonl").read_text()
    assert pretrain(config, tmp_path, console=console).name == "1-encoder-0000001"  # it is done, and stays so
    assert (tmp_path / "log.jsonl").read_text() == lines


def test_fresh_throws_the_run_away_and_nothing_else(configure: Configure, tmp_path: Path, console: Any) -> None:
    pretrain(configure(*SHORT), tmp_path, console=console)
    (tmp_path / "thesis.tex").touch()
    corpora = sorted((path, path.stat().st_mtime_ns) for path in (tmp_path / "corpora").rglob("*.arrow"))
    pretrain(configure(*SHORT, "seed=7", "warmup.encoder_steps=1"), tmp_path, fresh=True, console=console)
    assert [folder.name for folder in checkpoints(tmp_path)] == ["1-encoder-0000001"]
    assert (tmp_path / "thesis.tex").exists()
    assert corpora == sorted((path, path.stat().st_mtime_ns) for path in (tmp_path / "corpora").rglob("*.arrow"))
    assert len((tmp_path / "log.jsonl").read_text().splitlines()) == 1
