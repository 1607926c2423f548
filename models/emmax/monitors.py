"""What is measured of the ranks while a run goes on, and the failures that it shows (Eq. 24 and 25).

Everything is taken over all processes, on the steps that are logged.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from .classifier import LOG_VARIANCES, GaussianMixture
from .ranks import PARAPHRASE

if TYPE_CHECKING:
    from .training import Candidates, Step, Training

COLLAPSE = 0.995
"""Share of all pairs in one rank at which the classifier has collapsed; not so for the second rank of two."""
OWN = 0.5
"""Share of own keys that a classifier of two ranks must call paraphrases, or else it has collapsed."""
RARE = 1e-4
"""Share of paraphrases below which phase 2 trains the lower ranks only."""
EMPTY_STEPS = 1_000
"""Steps for which a rank may stay empty."""
DRIFT = 0.5
"""How much of s_1 - s_N must be left of what phase 2 began with."""


@torch.no_grad()
def watch_contrast(run: Training, step: Step, similarities: Tensor, allowed: Tensor) -> None:
    """Adds to the metrics of phase 1a: the share of sentences whose nearest candidate is their translation.

    Args:
        run: The run.
        step: The step.
        similarities: Cosines [b, C].
        allowed: Which candidates count, bool [b, C].
    """
    if run.watch.is_due(step):
        nearest = similarities.masked_fill(~allowed, -2.0).argmax(dim=1)
        hits = run.team.sum((nearest == step.partners).float().mean())
        step.metrics["retrieved"] = hits.item() / run.team.size


@torch.no_grad()
def watch_em(
    run: Training,
    step: Step,
    similarities: Tensor,
    by_classifier: Tensor,
    by_encoder: Tensor,
    candidates: Candidates,
    known: Tensor,
) -> None:
    """Adds to the metrics of a step of phase 2, before the ranks that were given.

    Args:
        run: The run.
        step: The step.
        similarities: Cosines [b, C].
        by_classifier: c_G [b, C].
        by_encoder: c_M [b, C].
        candidates: Which cells count, and which are own keys.
        known: Cells whose rank is given, bool [b, C].
    """
    if not run.watch.is_due(step):
        return
    number, compared, own = run.config.ranks.number, candidates.allowed, candidates.own
    distances = (2.0 - 2.0 * similarities).clamp(min=0).sqrt()
    rows: list[Tensor] = []
    for rank in range(number):
        cells = compared & (by_classifier == rank)
        rows.append(
            torch.stack(
                [
                    cells.sum(),
                    (compared & (by_encoder == rank)).sum(),
                    torch.where(cells, similarities, 0.0).sum(),
                    torch.where(cells, distances, 0.0).sum(),
                    cells.any(dim=1).sum(),
                ]
            )
        )
    given = known & compared
    agreeing = (compared & (by_classifier == by_encoder)).sum()
    nearest = similarities.masked_fill(~compared, -2.0).argmax(dim=1)
    hits = given.gather(1, nearest.unsqueeze(1)).sum()
    paraphrases = by_classifier == PARAPHRASE
    last = [agreeing, compared.sum(), given.sum(), (given & paraphrases).sum(), hits, (own & paraphrases).sum()]
    ranks = run.team.sum(torch.stack(rows).float()).tolist()
    agreed, total, golden, found, top, known_own = run.team.sum(torch.stack(last).float()).tolist()
    total = total or 1.0  # nothing is compared with a queue that is still empty
    anchors = len(similarities) * run.team.size
    step.metrics |= {
        "ranks_classifier": [row[0] / total for row in ranks],
        "ranks_encoder": [row[1] / total for row in ranks],
        "agreement": agreed / total,
        "cosine": [row[2] / row[0] if row[0] else None for row in ranks],
        "distance": [row[3] / row[0] if row[0] else None for row in ranks],
        "anchors": [row[4] / anchors for row in ranks],
        "own_paraphrase": known_own / anchors,
        "typical": run.typical.values.tolist(),
        **_widths(run),
    }
    if golden:
        step.metrics |= {"golden_paraphrase": found / golden, "golden_retrieved": top / golden}


@torch.no_grad()
def watch_warm_up(run: Training, step: Step, x: Tensor, y: Tensor, found: Iterable[tuple[Tensor, Tensor]]) -> None:
    """Adds to the metrics of a step that trains the classifier on labelled pairs.

    Args:
        run: The run.
        step: The step.
        x: Vectors of sentences [M, d].
        y: Vectors of their translations [M, d].
        found: What the classifier said and what is right, for translations, for random pairs (where the config has
            them) and for virtual examples.
    """
    if not run.watch.is_due(step):
        return
    judged = list(found)
    said, right = (torch.cat(columns) for columns in zip(*judged, strict=True))
    swapped = run.classifier.pairs(x, y).argmax(0) != run.classifier.pairs(y, x).argmax(0)
    values = [(said == right).float().mean(), (judged[0][0] == judged[0][1]).float().mean(), swapped.float().mean()]
    shares = torch.bincount(said, minlength=run.config.ranks.number) / len(said)
    means = (run.team.sum(torch.cat([torch.stack(values), shares])) / run.team.size).tolist()
    step.metrics |= {
        "accuracy": means[0],
        "translations_found": means[1],
        "changed_by_order": means[2],
        "ranks_classifier": means[3:],
        "typical": run.typical.values.tolist(),
        **_widths(run),
    }


def _widths(run: Training) -> dict[str, Any]:
    """The mixture's priors, and the least, middle and greatest log variance of each rank."""
    if not isinstance(run.classifier, GaussianMixture):
        return {}
    widths = run.classifier.log_variance.clamp(*LOG_VARIANCES)
    spread = torch.stack([widths.amin(1), widths.median(1).values, widths.amax(1)], dim=1)
    return {"prior": torch.softmax(run.classifier.prior, 0).tolist(), "log_variance": spread.tolist()}


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
        self._said: set[str] = set()
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
        if max(shares) > COLLAPSE and not _is_irrelevance(metrics):
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
        return [text for key, text in news if self._is_new(key)]

    def score(self, value: float) -> list[str]:
        """Returns what is new to say after a score of held-out retrieval in phase 2."""
        self._scores.append((self._agreement, value))
        last = self._scores[-3:]
        confirmed = len(last) == 3 and last[0][0] < last[1][0] < last[2][0] and last[0][1] > last[1][1] > last[2][1]
        text = "both modules agree ever more while held-out retrieval falls: they confirm each other's errors"
        return [text] if confirmed and self._is_new("confirmed") else []

    def _is_new(self, key: str) -> bool:
        new = key not in self._said
        self._said.add(key)
        return new
