"""From batches of text to padded tokens: drawn and tokenised ahead, in a thread of their own."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from xrete.encode import plan

from .config import MaskedLanguageModel
from .corpora import Batch
from .distributed import Team
from .encoder import IGNORED, Masked, Tokens

AHEAD = 4
"""Batches that are ready before they are asked for."""


@dataclass(frozen=True)
class Group:
    """Sentences of about one length.

    Attributes:
        rows: Their places in this process's share, int64 [n].
        ids: Token ids of each.
    """

    rows: NDArray[np.intp]
    ids: list[list[int]]

    @property
    def padded(self) -> int:
        """Tokens with padding."""
        return len(self.ids) * max(map(len, self.ids))


@dataclass(frozen=True)
class Share:
    """A global batch, and this process's rows of it as tokens.

    Attributes:
        batch: The same on every process.
        rows: Which rows are this process's.
        groups: Its sentences, sorted by length into groups; longest first.
        order: Place of each row of `groups`, one after the other, in the share.
    """

    batch: Batch
    rows: slice
    groups: list[Group]
    order: NDArray[np.intp]

    @property
    def tokens(self) -> int:
        """Tokens of this process's sentences, without padding."""
        return sum(len(row) for group in self.groups for row in group.ids)


class Feed:
    """Draws batches ahead of time and tokenises this process's share of each."""

    def __init__(
        self, draw: Callable[[], Batch], count: int, team: Team, tokenizer: Any, max_length: int, group_tokens: int
    ) -> None:
        """Prepares a feed; nothing is drawn before it is iterated over.

        Args:
            draw: Returns the next global batch.
            count: How many there will be.
            team: The processes.
            tokenizer: A transformers tokenizer.
            max_length: Most tokens read of a sentence.
            group_tokens: Most padded tokens of a group.
        """
        self._draw = draw
        self._count = count
        self._team = team
        self._tokenizer = tokenizer
        self._max_length = max_length
        self._group_tokens = group_tokens

    def __iter__(self) -> Iterator[Share]:
        """Yields one share after the other; an error while drawing is raised here."""
        ready: queue.Queue[Share | BaseException] = queue.Queue(AHEAD)
        stop = threading.Event()

        def work() -> None:
            for _ in range(self._count):
                try:
                    item: Share | BaseException = self._share(self._draw())
                except BaseException as error:
                    item = error
                while not stop.is_set():
                    try:
                        ready.put(item, timeout=0.1)
                        break
                    except queue.Full:
                        continue
                if stop.is_set() or isinstance(item, BaseException):
                    return

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        try:
            for _ in range(self._count):
                item = ready.get()
                if isinstance(item, BaseException):
                    raise item
                yield item
        finally:
            stop.set()
            thread.join()

    def _share(self, batch: Batch) -> Share:
        rows = self._team.rows(len(batch.texts))
        found = self._tokenizer(
            batch.texts[rows],
            truncation=True,
            max_length=self._max_length,
            return_attention_mask=False,
            verbose=False,
        )
        ids: list[list[int]] = found["input_ids"]
        groups = [
            Group(group, [ids[row] for row in group]) for group in plan(list(map(len, ids)), self._group_tokens)
        ]
        return Share(batch, rows, groups, np.concatenate([group.rows for group in groups]))


def pad(ids: Sequence[Sequence[int]], fill: int, device: torch.device) -> Tokens:
    """Pads token ids to the longest."""
    lengths = np.array([len(row) for row in ids])
    mask = np.arange(lengths.max())[None, :] < lengths[:, None]
    tokens = np.full(mask.shape, fill, dtype=np.int64)
    tokens[mask] = np.concatenate([np.asarray(row) for row in ids])
    return Tokens(_move(tokens, device), _move(mask.astype(np.int64), device))


def corrupt(tokens: Tokens, tokenizer: Any, config: MaskedLanguageModel, generator: torch.Generator) -> Masked:
    """Chooses tokens to predict, and hides 80 % of them behind the mask, 10 % behind a random piece.

    Args:
        tokens: A padded group.
        tokenizer: Whose special tokens are never chosen.
        config: The share of tokens, and the smoothing.
        generator: On the CPU, so that a draw is the same on every device.
    """
    ids = tokens.ids.cpu()
    special = torch.tensor(sorted(tokenizer.all_special_ids))
    draw = torch.rand(ids.shape, generator=generator)
    chosen = (draw < config.share) & ~torch.isin(ids, special)
    targets = ids.masked_fill(~chosen, IGNORED)
    random = torch.randint(len(tokenizer), ids.shape, generator=generator)
    kind = torch.rand(ids.shape, generator=generator)
    ids = torch.where(chosen & (kind < 0.8), tokenizer.mask_token_id, ids)
    ids = torch.where(chosen & (kind >= 0.9), random, ids)
    device = tokens.ids.device
    return Masked(Tokens(ids.to(device), tokens.mask), targets.to(device), config.smoothing)


def _move(array: NDArray[np.int64], device: torch.device) -> Tensor:
    tensor = torch.from_numpy(array)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)
