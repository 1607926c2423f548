"""Pretraining: the EM head, and a whole step of phase 2, against the plain formulation, side by side in one run.

    python bench/pretraining.py
    python bench/pretraining.py --full
    python bench/pretraining.py --large --device cuda

The plain side (`plain_emmax.py`) lays out all B x K x N x d differences, pads to the longest sentence of the batch
and uses none of XRETE's techniques; both sides give the same losses, which tests check. Time is the processor's,
on one thread, which other programs disturb least; ratios are medians over rounds in which the sides take turns.
Memory is the most that a process grows by, each side in a process of its own.

`--large` runs XRETE's step alone on XLM-R large with random weights, all 250,002 rows of its embeddings included,
for a GPU: sentences a second, the share of the device's peak (MFU) and memory. Where activations do not fit, add
`--set compute.cache_tokens=16384` (gradient caching) or `--set compute.checkpoint_activations=true`.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from plain_emmax import SMOOTHING, State, classifier_loss, plain_posterior, plain_step
from rich.console import Console
from rich.table import Table
from torch import Tensor
from xrete.models.emmax import losses
from xrete.models.emmax.checkpoint import Checkpoints
from xrete.models.emmax.config import read
from xrete.models.emmax.loop import expectation_maximisation
from xrete.models.emmax.mixture import GaussianMixture, start_similarities
from xrete.models.emmax.pretrain import set_up
from xrete.models.emmax.training import Step, Training
from xrete.models.emmax.watch import PEAK_FLOPS, Watch, operations

from xrete.distributed import Team

RANKS = 4
PIECES = 250_002
"""Of XLM-R."""
WORDS = 20_000
MEDIAN_WORDS, SPREAD = 20, 0.6
"""Sentences have the lengths of web text: a median of 24 tokens, a mean of 29."""

Side = Callable[[], None]


def heads(batch: int, candidates: int, d: int) -> dict[str, Side]:
    """The EM head, forward and backward, three ways: plain, plain and compiled, and XRETE's."""
    random = torch.Generator().manual_seed(0)
    shared = torch.randn(1, d, generator=random)
    x, y = (
        torch.nn.functional.normalize(0.5 * torch.randn(n, d, generator=random) + shared, dim=1)
        for n in (batch, candidates)
    )
    ranks = torch.randint(RANKS, (batch, candidates), generator=random)
    allowed = torch.ones_like(ranks, dtype=torch.bool)
    mixture = GaussianMixture(RANKS, d)
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
    syllables = [a + b for a in "bdfghklmnprstvz" for b in "aeiou"]
    words = ["".join(random.choice(syllables, size=random.integers(1, 4))) for _ in range(WORDS)]
    sizes = np.clip(random.lognormal(np.log(MEDIAN_WORDS), SPREAD, count), 3, 110).astype(int)
    shares = 1.0 / np.arange(1, WORDS + 1)
    return [" ".join(random.choice(words, size=size, p=shares / shares.sum())) for size in sizes]


class Timer(Watch):
    """Notes when each step ended."""

    ends: list[float]

    def count(self, step: Step) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.ends.append(time.process_time() if self._team.device.type == "cpu" else time.perf_counter())
        super().count(step)


class Unsaved(Checkpoints):
    """Writes nothing: a checkpoint of XLM-R large has 11 GB."""

    def save(self, run: Training, *, best: bool = False) -> None:
        pass


def make_run(folder: Path, settings: Sequence[str], texts: int) -> Training:
    """Puts a run of phase 2 together, on made-up text."""
    (folder / "text").mkdir()
    (folder / "text" / "en.txt").write_text("\n".join(web_text(texts)), encoding="utf-8")
    config = read(
        None,
        None,
        [
            f'data.monolingual=[{{kind="text", path="{folder}/text/{{language}}.txt"}}]',
            "ranks.typical_start=linear",
            "loss.drop_duplicates=false",
            "watch.score_every=0",
            "watch.log_every=1000000",
            "watch.save_every=1000000",
            "encoder.dropout=0.1",
            *settings,
        ],
    )
    team = Team.join(config.compute.device)
    watch = Timer(config, team, folder, Console(quiet=True))
    watch.ends = []
    run = set_up(config, team, folder, watch)
    run._checkpoints = Unsaved(folder, 1)
    return run


def steps(batch: int, mlm: bool, dtype: str, rounds: int) -> tuple[list[float], list[float]]:
    """Seconds of steps, plain and XRETE's, on the same network and batches."""
    with tempfile.TemporaryDirectory() as name:
        run = make_run(Path(name), small(batch, mlm, dtype, rounds), batch * (rounds + 8))
        encoder = run.query.encoder.transformer
        mixture = GaussianMixture(RANKS, run.query.encoder.dimension)
        state = State(
            encoder=encoder,
            tokenizer=run.tokenizer,
            head=run.query.head,
            mu=mixture.mean.detach(),
            log_var=mixture.log_variance.detach(),
            pi=mixture.prior.detach(),
            typical=torch.arange(RANKS, 0, -1) / RANKS,
            queue=torch.nn.functional.normalize(torch.randn(768, run.query.encoder.dimension), dim=1),
        )
        expectation_maximisation(run)
        own = list(np.diff(run.watch.ends)) if isinstance(run.watch, Timer) else []
        sampler = run.shares(lambda data: data.sentences(batch), rounds + 1)  # the first one warms up
        plain = []
        for share in sampler:
            began = time.process_time()
            plain_step(state, share.batch.texts)
            plain.append(time.process_time() - began)
        return plain[1:], own[1:]


