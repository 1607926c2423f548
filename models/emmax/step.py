"""What a step is, and what its anchors are compared with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from .batches import Share
from .gradient_cache import GradientCache
from .guard import Look


@dataclass
class Step:
    """One step of a phase.

    Attributes:
        phase: Its name.
        number: From 0.
        share: The batch, and this process's rows of it.
        rows: Places of this process's sentences in the global batch, int64 [b].
        partners: Places of their translations, -1 where there is none, int64 [b].
        ids: Digests of all sentences, int64 [B].
        generator: For draws about the global batch; the same on every process.
        seed: For everything else of this process.
        metrics: What is logged.
        gradient_cache: The encoder's passes, once they have run; `Training.learn` goes backwards through them.
        look: What the guard of phase 2 sees, on the steps at which it looks.
    """

    phase: str
    number: int
    share: Share
    rows: Tensor
    partners: Tensor
    ids: Tensor
    generator: torch.Generator
    seed: int
    metrics: dict[str, Any] = field(default_factory=dict)
    gradient_cache: GradientCache | None = None
    look: Look | None = None


@dataclass(frozen=True)
class Candidates:
    """What this process's anchors are compared with: the keys of the batch, then the queue's.

    Attributes:
        vectors: float32 [C, d].
        allowed: Which of them count for each anchor, bool [b, C]; never its own key.
        own: Each anchor's own key, bool [b, C].
    """

    vectors: Tensor
    allowed: Tensor
    own: Tensor
