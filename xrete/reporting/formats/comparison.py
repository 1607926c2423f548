"""A comparison as text, Markdown, CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from xrete import languages
from xrete.reporting.formats.cells import MISSING, signed
from xrete.reporting.formats.csv_json import safe_cell
from xrete.reporting.formats.markdown import escape
from xrete.reporting.formats.terminal import WIDTH
from xrete.reporting.tables.comparisons import Comparison
from xrete.reporting.tables.marks import usual_digits
from xrete.reporting.text import NAME_LIMIT, NOTE_LIMIT, plain
from xrete.scores import resampling
from xrete.scores.comparison import SIGNIFICANT, Difference, TaskDifference

SCHEMA = "xrete/comparison/1"

_HEADER = ("A", "B", "A − B", "95 % interval", "p", "better")
_SIDES = {"first": "A", "second": "B", None: MISSING}


@dataclass(frozen=True)
class _Grid:
    """A table as text: its labels stand left, its numbers right."""

    title: str
    header: tuple[str, ...]
    labels: int
    rows: tuple[tuple[str, ...], ...]


def print_text(comparison: Comparison, console: Console) -> None:
    """Prints the tables to a terminal."""
    for grid in _grids(comparison):
        console.print(Text(f"{grid.title}\n", style="bold"))
        table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, header_style="", show_edge=False)
        for place, name in enumerate(grid.header):
            is_label = place < grid.labels  # labels give way where a line is too long
            table.add_column(Text(name), no_wrap=not is_label, justify="left" if is_label else "right")
        for row in grid.rows:
            table.add_row(*map(Text, row))
        console.print(table, highlight=False)
        console.print()
    for sentence in _sentences(comparison):
        console.print(Text(plain(sentence, NOTE_LIMIT), style="dim"))


def to_text(comparison: Comparison) -> str:
    """Renders the tables as plain text."""
    file = io.StringIO()
    print_text(comparison, Console(file=file, width=WIDTH, color_system=None, legacy_windows=False))
    return "".join(f"{line.rstrip()}\n" for line in file.getvalue().splitlines())


def to_markdown(comparison: Comparison) -> str:
    """Renders the tables as Markdown (GitHub's flavour)."""
    parts = []
    for grid in _grids(comparison):
        rule = ["---"] * grid.labels + ["--:"] * (len(grid.header) - grid.labels)
        rows = [[escape(cell, NAME_LIMIT) for cell in row] for row in (grid.header, *grid.rows)]
        lines = [f"| {' | '.join(row)} |" for row in (rows[0], rule, *rows[1:])]
        parts.append(f"### {escape(grid.title)}\n\n" + "\n".join(lines) + "\n\n")
    return "".join(parts) + "".join(f"{escape(line, NOTE_LIMIT)}<br>\n" for line in _sentences(comparison))


def to_csv(comparison: Comparison) -> str:
    """Writes one line for each task (without a language) and each language, and for what is not compared."""
    rows = [
        _fields(comparison, task, language, difference)
        for task in comparison.tasks
        for language, difference in (("", task.mean), *task.languages.items())
    ]
    empty = dict.fromkeys(rows[0], "") | {"first": comparison.first, "second": comparison.second}
    for task in comparison.tasks:
        about = {"task": task.task, "protocol": task.protocol, "metric": task.metric}
        rows += [empty | about | {"language": x, "missing": reason} for x, reason in task.left_out.items()]
    rows += [empty | {"task": x.task, "protocol": x.protocol, "missing": x.reason} for x in comparison.missing]
    file = io.StringIO()
    writer = csv.DictWriter(file, list(empty), lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: safe_cell(value) for name, value in row.items()} for row in rows)
    return file.getvalue()


def to_json(comparison: Comparison) -> str:
    """Writes everything. Only ASCII, so that a terminal can show it."""
    content = {
        "schema": SCHEMA,
        "first": comparison.first,
        "second": comparison.second,
        "tasks": [
            {
                "task": task.task,
                "protocol": task.protocol,
                "metric": task.metric,
                "higher_is_better": task.higher_is_better,
                "method": task.method,
                **_numbers(task.mean),
                "languages": {language: _numbers(x) for language, x in task.languages.items()},
                "left_out": task.left_out,
            }
            for task in comparison.tasks
        ],
        "missing": [{"task": x.task, "protocol": x.protocol, "reason": x.reason} for x in comparison.missing],
        "remarks": comparison.remarks,
    }
    return json.dumps(content, indent=1, allow_nan=False) + "\n"


