"""The three losses: InfoNCE (Eq. 2), ranking InfoNCE (Eq. 7, 20), cross-entropy of the classifier (Eq. 4, 6).

Each returns sums and counts rather than means, so that a mean over all processes can be taken exactly.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

FAR = -1e30
"""Stands for minus infinity: a row without any cell then has a finite value, and gradient 0, not nan."""

OFFICIAL_EPSILON = 1e-7


def info_nce(similarities: Tensor, positives: Tensor, allowed: Tensor, temperature: float) -> Tensor:
    """InfoNCE of each anchor (Eq. 2): -log of the softmax of its positive among the allowed candidates.

    Args:
        similarities: Cosines, float32 [B, C].
        positives: Column of each anchor's positive, int64 [B].
        allowed: Which candidates count, bool [B, C]; the positive must.
        temperature: tau.

    Returns:
        float32 [B].
    """
    scaled = similarities / temperature
    positive = scaled.gather(1, positives.unsqueeze(1)).squeeze(1)
    return _logsumexp(scaled, allowed) - positive


def ranking_info_nce(
    similarities: Tensor,
    ranks: Tensor,
    allowed: Tensor,
    temperatures: Tensor,
    form: Literal["masked", "official"] = "masked",
    average: Literal["found", "all"] = "found",
) -> tuple[Tensor, Tensor]:
    """Ranking InfoNCE (Eq. 7, 20): each rank's candidates against themselves and all of higher ranks.

    For anchor i and rank r < N: P = {k : rank(i, k) = r}, D = {k : rank(i, k) >= r},
    l = logsumexp_{k in D} s_ik / tau_r - logsumexp_{k in P} s_ik / tau_r, 0 where P is empty.

    Args:
        similarities: Cosines, float32 [B, C].
        ranks: c_G, int64 [B, C], 0 is a paraphrase.
        allowed: Which candidates count, bool [B, C].
        temperatures: tau_1 to tau_{N-1}, float32 [N - 1].
        form: "official" computes what the authors' code does instead: -log of the mean probability of P, with
            1e-7 added to every column, after the row's greatest similarity is taken off, the forbidden ones'
            too; anchors without a positive have -log 1e-7 rather than 0.
        average: Over anchors that have a positive of the rank, or over all.

    Returns:
        Sums over anchors [N - 1], and how many anchors each is over [N - 1]; the loss is the sum of their ratios.
    """
    sums, counts = [], []
    for rank, temperature in enumerate(temperatures.unbind()):
        positive = allowed & (ranks == rank)
        among = allowed & (ranks >= rank)
        has_positive = positive.any(dim=1)
        if form == "official":
            terms = _official(similarities, positive, among, temperature)
        else:
            scaled = similarities / temperature
            terms = _logsumexp(scaled, among) - _logsumexp(scaled, positive)
            terms = torch.where(has_positive, terms, 0.0)
        counted = torch.ones_like(has_positive) if average == "all" else has_positive
        sums.append(torch.where(counted, terms, 0.0).sum())
        counts.append(counted.sum())
    return torch.stack(sums), torch.stack(counts).to(similarities.dtype)


def classifier_loss(scores: Tensor, ranks: Tensor, allowed: Tensor, smoothing: float) -> tuple[Tensor, Tensor]:
    """Cross-entropy of the classifier's posterior (Eq. 4, 6), by the rank that it should have said.

    Args:
        scores: Of a classifier, float32 [N, ...].
        ranks: The right ranks, int64 [...].
        allowed: Which pairs count, bool [...].
        smoothing: Label smoothing.

    Returns:
        Sums over pairs [N], and how many pairs each is over [N].
    """
    number = len(scores)
    log_posterior = torch.log_softmax(scores, dim=0)
    right = log_posterior.gather(0, ranks.unsqueeze(0)).squeeze(0)
    terms = -(1.0 - smoothing) * right
    if smoothing:
        terms = terms - smoothing * log_posterior.mean(dim=0)
    chosen = [allowed & (ranks == rank) for rank in range(number)]
    sums = torch.stack([torch.where(cells, terms, 0.0).sum() for cells in chosen])
    return sums, torch.stack([cells.sum() for cells in chosen]).to(sums.dtype)


def _logsumexp(scaled: Tensor, cells: Tensor) -> Tensor:
    return torch.logsumexp(scaled.masked_fill(~cells, FAR), dim=1)


def _official(similarities: Tensor, positive: Tensor, among: Tensor, temperature: Tensor) -> Tensor:
    greatest = similarities.detach().amax(dim=1, keepdim=True)
    weights = torch.exp((similarities - greatest) / temperature)
    total = (weights * among + OFFICIAL_EPSILON).sum(dim=1)
    hits = (weights * positive).sum(dim=1) / positive.sum(dim=1).clamp(min=1)
    return -torch.log(hits / total + OFFICIAL_EPSILON)
