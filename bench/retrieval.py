"""Exact retrieval and mining: XRETE's engine against faiss and sentence-transformers, side by side in one run.

    python bench/retrieval.py
    python bench/retrieval.py --candidates 20000 --mine 2048 --rounds 3
    python bench/retrieval.py --device cuda --half

Vectors are random, with the mean that real encoders have (cosines of unrelated texts near 0.5). The variants take
turns within every round, so that a changing load of the machine hits all of them, and the tables give medians of
the rounds' ratios: of elapsed time, and of the processor's time, which other programs disturb less. Memory is the
peak beyond the vectors themselves, each variant in a process of its own. Answers are compared with the first
variant's.
"""

from __future__ import annotations

import argparse
import multiprocessing
import platform
import resource
import statistics
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from sentence_transformers.util import semantic_search

from xrete.vectors.margin import mine
from xrete.vectors.search import BOTH_WAYS, nearest_both, top_k
from xrete.vectors.tiles import make_tiles
from xrete.vectors.top_k import slices

Vectors = NDArray[np.float32]
Pairs = list[tuple[int, int]]
K, NEIGHBOURS = 20, 4


def made(n: int, dimension: int, seed: int) -> Vectors:
    """Random unit vectors that share a direction."""
    rows = np.random.default_rng(seed).standard_normal((n, dimension), dtype=np.float32) + np.float32(1)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows


def translations(vectors: Vectors, seed: int) -> Vectors:
    """The same vectors, half of them with noise and half replaced."""
    noise = made(len(vectors), vectors.shape[1], seed)
    noise[::2] = 0.7 * vectors[::2] + 0.3 * noise[::2]
    return np.asarray(noise / np.linalg.norm(noise, axis=1, keepdims=True), dtype=np.float32)


def by_semantic_search(queries: Vectors, candidates: Vectors) -> NDArray[np.int64]:
    found = semantic_search(torch.from_numpy(queries), torch.from_numpy(candidates), top_k=K)
    return np.array([[hit["corpus_id"] for hit in hits] for hits in found])


def by_faiss(queries: Vectors, candidates: Vectors) -> NDArray[np.int64]:
    index = faiss.IndexFlatIP(candidates.shape[1])
    index.add(candidates)
    return np.asarray(index.search(queries, K)[1])


def mine_with_faiss(x: Vectors, y: Vectors) -> Pairs:
    """The usual script: two searches, margins in numpy, greedy matching."""
    sides = []
    for left, right in ((x, y), (y, x)):
        index = faiss.IndexFlatIP(right.shape[1])
        index.add(right)
        sides.append(index.search(left, NEIGHBOURS))
    (x_scores, x_near), (y_scores, y_near) = sides
    x_mean, y_mean = x_scores.mean(axis=1), y_scores.mean(axis=1)
    x_margin = x_scores / ((x_mean[:, None] + y_mean[x_near]) / 2)
    y_margin = y_scores / ((y_mean[:, None] + x_mean[y_near]) / 2)
    x_best = x_near[np.arange(len(x)), x_margin.argmax(axis=1)]
    y_best = y_near[np.arange(len(y)), y_margin.argmax(axis=1)]
    pairs = np.stack(
        [np.concatenate([np.arange(len(x)), y_best]), np.concatenate([x_best, np.arange(len(y))])], axis=1
    )
    scores = np.concatenate([x_margin.max(axis=1), y_margin.max(axis=1)])
    used: tuple[set[int], set[int]] = (set(), set())
    found = []
    for i, j in pairs[np.argsort(-scores)].tolist():
        if i not in used[0] and j not in used[1]:
            used[0].add(i)
            used[1].add(j)
            found.append((i, j))
    return found


def mine_in_one_pass(x: Vectors, y: Vectors, **options: Any) -> Pairs:
    mined = mine(*nearest_both(x, y, NEIGHBOURS, **options))
    return list(zip(mined.source.tolist(), mined.target.tolist(), strict=True))


def multiply(x: Vectors, y: Vectors) -> Pairs:
    """The products of the one pass and nothing else: what no search that computes every score can beat."""
    tiles = make_tiles(x, "cpu", half=False, shape=BOTH_WAYS)
    for rows in slices(len(x), BOTH_WAYS[0]):
        for columns in slices(len(y), BOTH_WAYS[1]):
            tiles.tile(rows, y[columns])
    return []


def searches(device: str, half: bool) -> dict[str, Callable[[Vectors, Vectors], Any]]:
    """Names what is compared at ranking; the first is what the others are relative to."""
    found: dict[str, Callable[[Vectors, Vectors], Any]] = {
        "sentence-transformers semantic_search": by_semantic_search,
        "faiss IndexFlatIP": by_faiss,
        "xrete float32": lambda q, c: top_k(q, c, K, device=device).indices,
    }
    if half:
        found["xrete bfloat16, certified"] = lambda q, c: top_k(q, c, K, device=device, half=True).indices
    return found


