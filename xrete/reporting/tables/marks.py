"""Which cells may be compared, and which of those are best."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import replace

from xrete.errors import XreteError
from xrete.reporting.leaderboard import Evidence, Mark, TableCell
from xrete.reporting.tables.record_index import RecordIndex
from xrete.reporting.tables.standings import standings
from xrete.scores.comparison import Run, Standing
from xrete.shapes import load_shape

Grid = Sequence[Sequence[TableCell]]
Unit = tuple[str, str]
"""A task and a metric: their numbers have the same decimals."""

_MARKS: Mapping[int, Mark] = {1: "best", 2: "second"}
"""By group of ties."""

PERCENT_DIGITS = 1
UNIT_DIGITS = 3
GEOMETRY_DIGITS = {"kl": 4, "ch": 2, "pr": 4}
"""As Table 4 of EMMA-X prints them."""

UNIT_LIMIT = 5.0
"""A metric whose values all stay below this is no percentage (MAE in stars, geometry): it gets more decimals."""


def contest(cell: TableCell) -> Hashable | None:
    """Returns a key that is equal for cells that may be compared with each other, None for cells that may not.

    Comparable are measured numbers of the same measure, taken over the identical languages of the same split of
    the same data, where it is known which direction is better.
    """
    evidence = cell.evidence
    if cell.subject.origin != "measured" or cell.value is None or evidence is None or cell.higher_is_better is None:
        return None
    data = (evidence.split, evidence.fingerprint, evidence.source == "mini")
    return (cell.measure, cell.higher_is_better, data, evidence.languages)


def marked(grid: Grid, index: RecordIndex) -> tuple[tuple[tuple[TableCell, ...], ...], tuple[str, ...]]:
    """Fills in decimals, standings and marks.

    The best group of ties is marked best and the next one second, each only where another one is worse: a lone
    model, models that the data cannot tell apart and the last group have no mark.

    Args:
        grid: Rows of cells.
        index: Where the cells are from.

    Returns:
        The rows, and a sentence for each contest whose items cannot be read.
    """
    digits = _digits(itertools.chain(*grid))
    contests: dict[Hashable, list[TableCell]] = defaultdict(list)
    for cell in itertools.chain(*grid):
        if (key := contest(cell)) is not None:
            contests[key].append(cell)
    places: dict[TableCell, tuple[Standing, Mark | None]] = {}
    problems: dict[str, None] = {}
    for cells in contests.values():
        try:
            ranked = _standings(cells, index)
        except XreteError as error:
            problems[f"No ranks of {cells[0].measure.task}: {error}"] = None
            continue
        last = max((place.group for place in ranked), default=0)
        for cell, place in zip(cells, ranked, strict=bool(ranked)):
            places[cell] = place, _MARKS.get(place.group) if place.group < last else None
    return tuple(tuple(_marked(cell, digits, places) for cell in row) for row in grid), tuple(problems)


def set_apart(grid: Grid) -> list[list[TableCell]]:
    """Adds a note to the cells of a column that are not comparable with most of the column.

    Args:
        grid: Rows of cells, each column one measure.
    """
    columns = [_set_apart(column) for column in zip(*grid, strict=True)]
    return [list(row) for row in zip(*columns, strict=True)]


def _set_apart(column: Sequence[TableCell]) -> list[TableCell]:
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


def _unit(cell: TableCell) -> Unit:
    return cell.measure.task, cell.measure.metric


def _digits(cells: Iterable[TableCell]) -> Mapping[Unit, int]:
    largest: dict[Unit, float] = {}
    for cell in cells:
        unit = _unit(cell)
        largest[unit] = max(largest.get(unit, 0.0), abs(cell.value or 0.0))
    return {unit: GEOMETRY_DIGITS.get(unit[1]) or usual_digits(top) for unit, top in largest.items()}


def usual_digits(top: float) -> int:
    """Returns the decimals of numbers the largest of which is `top`."""
    return PERCENT_DIGITS if top == 0 or top >= UNIT_LIMIT else UNIT_DIGITS


def _marked(
    cell: TableCell, digits: Mapping[Unit, int], places: Mapping[TableCell, tuple[Standing, Mark | None]]
) -> TableCell:
    if cell.value is None:
        return cell
    standing, mark = places.get(cell, (None, None))
    return replace(cell, digits=digits[_unit(cell)], standing=standing, mark=mark)


def _standings(cells: Sequence[TableCell], index: RecordIndex) -> list[Standing]:
    """Returns the standings of comparable cells; none for a lone one, and where the records have no items."""
    first = cells[0]
    entries = [index.ranked(cell.subject, cell.measure)[0] for cell in cells]
    runs = [Run(entry.path, entry.record) for entry in entries if entry.path]
    if len(runs) < 2 or len(runs) < len(cells) or first.evidence is None or first.higher_is_better is None:
        return []
    languages, metric = first.evidence.languages, first.measure.metric
    if metric not in load_shape(runs[0].record.shape).metrics:  # one of an older version
        return []
    return standings(runs, metric, languages, higher_is_better=first.higher_is_better) or []
