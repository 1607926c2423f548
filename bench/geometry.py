"""Geometry: XRETE's formulation against the plain one with scikit-learn and scipy, side by side in one run.

    python bench/geometry.py
    python bench/geometry.py --full

Both sides get the same random vectors and give the same numbers, which is checked. Time is the processor's, on one
thread, which other programs disturb least; ratios are medians over rounds in which both sides take turns. Memory is
the most that a side allocates beyond what it is given (tracemalloc), its inputs not counted.

Sizes are reduced so that a run takes under two minutes; `--full` takes those of the targets. For full covariances
the plain way costs L (L - 1) / 2 pairs and ours L languages: both are measured for a few, and multiplied.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy import linalg
from sklearn.metrics import calinski_harabasz_score
from threadpoolctl import threadpool_limits

from xrete.vectors.geometry import (
    SHRINKAGE,
    ClusterSums,
    Floats,
    Gaussian,
    GaussianSums,
    Moments,
    PartitionSums,
    Rows,
    diagonal_kl,
    principal_axes,
)

LANGUAGES = 204
Side = Callable[[], float]


@dataclass(frozen=True)
class Contest:
    """One measure, both ways; `scale` are the times that each side's work is done at 204 languages."""

    name: str
    size: str
    target: str
    plain: Side
    own: Side
    scale: tuple[float, float] = (1.0, 1.0)


def random_rows(n: int, d: int, seed: int) -> Rows:
    """Draws unit vectors with an offset, as real ones have."""
    rows = np.random.default_rng(seed).standard_normal((n, d), dtype=np.float32) + np.float32(0.3)
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def diagonal(d: int) -> Contest:
    """Sets up Eq. 16 with diagonal covariances: a double loop against sums."""
    random = np.random.default_rng(0)
    means, variances = random.standard_normal((LANGUAGES, d)) / 32, random.uniform(0.5, 1.5, (LANGUAGES, d)) / d

    def plain() -> float:
        total = 0.0
        for a, b in itertools.permutations(range(LANGUAGES), 2):
            ratio = variances[a] / variances[b]
            total += 0.5 * float(np.mean(ratio - 1 - np.log(ratio) + (means[a] - means[b]) ** 2 / variances[b]))
        return total / (LANGUAGES * (LANGUAGES - 1))

    def own() -> float:
        return float(diagonal_kl(means, variances).mean.mean())

    return Contest("KL, diagonal", f"{LANGUAGES} languages, d = {d:,}", "100x", plain, own)


def full(d: int, few: int = 3) -> Contest:
    """Sets up Eq. 16 with full covariances: scipy for each pair against one inverse for each language."""
    moments = [Moments.of(random_rows(2 * d, d, seed)) for seed in range(few)]
    given = [(m.mean, m.covariance) for m in moments]
    shrunk = [(mean, (1 - SHRINKAGE) * cov + SHRINKAGE * np.trace(cov) / d * np.eye(d)) for mean, cov in given]

    def divergence(one: tuple[Floats, Floats], two: tuple[Floats, Floats]) -> float:
        shift = two[0] - one[0]
        solved = linalg.solve(two[1], np.column_stack([one[1], shift]), assume_a="pos")
        determinants = np.linalg.slogdet(two[1])[1] - np.linalg.slogdet(one[1])[1]
        return float(np.trace(solved[:, :d]) - d + shift @ solved[:, d] + determinants) / (2 * d)

    def plain() -> float:
        return statistics.fmean(divergence(a, b) for a, b in itertools.permutations(shrunk, 2))

    def own() -> float:
        sums = GaussianSums(d)
        for mean, covariance in given:
            sums.add(Gaussian.of(mean, covariance, SHRINKAGE))
        return sums.mean()

    scale = (LANGUAGES * (LANGUAGES - 1) / (few * (few - 1)), LANGUAGES / few)
    size = f"{few} languages measured, {LANGUAGES} computed, d = {d:,}"
    return Contest("KL, full covariance", size, "200x", plain, own, scale)


