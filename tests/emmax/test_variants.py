"""Sweeps over variants and seeds, and the study of what a run's checkpoints know of a world's true ranks."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file
from scipy import stats

from xrete import registry
from xrete.errors import UsageError
from xrete.model import PretrainOptions
from xrete.models.emmax import sweep
from xrete.models.emmax.config import Config, read
from xrete.models.emmax.control import control_of, variant_of
from xrete.models.emmax.folders import best_of, checkpoints
from xrete.models.emmax.plugin import training_of
from xrete.models.emmax.pretrain import pretrain
from xrete.models.emmax.scoring import Scorer, Scores
from xrete.models.emmax.synthetic import study
from xrete.scores.crossed import crossed_margin

Configure = Callable[..., Config]
Settings = Callable[..., list[str]]

FILE = """
seeds = [1]

[variants]
"N = 4" = []
"N = 2" = ["ranks.number=2"]
"long" = ["warmup.encoder_steps=2"]
"""


@pytest.fixture
def swept(
    settings: Settings, configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Sequence[float]], Path]:
    """Makes the sweep, in which held-out retrieval is what the test says, score after score."""

    def make(values: Sequence[float]) -> Path:
        left = iter(values)
        monkeypatch.setattr(Scorer, "__init__", lambda self, config: setattr(self, "tasks", ["fake"]))
        monkeypatch.setattr(Scorer, "score", lambda *given: Scores({"fake": {"all": next(left)}}, {}, {}))
        file = tmp_path / "sweep.toml"
        file.write_text(FILE, "utf-8")
        chosen = settings("watch.score_every=1", "warmup.classifier_steps=1", "em.steps=1")
        sweep.run(sweep.load(file), PretrainOptions(settings=tuple(chosen), out=tmp_path / "out", sweep=file))
        return tmp_path / "out"

    return make


# --- sweeps -------------------------------------------------------------------------------------------------

FIRST = [1.0, 10.0, 40.0, 30.0, 30.0, 50.0]
"""Of the first run: the start, three steps of phase 1a, one of 1b, one of phase 2."""
FORK = [20.0, 25.0]
"""Of the second, which begins with phase 1b."""
OTHER = [1.0, 10.0, 20.0, 20.0, 15.0]
CONTROLS = [35.0, 22.0]
"""Of phase 2 in the controls that the sweep adds: of the first two, and of the third."""
ALONE = [0.0, 0.0, 0.0, 0.0]
"""Of a run that scores at the start and after each phase."""


def test_variants_share_phase_1a_and_come_out_as_they_would_alone(
    swept: Any, settings: Settings, tmp_path: Path, console: Any, log: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    out = swept([*FIRST, *FORK, *OTHER, *CONTROLS, *ALONE])
    for name, phases in (("n---2-1", {"classifier", "em"}), ("long-1", {"start", "encoder", "classifier", "em"})):
        assert {entry["phase"] for entry in log(out / name) if "phase" in entry} == phases
    scores = json.loads((out / "sweep.json").read_text("utf-8"))
    assert {name: [entry["score"] for entry in run] for name, (run,) in scores.items()} == {
        "N = 4": FIRST, "N = 2": [*FIRST[:4], *FORK], "long": OTHER,
        "control": [*FIRST[:4], 35.0], "control 2": [*OTHER[:3], 22.0],
    }  # fmt: skip
    said = capsys.readouterr().out
    assert "30.0 → 50.0 (+20.0)" in said
    assert "20.0 → 25.0 (+5.0)" in said

    alone = settings("ranks.number=2", "seed=1", "warmup.classifier_steps=1", "em.steps=1")
    pretrain(read(None, None, alone), tmp_path / "alone", console=console)
    one, other = (
        load_file(run / "3-em-0000001/state.safetensors") for run in (tmp_path / "alone", out / "n---2-1")
    )
    assert one.keys() == other.keys()
    assert all(torch.equal(value, other[name]) for name, value in one.items())


def test_a_fork_knows_the_best_of_what_it_shares(swept: Any) -> None:
    out = swept([*FIRST, *FORK, *OTHER, *CONTROLS])
    assert best_of(out / "n---4-1") == "3-em-0000001"
    assert best_of(out / "n---2-1") == "1-encoder-0000002"


def test_a_sweep_that_is_done_does_nothing_again(swept: Any) -> None:
    out = swept([*FIRST, *FORK, *OTHER, *CONTROLS])
    files = sorted((file, file.stat().st_mtime_ns) for file in out.glob("*/*/state.json"))
    swept([])
    assert files == sorted((file, file.stat().st_mtime_ns) for file in out.glob("*/*/state.json"))


def test_variants_are_compared_with_their_control_by_language_and_seed(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ends = {"ranks-1": (6.0, 4.0), "ranks-2": (8.0, 5.0), "control-1": (5.0, 4.0), "control-2": (4.0, 4.0)}
    place: list[str] = []
    real = sweep.pretrain

    def remember(config: Config, folder: Path, **options: Any) -> Path:
        place.append(folder.name)
        best: Path = real(config, folder, **options)
        return best

    def score(*given: Any) -> Scores:
        de, sw = ends[place[-1]]
        groups = {"all": (de + sw) / 2, "long-tail": sw}
        members = {"all": ["de", "sw"], "long-tail": ["sw"]}
        return Scores({"fake": groups}, {"fake": {"de": de, "sw": sw}}, {"fake": members})

    monkeypatch.setattr(sweep, "pretrain", remember)
    monkeypatch.setattr(Scorer, "__init__", lambda self, config: setattr(self, "tasks", ["fake"]))
    monkeypatch.setattr(Scorer, "score", score)
    file = tmp_path / "sweep.toml"
    file.write_text('seeds = [1, 2]\n[variants]\n"ranks" = []\n"phase 1 only" = ["em.steps=0"]\n', "utf-8")
    options = PretrainOptions(settings=tuple(settings()), out=tmp_path / "out", sweep=file)
    monkeypatch.setenv("COLUMNS", "200")
    ends |= {f"phase-1-only-{seed}": (1.0, 1.0) for seed in (1, 2)}
    sweep.run(sweep.load(file), options)
    gains = json.loads((tmp_path / "out/control.json").read_text("utf-8"))
    assert gains == {
        "ranks": {
            "fake all": {
                "control": "control", "languages": ["de", "sw"], "seeds": [1, 2],
                "differences": [[1.0, 0.0], [4.0, 1.0]], "stopped": [],
            },
            "fake long-tail": {
                "control": "control", "languages": ["sw"], "seeds": [1, 2], "differences": [[0.0], [1.0]],
                "stopped": [],
            },
        }
    }  # fmt: skip
    assert f"+1.5 ± {crossed_margin(np.array([[1.0, 0.0], [4.0, 1.0]])):.1f} (2 languages, 2 seeds)" in (
        capsys.readouterr().out
    )


@pytest.mark.parametrize(
    ("changes", "same"),
    [
        (["ranks.number=2", "loss.rank_weight=1", "em.parallel_fraction=0", "em.classifier_rate=1"], True),
        (["em.objective=contrast"], True),
        (["warmup.classifier_steps=9", "seed=7", "watch.log_every=3", "compute.device=cuda"], True),
        (["em.steps=9"], False),
        (["em.encoder_rate=1e-5"], False),
        (["optimisation.batch=32"], False),
        (["loss.temperature=0.1"], False),
        (["data.parallel_exponent=0.1"], False),
    ],
)
def test_a_control_is_that_of_all_that_differ_in_what_it_does_not_read(
    configure: Configure, changes: list[str], same: bool
) -> None:
    one, other = (variant_of(control_of(configure(*given))) for given in ((), changes))
    assert (one == other) is same
    assert variant_of(configure("em.objective=contrast", "ranks.number=2")) == one


def test_variants_fork_from_a_run_that_is_done(
    settings: Settings, configure: Configure, tmp_path: Path, console: Any, log: Any
) -> None:
    pretrain(configure("em.steps=0", "seed=1"), tmp_path / "done", console=console)
    file = tmp_path / "sweep.toml"
    file.write_text(f'seeds = [1]\nphase_1 = ["{tmp_path / "done"}"]\n[variants]\n' + VARIANTS, "utf-8")
    options = PretrainOptions(settings=tuple(settings()), out=tmp_path / "out", sweep=file)
    sweep.run(sweep.load(file), options)
    for name in ("ranks", "control"):
        phases = {entry["phase"] for entry in log(tmp_path / "out" / f"{name}-1") if "phase" in entry}
        assert phases == {"classifier", "em"}
    assert training_of(tmp_path / "out/control-1/3-em-0000003/model")["phases"] == [
        "encoder", "classifier", "control"
    ]  # fmt: skip
    assert (tmp_path / "out/corpora").is_dir()
    assert not (tmp_path / "out/ranks-1/corpora").exists()

    other = PretrainOptions(settings=tuple(settings("loss.queue=25")), out=tmp_path / "other", sweep=file)
    with pytest.raises(UsageError, match=r"'ranks', seed 1: .*done was made with loss\.queue = 24, not 25"):
        sweep.run(sweep.load(file), other)
    longer = PretrainOptions(settings=tuple(settings("warmup.encoder_steps=9")), out=tmp_path / "other", sweep=file)
    with pytest.raises(UsageError, match=r"none of phase_1 .* has a checkpoint 1-encoder-0000009"):
        sweep.run(sweep.load(file), longer)
    joint = PretrainOptions(settings=tuple(settings("warmup.order=joint")), out=tmp_path / "other", sweep=file)
    with pytest.raises(UsageError, match="a joint warm-up has no phase 1a that runs could share"):
        sweep.run(sweep.load(file), joint)


VARIANTS = """
"ranks" = []
"control" = ["em.objective=contrast"]
"""


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("seeds = [", "is not TOML"),
        ("seeds = [1]", "variants: Field required"),
        ('[variants]\nx = []\n[variant]\ny = []', "variant: Extra inputs are not permitted"),
        ("seeds = []\n[variants]\nx = []", "seeds: "),
    ],
)  # fmt: skip
def test_a_wrong_sweep_file_is_named(tmp_path: Path, text: str, sentence: str) -> None:
    file = tmp_path / "sweep.toml"
    file.write_text(text, "utf-8")
    with pytest.raises(UsageError, match=sentence):
        sweep.load(file)


def test_intervals_are_those_of_students_t() -> None:
    values = [4.0, 7.5, 5.0]
    low, high = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert sweep.interval(values) == f"{np.mean(values):+.1f} ± {(high - low) / 2:.1f}"
    assert sweep.interval([4.0]) == "+4.0"


# --- the study ----------------------------------------------------------------------------------------------


def test_the_study_knows_what_a_checkpoint_knows(
    configure: Configure, world: Path, tmp_path: Path, console: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """All languages of this world have the same words, so that vectors without any training know the ranks."""
    registry.add_plugin_file(world / "world.py")
    small = ("optimisation.encoder_rate=1e-6", "ranks.typical_start=data", "ranks.start_pairs=600")
    pretrain(configure(*small), tmp_path / "run", console=console)
    found = study.study(world, tmp_path / "run")
    assert [one.name for one in found] == [folder.name for folder in checkpoints(tmp_path / "run")][-len(found) :]
    assert found[-1].name == "3-em-0000003"
    for one in found:
        assert 0.1 < one.classifier <= 1
        assert 0.1 < one.encoder <= 1
        assert one.cosine == sorted(one.cosine, reverse=True)
        assert one.recall[0] > 0.5
    Console().print(study.table([("run", found)]))
    assert "3-em-0000003" in capsys.readouterr().out


def test_a_run_without_ranks_has_nothing_to_study(
    configure: Configure, world: Path, tmp_path: Path, console: Any
) -> None:
    config = configure("warmup.encoder_steps=1", "warmup.classifier_steps=0", "em.steps=0")
    pretrain(config, tmp_path / "run", console=console)
    with pytest.raises(UsageError, match="has no checkpoints of a phase with ranks"):
        study.study(world, tmp_path / "run")
