"""Steps of the phases: what they learn from, what they leave alone, and that all ways to compute them are one."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from xrete.errors import UsageError, XreteError
from xrete.models.emmax import loop
from xrete.models.emmax.classifier import GaussianMixture
from xrete.models.emmax.config import Config
from xrete.models.emmax.loop import train
from xrete.models.emmax.pretrain import pretrain
from xrete.models.emmax.step import Step
from xrete.models.emmax.training import Training
from xrete.training.optim import lr_factor

Assemble = Callable[..., Training]
Configure = Callable[..., Config]
PHASES = {
    "mlm": loop.model_language,
    "encoder": loop.warm_up_encoder,
    "classifier": loop.warm_up_classifier,
    "em": loop.expectation_maximisation,
}
NOTHING = ("warmup.encoder_steps=0", "warmup.classifier_steps=0", "em.steps=0")
ONE = {
    "mlm": (*NOTHING, "warmup.mlm_steps=1"),
    "encoder": (*NOTHING, "warmup.encoder_steps=1"),
    "classifier": (*NOTHING, "warmup.classifier_steps=1"),
    "em": (*NOTHING, "em.steps=1", "em.parallel_fraction=0.5"),
}


def gradients(run: Training, phase: str) -> dict[str, Tensor | None]:
    """Runs one step of a phase; returns what each parameter's gradient was before it was clipped."""
    found: dict[str, Tensor | None] = {}
    clip = run.clip

    def spy(module: torch.nn.Module) -> Any:
        for part in ("query", "keys", "classifier"):
            for name, weight in run.state.modules()[part].named_parameters():
                found[f"{part}.{name}"] = None if weight.grad is None else weight.grad.clone()
        return clip(module)

    run.clip = spy
    run.checkpoints.save = lambda *given, **options: None
    fill_queue(run)
    if isinstance(run.classifier, GaussianMixture):
        run.classifier.start_from_similarities([0.97, 0.9, 0.8, 0.5])
    PHASES[phase](run)
    assert run.progress.step == 1
    return found


def fill_queue(run: Training) -> None:
    draws = torch.Generator().manual_seed(5)
    keys = functional.normalize(torch.randn(24, run.query.encoder.dimension, generator=draws), dim=1)
    run.queue.push(keys, torch.arange(24))


def assert_same(found: dict[str, Tensor | None], expected: dict[str, Tensor | None], rtol: float = 1e-4) -> None:
    assert found.keys() == expected.keys()
    learned = 0
    for name, gradient in found.items():
        other = expected[name]
        assert (gradient is None) == (other is None), name
        if gradient is not None and other is not None:
            scale = float(other.abs().max())
            assert torch.allclose(gradient, other, rtol=0, atol=rtol * scale + 1e-6), name
            learned += bool(scale > 0)
    assert learned > 3


# --- ways to compute the same -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("phase", "mlm"),
    [("mlm", "mlm.weight=0"), ("encoder", "mlm.weight=0"), ("em", "mlm.weight=0"), ("em", "mlm.weight=0.5")],
)
def test_gradient_caching_and_groups_change_nothing(
    assemble: Assemble, tmp_path: Path, phase: str, mlm: str
) -> None:
    settings = (*ONE[phase], mlm, "encoder.dropout=0.0")
    whole = gradients(assemble(*settings, "compute.group_tokens=10000", folder=tmp_path / "a"), phase)
    ways = ("group_tokens=40", "cache_tokens=40", "checkpoint_activations=true")
    for place, (compute, attention) in enumerate(itertools.product(ways, ("packed", "sdpa"))):
        more = (f"compute.{compute}", f"compute.attention={attention}")
        run = assemble(*settings, *more, folder=tmp_path / f"b{place}")
        assert_same(gradients(run, phase), whole)


