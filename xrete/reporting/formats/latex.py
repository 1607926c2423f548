"""The leaderboard as a LaTeX table, with the package booktabs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from xrete.reporting.formats.cells import (
    addition,
    gathered,
    key,
    number,
    numbered_notes,
    superscript,
    superscripts,
)
from xrete.reporting.leaderboard import Column, Leaderboard, TableCell
from xrete.reporting.text import NAME_LIMIT, NOTE_LIMIT, plain

_SUPERSCRIPTS = "⁰¹²³⁴⁵⁶⁷⁸⁹"
_RAISED = re.compile(f"[{_SUPERSCRIPTS}][{_SUPERSCRIPTS},]*")
_DIGITS = str.maketrans(_SUPERSCRIPTS, "0123456789")
_SPECIAL = {character: f"\\{character}" for character in "{}$&#%_"} | {
    "\\": r"\textbackslash{}",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "[": "{[}",  # after the end of a row it would open an option
    "*": "{*}",  # and there a star would be one
    "…": r"\ldots{}",
    "±": r"$\pm$",
    "−": "$-$",
    "σ": r"$\sigma$",
    "≈": r"$\approx$",
    "≠": r"$\neq$",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
}


def to_latex(board: Leaderboard) -> str:
    """Renders the table; the best cells are bold, the second best underlined.

    Names in other scripts than the Latin one need LuaLaTeX or XeLaTeX and a font that has them.
    """
    board = gathered(board)
    notes = numbered_notes(board)
    sentences = [*key(board, "Bold:", "underlined:"), *board.remarks]
    sentences += [f"{superscript(index)} {plain(note, NOTE_LIMIT)}" for note, index in notes.items()]
    lines = [
        r"% needs \usepackage{booktabs} and \usepackage[T1]{fontenc}",
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{escape(board.title)}}}",
        rf"\begin{{tabular}}{{{'l' * len(board.corner)}{'r' * len(board.columns)}}}",
        r"\toprule",
        *_header(board.corner, board.columns, notes),
        *_body(board, notes),
        r"\bottomrule",
        r"\end{tabular}",
        "",
        r"\smallskip",
        r"\begin{minipage}{\linewidth}\footnotesize",
        *(rf"{escape(sentence)}\par" for sentence in sentences),
        r"\end{minipage}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def escape(text: str, limit: int | None = None) -> str:
    """Makes any text plain text in LaTeX: no command, no cell, no comment, one line."""
    safe = "".join(_SPECIAL.get(character, character) for character in plain(text, limit))
    return _RAISED.sub(lambda match: rf"\textsuperscript{{{match[0].translate(_DIGITS)}}}", safe)


def _header(corner: Sequence[str], columns: Sequence[Column], notes: Mapping[str, int]) -> Iterator[str]:
    """Yields one row for each line of the headers, which stand on their last line."""
    height = max(len(column.lines) for column in columns)
    labels = [[*[""] * (height - 1), escape(name)] for name in corner]
    for column in columns:
        texts = [escape(line, NAME_LIMIT) for line in column.lines]
        texts[-1] += escape(superscripts(column.notes, notes))
        labels.append([*[""] * (height - len(texts)), *texts])
    for row in zip(*labels, strict=True):
        yield _row(row)


def _body(board: Leaderboard, notes: Mapping[str, int]) -> Iterator[str]:
    section = None
    for row in board.rows:
        if row.section != section:
            section = row.section
            yield r"\midrule"
        labels = [escape(label, NAME_LIMIT) for label in row.labels]
        labels[-1] += escape(superscripts(row.notes, notes))
        yield _row([*labels, *(_cell(cell, notes, board.intervals) for cell in row.cells)])


def _cell(cell: TableCell, notes: Mapping[str, int], intervals: bool) -> str:
    text = escape(number(cell))
    marked = {"best": rf"\textbf{{{text}}}", "second": rf"\underline{{{text}}}", None: text}[cell.mark]
    return marked + escape(addition(cell, notes, intervals=intervals))


def _row(cells: Sequence[str]) -> str:
    return rf"{' & '.join(cells)} \\"
