"""A long search that goes on where it was killed, and says how far it is.

The state of a search lies in the cache folder, under a digest of the vectors that are searched. It is written once
a minute, so a search that takes less leaves nothing, and it is gone when the search has ended.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from xrete.errors import XreteError
from xrete.files import atomic_writer, cache_root, digest
from xrete.lazy import NDArray, np

SAVE_SECONDS = 60.0
"""Time between two savings: the most that a kill costs."""

State = dict[str, "NDArray[np.generic]"]
OnSearch = Callable[[int, int], None]
"""Called with the number of rows that are searched, and of all of them."""


class ResumableSearch:
    """Keeps the state of one search on disk, and tells somebody how far it is.

    Losing the state costs time, never a result: a folder that cannot be written, or a damaged file, is passed over.
    """

    def __init__(self, key: Callable[[], str], total: int, on_search: OnSearch) -> None:
        """Names the search.

        Args:
            key: Makes a digest of all that decides the answer; asked only where it is needed.
            total: Rows to search.
            on_search: Told how many are done.
        """
        self._key = key
        self._total = total
        self._on_search = on_search
        self._folder = cache_root() / "searches"
        self._file: Path | None = None
        self._saved = time.monotonic()

    def restore(self) -> State | None:
        """Returns the newest state of this very search, or None."""
        if not self._folder.is_dir() or not any(self._folder.iterdir()):
            return None
        self._file = self._folder / f"{self._key()}.safetensors"
        return read_state(self._file)

    def step(self, done: int, state: Callable[[], State]) -> None:
        """Tells that `done` rows are searched, and keeps the state where it is time to."""
        self._on_search(done, self._total)
        if time.monotonic() - self._saved < SAVE_SECONDS:
            return
        self._file = self._file or self._folder / f"{self._key()}.safetensors"
        with contextlib.suppress(XreteError):
            _write(self._file, state())
        self._saved = time.monotonic()

    def end(self) -> None:
        """Forgets the state: the search has ended."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.unlink(missing_ok=True)


def _write(file: Path, state: State) -> None:
    from safetensors.numpy import save

    with atomic_writer(file) as opened:
        opened.write(save({**state, "digest": _digest(state)}))


def read_state(file: Path) -> State | None:
    """Reads what a search has come to, arrays [...] by their names; None where it is missing or damaged."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        state: State = load(file.read_bytes())
        known = state.pop("digest")
    except (OSError, SafetensorError, KeyError):
        return None
    return state if np.array_equal(known, _digest(state)) else None


def _digest(state: Mapping[str, NDArray[np.generic]]) -> NDArray[np.uint8]:
    """Returns SHA-256 of names and values, uint8 [32]; the format itself has no checksum."""
    parts = (part for name in sorted(state) for part in (name, np.ascontiguousarray(state[name]).tobytes()))
    return np.frombuffer(bytes.fromhex(digest(parts)), np.uint8)
