"""The leaderboard: a table of scores as plain data, before any format."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

from xrete.files import digest
from xrete.record import Interval
from xrete.reporting.ablation import Setting
from xrete.reporting.tuning import Tuned

if TYPE_CHECKING:
    from xrete.scores.comparison import Standing

Mark = Literal["best", "second"]
Origin = Literal["measured", "paper", "mteb"]
Status = Literal["reproduced", "differs", "not reproducible", "not comparable", "not measured"]
"""Status of a published number. Where nobody can measure it again, it is not reproducible."""

NOT_RUN = "not run"
NOT_SCORED = "language not scored"
NOT_PUBLISHED = "not in the paper"
NO_NUMBER = "without a published number"
ALL = "all"
"""The group of every language; its mean is the headline score."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """Whose number it is: a measured model, or a row of the paper or of another source.

    Attributes:
        model: The model's name.
        revision: Its revision; None of published ones.
        label: What tables print.
        origin: Who measured it.
        published: The name by which `results/paper` knows the model, None where it cannot be there.
        setting: How XRETE trained it, where its records say so.
        variant: What sets its fine-tuning apart from the usual one (`xrete.reporting.tuning.variant`).
    """

    model: str
    revision: str | None
    label: str
    origin: Origin
    published: str | None = None
    setting: Setting | None = None
    variant: str = ""


@dataclass(frozen=True, kw_only=True)
class Measure:
    """What number it is: one metric of a task under a protocol, of one language or of a group's mean."""

    task: str
    protocol: str
    metric: str
    group: str | None = None
    language: str | None = None


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What a number rests on. Numbers on unequal evidence are never compared.

    Attributes:
        record: The record's file, below its results folder; None of a published number.
        split: The split that was scored.
        source: "dir", "hub" or "mini"; of a published number, who published it.
        revision: The pinned revision of the data, where there is one.
        fingerprint: Digest over every text and label that was scored; empty where nobody says it.
        languages: The languages that the number was taken over, sorted.
        missing: Those that it should have been taken over too.
        n: Number of items.
        tuned: How the model was fine-tuned, where it was.
    """

    record: str | None
    split: str
    source: str
    revision: str | None
    fingerprint: str
    languages: tuple[str, ...]
    missing: tuple[str, ...]
    n: int
    tuned: Tuned | None = None

    @property
    def expected(self) -> int:
        """Number of languages that it should have been taken over."""
        return len(self.languages) + len(self.missing)

    @property
    def language_set(self) -> str:
        """A short digest: equal for equal sets of languages."""
        return digest(self.languages)[:12]

    @property
    def is_partial(self) -> bool:
        """Returns whether languages are missing from the mean."""
        return bool(self.missing)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What became of a published number.

    Attributes:
        status: See `Status`.
        difference: The closest measured number less the published one, in the record's unit; None where none may be
            compared.
        ours: The label of the model that was measured.
        reasons: Sentences: why it is not reproducible, not comparable or not measured.
    """

    status: Status
    difference: float | None = None
    ours: str | None = None
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class TableCell:
    """One number, or the reason why there is none.

    Attributes:
        subject: Whose number.
        measure: What number.
        value: The number in the record's unit; None where `reason` says why.
        reason: Why there is no number.
        ci95: The 95 % interval, where the record holds one for this metric.
        higher_is_better: None where nobody says it; such cells are never marked.
        evidence: What a number rests on; None for the paper's.
        printed: The paper's number as printed, in the paper's unit.
        digits: Decimals to show, the same for every cell of a task and metric.
        mark: Best or second best among the cells that it may be compared with.
        standing: What is known of its rank among those; None where nothing is.
        verdict: What became of a published number; None for measured ones.
        notes: Sentences about this cell.
    """

    subject: Subject
    measure: Measure
    value: float | None = None
    reason: str | None = None
    ci95: Interval | None = None
    higher_is_better: bool | None = None
    evidence: Evidence | None = None
    printed: str | None = None
    digits: int = 1
    mark: Mark | None = None
    standing: Standing | None = None
    verdict: Verdict | None = None
    notes: tuple[str, ...] = ()

    @property
    def is_as_printed(self) -> bool:
        """Returns whether it is a number of the paper that the paper prints in the same unit."""
        return self.printed is not None and float(self.printed) == self.value


@dataclass(frozen=True)
class Column:
    """A column's header, one entry a line, and sentences about all of its cells."""

    lines: tuple[str, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Row:
    """A row: its labels, its cells, the section that it stands in (sections are set apart), sentences about it."""

    labels: tuple[str, ...]
    cells: tuple[TableCell, ...]
    section: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Leaderboard:
    """A table.

    Attributes:
        table: The view's name, as `--table` takes it.
        title: One line.
        corner: Headers of the label columns.
        columns: Headers of the cells.
        rows: The rows, in order.
        intervals: Whether texts show intervals.
        remarks: Sentences about the whole table: what was left out, what the reference rows are.
    """

    table: str
    title: str
    corner: tuple[str, ...]
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    intervals: bool = False
    remarks: tuple[str, ...] = field(default=())

    @property
    def cells(self) -> Iterator[TableCell]:
        """Every cell, row by row."""
        return (cell for row in self.rows for cell in row.cells)


class Reference(Protocol):
    """Numbers that others published, looked up like measured records."""

    @property
    def subjects(self) -> Sequence[Subject]:
        """Whose numbers they are: one row each."""
        ...

    @property
    def pairs(self) -> Iterable[tuple[str, str]]:
        """The tasks and protocols that it has columns of."""
        ...

    def metrics(self, task: str, protocol: str) -> Iterable[str]:
        """Returns the metrics of a column."""
        ...

    def measures(self, subject: Subject) -> Iterator[Measure]:
        """Yields what a row has numbers of, without language or group."""
        ...

    def languages(self) -> set[str]:
        """Returns every language that it has numbers of."""
        ...

    def cell(self, subject: Subject, measure: Measure) -> TableCell:
        """Returns the published number, or that there is none."""
        ...