def miners(device: str, half: bool) -> dict[str, Callable[[Vectors, Vectors], Any]]:
    """The same for mining."""
    found: dict[str, Callable[[Vectors, Vectors], Any]] = {
        "faiss twice, margins in numpy": mine_with_faiss,
        "xrete one pass float32": lambda x, y: mine_in_one_pass(x, y, device=device),
    }
    if device == "cpu":
        found["its products alone, no answer"] = multiply
    if half:
        found["xrete one pass bfloat16"] = lambda x, y: mine_in_one_pass(x, y, device=device, half=True)
    return found


def agreement(left: Any, right: Any) -> float:
    """The share of found candidates, or pairs, that both have."""
    if isinstance(left, list):
        return len({*left} & {*right}) / max(1, len({*left} | {*right}))
    return float(np.mean([len({*a} & {*b}) / len(a) for a, b in zip(left.tolist(), right.tolist(), strict=True)]))


def peak_megabytes(
    kind: str, name: str, sizes: tuple[int, int, int], device: str, half: bool, threads: int
) -> float:
    """Peak memory beyond the vectors; meant for a process of its own."""
    set_threads(threads)
    variant = (searches if kind == "search" else miners)(device, half)[name]
    small = made(64, sizes[2], 0)
    variant(small, small)  # loads and warms up what is lazy
    left, right = data(kind, sizes)
    with ResidentMemory() as memory:
        variant(left, right)
    return memory.growth / 2**20


class ResidentMemory:
    """Watches how much the memory of this process grows; a peak of the system's own would count what was before."""

    def __enter__(self) -> ResidentMemory:
        self._before = self._peak = resident()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._done.set()
        self._thread.join()

    @property
    def growth(self) -> int:
        """Bytes."""
        return self._peak - self._before

    def _watch(self) -> None:
        while not self._done.wait(0.002):
            self._peak = max(self._peak, resident())


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def data(kind: str, sizes: tuple[int, int, int]) -> tuple[Vectors, Vectors]:
    left = made(sizes[0], sizes[2], 0)
    return left, made(sizes[1], sizes[2], 1) if kind == "search" else translations(left, 1)


def set_threads(threads: int) -> None:
    if threads:
        from threadpoolctl import threadpool_limits

        torch.set_num_threads(threads)
        faiss.omp_set_num_threads(threads)
        threadpool_limits(threads)


def compare(kind: str, sizes: tuple[int, int, int], given: argparse.Namespace, console: Console) -> None:
    """Times the variants in turn and prints the table."""
    variants = (searches if kind == "search" else miners)(given.device, given.half)
    left, right = data(kind, sizes)
    answers: dict[str, Any] = {}
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    cpu: dict[str, list[float]] = {name: [] for name in variants}
    for turn in range(given.rounds + 1):
        for name, variant in variants.items():
            start, cpu_start = time.perf_counter(), time.process_time()
            answers[name] = variant(left, right)
            if turn:  # the first round warms up
                seconds[name].append(time.perf_counter() - start)
                cpu[name].append(time.process_time() - cpu_start)
    del left, right
    first = next(iter(variants))
    what = f"top {K} of {sizes[0]:,} x {sizes[1]:,}" if kind == "search" else f"mining {sizes[0]:,} x {sizes[0]:,}"
    table = Table(title=f"{what}, {sizes[2]} dimensions, {given.device}, {given.rounds} rounds")
    for column in ("variant", "ratio", "of CPU time", "rounds (CPU)", "seconds", "extra MB", "same answers"):
        table.add_column(column, justify="left" if column == "variant" else "right")
    context = multiprocessing.get_context("spawn")
    for name in variants:
        with ProcessPoolExecutor(1, mp_context=context) as pool:
            arguments = (kind, name, sizes, given.device, given.half, given.threads)
            megabytes = pool.submit(peak_megabytes, *arguments).result()
        ratios = [[a / b for a, b in zip(s[first], s[name], strict=True)] for s in (seconds, cpu)]
        table.add_row(
            name,
            *(f"{statistics.median(each):.2f}x" for each in ratios),
            " ".join(f"{ratio:.2f}" for ratio in ratios[1]),
            f"{statistics.median(seconds[name]):.2f}",
            f"{megabytes:,.0f}",
            f"{agreement(answers[first], answers[name]):.4f}",
        )
    console.print(table)


def main() -> None:
    """Runs the comparisons."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--queries", type=int, default=300)
    parser.add_argument("--candidates", type=int, default=100_000)
    parser.add_argument("--mine", type=int, nargs="*", default=[4096, 8192], help="sizes of the corpora to mine")
    parser.add_argument("--dimension", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cpu", help="of XRETE's variants")
    parser.add_argument(
        "--half", action="store_true", help="bfloat16 too; slow on a CPU without AMX or AVX512-BF16"
    )
    parser.add_argument("--threads", type=int, default=0, help="processor threads; 0 leaves the defaults")
    given = parser.parse_args()
    set_threads(given.threads)
    console = Console(width=130)
    if given.candidates:
        compare("search", (given.queries, given.candidates, given.dimension), given, console)
    for size in given.mine:
        compare("mine", (size, size, given.dimension), given, console)
    packages = ", ".join(f"{name} {version(name)}" for name in ("faiss-cpu", "torch", "sentence-transformers"))
    console.print(f"{packages}, numpy {np.__version__}, {platform.machine()}", style="dim")


if __name__ == "__main__":
    main()
