"""A results folder: where records and items lie, and the journal of a run that is not finished.

    RESULTS/MODEL/TASK.PROTOCOL.SOURCE.KEY.json            the record
    RESULTS/MODEL/TASK.PROTOCOL.SOURCE.KEY.items.parquet   the outcome of every item
    RESULTS/MODEL/TASK.PROTOCOL.SOURCE.KEY.partial/        finished languages of an unfinished run

KEY is a digest of everything that decides the scores (model, data, settings), so a run finds its own earlier work
and never overwrites another's.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock
from numpy.typing import NDArray

from xrete.errors import NewerRecordError, RecordError
from xrete.files import atomic_writer, digest, file_digest, write_error
from xrete.record import ItemsPart, Record, read_record, write_record


@dataclass(frozen=True)
class Outcome:
    """What scoring one language gave.

    Attributes:
        items: One row for each scored item, as the shape defines them.
        truncated: Number of its texts that the model could not read in full, or None.
    """

    items: Mapping[str, NDArray[Any]]
    truncated: int | None


class Slot:
    """The place of one record in a results folder."""

    def __init__(self, results: Path, model: str, task: str, protocol: str, source: str, key: str) -> None:
        stem = f"{_safe(task)}.{protocol}.{source}.{key}"
        self.record_file = results / _safe(model) / f"{stem}.json"
        self.items_file = self.record_file.with_name(f"{stem}.items.parquet")
        self.journal = self.record_file.with_name(f"{stem}.partial")

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Locks out another run of the same thing, which waits, and then finds the record of this one.

        Raises:
            XreteError: the results folder cannot be written.
        """
        try:
            self.record_file.parent.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.record_file.with_name(f".{self.record_file.stem}.lock"))
            lock.acquire()
        except OSError as error:
            raise write_error(self.record_file, error) from error
        try:
            yield
        finally:
            lock.release()

    def finished(self) -> Record | None:
        """Returns the complete record if there is one. A damaged file is set aside, to be made again.

        Raises:
            NewerRecordError: another version of XRETE wrote it; it stays as it is.
        """
        if not self.record_file.exists():
            return None
        try:
            record = read_record(self.record_file)
        except NewerRecordError:
            raise
        except RecordError:
            self.record_file.replace(self.record_file.with_suffix(".damaged"))
            return None
        return record if record.status == "complete" else None

    def load_outcomes(self) -> dict[str, Outcome]:
        """Returns the languages that an earlier, unfinished run of the same thing has done."""
        return {file.stem: outcome for file in sorted(self.journal.glob("*.parquet")) if (outcome := _load(file))}

    def save_outcome(self, language: str, outcome: Outcome) -> None:
        """Keeps one finished language, so that it is not done again."""
        note = "" if outcome.truncated is None else str(outcome.truncated)
        table = pa.table(dict(outcome.items)).replace_schema_metadata({"truncated": note})
        _write_table(self.journal / f"{language}.parquet", table)

    def save(self, record: Record, outcomes: Mapping[str, Outcome]) -> Record:
        """Writes items and record, in this order, and forgets the journal if the record is complete.

        A complete record is never replaced by one that is not (of a `--force` that failed).

        Returns:
            The record with its items' file and digest filled in.
        """
        if record.status != "complete" and self.finished():
            return record
        if outcomes:
            _write_table(self.items_file, _table(outcomes))
            rows = sum(len(next(iter(outcome.items.values()))) for outcome in outcomes.values())
            part = ItemsPart(file=self.items_file.name, sha256=file_digest(self.items_file), rows=rows)
            record = record.model_copy(update={"items": part})
        write_record(self.record_file, record)
        if record.status == "complete":
            shutil.rmtree(self.journal, ignore_errors=True)
        return record

    def clear(self) -> None:
        """Forgets an earlier run (`--force`)."""
        shutil.rmtree(self.journal, ignore_errors=True)


def read_items(record_file: Path, record: Record) -> dict[str, dict[str, NDArray[Any]]]:
    """Reads a record's items, by language.

    Raises:
        RecordError: the file is missing or is not the one that the record was written with.
    """
    if record.items is None:
        raise RecordError(f"{record_file} has no items ({record.status}); run it again")
    file = record_file.with_name(record.items.file)
    if not file.is_file():
        raise RecordError(f"missing items of {record_file}: {file.name}; run it again with --force")
    if file_digest(file) != record.items.sha256:
        raise RecordError(
            f"{file} is not the file that {record_file.name} was written with; run again with --force"
        )
    table = pq.read_table(file)
    languages = table["language"].to_numpy(zero_copy_only=False)
    columns = {name: table[name].to_numpy() for name in table.column_names if name != "language"}
    return {
        language: {name: column[languages == language] for name, column in columns.items()}
        for language in dict.fromkeys(languages.tolist())
    }


def find_records(results: Path) -> Iterator[Path]:
    """Yields the record files of a results folder, in order."""
    return iter(sorted(results.rglob("*.json")))


def _table(outcomes: Mapping[str, Outcome]) -> pa.Table:
    languages = np.repeat(list(outcomes), [len(next(iter(o.items.values()))) for o in outcomes.values()])
    names = next(iter(outcomes.values())).items
    columns = {name: np.concatenate([o.items[name] for o in outcomes.values()]) for name in names}
    return pa.table({"language": pa.array(languages).dictionary_encode(), **columns})


def _write_table(path: Path, table: pa.Table) -> None:
    with atomic_writer(path) as file:
        pq.write_table(table, file, compression="zstd", write_page_checksum=True)


def _load(file: Path) -> Outcome | None:
    """Reads a journal entry; a damaged one is None, and its language is scored again."""
    try:
        table = pq.read_table(file, page_checksum_verification=True)
        note = (table.schema.metadata or {}).get(b"truncated", b"")
        items = {name: table[name].to_numpy() for name in table.column_names}
        return Outcome(items, int(note) if note else None)
    except (OSError, ValueError, pa.ArrowException):
        return None


def _safe(name: str) -> str:
    """Makes a file name of any name: readable, and distinct where names are."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "_", name).strip("._")[:80]
    return plain if plain == name else f"{plain}-{digest([name])[:8]}"
