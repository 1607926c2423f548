"""Where the proofs of `tests/gpu` compute. Without a GPU the CPU stands in, so that the proofs are rehearsed."""

from __future__ import annotations

import pytest


@pytest.fixture
def device() -> str:
    """Where things are computed that are held against the CPU."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


@pytest.fixture
def needs_gpu(device: str) -> None:
    """Skips what means nothing on a CPU."""
    if device == "cpu":
        pytest.skip("no CUDA device")