def small(batch: int, mlm: bool, dtype: str, count: int) -> list[str]:
    """The network of the targets: 4 layers of 256, 8,000 pieces, a queue of 768."""
    return [
        "encoder.scratch.layers=4",
        "encoder.scratch.width=256",
        "encoder.scratch.heads=4",
        "encoder.scratch.feed_forward=1024",
        "encoder.scratch.vocabulary=8000",
        f"mlm.weight={0.1 if mlm else 0.0}",
        f"optimisation.batch={batch}",
        f"em.steps={count + 2}",
        f"compute.dtype={dtype}",
        "compute.device=cpu",
    ]


def large(device: str, batch: int, count: int, settings: Sequence[str]) -> None:
    """Prints what XLM-R large does on this device, from random weights, at web-like lengths."""
    shape = ["layers=24", "width=1024", "heads=16", "feed_forward=4096", "vocabulary=8000"]
    with tempfile.TemporaryDirectory() as name:
        chosen = [f"encoder.scratch.{value}" for value in shape]
        chosen += [f"optimisation.batch={batch}", f"em.steps={count + 3}", f"compute.device={device}"]
        run = make_run(Path(name), [*chosen, "compute.dtype=bfloat16", *settings], batch * (count + 4))
        for encoder in (run.query.encoder, run.keys.encoder):
            encoder.transformer.resize_token_embeddings(PIECES, mean_resizing=False)
        expectation_maximisation(run)
        assert isinstance(run.watch, Timer)
        seconds = statistics.median(np.diff(run.watch.ends)[2:])
        tokens = statistics.mean(share.tokens for share in run.shares(lambda data: data.sentences(batch), 4))
        embeddings = run.query.encoder.transformer.get_input_embeddings().weight.numel()
        whole = sum(p.numel() for p in run.query.encoder.parameters())
        line = f"{whole / 1e6:,.0f} M weights, B = {batch}: "
        line += f"{batch / seconds:,.0f} sentences/s, {tokens / seconds:,.0f} tokens/s"
        if run.team.device.type == "cuda":
            found = torch.cuda.get_device_name()
            peak = next((flops for part, flops in PEAK_FLOPS.items() if part in found), None)
            line += f", {torch.cuda.max_memory_allocated() / 2**30:,.1f} GiB on {found}"
            work = operations(run.config, "em") * (whole - embeddings) * tokens
            line += f", {work / seconds / peak:.1%} MFU" if peak else ""
        Console().print(line)


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
    """Races the EM head."""
    columns = ("B, K, d", "plain", "compiled", "own", "plain/own", "compiled/own", "plain MB", "own MB")
    table = Table(*columns, title="EM head with gradients, processor time on one thread (targets: 100x, 8x, 1/100)")
    for size in sizes:
        sides = heads(*size)
        for side in sides.values():
            side()
        times = [{name: seconds(side) for name, side in sides.items()} for _ in range(rounds)]
        middle = {name: statistics.median(row[name] for row in times) for name in sides}
        ratios = [statistics.median(row[name] / row["own"] for row in times) for name in ("plain", "compiled")]
        memory = [grown(size, name) for name in ("plain", "own")]
        table.add_row(
            ", ".join(map(str, size)),
            *(f"{middle[name]:.3g} s" for name in sides),
            *(f"{ratio:,.0f}x" for ratio in ratios),
            *(f"{value:,.0f}" for value in memory),
        )
    return table


def step_table(settings: Sequence[tuple[int, bool, str, str]], rounds: int) -> Table:
    """Races a whole step."""
    columns = ("setting", "plain", "own", "ratio", "target")
    table = Table(*columns, title="A step of phase 2, processor time on one thread")
    for batch, mlm, dtype, target in settings:
        plain, own = steps(batch, mlm, dtype, rounds)
        ratio = statistics.median(plain) / statistics.median(own)
        name = f"B = {batch}, {dtype}{', MLM' if mlm else ''}"
        table.add_row(
            name, f"{statistics.median(plain):.2f} s", f"{statistics.median(own):.2f} s", f"{ratio:.1f}x", target
        )
    return table


def main() -> None:
    """Runs what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="all sizes of the targets; takes half an hour")
    parser.add_argument("--only", choices=["head", "step"], help="one of the two races")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--large", action="store_true", help="XLM-R large, XRETE's step alone")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--batch", type=int, default=1024, help="of --large")
    parser.add_argument("--set", action="append", default=[], help="of --large: key.path=value of the config")
    parser.add_argument("--probe", nargs=4, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.large:
        large(given.device, given.batch, 10 * given.rounds, given.set)
        return
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    if given.probe:
        probe(given.probe[0], list(map(int, given.probe[1:])))
        return
    console = Console(width=140)
    sizes = [(32, 256, 384), (128, 1280, 384)] if given.full else [(32, 256, 384), (128, 512, 384)]
    if given.only != "step":
        console.print(head_table(sizes, given.rounds))
    if given.only == "head":
        return
    settings = [(64, False, "float32", "5x"), (64, False, "bfloat16", "8x")]
    if given.full:
        settings += [(64, True, "float32", ""), (256, False, "float32", "10x"), (256, False, "bfloat16", "20x")]
    console.print(step_table(settings, given.rounds))


if __name__ == "__main__":
    main()
