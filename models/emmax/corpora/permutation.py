"""Random orders of any length that take no memory: a keyed bijection of 0..n-1."""

from __future__ import annotations

from hashlib import blake2b

from xrete.lazy import NDArray, np

ROUNDS = 6


def permute(places: NDArray[np.int64], size: int, key: str) -> NDArray[np.int64]:
    """Returns what stands at `places` of a pseudo-random order of 0..size-1.

    A balanced Feistel network is a bijection of 0..4^h-1, whatever its round function; places that it sends to
    `size` or beyond are sent through it again until they are below (cycle walking, Black and Rogaway 2002), which
    leaves a bijection of 0..size-1. As 4^(h-1) < size, that takes fewer than four turns on average.

    Args:
        places: Places asked for, each in 0..size-1 [n].
        size: Length of the order.
        key: Names the order; equal keys give equal orders.
    """
    half = max(1, ((size - 1).bit_length() + 1) // 2)
    keys = np.frombuffer(blake2b(key.encode(), digest_size=8 * ROUNDS).digest(), "<u8")
    values = places.astype(np.uint64)
    beyond = np.arange(len(values))
    while len(beyond):
        values[beyond] = _feistel(values[beyond], half, keys)
        beyond = beyond[values[beyond] >= size]
    return values.astype(np.int64)


def _feistel(values: NDArray[np.uint64], half: int, keys: NDArray[np.uint64]) -> NDArray[np.uint64]:
    shift, mask = np.uint64(half), np.uint64((1 << half) - 1)
    left, right = values >> shift, values & mask
    for key in keys:
        left, right = right, left ^ (_mix(right + key) & mask)
    return (left << shift) | right


def _mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finaliser of SplitMix64: every bit of the input reaches every bit of the output."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
