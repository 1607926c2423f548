"""A results folder: where records and items lie, and the journal of a run that is not finished.

    RESULTS/MODEL/TASK.PROTOCOL.SOURCE.KEY.json            the record
    RESULTS/MODEL/TASK.PROTOCOL.SOURCE.KEY.items.parquet   the outcome of every item
    RESULTS/MODEL/TASK.PROTOCOL.SOURCE.KEY.partial/        finished languages of an unfinished run
    RESULTS/MODEL/TASK.weights/                            models that were fine-tuned for the task

KEY is a digest of everything that decides the scores (model, data, settings), so a run finds its own earlier work
and never overwrites another's.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xrete.errors import NewerRecordError, RecordError
from xrete.files import atomic_writer, digest, file_digest, locked, remove_abandoned
from xrete.lazy import NDArray, np
from xrete.record import Answers, ItemsPart, Record, find_items, read_record, write_record

if TYPE_CHECKING:
    import pyarrow as pa

WEIGHTS = ".weights"
"""How folders of fine-tuned models end."""

PICTURE = "picture.json"
"""What `xrete picture` calls the numbers of its pictures."""

MOST_ITEMS = 10**7
"""Of a record; the largest tasks have some hundred thousand."""

_PAPER_TABLE = re.compile(r"table-\d+\.json")


@dataclass(frozen=True)
class Outcome:
    """What scoring one language gave.

    Attributes:
        items: One row for each scored item, as the shape defines them.
        truncated: Number of its texts that the model could not read in full, or None.
        answers: What the answers of a chat model took, or None.
    """

    items: Mapping[str, NDArray[Any]]
    truncated: int | None
    answers: Answers | None = None


class Slot:
    """The place of one record in a results folder."""

    def __init__(self, results: Path, model: str, task: str, protocol: str, source: str, key: str) -> None:
        stem = f"{safe_name(task)}.{protocol}.{source}.{key}"
        self.record_file = results / safe_name(model) / f"{stem}.json"
        self.items_file = self.record_file.with_name(f"{stem}.items.parquet")
        self.journal = self.record_file.with_name(f"{stem}.partial")
        self.weights = self.record_file.with_name(f"{safe_name(task)}{WEIGHTS}")

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Locks out another run of the same thing, which waits, and then finds the record of this one.

        Raises:
            XreteError: the results folder cannot be written, or is on a file system without locks.
        """
        with locked(self.record_file.with_name(f".{self.record_file.stem}.lock"), self.record_file):
            for folder in (self.record_file.parent, self.journal):
                remove_abandoned(folder)
            yield

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
        if record.status != "complete":
            return None
        self.clear()  # of a run that was killed right after it had written the record
        return record

    def load_outcomes(self) -> dict[str, Outcome]:
        """Returns the languages that an earlier, unfinished run of the same thing has done."""
        return {file.stem: outcome for file in sorted(self.journal.glob("*.parquet")) if (outcome := _load(file))}

    def save_outcome(self, language: str, outcome: Outcome) -> None:
        """Keeps one finished language, so that it is not done again."""
        import pyarrow as pa  # a tenth of a second, which reports without items can do without

        notes = {
            "truncated": "" if outcome.truncated is None else str(outcome.truncated),
            "answers": "" if outcome.answers is None else outcome.answers.model_dump_json(),
        }
        table = pa.table(dict(outcome.items)).replace_schema_metadata(notes)
        _write_table(self.journal / f"{language}.parquet", table)

    def save(self, record: Record, outcomes: Mapping[str, Outcome]) -> Record:
        """Writes items and record, in this order, and forgets the journal if the record is complete.

        A complete record is never replaced by one that is not (of a `--force` that failed).

        Returns:
            The record with its items' file and its own digest filled in.
        """
        if record.status != "complete" and self.finished():
            return record
        if outcomes:
            _write_table(self.items_file, _table(outcomes))
            rows = sum(len(next(iter(outcome.items.values()))) for outcome in outcomes.values())
            part = ItemsPart(file=self.items_file.name, sha256=file_digest(self.items_file), rows=rows)
            record = record.model_copy(update={"items": part})
        record = record.sealed().located(self.record_file)
        write_record(self.record_file, record)
        if record.status == "complete":
            shutil.rmtree(self.journal, ignore_errors=True)
        return record

    def clear(self) -> None:
        """Forgets an earlier run (`--force`)."""
        shutil.rmtree(self.journal, ignore_errors=True)