def _fields(comparison: Comparison, task: TaskDifference, language: str, difference: Difference) -> dict[str, Any]:
    numbers = _numbers(difference)
    low, high = numbers.pop("ci95") or (None, None)
    return {
        "first": comparison.first,
        "second": comparison.second,
        "task": task.task,
        "protocol": task.protocol,
        "metric": task.metric,
        "language": language,
        **numbers,
        "ci_low": low,
        "ci_high": high,
        "missing": "",
    }


def _numbers(difference: Difference) -> dict[str, Any]:
    return {
        "first_score": difference.first,
        "second_score": difference.second,
        "difference": difference.difference,
        "ci95": difference.ci95,
        "p": difference.p,
        "p_holm": difference.corrected,
        "better": difference.better,
    }


def _grids(comparison: Comparison) -> Iterator[_Grid]:
    """Yields a table of tasks, and one of languages where there is one task."""
    title = f"{plain(comparison.first, NAME_LIMIT)} (A) and {plain(comparison.second, NAME_LIMIT)} (B)"
    rows = [
        (plain(task.task, NAME_LIMIT), task.protocol, _metric(task), *_cells(task.mean, _digits(task)), _won(task))
        for task in comparison.tasks
    ]
    yield _Grid(title, ("task", "protocol", "metric", *_HEADER, "won"), 3, tuple(rows))
    if len(comparison.tasks) == 1:
        (task,) = comparison.tasks
        lines = [
            (code, languages.name(code), *_cells(x, _digits(task))) for code, x in sorted(task.languages.items())
        ]
        yield _Grid(f"{title}: {task.task} per language", ("code", "language", *_HEADER), 2, tuple(lines))


def _metric(task: TaskDifference) -> str:
    arrow = {True: " ↑", False: " ↓", None: ""}[task.higher_is_better]
    return f"{task.metric}{arrow}"


def _digits(task: TaskDifference) -> int:
    """Returns the decimals of all numbers of a task: one more than reports show, for differences are small."""
    top = max(abs(score) for x in (task.mean, *task.languages.values()) for score in (x.first, x.second))
    return 1 + usual_digits(top)


def _cells(x: Difference, digits: int) -> tuple[str, ...]:
    ends = [f"{end:.{digits}f}".replace("-", "−") for end in x.ci95 or ()]
    return (
        f"{x.first:.{digits}f}",
        f"{x.second:.{digits}f}",
        signed(x.difference, digits),
        f"[{', '.join(ends)}]" if ends else MISSING,
        f"{x.corrected:.4f}",
        _SIDES[x.better],
    )


def _won(task: TaskDifference) -> str:
    sides = [x.better for x in task.languages.values()]
    return ":".join(str(sides.count(side)) for side in ("first", "second", None))


def _sentences(comparison: Comparison) -> Iterator[str]:
    yield f"A: {comparison.first}. B: {comparison.second}."
    yield (
        f"p: paired permutation test ({resampling.PERMUTATIONS:,} permutations of items; "
        f"{resampling.SLOW_PERMUTATIONS:,} of metrics that are no means), corrected by Holm over "
        f"the tasks; for languages, over those of their task."
    )
    yield f"better: which model is better, where p is below {SIGNIFICANT}."
    yield "won: in how many languages A is better, B is better, and neither is."
    methods = dict.fromkeys(task.method for task in comparison.tasks)
    yield f"Interval: of the difference, paired over models ({'; '.join(methods)})."
    for task in comparison.tasks:
        reasons: dict[str, list[str]] = {}
        for language, reason in task.left_out.items():
            reasons.setdefault(reason, []).append(language)
        for reason, left_out in reasons.items():
            yield f"{task.task}: {reason}: {', '.join(left_out)}."
    for missing in comparison.missing:
        yield f"Not compared: {missing.task}, {missing.protocol}: {missing.reason}."
    yield from comparison.remarks
