"""Exact nearest neighbours by cosine, in blocks, with ties that do not depend on the blocks.

`mutual_nearest` is the small search of bitext retrieval. `top_k` and `nearest_both` search millions of vectors in
bounded memory: tiles of approximate scores (`vectors.tiles`) choose the pairs that can matter, and these few get
exact scores.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

from xrete.files import digest
from xrete.lazy import NDArray, np
from xrete.vectors.resume import OnSearch, ResumableSearch, State
from xrete.vectors.tiles import Tiles, make_tiles
from xrete.vectors.top_k import Best, Neighbours, Score, slices

BLOCK = 4096
"""Queries of `mutual_nearest` whose scores are held at once."""

NEAR_TIE = 1e-5
"""Float32 products of unit vectors are off by less; candidates this close to the best are scored again."""

EXACT_NUMBERS = 2**22
"""Numbers of each side that are held at once while near ties are scored again."""

CHUNK = 16_384
"""Vectors that are digested at once."""

BOTH_WAYS = (2048, 2048)
"""Rows and columns of a tile that is looked at both ways on a CPU: its 16 MB stay in a large cache."""

PAIRS = 128
"""Pairs scored at once: 128 of 1,024 numbers in float64 are 1 MB, which stays in a core's cache."""


def top_k(
    queries: NDArray[np.float32],
    candidates: NDArray[Any] | Iterable[NDArray[Any]],
    k: int,
    *,
    device: str = "cpu",
    half: bool = False,
) -> Neighbours:
    """Finds the k best candidates of every query, exactly, holding some tens of megabytes beside its arguments.

    Candidates are ranked by the cosine in float64 of the vectors as given; the lower index wins a tie. Products
    of tiles only choose which pairs can matter, within the bounds of their error, so `device`, `half` and the
    size of blocks change the time and never the answer.

    Args:
        queries: Unit vectors [n, d].
        candidates: Unit vectors [m, d] of any float type, in memory or mapped from a file; or blocks of them,
            each looked at once and forgotten.
        k: How many; fewer where there are fewer candidates.
        device: Where tiles are computed, as torch spells it; "cpu" with float32 needs no torch.
        half: Compute tiles in bfloat16: several times faster on a GPU, or on a CPU that has such instructions.
    """
    best = Best(len(queries), k)
    tiles = make_tiles(queries, device, half)
    total = 0
    for block in _blocks(candidates, tiles.shape[1]) if len(queries) else ():
        exact = _exact(queries, block, offset=total)
        _offer_block(tiles, block, total, best, exact)
        best.settle(exact)
        total += len(block)
    return best.result(min(k, total))


def nearest_both(
    left: NDArray[np.float32],
    right: NDArray[Any],
    k: int,
    *,
    device: str = "cpu",
    half: bool = False,
    on_search: OnSearch = lambda done, total: None,
) -> tuple[Neighbours, Neighbours]:
    """Finds the k best on the other side, for both sides, from one pass over the tiles of scores.

    A search of more than a minute that is killed goes on, when it is asked for again, where it was (`resume`).

    Args:
        left: Unit vectors [n, d].
        right: Unit vectors [m, d].
        k: How many; fewer where the other side has fewer.
        device: See `top_k`.
        half: See `top_k`.
        on_search: Told how many left vectors are searched, and how many there are.

    Returns:
        For left vectors their best right ones, and for right vectors their best left ones; exact as in `top_k`.
    """
    shape = BOTH_WAYS if device == "cpu" else None
    tiles = make_tiles(left, device, half, shape)
    forward, backward = Best(len(left), k), Best(len(right), k)
    exact = _exact(left, right)
    search = ResumableSearch(lambda: _search_key(left, right, k), len(left), on_search)
    done = _restore(search, forward, backward)

    def exact_back(rows: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.float64]:
        return exact(others, rows)

    def state() -> State:
        backward.settle(exact_back)
        return _state(done, forward, backward)

    for start in range(done, len(left), tiles.shape[0]):
        rows = slice(start, min(start + tiles.shape[0], len(left)))
        for columns in slices(len(right), tiles.shape[1]):
            tile = tiles.tile(rows, tiles.right(right[columns]))
            hits = tile.reaching(forward.limits(rows, lambda: tile.floors(k, 1)), 1)  # noqa: B023 - called now
            forward.offer(rows, hits.rows, hits.columns + columns.start, hits)
            hits = tile.reaching(backward.limits(columns, lambda: tile.floors(k, 0)), 0)  # noqa: B023
            hits = hits.take(np.argsort(hits.columns, kind="stable"))
            backward.offer(columns, hits.columns, hits.rows + rows.start, hits)
            forward.relieve(exact)
            backward.relieve(exact_back)
        forward.settle(exact)
        done = rows.stop
        search.step(done, state)
    backward.settle(exact_back)
    search.end()
    return forward.result(min(k, len(right))), backward.result(min(k, len(left)))


def _search_key(left: NDArray[np.float32], right: NDArray[Any], k: int) -> str:
    """Returns a digest of all that decides the answer, some megabytes of vectors at a time."""
    parts = (side[rows].tobytes() for side in (left, right) for rows in slices(len(side), CHUNK))
    return digest(chain([str((k, left.shape, right.shape, left.dtype, right.dtype))], parts))


