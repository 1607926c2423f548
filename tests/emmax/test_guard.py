"""The guard of phase 2: what it looks at, when it trips and when not, and what a run that trips does."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from xrete.errors import UsageError
from xrete.model import PretrainOptions
from xrete.models.emmax import loop, monitors, sweep
from xrete.models.emmax.config import Config
from xrete.models.emmax.corpora import prepare
from xrete.models.emmax.folders import best_of, checkpoints
from xrete.models.emmax.guard import PAIRS, SENTENCES, Guard, Look, RunAwayError
from xrete.models.emmax.plugin import training_of
from xrete.models.emmax.pretrain import pretrain
from xrete.models.emmax.scoring import Scorer, Scores
from xrete.models.emmax.training import Training

Configure = Callable[..., Config]
ReadLog = Callable[[Path], list[dict[str, Any]]]


def look(share: float, retrieved: float, sentences: int = 2 * PAIRS) -> Look:
    return Look([share, 0.01, 0.05, 0.94 - share], [0.7, 0.2, 0.1, 0.0], retrieved, sentences)


def trips(*looks: tuple[float, float]) -> list[bool]:
    guard, tripped = Guard(), []
    for share, retrieved in looks:
        guard.look(look(share, retrieved))
        tripped.append(guard.has_tripped)
    return tripped


# --- when it trips ------------------------------------------------------------------------------------------


def test_it_trips_where_paraphrases_multiply_while_retrieval_falls() -> None:
    assert trips((0.001, 0.6), (0.002, 0.6), (0.006, 0.5), (0.02, 0.4)) == [False, False, False, True]
    assert trips((0.0, 0.6), (0.002, 0.5), (0.003, 0.5)) == [False, False, True]  # there were none
    assert trips((0.004, 0.6), (0.0005, 0.6), (0.003, 0.5), (0.003, 0.5))[-1]  # grown from the least
    gains_first = ((0.001, 0.2), (0.002, 0.6), (0.006, 0.4), (0.02, 0.3))
    assert trips(*gains_first)[-1]


@pytest.mark.parametrize(
    "looks",
    [
        [(0.001, 0.6), (0.02, 0.62), (0.04, 0.65)],  # more paraphrases, and better
        [(0.001, 0.6), (0.001, 0.4), (0.0012, 0.2)],  # worse, but not by paraphrases
        [(0.0, 0.6), (0.0009, 0.5), (0.0009, 0.5)],  # many times more, but what random pairs may hold
        [(0.001, 0.6), (0.02, 0.58), (0.04, 0.57)],  # within two standard errors: 4.3 points of 512 sentences
        [(0.001, 0.6), (0.02, 0.4), (0.002, 0.4), (0.02, 0.4)],  # not twice in a row
    ],
)
def test_it_does_not_trip_else(looks: list[tuple[float, float]]) -> None:
    assert not any(trips(*looks))


def test_it_says_what_happened_and_what_to_change() -> None:
    guard = Guard()
    for one in (look(0.001, 0.6), look(0.02, 0.4), look(0.0566, 0.3)):
        guard.look(one)
    assert guard.explain(look(0.0566, 0.3), 0.0) == (
        "phase 2 runs away: rank 1 has grown from 0.10% to 5.66% of random pairs, and retrieval of held-out "
        "bitexts has fallen from 60.0% to 30.0%: classifier and encoder confirm each other's false paraphrases; "
        "set em.parallel_fraction = 0.75, lower em.classifier_rate, or give phase 1 more steps"
    )
    assert "; lower em.encoder_rate, lower em.classifier_rate" in guard.explain(look(0.0566, 0.3), 0.75)


# --- what it looks at ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["both", "bitexts alone"])
def test_what_it_sees_is_counted_one_by_one(assemble: Callable[..., Training], text: str) -> None:
    only = ("data.monolingual=[]", "em.parallel_fraction=1")
    run = assemble("optimisation.batch=8", *(only if text == "bitexts alone" else ()))
    loop.start_classifier(run)
    (share,) = run.shares(lambda data: data.bitexts(4), 1)
    step = run.make_step("em", 0, share)
    monitors.look_for_guard(run, step)
    assert step.look is not None

    batch = run.sampler().held_out(PAIRS, SENTENCES)
    vectors, n = run.encode_texts(batch.texts).astype(np.float64), int((batch.partners >= 0).sum()) // 2
    alone = range(2 * n, len(batch.texts)) if text == "both" else range(n)
    assert len(alone) > 1

    def rank(i: int, k: int) -> int:
        x, y = (torch.from_numpy(vectors[[row]]).float() for row in (i, k))
        return int(run.classifier.pairs(x, y).argmax())

    some = list(alone)[:12]
    pairs = [rank(i, k) for i in some for k in alone if batch.texts[i] != batch.texts[k]]
    every = run.classifier.cells(*[torch.from_numpy(vectors[alone.start : alone.stop]).float()] * 2).argmax(0)
    ids = torch.tensor([hash(batch.texts[row]) for row in alone])
    counted = torch.bincount(every[ids != ids.unsqueeze(1)], minlength=4) / (ids != ids.unsqueeze(1)).sum()
    assert step.look.random == pytest.approx(counted.tolist(), abs=1e-3)
    first = every[: len(some)][ids[: len(some)].unsqueeze(1) != ids]
    assert np.mean(first.numpy() == np.array(pairs)) > 0.99  # row by row and all at once, up to rounding

    hits, ranks = [], [0, 0, 0, 0]
    for i in range(2 * n):
        others = range(n, 2 * n) if i < n else range(n)
        nearest = max(others, key=lambda k: float(vectors[i] @ vectors[k]))
        hits.append(batch.texts[nearest] == batch.texts[(i + n) % (2 * n)])
        if i < n:
            ranks[rank(i, i + n)] += 1
    assert step.look.sentences == 2 * n == len(hits)
    assert step.look.retrieved == pytest.approx(np.mean(hits), abs=1.5 / len(hits))  # ties fall either way
    assert step.look.translations == pytest.approx([count / n for count in ranks])


def test_it_looks_as_often_as_the_setting_says_and_changes_nothing(
    configure: Configure, tmp_path: Path, console: Any, log: ReadLog
) -> None:
    once = ("warmup.encoder_steps=1", "warmup.classifier_steps=1", "em.steps=5")
    for place, every in (("never", 0), ("often", 2)):
        pretrain(configure(*once, f"watch.guard_every={every}"), tmp_path / place, console=console)
    never, often = (log(tmp_path / place) for place in ("never", "often"))
    assert [entry["step"] for entry in often if entry["event"] == "guard"] == [1, 3, 5]
    assert [entry for entry in often if entry["event"] != "guard"] == never
    weights = [
        (checkpoints(tmp_path / place)[-1] / "state.safetensors").read_bytes() for place in ("never", "often")
    ]
    assert weights[0] == weights[1]


# --- what a run does ----------------------------------------------------------------------------------------

BRIEF = ("warmup.encoder_steps=1", "warmup.classifier_steps=1", "em.steps=9", "watch.guard_every=1")


@pytest.fixture
def turns_bad(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes phase 2 run away from its third step on, so that the guard trips after the fourth."""
    seen = iter([look(0.001, 0.6)] * 2 + [look(0.05, 0.3)] * 99)
    monkeypatch.setattr(loop, "look_for_guard", lambda run, step, *given: setattr(step, "look", next(seen)))


