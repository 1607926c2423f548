"""The tables: which measures stand in which rows and columns."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from xrete import languages
from xrete.errors import UsageError, XreteError, unknown_name
from xrete.reporting import remarks
from xrete.reporting.book import Book, known_metrics
from xrete.reporting.collect import HOW_TO_RUN, Entry, Kind, Narrowed, narrow
from xrete.reporting.leaderboard import ALL, Cell, Column, Leaderboard, Measure, Row, Subject
from xrete.reporting.marks import marked, set_apart
from xrete.reporting.paper import LANGUAGE_TABLES, LONG_TAIL_TABLE, MAIN_TABLE, ZERO_SHOT_TABLE, Paper
from xrete.reporting.text import plain

Table = Literal["main", "zero-shot", "long-tail", "per-language"]

ZERO_SHOT = "zero-shot"
PROTOCOLS = ("fine-tune", "probe", ZERO_SHOT, "prompt")
"""In the order in which the main table prefers them."""

TASKS = (
    *("xnli", "americasnli", "multists", "qe", "lareqa", "mewslix", "bucc", "tatoeba"),
    *("xcopa", "multieurlex", "multiarc", "pawsx", "flores", "flores-geometry"),
)
"""The paper's tasks in the order of its Table 1; others follow by name."""

ZERO_SHOT_TASKS = ("multists", "qe", "lareqa", "mewslix", "bucc", "tatoeba")
LONG_TAIL_TASKS = ("flores", "tatoeba")
LONG_TAIL_GROUPS = ("head", "long-tail")
VIEW_TASKS = {"zero-shot": ZERO_SHOT_TASKS, "long-tail": LONG_TAIL_TASKS}

TITLES = {
    "main": "Main results",
    "zero-shot": "Zero-shot: frozen sentence embeddings",
    "long-tail": "Head and long-tail languages",
}


@dataclass(frozen=True, kw_only=True)
class Request:
    """What the user asked for, in the words of the command line."""

    table: Table = "main"
    models: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    metric: str | None = None
    kind: Kind | None = None
    with_paper: bool = False
    intervals: bool = False


_Track = tuple[Book | Paper, Subject, Measure]
"""A column of the per-language table: where its numbers come from, whose they are, and which (but the language)."""


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
    narrowed = narrow(entries, kind=request.kind, models=request.models, tasks=request.tasks)
    if request.with_paper and narrowed.kind == "mini":
        raise XreteError(
            "the paper's numbers cannot stand beside the mini sample, and there is nothing else here; "
            "score real data with 'xrete run --data DIR', or leave out --reference paper"
        )
    _check_metric(narrowed.entries, request.metric)
    book, paper = Book(narrowed.entries), _paper(request)
    if request.table == "per-language":
        draft = _per_language(book, paper, request.tasks[0], request.metric)
    else:
        draft = _by_model(book, paper, _MEASURES[request.table](book, request.metric))
    if not any(row.cells for row in draft.rows):
        raise XreteError(f"no record here belongs in table {request.table}; {HOW_TO_RUN}")
    return _finish(draft, book, paper, request, narrowed)


def _check_metric(entries: Sequence[Entry], metric: str | None) -> None:
    known = set().union(*(known_metrics(entry.record) for entry in entries))
    if metric is not None and metric not in known:
        raise unknown_name("metric", metric, map(plain, known), "leave out --metric for the headline ones")


def _paper(request: Request) -> Paper | None:
    tables = {"main": MAIN_TABLE, "zero-shot": ZERO_SHOT_TABLE, "long-tail": LONG_TAIL_TABLE}
    table = tables.get(request.table) or LANGUAGE_TABLES.get(request.tasks[0] if request.tasks else "")
    return Paper(table) if request.with_paper and table else None


def _task_order(task: str) -> tuple[int, str]:
    return (TASKS.index(task) if task in TASKS else len(TASKS), task)


def _protocol_order(protocol: str) -> tuple[int, str]:
    return (PROTOCOLS.index(protocol) if protocol in PROTOCOLS else len(PROTOCOLS), protocol)


def _main(book: Book, metric: str | None) -> list[Measure]:
    """One column a task and protocol: for each model the protocol that comes first among those it has.

    The first one of any status stands too, so that a fine-tuning that failed does not vanish behind a zero-shot
    score.
    """
    wanted: set[tuple[str, str]] = set()
    for subject, task in itertools.product(book.subjects, book.tasks):
        for protocols in book.protocols(subject, task):
            wanted.update((task, protocol) for protocol in sorted(protocols, key=_protocol_order)[:1])
    ordered = sorted(wanted, key=lambda pair: (_task_order(pair[0]), _protocol_order(pair[1])))
    return _measures(book, ordered, (ALL,), metric)


def _zero_shot(book: Book, metric: str | None) -> list[Measure]:
    return _measures(book, [(task, ZERO_SHOT) for task in ZERO_SHOT_TASKS], (ALL,), metric)


