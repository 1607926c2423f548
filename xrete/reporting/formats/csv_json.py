"""The leaderboard for programs: one row (CSV, parquet) or JSON object a cell, with everything known of it."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from xrete.files import atomic_writer
from xrete.reporting.leaderboard import Leaderboard, TableCell
from xrete.reporting.text import plain

SCHEMA = "xrete/leaderboard/1"

_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?([eE][+-]?\d+)?")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def to_csv(boards: Sequence[Leaderboard]) -> str:
    """Writes one line a cell; `notes` are joined by semicolons."""
    file = io.StringIO()
    rows = _rows(boards)
    writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: safe_cell(value) for name, value in row.items()} for row in rows)
    return file.getvalue()


def write_parquet(path: Path, boards: Sequence[Leaderboard]) -> None:
    """Writes the rows of the CSV as a parquet file, atomically: numbers as numbers, empty cells as nulls."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [{name: plain(x) if isinstance(x, str) else x for name, x in row.items()} for row in _rows(boards)]
    with atomic_writer(path) as file:
        pq.write_table(pa.Table.from_pylist(rows), file, compression="zstd")


def to_json(boards: Sequence[Leaderboard]) -> str:
    """Writes a table's title, its remarks and its cells; a list where there are several tables.

    Only ASCII, so that a terminal can show it.
    """
    contents = [
        {
            "schema": SCHEMA,
            "table": board.table,
            "title": board.title,
            "remarks": board.remarks,
            "cells": [_fields(cell) | {"notes": cell.notes} for cell in board.cells],
        }
        for board in boards
    ]
    return json.dumps(contents[0] if len(contents) == 1 else contents, indent=1, allow_nan=False) + "\n"


def safe_cell(value: Any) -> Any:
    """Makes text harmless to spreadsheets, which read what begins like a formula as one."""
    if not isinstance(value, str):
        return value
    guard = "'" if value.startswith(_FORMULA) and not _NUMBER.fullmatch(value) else ""
    return guard + plain(value)


def _rows(boards: Sequence[Leaderboard]) -> list[dict[str, Any]]:
    return [
        {"table": board.table} | _fields(cell) | {"notes": "; ".join(cell.notes)}
        for board in boards
        for cell in board.cells
    ]


def _fields(cell: TableCell) -> dict[str, Any]:
    low, high = cell.ci95 or (None, None)
    evidence, verdict, setting = cell.evidence, cell.verdict, cell.subject.setting
    standing, tuned = cell.standing, evidence and evidence.tuned
    return {
        "model": cell.subject.model,
        "revision": cell.subject.revision,
        "label": cell.subject.label,
        "origin": cell.subject.origin,
        "setting": setting and setting.label,
        "task": cell.measure.task,
        "protocol": cell.measure.protocol,
        "metric": cell.measure.metric,
        "group": cell.measure.group,
        "language": cell.measure.language,
        "score": cell.value,
        "ci_low": low,
        "ci_high": high,
        "n": evidence and evidence.n,
        "languages": evidence and len(evidence.languages),
        "languages_expected": evidence and evidence.expected,
        "language_set": evidence and evidence.language_set,
        "split": evidence and evidence.split,
        "data": evidence and evidence.source,
        "data_revision": evidence and evidence.revision,
        "data_fingerprint": evidence and evidence.fingerprint,
        "recipe": tuned and tuned.recipe,
        "recipe_changes": cell.subject.variant or None,
        "seeds": " ".join(map(str, tuned.seeds)) if tuned else None,
        "spread": tuned and tuned.spread,
        "record": evidence and evidence.record,
        "printed": cell.printed,
        "status": verdict and verdict.status,
        "difference": verdict and verdict.difference,
        "measured_as": verdict and verdict.ours,
        "mark": cell.mark,
        "rank_best": standing and standing.best,
        "rank_worst": standing and standing.worst,
        "tie_group": standing and standing.group,
        "missing": cell.reason,
    }
