"""The paper's numbers as reference rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from xrete.published.paper import PaperCell, paper_cells
from xrete.reporting.leaderboard import ALL, NOT_PUBLISHED, Measure, Subject, TableCell

TABLES = {"main": 1, "zero-shot": 2, "long-tail": 3, "geometry": 4, "ablation-phases": 5, "ablation-ranks": 6}
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

_ABLATED = "emmax-"
"""Ablated models belong to the ablation tables only."""


class Paper:
    """One table of the paper, looked up like measured records.

    Attributes:
        table: Its number.
        subjects: Its rows, in the paper's order, labelled as the paper's.
    """

    def __init__(
        self, table: int, *, tasks: Sequence[str] = (), protocols: Sequence[str] = (), ablations: bool = False
    ) -> None:
        """Reads the table.

        Args:
            table: Its number.
            tasks: Only these; all where none is named.
            protocols: The same of protocols.
            ablations: Whether ablated models are among the rows.
        """
        cells = [
            cell
            for cell in paper_cells(table)
            if (ablations or not cell.model.startswith(_ABLATED))
            and (not tasks or cell.task in tasks)
            and (not protocols or cell.protocol in protocols)
        ]
        subjects = {cell.row: _subject(cell) for cell in cells}
        self.table = table
        self.subjects = list(subjects.values())
        self._cells = {(subjects[cell.row], _measure(cell)): cell for cell in cells}

    @property
    def pairs(self) -> Iterable[tuple[str, str]]:
        """The tasks and protocols that it has columns of; prompted models stand in those of the fine-tuned ones."""
        pairs = {(measure.task, measure.protocol): None for _, measure in self._cells}
        return [(task, protocol) for task, protocol in pairs if protocol != "prompt"]

    def metrics(self, task: str, protocol: str) -> Iterable[str]:
        """Returns the metrics of a column."""
        pair = (task, protocol)
        return dict.fromkeys(m.metric for _, m in self._cells if (m.task, m.protocol) == pair)

    def measures(self, subject: Subject) -> Iterator[Measure]:
        """Yields what a row has numbers of, without language or group."""
        measures = (measure for row, measure in self._cells if row == subject)
        return iter(dict.fromkeys(replace(measure, language=None, group=None) for measure in measures))

    def languages(self) -> set[str]:
        """Returns every language that it has numbers of."""
        return {measure.language for _, measure in self._cells if measure.language}

    def published(self, cell: TableCell) -> PaperCell | None:
        """Returns what is known of a published number."""
        return self._cells.get((cell.subject, cell.measure))

    def cells(self, subject: Subject) -> Iterator[TableCell]:
        """Yields every number of a row."""
        return (self.cell(row, measure) for row, measure in self._cells if row == subject)

    def cell(self, subject: Subject, measure: Measure) -> TableCell:
        """Returns the published number, or that there is none.

        Prompted numbers stand in the columns of the fine-tuned ones, as in the paper; their rows say so.
        """
        asked, published = measure, self._cells.get((subject, measure))
        if published is None and measure.protocol == "fine-tune":
            measure = replace(measure, protocol="prompt")
            published = self._cells.get((subject, measure))
        if published is None:
            return TableCell(subject=subject, measure=asked, reason=NOT_PUBLISHED)
        notes = (f"paper: {published.note}",) if published.note else ()
        return TableCell(
            subject=subject, measure=measure, value=published.value, printed=published.printed, notes=notes
        )


def _subject(cell: PaperCell) -> Subject:
    # The paper's asterisk, on the rows that it took from the literature, would look like a mark of ours.
    row = f"{cell.row.removesuffix('*')} (literature)" if cell.row.endswith("*") else cell.row
    row += " (prompted)" if cell.protocol == "prompt" else ""
    return Subject(model=cell.model, revision=None, label=f"paper: {row}", origin="paper", published=cell.model)


def _measure(cell: PaperCell) -> Measure:
    group = None if cell.language else cell.group or ALL
    return Measure(task=cell.task, protocol=cell.protocol, metric=cell.metric, group=group, language=cell.language)
