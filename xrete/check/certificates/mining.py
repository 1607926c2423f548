"""What models without knowledge, or with all of it, score at bitext mining."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from math import comb, perm

import numpy as np
from numpy.typing import NDArray

from xrete.check.certificates.contract import Certificate, Theory, vectors_by_key
from xrete.shapes.contract import Encode
from xrete.shapes.mining import BitextMining, Corpora

CHANCE = 1e-3
"""Probability that a random model scores above its certificate's bound."""


def _zero_shot(shape: BitextMining, data: Corpora) -> Iterator[Certificate]:
    """Yields models whose F1 is known.

    Constant: all margins are 1, so the first proposal, row 0 with row 0, is the only pair mined.

    Random: given what is mined, every assignment of target sentences to their vectors is equally likely. So c
    given gold pairs are all mined with probability at most (N-c)!/N!, N being the larger corpus, and by the union
    bound C or more are with probability at most comb(G, C) (N-C)!/N!. With C - 1 right, F1 is at most
    2 (C-1) / (C-1+G).

    Oracle: each gold pair has an axis of its own; other sentences lie on one more axis, at opposite ends on both
    sides. Gold pairs are the only ones with a positive cosine, and all have the same margin. Those that hold a
    repeated sentence are lost.

    Shuffled oracle: each source sentence lies on the axis of the next pair, so what is mined is all wrong.
    """
    parts = [data, *([data.tuning] if data.tuning else [])]
    everything = {text: 0 for part in parts for text in (*part.source, *part.target)}
    gold, reachable = len(data.gold), _reachable(data)
    first_pair = 100 * 2 / (1 + gold) if (0, 0) in reachable else 0.0
    yield Certificate("constant", vectors_by_key(everything), first_pair, first_pair)
    alone = {text: number for number, text in enumerate(everything)}
    lucky = _lucky(gold, max(len(set(data.source)), len(set(data.target))))
    yield Certificate("random", vectors_by_key(alone), 0, 200 * lucky / (lucky + gold))
    full = 200 * len(reachable) / (len(reachable) + gold)
    yield Certificate("oracle", _on_axes(parts, 0), full, full)
    yield Certificate("shuffled-oracle", _on_axes(parts, 1), 0, 0)


def _reachable(data: Corpora) -> set[tuple[int, int]]:
    """Returns the gold pairs of sentences that occur once on their side."""
    times = [Counter(text.strip() for text in side) for side in (data.source, data.target)]
    return {
        (i, j) for i, j in data.gold if times[0][data.source[i].strip()] == times[1][data.target[j].strip()] == 1
    }


def _lucky(gold: int, corpus: int) -> int:
    """Returns how many gold pairs a random model mines at most, but for `CHANCE`."""
    return next(
        (c - 1 for c in range(1, gold + 1) if comb(gold, c) / perm(corpus, c) < CHANCE),
        gold,
    )


def _on_axes(parts: Sequence[Corpora], shift: int) -> Encode:
    """Makes the oracle; `shift` moves each source sentence to the axis of a later pair."""
    size = max(len(part.gold) for part in parts) + 1
    axes: dict[str, NDArray[np.float32]] = {}
    eye = np.eye(size, dtype=np.float32)
    for part in parts:
        axes |= dict.fromkeys(part.source, -eye[-1]) | dict.fromkeys(part.target, eye[-1])
        for number, (i, j) in enumerate(part.gold):
            axes[part.source[i]] = eye[(number + shift) % len(part.gold)]
            axes[part.target[j]] = eye[number]
    return _lookup(axes)


def _lookup(axes: Mapping[str, NDArray[np.float32]]) -> Encode:
    return lambda texts: np.stack([axes[text] for text in texts])


THEORY = Theory(zero_shot=_zero_shot)
