"""Where published numbers lie: two small tables in a folder of results, `numbers.parquet` and `models.parquet`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from importlib.resources import files as package_files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xrete.errors import DataError
from xrete.files import atomic_writer, parse_json
from xrete.published.numbers import ModelFacts, Publication, PublishedNumber

if TYPE_CHECKING:
    import pyarrow as pa

SCHEMA = "xrete/published/1"
NUMBERS, MODELS = "numbers.parquet", "models.parquet"
SHIPPED = ("mteb",)
"""Folders of `results/` that come with XRETE."""

_KEY = b"xrete"
_ABOUT = ("source", "version", "licence", "command")


def write(folder: Path, publication: Publication) -> None:
    """Writes a publication's tables, each atomically."""
    about = {name: getattr(publication, name) for name in _ABOUT}
    notes = {_KEY: json.dumps({"schema": SCHEMA, **about}).encode()}
    _write(folder / MODELS, _table(publication.facts.values(), ModelFacts), {})
    _write(folder / NUMBERS, _table(publication.numbers, PublishedNumber), notes)


def read(folder: Path) -> Publication:
    """Reads a publication.

    Raises:
        DataError: a table is missing or damaged, or another version of XRETE wrote it; the sentence names it.
    """
    numbers, notes = _read(folder / NUMBERS, PublishedNumber)
    facts, _ = _read(folder / MODELS, ModelFacts)
    try:
        about = parse_json(notes.get(_KEY, b"{}"))
    except ValueError:
        about = {}
    if about.get("schema") != SCHEMA:
        raise DataError(
            f"{folder / NUMBERS} has schema {about.get('schema')!r}, not {SCHEMA!r}; "
            f"write it again with 'xrete import mteb PATH'"
        )
    return Publication(
        **{name: str(about.get(name, "")) for name in _ABOUT},
        numbers=tuple(map(PublishedNumber._make, numbers)),
        facts={(x[0], x[1]): ModelFacts._make(x) for x in facts},
    )


def read_all(results: Iterable[Path] = ()) -> list[Publication]:
    """Reads what comes with XRETE, and then what was imported into results folders, which stands above it.

    Raises:
        DataError: a table is damaged.
    """
    shipped = package_files("xrete.results")
    folders = [Path(str(shipped / name)) for name in SHIPPED] + [x for folder in results for x in _folders(folder)]
    return [read(folder) for folder in dict.fromkeys(folder.resolve() for folder in folders)]


def _folders(results: Path) -> Iterator[Path]:
    return (file.parent for file in sorted(results.rglob(NUMBERS)))


def _table(rows: Iterable[tuple[Any, ...]], kind: type[PublishedNumber] | type[ModelFacts]) -> pa.Table:
    import pyarrow as pa

    columns = list(zip(*rows, strict=True)) or [() for _ in kind._fields]
    return pa.table({name: list(column) for name, column in zip(kind._fields, columns, strict=True)})


def _write(path: Path, table: pa.Table, notes: dict[bytes, bytes]) -> None:
    import pyarrow.parquet as pq

    with atomic_writer(path) as file:
        table = table.replace_schema_metadata(notes)
        pq.write_table(table, file, compression="zstd", compression_level=19, write_page_checksum=True)


def _read(
    path: Path, kind: type[PublishedNumber] | type[ModelFacts]
) -> tuple[Iterator[tuple[Any, ...]], dict[bytes, bytes]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:  # `read_table` imports much more
            table = file.read()
        columns = [table[name].to_pylist() for name in kind._fields]
    except (OSError, KeyError, ValueError, pa.ArrowException) as error:
        raise DataError(
            f"cannot read {path}: {str(error).splitlines()[0]}; write it again with 'xrete import mteb PATH'"
        ) from None
    return zip(*columns, strict=True), table.schema.metadata or {}
