"""What the page knows, as data for JSON: no text of a record reaches it unless it is harmless to show.

Numbers are those of the records. Cells that stand on the same `data` were taken over the same languages of the same
split of the same texts, and only those are compared.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from xrete import __version__, languages
from xrete.model import ROLES
from xrete.published.numbers import Publication
from xrete.record import Interval, ModelPart, Record
from xrete.reporting.answer.scores import known
from xrete.reporting.collect import Entry, Narrowed
from xrete.reporting.formats.cells import number
from xrete.reporting.leaderboard import ALL, NOT_RUN, Measure, Row, Subject, TableCell
from xrete.reporting.page import known as known_columns
from xrete.reporting.page.pictures import Picture
from xrete.reporting.paper.numbers import Paper
from xrete.reporting.paper.verdicts import judged
from xrete.reporting.published import Published
from xrete.reporting.tables import columns, marks, remarks
from xrete.reporting.tables.record_index import GEOMETRY, RecordIndex
from xrete.reporting.text import plain
from xrete.reporting.tuning import Tuned, setting

NAME_LIMIT = 80
TEXT_LIMIT = 400
PAPER_TABLES = (1, 2, 3, 4)
CATEGORIES = {"bitext": "retrieval", "mining": "retrieval", "ranking": "retrieval", "ordinal": "classification"}
"""Of tasks that are not installed here, by shape; a shape that is missing is its own category."""


def content(
    narrowed: Narrowed,
    pictures: Sequence[Picture],
    *,
    with_paper: bool,
    publications: Sequence[Publication] = (),
) -> dict[str, Any]:
    """Arranges records for the page.

    Args:
        narrowed: The records.
        pictures: Models' spaces in the plane.
        with_paper: Whether the paper's rows are there.
        publications: What others published, whose models stand beside those that were measured here.
    """
    columns_of_known = known_columns.content(known(narrowed.entries, publications), publications)
    index = RecordIndex(narrowed.entries)
    papers = [Paper(table, tasks=sorted(index.tasks)) for table in PAPER_TABLES] if with_paper else []
    boards = columns_of_known["boards"] if columns_of_known else ()
    measures = _measures(index, papers, boards)
    board = _Board(index, measures)
    records = [entry.record for entry in narrowed.entries]
    codes = {code for part in board.data for code in (*part["languages"], *part["missing"])}
    codes |= {code for picture in pictures for code in picture.languages}
    codes |= known_columns.languages_of(columns_of_known) if columns_of_known else set()
    standards = {x for code in codes for x in _standards(code)}
    standards |= set(columns_of_known["asked"]) if columns_of_known else set()
    return {
        "version": __version__,
        "mini": remarks.MINI_REMARK if narrowed.kind == "mini" else None,
        "newest": max(record.created for record in records)[:10],
        "records": len(records),
        "languages": {code: _language(code) for code in sorted(codes)},
        "names": {key: languages.name(key) for key in sorted(standards)},
        "scripts": {key: _script_name(key) for key in sorted({x for code in codes for x in _scripts(code)})},
        "tasks": {
            task: _task(task, index) for task in sorted(_tasks(index, columns_of_known), key=columns.task_order)
        },
        "models": [_model(subject, index) for subject in index.subjects],
        "measures": [_measure(measure, board, _direction(measure, boards)) for measure in measures],
        "data": board.data,
        "cells": board.cells,
        "runs": board.runs,
        "paper": [*_published(index, papers, measures), *_of_the_same_models(index, publications, measures)],
        "known": columns_of_known,
        "pictures": [picture.content for picture in pictures],
        "remarks": [
            *map(plain, remarks.several(board.shown, index)),
            *remarks.tuned(board.shown),
            *map(plain, board.problems),
            *narrowed.remarks,
        ],
    }


def _measures(index: RecordIndex, papers: Sequence[Paper], boards: Sequence[Mapping[str, Any]]) -> list[Measure]:
    """The headline metric of every task and protocol with a record or a published number; the three of geometry."""
    pairs = {
        (task, protocol): None
        for task in sorted(index.tasks, key=columns.task_order)
        for protocol in sorted(
            {name for subject in index.subjects for name in index.protocols(subject, task)[1]},
            key=columns.protocol_order,
        )
    }
    pairs |= {pair: None for paper in papers for pair in paper.pairs}
    pairs |= {(board["task"], board["protocol"]): None for board in boards}
    ordered = sorted(pairs, key=lambda pair: (columns.task_order(pair[0]), columns.protocol_order(pair[1])))
    return [
        Measure(task=task, protocol=protocol, metric=metric, group=ALL)
        for task, protocol in ordered
        for metric in dict.fromkeys(
            GEOMETRY
            if task == columns.GEOMETRY_TASK
            else [
                *index.metrics(task, protocol, None),
                *(name for paper in papers for name in paper.metrics(task, protocol)),
                *(x["metric"] for x in boards if (x["task"], x["protocol"]) == (task, protocol)),
            ]
        )
    ]


class _Board:
    """Cells, and what they share: each set of data and each run once."""

    def __init__(self, index: RecordIndex, measures: Sequence[Measure]) -> None:
        self.data: list[dict[str, Any]] = []
        self.runs: list[dict[str, Any]] = []
        self.cells: list[dict[str, Any]] = []
        self._places: dict[Any, int] = {}
        self._runs: dict[str, int] = {}
        self._index, self._measures = index, measures
        self.problems: dict[str, None] = {}
        grids = {name: self._grid(name, tasks) for name, tasks in index.groups.items()}
        self.shown = list(grids[ALL].values())
        self.digits = {cell.measure: cell.digits for cell in self.shown}
        self.directions = {
            cell.measure: cell.higher_is_better for cell in self.shown if cell.higher_is_better is not None
        }
        for (row, column), whole in grids[ALL].items():
            if whole.reason != NOT_RUN:
                cells = {name: grid[row, column] for name, grid in grids.items() if (row, column) in grid}
                self.cells.append({"model": row, "measure": column} | self._cell(cells))

    def _grid(self, group: str, tasks: Collection[str]) -> dict[tuple[int, int], TableCell]:
        """Returns the cells of some tasks by the numbers of their model and measure."""
        measures = [
            (number, replace(measure, group=group))
            for number, measure in enumerate(self._measures)
            if group == ALL or measure.task in tasks
        ]
        grid = [[self._index.cell(subject, measure) for _, measure in measures] for subject in self._index.subjects]
        rows, problems = marks.marked(grid, self._index)
        self.problems |= dict.fromkeys(problems)
        return {
            (row, column): cell
            for row, cells in enumerate(rows)
            for (column, _), cell in zip(measures, cells, strict=True)
        }

    def _cell(self, cells: Mapping[str, TableCell]) -> dict[str, Any]:
        whole = cells[ALL]
        if whole.value is None:
            return {"reason": plain(whole.reason or "", TEXT_LIMIT)}
        entry = self._index.ranked(whole.subject, whole.measure)[0]
        groups = {name: _number(cell) for name, cell in cells.items() if cell.value is not None}
        return {"groups": groups, "run": self._run(entry), "data": self._place(entry.record)} | _scores(
            entry.record, whole.measure.metric
        )

    def _run(self, entry: Entry) -> int:
        if entry.file not in self._runs:
            self._runs[entry.file] = len(self.runs)
            self.runs.append(_run(entry))
        return self._runs[entry.file]

    def _place(self, record: Record) -> int:
        """Returns the number of the record's data, equal for records that may be compared."""
        codes = tuple(sorted(record.languages))
        data = record.data
        key = (record.task, data.split, data.source == "mini", data.fingerprint, codes, record.missing_languages)
        if key not in self._places:
            self._places[key] = len(self.data)
            groups = {name: [*group.languages, *group.missing] for name, group in record.groups.items()}
            self.data.append(
                {
                    "split": plain(data.split, NAME_LIMIT),
                    "source": data.source,
                    "revision": data.revision and plain(data.revision, NAME_LIMIT),
                    "fingerprint": plain(data.fingerprint, NAME_LIMIT),
                    "languages": codes,
                    "missing": sorted(record.missing_languages),
                    "items": [record.languages[code].n for code in codes],
                    "groups": {name: members for name, members in groups.items() if name != ALL},
                }
            )
        return self._places[key]


