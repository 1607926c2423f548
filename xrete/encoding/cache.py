"""Embeddings on disk: one SQLite file for each model identity, keyed by the text's content.

SQLite keeps every committed batch through a kill at any byte, and lets several runs share a file. Every row has a
checksum, since SQLite has none. Losing the cache costs time, never a result: a damaged row or file is made again,
and when the file cannot be read or written it is left aside and the run goes on.
"""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from types import TracebackType

DEFAULT_LIMIT_BYTES = 20 * 2**30
LOOKUP = 500  # keys in one query; SQLite's oldest limit on parameters is 999


_DAMAGE = (sqlite3.Error, ValueError)
"""What a damaged file can raise; ValueError where its schema is not UTF-8 or has another number of columns."""


class Cache(Protocol):
    """Where an embedder keeps what it has encoded."""

    def get(self, texts: Sequence[str]) -> dict[str, tuple[NDArray[np.float32], bool | None]]:
        """Returns vector [dimension] and truncation flag of each text that is there."""
        ...

    def put(self, texts: Sequence[str], vectors: NDArray[np.float32], truncated: NDArray[np.bool_] | None) -> None:
        """Keeps vectors [n, dimension], all of them or none."""
        ...


class NoCache:
    """Keeps nothing (`--no-cache`, and models without a stable identity)."""

    def get(self, texts: Sequence[str]) -> dict[str, tuple[NDArray[np.float32], bool | None]]:
        """Has no vector, float32 [dimension], of any text."""
        return {}

    def put(self, texts: Sequence[str], vectors: NDArray[np.float32], truncated: NDArray[np.bool_] | None) -> None:
        """Forgets the vectors, float32 [n, dimension]."""


class DiskCache:
    """The vectors of one model identity.

    Args:
        folder: The folder of all models' caches.
        identity: Digest of everything that decides the vectors.
        limit_bytes: Most bytes that all files in `folder` may take. The least recently used models go first;
            once the model in use has the limit to itself, nothing more is kept.

    Raises:
        sqlite3.Error, OSError: the file cannot be opened.
    """

    def __init__(self, folder: Path, identity: str, limit_bytes: int = DEFAULT_LIMIT_BYTES) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file = folder / f"{identity}.sqlite"
        self._limit = limit_bytes
        self._keeps = True
        self._db = self._open()
        self._file.touch()  # marks it as used now
        self._make_room()

    def get(self, texts: Sequence[str]) -> dict[str, tuple[NDArray[np.float32], bool | None]]:
        """Returns vector [dimension] and truncation flag of each text that is there."""
        by_key = {_key(text): text for text in texts}
        cached: dict[str, tuple[NDArray[np.float32], bool | None]] = {}
        with self._tolerant():
            for keys in _blocks(list(by_key), LOOKUP):
                marks = ",".join("?" * len(keys))
                rows = self._db.execute(f"SELECT * FROM embeddings WHERE key IN ({marks})", keys)
                for key, raw, truncated, checksum in rows:
                    if key in by_key and isinstance(raw, bytes) and checksum == _checksum(key, raw, truncated):
                        flag = None if truncated is None else bool(truncated)
                        cached[by_key[key]] = (np.frombuffer(raw, np.float32), flag)
        return cached

    def put(self, texts: Sequence[str], vectors: NDArray[np.float32], truncated: NDArray[np.bool_] | None) -> None:
        """Keeps vectors [n, dimension], all of them or none."""
        if not (self._keeps and self._make_room(vectors.nbytes)):
            return
        flags = [None] * len(texts) if truncated is None else [int(flag) for flag in truncated]
        rows = [
            _row(_key(text), vector.tobytes(), flag)
            for text, vector, flag in zip(texts, vectors, flags, strict=True)
        ]
        with self._tolerant(), self._db:
            self._db.executemany("INSERT OR REPLACE INTO embeddings VALUES (?, ?, ?, ?)", rows)

    def __enter__(self) -> DiskCache:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._db.close()

    def _open(self) -> sqlite3.Connection:
        try:
            return _connect(self._file)
        except _DAMAGE as error:
            if not _is_damage(error):
                raise
            _remove(self._file)
            return _connect(self._file)

    @contextlib.contextmanager
    def _tolerant(self) -> Iterator[None]:
        """Goes on without the cache's help when the disk is full, and starts it anew when it is damaged."""
        try:
            yield
        except _DAMAGE as error:
            if not _is_damage(error):
                self._keeps = False  # anything more in this run
                return
            self._db.close()
            with contextlib.suppress(sqlite3.Error, OSError):  # else the next call comes here again
                _remove(self._file)
                self._db = _connect(self._file)

    def _make_room(self, wanted: int = 0) -> bool:
        """Makes room for `wanted` more bytes if the limit holds them beside this model's own; says if it did."""
        files = sorted(_files(self._file.parent), key=lambda entry: entry[2])
        own = sum(size for file, size, _ in files if file == self._file)
        fits = own + wanted <= self._limit
        used = sum(size for _, size, _ in files) + (wanted if fits else 0)
        for file, size, _ in files:
            if used > self._limit and file != self._file:
                with contextlib.suppress(OSError):
                    _remove(file)
                    used -= size
        return fits and used <= self._limit


def _connect(file: Path) -> sqlite3.Connection:
    db = sqlite3.connect(file, timeout=60, isolation_level="IMMEDIATE", check_same_thread=False)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = NORMAL")  # a power cut may lose the last batches, never the file
    # Keys are digests, so a batch changes about a page for each row; with 64 MB of pages a million rows take half
    # the time.
    db.execute("PRAGMA cache_size = -65536")  # KiB
    db.execute("PRAGMA wal_autocheckpoint = 16384")  # pages
    db.execute(
        "CREATE TABLE IF NOT EXISTS embeddings"
        " (key BLOB PRIMARY KEY, vector BLOB, truncated INT, checksum INT) WITHOUT ROWID"
    )
    return db


def _is_damage(error: Exception) -> bool:
    """A full disk, a lock or a missing permission says nothing against the file; everything else does."""
    unnamed = "SQLITE_ERROR"  # SQLite's name for what has no other; Python's own errors have no name at all
    return not isinstance(error, sqlite3.OperationalError) or getattr(error, "sqlite_errorname", unnamed) == unnamed


def _row(key: bytes, vector: bytes, truncated: int | None) -> tuple[bytes, bytes, int | None, int]:
    return key, vector, truncated, _checksum(key, vector, truncated)


def _checksum(key: bytes, vector: bytes, truncated: int | None) -> int:
    return zlib.crc32(vector, zlib.crc32(key + repr(truncated).encode()))


def _key(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:16]


def _blocks(keys: list[bytes], size: int) -> Iterator[list[bytes]]:
    return (keys[start : start + size] for start in range(0, len(keys), size))


def _files(folder: Path) -> Iterator[tuple[Path, int, float]]:
    """Yields each model's file, its bytes with those that SQLite keeps beside it, and when it was last used."""
    for file in folder.glob("*.sqlite"):
        with contextlib.suppress(FileNotFoundError):  # another run has just removed it
            stat = file.stat()
            yield (
                file,
                stat.st_size + sum(part.stat().st_size for part in _beside(file) if part.exists()),
                stat.st_mtime,
            )


def _remove(file: Path) -> None:
    for part in (file, *_beside(file)):
        part.unlink(missing_ok=True)


def _beside(file: Path) -> tuple[Path, ...]:
    """The files that SQLite keeps beside a database that is in use, or was when its process was killed."""
    return tuple(file.with_name(file.name + suffix) for suffix in ("-wal", "-shm"))
