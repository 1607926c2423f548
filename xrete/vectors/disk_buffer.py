"""Vectors kept on disk while a second look at them is still to come."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from xrete.errors import XreteError
from xrete.files import cache_root

if TYPE_CHECKING:
    from types import TracebackType


class DiskBuffer:
    """Blocks of vectors of one shape, written once and read back by their number; gone when it is closed.

    They lie in a file without a name in the cache folder, because temporary folders are often kept in memory.
    """

    def __init__(self) -> None:
        self._file = _open()
        self._shape: tuple[int, ...] = ()

    def append(self, rows: NDArray[np.float32]) -> None:
        """Keeps `rows` [n, d]; all blocks have the same shape.

        Raises:
            XreteError: the disk is full.
        """
        self._shape = rows.shape
        try:
            self._file.write(np.ascontiguousarray(rows).data)
        except OSError as error:
            raise XreteError(
                f"cannot keep embeddings in {cache_root()}: {error.strerror or error}; free space there or name "
                f"another folder in the environment variable XRETE_CACHE"
            ) from error

    def __getitem__(self, number: int) -> NDArray[np.float32]:
        """Returns block `number`, counted in the order of writing [n, d]."""
        rows = np.empty(self._shape, np.float32)
        self._file.seek(number * rows.nbytes)
        self._file.readinto(rows.data.cast("B"))  # type: ignore[attr-defined]
        return rows

    def __enter__(self) -> DiskBuffer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


def _open() -> IO[bytes]:
    folder: Path | None = cache_root()
    try:
        cache_root().mkdir(parents=True, exist_ok=True)
        return tempfile.TemporaryFile(dir=folder)
    except OSError:  # a home that cannot be written
        return tempfile.TemporaryFile()