def canonical_form(languages: int, sentences: int, d: int) -> Contest:
    """Sets up Eq. 17: all rows in one matrix against a language at a time."""
    rows = [random_rows(sentences, d, seed) for seed in range(languages)]

    def plain() -> float:
        labels = np.tile(np.arange(sentences), languages)
        return float(calinski_harabasz_score(np.concatenate(rows), labels))

    def own() -> float:
        sums = ClusterSums(sentences, d)
        for part in rows:
            sums.add(part)
        return sums.score

    size = f"{languages} languages x {sentences:,} sentences, d = {d:,}"
    return Contest("Calinski-Harabasz", size, "8x, under 50 MB", plain, own)


def isotropy(languages: int, sentences: int, d: int) -> Contest:
    """Sets up Eq. 18: a decomposition of all rows and a loop over its vectors against two looks at a language."""
    rows = [random_rows(sentences, d, seed) for seed in range(languages)]

    def plain() -> float:
        stacked = np.concatenate(rows)
        _, _, axes = np.linalg.svd(stacked, full_matrices=False)
        axes *= np.where(axes @ stacked.sum(axis=0) < 0, -1, 1)[:, None]
        z = [float(np.exp(stacked @ axis).sum(dtype=np.float64)) for axis in axes]
        return min(z) / max(z)

    def own() -> float:
        total = Moments.empty(d)
        for part in rows:
            total += Moments.of(part)
        sums = PartitionSums(principal_axes(total.gram, total.total))
        for part in rows:
            sums.add(part)
        return sums.ratio

    return Contest("principal ratio", f"{languages * sentences:,} rows, d = {d:,}", "15x", plain, own)


def seconds(side: Side) -> float:
    started = time.process_time()
    side()
    return time.process_time() - started


def megabytes(side: Side) -> float:
    tracemalloc.start()
    try:
        side()
        return tracemalloc.get_traced_memory()[1] / 2**20
    finally:
        tracemalloc.stop()


def race(contests: Sequence[Contest], rounds: int) -> Table:
    """Lets both sides of each contest take turns, and fills a table."""
    columns = ("measure", "size", "plain", "own", "ratio", "target", "plain MB", "own MB", "memory", "difference")
    table = Table(*columns, title="Geometry, processor time on one thread")
    for contest in contests:
        expected, found = contest.plain(), contest.own()  # warms up, too
        times = [(seconds(contest.plain), seconds(contest.own)) for _ in range(rounds)]
        plain = contest.scale[0] * statistics.median(a for a, _ in times)
        own = contest.scale[1] * statistics.median(b for _, b in times)
        ratio = statistics.median(a * contest.scale[0] / (b * contest.scale[1]) for a, b in times)
        memory = megabytes(contest.plain), megabytes(contest.own)
        table.add_row(
            contest.name,
            contest.size,
            f"{plain:,.3g} s",
            f"{own:,.3g} s",
            f"{ratio:,.0f}x" if ratio >= 10 else f"{ratio:.1f}x",
            contest.target,
            f"{memory[0]:,.1f}",
            f"{memory[1]:,.1f}",
            f"{memory[0] / memory[1]:,.1f}x",
            f"{abs(found / expected - 1):.0e}",
        )
    return table


def main() -> None:
    """Runs all contests."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="the sizes of the targets; takes several minutes")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=["diagonal", "full", "ch", "pr"], help="one measure")
    given = parser.parse_args()
    with threadpool_limits(1):
        makers: dict[str, Callable[[], Contest]] = {
            "diagonal": lambda: diagonal(1024),
            "full": lambda: full(1024 if given.full else 512),
            "ch": lambda: canonical_form(*((204, 1500, 1024) if given.full else (60, 300, 512))),
            "pr": lambda: isotropy(*((10, 2040, 1024) if given.full else (6, 1000, 512))),
        }
        contests = [make() for name, make in makers.items() if given.only in (None, name)]
        Console(width=180).print(race(contests, given.rounds))


if __name__ == "__main__":
    main()
