"""Tiles of cosines, on a CPU or a GPU, in float32 or bfloat16, each with a bound of its error.

A tile answers two questions about its rows or columns: what the k-th best score is at least, and which scores may
reach a limit. `xrete.vectors.search` builds exact searches from these, whatever the precision of the tile.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from xrete.lazy import NDArray, np

if TYPE_CHECKING:
    import torch

FEW = 4
"""Lines of a tile that have a hit are copied to be searched where they are at most one in so many."""

BFLOAT16_ROUNDING = 2.0**-8
"""Twice the largest relative error of rounding a number to bfloat16."""


def float32_error(dimension: int) -> float:
    """Bounds the error of a product of unit vectors in float32.

    A product that keeps at least 8 partial sums, as all vectorised ones do, rounds fewer than dimension / 8 + 16
    times, by at most 2^-24 each time, the terms' absolute values being at most 1 in sum. That is 0.9e-5 at 1,024
    dimensions; measured errors are below 1e-6.
    """
    return 1e-5 * max(1.0, dimension / 1024)


class Hits(NamedTuple):
    """Scores of a tile that may reach a limit: their places [h], and what their true values lie between [h]."""

    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    low: NDArray[np.float32]
    high: NDArray[np.float32]

    def take(self, which: NDArray[Any]) -> Hits:
        """Returns some of them, by a mask [hits] or by their places [n]."""
        return Hits(self.rows[which], self.columns[which], self.low[which], self.high[which])


class Tile(Protocol):
    """Scores of some rows with some columns. Axis 1 looks along rows and answers for each row, 0 for columns."""

    def floors(self, k: int, axis: int) -> NDArray[np.float32]:
        """Returns what the k-th best true score of each row is at least, float32 [rows]; -inf where too few."""
        ...

    def reaching(self, limits: NDArray[np.float32], axis: int) -> Hits:
        """Returns every score whose true value may reach the limit [rows] of its row (its column, for axis 0)."""
        ...


class Tiles(Protocol):
    """Makes tiles of one set of left vectors, given whole, with right vectors that come in blocks."""

    shape: tuple[int, int]
    """Rows and columns of a tile that this place computes well."""

    def right(self, block: NDArray[Any]) -> Any:
        """Prepares right vectors [m, d] for tiles."""
        ...

    def tile(self, rows: slice, right: Any) -> Tile:
        """Computes the scores of some left vectors with prepared right ones."""
        ...


def make_tiles(left: NDArray[np.float32], device: str, half: bool, shape: tuple[int, int] | None = None) -> Tiles:
    """Chooses where tiles are computed: numpy for float32 on a CPU, which needs no torch, else torch.

    Args:
        left: Unit vectors [n, d].
        device: As torch spells it.
        half: Compute in bfloat16.
        shape: Rows and columns of a tile; None takes what suits the device.
    """
    if device == "cpu" and not half:
        return NumpyTiles(left, shape or (512, 8192))
    return TorchTiles(left, device, half, shape or ((512, 8192) if device == "cpu" else (4096, 32768)))


def _groups(size: int, k: int) -> int:
    """Number of groups whose maxima bound the k-th best of `size` scores: the k-th best maximum is no better."""
    return min(size, max(4 * k, 64))


class NumpyTile:
    """A tile in float32, [rows, columns]."""

    def __init__(self, scores: NDArray[np.float32], error: float) -> None:
        self._scores = scores
        self._error = np.float32(error)

    def floors(self, k: int, axis: int) -> NDArray[np.float32]:
        """See `Tile`: float32 [rows]. The left-over scores of unequal groups are not looked at."""
        rows, columns = self._scores.shape
        size = self._scores.shape[axis]
        if size < k:
            return np.full(self._scores.shape[1 - axis], -np.inf, np.float32)
        groups = _groups(size, k)
        used = size // groups * groups
        # Members of a group lie a stride apart, so that the maximum is taken over whole stretches of memory.
        if axis == 1:
            best = self._scores[:, :used].reshape(rows, -1, groups).max(axis=1)
        else:
            best = self._scores[:used].reshape(-1, groups, columns).max(axis=0)
        kth = np.take(np.partition(best, groups - k, axis=axis), groups - k, axis=axis)
        return np.asarray(kth - self._error, dtype=np.float32)

    def reaching(self, limits: NDArray[np.float32], axis: int) -> Hits:
        """See `Tile`; float32 [rows]."""
        limits = limits - self._error
        # Maxima are taken four times as fast as a mask is made, and few lines of a late tile have a hit.
        lines = np.flatnonzero(self._scores.max(axis=axis) >= limits)
        few = FEW * len(lines) <= len(limits)
        scores = self._scores.take(lines, axis=1 - axis) if few else self._scores
        limits = limits[lines] if few else limits
        # Flat indices of a mask are found ten times faster than pairs of them.
        flat = np.flatnonzero(scores >= (limits[:, None] if axis == 1 else limits))
        rows, columns = np.divmod(flat, max(1, scores.shape[1]))
        values = scores.ravel()[flat]
        if few:
            rows, columns = (lines[rows], columns) if axis == 1 else (rows, lines[columns])
        return Hits(rows, columns, values - self._error, values + self._error)


class NumpyTiles:
    """Float32 on a CPU."""

    def __init__(self, left: NDArray[np.float32], shape: tuple[int, int]) -> None:
        self.shape = shape
        self._left = left
        # One tile's memory serves all of them: the system gives new memory page by page, which takes time.
        self._scores = np.empty(shape[0] * shape[1], np.float32)

    def right(self, block: NDArray[Any]) -> NDArray[np.float32]:
        """Vectors [m, d] stored in another precision are widened."""
        return np.asarray(block, dtype=np.float32)

    def tile(self, rows: slice, right: NDArray[np.float32]) -> NumpyTile:
        """One matrix product with `right` [m, d]; the tile before it is gone."""
        left = self._left[rows]
        scores = self._scores[: len(left) * len(right)].reshape(len(left), len(right))
        return NumpyTile(np.matmul(left, right.T, out=scores), float32_error(right.shape[1]))


class TorchTile:
    """A tile on a torch device.

    Attributes:
        scores: Approximate scores, float32 [rows, columns].
        shift: What was added to the product, for each row [rows, 1] and column [columns]; None for nothing.
        error: Bound of the error, but for the rounding of the product itself.
        rounding: Relative error of the product's rounding; 0 in float32.
        largest: Bound of the product.
    """

    def __init__(
        self,
        scores: torch.Tensor,
        error: float,
        shift: tuple[torch.Tensor, torch.Tensor] | None = None,
        rounding: float = 0.0,
        largest: float = 0.0,
    ) -> None:
        self._scores = scores
        self._shift = shift
        self._error = error
        self._rounding = rounding
        self._slack = error + rounding * largest

    def floors(self, k: int, axis: int) -> NDArray[np.float32]:
        """See `Tile`; float32 [rows]."""
        rows, columns = self._scores.shape
        size = self._scores.shape[axis]
        if size < k:
            return np.full(self._scores.shape[1 - axis], -np.inf, np.float32)
        groups = _groups(size, k)
        used = size // groups * groups
        if axis == 1:
            best = self._scores[:, :used].reshape(rows, -1, groups).amax(dim=1)
        else:
            best = self._scores[:used].reshape(-1, groups, columns).amax(dim=0).T
        kth = best.topk(k, dim=1, sorted=True).values[:, -1] - self._slack
        return np.asarray(kth.cpu().numpy(), dtype=np.float32)

    def reaching(self, limits: NDArray[np.float32], axis: int) -> Hits:
        """See `Tile`; limits [rows]. The mask uses one bound for all; each hit is then looked at with its own."""
        import torch

        bound = torch.from_numpy(limits - np.float32(self._slack)).to(self._scores.device)
        mask = self._scores >= (bound[:, None] if axis == 1 else bound)
        flat = mask.view(-1).nonzero().view(-1)
        rows, columns = flat // mask.shape[1], flat % mask.shape[1]
        values = self._scores.view(-1)[flat]
        radius = torch.full_like(values, self._error)
        if self._shift is not None:
            radius += self._rounding * (values - self._shift[0].view(-1)[rows] - self._shift[1][columns]).abs()
        low, high = (values - radius).cpu().numpy(), (values + radius).cpu().numpy()
        hits = Hits(rows.cpu().numpy(), columns.cpu().numpy(), low, high)
        return hits.take(hits.high >= limits[hits.rows if axis == 1 else hits.columns])


class _Right(NamedTuple):
    """Right vectors on the device; in bfloat16, what is needed to undo the centring and to bound the rounding."""

    vectors: torch.Tensor
    mean: torch.Tensor | None = None
    shift: torch.Tensor | None = None
    norm: float = 0.0
    lost: float = 0.0


class TorchTiles:
    """Float32 or bfloat16 on a torch device.

    Bfloat16 keeps 8 bits, too few for vectors that share a large mean. So both means are taken off before
    rounding, x.y = (x-a).(y-b) + x.b + a.(y-b), and the last two terms are added in float32. The rounding
    errors are measured, not assumed: by Cauchy and Schwarz they bound the error of every product.
    """

    def __init__(self, left: NDArray[np.float32], device: str, half: bool, shape: tuple[int, int]) -> None:
        import torch

        self.shape = shape
        self._device = device
        self._half = half
        self._left = torch.from_numpy(np.ascontiguousarray(left, dtype=np.float32)).to(device)
        if half:
            self._mean = self._left.mean(dim=0)
            self._rounded, self._norm, self._lost = _round(self._left - self._mean)

    def right(self, block: NDArray[Any]) -> _Right:
        """Moves vectors [m, d] to the device; in bfloat16, centres and rounds them."""
        import torch

        vectors = torch.from_numpy(np.array(block, dtype=np.float32)).to(self._device)
        if not self._half:
            return _Right(vectors)
        mean = vectors.mean(dim=0)
        centred = vectors - mean
        return _Right(_round(centred)[0], mean, centred @ self._mean, *_round(centred)[1:])

    def tile(self, rows: slice, right: _Right) -> TorchTile:
        """One matrix product, and the terms that centring took off."""
        exact = float32_error(right.vectors.shape[1])
        with _exact_sums():
            if not self._half:
                return TorchTile(self._left[rows] @ right.vectors.T, exact)
            assert right.mean is not None
            assert right.shift is not None
            by_row = self._left[rows] @ right.mean
            product = self._rounded[rows] @ right.vectors.T
        scores = product.float().add_(by_row[:, None]).add_(right.shift)
        error = self._lost * right.norm + (self._norm + self._lost) * right.lost + 2 * exact
        shift = (by_row[:, None], right.shift)
        return TorchTile(scores, error, shift, BFLOAT16_ROUNDING, self._norm * right.norm * 1.01)


def _round(vectors: torch.Tensor) -> tuple[torch.Tensor, float, float]:
    """Rounds to bfloat16; returns with it the largest norm, and the largest norm of what was lost."""
    rounded = vectors.bfloat16()
    if not len(vectors):
        return rounded, 0.0, 0.0
    lost = (vectors - rounded.float()).norm(dim=1).max().item()
    return rounded, vectors.norm(dim=1).max().item(), lost


def _exact_sums() -> AbstractContextManager[None]:
    """Keeps CUDA from adding in TF32 or bfloat16 inside a product: the error bounds count on float32 sums."""
    import torch

    return _CudaSums() if torch.cuda.is_available() else nullcontext()


class _CudaSums(AbstractContextManager[None]):
    """Sets the two switches and puts them back."""

    def __enter__(self) -> None:
        import torch

        flags: Any = torch.backends.cuda.matmul
        self._before = (flags.allow_tf32, flags.allow_bf16_reduced_precision_reduction)
        flags.allow_tf32 = flags.allow_bf16_reduced_precision_reduction = False

    def __exit__(self, *error: object) -> None:
        import torch

        flags: Any = torch.backends.cuda.matmul
        flags.allow_tf32, flags.allow_bf16_reduced_precision_reduction = self._before
