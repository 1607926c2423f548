"""Splitting items so that no item, in whatever language, is both trained on and scored."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray


def split_items(
    keys: Mapping[str, Sequence[Sequence[Hashable]]], folds: int, seed: int
) -> dict[str, NDArray[np.int64]]:
    """Assigns every item to one of `folds` parts of nearly equal size.

    Items that share a key are in one part, and so are items that are linked through others.

    Args:
        keys: By language, the keys of each of its items.
        folds: Number of parts.
        seed: Decides which items go where.

    Returns:
        By language, the part of each of its items, int64 [items].
    """
    components = _components(item for items in keys.values() for item in items)
    sizes = np.bincount(components)
    order = np.random.default_rng(seed).permutation(len(sizes))
    part_of = np.zeros(len(sizes), dtype=np.int64)
    filled = np.zeros(folds, dtype=np.int64)
    for component in sorted(order, key=lambda x: -sizes[x]):  # the largest first, else by the shuffled order
        part = int(filled.argmin())
        part_of[component] = part
        filled[part] += sizes[component]
    ends = np.cumsum([len(items) for items in keys.values()])
    parts = np.split(part_of[components], ends[:-1])
    return dict(zip(keys, parts, strict=True))


def _components(items: Iterable[Sequence[Hashable]]) -> NDArray[np.int64]:
    """Numbers the sets of items that are linked by shared keys, from 0: one number for each item."""
    parent: list[int] = []
    first: dict[Hashable, int] = {}

    def root(item: int) -> int:
        while parent[item] != item:
            parent[item] = parent[parent[item]]
            item = parent[item]
        return item

    for number, item in enumerate(items):
        parent.append(number)
        for key in item:
            left, right = root(first.setdefault(key, number)), root(number)
            parent[max(left, right)] = min(left, right)
    roots = np.array([root(item) for item in range(len(parent))], dtype=np.int64)
    return np.unique(roots, return_inverse=True)[1].astype(np.int64)
