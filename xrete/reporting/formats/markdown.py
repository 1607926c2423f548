"""The leaderboard as a Markdown table (GitHub's flavour)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from xrete.reporting.formats.cells import (
    addition,
    gathered,
    key,
    number,
    numbered_notes,
    superscript,
    superscripts,
)
from xrete.reporting.leaderboard import Leaderboard, TableCell
from xrete.reporting.text import NAME_LIMIT, NOTE_LIMIT, plain

_ENTITIES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
_ACTIVE = re.compile(r"([\\`*_\[\]|~$!])")


def to_markdown(board: Leaderboard) -> str:
    """Renders the table; the best cells are bold, the second best underlined."""
    board = gathered(board)
    notes = numbered_notes(board)
    header = [escape(name) for name in board.corner]
    header += [
        "<br>".join(escape(line, NAME_LIMIT) for line in column.lines) + superscripts(column.notes, notes)
        for column in board.columns
    ]
    rows = [
        [*(escape(label, NAME_LIMIT) for label in row.labels[:-1])]
        + [escape(row.labels[-1], NAME_LIMIT) + superscripts(row.notes, notes)]
        + [_cell(cell, notes, board.intervals) for cell in row.cells]
        for row in board.rows
    ]
    sentences = [*key(board, "Bold:", "underlined:"), *board.remarks]
    sentences += [f"{superscript(index)} {plain(note, NOTE_LIMIT)}" for note, index in notes.items()]
    table = "\n".join(_lines(header, rows, len(board.corner)))
    return f"### {escape(board.title)}\n\n{table}\n\n" + "".join(f"{escape(line)}<br>\n" for line in sentences)


def escape(text: str, limit: int | None = None) -> str:
    """Makes any text plain text in a Markdown table: no markup, no HTML, no pipe, one line."""
    return _ACTIVE.sub(r"\\\1", plain(text, limit).translate(_ENTITIES))


def _cell(cell: TableCell, notes: Mapping[str, int], intervals: bool) -> str:
    # GitHub shows <ins>, not <u>, as underlined.
    before, after = {"best": ("**", "**"), "second": ("<ins>", "</ins>"), None: ("", "")}[cell.mark]
    return f"{before}{number(cell)}{after}{escape(addition(cell, notes, intervals=intervals))}"


def _lines(header: Sequence[str], rows: Sequence[Sequence[str]], labels: int) -> list[str]:
    """Lays the cells out so that the source is a readable table too."""
    widths = [max(3, *(len(row[index]) for row in (header, *rows))) for index in range(len(header))]
    rule = ["-" * width if index < labels else "-" * (width - 1) + ":" for index, width in enumerate(widths)]
    padded = [[cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in (header, rule, *rows)]
    return [f"| {' | '.join(row)} |" for row in padded]
