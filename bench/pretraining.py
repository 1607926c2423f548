"""Pretraining: the EM head, and a whole step of phase 2, against the plain formulation, side by side in one run.

    python bench/pretraining.py
    python bench/pretraining.py --full

The plain side (`plain_emmax.py`) lays out all B x K x N x d differences, pads to the longest sentence of the batch
and uses none of XRETE's techniques; both sides give the same losses, which tests check. "Published" is the plain
side with three habits of the authors' code: dropout in attention and in the key encoder, and torch's anomaly
detection. Time is the processor's, on one thread, which other programs disturb least; ratios are medians over
rounds, in which all sides take the same sentences. Memory is the most that a process grows by, each side in a
process of its own.

A second table says what XRETE's step is spent on: the EM head by itself, the optimisers and the moving average, and
the transformers' products over tokens without padding, as a share of what large products reach in the same run.

XLM-R large on a GPU is measured by `bench/gpu.py`.
"""

from __future__ import annotations

import argparse
import copy
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from plain_emmax import SMOOTHING, State, classifier_loss, plain_posterior, plain_step
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from xrete.devices import multiplies_bfloat16
from xrete.models.emmax import losses
from xrete.models.emmax.batches import Share
from xrete.models.emmax.checkpoint import Checkpoints
from xrete.models.emmax.classifier import GaussianMixture, start_similarities
from xrete.models.emmax.config import read
from xrete.models.emmax.log import Watch, operations
from xrete.models.emmax.loop import expectation_maximisation
from xrete.models.emmax.pretrain import set_up
from xrete.models.emmax.step import Step
from xrete.models.emmax.training import Training
from xrete.training.team import Team

RANKS = 4
WIDTH, QUEUE = 256, 768
PAPER = (1024, 1280, 1024)
"""B, K and d of appendix A.2."""
PLAIN_COPIES = 6
"""How often the plain side holds its B x K x N x d numbers at its peak, in the backward pass."""
PIECES = 250_002
"""Of XLM-R."""
WORDS = 20_000
MEDIAN_WORDS, SPREAD = 15, 0.6
"""Sentences have the lengths of web text: a median of 24 tokens, a mean of 29."""

Side = Callable[[], None]


def heads(batch: int, candidates: int, d: int, device: str = "cpu") -> dict[str, Side]:
    """The EM head, forward and backward, three ways: plain, plain and compiled, and XRETE's."""
    random = torch.Generator().manual_seed(0)
    shared = torch.randn(1, d, generator=random)
    x, y = (
        torch.nn.functional.normalize(0.5 * torch.randn(n, d, generator=random) + shared, dim=1).to(device)
        for n in (batch, candidates)
    )
    ranks = torch.randint(RANKS, (batch, candidates), generator=random).to(device)
    allowed = torch.ones_like(ranks, dtype=torch.bool)
    mixture = GaussianMixture(RANKS, d).to(device)
    mixture.start_from_similarities(start_similarities(RANKS))
    mu, log_var, pi = (
        p.detach().clone().requires_grad_() for p in (mixture.mean, mixture.log_variance, mixture.prior)
    )

    def plain_loss() -> Tensor:
        return classifier_loss(plain_posterior(x, y, mu, log_var, pi), ranks, allowed)

    compiled = torch.compile(plain_loss)

    def own() -> None:
        sums, counts = losses.classifier_loss(mixture.cells(x, y), ranks, allowed, SMOOTHING)
        torch.autograd.backward((sums / counts.clamp(min=1)).sum() / RANKS)

    return {
        "plain": lambda: torch.autograd.backward(plain_loss()),
        "compiled": lambda: torch.autograd.backward(compiled()),
        "own": own,
    }