def _number(cell: TableCell) -> dict[str, Any]:
    standing = cell.standing
    return {
        "value": cell.value,
        "shown": number(cell),
        "interval": cell.ci95,
        "spread": cell.evidence and cell.evidence.tuned and cell.evidence.tuned.spread,
        "mark": cell.mark,
        "rank": standing and [standing.best, standing.worst],
    }


def _scores(record: Record, metric: str) -> dict[str, Any]:
    """Returns a metric's values of single languages, in the order of the record's data."""
    rows = [record.languages[code] for code in sorted(record.languages)]
    is_headline = metric == record.metric
    scores = [x.score if is_headline else x.variants.get(metric) for x in rows]
    intervals = [x.ci95 for x in rows] if is_headline else []
    return {
        "scores": known_columns.rounded(scores),
        "low": _ends(intervals, 0),
        "high": _ends(intervals, 1),
    }


def _ends(intervals: Sequence[Interval | None], end: int) -> list[float | None] | None:
    return known_columns.rounded([x and x[end] for x in intervals], 3) if any(intervals) else None


def _run(entry: Entry) -> dict[str, Any]:
    record, environment = entry.record, entry.record.environment
    return {
        "file": plain(entry.file, TEXT_LIMIT),
        "command": plain(record.command, TEXT_LIMIT),
        "created": plain(record.created, NAME_LIMIT),
        "code": plain(_code(record), NAME_LIMIT),
        "prompts": [[whose, plain(prompt, NAME_LIMIT)] for whose, prompt in _prompts(record.model)],
        "machine": plain(f"{environment.platform}, {environment.device}, {environment.dtype}", NAME_LIMIT),
        "tuning": _tuning(record),
        # Of what was fine-tuned, the time is that of training too.
        "speed": None if record.fine_tuning else record.cost.sentences_per_second,
        "truncated": record.cost.truncated,
        "interval": plain(record.interval.method, TEXT_LIMIT),
        "notes": [plain(note, TEXT_LIMIT) for note in record.notes],
    }