@pytest.mark.usefixtures("turns_bad")
def test_a_run_that_runs_away_stops_and_stays_stopped(
    configure: Configure, tmp_path: Path, console: Any, log: ReadLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = configure(*BRIEF)
    drawn: list[Path] = []
    monkeypatch.setattr("xrete.models.emmax.pretrain.draw", lambda log, folder: drawn.append(folder))
    with pytest.raises(RunAwayError, match=r"^step 4: phase 2 runs away") as raised:
        pretrain(config, tmp_path, console=console)
    assert raised.value.exit_code == 1
    assert checkpoints(tmp_path)[-1].name == "3-em-0000004"
    assert [entry["text"] for entry in log(tmp_path) if entry["event"] == "warning"][-1] == str(raised.value)
    state = json.loads((tmp_path / "3-em-0000004/state.json").read_text())
    assert state["guard"] == {"share": 0.001, "best": 0.6, "bad": 2}
    stopped = [training_of(folder / "model").get("stopped", False) for folder in checkpoints(tmp_path)]
    assert stopped == [False] * (len(stopped) - 1) + [True]
    assert drawn == [tmp_path]
    with pytest.raises(RunAwayError, match=r"ran away up to step 4, .* --set watch\.guard=warn"):
        pretrain(configure(*BRIEF), tmp_path, console=console)
    pretrain(configure(*BRIEF, "watch.guard=warn"), tmp_path, console=console)
    assert checkpoints(tmp_path)[-1].name == "3-em-0000009"
    assert len([entry for entry in log(tmp_path) if "runs away" in entry.get("text", "")]) == 1


@pytest.mark.usefixtures("turns_bad")
def test_a_run_that_runs_away_goes_back_to_the_best(
    configure: Configure, tmp_path: Path, console: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = iter([0.0, 10.0, 50.0, 40.0])
    monkeypatch.setattr(Scorer, "__init__", lambda self, config: setattr(self, "tasks", ["fake"]))
    monkeypatch.setattr(Scorer, "score", lambda *given: Scores({"fake": {"all": next(values)}}, {}, {}))
    config = configure(*BRIEF, "watch.guard=best", 'watch.tasks=["tatoeba"]')
    assert pretrain(config, tmp_path, console=console).name == "2-classifier-0000001"
    assert best_of(tmp_path) == "2-classifier-0000001"
    assert json.loads((checkpoints(tmp_path)[-1] / "state.json").read_text())["progress"]["step"] == 9  # it is done
    assert pretrain(config, tmp_path, console=console).name == "2-classifier-0000001"
    with pytest.raises(UsageError, match=r"watch\.guard = 'best' needs scores"):
        configure("watch.guard=best")


def test_what_it_remembers_comes_back(configure: Configure, assemble: Callable[..., Training]) -> None:
    run = assemble()
    loop.train(run)
    (guard,) = {json.dumps(asdict(one.state.guard)) for one in (run, assemble())}
    assert json.loads(guard)["share"] is not None


@pytest.mark.usefixtures("turns_bad")
def test_a_sweep_goes_on_after_a_variant_that_ran_away(
    settings: Callable[..., list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "sweep.toml"
    file.write_text('seeds = [1]\n[variants]\n"bad" = []\n"control" = ["em.objective=contrast"]\n', "utf-8")
    options = PretrainOptions(settings=tuple(settings(*BRIEF)), out=tmp_path / "out", sweep=file)
    sweep.run(sweep.load(file), options)
    ends = [checkpoints(tmp_path / "out" / name)[-1].name for name in ("bad-1", "control-1")]
    assert ends == ["3-em-0000004", "3-em-0000009"]
    assert "control" in capsys.readouterr().out


@pytest.mark.usefixtures("turns_bad")
def test_what_a_stopped_variant_gains_is_marked(
    settings: Callable[..., list[str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    scores = Scores({"fake": {"all": 5.0}}, {"fake": {"de": 5.0}}, {"fake": {"all": ["de"]}})
    monkeypatch.setattr(Scorer, "__init__", lambda self, config: setattr(self, "tasks", ["fake"]))
    monkeypatch.setattr(Scorer, "score", lambda *given: scores)
    monkeypatch.setenv("COLUMNS", "200")
    file = tmp_path / "sweep.toml"
    file.write_text('seeds = [1]\n[variants]\n"bad" = []\n', "utf-8")
    options = PretrainOptions(settings=tuple(settings(*BRIEF)), out=tmp_path / "out", sweep=file)
    sweep.run(sweep.load(file), options)
    gains = json.loads((tmp_path / "out/control.json").read_text("utf-8"))
    assert gains["bad"]["fake all"]["stopped"] == [1]
    assert "stopped by its guard with seed 1" in capsys.readouterr().out


def test_held_out_bitexts_are_the_last_that_a_run_sees(assemble: Callable[..., Training], tmp_path: Path) -> None:
    run = assemble()
    prepared = prepare(run.config.data, tmp_path / "run/corpora")
    held_out = run.sampler().held_out(20, 5)
    n, last = 20, held_out.texts[40:]
    assert len(last) == 5
    pairs = {tuple(sorted((held_out.texts[i], held_out.texts[i + n]))) for i in range(n)}
    assert held_out.partners.tolist() == [*range(n, 2 * n), *range(n), *[-1] * 5]
    sampler, sizes = run.sampler(), {name: len(one) for name, one in prepared.parallel.items()}
    drawn: list[tuple[str, ...]] = []
    while True:
        batch = sampler.bitexts(4)
        position = {name: batch.position[f"parallel/{name}"] for name in sizes}
        if any(position[name] > size - 20 for name, size in sizes.items()):
            break
        drawn += [tuple(sorted((batch.texts[i], batch.texts[i + 4]))) for i in range(4)]
    assert len(drawn) > 100
    assert not pairs & set(drawn)
