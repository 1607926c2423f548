"""What the formats for people have in common: numbers, notes and the key below the table."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from xrete.reporting.leaderboard import NO_NUMBER, NOT_PUBLISHED, NOT_RUN, NOT_SCORED, Leaderboard, TableCell
from xrete.reporting.paper.verdicts import sign
from xrete.scores.comparison import Standing

MISSING = "–"
PLAIN_REASONS = (NOT_RUN, NOT_SCORED, NOT_PUBLISHED, NO_NUMBER)
"""Reasons that a bare dash stands for; others get a numbered note."""

_SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def superscript(number: int) -> str:
    """Writes a note's number."""
    return str(number).translate(_SUPERSCRIPTS)


def number(cell: TableCell) -> str:
    """Writes a cell's number, the paper's as it printed them where the unit is the same."""
    if cell.value is None:
        return MISSING
    if cell.printed is not None and cell.is_as_printed:
        return cell.printed
    return f"{cell.value:.{cell.digits}f}"


def rank(standing: Standing) -> str:
    """Writes a rank interval."""
    return f"{standing.best}" if standing.best == standing.worst else f"{standing.best}–{standing.worst}"


def signed(value: float, digits: int) -> str:
    """Writes a difference with its sign, and none where it rounds to zero."""
    text = f"{value:+.{digits}f}".replace("-", "−")
    return text[1:] if float(f"{value:.{digits}f}") == 0 else text


def gathered(board: Leaderboard) -> Leaderboard:
    """Moves the notes that all numbers of a row, or of a column, have in common to its label."""
    rows = [_lifted(row.cells) for row in board.rows]
    columns = [_lifted(cells) for cells in zip(*(cells for _, cells in rows), strict=True)]
    return replace(
        board,
        columns=tuple(
            replace(column, notes=notes) for column, (notes, _) in zip(board.columns, columns, strict=True)
        ),
        rows=tuple(
            replace(row, notes=notes, cells=tuple(column[index] for _, column in columns))
            for index, (row, (notes, _)) in enumerate(zip(board.rows, rows, strict=True))
        ),
    )


def superscripts(notes: Iterable[str], numbers: Mapping[str, int]) -> str:
    """Writes the numbers of notes."""
    return ",".join(superscript(numbers[note]) for note in notes)


def addition(cell: TableCell, notes: Mapping[str, int], *, intervals: bool) -> str:
    """Writes what follows a number: rank, interval, spread over runs, coverage, verdict, numbers of notes."""
    parts = [f" #{rank(cell.standing)}"] if cell.standing else []
    if intervals and cell.ci95:
        low, high = cell.ci95
        parts.append(f" ±{(high - low) / 2:.{cell.digits}f}")
    if cell.evidence and cell.evidence.tuned and (spread := cell.evidence.tuned.spread) is not None:
        parts.append(f" σ{spread:.{cell.digits}f}")
    if cell.evidence and cell.evidence.is_partial:
        parts.append(f" ({len(cell.evidence.languages)}/{cell.evidence.expected})")
    if cell.verdict and cell.verdict.difference is not None:
        parts.append(f" {sign(cell.verdict)} {signed(cell.verdict.difference, cell.digits)}")
    return "".join(parts) + superscripts(_notes(cell), notes)


def numbered_notes(board: Leaderboard) -> dict[str, int]:
    """Numbers the notes and the reasons of missing cells in reading order; equal sentences share a number."""
    above = (note for column in board.columns for note in column.notes)
    beside = (note for row in board.rows for note in (*row.notes, *itertools.chain(*map(_notes, row.cells))))
    notes = dict.fromkeys(itertools.chain(above, beside))
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
        yield f"{best} best{others} beyond chance, among models scored on the same languages and data."
    if any(cell.standing for cell in cells):
        yield "#: the rank, or the ranks between which it lies, at 95 % confidence for all models compared."
    if any(cell.evidence and cell.evidence.tuned and cell.evidence.tuned.spread is not None for cell in cells):
        yield "σ: the standard deviation over runs of fine-tuning with other seeds; none where there was one run."
    if example := next((cell.evidence for cell in cells if cell.evidence and cell.evidence.is_partial), None):
        done, expected = len(example.languages), example.expected
        yield f"({done}/{expected}): the mean is over {done} of {expected} languages."
    if reasons := [reason for reason in PLAIN_REASONS if any(cell.reason == reason for cell in cells)]:
        yield f"{MISSING} {', or '.join(reasons)}."


def _lifted(cells: Sequence[TableCell]) -> tuple[tuple[str, ...], list[TableCell]]:
    """Takes off the notes that all of several numbers have."""
    noted = [cell.notes for cell in cells if cell.value is not None]
    common = tuple(note for note in noted[0] if all(note in notes for notes in noted)) if len(noted) > 1 else ()
    return common, [
        cell
        if cell.value is None
        else replace(cell, notes=tuple(note for note in cell.notes if note not in common))
        for cell in cells
    ]


def _notes(cell: TableCell) -> tuple[str, ...]:
    is_plain = cell.reason is None or cell.reason in PLAIN_REASONS
    return cell.notes if is_plain else (cell.reason or "", *cell.notes)