def _prompts(model: ModelPart) -> list[tuple[str, str]]:
    """Returns what was put before which texts; none where nothing was."""
    if not model.prompts:
        return [("every text", model.prefix)] if model.prefix else []
    names = {"query": "queries", "document": "documents"}
    return [(names[role], model.prompts.get(role, model.prefix)) for role in ROLES]


def _tuning(record: Record) -> dict[str, Any] | None:
    tuned, tuning = Tuned.of(record), record.fine_tuning
    if tuned is None or tuning is None:
        return None
    settings = [", ".join(setting(key, value) for key, value in stage.items()) for stage in tuning.stages]
    return {
        "words": plain("; ".join(filter(None, (tuned.sentence, tuned.variant))), TEXT_LIMIT),
        "languages": plain(", ".join(tuned.languages), TEXT_LIMIT) if len(tuned.languages) > 1 else None,
        "stages": [plain(stage, TEXT_LIMIT) for stage in settings],
        "runs": [[run.seed, run.score] for run in tuning.runs],
    }


def _code(record: Record) -> str:
    commit = f", commit {record.code.commit[:8]}" if record.code.commit else ""
    return f"XRETE {record.code.version}{commit}{', changed' if record.code.dirty else ''}"


def _model(subject: Subject, index: RecordIndex) -> dict[str, Any]:
    model = index.model(subject)
    return {
        "label": plain(subject.label, NAME_LIMIT),
        "name": plain(model.name, TEXT_LIMIT),
        "revision": plain(model.revision, NAME_LIMIT),
        "parameters": model.params,
        "dimension": model.dim,
        "pooling": plain(model.pooling, NAME_LIMIT),
        "tokens": model.max_length,
        "setting": subject.setting and subject.setting.label,
        "variant": plain(subject.variant, NAME_LIMIT),
    }


def _direction(measure: Measure, boards: Sequence[Mapping[str, Any]]) -> bool | None:
    """Returns whether a measure is better when it is higher, as published numbers of it say."""
    own = (measure.task, measure.protocol, measure.metric)
    return next((x["higher"] for x in boards if (x["task"], x["protocol"], x["metric"]) == own), None)


def _measure(measure: Measure, board: _Board, published: bool | None) -> dict[str, Any]:
    return {
        "task": measure.task,
        "protocol": plain(measure.protocol, NAME_LIMIT),
        "metric": plain(measure.metric, NAME_LIMIT),
        "higher": board.directions.get(measure, published),
        "digits": board.digits[measure],
        "isMean": measure.task != columns.GEOMETRY_TASK,
    }