def web_text(count: int, seed: int = 0) -> list[str]:
    """Makes sentences of made-up words, of web-like lengths, all different."""
    random = np.random.default_rng(seed)
    syllables = np.array([a + b for a in "bdfghklmnprstvz" for b in "aeiou"])
    words = np.array(["".join(random.choice(syllables, size=random.integers(1, 4))) for _ in range(WORDS)])
    sizes = np.clip(random.lognormal(np.log(MEDIAN_WORDS), SPREAD, count), 3, 110).astype(int)
    shares = 1.0 / np.arange(1, WORDS + 1)
    return [" ".join(random.choice(words, size=size, p=shares / shares.sum())) for size in sizes]


class Timer(Watch):
    """Notes when each step ended, and what it was about."""

    ends: list[float]
    shares: list[Share]

    def count(self, step: Step) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.ends.append(time.process_time() if self._team.device.type == "cpu" else time.perf_counter())
        self.shares.append(step.share)
        super().count(step)


class Unsaved(Checkpoints):
    """Writes nothing: a checkpoint of XLM-R large has 11 GB."""

    def save(self, *given: object, best: bool = False) -> None:
        pass


def make_run(folder: Path, settings: Sequence[str], texts: int) -> Training:
    """Puts a run of phase 2 together, on made-up text."""
    (folder / "text").mkdir(exist_ok=True)
    (folder / "text" / "en.txt").write_text("\n".join(web_text(texts)), encoding="utf-8")
    config = read(
        None,
        None,
        [
            f'data.monolingual=[{{kind="text", path="{folder}/text/{{language}}.txt"}}]',
            "em.parallel_fraction=0",
            "em.paraphrases=all",
            "ranks.typical_start=linear",
            "loss.drop_duplicates=false",
            "watch.guard_every=0",
            "watch.score_every=0",
            "watch.log_every=1000000",
            "watch.save_every=1000000",
            "encoder.dropout=0.1",
            *settings,
        ],
    )
    team = Team.join(config.compute.device)
    watch = Timer(config, team, folder, Console(quiet=True))
    watch.ends, watch.shares = [], []
    run = set_up(config, team, folder, watch)
    run.checkpoints = Unsaved(folder, config, "", run.start, team)
    return run


@dataclass
class Raced:
    """Seconds of steps of each side, and what XRETE's were spent on.

    Attributes:
        seconds: By side: "published", "plain", "own".
        upkeep: Of each own step, the seconds of the optimisers and of the moving average.
        work: Operations of the transformers in each own step, of tokens without padding.
    """

    seconds: dict[str, list[float]]
    upkeep: list[float]
    work: list[float]


def race(batch: int, mlm: bool, dtype: str, rounds: int) -> Raced:
    """Takes steps on all sides, with the same network and the same batches; those of the first two warm up."""
    with tempfile.TemporaryDirectory() as name:
        run = make_run(Path(name), small(batch, mlm, dtype, rounds), batch * (rounds + 8))
        mixture = GaussianMixture(RANKS, WIDTH)
        queue = torch.nn.functional.normalize(torch.randn(QUEUE, WIDTH), dim=1)
        run.queue.push(queue, -torch.arange(1, QUEUE + 1))

        def state(*, published: bool) -> State:
            encoder, head = copy.deepcopy((run.query.encoder.transformer, run.query.head))  # tied as they are
            encoder.set_attn_implementation("sdpa")
            return State(
                encoder=encoder,
                tokenizer=run.tokenizer,
                head=head,
                mu=mixture.mean.detach().clone(),
                log_var=mixture.log_variance.detach().clone(),
                pi=mixture.prior.detach().clone(),
                typical=torch.arange(RANKS, 0, -1) / RANKS,
                queue=queue.clone(),
                published=published,
            )

        states = {"published": state(published=True), "plain": state(published=False)}
        seconds: dict[str, list[float]] = {name: [] for name in states}
        with upkeep_of(run) as upkeep:
            expectation_maximisation(run)
        assert isinstance(run.watch, Timer)
        shares = run.watch.shares[2:]
        seconds["own"] = list(np.diff(run.watch.ends)[1:])
        for share in [run.watch.shares[1], *shares]:
            for side, its_state in states.items():
                began = time.process_time()
                plain_step(its_state, share.batch.texts)
                seconds[side].append(time.process_time() - began)
        for side in states:
            del seconds[side][0]
        embeddings = run.query.encoder.transformer.get_input_embeddings().weight.numel()
        weights = sum(p.numel() for p in run.query.encoder.parameters()) - embeddings
        each = operations(run.config, "em") * weights
        return Raced(seconds, upkeep.seconds[2:], [each * share.tokens for share in shares])