def _state(done: int, forward: Best, backward: Best) -> State:
    """Names what a search of both directions has come to after `done` left vectors."""
    state: State = {"done": np.array([done])}
    for name, best in (("forward", forward), ("backward", backward)):
        state |= zip([f"{name}_low", f"{name}_indices", f"{name}_scores"], best.state(), strict=True)
    return state


def _restore(search: ResumableSearch, forward: Best, backward: Best) -> int:
    """Puts a search where a killed one was; returns how many left vectors are done."""
    state: Any = search.restore()
    if state is None:
        return 0
    for name, best in (("forward", forward), ("backward", backward)):
        best.restore(state[f"{name}_low"], state[f"{name}_indices"], state[f"{name}_scores"])
    return int(state["done"][0])


def device_of(encode: object) -> str:
    """Returns where to search vectors that `encode` made: on the encoder's own GPU, else on the CPU."""
    device = str(getattr(getattr(encode, "encoder", encode), "device", "cpu"))
    return device if device.startswith("cuda") else "cpu"


def on_search_of(encode: object) -> OnSearch:
    """Returns who is told how far a search of vectors is that `encode` made."""
    tell: OnSearch = getattr(encode, "on_search", lambda done, total: None)
    return tell


def _offer_block(tiles: Tiles, block: NDArray[Any], offset: int, best: Best, exact: Score) -> None:
    """Offers every query's pairs with a block of candidates; each candidate is prepared once for all queries."""
    for columns in slices(len(block), tiles.shape[1]):
        right = tiles.right(block[columns])
        for rows in slices(best.size, tiles.shape[0]):
            tile = tiles.tile(rows, right)
            hits = tile.reaching(best.limits(rows, lambda: tile.floors(best.k, 1)), 1)  # noqa: B023 - called now
            best.offer(rows, hits.rows, hits.columns + columns.start + offset, hits)
            best.relieve(exact)


def _exact(left: NDArray[np.float32], right: NDArray[Any], offset: int = 0) -> Score:
    """Makes the function that scores pairs exactly; right indices count from `offset`."""

    def score(rows: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.float64]:
        scores = np.empty(len(rows))
        for part in slices(len(rows), PAIRS):
            scores[part] = _dot(left[rows[part]], right[others[part] - offset])
        return scores

    return score


def _blocks(candidates: NDArray[Any] | Iterable[NDArray[Any]], enough: int) -> Iterator[NDArray[Any]]:
    """Yields candidates in blocks; small ones that arrive one by one are joined, for the sake of the products."""
    if isinstance(candidates, np.ndarray):
        yield candidates
        return
    waiting: list[NDArray[Any]] = []
    for block in candidates:
        waiting.append(block)
        if sum(map(len, waiting)) >= enough:
            yield np.concatenate(waiting) if len(waiting) > 1 else block
            waiting = []
    if waiting:
        yield np.concatenate(waiting)


def mutual_nearest(
    queries: NDArray[np.float32], candidates: NDArray[np.float32], *, block: int = BLOCK
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Finds the nearest candidate of every query, and the nearest query of every candidate.

    Args:
        queries: Unit vectors [n, d].
        candidates: Unit vectors [m, d].
        block: Queries whose scores are held at once.

    Returns:
        Index of the best candidate for each query [n], and of the best query for each candidate [m]. Scores are
        float32 products; where several are within `NEAR_TIE` of the best they are computed again in float64, one
        pair at a time, and the lowest index wins a tie. So the answer depends neither on `block` nor on the
        order in which a matrix product adds.
    """
    forward = np.empty(len(queries), np.int32)
    best = np.full(len(candidates), -np.inf, np.float32)
    rivals: list[NDArray[np.int64]] = []  # rows (candidate, query) that may be the best of a candidate
    for start in range(0, len(queries), block):
        part = queries[start : start + block]
        scores = part @ candidates.T
        close = np.argwhere(scores >= scores.max(axis=1, keepdims=True) - NEAR_TIE)
        forward[start : start + block] = _settle(close, part, candidates)
        best = np.maximum(best, scores.max(axis=0))
        close = np.argwhere(best[:, None] - NEAR_TIE <= scores.T)
        close[:, 1] += start
        rivals.append(close)
    return forward, _settle(np.concatenate(rivals), candidates, queries)


def _settle(pairs: NDArray[np.int64], rows: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.int32]:
    """Returns, for each row that is in `pairs` (row, other), the best other; the lowest index wins a tie.

    A collapsed model makes every pair a near tie, so the products are taken a part at a time.
    """
    step = max(1, EXACT_NUMBERS // rows.shape[1])
    parts = (pairs[start : start + step] for start in range(0, len(pairs), step))
    exact = np.concatenate([_dot(rows[part[:, 0]], others[part[:, 1]]) for part in parts])
    order = np.lexsort((pairs[:, 1], -exact, pairs[:, 0]))
    first = np.unique(pairs[order, 0], return_index=True)[1]
    return np.asarray(pairs[order][first, 1], dtype=np.int32)


def _dot(left: NDArray[np.float32], right: NDArray[np.float32]) -> NDArray[np.float64]:
    """Row-wise products in float64, each row added in the same order."""
    return np.asarray((left.astype(np.float64) * right).sum(axis=-1))
