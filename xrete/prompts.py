"""Prompts: the words in which an item is put to a chat model, and how its answer is read.

An answer is read where it says one thing: where the lines that are nothing but an answer agree or, without such
lines, where only one answer is mentioned. What cannot be read is None; each shape says how that counts.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

NONE = "none"
"""What a model says where no name fits."""

_MARKS = " \t*_`\"'()[]{}<>#“”„«»「」"
_ENDS = _MARKS + ".,;:!?。"
_NUMBER = re.compile(r"-?\d*[.,]?\d+")
_MENTIONED_NUMBER = re.compile(rf"(?<![\w.,]){_NUMBER.pattern}(?!\w)")

Value = TypeVar("Value")


@dataclass(frozen=True)
class OneOf:
    """An answer that is one of several names.

    Attributes:
        names: What a model may say, in any case, to what it stands for.
    """

    names: Mapping[str, str]

    def read(self, text: str) -> str | None:
        """Returns what the answer stands for, or None."""
        known = _folded(self.names)
        answer = _normalised(text)
        lines = [known[line] for line in map(_bare, answer.splitlines()) if line in known]
        return _only(lines or [known[name] for name in _mentioned(answer, known)])

    def write(self, value: str) -> str:
        """Returns the name that stands for `value`."""
        return next(name for name, meant in self.names.items() if meant == value)


@dataclass(frozen=True)
class SomeOf:
    """An answer that lists any number of names, or says "none".

    Attributes:
        names: What a model may say, in any case and with or without commas, to what it stands for.
    """

    names: Mapping[str, str]

    def read(self, text: str) -> tuple[str, ...] | None:
        """Returns what the names stand for, in the order in which they are first mentioned, or None."""
        known = _folded(self.names)
        mentioned = list(dict.fromkeys(_mentioned(_normalised(text).replace(",", " "), [*known, NONE])))
        return tuple(known[name] for name in mentioned if name != NONE) if mentioned else None

    def write(self, values: Sequence[str]) -> str:
        """Returns the names that stand for `values`, with semicolons."""
        by_value = {meant: name for name, meant in self.names.items()}
        return "; ".join(by_value[value] for value in values) or NONE


@dataclass(frozen=True)
class Number:
    """An answer that is a number.

    Attributes:
        low, high: What it must lie between.
        whole: It must be a whole number.
    """

    low: float
    high: float
    whole: bool = False

    def read(self, text: str) -> float | None:
        """Returns the number, or None; "4/5" and "4 out of 5" are 4, and a comma may stand for the point."""
        answer = re.sub(rf"\s*(?:/|\bout of\b|\bof\b)\s*{self.high:g}(?:[.,]0+)?(?![.,]?\d)", "", _normalised(text))
        lines = [line for line in map(_bare, answer.splitlines()) if _NUMBER.fullmatch(line)]
        value = _only(float(number.replace(",", ".")) for number in lines or _MENTIONED_NUMBER.findall(answer))
        if value is None or not self.low <= value <= self.high or (self.whole and value % 1):
            return None
        return value

    def write(self, value: float) -> str:
        """Returns the number in decimals."""
        return f"{value:.0f}" if self.whole else f"{value:.10f}"


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """How the items of a task are put to a chat model.

    Attributes:
        template: The question, with the shape's fields in braces (`PromptShape.fields`).
        answer: What may be answered.
        longest: Most characters of a field that are shown, or None.
    """

    template: str
    answer: OneOf | SomeOf | Number
    longest: int | None = None

    def fill(self, fields: Mapping[str, str]) -> str:
        """Returns the question about one item."""
        return self.template.format(**{name: text[: self.longest] for name, text in fields.items()})


def _folded(names: Mapping[str, str]) -> dict[str, str]:
    return {name.casefold(): meant for name, meant in names.items()}


def _normalised(text: str) -> str:
    """Returns an answer without the thoughts before it, in one case and one spelling of characters."""
    answer = text.rpartition("</think>")[2].partition("<think>")[0]
    return unicodedata.normalize("NFKC", answer).casefold().replace("−", "-").replace("–", "-")


def _bare(line: str) -> str:
    """Returns a line without marks around it and a word before a colon: "**Answer:** 4." is 4."""
    return line.rstrip(_ENDS).rpartition(":")[2].lstrip(_MARKS)


def _mentioned(answer: str, names: Iterable[str]) -> list[str]:
    """Returns the names that stand in an answer as whole words, in order, without those after "not"."""
    longest_first = sorted(names, key=len, reverse=True)
    pattern = rf"(?<![\w-])(?<!\bnot )(?:{'|'.join(map(re.escape, longest_first))})(?![\w-])"
    return re.findall(pattern, " ".join(answer.split()))


def _only(values: Iterable[Value]) -> Value | None:
    distinct = set(values)
    return distinct.pop() if len(distinct) == 1 else None
