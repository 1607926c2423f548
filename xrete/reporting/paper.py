"""The paper's numbers as reference rows."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files as package_files

from xrete.reporting.leaderboard import ALL, NOT_PUBLISHED, Cell, Measure, Subject

MAIN_TABLE = 1
ZERO_SHOT_TABLE = 2
LONG_TAIL_TABLE = 3
LANGUAGE_TABLES = {
    "tatoeba": 5,
    "xnli": 10,
    "americasnli": 11,
    "multists": 12,
    "qe": 14,
    "lareqa": 15,
    "mewslix": 16,
    "xcopa": 17,
    "bucc": 18,
    "pawsx": 19,
}
"""The table of each task that the paper gives languages for."""

_ABLATIONS = "emmax-"
"""Ablated models belong to the ablation tables only."""


@dataclass(frozen=True, kw_only=True)
class PaperCell:
    """A number of the paper, as `results/paper/README.md` explains it."""

    row: str
    model: str
    origin: str
    protocol: str
    task: str
    metric: str
    language: str | None
    group: str | None
    printed: str
    value: float
    note: str | None = None


@cache
def paper_cells(table: int) -> tuple[PaperCell, ...]:
    """Reads one of the paper's tables."""
    file = package_files("xrete.results") / "paper" / f"table-{table:02}.json"
    return tuple(PaperCell(**cell) for cell in json.loads(file.read_text("utf-8"))["cells"])


class Paper:
    """One table of the paper, looked up like measured records.

    Attributes:
        subjects: Its rows, in the paper's order, labelled as the paper's.
    """

    def __init__(self, table: int) -> None:
        cells = [cell for cell in paper_cells(table) if not cell.model.startswith(_ABLATIONS)]
        subjects = {cell.row: _subject(cell) for cell in cells}
        self.table = table
        self.subjects = list(subjects.values())
        self._cells = {(subjects[cell.row], _measure(cell)): cell for cell in cells}

    def measures(self, subject: Subject, task: str) -> Iterable[tuple[str, str]]:
        """Returns the protocols and metrics that a row has numbers of a task for."""
        found = (measure for row, measure in self._cells if row == subject and measure.task == task)
        return dict.fromkeys((measure.protocol, measure.metric) for measure in found)

    def cell(self, subject: Subject, measure: Measure) -> Cell:
        """Returns the published number, or that there is none."""
        found = self._cells.get((subject, measure))
        if found is None:
            return Cell(subject=subject, measure=measure, reason=NOT_PUBLISHED)
        notes = (f"paper: {found.note}",) if found.note else ()
        return Cell(subject=subject, measure=measure, value=found.value, printed=found.printed, notes=notes)


def _subject(cell: PaperCell) -> Subject:
    # The paper's asterisk, on the rows that it took from the literature, would look like a mark of ours.
    row = f"{cell.row.removesuffix('*')} (literature)" if cell.row.endswith("*") else cell.row
    return Subject(model=cell.model, revision=None, label=f"paper: {row}", origin="paper")


def _measure(cell: PaperCell) -> Measure:
    group = None if cell.language else cell.group or ALL
    return Measure(task=cell.task, protocol=cell.protocol, metric=cell.metric, group=group, language=cell.language)
