"""Training on a GPU is training on a CPU: losses, gradients, vectors, and all ways to compute them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.optimizer import register_optimizer_step_pre_hook

from xrete.models.emmax import loop
from xrete.models.emmax.classifier import GaussianMixture
from xrete.models.emmax.config import Config
from xrete.models.emmax.folders import PHASES, checkpoints
from xrete.models.emmax.pretrain import pretrain
from xrete.models.emmax.training import Training

Assemble = Callable[..., Training]
Gradients = dict[str, Tensor]

pytestmark = pytest.mark.gpu

WIDTH = 64
NETWORK = ("encoder.pooling=cls", "encoder.dropout=0", "optimisation.batch=64")
NOTHING = ("warmup.encoder_steps=0", "warmup.classifier_steps=0", "em.steps=0")
ONE = {
    "mlm": (*NOTHING, "warmup.mlm_steps=1"),
    "encoder": (*NOTHING, "warmup.encoder_steps=1"),
    "classifier": (*NOTHING, "warmup.classifier_steps=1"),
    "em": (*NOTHING, "em.steps=1", "em.parallel_fraction=0.5", "mlm.weight=0.1"),
}
STEPS = dict(
    zip(
        PHASES,
        (loop.model_language, loop.warm_up_encoder, loop.warm_up_classifier, loop.expectation_maximisation),
        strict=True,
    )
)
FLOAT32 = 1e-3
"""Largest difference of a gradient in float32, as a share of the largest number of its tensor."""
BFLOAT16 = 0.97
"""Lowest cosine of all gradients in bfloat16 to those in float32: a number of eight bits is off by up to 0.4 %."""


@contextmanager
def gradients_of(run: Training) -> Iterator[Gradients]:
    """Notes what the optimisers are given, by the parameter's name, on the CPU."""
    noted: Gradients = {}
    names = {
        id(p): f"{part}.{name}"
        for part, module in run.state.modules().items()
        for name, p in module.named_parameters()
    }

    def note(optimiser: torch.optim.Optimizer, *_: object) -> None:
        for group in optimiser.param_groups:
            noted.update(
                {names[id(p)]: p.grad.float().cpu().clone() for p in group["params"] if p.grad is not None}
            )

    hook = register_optimizer_step_pre_hook(note)
    try:
        yield noted
    finally:
        hook.remove()


