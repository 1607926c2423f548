"""(d): exact top 20 and margin mining, against torch's product and top-k on the same device."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from on_gpu.given import Given
from on_gpu.machine import describe, peak
from xrete.vectors.margin import mine
from xrete.vectors.search import nearest_both, top_k

Vectors = NDArray[np.float32]
K, NEIGHBOURS = 20, 4
ROWS = 1_024
"""Queries whose scores torch holds at once: 4 GB against a million candidates."""


def main(given: Given) -> None:
    """Measures both searches in both precisions."""
    describe(given)
    queries, candidates, mined, d = (64, 2_000, 512, 64) if given.toy else (10_000, 1_000_000, 200_000, 1024)
    left, right = made(queries, d, 0, given), made(candidates, d, 1, given)
    expected = by_torch(left[:200], right, given)
    given.measure("top 20: torch", lambda: torch_side(given, left, right))
    for half in (False, True):
        name = f"top 20: xrete {'bfloat16, certified' if half else 'float32'}"
        given.measure(name, lambda h=half: ours(given, left, right, expected, h), 5)
    del left, right
    left, right = made(mined, d, 2, given), made(mined, d, 3, given)
    right[: mined // 2] = 0.7 * left[: mined // 2] + 0.3 * right[: mined // 2]
    right /= np.linalg.norm(right, axis=1, keepdims=True)
    given.measure("mining: torch, both ways", lambda: torch_mining(given, left, right), 5)
    for half in (False, True):
        name = f"mining: xrete {'bfloat16, certified' if half else 'float32'}"
        given.measure(name, lambda h=half: our_mining(given, left, right, h), 5)


def made(n: int, d: int, seed: int, given: Given) -> Vectors:
    """Random unit vectors that share a direction, as those of encoders do, float32 [n, d]."""
    generator = torch.Generator(given.where).manual_seed(seed)
    rows = torch.randn(n, d, generator=generator, device=given.where) + 1
    return np.asarray((rows / rows.norm(dim=1, keepdim=True)).cpu().numpy())


def by_torch(queries: Vectors, candidates: Vectors, given: Given) -> NDArray[np.int64]:
    """Finds the best with torch alone, int64 [n, K]."""
    right = torch.from_numpy(candidates).to(given.where)
    parts = torch.from_numpy(queries).to(given.where).split(ROWS)
    return np.asarray(torch.cat([(part @ right.T).topk(K).indices for part in parts]).cpu().numpy())


def speed(given: Given, n: int, m: int, d: int, seconds: float) -> dict[str, Any]:
    """Says how fast a search was, and what share of a large product's operations a second it reached."""
    rate = 2 * n * m * d / seconds
    return {
        "seconds": seconds,
        "queries_per_second": n / seconds,
        "share_of_float32_products": rate / peak(given, "float32"),
        "share_of_bfloat16_products": rate / peak(given, "bfloat16"),
        "memory_gib": given.peak_gib(),
    }


def torch_side(given: Given, left: Vectors, right: Vectors) -> dict[str, Any]:
    """Measures torch's search, copies to the device included."""
    return speed(given, len(left), *right.shape, given.seconds_of(lambda: by_torch(left, right, given), 1))


def ours(given: Given, left: Vectors, right: Vectors, expected: NDArray[np.int64], half: bool) -> dict[str, Any]:
    """Measures XRETE's search, and holds its answers against torch's."""
    began = given.now()
    best = top_k(left, right, K, device=given.where, half=half)
    seconds = given.now() - began
    same = np.mean([len({*a} & {*b}) / K for a, b in zip(best.indices[: len(expected)], expected, strict=True)])
    return {**speed(given, len(left), *right.shape, seconds), "same_answers": float(same)}


def torch_mining(given: Given, left: Vectors, right: Vectors) -> dict[str, Any]:
    """Measures the two searches of the usual script."""
    began = given.now()
    by_torch(left, right, given)
    by_torch(right, left, given)
    return speed(given, 2 * len(left), *right.shape, given.now() - began)


def our_mining(given: Given, left: Vectors, right: Vectors, half: bool) -> dict[str, Any]:
    """Measures XRETE's one pass and its margins; the first half of the rows are translations."""
    began = given.now()
    pairs = mine(*nearest_both(left, right, NEIGHBOURS, device=given.where, half=half))
    seconds = given.now() - began
    planted = (pairs.source == pairs.target) & (pairs.source < len(left) // 2)
    return {
        **speed(given, len(left), *right.shape, seconds),
        "planted_found": int(planted.sum()) / (len(left) // 2),
    }
