"""What a run is between two steps: a value that checkpoints save and restore."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import nn

from .classifier import FullyConnected, GaussianMixture
from .config import Config
from .encoder import Query
from .folders import PHASES, Progress
from .guard import Guard
from .momentum import KeyEncoder, KeyQueue
from .ranks import TypicalSimilarity


@dataclass
class RunState:
    """The state of a run.

    Attributes:
        query: The encoder that is trained, and its head.
        keys: The momentum encoder.
        queue: The newest keys.
        classifier: G.
        typical: s_r.
        progress: The phase and step that come next.
        guard: What the guard of phase 2 remembers.
        optimisers: Those of the phase that runs, by what they train: "encoder" and "classifier".
    """

    query: Query
    keys: KeyEncoder
    queue: KeyQueue
    classifier: GaussianMixture | FullyConnected
    typical: TypicalSimilarity
    progress: Progress = field(default_factory=lambda: Progress(PHASES[0], 0, {}))
    guard: Guard = field(default_factory=Guard)
    optimisers: dict[str, torch.optim.Optimizer] = field(default_factory=dict)

    @staticmethod
    def draw(config: Config, query: Query, device: torch.device) -> RunState:
        """Makes the state that a run begins with, all of it on a device; random draws are torch's."""
        ranks, dimension = config.ranks, query.encoder.dimension
        query = query.to(device)
        classifier: GaussianMixture | FullyConnected
        keys = KeyEncoder(query.encoder, config.encoder.key_momentum, dropout=config.encoder.key_dropout)
        if ranks.classifier == "gmm":
            classifier = GaussianMixture(ranks.number, dimension, zero_means=ranks.zero_means)
        else:
            classifier = FullyConnected(ranks.number, dimension, ranks.hidden)
        typical = TypicalSimilarity(ranks.number, ranks.typical_start, ranks.typical_momentum)
        queue = KeyQueue(config.loss.queue, dimension)
        return RunState(query, keys, queue.to(device), classifier.to(device), typical.to(device))

    def modules(self) -> dict[str, nn.Module]:
        """All that a checkpoint keeps, by name."""
        return {
            "query": self.query,
            "keys": self.keys,
            "queue": self.queue,
            "classifier": self.classifier,
            "typical": self.typical,
        }

    def trained(self, name: str) -> nn.Module:
        """Returns what the optimiser of that name trains."""
        return self.query if name == "encoder" else self.classifier

    def is_past(self, phase: str) -> bool:
        """Whether a phase is done, since a later one runs."""
        return PHASES.index(phase) < PHASES.index(self.progress.phase)

    def begins(self, phase: str) -> bool:
        """Whether a phase is still to begin: no step of it, or of a later one, is done."""
        return not self.is_past(phase) and (self.progress.phase != phase or self.progress.step == 0)
