"""Text files as rows: plain or compressed, one sentence a line, two aligned files, or cells between tabs.

Lines end at line feeds and nowhere else. Nothing is ever held but a line, which has a limit: a file without line
feeds is not read into memory. What is wrong with a line is said in its row; what is wrong with a file is an error.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import sys
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from itertools import zip_longest
from pathlib import Path
from types import ModuleType
from typing import IO, Any

from xrete.errors import DataError, UsageError

from .rows import Row

LIMIT = 1 << 20
"""Longest line, in bytes."""

CHUNK = 1 << 16


def sentences(path: Path) -> Iterator[Row]:
    """Yields the lines of a file; an empty line, which parts documents in CC-100, is a problem like any other."""
    for number, line in enumerate(_lines(path), start=1):
        yield Row(number, *_decoded(line))


def pairs(source: Path, target: Path) -> Iterator[Row]:
    """Yields the lines of two aligned files (Moses format).

    Raises:
        DataError: at the end, where one has more lines than the other: any of the pairs may be wrong.
    """
    number = 0
    for number, (left, right) in enumerate(zip_longest(_lines(source), _lines(target), fillvalue=_END), start=1):
        if left is _END or right is _END:
            break
        (one, problem), (other, second) = _decoded(left), _decoded(right)
        yield Row(number, *((), problem or second) if problem or second else ((*one, *other), ""))
    else:
        return
    shorter, longer = (source, target) if left is _END else (target, source)
    total = sum(1 for _ in _lines(longer))
    raise DataError(
        f"{shorter} has {number - 1:,} lines and {longer} has {total:,}: they are not aligned; fetch both again"
    )


def cells(path: Path, columns: tuple[int, int], *, header: bool) -> Iterator[Row]:
    """Yields two columns of a tab-separated file without quoting; every line has as many cells as the first.

    Args:
        path: The file.
        columns: Columns of source and target, counted from 1.
        header: Whether the first line names the columns.

    Raises:
        DataError: the first line has too few cells.
    """
    width = 0
    for number, line in enumerate(_lines(path), start=1):
        texts, problem = _decoded(line)
        row = texts[0].split("\t") if texts else []
        if row and not width:
            width = len(row)
            if width < max(columns):
                raise DataError(f"{path}, line {number}: {width} cells, and none in column {max(columns)}")
            if header:
                continue
        if not problem and len(row) != width:
            problem = "wrong number of cells"
        yield Row(number, (), problem) if problem else Row(number, (row[columns[0] - 1], row[columns[1] - 1]))


def chunks(path: Path) -> Iterator[bytes]:
    """Yields the bytes of a file, decompressed as its suffix says: .gz, .bz2, .xz or .zst.

    Raises:
        DataError: it is missing, cannot be read or is damaged.
        UsageError: the library for .zst is not installed.
    """
    damage: tuple[type[Exception], ...] = (OSError, EOFError, lzma.LZMAError, zlib.error)
    if path.suffix == ".zst":
        damage = (*damage, _zstd().ZstdError)
    try:
        with _open(path) as file:
            while chunk := file.read(CHUNK):
                yield chunk
    except FileNotFoundError:
        raise DataError(f"missing corpus file: {path}") from None
    except damage as error:
        raise DataError(f"{path} cannot be read ({error}); it may be cut off or damaged: fetch it again") from error


_END: Any = object()
"""Stands for the lines of a file that has ended."""


def _lines(path: Path) -> Iterator[bytes | None]:
    """Yields lines without their ends, None for one over the limit."""
    rest, skipping = b"", False
    first = True
    for chunk in chunks(path):
        if first:
            chunk, first = chunk.removeprefix(b"\xef\xbb\xbf"), False  # a byte order mark
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            yield None if skipping or len(line) > LIMIT else line
            skipping = False
        if len(rest) > LIMIT:
            rest, skipping = b"", True
    if rest or skipping:
        yield None if skipping else rest


def _decoded(line: bytes | None) -> tuple[tuple[str, ...], str]:
    """Returns the text and no problem, or no text and the problem."""
    if line is None:
        return (), "line over 1 MiB"
    try:
        return (line.decode(),), ""
    except UnicodeDecodeError:
        return (), "not UTF-8"


def _open(path: Path) -> IO[bytes]:
    """Opens a file as its suffix says."""
    kinds: dict[str, Callable[[Path], Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
    opener = _zstd().open if path.suffix == ".zst" else kinds.get(path.suffix, partial(Path.open, mode="rb"))
    file: IO[bytes] = opener(path)
    return file


def _zstd() -> ModuleType:
    """The standard library's module from Python 3.14 on, else its copy for older ones."""
    try:
        if sys.version_info >= (3, 14):
            from compression import zstd
        else:
            from backports import zstd
    except ImportError:
        raise UsageError("reading .zst files needs the extra corpora: pip install 'xrete[corpora]'") from None
    module: ModuleType = zstd
    return module
