"""The momentum copy of the encoder, which makes the keys, and the queue of keys."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from .encoder import SentenceEncoder
from .tokens import Tokens


class KeyEncoder(nn.Module):
    """The momentum copy of the encoder, which makes the keys: a deep copy at the start, then a moving average."""

    def __init__(self, encoder: SentenceEncoder, momentum: float, *, dropout: bool) -> None:
        """Copies the encoder.

        Args:
            encoder: M, as it starts.
            momentum: m.
            dropout: Whether keys have dropout, too.
        """
        super().__init__()
        self.average = AveragedModel(encoder)
        self.average.requires_grad_(False)
        self._momentum = momentum
        self._dropout = dropout
        self.train()

    @property
    def encoder(self) -> SentenceEncoder:
        """The copy."""
        assert isinstance(self.average.module, SentenceEncoder)
        return self.average.module

    def train(self, mode: bool = True) -> KeyEncoder:
        """Leaves dropout off unless keys have it."""
        return super().train(mode and self._dropout)

    @torch.no_grad()
    def update(self, encoder: nn.Module) -> None:
        """Moves the copy: Theta_k <- m Theta_k + (1 - m) Theta_q, in fused steps over all tensors.

        The first time it is copied, since phase 0 trains the encoder alone. `AveragedModel` does the same, but
        hands its counter, which is kept on the processor, to the device, and a GPU would be waited for.
        """
        keys: list[Tensor] = list(self.average.parameters())
        queries: list[Tensor] = list(encoder.parameters())
        if self.average.n_averaged:
            torch._foreach_lerp_(keys, queries, 1 - self._momentum)
        else:
            for key, query in zip(keys, queries, strict=True):
                key.copy_(query)
        self.average.n_averaged += 1

    @torch.no_grad()
    def forward(self, groups: Sequence[Tokens]) -> Tensor:
        """Encodes groups of sentences; unit vectors [n, d] without a gradient."""
        vectors: Tensor = self.average(groups)
        return vectors


class KeyQueue(nn.Module):
    """The newest K keys, first in, first out; empty at the start.

    A change of phase keeps it: phase 1b leaves the encoder as it is, so the last keys of phase 1a are as fresh when
    phase 2 starts as a queue's keys ever are, and leave it after K / B steps.

    Attributes:
        keys: float32 [K, d].
        ids: Digest of each key's sentence, int64 [K].
        pointer: Where the next key goes.
        valid: How many rows hold a key.
    """

    keys: Tensor
    ids: Tensor

    def __init__(self, size: int, dimension: int) -> None:
        super().__init__()
        self.register_buffer("keys", torch.zeros(size, dimension))
        self.register_buffer("ids", torch.zeros(size, dtype=torch.long))
        self.pointer = 0
        self.valid = 0

    def newest(self) -> tuple[Tensor, Tensor]:
        """Returns the keys [n, d] and their ids [n] that the queue holds, in the order of its rows."""
        return self.keys[: self.valid], self.ids[: self.valid]

    @torch.no_grad()
    def push(self, keys: Tensor, ids: Tensor) -> None:
        """Adds a batch of any size, keys [B, d] and ids [B]; of one larger than the queue only the last K stay."""
        size = len(self.keys)
        keys, ids = keys[-size:] if size else keys[:0], ids[-size:] if size else ids[:0]
        head = min(len(keys), size - self.pointer)
        for part, start, end in ((slice(0, head), self.pointer, head), (slice(head, None), 0, len(keys) - head)):
            self.keys[start : start + end] = keys[part]
            self.ids[start : start + end] = ids[part]
        self.valid = min(size, self.valid + len(keys))
        self.pointer = (self.pointer + len(keys)) % size if size else 0
