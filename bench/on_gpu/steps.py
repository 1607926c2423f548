"""(a), (b): a step of phase 2 of XLM-R large and of a MiniLM, all ways to run it, against the plain formulation."""

from __future__ import annotations

import math
import statistics
import tempfile
import warnings
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from plain_emmax import State, plain_step
from pretraining import PIECES, RANKS, Timer, heads, make_run, upkeep_of, web_text

from on_gpu.given import Given
from on_gpu.machine import describe, peak, sheet_peak
from xrete.models.emmax.classifier import GaussianMixture
from xrete.models.emmax.log import operations
from xrete.models.emmax.loop import expectation_maximisation
from xrete.models.emmax.training import Training

WARM = 3
"""Steps before those that count."""


@dataclass(frozen=True)
class Shape:
    """An encoder, and the batches of its steps.

    Attributes:
        name: What it is.
        layers, width, heads: Of the transformer.
        pieces: Rows of its embeddings.
        batch: Sentences of a step.
        plain_batch: Those of the plain side, which lays out all differences.
        steps: That count.
    """

    name: str
    layers: int
    width: int
    heads: int
    pieces: int
    batch: int
    plain_batch: int
    steps: int = 8


LARGE = Shape("XLM-R large", 24, 1024, 16, PIECES, 1024, 64)
SMALL = Shape("MiniLM", 12, 384, 12, PIECES, 2048, 128)
TOY = Shape("toy", 2, 64, 2, 500, 16, 8, 2)


@dataclass(frozen=True)
class Way:
    """A way to compute the same.

    Attributes:
        name: For the row.
        settings: Of the run.
        compiled: Compile the transformers for all shapes at once, which the settings refuse for packed sentences:
            whether that pays is to be seen.
    """

    name: str
    settings: tuple[str, ...]
    compiled: bool = False


PACKED = Way("packed", ("compute.attention=packed",))
ALWAYS = (
    PACKED,
    Way("padded", ("compute.attention=sdpa",)),
    Way("packed, queue 65,536", (*PACKED.settings, "loss.queue=65536")),
    Way("packed, gradient caching", (*PACKED.settings, "compute.cache_tokens=16384")),
)
COMPILED = (
    Way("packed, compiled", PACKED.settings, compiled=True),
    Way("padded, compiled", ("compute.attention=sdpa", "compute.compile=true")),
)
QUEUE = 256


def main(given: Given) -> None:
    """Measures the shapes, the larger one in all ways; the compiled ones last, since compiling takes long."""
    describe(given)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if given.toy:
            race(given, TOY, ALWAYS, folder)
            given.measure("toy: waits for the device", lambda: waits(given, TOY, folder))
            return
        race(given, LARGE, ALWAYS, folder)
        race(given, SMALL, ALWAYS[:2], folder)
        given.measure("MiniLM: waits for the device", lambda: waits(given, SMALL, folder), 10)
        for way in COMPILED:
            measure(given, LARGE, way, folder)


def race(given: Given, shape: Shape, ways: Sequence[Way], folder: Path) -> None:
    """Measures a shape in some ways, and the plain side against the first of them."""
    rates = [measure(given, shape, way, folder).get("sentences_per_second", math.nan) for way in ways]
    given.measure(f"{shape.name}: plain", lambda: plain(given, shape, folder, rates[0]), 12)


def measure(given: Given, shape: Shape, way: Way, folder: Path) -> dict[str, Any]:
    """Measures a shape in one way."""
    return given.measure(f"{shape.name}: {way.name}", lambda: own(given, shape, way, folder), seconds=12)


def assemble(given: Given, shape: Shape, settings: Sequence[str], folder: Path, steps: int) -> Training:
    """Puts a run of phase 2 together, with random weights and embeddings of the full size."""
    place = folder / shape.name.replace(" ", "-")  # where all runs of a shape find the same text
    place.mkdir(exist_ok=True)
    chosen = {"layers": shape.layers, "width": shape.width, "heads": shape.heads, "feed_forward": 4 * shape.width}
    run = make_run(
        place,
        [
            *(f"encoder.scratch.{key}={value}" for key, value in chosen.items()),
            f"encoder.scratch.vocabulary={min(shape.pieces, 8_000)}",
            f"optimisation.batch={shape.batch}",
            f"em.steps={WARM + steps}",
            f"loss.queue={QUEUE}",
            f"compute.device={given.where}",
            "compute.dtype=bfloat16",
            *settings,
        ],
        (WARM + shape.steps + 1) * shape.batch,
    )
    for encoder in (run.query.encoder, run.keys.encoder):
        encoder.transformer.resize_token_embeddings(shape.pieces, mean_resizing=False)
    return run


