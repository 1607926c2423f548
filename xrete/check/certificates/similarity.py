"""What is known of correlations with gold scores."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from xrete.check.certificates.contract import Certificate, KnownAnswers, Theory
from xrete.check.certificates.encoders import COVERAGE, codebook, constant_encoder
from xrete.prompts import Number
from xrete.shapes.contract import Encode
from xrete.shapes.similarity import ScoredPairs, Similarity, as_cosines, average_ranks, is_constant, sides_of

DRAWS = 20_000
"""Random predictions whose correlations bound those of a random model."""


def _prompt(shape: Similarity, data: ScoredPairs, answer: Number) -> Iterator[KnownAnswers]:
    """Oracle: the gold scores, stretched over the scale. Constant and mute: no correlation."""
    gold = shape.labels(data)
    right = answer.low + (answer.high - answer.low) * (as_cosines(gold) + 1) / 2
    yield KnownAnswers("oracle", right.tolist(), 0 if is_constant(gold) else 100)
    yield KnownAnswers("constant", [answer.low] * len(gold), 0)
    yield KnownAnswers("mute", [None] * len(gold), 0)


def _zero_shot(shape: Similarity, data: ScoredPairs) -> Iterator[Certificate]:
    """Constant: no correlation. Random: noise, anew for each text, so that all orders are equally likely.

    Oracle: first sides are the first axis, second sides stand at the angle whose cosine is the gold score, so
    both correlations are 1. Shuffled oracle: at the opposite angle, so they are -1.
    """
    low, high = _null_interval(shape.labels(data))
    noise = np.random.default_rng(0)
    yield Certificate("constant", constant_encoder, 0, 0)
    yield Certificate("random", lambda texts: _unit(noise.standard_normal((len(texts), 64))), low, high)
    scaled = as_cosines(shape.labels(data))
    first, second = sides_of(data)
    rows = [*zip(first, [None] * len(data), strict=True), *zip(second, scaled.tolist(), strict=True)]
    book = codebook(rows)
    if book is not None:  # else no encoder of single texts can give all these cosines
        yield Certificate("oracle", _angles(book, 1), 100, 100)
        yield Certificate("shuffled-oracle", _angles(book, -1), -100, -100)


def _probe(shape: Similarity, data: ScoredPairs, training: Sequence[ScoredPairs]) -> Iterator[Certificate]:
    """Constant: the mean of the scores trained on for every pair, which correlates with nothing."""
    yield Certificate("constant", constant_encoder, 0, 0)


def _angles(book: Mapping[str, float | None], sign: int) -> Encode:
    """Makes a model that gives `None` the first axis, and a number the unit vector whose cosine to it that is."""

    def encode(texts: Sequence[str]) -> NDArray[np.float32]:
        cosines = np.array([1.0 if (code := book[text]) is None else sign * code for text in texts])
        return np.stack([cosines, np.sqrt(1 - cosines**2)], axis=1).astype(np.float32)

    return encode


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float32]:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)


def _null_interval(gold: NDArray[np.float64]) -> tuple[float, float]:
    """Returns what either correlation with independent predictions lies in, by drawing many such predictions."""
    draws = np.random.default_rng(1).standard_normal((DRAWS, len(gold)))
    ranks = draws.argsort(axis=1).argsort(axis=1).astype(np.float64)
    tail = 100 * (1 - COVERAGE) / 2
    bounds = []
    for target, predictions in ((gold, draws), (average_ranks(gold), ranks)):
        x = target - target.mean()
        y = predictions - predictions.mean(axis=1, keepdims=True)
        r = (y @ x) / np.sqrt((x @ x) * (y**2).sum(axis=1))
        bounds.append(np.percentile(r, [tail, 100 - tail]))
    low, high = 100 * np.array(bounds).T
    return float(low.min()), float(high.max())


THEORY = Theory(zero_shot=_zero_shot, probe=_probe, prompt=_prompt)
