"""From batches of text to groups of tokens: drawn and tokenised ahead, in a thread of their own."""

from __future__ import annotations

import math
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xrete.training.team import Team

from .corpora import Batch

AHEAD = 4
"""Batches that are ready before they are asked for."""


@dataclass(frozen=True)
class Group:
    """Sentences of about one length.

    Attributes:
        rows: Their places in this process's share, int64 [n].
        ids: Token ids of each.
        flat: All token ids, sentence after sentence, int64 [tokens]; made with the group, ahead of the step.
    """

    rows: NDArray[np.intp]
    ids: list[list[int]]
    flat: NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        flat = np.concatenate([np.asarray(row, dtype=np.int64) for row in self.ids])
        object.__setattr__(self, "flat", flat)  # the one way to set what follows from the others in a frozen class

    @property
    def lengths(self) -> list[int]:
        """Tokens of each."""
        return [len(row) for row in self.ids]


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
        return sum(sum(group.lengths) for group in self.groups)


@dataclass(frozen=True)
class Grouping:
    """How sentences become groups of tokens.

    Attributes:
        tokenizer: A transformers tokenizer.
        max_length: Most tokens read of a sentence.
        group_tokens: Most padded tokens of a group, if it has more than one sentence.
        even: Make as many groups of as many sentences as longest sentences would need: the same on all processes,
            which FSDP needs, since processes fetch parameters together.
    """

    tokenizer: Any
    max_length: int
    group_tokens: int
    even: bool = False

    def __call__(self, texts: list[str]) -> list[Group]:
        """Tokenises sentences and sorts them by length into groups; longest first."""
        columns = self.tokenizer(
            texts, truncation=True, max_length=self.max_length, return_attention_mask=False, verbose=False
        )
        ids: list[list[int]] = columns["input_ids"]
        lengths = [len(row) for row in ids]
        if self.even:
            count = math.ceil(len(ids) / max(1, self.group_tokens // self.max_length))
            places = np.array_split(np.argsort([-length for length in lengths], kind="stable"), count)
        else:
            places = fill(lengths, self.group_tokens)
        return [Group(rows, [ids[row] for row in rows]) for rows in places]


def fill(lengths: Sequence[int], budget: int) -> list[NDArray[np.intp]]:
    """Decides the groups: longest sentences first, as many to a group as the budget holds of its longest.

    There are as few as can be: where attention is packed, padding costs nothing, and each group costs calls.

    Args:
        lengths: Tokens of each sentence.
        budget: Most padded tokens in a group.

    Returns:
        Indices into `lengths`, one array [sentences] a group, each exactly once.
    """
    order = np.argsort(-np.asarray(lengths, dtype=np.intp), kind="stable")
    groups = []
    start = 0
    while start < len(order):
        size = max(1, budget // max(1, lengths[order[start]]))
        groups.append(order[start : start + size])
        start += size
    return groups


class Feed:
    """Draws batches ahead of time and tokenises this process's share of each."""

    def __init__(self, draw: Callable[[], Batch], count: int, team: Team, grouping: Grouping) -> None:
        """Prepares a feed; nothing is drawn before it is iterated over.

        Args:
            draw: Returns the next global batch.
            count: How many there will be.
            team: The processes.
            grouping: How this process's sentences are grouped.
        """
        self._draw = draw
        self._count = count
        self._team = team
        self._grouping = grouping

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
                ready.put(item)
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
            with suppress(queue.Empty):
                ready.get_nowait()  # makes room for what the thread is at, which is its last
            thread.join()

    def _share(self, batch: Batch) -> Share:
        rows = self._team.rows(len(batch.texts))
        groups = self._grouping(batch.texts[rows])
        return Share(batch, rows, groups, order_of(groups))


def order_of(groups: Sequence[Group]) -> NDArray[np.intp]:
    """Returns the place of each row of groups, one after the other, among all sentences: int [b]."""
    return np.concatenate([group.rows for group in groups])
