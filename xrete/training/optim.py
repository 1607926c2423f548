"""Learning rates, seeds and weight decay: the same for fine-tuning and for EMMA-X."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable
from typing import Any, Literal

from torch import nn

Schedule = Literal["linear", "cosine", "constant"]


def lr_factor(step: int, steps: int, schedule: Schedule, warmup: float) -> float:
    """Returns the share of the peak learning rate at a step: a linear rise, then the schedule's fall to 0.

    Args:
        step: From 0.
        steps: How many there are.
        schedule: How the rate falls; "constant" stays at the peak.
        warmup: Share of the steps in which it rises.
    """
    rise = math.ceil(warmup * steps)
    if step < rise:
        return (step + 1) / rise
    left = (steps - step) / max(1, steps - rise)
    return {"constant": 1.0, "linear": left, "cosine": 0.5 * (1.0 - math.cos(math.pi * left))}[schedule]


def seed_of(*parts: object) -> int:
    """Returns a seed of 63 bits that depends on all parts."""
    return int.from_bytes(hashlib.blake2b(repr(parts).encode(), digest_size=8).digest()) >> 1


def decay_groups(parameters: Iterable[nn.Parameter], weight_decay: float) -> list[dict[str, Any]]:
    """Returns parameter groups of an optimiser: matrices decay, biases and normalisation (vectors) do not."""
    learning = [parameter for parameter in parameters if parameter.requires_grad]
    return [
        {"params": [parameter for parameter in learning if parameter.ndim >= 2], "weight_decay": weight_decay},
        {"params": [parameter for parameter in learning if parameter.ndim < 2], "weight_decay": 0.0},
    ]
