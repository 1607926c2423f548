"""`xrete pretrain emmax` as users run it, and the encoder that it leaves, in XRETE and in sentence-transformers."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import xrete as package
from xrete import registry
from xrete.check.plugins import check_plugin
from xrete.errors import UsageError
from xrete.models.emmax import folders, plugin
from xrete.models.emmax.config import Config, dump, read
from xrete.models.emmax.loop import train
from xrete.models.emmax.pretrain import pretrain
from xrete.models.emmax.training import Training

Run = Callable[..., subprocess.CompletedProcess[str]]
Settings = Callable[..., list[str]]
Configure = Callable[..., Config]

QUICK = ("warmup.encoder_steps=1", "warmup.classifier_steps=0", "em.steps=0")
TEXTS = ["pöpòpö pönô", "wôhu", "gìhįjù cǫhįpö gìhįjù cǫhįpö " * 9, "nôdó dówômũ nôdó", "Guten Tag, 你好!"]


# --- the command --------------------------------------------------------------------------------------------


@pytest.fixture
def options(settings: Settings, configure: Configure) -> Callable[..., list[str]]:
    """Options of the command for a short run; with `configure`, none draws pictures."""
    return lambda *more: [part for setting in settings(*more) for part in ("--set", setting)]


def test_a_run_ends_with_what_to_do_next(xrete: Run, options: Any, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    done = xrete("pretrain", "emmax", *options(*QUICK))
    assert done.returncode == 0, done.stderr
    assert done.stdout == "done: xrete run --model emmax:checkpoints/emmax --task tatoeba\n"
    assert "phase 1a: encoder: 1 steps" in done.stderr
    again = xrete("pretrain", "emmax", *options(*QUICK), "--json")
    assert json.loads(again.stdout) == {
        "run": "checkpoints/emmax",
        "checkpoint": "checkpoints/emmax/1-encoder-0000001",
    }
    assert "going on after encoder 1" in again.stderr
    fresh = xrete("pretrain", "emmax", *options(*QUICK), "--fresh")
    assert "going on" not in fresh.stderr
    assert np.float32(1e-40) * np.float32(1) > 0, "numbers are what they were for the rest of the process"


def test_a_config_file_names_the_run(xrete: Run, configure: Configure, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    Path("night.toml").write_text(dump(configure(*QUICK)), "utf-8")
    assert xrete("pretrain", "emmax", "--config", "night.toml").returncode == 0
    assert read(None, tmp_path / "checkpoints/night/config.toml", []) == configure(*QUICK)


def test_other_processes_of_a_launch_say_nothing(
    xrete: Run, options: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "1")
    done = xrete("pretrain", "emmax", *options(*QUICK), "--out", tmp_path / "run", "--json")
    assert (done.returncode, done.stdout) == (0, "")

    def interrupted(*given: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(plugin.EmmaX, "pretrain", interrupted)
    done = xrete("pretrain", "emmax")
    assert (done.returncode, done.stdout, done.stderr.strip()) == (130, "", "")
    monkeypatch.setenv("RANK", "0")
    assert xrete("pretrain", "emmax").stderr.strip() == "stopped; run the same command again to go on"


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["emmay"], 2, r"error: unknown model 'emmay'; did you mean emmax?"),
        (["labse"], 2, r"error: model 'labse' cannot be trained here; 'xrete pretrain emmax' can"),
        (["emmax"], 2, r"error: there are no bitexts to learn ranks from: give data.parallel a source"),
        (["emmax", "--preset", "huge"], 2, r"error: unknown preset 'huge'"),
        (["emmax", "--set", "em.stepps=1"], 2, r"error: config: em.stepps: Extra inputs are not permitted"),
        (["emmax", "--config", "absent.toml"], 1, r"error: missing config file: absent.toml"),
    ],
)
def test_wrong_usage_is_one_sentence(
    xrete: Run, tmp_path: Path, monkeypatch: Any, arguments: list[str], code: int, sentence: str
) -> None:
    monkeypatch.chdir(tmp_path)
    done = xrete("pretrain", *arguments)
    assert done.returncode == code
    assert done.stderr.startswith(sentence)
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "checkpoints").exists()


def test_a_run_that_diverges_says_where_and_ends_with_1(xrete: Run, options: Any, tmp_path: Path) -> None:
    much = ("optimisation.encoder_rate=1e30", "optimisation.warmup=0", "watch.save_every=1")
    done = xrete("pretrain", "emmax", *options(*much), "--out", tmp_path / "run")
    assert done.returncode == 1
    assert (
        "error: phase encoder, step 2: loss_encoder and norm_encoder not finite, the step was not taken; lower "
        in done.stderr
    )
    assert [folder.name for folder in folders.checkpoints(tmp_path / "run")] == ["1-encoder-0000001"]


def test_explaining_does_nothing_and_reads_back(
    xrete: Run, options: Any, configure: Configure, tmp_path: Path
) -> None:
    done = xrete("pretrain", "emmax", *options("seed=7"), "--explain", "--out", tmp_path / "run")
    assert done.returncode == 0
    (tmp_path / "explained.toml").write_text(done.stdout, "utf-8")
    assert read(None, tmp_path / "explained.toml", []) == configure("seed=7")
    assert "# m of the key encoder: keys <- m keys + (1 - m) queries.\nkey_momentum = 0.5\n" in done.stdout
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("argument", ["--help", "--explain"])
def test_neither_help_nor_explanations_import_torch(argument: str) -> None:
    program = (
        "import sys; from xrete.cli.app import main; sys.argv = ['xrete', *sys.argv[1:]]\n"
        "try: main()\n"
        "finally: print(sorted({name.partition('.')[0] for name in sys.modules}), file=sys.stderr)"
    )
    command = [sys.executable, "-c", program, "pretrain", "emmax", argument]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    assert "--set" in done.stdout or "key_momentum" in done.stdout
    imported = set(ast.literal_eval(done.stderr.splitlines()[-1]))
    assert not imported & {"torch", "transformers", "datasets", "pandas", "sentence_transformers"}


# --- the encoder that is left -------------------------------------------------------------------------------


@pytest.mark.parametrize("pooling", ["cls", "mean", "pooler_dense"])
def test_sentence_transformers_gives_the_vectors_of_xrete(
    assemble: Callable[..., Training], tmp_path: Path, pooling: str
) -> None:
    from sentence_transformers import SentenceTransformer

    run = assemble(*QUICK, f"encoder.pooling={pooling}", "mlm.weight=0.1", "warmup.encoder_steps=2")
    train(run)
    (checkpoint,) = folders.checkpoints(tmp_path / "run")
    exported = SentenceTransformer(str(checkpoint / "model"), device="cpu")
    theirs = exported.encode(TEXTS)
    ours = package.load_model(f"emmax:{tmp_path / 'run'}", device="cpu").encode(TEXTS)
    trained = run.encode_texts(TEXTS)
    assert exported.max_seq_length == run.start.max_length
    for vectors in (ours, trained):
        assert (unit(theirs) * unit(vectors)).sum(axis=1).min() > 0.99999
    np.testing.assert_allclose(np.linalg.norm(theirs, axis=1), 1, rtol=1e-5)
    untrained = assemble(*QUICK, f"encoder.pooling={pooling}", "mlm.weight=0.1", folder=tmp_path / "new")
    assert (unit(theirs) * unit(untrained.encode_texts(TEXTS))).sum(axis=1).min() < 0.99999


def unit(vectors: Any) -> Any:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("made")


@pytest.fixture
def checkpoint(made: Path, configure: Configure, world: Path, console: Any) -> Path:
    """The checkpoint of a short run with all that a card says."""
    folder = made / "run"
    if not folder.exists():
        registry.add_plugin_file(world / "world.py")
        scored = ('watch.tasks=["world"]', f"watch.data={world}", "watch.overlap=auto", "watch.score_every=1")
        pretrain(configure(*QUICK, *scored), folder, console=console)
    newest: Path = folders.checkpoints(folder)[-1]
    return newest


def test_the_card_says_how_it_was_trained(checkpoint: Path, configure: Configure, world: Path) -> None:
    card = json.loads((checkpoint / "model" / "training.json").read_text("utf-8"))
    assert card["xrete"] == package.__version__
    assert (card["phase"], card["step"]) == ("encoder", 1)
    assert Config.model_validate(card["config"]).loss == configure().loss
    assert [entry["phase"] for entry in card["scores"]] == ["start", "encoder"]
    assert set(card["corpora"]["parallel"]) == {"en-qaa", "en-qab"}
    assert card["overlap"]["found"] == 0
    text = (checkpoint / "model" / "README.md").read_text("utf-8")
    assert "- parallel en-qaa: 100 pairs of 100 (" in text
    assert f"- all of {world}: 0 of " in text
    assert list(card["overlap"]["tasks"]) == ["world"]
    assert "arXiv 2310.17233" in text


def test_what_it_scored_is_what_the_harness_scores(checkpoint: Path, world: Path) -> None:
    registry.add_plugin_file(world / "world.py")
    record = package.evaluate(
        package.load_model(f"emmax:{checkpoint}", device="cpu"), package.load_task("world", world)
    )
    card = json.loads((checkpoint / "model" / "training.json").read_text("utf-8"))
    found = {group: part.score for group, part in record.groups.items()}
    assert card["scores"][-1]["tasks"]["world"] == pytest.approx(found)


def test_the_contract_suite_passes(checkpoint: Path) -> None:
    findings = check_plugin(f"emmax:{checkpoint.parent}")
    assert [(finding.rule, finding.detail) for finding in findings if not finding.passed] == []


@pytest.mark.skipif(not folders.EMBEDDED.is_dir(), reason="the embedded encoder is not there yet")
def test_the_contract_suite_passes_on_the_embedded_encoder() -> None:
    findings = check_plugin("emmax:embedded")
    assert [(finding.rule, finding.detail) for finding in findings if not finding.passed] == []


def test_which_encoder_a_name_means(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    embedded = checkpoint / "model"
    for module in (folders, plugin):
        monkeypatch.setattr(module, "EMBEDDED", embedded)
    assert identity("emmax").name == "emmax:embedded"  # there is no run here
    assert identity("emmax:embedded").name == "emmax:embedded"

    for number, name in enumerate(("older", "newer")):
        folder = Path("checkpoints") / name / "1-encoder-0000001"
        folder.parent.mkdir(parents=True)
        folder.symlink_to(checkpoint)
        copied = folder.parent / "2-classifier-0000001"
        copied.mkdir()
        (copied / "state.json").write_text('{"best": "1-encoder-0000001"}')
        os.utime(copied / "state.json", (10**10 + number, 10**10 + number))
    assert identity("emmax").name == "emmax:checkpoints/newer/1-encoder-0000001"
    assert identity("emmax:checkpoints/older").name == "emmax:checkpoints/older"
    assert identity("emmax:embedded").name == "emmax:embedded"
    for name in ("emmax", "emmax:checkpoints/older", f"emmax:{checkpoint}", f"emmax:{checkpoint / 'model'}"):
        found = identity(name)
        assert found.revision == identity("emmax:embedded").revision
        assert (found.pooling, found.max_length) == ("mean, normalize", 32)


def identity(name: str) -> Any:
    return registry.request_model(name).identity


def test_a_name_that_means_nothing(tmp_path: Path, start: Path) -> None:
    for folder in (tmp_path / "absent", tmp_path, start):
        with pytest.raises(UsageError, match=rf"emmax:{folder}: no checkpoint there; name the folder of a run"):
            registry.request_model(f"emmax:{folder}")
