"""The ways in which phase 2 fails, noticed in its log and said once each (Eq. 24 and 25)."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from .ranks import PARAPHRASE

COLLAPSE = 0.995
"""Share of all pairs in one rank at which the classifier has collapsed; not so for the second rank of two."""
IRRELEVANT = 0.999
"""The same of the last rank, in which a sound classifier puts 99.4 % of the pairs of real text."""
OWN = 0.5
"""Share of own keys that a classifier of two ranks must call paraphrases, or else it has collapsed."""
RARE = 1e-4
"""Share of paraphrases below which phase 2 trains the lower ranks only."""
EMPTY_STEPS = 1_000
"""Steps for which a rank may stay empty."""
DRIFT = 0.5
"""How much of s_1 - s_N must be left of what phase 2 began with."""


OLD_KEYS = 0.5
"""Share of the key encoder that a phase may leave as it was at the phase's start."""
GONE = 0.01
"""The share that a momentum which fits leaves."""


def stale_keys(momentum: float, steps: int) -> str | None:
    """Returns what to say of a key encoder that lags behind for all of a phase; None where it does not."""
    left = momentum**steps
    if left <= OLD_KEYS:
        return None
    return (
        f"encoder.key_momentum = {momentum:g} leaves {left:.0%} of the old key encoder after the {steps:,} steps "
        f"of this phase, so keys lag behind; {GONE ** (1 / steps):.3g} leaves {GONE:.0%}"
    )


def _is_irrelevance(metrics: dict[str, Any]) -> bool:
    """Whether one rank has nearly all pairs by right: of two, the second, since few sentences are paraphrases.

    Then whether the classifier still tells the ranks apart shows in the one pair that is surely of the first: a
    sentence and its own key.
    """
    paraphrases, *others = metrics["ranks_classifier"]
    return len(others) == 1 and others[0] > paraphrases and metrics["own_paraphrase"] > OWN


class Alarms:
    """Notices the ways in which phase 2 fails, and says each once."""

    def __init__(self) -> None:
        self._reported: set[str] = set()
        self._empty: dict[int, int] = {}
        self._spread: float | None = None
        self._scores: list[tuple[float, float]] = []
        self._agreement = 0.0

    def look(self, number: int, metrics: dict[str, Any]) -> list[str]:
        """Returns what is new to say about a logged step of phase 2.

        Args:
            number: The step, from 0.
            metrics: Of `watch_em`.
        """
        shares, cosines, typical = metrics["ranks_classifier"], metrics["cosine"], metrics["typical"]
        self._agreement = metrics["agreement"]
        news = []
        limit = IRRELEVANT if shares[-1] == max(shares) else COLLAPSE
        if max(shares) >= limit and not _is_irrelevance(metrics):
            news.append(
                (
                    "collapse",
                    f"the classifier puts {max(shares):.1%} of all pairs into rank {shares.index(max(shares)) + 1}",
                )
            )
        for rank, share in enumerate(shares):
            since = self._empty.setdefault(rank, number) if share == 0 else self._empty.pop(rank, None)
            if share == 0 and since is not None and number - since >= EMPTY_STEPS:
                news.append((f"empty {rank}", f"rank {rank + 1} has been empty for {number - since:,} steps"))
        seen = [value for value in cosines if value is not None]
        if any(left <= right for left, right in pairwise(seen)):
            news.append(("switched", "ranks have changed places: mean cosines do not fall with the rank"))
        if shares[PARAPHRASE] < RARE and number >= EMPTY_STEPS:
            news.append(
                ("rare", f"paraphrases are {shares[PARAPHRASE]:.0e} of all pairs; em.parallel_fraction adds some")
            )
        spread = typical[0] - typical[-1]
        self._spread = spread if self._spread is None else self._spread
        if spread < DRIFT * self._spread:
            news.append(
                (
                    "drift",
                    f"typical similarities draw together: s_1 - s_N fell from {self._spread:.2f} to {spread:.2f}",
                )
            )
        asked, room = metrics.get("asked_room", 0.0), 1.0 - (cosines[-1] or 0.0)
        if asked > room:
            news.append(
                (
                    "ladder",
                    f"the temperatures ask for ranks whose cosines are {asked:.2f} apart in all, where irrelevant "
                    f"pairs leave {room:.2f}, so related sentences are driven above translations; lower "
                    "loss.rank_weight to 0.05, or else loss.low and loss.high",
                )
            )
        return [text for key, text in news if self._is_new(key)]

    def score(self, value: float) -> list[str]:
        """Returns what is new to say after a score of held-out retrieval in phase 2."""
        self._scores.append((self._agreement, value))
        last = self._scores[-3:]
        confirmed = len(last) == 3 and last[0][0] < last[1][0] < last[2][0] and last[0][1] > last[1][1] > last[2][1]
        text = "both modules agree ever more while held-out retrieval falls: they confirm each other's errors"
        return [text] if confirmed and self._is_new("confirmed") else []

    def _is_new(self, key: str) -> bool:
        new = key not in self._reported
        self._reported.add(key)
        return new
