"""Masked language modelling: which tokens are hidden, and behind what."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from xrete.encoding.transformer import move

from .batches import Group
from .config import MaskedLanguageModel
from .encoder import Masked
from .tokens import Layout


class TokenMasker:
    """Which tokens of a global batch are to be predicted: 80 % behind the mask, 10 % behind a random piece.

    Drawn for every place of every sentence, so that the choice is the same however sentences are grouped and spread
    over processes.
    """

    def __init__(
        self, shape: tuple[int, int], tokenizer: Any, layout: Layout, config: MaskedLanguageModel, seed: int
    ) -> None:
        """Draws.

        Args:
            shape: Sentences of the global batch, and most tokens of one.
            tokenizer: Whose special tokens are never chosen.
            layout: How groups are laid out.
            config: The share of tokens, and the smoothing.
            seed: The same on every process.
        """
        generator = torch.Generator().manual_seed(seed)
        self._chosen = (torch.rand(shape, generator=generator) < config.share).numpy()
        self._kind = torch.rand(shape, generator=generator).numpy()
        self._random = torch.randint(len(tokenizer), shape, generator=generator).numpy()
        self._special = sorted(tokenizer.all_special_ids)
        self._mask: int = tokenizer.mask_token_id
        self._layout = layout
        self._smoothing = config.smoothing

    def __call__(self, group: Group, first: int, device: torch.device, seed: int) -> Masked:
        """Corrupts a group, on the processor, so that no device is waited for.

        Args:
            group: Sentences of one process.
            first: Place of the first sentence of that process in the global batch.
            device: Where the group goes.
            seed: Of its dropout.
        """
        right, lengths = group.flat, group.lengths
        sentences = np.repeat(first + group.rows, lengths)
        columns = np.concatenate([np.arange(length) for length in lengths])
        chosen, kind, random = (drawn[sentences, columns] for drawn in (self._chosen, self._kind, self._random))
        chosen = chosen & ~np.isin(right, self._special)
        read = np.where(chosen & (kind < 0.8), self._mask, right)
        read = np.where(chosen & (kind >= 0.9), random, read)
        return Masked(
            self._layout(read, lengths, device, seed),
            move(self._layout.places(lengths)[chosen], device),
            move(right[chosen], device),
            self._smoothing,
        )
