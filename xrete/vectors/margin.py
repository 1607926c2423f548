"""Bitext mining: pairs by cosine or ratio margin from both directions, and the threshold that decides among them.

This follows the mining and the threshold search of BUCC in LASER and XTREME, step by step.
"""

from __future__ import annotations

import warnings
from typing import Literal, NamedTuple

from xrete.lazy import NDArray, np
from xrete.vectors.top_k import Neighbours

NEIGHBOURHOOD = 4
"""Neighbours whose mean similarity a margin is relative to."""

SMALLEST = 1e-6
"""Least mean similarity that is divided by; untrained encoders have none or negative ones."""

Scoring = Literal["margin", "cosine"]


class Mined(NamedTuple):
    """Pairs, best first, no row of either side twice: rows int64 [p] of both sides, scores float64 [p]."""

    source: NDArray[np.int64]
    target: NDArray[np.int64]
    score: NDArray[np.float64]


def mine(forward: Neighbours, backward: Neighbours, scoring: Scoring = "margin") -> Mined:
    """Mines pairs from the nearest neighbours of both directions.

    Each row of either side proposes the best of its neighbours. Proposals are taken best first, those of the
    source side and lower rows first among equals, unless a row of theirs is taken; scores must be positive.

    Args:
        forward: Neighbours of source rows on the target side, with cosines.
        backward: Neighbours of target rows on the source side.
        scoring: "margin" divides the cosine by the mean cosine of both rows with their neighbours.
    """
    means = forward.scores.mean(axis=1), backward.scores.mean(axis=1)
    targets, from_source = _propose(forward, *means, scoring)
    sources, from_target = _propose(backward, *means[::-1], scoring)
    source = np.concatenate([np.arange(len(targets)), sources])
    target = np.concatenate([targets, np.arange(len(sources))])
    score = np.concatenate([from_source, from_target])
    order = np.argsort(-score, kind="stable")
    order = order[score[order] > 0]
    free = bytearray(b"\1" * len(targets)), bytearray(b"\1" * len(sources))
    kept = []
    for place, i, j in zip(order.tolist(), source[order].tolist(), target[order].tolist(), strict=True):
        if free[0][i] and free[1][j]:
            free[0][i] = free[1][j] = 0
            kept.append(place)
    return Mined(source[kept], target[kept], score[kept])


def _propose(
    near: Neighbours, own: NDArray[np.float64], theirs: NDArray[np.float64], scoring: Scoring
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Returns the best neighbour of every row and its score; the nearer one of equals."""
    scores = near.scores
    if scoring == "margin":
        mean = (own[:, None] + theirs[near.indices]) / 2
        if (mean < SMALLEST).any():
            warnings.warn(
                "some sentences have no similarity with their nearest neighbours; their margins mean nothing",
                RuntimeWarning,
                stacklevel=3,
            )
        scores = scores / np.maximum(mean, SMALLEST)
    rows, best = np.arange(len(scores)), scores.argmax(axis=1)
    return near.indices[rows, best], scores[rows, best]


def best_threshold(scores: NDArray[np.float64], right: NDArray[np.bool_], gold: int) -> float:
    """Finds the threshold with the highest F1.

    Args:
        scores: Of mined pairs [p], in any order; equal ones count in the order given.
        right: Which pairs are gold [p].
        gold: Number of gold pairs, mined or not.

    Returns:
        The mean of the last score of the best prefix and the next one, the shorter prefix of equals; the last
        score where the best prefix is the whole list (the official script fails there), 0 where no pair is right.
    """
    if not right.any():
        return 0.0
    best = _best_prefix(scores, right, gold)
    ordered = -np.sort(-scores)
    return float(ordered[best : best + 2].mean())


def reach(scores: NDArray[np.float64], right: NDArray[np.bool_], gold: int, threshold: float) -> float:
    """Returns the lowest score that `best_threshold`, or the pairs above `threshold`, can depend on.

    `scores` and `right` are [pairs].
    """
    ordered = -np.sort(-scores)
    needed = ordered[: _best_prefix(scores, right, gold) + 2] if right.any() else ordered[:0]
    above = scores[scores >= threshold]
    return float(min([*needed[-1:], *([above.min()] if len(above) else [])], default=np.inf))


def _best_prefix(scores: NDArray[np.float64], right: NDArray[np.bool_], gold: int) -> int:
    """Returns the last place of the prefix, in order of score, with the highest F1; the first of equals."""
    correct = np.cumsum(right[np.argsort(-scores, kind="stable")])
    # 2c / (n + gold) is F1 from whole numbers, so that equal prefixes are equal in floating point too.
    return int((2 * correct / (np.arange(1, len(scores) + 1) + gold)).argmax())