@dataclass
class Upkeep:
    """Seconds of each step that go into the moving average and the optimisers."""

    clock: Callable[[], float]
    seconds: list[float] = field(default_factory=list)
    began: float = 0.0

    def start(self, *_: object) -> None:
        self.began = self.clock()

    def stop(self, *_: object) -> None:
        self.seconds[-1] += self.clock() - self.began


@contextmanager
def upkeep_of(run: Training, clock: Callable[[], float] = time.process_time) -> Iterator[Upkeep]:
    """Times them from outside."""
    upkeep = Upkeep(clock)
    update = run.keys.update

    def timed(encoder: torch.nn.Module) -> None:  # the first of them in a step
        upkeep.seconds.append(0.0)
        upkeep.start()
        update(encoder)
        upkeep.stop()

    run.keys.update = timed
    hooks = [register_optimizer_step_pre_hook(upkeep.start), register_optimizer_step_post_hook(upkeep.stop)]
    try:
        yield upkeep
    finally:
        for hook in hooks:
            hook.remove()


def small(batch: int, mlm: bool, dtype: str, count: int) -> list[str]:
    """The network of the targets: 4 layers of 256, 8,000 pieces, a queue of 768."""
    return [
        "encoder.scratch.layers=4",
        f"encoder.scratch.width={WIDTH}",
        "encoder.scratch.heads=4",
        "encoder.scratch.feed_forward=1024",
        "encoder.scratch.vocabulary=8000",
        f"loss.queue={QUEUE}",
        f"mlm.weight={0.1 if mlm else 0.0}",
        f"optimisation.batch={batch}",
        f"em.steps={count + 2}",
        f"compute.dtype={dtype}",
        "compute.device=cpu",
    ]


def seconds(side: Side) -> float:
    began = time.process_time()
    side()
    return time.process_time() - began


def grown(sizes: Sequence[int], side: str) -> float:
    """Megabytes that a process of its own grows by in one side of the head."""
    command = [sys.executable, __file__, "--probe", side, *map(str, sizes)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1])


def probe(side: str, sizes: Sequence[int]) -> None:
    sides = heads(*sizes)
    if side == "compiled":
        sides[side]()  # compiling itself takes memory
    Path("/proc/self/clear_refs").write_text("5")  # forgets the peak so far (Linux)
    before = resident("VmRSS")
    sides[side]()
    print(resident("VmHWM") - before)


def resident(kind: str) -> float:
    """Megabytes of this process: VmRSS now, VmHWM at the most."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(kind))


def head_table(sizes: Sequence[tuple[int, int, int]], rounds: int) -> Table:
    """Races the EM head; where the plain side does not fit into memory, XRETE's runs alone."""
    columns = ("B, K, d", "plain", "compiled", "own", "plain/own", "compiled/own", "plain MB", "own MB")
    table = Table(*columns, title="EM head with gradients, processor time on one thread (targets: 100x, 8x, 1/100)")
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for size in sizes:
        sides = heads(*size)
        if PLAIN_COPIES * RANKS * math.prod(size) * 4 > free:
            del sides["plain"], sides["compiled"]  # at this size compiling lays all differences out, too
        for side in sides.values():
            side()
        times = [{name: seconds(side) for name, side in sides.items()} for _ in range(rounds)]
        middle = {name: f"{statistics.median(row[name] for row in times):.3g} s" for name in sides}
        ratios = {name: f"{statistics.median(row[name] / row['own'] for row in times):,.0f}x" for name in sides}
        memory = {name: f"{grown(size, name):,.0f}" for name in sides if name != "compiled"}
        table.add_row(
            ", ".join(map(str, size)),
            *(middle.get(name, "-") for name in ("plain", "compiled", "own")),
            *(ratios.get(name, "-") for name in ("plain", "compiled")),
            *(memory.get(name, "-") for name in ("plain", "own")),
        )
    return table


