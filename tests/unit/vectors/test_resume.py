"""A search that is killed goes on where it was, to the same answer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from xrete.files import cache_root
from xrete.vectors import resume, search
from xrete.vectors.search import nearest_both
from xrete.vectors.tiles import NumpyTiles
from xrete.vectors.top_k import Neighbours

ROWS = 5_000
"""Three tiles of 2,048 rows."""


class Killed(BaseException):
    """What ends a process at once."""


@pytest.fixture
def sides() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    random = np.random.default_rng(0)
    left, right = (random.standard_normal((n, 8), np.float32) for n in (ROWS, 700))
    return left / np.linalg.norm(left, axis=1, keepdims=True), right / np.linalg.norm(right, axis=1, keepdims=True)


@pytest.fixture
def saves_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resume, "SAVE_SECONDS", 0.0)


def states(cache: Path) -> list[Path]:
    return list((cache / "searches").glob("*"))


def equal(one: tuple[Neighbours, ...], other: tuple[Neighbours, ...]) -> bool:
    return all(np.array_equal(x, y) for a, b in zip(one, other, strict=True) for x, y in zip(a, b, strict=True))


def kill_at(number: int) -> resume.OnSearch:
    """Ends the search after its `number`-th rows of tiles, which are not kept any more."""
    heard: list[int] = []

    def hear(done: int, total: int) -> None:
        heard.append(done)
        assert total == ROWS
        if len(heard) == number:
            raise Killed

    return hear


@pytest.mark.usefixtures("saves_at_once")
def test_a_killed_search_goes_on(
    sides: tuple[NDArray[np.float32], NDArray[np.float32]], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = nearest_both(*sides, 4)
    with pytest.raises(Killed):
        nearest_both(*sides, 4, on_search=kill_at(2))
    (state,) = states(cache_root())
    searched: list[slice] = []
    tile = NumpyTiles.tile

    def watched(self: NumpyTiles, rows: slice, right: NDArray[np.float32]) -> object:
        searched.append(rows)
        return tile(self, rows, right)

    monkeypatch.setattr(NumpyTiles, "tile", watched)
    told: list[int] = []
    again = nearest_both(*sides, 4, on_search=lambda done, total: told.append(done))
    assert equal(again, whole)
    assert {rows.start for rows in searched} == {2048, 4096}, "the first rows are not searched again"
    assert told == [4096, ROWS]
    assert not state.exists(), "what has ended leaves nothing"


@pytest.mark.usefixtures("saves_at_once")
@pytest.mark.parametrize("damage", ["torn", "changed", "empty"])
def test_a_damaged_state_is_passed_over(
    sides: tuple[NDArray[np.float32], NDArray[np.float32]], damage: str
) -> None:
    whole = nearest_both(*sides, 4)
    with pytest.raises(Killed):
        nearest_both(*sides, 4, on_search=kill_at(3))
    (state,) = states(cache_root())
    raw = bytearray(state.read_bytes())
    raw[-20] ^= 1
    state.write_bytes({"torn": bytes(raw[:-100]), "changed": bytes(raw), "empty": b""}[damage])
    told: list[int] = []
    assert equal(nearest_both(*sides, 4, on_search=lambda done, total: told.append(done)), whole)
    assert told == [2048, 4096, ROWS]


@pytest.mark.usefixtures("saves_at_once")
def test_another_search_does_not_take_it(sides: tuple[NDArray[np.float32], NDArray[np.float32]]) -> None:
    with pytest.raises(Killed):
        nearest_both(*sides, 4, on_search=kill_at(2))
    for left, right, k in ((sides[0], sides[1][::-1].copy(), 4), (*sides, 3)):
        told: list[int] = []
        nearest_both(left, right, k, on_search=lambda done, total: told.append(done))  # noqa: B023 - called now
        assert told == [2048, 4096, ROWS]


def test_a_short_search_writes_nothing(sides: tuple[NDArray[np.float32], NDArray[np.float32]]) -> None:
    nearest_both(*sides, 4)
    assert not (cache_root() / "searches").exists()


@pytest.mark.usefixtures("saves_at_once")
def test_a_cache_that_cannot_be_written_stops_no_search(
    sides: tuple[NDArray[np.float32], NDArray[np.float32]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XRETE_CACHE", str(tmp_path / "file"))
    assert search.nearest_both(*sides, 4)[0].indices.shape == (ROWS, 4)
