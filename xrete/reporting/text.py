"""What the formats for people have in common: safe names, numbers, notes and the key below the table."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping

from xrete.reporting.leaderboard import NOT_PUBLISHED, NOT_RUN, NOT_SCORED, Cell, Leaderboard

MISSING = "–"
PLAIN_REASONS = (NOT_RUN, NOT_SCORED, NOT_PUBLISHED)
"""Reasons that a bare dash stands for; others get a numbered note."""

NAME_LIMIT = 48
NOTE_LIMIT = 240

_UNSAFE = {"Cc", "Cf", "Cs", "Zl", "Zp"}
_JOINERS = "\u200c\u200d"  # needed to spell words of several scripts
_SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def plain(text: str, limit: int | None = None) -> str:
    """Makes foreign text harmless to print: one line, no control, escape or direction characters.

    Args:
        text: Anything, such as a model's name or an error.
        limit: Longest length; the middle of longer text gives way to an ellipsis.
    """
    safe = "".join(_visible(character) for character in text)
    if limit is None or len(safe) <= limit:
        return safe
    head = limit // 2
    return f"{safe[:head]}…{safe[head + 1 - limit :]}"


def superscript(number: int) -> str:
    """Writes a note's number."""
    return str(number).translate(_SUPERSCRIPTS)


def number(cell: Cell) -> str:
    """Writes a cell's number, the paper's as it printed them where the unit is the same."""
    if cell.value is None:
        return MISSING
    if cell.printed is not None and cell.is_as_printed:
        return cell.printed
    return f"{cell.value:.{cell.digits}f}"


def addition(cell: Cell, notes: Mapping[str, int], *, intervals: bool) -> str:
    """Writes what follows a cell's number: interval, coverage, and the numbers of its notes."""
    parts = []
    if intervals and cell.ci95:
        low, high = cell.ci95
        parts.append(f" ±{(high - low) / 2:.{cell.digits}f}")
    if cell.evidence and cell.evidence.is_partial:
        parts.append(f" ({len(cell.evidence.languages)}/{cell.evidence.expected})")
    numbers = ",".join(superscript(notes[note]) for note in _notes(cell))
    return "".join(parts) + numbers


def numbered_notes(board: Leaderboard) -> dict[str, int]:
    """Numbers the notes and the reasons of missing cells in reading order; equal sentences share a number."""
    notes = dict.fromkeys(note for cell in board.cells for note in _notes(cell))
    return {note: index for index, note in enumerate(notes, start=1)}


def key(board: Leaderboard, best: str, second: str) -> Iterator[str]:
    """Explains the signs that occur in a table.

    Args:
        board: The table.
        best: How the format shows the best cell.
        second: How it shows the second best.
    """
    cells = list(board.cells)
    marks = {cell.mark for cell in cells}
    if "best" in marks:
        others = f", {second} second best," if "second" in marks else ""
        yield f"{best} best{others} among models scored on the same languages and data."
    if example := next((cell.evidence for cell in cells if cell.evidence and cell.evidence.is_partial), None):
        done, expected = len(example.languages), example.expected
        yield f"({done}/{expected}): the mean is over {done} of {expected} languages."
    if reasons := [reason for reason in PLAIN_REASONS if any(cell.reason == reason for cell in cells)]:
        yield f"{MISSING} {', or '.join(reasons)}."


def _notes(cell: Cell) -> tuple[str, ...]:
    is_plain = cell.reason is None or cell.reason in PLAIN_REASONS
    return cell.notes if is_plain else (cell.reason or "", *cell.notes)


def _visible(character: str) -> str:
    if character in "\n\r\t":
        return " "
    if unicodedata.category(character) in _UNSAFE and character not in _JOINERS:
        return f"\\u{ord(character):04x}"
    return character
