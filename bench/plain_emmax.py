"""One step of EMMA-X's phase 2 as the equations read: what `pretraining.py` races XRETE's step against.

Written from the paper's equations and from nothing else. All differences of anchors and candidates are laid out
before the Gaussians see them, every sentence is padded to the longest of the batch, parameters are averaged and
optimised one after the other, and the head of masked language modelling runs on every token. It adds up the same
terms as XRETE's step with its default settings (a sentence's own key is no candidate, empty ranks are skipped, the
classifier's loss is averaged rank by rank, label smoothing 0.1): without dropout, and with no sentence twice, both
give the same losses. Everything is float32. Rank 0 is a paraphrase.

`State.published` adds three habits of the published code that the equations do not ask for.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

SMOOTHING = 0.1
MASKED_SHARE = 0.1
NOT_PREDICTED = -100
CLIP = 1.0
ATTENTION_DROPOUT = 0.1
"""Of XLM-R."""


@dataclass
class State:
    """Everything that a step changes.

    Attributes:
        encoder: A transformers encoder, gamma(x) being the first token's state on the unit sphere (Eq. 1).
        tokenizer: Its tokenizer.
        head: Its head of masked language modelling; None leaves that out.
        mu: Means of the Gaussians, [N, d].
        log_var: 2 log sigma, [N, d].
        pi: Logits of the prior, [N].
        typical: s_r, [N].
        queue: The newest keys first, [K, d].
        momentum: m of the key encoder.
        typical_momentum: epsilon of Eq. 11.
        temperatures: tau_1 to tau_{N - 1}.
        encoder_rate: Learning rate of the encoder.
        classifier_rate: Learning rate of the classifier.
        mlm_weight: Weight of masked language modelling.
        max_length: Most tokens of a sentence.
        published: Whether there is dropout in attention and in the key encoder, too, and every gradient is checked
            (torch's anomaly detection), as in the authors' code.
        keys: The key encoder, a copy of the encoder.
        optimisers: AdamW for the encoder and Adam for the classifier, a tensor at a time.
    """

    encoder: Any
    tokenizer: Any
    head: nn.Module | None
    mu: Tensor
    log_var: Tensor
    pi: Tensor
    typical: Tensor
    queue: Tensor
    momentum: float = 0.999
    typical_momentum: float = 0.999
    temperatures: tuple[float, ...] = (0.05, 0.075, 0.1)
    encoder_rate: float = 4e-5
    classifier_rate: float = 1e-3
    mlm_weight: float = 0.1
    max_length: int = 128
    published: bool = False
    keys: Any = field(init=False)
    optimisers: list[torch.optim.Optimizer] = field(init=False)

    def __post_init__(self) -> None:
        if self.published:
            for name, module in self.encoder.named_modules():
                if name.endswith("attention.self"):
                    module.dropout.p = ATTENTION_DROPOUT
        self.keys = copy.deepcopy(self.encoder).train(self.published).requires_grad_(False)
        weights = list(self.encoder.parameters())
        if self.head is not None:
            weights += [p for p in self.head.parameters() if not any(p is known for known in weights)]
        gaussians = [parameter.requires_grad_() for parameter in (self.mu, self.log_var, self.pi)]
        one_by_one = {"foreach": False, "fused": False}
        self.optimisers = [
            torch.optim.AdamW(weights, lr=self.encoder_rate, eps=1e-6, weight_decay=0.0, **one_by_one),
            torch.optim.Adam(gaussians, lr=self.classifier_rate, **one_by_one),
        ]


def plain_step(state: State, texts: list[str]) -> dict[str, float]:
    """Takes one step on sentences without translations; returns its losses."""
    with torch.autograd.set_detect_anomaly(state.published):
        return _step(state, texts)


def _step(state: State, texts: list[str]) -> dict[str, float]:
    batch = state.tokenizer(
        texts, padding=True, truncation=True, max_length=state.max_length, return_tensors="pt"
    ).to(state.queue.device)
    ids, mask = batch["input_ids"], batch["attention_mask"]
    queries = sentence_vectors(state.encoder.train(), ids, mask)
    move_average(state.keys, state.encoder, state.momentum)
    with torch.no_grad():
        keys = sentence_vectors(state.keys, ids, mask)
    candidates = torch.cat([keys, state.queue])
    allowed = torch.ones(len(queries), len(candidates), dtype=torch.bool, device=keys.device)
    allowed.fill_diagonal_(False)
    similarities = queries @ candidates.T
    log_posterior = plain_posterior(queries.detach(), candidates, state.mu, state.log_var, state.pi)
    by_classifier = log_posterior.argmax(dim=2)  # Eq. 9
    by_encoder = (similarities.detach().unsqueeze(2) - state.typical).abs().argmin(dim=2)  # Eq. 10
    losses = {
        "encoder": ranking_info_nce(similarities, by_classifier, allowed, state.temperatures),
        "classifier": classifier_loss(log_posterior, by_encoder, allowed),
    }
    total = losses["encoder"] + losses["classifier"]
    if state.head is not None:
        losses["mlm"] = masked_language_loss(state.encoder, state.head, state.tokenizer, ids, mask)
        total = total + state.mlm_weight * losses["mlm"]
    total.backward()
    for optimiser in state.optimisers:
        for group in optimiser.param_groups:
            nn.utils.clip_grad_norm_(group["params"], CLIP, foreach=False)
        optimiser.step()
        optimiser.zero_grad()
    with torch.no_grad():
        for rank in range(len(state.typical)):  # Eq. 11
            chosen = similarities[allowed & (by_classifier == rank)]
            if len(chosen):
                state.typical[rank] *= state.typical_momentum
                state.typical[rank] += (1 - state.typical_momentum) * chosen.mean()
        state.queue = candidates[: len(state.queue)]
    return {name: loss.item() for name, loss in losses.items()}


def sentence_vectors(encoder: Any, ids: Tensor, mask: Tensor) -> Tensor:
    """Returns gamma(x) (Eq. 1), [B, d]."""
    states = encoder(input_ids=ids, attention_mask=mask).last_hidden_state
    return functional.normalize(states[:, 0], dim=1)


def move_average(keys: nn.Module, encoder: nn.Module, momentum: float) -> None:
    """Moves the key encoder, Theta_k <- m Theta_k + (1 - m) Theta_q."""
    for key, query in zip(keys.parameters(), encoder.parameters(), strict=True):
        key.data = momentum * key.data + (1 - momentum) * query.data


def plain_posterior(x: Tensor, y: Tensor, mu: Tensor, log_var: Tensor, pi: Tensor) -> Tensor:
    """Returns log P(r | x_i - y_k) of diagonal Gaussians and a prior (Eq. 5, 19), [B, K, N].

    Args:
        x: Anchors, [B, d].
        y: Candidates, [K, d].
        mu: Means, [N, d].
        log_var: 2 log sigma, [N, d].
        pi: Logits of the prior, [N].
    """
    difference = x[:, None, None, :] - y[None, :, None, :]  # [B, K, 1, d]
    standard = (difference - mu) / torch.exp(0.5 * log_var)  # [B, K, N, d]
    log_density = -0.5 * (standard**2 + log_var + math.log(2 * math.pi)).sum(dim=3)
    return torch.log_softmax(torch.log_softmax(pi, dim=0) + log_density, dim=2)


def ranking_info_nce(
    similarities: Tensor, ranks: Tensor, allowed: Tensor, temperatures: tuple[float, ...]
) -> Tensor:
    """Returns the loss of M (Eq. 7, 20): summed over ranks, each the mean over anchors that have such candidates.

    Args:
        similarities: [B, C].
        ranks: c_G, [B, C].
        allowed: Which candidates count, [B, C].
        temperatures: tau_1 to tau_{N - 1}.
    """
    loss = similarities.new_zeros(())
    for rank, temperature in enumerate(temperatures):
        positive, among = allowed & (ranks == rank), allowed & (ranks >= rank)
        rows = positive.any(dim=1)
        if rows.any():
            scaled = similarities[rows] / temperature
            above = torch.logsumexp(scaled.masked_fill(~positive[rows], -math.inf), dim=1)
            below = torch.logsumexp(scaled.masked_fill(~among[rows], -math.inf), dim=1)
            loss = loss + (below - above).mean()
    return loss


def classifier_loss(log_posterior: Tensor, ranks: Tensor, allowed: Tensor) -> Tensor:
    """Returns the loss of G (Eq. 6), the mean over ranks of the mean over the pairs of a rank.

    Args:
        log_posterior: [B, C, N].
        ranks: c_M, [B, C].
        allowed: Which pairs count, [B, C].
    """
    terms = functional.nll_loss(log_posterior.flatten(0, 1), ranks.flatten(), reduction="none").view_as(ranks)
    terms = (1 - SMOOTHING) * terms - SMOOTHING * log_posterior.mean(dim=2)
    ranked = [terms[allowed & (ranks == rank)] for rank in range(log_posterior.shape[2])]
    return torch.stack([chosen.mean() for chosen in ranked if len(chosen)]).mean()


def masked_language_loss(encoder: Any, head: nn.Module, tokenizer: Any, ids: Tensor, mask: Tensor) -> Tensor:
    """Returns the mean cross-entropy of masked tokens: 80 % masked, 10 % random, 10 % as they were."""
    special = torch.isin(ids, torch.tensor(tokenizer.all_special_ids, device=ids.device))
    chosen = (torch.rand(ids.shape, device=ids.device) < MASKED_SHARE) & ~special
    draw = torch.rand(ids.shape, device=ids.device)
    corrupted = torch.where(chosen & (draw < 0.8), tokenizer.mask_token_id, ids)
    anything = torch.randint(len(tokenizer), ids.shape, device=ids.device)
    corrupted = torch.where(chosen & (draw >= 0.8) & (draw < 0.9), anything, corrupted)
    logits = head(encoder(input_ids=corrupted, attention_mask=mask).last_hidden_state)  # [B, length, vocabulary]
    targets = torch.where(chosen, ids, NOT_PREDICTED)
    return functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=NOT_PREDICTED)