@pytest.mark.parametrize("attention", ["packed", "sdpa"])
@pytest.mark.parametrize("phase", ["encoder", "em"])
def test_the_second_pass_has_the_dropout_of_the_first(
    assemble: Assemble, tmp_path: Path, phase: str, attention: str
) -> None:
    dropout = ("encoder.dropout=0.3", "encoder.attention_dropout=0.3", "encoder.key_dropout=true")
    settings = (*ONE[phase], "mlm.weight=0.5", *dropout, f"compute.attention={attention}")
    plain = gradients(assemble(*settings, "compute.group_tokens=40", folder=tmp_path / "a"), phase)
    cached = gradients(assemble(*settings, "compute.cache_tokens=40", folder=tmp_path / "b"), phase)
    assert_same(cached, plain)
    other = gradients(assemble(*settings, "compute.group_tokens=40", "seed=7", folder=tmp_path / "c"), phase)
    name = "query.encoder.transformer.encoder.layer.0.output.dense.weight"
    first, second = other[name], plain[name]
    assert first is not None
    assert second is not None
    assert not torch.allclose(first, second, rtol=0.1)


def test_a_group_is_no_larger_than_what_is_kept(assemble: Assemble) -> None:
    run = assemble("compute.cache_tokens=40", *ONE["encoder"])
    (share,) = run.shares(lambda data: data.bitexts(8), 1)
    assert len(share.groups) > 2
    assert all(len(group.ids) * max(group.lengths) <= 40 for group in share.groups)


# --- phase 1a, by the equation ------------------------------------------------------------------------------


