"""Semantic ranks: their order, virtual examples between them (Eq. 3), and typical similarities (Eq. 10, 11).

Inside XRETE rank 0 is a paraphrase and rank N - 1 is irrelevant. The paper counts the same order from 1; the
official code counts from 0 the other way round. Mixing them up inverts the supervision without any error.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

ORDER = "paraphrase_first"
"""Written into every checkpoint."""

PARAPHRASE = 0

AT_REST = 0.9
"""Share of the softmax that a rank's candidates have where its term of ranking InfoNCE counts as at rest."""


def virtual_ranks(shares: Tensor, number: int, labels: Literal["ceil", "quantile"]) -> Tensor:
    """Returns the rank of virtual examples (below Eq. 3).

    Args:
        shares: lambda, the share of the unrelated sentence, in [0, 1], any shape.
        number: N.
        labels: "ceil" is the paper's r = ceil(1 + (N - 1) lambda), whose rank 1 only lambda = 0 has; "quantile"
            cuts [0, 1] into N equal parts.

    Returns:
        Ranks from 0, int64, of the same shape.
    """
    if labels == "ceil":
        return torch.ceil((number - 1) * shares).long()
    return (number * shares).long().clamp(max=number - 1)


def virtual_examples(y: Tensor, other: Tensor, shares: Tensor, *, renormalise: bool) -> Tensor:
    """Mixes translations with unrelated sentences: (1 - lambda) y + lambda y' (Eq. 3).

    Args:
        y: Vectors of translations, [..., d].
        other: Vectors of unrelated sentences, [..., d].
        shares: lambda, [...].
        renormalise: Put the result on the unit sphere.
    """
    mixed = torch.lerp(y, other, shares.unsqueeze(-1))
    return nn.functional.normalize(mixed, dim=-1) if renormalise else mixed


def temperatures(low: float, high: float, number: int) -> Tensor:
    """Returns tau_1 < ... < tau_{N-1} of ranking InfoNCE, float32 [N - 1], linear from `low` to `high`.

    Of two ranks, the one temperature is `low`.
    """
    return torch.linspace(low, high, number - 1)


def rank_weights(weight: float, number: int) -> Tensor:
    """Returns the weights of the terms of ranking InfoNCE, float32 [N - 1]: 1, and `weight` from rank 2 on."""
    weights = torch.full((number - 1,), weight)
    weights[PARAPHRASE] = 1.0
    return weights


def paraphrase_odds(scores: Tensor, known: Tensor, allowed: Tensor) -> Tensor:
    """Returns how likely two sentences are paraphrases to the classifier, log p / (1 - p), float32 [b, C].

    Args:
        scores: Of the classifier, float32 [N, b, C].
        known: Cells that are given as paraphrases, bool [b, C]: likelier than any other.
        allowed: Which candidates count, bool [b, C]: the others are less likely than any.
    """
    odds = scores[PARAPHRASE] - torch.logsumexp(torch.cat([scores[:PARAPHRASE], scores[PARAPHRASE + 1 :]]), dim=0)
    return odds.masked_fill(known, torch.inf).masked_fill(~allowed, -torch.inf)


@dataclass(frozen=True)
class Ladder:
    """What ranking InfoNCE asks of the cosines of each rank, summed over anchors that have a candidate of it.

    Attributes:
        shares: Q_r, how much of the softmax over ranks r and up the candidates of rank r have, float32 [N - 1].
        cosines: The cosine of all of them at which the term comes to rest, float32 [N - 1].
        steps: How far that is above where the others would be if all were alike, float32 [N - 1].
        anchors: How many anchors each is summed over, float32 [N - 1].
    """

    shares: Tensor
    cosines: Tensor
    steps: Tensor
    anchors: Tensor


