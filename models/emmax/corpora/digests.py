"""Digests of texts, and which of them have been seen: numbers of 8 bytes stand for sentences of any length."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from hashlib import blake2b

from xrete.lazy import NDArray, np

_NOT_LETTERS = re.compile(r"[\W_]+")


def text_digests(texts: Iterable[str]) -> NDArray[np.int64]:
    """Returns the first 64 bits of BLAKE2b of each text's UTF-8: equal texts have equal digests [n].

    Of a billion different texts, any two have the same digest with a probability of 3 %.
    """
    raw = b"".join(blake2b(text.encode(), digest_size=8).digest() for text in texts)
    return np.frombuffer(raw, "<i8")


def bare(text: str) -> str:
    """Returns the letters and digits of a text, in NFKC and case folded: what is left when only looks differ."""
    return _NOT_LETTERS.sub("", unicodedata.normalize("NFKC", text).casefold())


class Seen:
    """A set of digests that tells which are new: 8 bytes for each, in sorted runs that are merged as they grow."""

    def __init__(self) -> None:
        self._runs: list[NDArray[np.int64]] = []

    def add(self, digests: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Adds digests [n] and returns which of them are new; of equal ones, the first [n]."""
        unique, first = np.unique(digests, return_index=True)
        fresh = np.ones(len(unique), dtype=bool)
        for run in self._runs:
            fresh &= ~contains(run, unique)
        new = np.zeros(len(digests), dtype=bool)
        new[first[fresh]] = True
        self._runs.append(unique[fresh])
        while len(self._runs) > 1 and len(self._runs[-2]) < 2 * len(self._runs[-1]):
            # Runs at least halve from one to the next, so that there are few to search; two runs, each sorted, are
            # merged in linear time by the stable sort.
            self._runs[-2:] = [np.sort(np.concatenate(self._runs[-2:]), kind="stable")]
        return new


def contains(known: NDArray[np.int64], digests: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Says which digests [n] are among sorted ones [n]."""
    if not len(known):
        return np.zeros(len(digests), dtype=bool)
    places = np.minimum(np.searchsorted(known, digests), len(known) - 1)
    return np.asarray(known[places] == digests)
