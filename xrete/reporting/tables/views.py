"""The tables: which measures stand in which rows and columns."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from xrete import languages
from xrete.errors import UsageError, XreteError, unknown_name
from xrete.published.numbers import Publication
from xrete.reporting.collect import HOW_TO_RUN, Entry, EntryKind, Narrowed, narrow
from xrete.reporting.leaderboard import ALL, Column, Leaderboard, Measure, Reference, Row, Subject, TableCell
from xrete.reporting.paper.numbers import LANGUAGE_TABLES, TABLES, Paper
from xrete.reporting.paper.verdicts import judged
from xrete.reporting.published import Published
from xrete.reporting.tables import columns as columns_of
from xrete.reporting.tables import control, remarks
from xrete.reporting.tables.columns import VIEW_TASKS, ZERO_SHOT, protocol_order
from xrete.reporting.tables.marks import marked, set_apart
from xrete.reporting.tables.record_index import RecordIndex, known_metrics
from xrete.reporting.text import plain

Table = Literal["main", "zero-shot", "long-tail", "geometry", "ablation-phases", "ablation-ranks", "per-language"]

ABLATIONS: tuple[Table, ...] = ("ablation-phases", "ablation-ranks")
ABLATION_TASK = "tatoeba"
ABLATION_GROUP = "head"
"""Table 5 is over the 36 languages of this group."""

TITLES: dict[Table, str] = {
    "main": "Main results",
    "zero-shot": "Zero-shot: frozen sentence embeddings",
    "long-tail": "Head and long-tail languages",
    "geometry": "Geometry: invariance (kl), canonical form (ch), isotropy (pr)",
    "ablation-phases": "Ablation: phase 1 alone, the classifier of phase 1, and all of EMMA-X",
    "ablation-ranks": "Ablation: semantic classifier and number of ranks",
}


@dataclass(frozen=True, kw_only=True)
class Request:
    """What the user asked for, in the words of the command line, and what others published."""

    table: Table = "main"
    models: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    metric: str | None = None
    protocols: tuple[str, ...] = ()
    kind: EntryKind | None = None
    with_paper: bool = False
    publications: tuple[Publication, ...] = field(default=(), repr=False)
    intervals: bool = False

    def narrowed(self, entries: Sequence[Entry], *, kind: EntryKind | None = None) -> Narrowed:
        """Returns the records that are asked for, by `xrete.reporting.collect.narrow`.

        Args:
            entries: All records.
            kind: Of data, in place of what the user says.
        """
        names = {number.model for publication in self.publications for number in publication.numbers}
        own = tuple(name for name in self.models if name not in names)
        return narrow(entries, kind=kind or self.kind, models=own, tasks=self.tasks, protocols=self.protocols)

    def published(self, measured: Sequence[Subject]) -> Published | None:
        """Returns what others published of what is asked for, None where nothing of theirs is wanted.

        Args:
            measured: The models that were measured here.
        """
        if not self.publications:
            return None
        return Published(
            self.publications,
            measured=measured,
            models=self.models,
            tasks=self.tasks,
            protocols=self.protocols,
            metric=self.metric,
        )

    @property
    def paper_table(self) -> int | None:
        """The number of the paper's own table, if its rows are wanted and it has one."""
        if not self.with_paper:
            return None
        if self.table == "per-language":
            return LANGUAGE_TABLES.get(self.tasks[0])
        return TABLES[self.table]


_Track = tuple[RecordIndex | Reference, Subject, Measure]
"""A column of a table of languages: where its numbers come from, whose they are, and which (but the language)."""


@dataclass(frozen=True)
class _Draft:
    corner: tuple[str, ...]
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]


def build(entries: Sequence[Entry], request: Request) -> Leaderboard:
    """Arranges records as a table.

    Raises:
        UsageError: a model, task or metric that no record has, or a task missing or too many for its table.
        XreteError: no record belongs in the table, or the paper's rows would stand beside the mini sample.
    """
    if request.table == "per-language" and len(request.tasks) != 1:
        raise UsageError("the per-language table is of one task: name it with --task, as in --task tatoeba")
    narrowed = request.narrowed(entries)
    if (request.with_paper or request.publications) and narrowed.kind == "mini":
        raise XreteError(
            "published numbers (the paper's numbers too) cannot stand beside the mini sample, and there is nothing "
            "else here; score real data with 'xrete run --data DIR', or leave out --reference"
        )
    _check_metric(narrowed.entries, request.metric)
    index, number = RecordIndex(narrowed.entries), request.paper_table
    is_ablation = request.table in ABLATIONS
    paper = (
        Paper(number, tasks=request.tasks, protocols=request.protocols, ablations=is_ablation) if number else None
    )
    published = None if is_ablation else request.published(index.subjects)
    others: list[Reference] = [x for x in (paper, published) if x is not None]
    draft = _DRAFTS.get(request.table, _by_model)(index, others, request)
    if not any(cell.subject.origin == "measured" for row in draft.rows for cell in row.cells):
        raise XreteError(_nothing(request.table))
    return _finish(draft, index, paper, published, request, narrowed)