def own(given: Given, shape: Shape, way: Way, folder: Path) -> dict[str, Any]:
    """Takes steps, and says how fast they were and what they were spent on."""
    run = assemble(given, shape, way.settings, folder, shape.steps)
    if way.compiled:
        for encoder in (run.query.encoder, run.keys.encoder):
            encoder.transformer.compile(dynamic=True)
    queue = torch.nn.functional.normalize(torch.randn(run.config.loss.queue, shape.width), dim=1)
    run.queue.push(queue.to(run.team.device), -torch.arange(1, len(queue) + 1, device=run.team.device))
    with ExitStack() as stack:
        upkeep = stack.enter_context(upkeep_of(run, given.now))
        expectation_maximisation(run)
    assert isinstance(run.watch, Timer)
    memory = given.peak_gib()
    seconds = statistics.median(np.diff(run.watch.ends)[WARM - 1 :])
    tokens = statistics.mean(share.tokens for share in run.watch.shares[WARM:])
    whole = sum(p.numel() for p in run.query.encoder.parameters())
    body = whole - run.query.encoder.transformer.get_input_embeddings().weight.numel()
    rate = operations(run.config, "em") * body * tokens / seconds
    head = heads(shape.batch, shape.batch + len(queue), shape.width, given.where)["own"]
    sheet = sheet_peak(given)
    return {
        "sentences_per_second": shape.batch / seconds,
        "tokens_per_second": tokens / seconds,
        "tokens_a_sentence": tokens / shape.batch,
        "milliseconds": 1e3 * seconds,
        "mfu_of_measured": rate / peak(given, "bfloat16"),
        "mfu_of_sheet": rate / sheet if sheet else None,
        "memory_gib": memory,
        "share_of_em_head": given.seconds_of(head) / seconds,
        "share_of_optimisers_and_average": statistics.median(upkeep.seconds[WARM:]) / seconds,
        "million_weights": whole / 1e6,
    }


def waits(given: Given, shape: Shape, folder: Path) -> dict[str, Any]:
    """Counts how often a step waits for the device, and says where; once is meant, where losses are looked at."""
    run = assemble(given, shape, PACKED.settings, folder, shape.steps)
    with warnings.catch_warnings(record=True) as noted:
        warnings.simplefilter("always")
        if given.where == "cuda":
            torch.cuda.set_sync_debug_mode("warn")
        try:
            expectation_maximisation(run)
        finally:
            if given.where == "cuda":
                torch.cuda.set_sync_debug_mode("default")
    places = Counter(f"{Path(x.filename).name}:{x.lineno}" for x in noted if "synchroniz" in str(x.message))
    return {"a_step": places.total() / (WARM + shape.steps), "places": dict(places.most_common(8))}


def plain(given: Given, shape: Shape, folder: Path, own_rate: float) -> dict[str, Any]:
    """Takes steps of the plain side: float32, padded to the longest, all differences laid out."""
    run = assemble(given, shape, ["compute.attention=sdpa", "compute.dtype=float32"], folder, 1)
    encoder = run.query.encoder.transformer
    encoder.set_attn_implementation("sdpa")
    mixture = GaussianMixture(RANKS, shape.width)
    gaussians = [p.detach().clone().to(given.where) for p in (mixture.mean, mixture.log_variance, mixture.prior)]
    state = State(
        encoder=encoder,
        tokenizer=run.tokenizer,
        head=None,
        mu=gaussians[0],
        log_var=gaussians[1],
        pi=gaussians[2],
        typical=torch.arange(RANKS, 0, -1, device=given.where) / RANKS,
        queue=torch.nn.functional.normalize(torch.randn(QUEUE, shape.width, device=given.where), dim=1),
    )
    texts = web_text(shape.plain_batch, seed=1)
    seconds = given.seconds_of(lambda: plain_step(state, texts))
    rate = shape.plain_batch / seconds
    return {
        "batch": shape.plain_batch,
        "sentences_per_second": rate,
        "own_over_plain": own_rate / rate,
        "memory_gib": given.peak_gib(),
    }
