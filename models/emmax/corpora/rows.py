"""What readers hand on: rows of one corpus, and parts, which are files that hold such rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple


class Row(NamedTuple):
    """A sentence or a pair, or what is there instead.

    Attributes:
        number: Its place in the file: a line, an entry or a row, counted from 1.
        texts: The sentence, or both sides of the pair; nothing where there is a problem.
        problem: Why there are no texts, or "".
    """

    number: int
    texts: tuple[str, ...]
    problem: str = ""


@dataclass(frozen=True)
class RawRows:
    """Rows of one corpus from one place.

    Attributes:
        languages: XLM-R's codes: one of a sentence, two of a pair, in the order of `Row.texts`.
        place: What the number of a row is put after, to say where it is: "corpus.txt, line".
        stamp: What decides the rows, for digests: settings, and sizes and times of files.
        read: Starts reading.
    """

    languages: tuple[str, ...]
    place: str
    stamp: tuple[str, ...]
    read: Callable[[], Iterator[Row]]

    def canonical(self) -> RawRows:
        """Returns the same rows with the languages of a pair in alphabetic order."""
        if self.languages == tuple(sorted(self.languages)):
            return self
        return RawRows(self.languages[::-1], self.place, (*self.stamp, "reversed"), self._reversed)

    def _reversed(self) -> Iterator[Row]:
        for number, texts, problem in self.read():
            yield Row(number, texts[::-1], problem)
