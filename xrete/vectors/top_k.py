"""The k best of many, found from bounds of their scores and settled with exact ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from xrete.lazy import NDArray, np
from xrete.vectors.tiles import Hits

PENDING = 2**19
"""Pairs that may wait for their exact score at once, 12 bytes each."""

SETTLED = 2**16
"""Places (rows times k) that are sorted at once."""

Score = Callable[["NDArray[np.int64]", "NDArray[np.int64]"], "NDArray[np.float64]"]
"""Rows and others to their exact scores."""


class Neighbours(NamedTuple):
    """The best of the other side for each row, best first: indices int64 [n, k], cosines float64 [n, k]."""

    indices: NDArray[np.int64]
    scores: NDArray[np.float64]


def slices(size: int, step: int) -> Iterator[slice]:
    """Yields the parts of a range."""
    return (slice(start, min(start + step, size)) for start in range(0, size, step))


class Best:
    """The k best others of each of n rows, so far.

    Pairs come with bounds of their score. Those that may still be among the best wait; once there are too many,
    or their vectors are about to go, they get their exact score and the best k of each row are kept.
    """

    def __init__(self, n: int, k: int) -> None:
        self.size, self.k = n, k
        self._low = np.full((n, k), -np.inf, np.float32)  # of each row, the k largest lower bounds, in any order
        self._indices = np.full((n, k), -1, np.int64)
        self._scores = np.full((n, k), -np.inf)
        self._pending: list[tuple[NDArray[Any], NDArray[Any], NDArray[np.float32]]] = []
        self._waiting = 0  # pairs in all of `_pending`

    def limits(self, rows: slice, floors: Callable[[], NDArray[np.float32]]) -> NDArray[np.float32]:
        """Returns what a score of each row must reach to matter, float32 [rows].

        `floors`, of the same shape, is asked where too few pairs were seen yet.
        """
        limits: NDArray[np.float32] = self._low[rows].min(axis=1)
        return np.maximum(limits, floors()) if np.isneginf(limits).any() else limits

    def offer(self, rows: slice, hit_rows: NDArray[np.int64], others: NDArray[np.int64], hits: Hits) -> None:
        """Takes pairs of rows, ascending, from `rows.start` on, and others, all [hits], with bounds of scores."""
        if not len(hit_rows):
            return
        low = self._low[rows]
        counts = np.bincount(hit_rows, minlength=len(low))
        place = np.arange(len(hit_rows)) - np.repeat(counts.cumsum() - counts, counts)
        pool = np.full((len(low), self.k + counts.max()), -np.inf, np.float32)
        pool[:, : self.k] = low
        pool[hit_rows, self.k + place] = hits.low
        self._low[rows] = np.partition(pool, counts.max(), axis=1)[:, counts.max() :]
        self._pending.append(((hit_rows + rows.start).astype(np.int32), others.astype(np.int32), hits.high))
        self._waiting += len(hit_rows)

    def relieve(self, score: Score) -> None:
        """Settles if too many pairs wait even without those that can no longer matter."""
        if self._waiting > PENDING:
            rows, others, high = self._prune()
            self._pending, self._waiting = [(rows, others, high)], len(rows)
            if len(rows) > PENDING // 2:
                self.settle(score)

    def settle(self, score: Score) -> None:
        """Gives every waiting pair its exact score, and keeps the best; some rows at a time, to save memory."""
        if not self._pending:
            return
        rows, others, _ = self._prune()
        self._pending, self._waiting = [], 0
        order = np.argsort(rows, kind="stable")
        rows, others = rows[order], others[order]
        for part in slices(self.size, max(1, SETTLED // self.k)):
            start, stop = np.searchsorted(rows, (part.start, part.stop))
            if start < stop:
                self._settle(rows[start:stop].astype(np.int64), others[start:stop].astype(np.int64), score)

    def _settle(self, rows: NDArray[np.int64], others: NDArray[np.int64], score: Score) -> None:
        touched = np.unique(rows)
        known = self._indices[touched] >= 0
        all_rows = np.concatenate([np.broadcast_to(touched[:, None], known.shape)[known], rows])
        all_others = np.concatenate([self._indices[touched][known], others])
        scores = np.concatenate([self._scores[touched][known], score(rows, others)])
        order = np.lexsort((all_others, -scores, all_rows))
        _, first, counts = np.unique(all_rows[order], return_index=True, return_counts=True)
        place = np.arange(len(order)) - np.repeat(first, counts)
        order, place = order[place < self.k], place[place < self.k]
        self._indices[all_rows[order], place] = all_others[order]
        self._scores[all_rows[order], place] = scores[order]
        self._low[touched] = np.nextafter(self._scores[touched].astype(np.float32), np.float32(-np.inf))

    def state(self) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float64]]:
        """Returns lower bounds, indices and scores of the best so far, [n, k] each; none may wait (`settle`)."""
        return self._low, self._indices, self._scores

    def restore(self, low: NDArray[np.float32], indices: NDArray[np.int64], scores: NDArray[np.float64]) -> None:
        """Goes on from what `state` returned, [n, k] each."""
        self._low[:], self._indices[:], self._scores[:] = low, indices, scores

    def result(self, k: int) -> Neighbours:
        """Returns what was found, the first k columns of it."""
        return Neighbours(self._indices[:, :k], self._scores[:, :k])

    def _prune(self) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.float32]]:
        """Returns the waiting pairs that may be among the best of their row."""
        limits = self._low.min(axis=1)
        kept = [
            tuple(column[high >= limits[rows]] for column in (rows, others, high))
            for rows, others, high in self._pending
        ]
        rows, others, high = (np.concatenate(columns) for columns in zip(*kept, strict=True))
        return rows, others, high
