"""The guard of phase 2: notices when classifier and encoder agree their way into false paraphrases.

Where anchors have no true paraphrase, each module may confirm the other's errors: ever more unrelated pairs are
called paraphrases, the encoder pulls them together, and both agree. Agreement does not show it; the share of
paraphrases among random pairs, and the retrieval of bitexts that no batch has had, do.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from xrete.errors import XreteError

from .config import Expectation

PAIRS, SENTENCES = 256, 512
"""Held-out bitexts, and sentences of monolingual text."""
RANDOM = 1e-3
"""Share of random pairs that may be paraphrases without anything being wrong."""
GROWTH = 4.0
"""How many times the least share so far is too many."""
MARGIN = 2.0
"""Standard errors by which retrieval must have fallen."""
LOOKS = 2
"""Looks, one after the other, that must see both."""


class RunAwayError(XreteError):
    """Phase 2 was stopped by its guard."""


@dataclass(frozen=True)
class Look:
    """What is seen of a step.

    Attributes:
        random: Share of each rank among pairs of held-out sentences.
        translations: Share of each rank among held-out bitexts.
        retrieved: Share of held-out sentences whose nearest is their translation, both ways.
        sentences: How many sentences that is a share of.
    """

    random: list[float]
    translations: list[float]
    retrieved: float
    sentences: int


@dataclass
class Guard:
    """What the guard remembers of a run, saved with it.

    Attributes:
        share: The least share of random pairs that rank 1 has had.
        best: The best retrieval so far.
        bad: Looks in a row that saw rank 1 grow and retrieval fall.
    """

    share: float | None = None
    best: float = 0.0
    bad: int = 0

    @property
    def has_tripped(self) -> bool:
        """Whether the run has run away."""
        return self.bad >= LOOKS

    def look(self, look: Look) -> None:
        """Takes a look into account."""
        share = look.random[0]
        self.share = share if self.share is None else min(share, self.share)
        self.best = max(self.best, look.retrieved)
        margin = MARGIN * math.sqrt(self.best * (1.0 - self.best) / look.sentences)
        is_bad = share > max(RANDOM, GROWTH * self.share) and look.retrieved < self.best - margin
        self.bad = self.bad + 1 if is_bad else 0

    def explain(self, look: Look, parallel_fraction: float) -> str:
        """Says what happened, and what to change."""
        usual = Expectation().parallel_fraction
        more = f"set em.parallel_fraction = {usual}" if parallel_fraction < usual else "lower em.encoder_rate"
        return (
            f"phase 2 runs away: rank 1 has grown from {self.share:.2%} to {look.random[0]:.2%} of random pairs, "
            f"and retrieval of held-out bitexts has fallen from {self.best:.1%} to {look.retrieved:.1%}: "
            f"classifier and encoder confirm each other's false paraphrases; {more}, lower em.classifier_rate, or "
            "give phase 1 more steps"
        )
