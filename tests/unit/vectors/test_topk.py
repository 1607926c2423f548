"""Exact search of many vectors: the best of exact scores, whatever the device, the precision and the blocks."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from xrete.vectors import search, tiles
from xrete.vectors import top_k as selection
from xrete.vectors.search import nearest_both, top_k
from xrete.vectors.top_k import Neighbours

Vectors = NDArray[np.float32]
SEEDS = st.integers(0, 2**32 - 1)
WAYS: list[dict[str, Any]] = [{}, {"half": True}]


def unit(vectors: NDArray[Any]) -> Vectors:
    rows = np.asarray(vectors, dtype=np.float64)
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


def draw(seed: int, n: int, m: int, dimension: int = 16, mean: float = 0.5) -> tuple[Vectors, Vectors]:
    """Vectors that share a direction, as those of real encoders do."""
    chance = np.random.default_rng(seed)
    return unit(chance.standard_normal((n, dimension)) + mean), unit(chance.standard_normal((m, dimension)) + mean)


def brute_force(queries: Vectors, candidates: Vectors, k: int) -> Neighbours:
    """Scores every pair in float64 and sorts, the lower index first."""
    scores = np.array([(query.astype(np.float64) * candidates).sum(axis=1) for query in queries])
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return Neighbours(order, np.take_along_axis(scores, order, axis=1))


def same(found: Neighbours, expected: Neighbours) -> bool:
    return bool((found.indices == expected.indices).all() and (found.scores == expected.scores).all())


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("n", "m", "k"), [(1, 1, 1), (7, 5, 20), (40, 3000, 20), (700, 9000, 4)])
def test_the_best_are_those_of_brute_force(way: dict[str, Any], n: int, m: int, k: int) -> None:
    queries, candidates = draw(n, n, m)
    candidates[m // 2 :] = candidates[: m - m // 2]  # duplicates: exact ties
    assert same(top_k(queries, candidates, k, **way), brute_force(queries, candidates, k))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("n", "m", "k"), [(1, 1, 4), (3, 50, 4), (2500, 300, 4), (300, 4500, 3)])
def test_one_pass_finds_the_best_of_both_sides(way: dict[str, Any], n: int, m: int, k: int) -> None:
    left, right = draw(n, n, m)
    forward, backward = nearest_both(left, right, k, **way)
    assert same(forward, brute_force(left, right, k))
    assert same(backward, brute_force(right, left, k))


@settings(deadline=None, max_examples=25)
@given(
    seed=SEEDS,
    sizes=st.tuples(*[st.integers(1, 30)] * 3),
    tile=st.tuples(*[st.integers(1, 9)] * 2),
    pending=st.integers(0, 50),
    half=st.booleans(),
)
def test_the_answer_does_not_depend_on_tiles(
    seed: int, sizes: tuple[int, int, int], tile: tuple[int, int], pending: int, half: bool
) -> None:
    """Near ties and equal vectors included: all vectors are within a few roundings of three."""
    n, m, k = sizes
    chance = np.random.default_rng(seed)
    centres = unit(chance.standard_normal((3, 8)))
    left, right = (centres[chance.integers(0, 3, size)] for size in (n, m))
    right = (right.view(np.int32) + chance.integers(0, 2, right.shape, dtype=np.int32)).view(np.float32)
    original = tiles.make_tiles
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search, "make_tiles", lambda x, device, fast, *_: original(x, device, fast, tile))
        patch.setattr(selection, "PENDING", pending)
        found = top_k(left, right, k, half=half)
        forward, backward = nearest_both(left, right, k, half=half)
    assert same(found, brute_force(left, right, k))
    assert same(forward, found)
    assert same(backward, brute_force(right, left, k))


@settings(deadline=None, max_examples=30)
@given(seed=SEEDS, cuts=st.lists(st.integers(0, 60), max_size=6))
def test_candidates_may_come_in_blocks(seed: int, cuts: list[int]) -> None:
    queries, candidates = draw(seed, 5, 60)
    blocks = np.split(candidates, sorted(cuts))
    assert same(top_k(queries, iter(blocks), 7), brute_force(queries, candidates, 7))


@settings(deadline=None, max_examples=30)
@given(seed=SEEDS)
def test_permuting_candidates_permutes_the_answer(seed: int) -> None:
    queries, candidates = draw(seed, 6, 80)
    order = np.random.default_rng(seed).permutation(80)
    plain, permuted = top_k(queries, candidates, 9), top_k(queries, candidates[order], 9)
    assert (order[permuted.indices] == plain.indices).all()
    assert (permuted.scores == plain.scores).all()


@settings(deadline=None, max_examples=30)
@given(seed=SEEDS, scale=st.sampled_from([0.25, 2.0, 8.0]))
def test_rotation_and_scale_change_nothing(seed: int, scale: float) -> None:
    """A power of two scales queries without rounding; a rotation rounds, so scores agree to float32."""
    queries, candidates = draw(seed, 6, 80)
    rotation = np.linalg.qr(np.random.default_rng(seed).standard_normal((16, 16)))[0]
    plain = top_k(queries, candidates, 5)
    turned = top_k(unit(queries @ rotation), unit(candidates @ rotation), 5)
    np.testing.assert_allclose(turned.scores, plain.scores, atol=1e-6)
    scaled = top_k(queries * np.float32(scale), candidates, 5)
    assert (scaled.indices == plain.indices).all()


@pytest.mark.parametrize("way", WAYS)
def test_a_constant_model_takes_the_first(way: dict[str, Any]) -> None:
    vectors = np.full((400, 8), 8**-0.5, np.float32)
    assert (top_k(vectors, vectors, 6, **way).indices == np.arange(6)).all()
    forward, backward = nearest_both(vectors[:50], vectors, 6, **way)
    assert (forward.indices == np.arange(6)).all()
    assert (backward.indices == np.arange(6)).all()


def test_candidates_may_be_mapped_from_a_file_in_half_precision(tmp_path: Path) -> None:
    queries, candidates = draw(3, 20, 500)
    stored = np.memmap(tmp_path / "candidates", np.float16, "w+", shape=candidates.shape)
    stored[:] = candidates
    expected = brute_force(queries, np.asarray(stored, dtype=np.float32), 10)
    assert same(top_k(queries, stored, 10), expected)
    assert same(nearest_both(queries, stored, 10)[0], expected)


def test_no_queries_and_no_candidates() -> None:
    queries, candidates = draw(0, 3, 4)
    assert len(top_k(queries[:0], candidates, 2).indices) == 0
    assert top_k(queries, iter([]), 2).indices.shape == (3, 0)
    assert top_k(queries, candidates[:0], 2).indices.shape == (3, 0)


def test_memory_stays_bounded() -> None:
    """Candidates that stream by are never held: 150 blocks of 1 MB, in less than 100 MB."""
    queries, block = draw(1, 100, 4096, 64)
    seen = 0

    def blocks() -> Iterator[Vectors]:
        nonlocal seen
        for number in range(150):
            seen += len(block)
            yield np.roll(block, number, axis=1)

    tracemalloc.start()
    top_k(queries, blocks(), 20)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert seen == 150 * 4096
    assert peak < 100e6


def test_bfloat16_bounds_hold() -> None:
    """Every true score lies between the bounds of its hit, whatever direction all vectors share."""
    for mean in (0.0, 0.3, 3.0):
        left, right = draw(5, 60, 200, 128, mean)
        made = tiles.TorchTiles(left, "cpu", True, (60, 200))
        hits = made.tile(slice(0, 60), made.right(right)).reaching(np.full(60, -2, np.float32), 1)
        exact = (left.astype(np.float64) @ right.astype(np.float64).T)[hits.rows, hits.columns]
        assert len(hits.rows) == 60 * 200
        assert (hits.low <= exact).all()
        assert (exact <= hits.high).all()
        assert float((hits.high - hits.low).max()) < 0.05