def _long_tail(book: Book, metric: str | None) -> list[Measure]:
    return _measures(book, [(task, ZERO_SHOT) for task in LONG_TAIL_TASKS], LONG_TAIL_GROUPS, metric)


_MEASURES: dict[Table, Callable[[Book, str | None], list[Measure]]] = {
    "main": _main,
    "zero-shot": _zero_shot,
    "long-tail": _long_tail,
}


def _measures(
    book: Book, pairs: Sequence[tuple[str, str]], groups: Sequence[str], metric: str | None
) -> list[Measure]:
    return [
        Measure(task=task, protocol=protocol, metric=name, group=group)
        for task, protocol in pairs
        for name in book.metrics(task, protocol, metric)
        for group in groups
    ]


def _by_model(book: Book, paper: Paper | None, measures: Sequence[Measure]) -> _Draft:
    """Models down, measures across."""
    subjects = [
        subject for subject in book.subjects if any(book.candidates(subject, x.task, x.protocol) for x in measures)
    ]
    grid = [[book.cell(subject, measure) for measure in measures] for subject in subjects]
    columns = tuple(Column(_header(measure, [row[i] for row in grid])) for i, measure in enumerate(measures))
    rows = [
        Row((subject.label,), tuple(cells), "measured")
        for subject, cells in zip(subjects, set_apart(grid), strict=True)
    ]
    if paper:
        published = [tuple(paper.cell(subject, measure) for measure in measures) for subject in paper.subjects]
        shown = [cells for cells in published if any(cell.value is not None for cell in cells)]
        rows += [Row((cells[0].subject.label,), cells, "paper") for cells in shown]
    return _Draft(("model",), columns, tuple(rows))


def _per_language(book: Book, paper: Paper | None, task: str, metric: str | None) -> _Draft:
    """Languages down, models across; the means over groups of languages below."""
    base = Measure(task=task, protocol="", metric="")
    tracks: list[_Track] = [
        (book, subject, replace(base, protocol=protocol, metric=name))
        for subject in book.subjects
        for protocol in sorted(book.protocols(subject, task)[1], key=_protocol_order)
        for name in book.metrics(task, protocol, metric)
    ]
    codes, groups = _scored(book, tracks)
    if paper:
        tracks += [
            (paper, subject, replace(base, protocol=protocol, metric=name))
            for subject in paper.subjects
            for protocol, name in paper.measures(subject, task)
            if metric in (None, name)
        ]
    rows = [Row((code, languages.name(code)), _line(tracks, language=code), "languages") for code in sorted(codes)]
    rows += [Row(("mean", group), _line(tracks, group=group), "means") for group in groups]
    columns = []
    for index, (_, subject, measure) in enumerate(tracks):
        _, *lines = _header(measure, [row.cells[index] for row in rows])
        columns.append(Column((subject.label, *lines)))
    return _Draft(("code", "language"), tuple(columns), tuple(rows))


def _scored(book: Book, tracks: Sequence[_Track]) -> tuple[set[str], list[str]]:
    """Returns the languages that somebody has scored, and the groups that somebody has a mean of, all first."""
    ranked = (book.ranked(subject, measure) for _, subject, measure in tracks)
    records = [entries[0].record for entries in ranked if entries]
    codes = {code for record in records for code in record.languages}
    return codes, list(dict.fromkeys([ALL, *(name for record in records for name in record.groups)]))


def _line(tracks: Sequence[_Track], *, language: str | None = None, group: str | None = None) -> tuple[Cell, ...]:
    return tuple(
        source.cell(subject, replace(measure, language=language, group=group))
        for source, subject, measure in tracks
    )


def _header(measure: Measure, cells: Sequence[Cell]) -> tuple[str, ...]:
    directions = {cell.higher_is_better for cell in cells if cell.evidence}
    arrow = " ↑" if directions == {True} else " ↓" if directions == {False} else ""
    group = (measure.group,) if measure.group and measure.group != ALL else ()
    return (measure.task, *group, measure.protocol, f"{measure.metric}{arrow}")


def _finish(draft: _Draft, book: Book, paper: Paper | None, request: Request, narrowed: Narrowed) -> Leaderboard:
    """Marks the best cells, and says below the table what there is to say."""
    lines = marked([row.cells for row in draft.rows])
    rows = tuple(replace(row, cells=cells) for row, cells in zip(draft.rows, lines, strict=True))
    cells = [cell for row in rows for cell in row.cells]
    is_mini, is_per_language = narrowed.kind == "mini", request.table == "per-language"
    with_intervals = request.intervals or is_per_language
    title = f"{request.tasks[0]} per language" if is_per_language else TITLES[request.table]
    sentences = [
        [remarks.MINI_REMARK] if is_mini else [],
        remarks.splits(cells),
        remarks.intervals(cells, book) if with_intervals else [],
        remarks.unknown_directions(cells),
        remarks.unequal_columns(cells) if is_per_language else [],
        remarks.several(cells, book),
        remarks.no_records(VIEW_TASKS.get(request.table, ()), book),
        remarks.reference(cells, paper) if paper else [],
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
