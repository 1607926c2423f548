"""Reads records from results folders, and narrows them to those that a table is about."""

from __future__ import annotations

import gc
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from xrete import registry
from xrete.errors import RecordError, XreteError, unknown_name
from xrete.record import Record, read_record
from xrete.reporting.text import plain
from xrete.store import find_records

EntryKind = Literal["real", "mini"]

HOW_TO_RUN = "make some with 'xrete run --model M --task T', or name their folder with --results"


@dataclass(frozen=True)
class Entry:
    """A record and its file.

    Attributes:
        file: The file, as a path below its results folder.
        record: What it holds.
        path: Where the file lies, with its items beside it; None for a record that was not read from a file.
    """

    file: str
    record: Record
    path: Path | None = None

    @property
    def is_mini(self) -> bool:
        """Returns whether it was measured on the embedded sample."""
        return self.record.data.source == "mini"


@dataclass(frozen=True)
class Narrowed:
    """The records that a table is about, which kind of data they are of, and what was left out."""

    entries: tuple[Entry, ...]
    kind: EntryKind
    remarks: tuple[str, ...]


def read_entries(folders: Sequence[Path]) -> tuple[list[Entry], list[str]]:
    """Reads every record below `folders`.

    Returns:
        The records, and one sentence for each file that could not be read.

    Raises:
        XreteError: a folder is missing, there is no record, or none can be read.
    """
    entries, unreadable = find_entries(folders)
    if not entries:
        where = ", ".join(map(str, folders))
        if unreadable:
            raise XreteError(f"no readable record below {where} ({len(unreadable)} damaged): {unreadable[0]}")
        raise XreteError(f"no records below {where}; {HOW_TO_RUN}")
    return entries, unreadable


def find_entries(folders: Sequence[Path]) -> tuple[list[Entry], list[str]]:
    """Reads the records below `folders`, which may have none; else as `read_entries`.

    Raises:
        XreteError: a folder is missing.
    """
    entries: list[Entry] = []
    unreadable: list[str] = []
    editions: dict[str, Collection[str]] = {}
    with without_collection():
        for folder, path in _files(folders):
            try:
                record = _by_edition(read_record(path), editions)
                entries.append(Entry(path.relative_to(folder).as_posix(), record, path))
            except RecordError as error:
                unreadable.append(str(error))
    return entries, unreadable


def _by_edition(record: Record, editions: dict[str, Collection[str]]) -> Record:
    """Names the task of other test data by its split, too: it never shares a column with the task's first split.

    Args:
        record: The record.
        editions: Splits of other test data by task, which are looked up once.
    """
    task = record.task
    if task not in editions:
        editions[task] = ()
        with suppress(XreteError):  # of a task that is not here, or does not load
            editions[task] = registry.task(task).card.editions
    if record.data.split in editions[task]:
        return record.model_copy(update={"task": f"{task}-{record.data.split}"})
    return record


def narrow(
    entries: Sequence[Entry],
    *,
    kind: EntryKind | None,
    models: Collection[str] = (),
    tasks: Collection[str] = (),
    protocols: Collection[str] = (),
) -> Narrowed:
    """Keeps the named models, tasks and protocols (all where none is named), and one kind of data.

    Args:
        entries: The records.
        kind: Real data or the mini sample; None takes the mini sample only where there is nothing else.
        models: Names of models.
        tasks: Names of tasks.
        protocols: Names of protocols.

    Raises:
        UsageError: there is no record of a named model, task or protocol.
        XreteError: nothing is left.
    """
    _check("model", models, {entry.record.model.name for entry in entries})
    _check("task", tasks, {entry.record.task for entry in entries})
    _check("protocol", protocols, {entry.record.protocol for entry in entries})
    named = [
        entry
        for entry in entries
        if (not models or entry.record.model.name in models)
        and (not tasks or entry.record.task in tasks)
        and (not protocols or entry.record.protocol in protocols)
    ]
    if not named:
        asked = (("of", models), ("on", tasks), ("under", protocols))
        wanted = " ".join(f"{word} {' or '.join(names)}" for word, names in asked if names)
        raise XreteError(f"no record {wanted}; {HOW_TO_RUN}")
    mini = [entry for entry in named if entry.is_mini]
    real = [entry for entry in named if not entry.is_mini]
    kind = kind or ("real" if real else "mini")
    kept, others, other = (real, mini, "mini") if kind == "real" else (mini, real, "real")
    if not kept:
        raise XreteError(f"no {kind} records here, but {len(others)} {other} ones: --data {other} shows them")
    return Narrowed(tuple(kept), kind, tuple(_left_out(kept, others, other)))


def _files(folders: Sequence[Path]) -> Iterator[tuple[Path, Path]]:
    seen: set[object] = set()
    for folder in folders:
        if not folder.is_dir():
            raise XreteError(f"missing results folder: {folder}; {HOW_TO_RUN}")
        for path in find_records(folder):
            if (identity := _identity(path)) not in seen:
                seen.add(identity)
                yield folder, path


def _identity(path: Path) -> object:
    """Returns what is equal for two ways to the same file; a tenth of the time that it takes to resolve both."""
    try:
        status = path.stat()
    except OSError:  # a link to nowhere, which cannot be read either
        return path
    return status.st_dev, status.st_ino


@contextmanager
def without_collection() -> Iterator[None]:
    """Looks for no garbage in records and tables, which have no cycles: it takes a quarter of a report's time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()


def _check(kind: str, names: Iterable[str], known: Collection[str]) -> None:
    for name in names:
        if name not in known:
            raise unknown_name(kind, name, map(plain, known), f"run 'xrete report' without --{kind}")


def _left_out(kept: Sequence[Entry], others: Sequence[Entry], other: str) -> Iterator[str]:
    if others and other == "mini":
        yield f"{_records(len(others))} of the mini sample left out (--data mini shows them)."
    elif others:
        yield f"{_records(len(others))} of real data left out (--data real shows them)."
    if limited := sum(entry.record.data.limit is not None for entry in kept):
        yield f"{_records(limited)} of trial runs (--limit) left out."


def _records(count: int) -> str:
    return f"{count} record{'s' if count > 1 else ''}"