def ladder(similarities: Tensor, ranks: Tensor, allowed: Tensor, temperatures: Tensor) -> Ladder:
    """Returns what the terms of ranking InfoNCE ask for.

    The term of rank r pulls its candidates by 1 - Q_r, and so comes to rest, where Q_r is `AT_REST`, at

        s_r = tau_r (log(Z_r / n_r) + log(Q / (1 - Q)))    Z_r = sum of exp(s / tau_r) over those of higher ranks

    Were those all alike, that would be tau_r (log(n_{>r} / n_r) + log(Q / (1 - Q))) above them (`steps`). One rank
    rests upon the next, so that all steps together must fit between s_N and 1.

    Args:
        similarities: Cosines [b, C].
        ranks: c_G [b, C].
        allowed: Which candidates count, bool [b, C].
        temperatures: tau_1 to tau_{N-1}, [N - 1].
    """
    columns, logit = [], math.log(AT_REST / (1.0 - AT_REST))
    for rank, temperature in enumerate(temperatures):
        positive, others = allowed & (ranks == rank), allowed & (ranks > rank)
        count, count_others = positive.sum(dim=1), others.sum(dim=1)
        scaled = similarities / temperature
        near, far = (torch.logsumexp(scaled.masked_fill(~cells, -1e30), dim=1) for cells in (positive, others))
        cosine = temperature * (far - torch.log(count.clamp(min=1)) + logit)
        step = temperature * (torch.log(count_others.clamp(min=1) / count.clamp(min=1)) + logit)
        values = torch.stack([torch.sigmoid(near - far), cosine, step, torch.ones_like(near)])
        columns.append(torch.where((count > 0) & (count_others > 0), values, 0.0).sum(dim=1))
    return Ladder(*torch.stack(columns, dim=1))


class TypicalSimilarity(nn.Module):
    """The moving mean similarity s_r of each rank, and the encoder's own opinion c_M of a pair's rank.

    Attributes:
        values: s, float32 [N]; in the order of ranks, so it should fall.
        known: Which of them have had data, bool [N].
    """

    values: Tensor
    known: Tensor

    def __init__(self, number: int, start: Literal["data", "linear", "zeros"], momentum: float) -> None:
        """Starts them.

        Args:
            number: N.
            start: "linear" is (N - r + 1) / N in the paper's r, whose printed r / N would call a cosine of 1
                irrelevant; "zeros" the official code's; "data" waits for the first mean of each rank.
            momentum: epsilon of Eq. 11.
        """
        super().__init__()
        values = torch.arange(number, 0, -1) / number if start == "linear" else torch.zeros(number)
        self.register_buffer("values", values)
        self.register_buffer("known", torch.full((number,), start != "data"))
        self.momentum = momentum

    def ranks(self, similarities: Tensor) -> Tensor:
        """Returns c_M, the rank whose typical similarity is nearest (Eq. 10); of two equally near, the lower.

        Args:
            similarities: Cosines [b, C].

        Returns:
            Ranks from 0, int64 [b, C].
        """
        nearest = (similarities - self.values[0]).abs()
        ranks = torch.zeros_like(similarities, dtype=torch.long)
        for rank, value in enumerate(self.values[1:].unbind(), start=1):
            distance = (similarities - value).abs()
            closer = distance < nearest
            nearest = torch.where(closer, distance, nearest)
            ranks.masked_fill_(closer, rank)
        return ranks

    @torch.no_grad()
    def update(self, sums: Tensor, counts: Tensor) -> None:
        """Moves s_r towards this step's mean similarity of rank r (Eq. 11), once a step; empty ranks stay.

        Args:
            sums: Sum of the similarities of each rank, over all processes, [N].
            counts: Number of pairs of each rank, over all processes, [N].
        """
        seen = counts > 0
        means = sums / counts.clamp(min=1)
        moved = torch.lerp(means, self.values, self.momentum)
        self.values.copy_(torch.where(seen, torch.where(self.known, moved, means), self.values))
        self.known |= seen

    @torch.no_grad()
    def restart(self, sums: Tensor, counts: Tensor) -> None:
        """Starts again from these means; ranks without a pair keep what they have.

        Args:
            sums: As in `update`, [N].
            counts: As in `update`, [N].
        """
        self.known &= counts <= 0
        self.update(sums, counts)

    @property
    def falls(self) -> bool:
        """Whether s_1 > s_2 > ... > s_N, without which c_M means nothing."""
        return bool((self.values.diff() < 0).all())


def sums_by_rank(similarities: Tensor, ranks: Tensor, allowed: Tensor, number: int) -> tuple[Tensor, Tensor]:
    """Adds up the similarities of the allowed cells of each rank, and counts them; both float32 [N].

    Args:
        similarities: Cosines [b, C], or [M].
        ranks: Of the same cells, int64 [b, C], or [M].
        allowed: Which cells count, bool [b, C], or [M].
        number: N.
    """
    chosen = [allowed & (ranks == rank) for rank in range(number)]
    sums = torch.stack([torch.where(cells, similarities, 0.0).sum() for cells in chosen])
    counts = torch.stack([cells.sum() for cells in chosen])
    return sums, counts.to(sums.dtype)
