"""What is measured of the ranks while a run goes on (Eq. 24 and 25).

Everything is taken over all processes, on the steps that are logged.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from .classifier import LOG_VARIANCES, GaussianMixture
from .guard import Look
from .ranks import AT_REST, PARAPHRASE, ladder

if TYPE_CHECKING:
    from .step import Candidates, Step
    from .training import Training


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
    agreed, total, golden, recognised, top, known_own = run.team.sum(torch.stack(last).float()).tolist()
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
        step.metrics |= {"golden_paraphrase": recognised / golden, "golden_retrieved": top / golden}


@torch.no_grad()
def watch_ladder(
    run: Training,
    step: Step,
    similarities: Tensor,
    ranks: Tensor,
    allowed: Tensor,
    temperatures: Tensor,
    weights: Tensor,
) -> None:
    """Adds to the metrics of a step of phase 2 what its loss asks of each rank, means over anchors that have it.

    Args:
        run: The run.
        step: The step.
        similarities: Cosines [b, C].
        ranks: By which the encoder learns, [b, C].
        allowed: Which cells count, bool [b, C].
        temperatures: Of the terms [N - 1].
        weights: Of the terms [N - 1].
    """
    if not run.watch.is_due(step):
        return
    sums = ladder(similarities, ranks, allowed, temperatures)
    rows = run.team.sum(torch.stack([sums.shares, sums.cosines, sums.steps, sums.anchors])).T.tolist()
    pulling = (weights > 1.0 - AT_REST).tolist()  # a weaker term pulls less than one of full weight does at rest
    step.metrics |= {
        "share_of_rank": [row[0] / row[3] if row[3] else None for row in rows],
        "asked_cosine": [row[1] / row[3] if row[3] else None for row in rows],
        "asked_room": sum(row[2] / row[3] for row, pulls in zip(rows, pulling, strict=True) if pulls and row[3]),
    }


@torch.no_grad()
def look_for_guard(run: Training, step: Step) -> None:
    """Looks at held-out text, on the steps at which the guard of phase 2 looks.

    Random pairs are those of its monolingual sentences, which nothing holds in place, or else of its bitexts; they
    are the same at each look, so that looks differ by what was learned alone.
    """
    if not run.guards(step):
        return
    number = run.config.ranks.number
    vectors, ids, partners = run.held_out()
    half = int((partners >= 0).sum()) // 2
    alone = slice(2 * half, None) if len(vectors) > 2 * half else slice(0, half)
    random = ids[alone] != ids[alone].unsqueeze(1)
    ranks = run.classifier.cells(vectors[alone], vectors[alone]).argmax(0)
    counts = torch.bincount(ranks[random], minlength=number).float()
    right = run.classifier.pairs(vectors[:half], vectors[half : 2 * half]).argmax(0)
    nearest = vectors[: 2 * half] @ vectors[: 2 * half].T
    nearest[:half, :half] = nearest[half:, half:] = -2.0  # sources are compared with translations
    hits = (ids[nearest.argmax(dim=1)] == ids[partners[: 2 * half]]).float()  # of equal texts, each is right
    shares = [counts / counts.sum().clamp(min=1), torch.bincount(right, minlength=number) / max(half, 1)]
    seen = run.team.sum(torch.cat([*shares, hits.mean().unsqueeze(0)])) / run.team.size  # alike everywhere
    *both, retrieved = seen.tolist()
    step.look = Look(both[:number], both[number:], retrieved, 2 * half)


@torch.no_grad()
def watch_warm_up(run: Training, step: Step, x: Tensor, y: Tensor, ranks: Iterable[tuple[Tensor, Tensor]]) -> None:
    """Adds to the metrics of a step that trains the classifier on labelled pairs.

    Args:
        run: The run.
        step: The step.
        x: Vectors of sentences [M, d].
        y: Vectors of their translations [M, d].
        ranks: What the classifier says and what is right, for translations, for random pairs (where the config has
            them) and for virtual examples.
    """
    if not run.watch.is_due(step):
        return
    judged = list(ranks)
    given, right = (torch.cat(columns) for columns in zip(*judged, strict=True))
    swapped = run.classifier.pairs(x, y).argmax(0) != run.classifier.pairs(y, x).argmax(0)
    values = [
        (given == right).float().mean(),
        (judged[0][0] == judged[0][1]).float().mean(),
        swapped.float().mean(),
    ]
    shares = torch.bincount(given, minlength=run.config.ranks.number) / len(given)
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