def step_tables(settings: Sequence[tuple[int, bool, str, str]], rounds: int) -> Iterator[Table]:
    """Races a whole step, and says what XRETE's is spent on."""
    title = "A step of phase 2, processor time on one thread"
    table = Table("setting", "published", "plain", "own", "published/own", "plain/own", "target", title=title)
    columns = ("setting", "EM head (target: 2 %)", "optimisers and average (4 %)", "of the peak of products (50 %)")
    shares = Table(*columns, title="What XRETE's step is spent on")
    for batch, mlm, dtype, target in settings:
        raced = race(batch, mlm, dtype, rounds)
        middle = {side: statistics.median(seconds) for side, seconds in raced.seconds.items()}
        name = f"B = {batch}, {dtype}{', MLM' if mlm else ''}"
        own = raced.seconds["own"]
        ratios = [
            statistics.median(theirs / ours for theirs, ours in zip(raced.seconds[side], own, strict=True))
            for side in ("published", "plain")
        ]
        times = [f"{middle[side]:.2f} s" for side in ("published", "plain", "own")]
        table.add_row(name, *times, *(f"{ratio:.1f}x" for ratio in ratios), target)
        head = heads(batch, batch + QUEUE, WIDTH)["own"]
        head()
        rates = [work / seconds for work, seconds in zip(raced.work, own, strict=True)]
        parts = [
            statistics.median(seconds(head) for _ in range(rounds + 2)) / middle["own"],
            statistics.median(raced.upkeep) / middle["own"],
            statistics.median(rates) / product_rate(getattr(torch, dtype)),
        ]
        shares.add_row(name, *(f"{part:.1%}" for part in parts))
    yield table
    yield shares


def product_rate(dtype: torch.dtype) -> float:
    """Operations a second of a large product of matrices."""
    size = 1024
    left, right = (torch.randn(size, size).to(dtype) for _ in range(2))
    return 2 * size**3 / min(seconds(lambda: left @ right) for _ in range(5))


def main() -> None:
    """Runs what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="all sizes of the targets; takes half an hour")
    parser.add_argument("--only", choices=["head", "step"], help="one of the two races")
    parser.add_argument(
        "--dtype", choices=["float32", "bfloat16"], help="steps of this precision alone, even if slow"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--probe", nargs=4, help=argparse.SUPPRESS)
    given = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    if given.probe:
        probe(given.probe[0], list(map(int, given.probe[1:])))
        return
    console = Console(width=140)
    sizes = [(32, 256, 384), (128, 1280, 384), PAPER] if given.full else [(32, 256, 384), (128, 512, 384)]
    if given.only != "step":
        console.print(head_table(sizes, given.rounds))
    if given.only == "head":
        return
    settings = [(64, False, "float32", "5x"), (64, False, "bfloat16", "8x")]
    if given.full:
        settings += [(64, True, "float32", ""), (256, False, "float32", "10x"), (256, False, "bfloat16", "20x")]
    wanted = [given.dtype] if given.dtype else ["float32", "bfloat16"]
    if not given.dtype and not multiplies_bfloat16():
        wanted.remove("bfloat16")
        console.print("bfloat16 is left out: this processor has no instructions for it (--dtype bfloat16 tries it)")
    for table in step_tables([setting for setting in settings if setting[2] in wanted], given.rounds):
        console.print(table)


if __name__ == "__main__":
    main()
