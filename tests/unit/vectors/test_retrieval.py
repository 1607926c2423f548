"""Nearest neighbours: those of exact arithmetic, whatever the blocks, the order, the rotation and the scale."""

from __future__ import annotations

import math
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from xrete.vectors.hubness import NEIGHBOURS, corrected_nearest, hubness
from xrete.vectors.search import mutual_nearest

Vectors = NDArray[np.float32]

SEEDS = st.integers(0, 2**32 - 1)
SIZES = st.integers(1, 24)
CLEAR = 1e-4
"""A margin that no rounding of float32 bridges."""


def unit(vectors: NDArray[Any]) -> Vectors:
    rows = vectors.astype(np.float64)
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


def random(seed: int, n: int, m: int, dimension: int = 8) -> tuple[Vectors, Vectors]:
    draw = np.random.default_rng(seed)
    return unit(draw.standard_normal((n, dimension))), unit(draw.standard_normal((m, dimension)))


def exact(queries: Vectors, candidates: Vectors) -> NDArray[np.float64]:
    """The products without any rounding but the last: those of two float32 numbers fit a float64."""
    return np.array([[math.fsum(q.astype(np.float64) * c.astype(np.float64)) for c in candidates] for q in queries])


def margins(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far the best of each row is ahead of the second."""
    if scores.shape[1] == 1:
        return np.full(len(scores), np.inf)
    ordered = np.sort(scores, axis=1)
    return np.asarray(ordered[:, -1] - ordered[:, -2])


@given(seed=SEEDS, n=SIZES, m=SIZES)
def test_the_nearest_are_those_of_exact_arithmetic(seed: int, n: int, m: int) -> None:
    queries, candidates = random(seed, n, m)
    scores = exact(queries, candidates)
    forward, backward = mutual_nearest(queries, candidates)
    assert forward.tolist() == scores.argmax(axis=1).tolist()
    assert backward.tolist() == scores.argmax(axis=0).tolist()
    assert forward.dtype == backward.dtype == np.int32


@given(seed=SEEDS, n=SIZES, m=SIZES, ulps=st.integers(1, 3), block=st.integers(1, 25))
def test_near_ties_are_settled_exactly_in_any_blocks(seed: int, n: int, m: int, ulps: int, block: int) -> None:
    """All candidates lie within a few roundings of one vector, where float32 products cannot tell them apart."""
    draw = np.random.default_rng(seed)
    base = unit(draw.standard_normal((1, 64)))
    spacing = np.spacing(base)
    queries = (base + spacing * draw.integers(-ulps, ulps + 1, (n, 64))).astype(np.float32)
    candidates = (base + spacing * draw.integers(-ulps, ulps + 1, (m, 64))).astype(np.float32)
    scores = exact(queries, candidates)
    forward, backward = mutual_nearest(queries, candidates, block=block)
    rounding = 1e-15  # of the float64 sums
    assert (scores[np.arange(n), forward] >= scores.max(axis=1) - rounding).all()
    assert (scores[backward, np.arange(m)] >= scores.max(axis=0) - rounding).all()
    whole = mutual_nearest(queries, candidates)
    assert forward.tolist() == whole[0].tolist()
    assert backward.tolist() == whole[1].tolist()


@given(seed=SEEDS, rows=st.lists(st.integers(0, 5), min_size=1, max_size=30), block=st.integers(1, 31))
def test_the_lowest_index_wins_among_duplicates(seed: int, rows: list[int], block: int) -> None:
    """`rows` says which of six vectors stands where, on both sides."""
    distinct = unit(np.random.default_rng(seed).standard_normal((6, 16)))
    vectors = distinct[rows]
    first = [rows.index(row) for row in rows]
    forward, backward = mutual_nearest(vectors, vectors, block=block)
    assert forward.tolist() == first
    assert backward.tolist() == first


@given(seed=SEEDS, n=SIZES, m=SIZES)
def test_reordered_sides_give_reordered_answers(seed: int, n: int, m: int) -> None:
    queries, candidates = random(seed, n, m)
    draw = np.random.default_rng(seed)
    rows, columns = draw.permutation(n), draw.permutation(m)
    forward, backward = mutual_nearest(queries, candidates)
    forward_moved, backward_moved = mutual_nearest(queries[rows], candidates[columns])
    assert columns[forward_moved].tolist() == forward[rows].tolist()
    assert rows[backward_moved].tolist() == backward[columns].tolist()


@given(seed=SEEDS, n=SIZES, m=SIZES)
def test_the_sides_may_change_places(seed: int, n: int, m: int) -> None:
    queries, candidates = random(seed, n, m)
    forward, backward = mutual_nearest(queries, candidates)
    assert [x.tolist() for x in mutual_nearest(candidates, queries)] == [backward.tolist(), forward.tolist()]


@given(seed=SEEDS, n=SIZES, m=SIZES)
def test_rotations_and_scales_change_nothing_that_is_clear(seed: int, n: int, m: int) -> None:
    queries, candidates = random(seed, n, m)
    draw = np.random.default_rng(seed)
    rotation = np.linalg.qr(draw.standard_normal((8, 8)))[0]
    moved = [unit((side @ rotation) * draw.uniform(0.01, 100, (len(side), 1))) for side in (queries, candidates)]
    scores = exact(queries, candidates)
    before, after = mutual_nearest(queries, candidates), mutual_nearest(*moved)
    clear = margins(scores) > CLEAR
    assert before[0][clear].tolist() == after[0][clear].tolist()
    clear = margins(scores.T) > CLEAR
    assert before[1][clear].tolist() == after[1][clear].tolist()


@pytest.mark.parametrize("dimension", [1, 383, 1024])
def test_blocks_do_not_matter_at_real_sizes(dimension: int) -> None:
    """Vectors of one narrow cone, as untrained encoders give them, some of them twice."""
    draw = np.random.default_rng(dimension)
    cone = unit(1 + 1e-3 * draw.standard_normal((60, dimension)))
    queries, candidates = cone[draw.integers(0, 40, 40)], cone[draw.integers(20, 60, 50)]
    whole = mutual_nearest(queries, candidates)
    for block in (1, 7, 39):
        part = mutual_nearest(queries, candidates, block=block)
        assert [x.tolist() for x in part] == [x.tolist() for x in whole]


@settings(max_examples=10)
@given(seed=SEEDS)
def test_float32_products_are_nearer_to_the_truth_than_what_counts_as_a_near_tie(seed: int) -> None:
    """Else the best candidate could be left out of what is scored again."""
    from xrete.vectors.search import NEAR_TIE

    draw = np.random.default_rng(seed)
    sides = [unit(np.abs(draw.standard_normal((10, 4096)))) for _ in range(2)]  # one sign: errors add up
    products = sides[0] @ sides[1].T
    true = sides[0].astype(np.float64) @ sides[1].T.astype(np.float64)
    assert np.abs(products - true).max() < NEAR_TIE / 2


def test_a_collapsed_model_fits_in_memory() -> None:
    """Every pair is a tie then: row 0 is nearest to all, and no array of all pairs' vectors is made."""
    vectors = np.tile(unit(np.ones((1, 256))), (400, 1))
    tracemalloc.start()
    try:
        forward, backward = mutual_nearest(vectors, vectors)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert not forward.any()
    assert not backward.any()
    assert peak < 300e6  # all pairs' vectors would be 655 MB


# Corrections for hubs.


@given(seed=SEEDS, n=SIZES, m=SIZES, k=st.integers(1, 6), cells=st.integers(1, 100))
def test_corrections_are_those_of_plain_loops_in_any_blocks(seed: int, n: int, m: int, k: int, cells: int) -> None:
    queries, candidates = random(seed, n, m)
    scores = exact(queries, candidates)
    ours = [sum(sorted(row)[-k:]) / min(k, m) for row in scores]
    theirs = [sum(sorted(column)[-k:]) / min(k, n) for column in scores.T]
    csls = np.array([[2 * scores[i, j] - ours[i] - theirs[j] for j in range(m)] for i in range(n)])
    ratio = np.array([[2 * scores[i, j] / max(ours[i] + theirs[j], 2e-6) for j in range(m)] for i in range(n)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("xrete.vectors.hubness.CELLS", cells)
        corrected = corrected_nearest(queries, candidates, k)
    assert corrected.csls.tolist() == csls.argmax(axis=1).tolist()
    assert corrected.margin.tolist() == ratio.argmax(axis=1).tolist()
    assert corrected.csls.dtype == corrected.margin.dtype == np.int32


def test_the_first_of_equal_candidates_wins_whatever_the_correction() -> None:
    queries, candidates = random(0, 12, 12)
    twice = np.concatenate([candidates, candidates])
    corrected = corrected_nearest(queries, twice)
    assert max(corrected.csls.tolist() + corrected.margin.tolist()) < len(candidates)


def test_corrections_help_where_one_candidate_is_a_hub() -> None:
    """A candidate in the direction that all queries share is nearest to most; its density gives it away."""
    draw = np.random.default_rng(0)
    own = draw.standard_normal((60, 16))
    shared = np.array([6.0] + [0.0] * 15)
    queries = unit(own + shared)
    candidates = unit(np.concatenate([own + 1.2 * draw.standard_normal((60, 16)) + shared / 2, [shared]]))
    right = np.arange(60)
    plain = (mutual_nearest(queries, candidates)[0] == right).mean()
    corrected = corrected_nearest(queries, candidates)
    assert hubness(queries, candidates) > 1.5
    assert (corrected.csls == right).mean() > plain + 0.3
    assert (corrected.margin == right).mean() > plain + 0.3
    assert NEIGHBOURS < 60
