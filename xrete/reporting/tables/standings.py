"""Standings of the models of a column, kept on disk: those of hundreds of models take minutes to compute.

Kept ones are taken only where they are of the same items, whose files are checked against the records as ever, and
were computed by the same code.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Sequence
from dataclasses import astuple
from functools import cache
from pathlib import Path

from xrete.errors import XreteError
from xrete.files import cache_root, digest, parse_json, write_text
from xrete.record import ItemsPart, find_items
from xrete.scores import comparison, rank_intervals, resampling
from xrete.scores.comparison import Run, Standing
from xrete.shapes import load_shape

checked_items: set[tuple[Path, ItemsPart | None]] = set()
"""Items that are those of their records: a page asks for them again with every group of languages."""


def standings(
    runs: Sequence[Run], metric: str, languages: Sequence[str], *, higher_is_better: bool
) -> list[Standing] | None:
    """Returns what `xrete.scores.comparison.standings` does, from the cache where it has it.

    Raises:
        RecordError: items are missing or are not the ones that the record was written with.
    """
    if any(run.record.items is None for run in runs):
        return None
    for run in runs:
        if (run.path, run.record.items) not in checked_items:
            find_items(run.path, run.record)
            checked_items.add((run.path, run.record.items))
    first = runs[0].record
    about = (first.task, first.shape, first.interval.method, metric, str(higher_is_better))
    items = [run.record.items.sha256 for run in runs if run.record.items]
    key = digest([code_digest(first.shape), *about, str(len(languages)), *languages, *items])
    path = cache_root() / "standings" / f"{key}.json"
    if (kept := _kept(path, len(runs))) is None:
        kept = comparison.standings(runs, metric, languages, higher_is_better=higher_is_better)
        if kept is not None:
            with contextlib.suppress(XreteError):  # a cache that cannot be written costs time, not the report
                write_text(path, json.dumps([astuple(standing) for standing in kept]))
    return kept


def _kept(path: Path, count: int) -> list[Standing] | None:
    try:
        kept = [Standing(*map(int, place)) for place in parse_json(path.read_bytes())]
    except (OSError, TypeError, ValueError):  # none, or a damaged one
        return None
    return kept if len(kept) == count else None


@cache
def code_digest(shape: str) -> str:
    """Returns a digest of the code that decides standings."""
    modules = (comparison, rank_intervals, resampling, sys.modules[type(load_shape(shape)).__module__])
    return digest(Path(str(module.__file__)).read_bytes() for module in modules)
