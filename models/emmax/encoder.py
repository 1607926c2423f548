"""The cross-lingual encoder M (Eq. 1), and its head of masked language modelling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .tokens import Tokens


class SentenceEncoder(nn.Module):
    """A transformer whose pooled states, on the unit sphere, are the sentence vectors (Eq. 1).

    Attributes:
        transformer: A transformers model with `last_hidden_state`.
        pooling: "cls", "mean" or "pooler_dense".
        dense: The official code's extra linear layer, for "pooler_dense".
    """

    def __init__(self, transformer: Any, pooling: str, dtype: torch.dtype = torch.float32) -> None:
        """Wraps a transformer.

        Args:
            transformer: On its device, in float32.
            pooling: How token states become a vector.
            dtype: What autocast runs the transformer in.
        """
        super().__init__()
        self.transformer = transformer
        self.pooling = pooling
        self.dtype = dtype
        width = transformer.config.hidden_size
        self.dense = nn.Linear(width, width) if pooling == "pooler_dense" else None

    @property
    def dimension(self) -> int:
        """Size of the vectors."""
        return int(self.transformer.config.hidden_size)

    def autocast(self, device: torch.device) -> torch.autocast:
        """What the transformer, and a head on it, run in."""
        return torch.autocast(device.type, self.dtype, enabled=self.dtype != torch.float32)

    def states(self, tokens: Tokens) -> Tensor:
        """Runs the transformer; returns the states of all tokens, [n, length, d], or packed [1, tokens, d]."""
        if self.training:
            seed_dropout(tokens)
        with self.autocast(tokens.ids.device):
            states: Tensor = self.transformer(**tokens.inputs()).last_hidden_state
        return states

    def forward(self, groups: Sequence[Tokens]) -> Tensor:
        """Encodes groups of sentences.

        Returns:
            Unit vectors, float32 [n, d], group after group.
        """
        return nn.functional.normalize(torch.cat([self._pool(group) for group in groups]), dim=-1)

    def _pool(self, tokens: Tokens) -> Tensor:
        states = self.states(tokens)
        if self.pooling == "mean":
            return tokens.mean(states)
        first = tokens.first(states)
        if self.dense is None:
            return first.float()
        with self.autocast(first.device):
            pooled = self.transformer.pooler(first.unsqueeze(1))
        projected: Tensor = self.dense(pooled.float())
        return projected


def seed_dropout(tokens: Tokens) -> None:
    """Seeds one device's generator: `torch.manual_seed` sees to all kinds of devices, which takes 1 ms."""
    match tokens.ids.device.type:
        case "cpu":
            torch.default_generator.manual_seed(tokens.seed)
        case "cuda":
            with torch.cuda.device(tokens.ids.device):  # which need not be the current one
                torch.cuda.manual_seed(tokens.seed)
        case _:
            torch.manual_seed(tokens.seed)


class Query(nn.Module):
    """What is trained by the encoder's optimiser: the encoder, and the head of masked language modelling if any.

    One forward does both, so that gradients are exchanged between processes once.
    """

    def __init__(self, encoder: SentenceEncoder, head: nn.Module | None) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head

    def use(self, *, vectors: bool, head: bool) -> None:
        """Lets only those parts learn that a phase's losses reach.

        Args:
            vectors: Whether there is a loss on sentence vectors.
            head: Whether there is one on hidden tokens.
        """
        pooler = getattr(self.encoder.transformer, "pooler", None)
        shared = {id(parameter) for parameter in self.encoder.parameters()}  # such as tied embeddings
        for part, used in ((self.encoder.dense, vectors), (pooler, vectors), (self.head, head)):
            for parameter in part.parameters() if part is not None else ():
                parameter.requires_grad_(used or (part is self.head and id(parameter) in shared))

    def forward(self, groups: Sequence[Tokens], masked: Sequence[Masked] = ()) -> tuple[Tensor, Tensor]:
        """Encodes sentences, and predicts the masked tokens of corrupted ones.

        Returns:
            Unit vectors [n, d], and the sum of the cross-entropies of all masked tokens.
        """
        device = self.encoder.transformer.device
        vectors = self.encoder(groups) if groups else torch.zeros(0, self.encoder.dimension, device=device)
        return vectors, self._predict(masked) if masked else torch.zeros((), device=device)

    def _predict(self, masked: Sequence[Masked]) -> Tensor:
        """Sums over masked tokens only: a head over all tokens of a large vocabulary would be most of the step."""
        losses = []
        for corrupted in masked:
            assert self.head is not None
            states = self.encoder.states(corrupted.tokens)
            with self.encoder.autocast(states.device):
                logits = self.head(states.flatten(0, 1)[corrupted.places])
            losses.append(
                nn.functional.cross_entropy(
                    logits.float(), corrupted.targets, label_smoothing=corrupted.smoothing, reduction="sum"
                )
            )
        return torch.stack(losses).sum()


@dataclass(frozen=True)
class Masked:
    """A group whose tokens were corrupted.

    Attributes:
        tokens: The group, as it is read.
        places: Which states the predicted tokens have, numbered through all rows, int64 [m].
        targets: Their right ids, int64 [m].
        smoothing: Label smoothing.
    """

    tokens: Tokens
    places: Tensor
    targets: Tensor
    smoothing: float