@pytest.fixture(scope="module")
def network(draw_start: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """Settings of an encoder of two layers, whose heads are wide enough for the GPU's kernels."""
    folder = draw_start(tmp_path_factory.mktemp("network"), width=WIDTH, layers=2, spread=0.2)
    return (f"encoder.start={folder}", *NETWORK)


@pytest.fixture
def one_step(
    assemble: Assemble, network: tuple[str, ...], tmp_path: Path, log: Any
) -> Callable[..., tuple[Gradients, dict[str, float]]]:
    """Takes the first step of a phase; returns the gradients and the losses."""
    count = iter(range(99))

    def take(phase: str, device: str, *more: str) -> tuple[Gradients, dict[str, float]]:
        folder = tmp_path / f"run{next(count)}"
        run = assemble(*network, *ONE[phase], *more, f"compute.device={device}", folder=folder)
        keys = functional.normalize(torch.randn(24, WIDTH, generator=torch.Generator().manual_seed(5)), dim=1)
        run.queue.push(keys.to(run.team.device), torch.arange(24, device=run.team.device))
        if isinstance(run.classifier, GaussianMixture):
            run.classifier.start_from_similarities([0.97, 0.9, 0.8, 0.5])
        with gradients_of(run) as noted:
            STEPS[phase](run)
        (entry,) = (entry for entry in log(folder) if "norm_encoder" in entry or "norm_classifier" in entry)
        losses = {name: value for name, value in entry.items() if name.startswith("loss_")}
        assert all(value > 0.01 for value in losses.values()), losses  # else nothing is proved
        return noted, losses

    return take


def assert_close(noted: Gradients, expected: Gradients, share: float = FLOAT32) -> None:
    """Holds every gradient against what it should be."""
    assert noted.keys() == expected.keys()
    assert len(noted) > 2
    for name, gradient in noted.items():
        most = float(expected[name].abs().max())
        assert torch.allclose(gradient, expected[name], rtol=0, atol=share * most + 1e-7), name


def cosine(noted: Gradients, expected: Gradients) -> float:
    """Returns the cosine of all gradients of the encoder, laid end to end."""
    assert noted.keys() == expected.keys()
    names = sorted(name for name in expected if name.startswith("query."))
    first, second = (torch.cat([given[name].flatten() for name in names]) for given in (noted, expected))
    return float(torch.cosine_similarity(first, second, dim=0))


@pytest.mark.parametrize("phase", PHASES)
def test_losses_and_gradients_are_the_cpu_s(one_step: Any, device: str, phase: str) -> None:
    noted, losses = one_step(phase, device, "compute.attention=sdpa")
    expected, known = one_step(phase, "cpu", "compute.attention=eager")
    assert losses == pytest.approx(known, rel=1e-4, abs=1e-5)
    assert_close(noted, expected)


@pytest.mark.parametrize("phase", ["encoder", "em"])
@pytest.mark.parametrize("attention", ["sdpa", "packed"])
def test_bfloat16_stays_near_float32(one_step: Any, device: str, phase: str, attention: str) -> None:
    half = ("compute.dtype=bfloat16", f"compute.attention={attention}")
    noted, losses = one_step(phase, device, *half)
    expected, known = one_step(phase, "cpu", "compute.attention=eager")
    assert losses["loss_encoder"] == pytest.approx(known["loss_encoder"], rel=0.05)
    assert cosine(noted, expected) > BFLOAT16


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("phase", ["encoder", "em"])
def test_packed_is_padded(one_step: Any, device: str, phase: str, dtype: str) -> None:
    packed, losses = one_step(phase, device, "compute.attention=packed", f"compute.dtype={dtype}")
    padded, known = one_step(phase, device, "compute.attention=sdpa", f"compute.dtype={dtype}")
    if dtype == "float32":
        assert losses == pytest.approx(known, rel=1e-4)
        assert_close(packed, padded)
    else:
        assert losses["loss_encoder"] == pytest.approx(known["loss_encoder"], rel=0.02)
        assert cosine(packed, padded) > BFLOAT16


@pytest.mark.parametrize(("dtype", "lowest"), [("float32", 0.999999), ("bfloat16", 0.999)])
def test_packed_vectors_are_padded_ones(
    assemble: Assemble, network: tuple[str, ...], tmp_path: Path, device: str, dtype: str, lowest: float
) -> None:
    rows = [[0, *range(5, 5 + length), 2] for length in (1, 3, 4, 4, 9, 17, 28)]
    vectors = []
    for attention in ("packed", "sdpa"):
        settings = (f"compute.attention={attention}", f"compute.dtype={dtype}", f"compute.device={device}")
        run = assemble(*network, *settings, folder=tmp_path / attention)
        tokens = run.start.layout(np.concatenate(rows), [len(row) for row in rows], run.team.device, 0)
        with torch.no_grad():
            vectors.append(run.query.eval()([tokens])[0].float().cpu())
    assert torch.cosine_similarity(*vectors).min() > lowest
    assert torch.cosine_similarity(vectors[0][:1], vectors[0][1:]).max() < lowest  # else nothing is proved


@pytest.mark.usefixtures("needs_gpu")
def test_packed_sentences_take_the_kernel_for_variable_lengths(
    one_step: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torch.nn.attention import varlen

    calls: list[int] = []
    kernel = varlen.varlen_attn

    def counted(*given: Any, **more: Any) -> Any:
        calls.append(1)
        return kernel(*given, **more)

    monkeypatch.setattr(varlen, "varlen_attn", counted)
    one_step("encoder", "cuda", "compute.attention=packed", "compute.dtype=bfloat16")
    assert len(calls) >= 2 * 2  # layers, queries and keys


@pytest.mark.parametrize(
    "way", ["compute.cache_tokens=100", "compute.group_tokens=100", "compute.checkpoint_activations=true"]
)
@pytest.mark.parametrize("attention", ["sdpa", "packed"])
def test_ways_to_save_memory_change_nothing(one_step: Any, device: str, way: str, attention: str) -> None:
    noted, losses = one_step("em", device, way, f"compute.attention={attention}")
    expected, known = one_step("em", device, f"compute.attention={attention}")
    assert losses == pytest.approx(known, rel=1e-4, abs=1e-5)
    assert_close(noted, expected)


@pytest.mark.usefixtures("needs_gpu")  # on a CPU it takes a C++ compiler and a minute
def test_compiling_changes_nothing(one_step: Any) -> None:
    noted, losses = one_step("em", "cuda", "compute.compile=true")
    expected, known = one_step("em", "cuda", "compute.attention=sdpa")
    assert losses == pytest.approx(known, rel=1e-4, abs=1e-5)
    assert_close(noted, expected)


def test_a_run_that_was_cut_off_ends_as_if_it_had_not_been(
    configure: Callable[..., Config], network: tuple[str, ...], tmp_path: Path, device: str, console: Any
) -> None:
    config = configure(
        *network, "encoder.dropout=0.1", "watch.save_every=1", "watch.keep=99", f"compute.device={device}"
    )
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    pretrain(config, whole, console=console)
    names = [folder.name for folder in checkpoints(whole)]
    shutil.copytree(whole, cut)
    for name in names[4:]:  # in the middle of phase 1b
        shutil.rmtree(cut / name)
    pretrain(config, cut, console=console)
    first, second = (load_file(folder / names[-1] / "state.safetensors") for folder in (whole, cut))
    assert first.keys() == second.keys()
    for name, weights in first.items():
        if device == "cpu":
            assert torch.equal(weights, second[name]), name
        else:  # some of its kernels add in no fixed order
            assert torch.allclose(weights.float(), second[name].float(), rtol=1e-3, atol=1e-4), name


@pytest.mark.parametrize("how", ["ddp", "fsdp"])
def test_a_launch_of_one_process_is_no_launch(
    assemble: Assemble, network: tuple[str, ...], tmp_path: Path, device: str, how: str
) -> None:
    settings = (*network, *ONE["encoder"], "compute.attention=sdpa", f"compute.device={device}")
    groups = [[[0, 5, 6, 7, 2], [0, 9, 8, 2]], [[0, 11, 2]]]

    def learnt(run: Training, module: nn.Module) -> dict[str, Tensor]:
        tokens = [
            run.start.layout(np.concatenate(group), [len(row) for row in group], run.team.device, 0)
            for group in groups
        ]
        vectors, _ = module(tokens)
        (vectors * torch.linspace(-1, 1, vectors.numel(), device=vectors.device).view_as(vectors)).sum().backward()
        whole = {name: p.grad for name, p in run.query.named_parameters() if p.grad is not None}
        return {
            name: (grad.full_tensor() if hasattr(grad, "full_tensor") else grad).cpu()
            for name, grad in whole.items()
        }

    alone = assemble(*settings, folder=tmp_path / "alone")
    alone.query.use(vectors=True, head=False)
    expected = learnt(alone, alone.query)
    run = assemble(*settings, folder=tmp_path / "launched")
    run.query.use(vectors=True, head=False)
    backend = "nccl" if device == "cuda" else "gloo"
    torch.distributed.init_process_group(backend, init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        if how == "ddp":
            module: nn.Module = nn.parallel.DistributedDataParallel(run.query, gradient_as_bucket_view=True)
        else:
            run.team.shard(run.query, run.query.encoder.transformer.encoder.layer)
            module = run.query
        noted = learnt(run, module)
    finally:
        torch.distributed.destroy_process_group()
    assert noted.keys() == expected.keys()
    assert_close(noted, expected, 1e-5)
