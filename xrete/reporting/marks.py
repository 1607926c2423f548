"""Which cells may be compared, and which of those are best."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import replace

from xrete.reporting.leaderboard import Cell, Evidence, Mark

Grid = Sequence[Sequence[Cell]]

PERCENT_DIGITS = 1
UNIT_DIGITS = 3
UNIT_LIMIT = 5.0
"""A metric whose values all stay below this is no percentage (MAE in stars, geometry): it gets more decimals."""


def contest(cell: Cell) -> Hashable | None:
    """Returns a key that is equal for cells that may be compared with each other, None for cells that may not.

    Comparable are measured numbers of the same measure, taken over the identical languages of the same split of
    the same data, where it is known which direction is better.
    """
    evidence = cell.evidence
    if cell.value is None or evidence is None or cell.higher_is_better is None:
        return None
    data = (evidence.split, evidence.fingerprint, evidence.source == "mini")
    return (cell.measure, cell.higher_is_better, data, evidence.languages)


def marked(grid: Grid) -> tuple[tuple[Cell, ...], ...]:
    """Fills in decimals and marks.

    Values are compared as they are shown, so equal numbers carry equal marks; and a mark needs somebody worse, so
    a lone model, a tie of all, and the last of two have none.
    """
    digits = _digits(itertools.chain(*grid))
    shown = [[replace(cell, digits=digits[_unit(cell)]) for cell in row] for row in grid]
    contests: dict[Hashable, list[float]] = defaultdict(list)
    for cell in itertools.chain(*shown):
        if cell.value is not None and (key := contest(cell)) is not None:
            contests[key].append(_goodness(cell))
    for values in contests.values():
        values.sort(reverse=True)
    return tuple(tuple(replace(cell, mark=_mark(cell, contests)) for cell in row) for row in shown)


def set_apart(grid: Grid) -> list[list[Cell]]:
    """Adds a note to the cells of a column that are not comparable with most of the column.

    Args:
        grid: Rows of cells, each column one measure.
    """
    columns = [_set_apart(column) for column in zip(*grid, strict=True)]
    return [list(row) for row in zip(*columns, strict=True)]


def _set_apart(column: Sequence[Cell]) -> list[Cell]:
    keyed = [(key, cell.evidence) for cell in column if (key := contest(cell)) is not None and cell.evidence]
    if len({key for key, _ in keyed}) < 2:
        return list(column)
    sizes = Counter(key for key, _ in keyed)
    usual, evidence = max(keyed, key=lambda pair: (sizes[pair[0]], len(pair[1].languages)))
    return [
        replace(cell, notes=(*cell.notes, f"{_difference(cell.evidence, evidence)}: not compared with the others"))
        if cell.evidence and contest(cell) not in (None, usual)
        else cell
        for cell in column
    ]


def _difference(own: Evidence, usual: Evidence) -> str:
    """Names the coarsest thing that sets a number apart."""
    if own.languages != usual.languages:
        return f"over another set of languages ({len(own.languages)} of {own.expected}, {own.language_set[:6]})"
    if own.split != usual.split:
        return f"on split {own.split}"
    return f"on other data ({own.source}, fingerprint {own.fingerprint[:8]})"


def _unit(cell: Cell) -> tuple[str, str]:
    return cell.measure.task, cell.measure.metric


def _digits(cells: Iterable[Cell]) -> Mapping[tuple[str, str], int]:
    largest: dict[tuple[str, str], float] = {}
    for cell in cells:
        unit = _unit(cell)
        largest[unit] = max(largest.get(unit, 0.0), abs(cell.value or 0.0))
    return {unit: PERCENT_DIGITS if top == 0 or top >= UNIT_LIMIT else UNIT_DIGITS for unit, top in largest.items()}


def _goodness(cell: Cell) -> float:
    value = round(cell.value or 0.0, cell.digits)
    return value if cell.higher_is_better else -value


def _mark(cell: Cell, contests: Mapping[Hashable, Sequence[float]]) -> Mark | None:
    values = contests.get(contest(cell), ())  # the best first
    if not values or _goodness(cell) == values[-1]:
        return None
    if _goodness(cell) == values[0]:
        return "best"
    return "second" if _goodness(cell) == values[1] else None