def _check_metric(entries: Sequence[Entry], metric: str | None) -> None:
    known = set().union(*(known_metrics(entry.record) for entry in entries))
    if metric is not None and metric not in known:
        raise unknown_name("metric", metric, map(plain, known), "leave out --metric for the headline ones")


def _nothing(table: Table) -> str:
    if table in ABLATIONS:
        return (
            f"no record here belongs in table {table}: none is of a model that says how it was trained; "
            "train some with 'xrete pretrain emmax' and score them with 'xrete run --model emmax:DIR'"
        )
    return f"no record here belongs in table {table}; {HOW_TO_RUN}"


def _by_model(index: RecordIndex, others: Sequence[Reference], request: Request) -> _Draft:
    """Models down, measures across."""
    every = len(request.protocols) > 1  # then they are to be seen side by side
    measures = columns_of.of_table(request.table, index, others, request.metric, every=every)
    is_ablation = request.table in ABLATIONS
    subjects = [
        subject
        for subject in index.subjects
        if any(index.candidates(subject, x.task, x.protocol) for x in measures)
        and (not is_ablation or (subject.setting and subject.setting.phases == "full"))
    ]
    grid = [[index.cell(subject, measure) for measure in measures] for subject in subjects]
    has_groups = any(measure.group != ALL for measure in measures)
    columns = tuple(
        Column(_header(measure, [row[i] for row in grid], has_groups)) for i, measure in enumerate(measures)
    )
    rows = [
        Row((_row_label(subject, is_ablation),), tuple(cells), "measured")
        for subject, cells in zip(subjects, set_apart(grid), strict=True)
    ]
    for other in others:
        published = [tuple(other.cell(subject, measure) for measure in measures) for subject in other.subjects]
        shown = [cells for cells in published if any(cell.value is not None for cell in cells)]
        rows += [Row((cells[0].subject.label,), cells, cells[0].subject.origin) for cells in shown]
    return _Draft(("model",), columns, tuple(rows))


def _row_label(subject: Subject, is_ablation: bool) -> str:
    return f"{subject.setting.label} {subject.label}" if is_ablation and subject.setting else subject.label


def _per_language(index: RecordIndex, others: Sequence[Reference], request: Request) -> _Draft:
    """Languages down, models across; the means over groups of languages below."""
    task = request.tasks[0]
    tracks = [
        (index, subject, Measure(task=task, protocol=protocol, metric=name))
        for subject in index.subjects
        for protocol in sorted(index.protocols(subject, task)[1], key=protocol_order)
        for name in index.metrics(task, protocol, request.metric)
    ]
    codes, groups = _scored(index, tracks)
    codes = codes.union(*(other.languages() for other in others))
    return _by_language([*tracks, *_published(others, task, request)], codes, groups)


def _phases(index: RecordIndex, others: Sequence[Reference], request: Request) -> _Draft:
    """Table 5: the languages of one group down, the settings of phase 2 across."""
    tracks = [
        (index, subject, Measure(task=ABLATION_TASK, protocol=ZERO_SHOT, metric=name))
        for subject in index.subjects
        for name in index.metrics(ABLATION_TASK, ZERO_SHOT, request.metric)
        if subject.setting and subject.setting.classifier == "gmm"
        if index.candidates(subject, ABLATION_TASK, ZERO_SHOT)
    ]
    ranked = (index.ranked(subject, measure) for _, subject, measure in tracks)
    records = (entries[0].record for entries in ranked if entries)
    members = [group for record in records if (group := record.groups.get(ABLATION_GROUP))]
    codes = {code for group in members for code in (*group.languages, *group.missing)}
    codes = codes.union(*(other.languages() for other in others))
    return _by_language(
        [*tracks, *_published(others, ABLATION_TASK, request)], codes if tracks else (), [ABLATION_GROUP]
    )


