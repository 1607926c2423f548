"""Embeddings on disk: one SQLite file for each model identity, keyed by the text's content.

SQLite keeps every committed batch through a kill at any byte, and lets several runs share a file. Losing the cache
costs time, never a result: when it cannot be read or written it is left aside and the run goes on.
"""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from types import TracebackType

DEFAULT_LIMIT_BYTES = 20 * 2**30
LOOKUP = 500  # keys in one query; SQLite's oldest limit on parameters is 999


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
        """Has nothing."""
        return {}

    def put(self, texts: Sequence[str], vectors: NDArray[np.float32], truncated: NDArray[np.bool_] | None) -> None:
        """Does nothing."""


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
        self._db = self._open()
        self._file.touch()  # marks it as used now
        self._make_room()

    def get(self, texts: Sequence[str]) -> dict[str, tuple[NDArray[np.float32], bool | None]]:
        """Returns vector [dimension] and truncation flag of each text that is there."""
        by_key = {_key(text): text for text in texts}
        found: dict[str, tuple[NDArray[np.float32], bool | None]] = {}
        with self._tolerant():
            for keys in _blocks(list(by_key), LOOKUP):
                marks = ",".join("?" * len(keys))
                rows = self._db.execute(f"SELECT key, vector, truncated FROM vectors WHERE key IN ({marks})", keys)
                for key, raw, truncated in rows:
                    flag = None if truncated is None else bool(truncated)
                    found[by_key[key]] = (np.frombuffer(raw, np.float32), flag)
        return found

    def put(self, texts: Sequence[str], vectors: NDArray[np.float32], truncated: NDArray[np.bool_] | None) -> None:
        """Keeps vectors [n, dimension], all of them or none."""
        if self._used() + vectors.nbytes > self._limit:
            return
        flags = [None] * len(texts) if truncated is None else [int(flag) for flag in truncated]
        keys = map(_key, texts)
        rows = [(key, vector.tobytes(), flag) for key, vector, flag in zip(keys, vectors, flags, strict=True)]
        with self._tolerant(), self._db:
            self._db.executemany("INSERT OR IGNORE INTO vectors VALUES (?, ?, ?)", rows)

    def __enter__(self) -> DiskCache:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._db.close()

    def _open(self) -> sqlite3.Connection:
        try:
            return _connect(self._file)
        except sqlite3.OperationalError:
            raise  # a full disk or a missing permission: the file itself may be good
        except sqlite3.DatabaseError:
            self._file.unlink()  # not a database any more: it can be made again
            return _connect(self._file)

    @contextlib.contextmanager
    def _tolerant(self) -> Iterator[None]:
        """Goes on without the cache's help when the disk is full, and starts it anew when it is damaged."""
        try:
            yield
        except sqlite3.OperationalError:
            self._limit = 0  # keeps nothing more in this run
        except sqlite3.DatabaseError:
            self._db.close()
            self._file.unlink(missing_ok=True)
            self._db = _connect(self._file)

    def _used(self) -> int:
        return sum(size for _, size, _ in _files(self._file.parent))

    def _make_room(self) -> None:
        files = sorted(_files(self._file.parent), key=lambda entry: entry[2])
        used = sum(size for _, size, _ in files)
        for file, size, _ in files:
            if used <= self._limit or file == self._file:
                continue
            file.unlink(missing_ok=True)
            used -= size


def _connect(file: Path) -> sqlite3.Connection:
    db = sqlite3.connect(file, timeout=60, isolation_level="IMMEDIATE", check_same_thread=False)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = NORMAL")  # a power cut may lose the last batches, never the file
    db.execute(
        "CREATE TABLE IF NOT EXISTS vectors (key BLOB PRIMARY KEY, vector BLOB, truncated INT) WITHOUT ROWID"
    )
    return db


def _key(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:16]


def _blocks(keys: list[bytes], size: int) -> Iterator[list[bytes]]:
    return (keys[start : start + size] for start in range(0, len(keys), size))


def _files(folder: Path) -> Iterator[tuple[Path, int, float]]:
    for file in folder.glob("*.sqlite"):
        stat = file.stat()
        yield file, stat.st_size, stat.st_mtime