def _tasks(index: RecordIndex, known: Mapping[str, Any] | None) -> set[str]:
    return set(index.tasks) | {board["task"] for board in (known["boards"] if known else ())}


def _task(name: str, index: RecordIndex) -> dict[str, str]:
    from xrete import registry

    if name in registry.names("tasks"):
        card = registry.task(name).card
        return {"title": plain(card.title, TEXT_LIMIT), "category": plain(card.category, NAME_LIMIT)}
    shape = index.shape(name)
    return {"title": plain(name, TEXT_LIMIT), "category": plain(CATEGORIES.get(shape, shape), NAME_LIMIT)}


def _published(
    index: RecordIndex, papers: Sequence[Paper], measures: Sequence[Measure]
) -> Iterator[dict[str, Any]]:
    """Yields the rows of the paper's tables, with the status of their numbers; of equal numbers only the first."""
    places = {(m.task, m.protocol, m.metric): place for place, m in enumerate(measures)}
    seen: set[tuple[str, Measure, str | None]] = set()
    for paper in papers:
        rows = [Row((subject.label,), tuple(paper.cells(subject)), "paper") for subject in paper.subjects]
        wanted = dict.fromkeys(cell.measure for row in rows for cell in row.cells)
        ours = [
            Row((x.label,), tuple(index.cell(x, measure) for measure in wanted), "measured") for x in index.subjects
        ]
        for row in judged([*ours, *rows], paper)[len(ours) :]:
            new = [cell for cell in row.cells if (cell.subject.model, cell.measure, cell.printed) not in seen]
            seen.update((cell.subject.model, cell.measure, cell.printed) for cell in new)
            cells = [_published_cell(cell, places) for cell in new]
            if any(cells):
                label = row.labels[0].removeprefix("paper: ")
                yield {
                    "label": label,
                    "table": paper.table,
                    "from": f"Table {paper.table}",
                    "publisher": "in the EMMA-X paper",
                    "cells": list(filter(None, cells)),
                }


def _of_the_same_models(
    index: RecordIndex, publications: Sequence[Publication], measures: Sequence[Measure]
) -> Iterator[dict[str, Any]]:
    """Yields what others published of models that were measured here, and whether ours agrees."""
    if not publications:
        return
    published = Published(publications, measured=index.subjects)
    places = {(m.task, m.protocol, m.metric): place for place, m in enumerate(measures)}
    wanted = [replace(measure, group=group) for measure in measures for group in index.groups]
    named = {subject.model for subject in published.beside}
    own = [subject for subject in index.subjects if published.elsewhere.get(subject) in named]
    rows = [
        Row((x.label,), tuple(source.cell(x, measure) for measure in wanted), x.origin)
        for source, subjects in ((index, own), (published, published.beside))
        for x in subjects
    ]
    for row in published.judged(rows)[len(own) :]:
        cells = list(filter(None, (_published_cell(cell, places) for cell in row.cells)))
        if cells:
            label = plain(row.cells[0].subject.model, NAME_LIMIT)
            name = published.source.upper()
            yield {"label": label, "table": None, "from": name, "publisher": f"by {name}", "cells": cells}


def _published_cell(cell: TableCell, places: Mapping[tuple[str, str, str], int]) -> dict[str, Any] | None:
    m, verdict = cell.measure, cell.verdict
    place = places.get((m.task, "fine-tune" if m.protocol == "prompt" else m.protocol, m.metric))
    if place is None or verdict is None:
        return None
    return {
        "measure": place,
        "group": m.group,
        "shown": number(cell),
        "status": verdict.status,
        "difference": verdict.difference,
        "ours": verdict.ours and plain(verdict.ours, NAME_LIMIT),
        "notes": [plain(note, TEXT_LIMIT) for note in cell.notes],
    }


def _language(code: str) -> dict[str, Any]:
    return {"name": plain(languages.name(code), NAME_LIMIT), "of": _standards(code), "scripts": _scripts(code)}


def _parts(code: str) -> Iterable[str]:
    return code.split("-") if "-" in code else [code]


def _standards(code: str) -> list[str]:
    return list(dict.fromkeys(languages.standard(part) for part in _parts(code)))


def _scripts(code: str) -> list[str]:
    return list(dict.fromkeys(languages.script(part) for part in _parts(code)))


def _script_name(script: str) -> str:
    from langcodes import Language

    return Language.make(script=script).script_name()