_DRAFTS: dict[Table, Callable[[RecordIndex, Sequence[Reference], Request], _Draft]] = {
    "per-language": _per_language,
    "ablation-phases": _phases,
}


def _published(others: Sequence[Reference], task: str, request: Request) -> list[_Track]:
    """Returns the columns of others: of hundreds of models only those that were measured here too, or are named."""
    return [
        (other, subject, measure)
        for other in others
        for subject in (other.beside if isinstance(other, Published) and not request.models else other.subjects)
        for measure in other.measures(subject)
        if measure.task == task and request.metric in (None, measure.metric)
    ]


def _by_language(tracks: Sequence[_Track], codes: set[str] | Sequence[str], groups: Sequence[str]) -> _Draft:
    rows = [Row((code, languages.name(code)), _line(tracks, language=code), "languages") for code in sorted(codes)]
    rows += [Row(("mean", group), _line(tracks, group=group), "means") for group in groups]
    columns = []
    for place, (_, subject, measure) in enumerate(tracks):
        _, *lines = _header(measure, [row.cells[place] for row in rows], has_groups=False)
        setting = [subject.setting.label] if subject.setting else []
        columns.append(Column((subject.label, *setting, *lines)))
    return _Draft(("code", "language"), tuple(columns), tuple(rows))


def _scored(
    index: RecordIndex, tracks: Sequence[tuple[RecordIndex, Subject, Measure]]
) -> tuple[set[str], list[str]]:
    """Returns the languages that somebody has scored, and the groups that somebody has a mean of, all first."""
    ranked = (index.ranked(subject, measure) for _, subject, measure in tracks)
    records = [entries[0].record for entries in ranked if entries]
    codes = {code for record in records for code in record.languages}
    return codes, list(dict.fromkeys([ALL, *(name for record in records for name in record.groups)]))


def _line(
    tracks: Sequence[_Track], *, language: str | None = None, group: str | None = None
) -> tuple[TableCell, ...]:
    return tuple(
        source.cell(subject, replace(measure, language=language, group=group))
        for source, subject, measure in tracks
    )


def _header(measure: Measure, cells: Sequence[TableCell], has_groups: bool) -> tuple[str, ...]:
    directions = {cell.higher_is_better for cell in cells if cell.evidence}
    arrow = " ↑" if directions == {True} else " ↓" if directions == {False} else ""
    group = (measure.group,) if measure.group and has_groups else ()
    return (measure.task, *group, measure.protocol, f"{measure.metric}{arrow}")


def _finish(
    draft: _Draft,
    index: RecordIndex,
    paper: Paper | None,
    published: Published | None,
    request: Request,
    narrowed: Narrowed,
) -> Leaderboard:
    """Marks the best cells, judges the published ones, and says below the table what there is to say."""
    lines, problems = marked([row.cells for row in draft.rows], index)
    rows = tuple(replace(row, cells=cells) for row, cells in zip(draft.rows, lines, strict=True))
    rows = judged(rows, paper) if paper else rows
    rows = published.judged(rows) if published else rows
    cells = [cell for row in rows for cell in row.cells]
    is_mini, is_by_language = narrowed.kind == "mini", draft.rows[-1].section == "means"
    with_intervals = request.intervals or is_by_language
    title = f"{request.tasks[0]} per language" if request.table == "per-language" else TITLES[request.table]
    sentences = [
        [remarks.MINI_REMARK] if is_mini else [],
        remarks.splits(cells),
        remarks.intervals(cells, index) if with_intervals else [],
        remarks.unknown_directions(cells),
        remarks.unequal_columns(cells) if is_by_language else [],
        remarks.several(cells, index),
        control.gains(index) if request.table == "ablation-phases" else [],
        remarks.tuned(cells),
        remarks.no_records(VIEW_TASKS.get(request.table, ()), index),
        remarks.reference(cells, paper) if paper else [],
        published.remarks(cells) if published else [],
        problems,
        narrowed.remarks,
    ]
    return Leaderboard(
        table=request.table,
        title=f"{remarks.MINI_TITLE} · {title}" if is_mini else title,
        corner=draft.corner,
        columns=draft.columns,
        rows=rows,
        intervals=with_intervals,
        remarks=tuple(itertools.chain(*sentences)),
    )
