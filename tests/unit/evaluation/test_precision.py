"""`--dtype auto`: bfloat16 is taken where the scores on the mini sample stay the same, and nowhere else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import xrete
from xrete.dataset import Dataset
from xrete.errors import XreteError
from xrete.evaluation.plan import RunOptions
from xrete.evaluation.precision import POINTS, Choice, Measure, choose
from xrete.files import cache_root
from xrete.model import UNVERSIONED, ModelIdentity, UnopenedModel

IDENTITY = ModelIdentity(name="toy", revision="1", pooling="mean")


def scoring(exact: float | XreteError, fast: float | XreteError, asked: list[str] | None = None) -> Measure:
    """Measures what it is told, by precision, and notes what it was asked for."""

    def measure(model: UnopenedModel, sample: Dataset, options: RunOptions) -> float:
        assert sample.source.kind == "mini"
        assert options.results is None
        if asked is not None:
            asked.append(model.identity.dtype)
        score = exact if model.identity.dtype == "float32" else fast
        if isinstance(score, XreteError):
            raise score
        return score

    return measure


def chosen(
    measure: Measure | None,
    *,
    task: str = "tatoeba",
    identity: ModelIdentity = IDENTITY,
    options: RunOptions | None = None,
) -> Choice:
    exact, fast = (
        UnopenedModel(replace(identity, dtype=dtype), lambda: pytest.fail("loaded"))
        for dtype in ("float32", "bfloat16")
    )
    return choose(exact, fast, xrete.load_task(task, "mini"), options or RunOptions(), "cpu", measure)


@pytest.mark.parametrize(
    ("task", "exact", "fast", "agree"),
    [
        ("tatoeba", 93.75, 93.75, True),
        ("multists", 84.70, 84.79, True),
        ("multists", 84.78, 84.95, False),
        ("multists", 84.95, 84.78, False),
        ("multists", float("nan"), 84.78, False),
        ("flores-geometry", 0.28000, 0.28020, True),
        ("flores-geometry", 0.28000, 0.27900, False),
        ("multiarc", 0.5000, 0.5004, True),
        ("multiarc", 0.5000, 0.5010, False),
    ],
)
def test_bfloat16_is_taken_where_the_score_stays_the_same(
    task: str, exact: float, fast: float, agree: bool
) -> None:
    assert chosen(scoring(exact, fast), task=task).fast == agree


def test_scores_are_said_and_taken_once() -> None:
    asked: list[str] = []
    first = chosen(scoring(84.78, 84.95, asked))
    assert first.reason == "its mini sample scores 84.78 in float32 and 84.95 in bfloat16"
    assert asked == ["float32", "bfloat16"]
    assert chosen(scoring(0, 0, asked)) == chosen(None) == first
    assert len(asked) == 2
    chosen(scoring(1, 1, asked), task="flores")
    chosen(scoring(1, 1, asked), identity=replace(IDENTITY, revision="2"))
    assert len(asked) == 6


@pytest.mark.parametrize(
    ("identity", "options"),
    [(IDENTITY, RunOptions(use_cache=False)), (replace(IDENTITY, revision=UNVERSIONED), RunOptions())],
)
def test_nothing_is_kept_where_no_vectors_are(identity: ModelIdentity, options: RunOptions) -> None:
    asked: list[str] = []
    for _ in range(2):
        chosen(scoring(1, 1, asked), identity=identity, options=options)
    assert len(asked) == 4


def test_damaged_scores_are_taken_again() -> None:
    chosen(scoring(1, 1))
    (kept,) = (cache_root() / "precision").iterdir()
    kept.write_text("[1]")
    assert not chosen(scoring(1, 2)).fast


def test_float32_where_nothing_was_compared() -> None:
    assert chosen(None) == Choice(False, "bfloat16 was not compared with it yet")
    tuned = chosen(scoring(1, 1), task="xnli", options=RunOptions(protocol="fine-tune"))
    assert tuned == Choice(False, "only frozen encoders are compared; --dtype bfloat16 trains in that")


def test_float32_where_the_task_has_no_mini_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    task = xrete.load_task("tatoeba", "mini")
    monkeypatch.setattr("xrete.dataset.read_mini", lambda task, language, split: None)
    exact = UnopenedModel(IDENTITY, lambda: pytest.fail("loaded"))
    choice = choose(exact, exact, task, RunOptions(), "cpu", scoring(1, 1))
    assert choice == Choice(False, "tatoeba has no mini sample to compare precisions on")


def test_float32_where_bfloat16_fails() -> None:
    assert chosen(scoring(1, XreteError("not finite"))) == Choice(False, "bfloat16 fails: not finite")
    with pytest.raises(XreteError, match="no weights"):
        chosen(scoring(XreteError("no weights"), 1))


@pytest.mark.parametrize("multiplies", [True, False])
def test_from_python(toy_encoder: Path, monkeypatch: pytest.MonkeyPatch, multiplies: bool) -> None:
    monkeypatch.setattr("xrete.devices.multiplies_bfloat16", lambda: multiplies)
    name, task = f"hf:{toy_encoder}?pooling=mean", xrete.load_task("tatoeba", "mini")
    scores = {
        dtype: xrete.evaluate(xrete.load_model(name, device="cpu", dtype=dtype), task).score
        for dtype in ("float32", "bfloat16")
    }
    model = xrete.load_model(name, device="cpu", dtype="auto")
    assert model.identity.dtype == "float32"
    taken = xrete.evaluate(model, xrete.load_task("tatoeba", "mini", languages=["de"])).environment.dtype
    agree = abs((scores["float32"] or 0) - (scores["bfloat16"] or 0)) <= POINTS
    assert taken == ("bfloat16" if multiplies and agree else "float32")
