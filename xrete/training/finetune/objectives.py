"""The objectives of fine-tuning, one row each: how texts are read, which head there is, what the loss compares."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, distributed
from torch.nn import functional

from xrete.task import Objective
from xrete.training.team import Team

SHARPNESS = 20.0
"""What cosines are multiplied by, with "cosent" (sentence-transformers' `CoSENTLoss`)."""

Loss = Callable[[Tensor, Tensor, Team], Tensor]
"""Takes scores and targets of this process's items, and the team; returns the loss summed over them, a scalar."""


@dataclass(frozen=True, kw_only=True)
class ObjectiveSpec:
    """What training by one objective means.

    Attributes:
        reads: How the transformer reads an item's texts. "together": in one sequence. "alone": each for itself,
            first and second texts in one batch. "apart": each for itself, first texts in one batch and second texts
            in another, since they may be of unlike length.
        head: What is trained on top. "token": the head that the stage names, on the first token's state.
            "comparison": a linear layer on [u; v; |u-v|] of the two texts' vectors. "scale": a factor of cosines.
            None: nothing, cosines are the scores.
        scores: What comes out. "classes": [items, classes or labels]. "alternatives": [items, alternatives].
            "number": [items]. "candidates": [items, second texts of the batch], no score of an item alone.
        target: What the shape gives. "place": of the right class or alternative, int64 [items]. "flags": which
            labels are right, bool [items, labels]. "number": float64 [items]. "partner": float64 [items], not read;
            the right one is the item's own second text.
        loss: What is made small.
        whole_batch: Items are held against each other, so that a batch cannot be read in parts.
    """

    reads: Literal["together", "alone", "apart"]
    head: Literal["token", "comparison", "scale"] | None
    scores: Literal["classes", "alternatives", "number", "candidates"]
    target: Literal["place", "flags", "number", "partner"]
    loss: Loss
    whole_batch: bool = False

    @property
    def trains_encoder(self) -> bool:
        """Whether each text is read for itself, so that the model gives vectors of texts afterwards."""
        return self.reads != "together"

    @property
    def scores_items(self) -> bool:
        """Whether items have scores that a metric can judge; else the loss on held-out data stands for it."""
        return self.scores != "candidates"

    @property
    def target_dtype(self) -> torch.dtype:
        """What targets are on the device."""
        return torch.long if self.target == "place" else torch.float32


def cross_entropy(scores: Tensor, targets: Tensor, team: Team) -> Tensor:
    """Returns the sum of the cross-entropies of the right ones.

    Args:
        scores: Logits [items, n].
        targets: Places of the right ones, int64 [items].
        team: Not asked.
    """
    return functional.cross_entropy(scores, targets, reduction="sum")


def binary_cross_entropy(scores: Tensor, targets: Tensor, team: Team) -> Tensor:
    """Returns the sum over items of the mean over labels, which the reference takes, too.

    Args:
        scores: Logits [items, labels].
        targets: 1 for right labels, else 0, float32 [items, labels].
        team: Not asked.
    """
    total = functional.binary_cross_entropy_with_logits(scores, targets, reduction="sum")
    return total / targets.shape[1]


def squared_error(scores: Tensor, targets: Tensor, team: Team) -> Tensor:
    """Returns the sum of the squared errors.

    Args:
        scores: Predictions or cosines [items].
        targets: What they should be, float32 [items].
        team: Not asked.
    """
    return functional.mse_loss(scores, targets, reduction="sum")


def cosent(scores: Tensor, targets: Tensor, team: Team) -> Tensor:
    """Returns how much nearer pairs are than others that should be nearer than they (CoSENT, Huang et al. 2024).

    Args:
        scores: Cosines of this process's pairs [items].
        targets: What orders them [items].
        team: The processes; the pairs of all of them are held against each other.

    Returns:
        The loss of the whole batch, a scalar, times the number of this process's pairs.
    """
    pairs, _ = gather_with_gradients(torch.stack([scores, targets], dim=1), team)
    cosines_of_all, targets_of_all = pairs.unbind(1)
    excess = SHARPNESS * (cosines_of_all - cosines_of_all[:, None])[targets_of_all[:, None] > targets_of_all]
    return len(targets) * torch.logsumexp(torch.cat([excess.new_zeros(1), excess]), dim=0)


def gather_with_gradients(rows: Tensor, team: Team) -> tuple[Tensor, int]:
    """Returns the rows of all processes [N, d], with gradients for all of them, and the place of the first own one.

    Args:
        rows: This process's [n, d]; their number may differ between processes.
        team: The processes.
    """
    if team.size == 1:
        return rows, 0
    from torch.distributed.nn.functional import all_gather

    counts = [torch.zeros(1, dtype=torch.long, device=rows.device) for _ in range(team.size)]
    distributed.all_gather(counts, torch.tensor([len(rows)], device=rows.device))
    sizes = [int(count) for count in counts]
    padded = functional.pad(rows, (0, 0, 0, max(sizes) - len(rows)))
    parts: list[Tensor] = list(all_gather(padded))
    gathered = torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])
    return gathered, sum(sizes[: team.rank])


OBJECTIVES: Mapping[Objective, ObjectiveSpec] = {
    "classes": ObjectiveSpec(
        reads="together", head="token", scores="classes", target="place", loss=cross_entropy
    ),
    "labels": ObjectiveSpec(
        reads="together", head="token", scores="classes", target="flags", loss=binary_cross_entropy
    ),
    "choices": ObjectiveSpec(
        reads="together", head="token", scores="alternatives", target="place", loss=cross_entropy
    ),
    "score": ObjectiveSpec(
        reads="together", head="token", scores="number", target="number", loss=squared_error
    ),
    "cosine": ObjectiveSpec(
        reads="alone", head=None, scores="number", target="number", loss=squared_error
    ),
    "cosent": ObjectiveSpec(
        reads="alone", head=None, scores="number", target="number", loss=cosent, whole_batch=True
    ),
    "softmax": ObjectiveSpec(  # Sentence-BERT
        reads="alone", head="comparison", scores="classes", target="place", loss=cross_entropy
    ),
    "in-batch": ObjectiveSpec(
        reads="apart", head="scale", scores="candidates", target="partner", loss=cross_entropy, whole_batch=True
    ),
}  # fmt: skip
"""By the strings that recipes and users write."""