def read_items(record_file: Path, record: Record) -> dict[str, dict[str, NDArray[Any]]]:
    """Reads a record's items by language: columns [n], or [n, k], by name.

    Raises:
        RecordError: the file is missing, is not the one that the record was written with, or holds no items.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = find_items(record_file, record)
    try:
        source = pq.ParquetFile(file)
        stored, recorded = source.metadata.num_rows, record.items.rows if record.items else 0
        if stored != recorded or stored > MOST_ITEMS:  # looked at before they are read: they may unpack to anything
            raise RecordError(f"{record_file}: items.rows is {recorded}, {file.name} has {stored}; run it again")
        table = source.read()
        languages = table["language"].combine_chunks().dictionary_encode()
        rows = languages.indices.to_numpy()
        columns = {name: table[name].to_numpy() for name in table.column_names if name != "language"}
        if not columns:
            raise RecordError(f"{file} has no column but the language; run it again")
    except (OSError, KeyError, ValueError, pa.ArrowException) as error:
        raise RecordError(f"{file} holds no items ({' '.join(str(error).split())}); run it again") from error
    return {
        language: {name: column[rows == place] for name, column in columns.items()}
        for place, language in enumerate(languages.dictionary.to_pylist())
    }


def find_records(results: Path) -> Iterator[Path]:
    """Yields the record files of a results folder, in order.

    Its folder `paper` holds the paper's tables, folders of `xrete picture` a `picture.json`, and those of
    fine-tuned models settings: all these are none.
    """
    # Not by `rglob`, which stumbles over the journal of a run that ends meanwhile.
    folders = ((Path(folder), names) for folder, _, names in os.walk(results))
    files = sorted(
        folder / name
        for folder, names in folders
        if not _is_of_model(folder)
        for name in names
        if name.endswith(".json") and name != PICTURE
    )
    return (file for file in files if not (_is_paper_table(file) or _is_special(file)))


def _is_special(file: Path) -> bool:
    """Returns whether it is a pipe, which a reader would wait for, or a device."""
    try:
        return not stat.S_ISREG(file.stat().st_mode)
    except OSError:  # a link to nowhere, which a reader reports
        return False


def _is_of_model(folder: Path) -> bool:
    return any(part.suffix == WEIGHTS for part in (folder, *folder.parents))


def _is_paper_table(file: Path) -> bool:
    return file.parent.name == "paper" and bool(_PAPER_TABLE.fullmatch(file.name))


def _table(outcomes: Mapping[str, Outcome]) -> pa.Table:
    import pyarrow as pa

    languages = np.repeat(list(outcomes), [len(next(iter(o.items.values()))) for o in outcomes.values()])
    names = next(iter(outcomes.values())).items
    columns = {name: np.concatenate([o.items[name] for o in outcomes.values()]) for name in names}
    return pa.table({"language": pa.array(languages).dictionary_encode(), **columns})


def _write_table(path: Path, table: pa.Table) -> None:
    import pyarrow.parquet as pq

    with atomic_writer(path) as file:
        pq.write_table(table, file, compression="zstd", write_page_checksum=True)


def _load(file: Path) -> Outcome | None:
    """Reads a journal entry; a damaged one is None, and its language is scored again."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(file, page_checksum_verification=True)
        notes = table.schema.metadata or {}
        truncated, answers = (notes.get(name, b"") for name in (b"truncated", b"answers"))
        return Outcome(
            {name: table[name].to_numpy() for name in table.column_names},
            int(truncated) if truncated else None,
            Answers.model_validate_json(answers) if answers else None,
        )
    except (OSError, ValueError, pa.ArrowException):
        return None


def safe_name(name: str) -> str:
    """Makes a file name of any name: readable, and distinct where names are."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "_", name).strip("._")[:80]
    return plain if plain == name else f"{plain}-{digest([name])[:8]}"
