"""Shorter vectors of the same model (Kusupati et al. 2022, Matryoshka Representation Learning)."""

from __future__ import annotations

from torch import Tensor, nn


class FirstNumbers(nn.Module):
    """Keeps the first numbers of each vector; the last module of a head.

    Attributes:
        dimension: How many.
    """

    def __init__(self, dimension: int) -> None:
        super().__init__()
        self.dimension = dimension

    def forward(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        """Cuts `sentence_embedding`, [texts, width], to [texts, dimension]."""
        return {**features, "sentence_embedding": features["sentence_embedding"][:, : self.dimension]}
