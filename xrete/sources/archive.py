"""Archives: the files of a tar archive that a task needs, and nothing else that it asks for."""

from __future__ import annotations

import gzip
import shutil
import tarfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import IO, cast

from xrete.errors import DataError
from xrete.files import atomic_writer

MOST_MEMBERS = 100
"""None of a task's archives has more than a few."""
MOST_BYTES_OF_A_MEMBER = 2**33
"""Mewsli-X's candidates, the largest file, have less than a tenth of it."""
MOST_BYTES_OF_HEADERS = 2**20
"""Between two members; `tarfile` holds them at once."""
MOST_RATIO, SMALL = 100, 2**24
"""An archive unpacks to at most so many times its size, or so many bytes; text does to less than twenty times."""


def unpack(packed: Path, wanted: Mapping[str, Path]) -> list[str]:
    """Writes files of a gzipped tar archive to places of our own, whatever the archive says of them.

    Names count without their folders; owners, modes and links not at all. A file has its name once it is whole.

    Args:
        packed: The archive.
        wanted: Where to, by name.

    Returns:
        The names that the archive lacks as regular files.

    Raises:
        DataError: the archive is damaged, or larger inside than any task's.
    """
    rest = dict(wanted)
    try:
        with gzip.open(packed) as content:
            stream = _Bounded(content, packed)
            with tarfile.open(fileobj=cast("IO[bytes]", stream), mode="r|") as entries:
                for number, entry in enumerate(entries):
                    if number >= MOST_MEMBERS or not 0 <= entry.size <= MOST_BYTES_OF_A_MEMBER:
                        raise _too_large(packed)
                    stream.until_next = entry.size + MOST_BYTES_OF_HEADERS
                    whole = entry.isreg() and not entry.issparse()
                    target = rest.pop(entry.name.rpartition("/")[2], None) if whole else None
                    if target and (member := entries.extractfile(entry)):
                        with atomic_writer(target) as file:
                            shutil.copyfileobj(member, file, 1 << 20)
                    if not rest:
                        break
    # The last two: `tarfile` turns some numbers and chains of headers into Python's own errors.
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile, ValueError, RecursionError) as error:
        raise DataError(f"{packed} is damaged ({error}); remove it and fetch it again") from error
    return list(rest)


class _Bounded:
    """What an archive holds, as far as a task's can be that large.

    Attributes:
        until_next: Bytes that may come until the next member begins.
    """

    def __init__(self, content: gzip.GzipFile, packed: Path) -> None:
        self.until_next = MOST_BYTES_OF_HEADERS
        self._content = content
        self._packed = packed
        self._left = max(SMALL, MOST_RATIO * packed.stat().st_size)

    def read(self, size: int) -> bytes:
        """Reads `size` bytes, or what is left."""
        part = self._content.read(size)
        self._left -= len(part)
        self.until_next -= len(part)
        if min(self._left, self.until_next) < 0:
            raise _too_large(self._packed)
        return part


def _too_large(packed: Path) -> DataError:
    return DataError(f"{packed} holds more than a task has; remove it and fetch it again")
