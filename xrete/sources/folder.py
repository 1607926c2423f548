"""A folder of upstream files, read strictly: what is damaged is named, never guessed."""

from __future__ import annotations

import gzip
import json
import lzma
import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Literal

from xrete.errors import DataError
from xrete.files import BYTE_ORDER_MARK, decode, parse_json, reading

NOTHING = re.compile("[\\s\u00ad\u200b-\u200f\u2060\ufeff]*")
"""A line in which nothing can be seen: blanks of all kinds, marks without width, soft hyphens."""
COMPRESSED: Mapping[str, Callable[[Path], Any]] = {".gz": gzip.GzipFile, ".xz": lzma.LZMAFile}
"""How the compressed form of a file ends, and what reads it."""
NUL = "\\u0000"
"""A NUL byte as JSON writes it."""
MOST_BYTES = 2**32
"""Of a file that is held as a whole: a compressed one may unpack to anything."""


class Folder:
    """A data folder laid out as the upstream files are published; each may be compressed (`NAME.gz`, `NAME.xz`).

    Attributes:
        root: The folder.
        own: Whether a user's own files may lie in it, which have any number of items.
    """

    kind: Literal["dir"] = "dir"

    def __init__(self, root: Path, *, own: bool = False) -> None:
        self.root = root
        self.own = own

    def has(self, path: str) -> bool:
        """Returns whether the file is there."""
        return self.locate(path).is_file()

    def locate(self, path: str) -> Path:
        """Returns the file, or its compressed form where only that is there."""
        plain = self.root / path
        packed = (plain.with_name(f"{plain.name}{ending}") for ending in COMPRESSED)
        return next((file for file in (plain, *packed) if file.is_file()), plain)

    def choose(self, layouts: Sequence[Sequence[str]]) -> Sequence[str]:
        """Returns the first of several lists of paths that is there in full, else in part, else the first one."""
        for enough in (all, any):
            for paths in layouts:
                if enough(map(self.has, paths)):
                    return paths
        return layouts[0]

    def lines(self, path: str) -> list[str]:
        """Reads the lines of a text file, split on line feeds only.

        `str.splitlines` would also split on U+2028, U+0085 and form feeds, and shift the alignment. A carriage
        return before the line feed belongs to the end of the line.

        Raises:
            DataError: missing, empty, not UTF-8, with a NUL byte, or with a line in which nothing can be seen
                (which would be a lost sentence).
        """
        file = self.locate(path)
        text = _read(file)
        if not text:
            raise DataError(f"{file} is empty; fetch it again")
        if (place := text.find("\0")) >= 0:
            line = text.count("\n", 0, place) + 1
            raise DataError(f"{file}, line {line}: a NUL byte in the text; fetch the file again")
        lines = [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")]
        blank = next((number for number, line in enumerate(lines, start=1) if NOTHING.fullmatch(line)), None)
        if blank:
            raise DataError(f"{file}, line {blank}: empty line; fetch the file again")
        return lines

    def rows(self, path: str, columns: int, *, header: bool = False) -> list[list[str]]:
        """Reads a tab-separated file without quoting: a quote character is text like any other.

        Raises:
            DataError: as `lines`, or a line that has not exactly `columns` cells.
        """
        rows = [line.split("\t") for line in self.lines(path)]
        self._check_cells(path, rows, columns)
        return rows[1:] if header else rows

    def table(self, path: str, names: tuple[str, ...]) -> list[list[str]]:
        """Reads columns `names` of a tab-separated file with a header, without quoting.

        Raises:
            DataError: as `rows` (the header says how many cells), or there is no such column.
        """
        rows = [line.split("\t") for line in self.lines(path)]
        header = rows[0]
        absent = [name for name in names if name not in header]
        if absent:
            raise DataError(
                f"{self.locate(path)}, line 1: no column {absent[0]!r} among {', '.join(map(repr, header))}"
            )
        self._check_cells(path, rows, len(header))
        return [[row[header.index(name)] for row in rows[1:]] for name in names]

    def _check_cells(self, path: str, rows: Sequence[Sequence[str]], columns: int) -> None:
        for number, row in enumerate(rows, start=1):
            if len(row) != columns:
                raise DataError(f"{self.locate(path)}, line {number}: {len(row)} cells, not {columns}")

    def json(self, path: str) -> Any:
        """Reads one JSON document.

        Raises:
            DataError: missing, not UTF-8, not JSON, or with a NUL byte in a text; the sentence names the line.
        """
        file = self.locate(path)
        text = _read(file)
        try:
            document = parse_json(text)
        except json.JSONDecodeError as error:
            raise DataError(f"{file}, line {error.lineno}: not JSON ({error.msg})") from None
        if (place := text.find(NUL)) >= 0 and _holds_nul(document):
            line = text.count("\n", 0, place) + 1
            raise DataError(f"{file}, line {line}: a NUL byte in the text; fetch the file again")
        return document

    def json_lines(self, path: str) -> list[dict[str, Any]]:
        """Reads one JSON object a line.

        Raises:
            DataError: as `lines`, or a line that is not a JSON object.
        """
        return list(self.each_json_line(path))

    def each_json_line(self, path: str) -> Iterator[dict[str, Any]]:
        """Reads one JSON object a line, as `json_lines`, without holding the file in memory."""
        file, number = self.locate(path), 0
        for number, line in enumerate(_raw_lines(file), start=1):
            yield json_row(line, f"{file}, line {number}")
        if not number:
            raise DataError(f"{file} is empty; fetch it again")


def json_row(line: bytes, where: str) -> dict[str, Any]:
    """Reads one line of JSON lines.

    Args:
        line: With its line feed or without.
        where: The file and the number of the line, for the error sentence.

    Raises:
        DataError: not UTF-8, not a JSON object, or with a NUL byte in a text.
    """
    try:
        row = parse_json(line.decode("utf-8").removeprefix(BYTE_ORDER_MARK))
    except UnicodeDecodeError as error:
        raise DataError(f"{where}: not UTF-8 (byte {error.start} of it); save the file as UTF-8") from None
    except json.JSONDecodeError as error:
        raise DataError(f"{where}: not JSON ({error.msg})") from None
    if not isinstance(row, dict):
        raise DataError(f"{where}: not a JSON object")
    if NUL.encode() in line and _holds_nul(row):
        raise DataError(f"{where}: a NUL byte in the text; fetch the file again")
    return row


def _read(file: Path) -> str:
    """Reads a text file, which may be compressed."""
    with _opened(file) as stream:
        raw = stream.read(MOST_BYTES + 1)
    if len(raw) > MOST_BYTES:
        raise DataError(f"{file} holds more than {MOST_BYTES >> 30} GiB of text, which no task has; fetch it again")
    return decode(file, raw)


def _raw_lines(file: Path) -> Iterator[bytes]:
    """Yields the lines of a file, which may be compressed."""
    with _opened(file) as lines:
        yield from lines


@contextmanager
def _opened(file: Path) -> Iterator[IO[bytes]]:
    """Opens a file, which may be compressed, or says why it cannot be read."""
    with reading(file, "data file"):
        try:
            with COMPRESSED[file.suffix](file) if file.suffix in COMPRESSED else file.open("rb") as stream:
                yield stream
        except (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile) as error:
            raise DataError(f"{file} is damaged ({error}); fetch it again") from error


def _holds_nul(value: Any) -> bool:
    """Returns whether a text of a JSON value, however deep, holds a NUL byte."""
    waiting = [value]
    while waiting:
        match waiting.pop():
            case dict() as pairs:
                waiting += [*pairs, *pairs.values()]
            case list() as values:
                waiting += values
            case str() as text if "\0" in text:
                return True
    return False