@pytest.mark.parametrize("phase", ["encoder", "em"])
def test_phase_1a_is_info_nce_in_both_directions(assemble: Assemble, phase: str) -> None:
    """And so is phase 2 where it is the control."""
    steps = (*NOTHING, f"{'em' if phase == 'em' else 'warmup'}.{'' if phase == 'em' else 'encoder_'}steps=1")
    run = assemble(*steps, "em.objective=contrast", "encoder.dropout=0.0", "loss.temperature=0.07")
    fill_queue(run)
    expected = []
    learn = run.learn

    def spy(step: Step, **losses: Any) -> None:
        batch = step.share.batch
        run.query.eval()
        x = run.encode_texts(batch.texts).astype(np.float64)
        candidates = np.concatenate(
            [x, run.queue.keys.numpy()]
        )  # the keys are the query's, since nothing has moved
        n = len(x)
        for i in range(n):
            partner = (i + n // 2) % n
            assert batch.partners[i] == partner
            scores = {k: x[i] @ candidates[k] / 0.07 for k in range(len(candidates)) if k != i}
            twins = [
                k for k in range(n) if k != partner and batch.texts[k] in (batch.texts[i], batch.texts[partner])
            ]
            total = sum(math.exp(score) for k, score in scores.items() if k not in twins)
            expected.append(math.log(total) - scores[partner])
        run.query.train()
        learn(step, **losses)

    run.learn = spy
    (loop.continue_contrast if phase == "em" else loop.warm_up_encoder)(run)
    assert run.progress.phase == phase
    assert logged(run, "loss_encoder") == pytest.approx([np.mean(expected)], rel=1e-5)


def logged(run: Training, key: str) -> list[Any]:
    return [entry[key] for entry in entries(run.checkpoints.folder) if key in entry]


def entries(folder: Path) -> list[dict[str, Any]]:
    import json

    return [json.loads(line) for line in (folder / "log.jsonl").read_text("utf-8").splitlines()]


# --- phase 2, by the equations ------------------------------------------------------------------------------


@pytest.mark.parametrize("own", ["left out", "positive", "compared"])
@pytest.mark.parametrize(
    ("weight", "average", "paraphrases"),
    [(0.05, "found", "mutual"), (1.0, "found", "all"), (0.3, "all", "all")],  # the first are the defaults
)
def test_phase_2_is_what_the_equations_say(
    assemble: Assemble, own: str, weight: float, average: str, paraphrases: str
) -> None:
    """Cell by cell, from the vectors, classifier and s_r of the step; half of the batch are bitexts."""
    more = {"left out": (), "positive": ("loss.self_positive=true",), "compared": ("ranks.self_cells=true",)}[own]
    if paraphrases == "all":
        more = (*more, f"loss.rank_weight={weight}", f"loss.average={average}", "em.paraphrases=all")
    run = assemble(*ONE["em"], "ranks.smoothing=0.2", "ranks.balance=false", *more)
    loop.start_classifier(run)
    run.typical.values.copy_(torch.tensor([0.9, 0.8, 0.6, 0.3]))
    fill_queue(run)
    seen: dict[str, Any] = {}
    learn, candidates = run.learn, run.candidates

    def spy_candidates(step: Step, keys: Tensor) -> Any:
        assert step.gradient_cache is not None
        seen.update(
            x=step.gradient_cache.vectors.detach().clone(),
            y=torch.cat([keys, run.queue.keys]),
            batch=step.share.batch,
        )
        return candidates(step, keys)

    def spy_learn(step: Step, **losses: Any) -> None:
        seen.update(
            s=run.typical.values.double().clone(), losses={name: float(x.detach()) for name, x in losses.items()}
        )
        seen.update(gmm=[p.detach().double().clone() for p in run.classifier.parameters()])
        learn(step, **losses)

    run.learn, run.candidates = spy_learn, spy_candidates
    loop.expectation_maximisation(run)

    x, y, batch = seen["x"].double(), seen["y"].double(), seen["batch"]
    prior, mean, log_variance = seen["gmm"]
    normal = torch.distributions.Independent(torch.distributions.Normal(mean, torch.exp(log_variance / 2)), 1)
    density = normal.log_prob((x[:, None] - y)[:, :, None])
    posterior = torch.log_softmax(torch.log_softmax(prior, 0) + density, dim=2)
    tau = [0.05, 0.075, 0.1]
    cross_entropy: list[float] = []
    ranking: dict[int, list[float]] = {0: [], 1: [], 2: []}
    means: dict[int, list[float]] = {rank: [] for rank in range(4)}
    known = demoted = 0
    odds = posterior[:, :, 0] - torch.logsumexp(posterior[:, :, 1:], dim=2)
    for i, text in enumerate(batch.texts):
        for k in range(len(y)):
            if k == batch.partners[i]:
                odds[i, k] = torch.inf
            elif k == i or (k < len(x) and batch.texts[k] == text):
                odds[i, k] = -torch.inf
    for i in range(len(x)):
        row: list[tuple[float, int]] = []
        for k in range(len(y)):
            same = k == i
            if not same and k < len(x) and batch.texts[k] == batch.texts[i]:
                continue
            if same and own == "left out":
                continue
            cosine = float(x[i] @ y[k])
            c_g = int(posterior[i, k].argmax())
            c_m = int((cosine - seen["s"]).abs().argmin())
            if not same or own == "compared":
                means[c_g].append(cosine)
            if paraphrases == "mutual" and c_g == 0 and float(odds[i, k]) < max(odds[i].max(), odds[:, k].max()):
                c_g, demoted = 1, demoted + 1
            if k == batch.partners[i] or same:
                c_g = c_m = 0
                known += not same
            if not same or own == "compared":
                smooth = 0.8 * posterior[i, k, c_m] + 0.2 * posterior[i, k].mean()
                cross_entropy.append(-float(smooth))
            if not same or own == "positive":
                row.append((cosine, c_g))
        for rank in range(3):
            positive = [math.exp(s / tau[rank]) for s, c in row if c == rank]
            among = [math.exp(s / tau[rank]) for s, c in row if c >= rank]
            if positive:
                ranking[rank].append(math.log(sum(among)) - math.log(sum(positive)))
    assert known == 8
    assert demoted or paraphrases == "all"
    assert all(means.values())
    anchors = {rank: len(x) if average == "all" else len(ranking[rank]) for rank in range(3)}
    expected = sum((weight if rank else 1.0) * sum(ranking[rank]) / anchors[rank] for rank in range(3))
    assert seen["losses"]["encoder"] == pytest.approx(expected, rel=1e-5)
    assert seen["losses"]["classifier"] == pytest.approx(np.mean(cross_entropy), rel=1e-4)
    moved = [0.999 * float(s) + 0.001 * np.mean(means[rank]) for rank, s in enumerate(seen["s"])]
    assert run.typical.values.tolist() == pytest.approx(moved, rel=1e-6)
    assert run.queue.valid == 24
    assert set(run.queue.ids.tolist()) >= set(batch.ids.tolist())  # 16 of the newest 24


def test_each_module_learns_from_its_own_loss_alone(assemble: Assemble) -> None:
    run = assemble(*ONE["em"])
    loop.start_classifier(run)
    checked: list[Step] = []

    def learned(module: torch.nn.Module) -> set[str]:
        return {name for name, weight in module.named_parameters() if weight.grad is not None}

    def spy(step: Step, *, encoder: Tensor, classifier: Tensor) -> None:
        assert step.gradient_cache is not None
        classifier.backward()
        assert learned(run.classifier) == {"prior", "mean", "log_variance"}
        assert step.gradient_cache.vectors.grad is None
        run.classifier.zero_grad()
        encoder.backward()
        gradient = step.gradient_cache.vectors.grad
        assert gradient is not None
        assert float(gradient.abs().sum()) > 0
        step.gradient_cache.backward(run.team, 0.0)
        assert learned(run.query) == {name for name, _ in run.query.named_parameters()}
        assert learned(run.classifier) == learned(run.keys) == set()
        assert not run.queue.keys.requires_grad
        checked.append(step)

    run.learn = spy
    loop.expectation_maximisation(run)
    assert checked


def test_the_encoder_stands_still_in_phase_1b_and_the_classifier_where_it_is_fixed(
    assemble: Assemble, tmp_path: Path
) -> None:
    run = assemble("em.steps=0", "warmup.encoder_steps=0")
    before = {name: value.clone() for name, value in run.query.state_dict().items()}
    train(run)
    assert run.progress.name == "2-classifier-0000003"
    assert all(torch.equal(value, before[name]) for name, value in run.query.state_dict().items())

    run = assemble("em.train_classifier=false", "warmup.classifier_steps=0", folder=tmp_path / "fixed")
    loop.warm_up_encoder(run)
    loop.warm_up_classifier(run)
    gaussians = {name: value.clone() for name, value in run.classifier.state_dict().items()}
    loop.expectation_maximisation(run)
    assert run.progress.name == "3-em-0000003"
    assert all(torch.equal(value, gaussians[name]) for name, value in run.classifier.state_dict().items())
    assert "loss_classifier" not in entries(tmp_path / "fixed")[-1]


# --- settings -----------------------------------------------------------------------------------------------


ABLATIONS = {
    "2 ranks": ["ranks.number=2"],
    "8 ranks": ["ranks.number=8"],
    "FCN": ["ranks.classifier=fcn"],
    "one layer": ["ranks.classifier=fcn", "ranks.hidden=0"],
    "joint": ["warmup.order=joint"],
    "phase 1 only": ["em.steps=0"],
    "control": ["em.objective=contrast"],
    "means at 0": ["ranks.zero_means=true", "em.parallel_fraction=1"],
    "the queue alone": ["loss.candidates=queue", "loss.drop_duplicates=false"],
    "no queue": ["loss.queue=0"],
    "official": [
        "encoder.pooling=pooler_dense", "encoder.key_dropout=true", "mlm.weight=1", "ranks.start=normal",
        "ranks.labels=quantile", "ranks.mixed=anchor", "loss.average=all",
        "ranks.renormalise=false", "ranks.real_negatives=false", "ranks.balance=false",
        "ranks.typical_start=zeros", "ranks.self_cells=true", "loss.ranking=official", "em.parallel_fraction=1",
        "encoder.attention_dropout=0.1", "optimisation.batch=6",
    ],
    "bfloat16": ["compute.dtype=bfloat16", "mlm.weight=0.1", "warmup.mlm_steps=1"],
}  # fmt: skip


@pytest.mark.parametrize("name", ABLATIONS)
def test_the_settings_of_the_paper_s_tables_run(
    configure: Configure, tmp_path: Path, console: Any, name: str
) -> None:
    once = ("warmup.encoder_steps=1", "warmup.classifier_steps=1", "em.steps=2")
    config = configure(*once, *ABLATIONS[name])
    last = pretrain(config, tmp_path / "run", console=console)
    assert last.name.startswith("2-classifier" if name == "phase 1 only" else "3-em")
    for entry in entries(tmp_path / "run"):
        losses = [value for key, value in entry.items() if key.startswith(("loss", "norm"))]
        assert losses == [] or all(map(math.isfinite, losses))


def test_equal_seeds_give_equal_runs_and_others_do_not(configure: Configure, tmp_path: Path, console: Any) -> None:
    """From random weights, tokenizer included."""
    shape = ["encoder.start=", "warmup.mlm_steps=2"]
    shape += [f"encoder.scratch.{value}" for value in ("layers=1", "width=8", "heads=2", "vocabulary=200")]
    digests = []
    for place, seed in enumerate((1, 1, 2)):
        last = pretrain(configure(*shape, f"seed={seed}"), tmp_path / str(place), console=console)
        digests.append((last / "state.safetensors").read_bytes())
    assert digests[0] == digests[1] != digests[2]


def test_rates_rise_and_fall() -> None:
    assert [lr_factor(n, 10, "linear", 0.2) for n in range(10)] == pytest.approx(
        [0.5, 1.0, 1.0, 7 / 8, 6 / 8, 5 / 8, 4 / 8, 3 / 8, 2 / 8, 1 / 8]
    )
    assert [lr_factor(n, 4, "constant", 0.0) for n in range(4)] == [1.0] * 4
    cosine = [lr_factor(n, 8, "cosine", 0.0) for n in range(8)]
    assert cosine == pytest.approx([0.5 * (1 + math.cos(math.pi * n / 8)) for n in range(8)])
    assert lr_factor(0, 3, "linear", 1.0) == pytest.approx(1 / 3)


def test_two_learning_rates_and_no_decay_of_vectors(assemble: Assemble) -> None:
    run = assemble(
        *ONE["em"],
        "optimisation.encoder_rate=1e-3",
        "optimisation.classifier_rate=1e-2",
        "optimisation.weight_decay=0.1",
        "optimisation.warmup=0",
    )
    for _ in run.phase("em", 1, lambda data: data.sentences(16), ["encoder", "classifier"]):
        encoder, classifier = run.state.optimisers["encoder"], run.state.optimisers["classifier"]
        matrices, vectors = encoder.param_groups
        assert (matrices["lr"], matrices["weight_decay"]) == (1e-3, 0.1)
        assert (vectors["lr"], vectors["weight_decay"]) == (1e-3, 0.0)
        assert {weight.ndim for weight in matrices["params"]} == {2}
        assert {weight.ndim for weight in vectors["params"]} == {1}
        assert classifier.param_groups[0]["lr"] == 1e-2
        break


def test_rates_of_phase_2_are_its_own_where_they_are_given(assemble: Assemble) -> None:
    run = assemble("em.encoder_rate=2e-3", "em.classifier_rate=3e-3", "optimisation.warmup=0")
    for name, expected in (("classifier", (1e-3, 1e-3)), ("em", (2e-3, 3e-3))):
        for _ in run.phase(name, 1, lambda data: data.sentences(16), ["encoder", "classifier"]):
            rates = {key: group["lr"] for key, one in run.state.optimisers.items() for group in one.param_groups}
            assert (rates["encoder"], rates["classifier"]) == expected
            break


@pytest.mark.parametrize("mixed", ["translation", "anchor"])
def test_virtual_examples_are_mixed_with_what_the_setting_says(assemble: Assemble, mixed: str) -> None:
    """Eq. 3 by hand, in float64, from vectors of which each is known by its direction."""
    run = assemble(f"ranks.mixed={mixed}", "ranks.virtual=3", "ranks.renormalise=false")
    vectors, partners = torch.eye(8), np.roll(np.arange(8), 4)
    *_, virtual = loop.labelled_pairs(run, vectors, partners, slice(0, 8), torch.Generator().manual_seed(1))
    near = partners if mixed == "translation" else np.arange(8)
    for row, example in enumerate(virtual.y.double().numpy()):
        anchor = row % 8
        assert virtual.x[row].tolist() == vectors[anchor].tolist()
        (other,) = set(np.flatnonzero(example)) - {near[anchor]}
        assert other not in (anchor, partners[anchor])
        share = example[other]
        assert example[near[anchor]] == pytest.approx(1 - share, rel=1e-6)
        assert int(virtual.ranks[row]) == math.ceil(3 * share)


# --- what ends a run ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("phase", "function"),
    [
        ("encoder", "info_nce"),
        ("classifier", "classifier_loss"),
        ("em", "ranking_info_nce"),
        ("em", "classifier_loss"),
    ],
)
def test_a_loss_that_is_not_finite_stops_before_the_step(
    assemble: Assemble, monkeypatch: pytest.MonkeyPatch, phase: str, function: str
) -> None:
    run = assemble("watch.save_every=1")
    real, steps = getattr(loop, function), iter(range(100))

    def broken(*given: Any) -> Any:
        value = real(*given)
        spoilt = run.progress.phase == phase and run.progress.step == 1 and next(steps) == 0
        if not spoilt:
            return value
        return value * math.nan if isinstance(value, Tensor) else (value[0] * math.nan, value[1])

    monkeypatch.setattr(loop, function, broken)
    with pytest.raises(XreteError, match=rf"phase {phase}, step 2: loss_\w+ and norm_\w+ not finite") as raised:
        train(run)
    assert raised.value.exit_code == 1
    saved = assemble("watch.save_every=1")  # as it was after the first step
    assert (saved.progress.phase, saved.progress.step) == (phase, 1)
    for name in ("query", "classifier"):
        for key, value in run.state.modules()[name].state_dict().items():
            assert torch.equal(value, saved.state.modules()[name].state_dict()[key])


