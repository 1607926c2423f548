"""Which sentences are fit to train on: a batch of texts in, one verdict for each row out."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from xrete.errors import UsageError
from xrete.lazy import NDArray, np

from .languages import corpus_code

FIT = ""
"""The verdict of a row that is kept; any other says why it is not."""


class Filters(BaseModel):
    """What a sentence or pair must be like. Lengths count wide (Chinese, Japanese, Korean) characters twice."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    minimum_length: int = Field(4, ge=1, description="Shortest sentence, in characters.")
    maximum_length: int = Field(1_000, ge=1, description="Longest sentence, in characters.")
    minimum_letters: float = Field(
        0.5, ge=0, le=1, description="Least share of letters, with vowel signs, among all that is not a space."
    )
    maximum_ratio: float = Field(
        3.0, ge=1, description="The longer side of a pair is at most so many times as long as the shorter one."
    )
    copies: bool = Field(False, description="Whether pairs are kept whose sides are the same but for case.")
    other_language: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Probability with which py3langid (extra corpora) must see another language for a text to be "
        "dropped: 0.9 drops 2 of 1,000 right ones. None does not look; looking takes 0.1 ms a text.",
    )
    test_sets: tuple[str, ...] = Field(
        (), description="Test data (mini, or folders) whose sentences are dropped; only letters and digits count."
    )


def clean(text: str) -> str:
    """Returns a text with single spaces for whatever separates its words, and none around it."""
    return " ".join(text.split())


class Judge:
    """Applies the filters that look at a row alone."""

    def __init__(self, filters: Filters) -> None:
        """Prepares to judge.

        Raises:
            UsageError: languages are to be looked at, and py3langid is not installed.
        """
        self._filters = filters
        self._other = None if filters.other_language is None else _OtherLanguage(filters.other_language)

    def __call__(self, columns: Sequence[Sequence[str]], languages: Sequence[str]) -> NDArray[Any]:
        """Judges rows of clean texts.

        Args:
            columns: The sides; n texts each.
            languages: XLM-R's code of each side.

        Returns:
            `FIT`, or the first reason against it, for each row [n].
        """
        limits = self._filters
        sides = [_measure(texts) for texts in columns]
        lengths = np.stack([side.lengths for side in sides])
        shortest, longest = lengths.min(axis=0), lengths.max(axis=0)
        reasons = {
            "empty": shortest == 0,
            "broken characters": np.logical_or.reduce([side.broken for side in sides]),
            "too short": shortest < limits.minimum_length,
            "too long": longest > limits.maximum_length,
            "few letters": np.min([side.letters for side in sides], axis=0) < limits.minimum_letters,
            "unequal lengths": longest > limits.maximum_ratio * shortest,
        }
        if len(columns) == 2 and not limits.copies:
            reasons["copy"] = np.array([a.casefold() == b.casefold() for a, b in zip(*columns, strict=True)])
        verdicts = np.select(list(reasons.values()), list(reasons), default=FIT).astype(object)
        if self._other is not None:
            fit = np.flatnonzero(verdicts == FIT)
            wrong = [any(map(self._other, languages, (texts[row] for texts in columns))) for row in fit.tolist()]
            verdicts[fit[wrong]] = "other language"
        return verdicts


class _Measures(NamedTuple):
    """Of each text: length, share of letters, and whether it has characters that no text has [n]."""

    lengths: NDArray[np.int64]
    letters: NDArray[np.float64]
    broken: NDArray[np.bool_]


def _measure(texts: Sequence[str]) -> _Measures:
    wide, letter, space, broken = _classes()
    joined = "\n".join(
        [*texts, ""]
    )  # no text is without a character then; those in clean texts are never line feeds
    points = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), "<u4")
    points = np.minimum(points, len(wide) - 1)
    lengths = np.array([len(text) for text in texts])
    starts = np.cumsum(lengths + 1) - lengths - 1

    def count(members: NDArray[np.bool_]) -> NDArray[np.int64]:
        return np.add.reduceat(members[points], starts, dtype=np.int64)

    visible = lengths - count(space)
    return _Measures(lengths + count(wide), count(letter) / np.maximum(visible, 1), count(broken) > 0)


@cache
def _classes() -> tuple[NDArray[np.bool_], ...]:
    """Tables over the code points of the first four planes: is it wide, a letter or mark, a space, or broken?

    Broken are controls but for the line feed, halves of surrogate pairs, and U+FFFD, which stands where a character
    was lost. The planes above are unassigned or private, and count as the last point of the fourth one does.
    """
    points = [chr(point) for point in range(0x40000)]
    categories = [unicodedata.category(character) for character in points]
    wide = np.array([unicodedata.east_asian_width(character) in "WF" for character in points])
    letter = np.array([category[0] in "LM" for category in categories])
    space = np.array([category[0] == "Z" for category in categories])
    broken = np.array([category in ("Cc", "Cs") for category in categories])
    broken[[ord("\n"), 0xFFFD]] = False, True
    return wide, letter, space, broken


class _OtherLanguage:
    """Returns whether a text is in another language than it should be, as far as py3langid knows both."""

    def __init__(self, probability: float) -> None:
        try:
            from py3langid.langid import MODEL_FILE, LanguageIdentifier
        except ImportError:
            raise UsageError(
                "data.filters.other_language needs the extra corpora: pip install 'xrete[corpora]'"
            ) from None
        self._model = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
        self._known = set(map(corpus_code, self._model.labels))
        self._probability = probability

    def __call__(self, language: str, text: str) -> bool:
        if language not in self._known:
            return False
        label, probability = self._model.classify(text)
        return corpus_code(label) != language and bool(probability >= self._probability)
