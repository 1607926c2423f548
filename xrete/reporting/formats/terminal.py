"""The leaderboard in a terminal."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence

from rich import box
from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

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

WIDTH = 100
"""Columns where the output is no terminal."""

GAP = 3
"""Between columns; the last of it is the box's own divider."""

_STYLES = {"best": "bold", "second": "underline"}
_SIGNS = {"best": "*", "second": "°"}


def to_text(board: Leaderboard, width: int = WIDTH) -> str:
    """Renders the table as plain text, with signs in place of bold and underline."""
    file = io.StringIO()
    print_table(board, Console(file=file, width=width, color_system=None, legacy_windows=False))
    return "".join(f"{line.rstrip()}\n" for line in file.getvalue().splitlines())


def print_table(board: Leaderboard, console: Console) -> None:
    """Prints the table; columns that do not fit go into further blocks below."""
    for part in _parts(board, console):
        console.print(part, highlight=False, markup=False, emoji=False)


def _parts(board: Leaderboard, console: Console) -> Iterator[RenderableType]:
    styled = console.color_system is not None
    board = gathered(board)
    notes = numbered_notes(board)
    yield Text(f"{plain(board.title)}\n", style="bold")
    labels = [[Text(plain(row.labels[i], NAME_LIMIT)) for row in board.rows] for i in range(len(board.corner))]
    for text, row in zip(labels[-1], board.rows, strict=True):
        text.append(superscripts(row.notes, notes))
    columns = [
        _Block(column, [row.cells[index] for row in board.rows], notes, board.intervals, styled)
        for index, column in enumerate(board.columns)
    ]
    taken = sum(_width([Text(name), *column]) + GAP for name, column in zip(board.corner, labels, strict=True))
    for blocks in _fitting(columns, console.width - taken):
        yield _table(board, labels, blocks)
        yield ""
    best, second = ("bold:", "underlined:") if styled else (_SIGNS["best"], _SIGNS["second"])
    for sentence in (*key(board, best, second), *board.remarks):
        yield Text(plain(sentence), style="dim")
    for note, index in notes.items():
        yield Text(f"{superscript(index)} {plain(note, NOTE_LIMIT)}", style="dim")


class _Block:
    """One column, ready to print: numbers stand one below the other, whatever follows them."""

    def __init__(
        self, column: Column, cells: Sequence[TableCell], notes: Mapping[str, int], intervals: bool, styled: bool
    ) -> None:
        self.header = Text("\n").join(Text(plain(line, NAME_LIMIT)) for line in column.lines)
        self.header.append(superscripts(column.notes, notes))
        numbers = [number(cell) for cell in cells]
        whole = max(len(text.partition(".")[0]) for text in numbers)
        self.texts = [
            _cell_text(cell, " " * (whole - len(text.partition(".")[0])), text, notes, intervals, styled)
            for cell, text in zip(cells, numbers, strict=True)
        ]
        self.width = _width([self.header, *self.texts])


def _cell_text(
    cell: TableCell, indent: str, digits: str, notes: Mapping[str, int], intervals: bool, styled: bool
) -> Text:
    mark = cell.mark
    style = _STYLES[mark] if mark and styled else "dim" if cell.value is None else ""
    sign = "" if styled or mark is None else _SIGNS[mark]
    return Text.assemble(indent, (digits, style), sign, (addition(cell, notes, intervals=intervals), "dim"))


def _fitting(blocks: Sequence[_Block], width: int) -> Iterator[list[_Block]]:
    """Splits the columns into runs that fit; a column wider than the screen stands alone."""
    run: list[_Block] = []
    for block in blocks:
        if run and sum(x.width + GAP for x in (*run, block)) > width:
            yield run
            run = []
        run.append(block)
    yield run


def _table(board: Leaderboard, labels: Sequence[Sequence[Text]], blocks: Sequence[_Block]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, GAP - 1, 0, 0), pad_edge=False, header_style="", show_edge=False)
    for name in board.corner:
        table.add_column(name, no_wrap=True, vertical="bottom")
    for block in blocks:
        table.add_column(block.header, no_wrap=True, min_width=block.width)
    for index, row in enumerate(board.rows):
        ends = index + 1 < len(board.rows) and board.rows[index + 1].section != row.section
        cells = (column[index] for column in labels), (block.texts[index] for block in blocks)
        table.add_row(*cells[0], *cells[1], end_section=ends)
    return table


def _width(texts: Sequence[Text]) -> int:
    return max(cell_len(line) for text in texts for line in text.plain.split("\n"))