def test_typical_similarities_start_at_the_means_of_labelled_pairs(assemble: Assemble) -> None:
    run = assemble("ranks.typical_start=data", "ranks.virtual=2", "ranks.real_negatives=false")
    loop.start_classifier(run)
    cosines: list[float] = []
    for share in run.shares(lambda data: data.bitexts(8), 5):  # 16 translations and 32 mixtures of each, 200 in all
        x = run.encode_texts(share.batch.texts)
        cosines += [float(x[row] @ x[partner]) for row, partner in enumerate(share.batch.partners)]
    assert bool(run.typical.known.all())
    assert float(run.typical.values[0]) == pytest.approx(np.mean(cosines), rel=1e-5)
    assert run.typical.values[1] > run.typical.values[2] > run.typical.values[3]


def test_ranks_that_do_not_fall_stop_before_phase_2(assemble: Assemble) -> None:
    run = assemble("ranks.typical_start=data", "warmup.encoder_steps=0")
    loop.start_classifier(run)
    run.typical.values.copy_(torch.tensor([0.5, 0.6, 0.4, 0.3]))
    with pytest.raises(XreteError, match=r"do not fall after phase 1 \(0\.500, 0\.600, 0\.400, 0\.300\)"):
        loop.check_ranks(run)


def test_ranks_that_do_not_start_from_data_and_do_not_fall_are_warned_of(assemble: Assemble) -> None:
    run = assemble("ranks.typical_start=zeros", "warmup.encoder_steps=0")
    loop.check_ranks(run)  # phase 2 without a warm-up would call every pair a paraphrase
    (entry,) = entries(run.checkpoints.folder)
    assert "do not fall after phase 1 (0.000, 0.000, 0.000, 0.000)" in entry["text"]


def test_too_few_pairs_to_start_from(assemble: Assemble) -> None:
    run = assemble("ranks.start_pairs=1", "ranks.virtual=1", "optimisation.batch=4", "ranks.number=30")
    with pytest.raises(XreteError, match=r"no labelled pair of rank 2 and .*; raise ranks\.start_pairs"):
        loop.start_classifier(run)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (["data.monolingual=[]"], "no monolingual text: give data.monolingual a source"),
        (["data.parallel=[]"], "no bitexts to learn ranks from: give data.parallel a source"),
    ],
)
def test_a_phase_without_text_is_refused_before_the_first(
    configure: Configure, tmp_path: Path, change: list[str], sentence: str
) -> None:
    with pytest.raises(UsageError, match=sentence):
        pretrain(configure(*change), tmp_path / "run")
    assert not (tmp_path / "run").exists()
