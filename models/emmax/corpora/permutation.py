"""Random orders of any length that take no memory: keyed bijections of 0..n-1."""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b

from xrete.lazy import NDArray, np

ROUNDS = 6


@lru_cache(maxsize=4_096)
def order_key(name: str) -> NDArray[np.uint64]:
    """Returns the key of the order of that name [ROUNDS]."""
    return np.frombuffer(blake2b(name.encode(), digest_size=8 * ROUNDS).digest(), "<u8")


def permute(places: NDArray[np.int64], sizes: NDArray[np.int64], keys: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Returns what stands at places of pseudo-random orders.

    A balanced Feistel network is a bijection of 0..4^h-1, whatever its round function; places that it sends to the
    size or beyond are sent through it again until they are below (cycle walking, Black and Rogaway 2002), which
    leaves a bijection of 0..size-1. As 4^(h-1) < size, that takes fewer than four turns on average.

    Args:
        places: Places asked for, each in 0..size-1 [n].
        sizes: Length of the order of each [n].
        keys: `order_key` of each [n, ROUNDS].
    """
    limits = sizes.astype(np.uint64)
    bits = np.frexp((sizes - 1).astype(np.float64))[1]  # the bit length of the largest place
    halves = np.maximum(1, (bits + 1) // 2).astype(np.uint64)
    values = places.astype(np.uint64)
    beyond = np.arange(len(values))
    while len(beyond):
        values[beyond] = _feistel(values[beyond], halves[beyond], keys[beyond])
        beyond = beyond[values[beyond] >= limits[beyond]]
    return values.astype(np.int64)


def _feistel(
    values: NDArray[np.uint64], halves: NDArray[np.uint64], keys: NDArray[np.uint64]
) -> NDArray[np.uint64]:
    masks = (np.uint64(1) << halves) - np.uint64(1)
    left, right = values >> halves, values & masks
    for key in keys.T:
        left, right = right, left ^ (_mix(right + key) & masks)
    return (left << halves) | right


def _mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finaliser of SplitMix64: every bit of the input reaches every bit of the output."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
