"""What is known of scores at classification: of accuracy, and of the absolute error of ordinal classes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xrete.check.certificates.contract import Certificate, KnownAnswers, Theory
from xrete.check.certificates.encoders import code_encoder, codebook, constant_encoder, exact_interval
from xrete.shapes.classification import Classification, Labelled, Ordinal
from xrete.shapes.contract import Encode


def _prompt(shape: Classification, data: Labelled, answer: Any) -> Iterator[KnownAnswers]:
    """Constant: always the first class. Mute: the worst there is."""
    outcomes, gold = shape.outcomes(data), shape.labels(data)
    says = shape.values(data.classes)
    right = float(outcomes[np.arange(len(gold)), gold].mean())
    yield KnownAnswers("oracle", says[gold].tolist(), right, _metric(shape))
    yield KnownAnswers("constant", says[:1].tolist() * len(gold), float(outcomes[:, 0].mean()), _metric(shape))
    yield KnownAnswers("mute", [None] * len(gold), _worst(shape, outcomes), _metric(shape))


def _probe(shape: Classification, data: Labelled, training: Sequence[Labelled]) -> Iterator[Certificate]:
    """Constant: the class most frequent in training. The others' vectors say a class, which a probe can read.

    Oracle: the gold class. Shuffled oracle: for the scored items the next class, for those trained on the gold
    one. Random: for the scored items one drawn at random, so that the score is a sum of independent outcomes.
    """
    outcomes = shape.outcomes(data)
    gold, count = shape.labels(data), len(data.classes)
    trained = np.bincount(np.concatenate([shape.labels(part) for part in training]), minlength=count)

    def certificate(name: str, predicted: NDArray[np.int64], encode: Encode) -> Certificate:
        score = float(outcomes[np.arange(len(predicted)), predicted].mean())
        return Certificate(name, encode, score, score, metric=_metric(shape))

    yield certificate("constant", np.full(len(gold), trained.argmax()), constant_encoder)
    drawn = np.random.default_rng(0).integers(0, count, len(gold))
    for name, predicted in (("oracle", gold), ("shuffled-oracle", (gold + 1) % count), ("random", drawn)):
        encode = _teller(shape, data, predicted, training)
        if encode is None:  # no encoder of single texts can know the labels
            return
        if name == "random":
            low, high = _random_interval(outcomes)
            yield Certificate(name, encode, low, high, metric=_metric(shape))
        else:
            yield certificate(name, predicted, encode)


def _teller(
    shape: Classification, data: Labelled, predicted: NDArray[np.int64], training: Sequence[Labelled]
) -> Encode | None:
    """Makes a model whose vector of an item's last text says `predicted` of `data`, the gold class in training."""
    codes = np.eye(len(data.classes))
    pairs: list[tuple[str, tuple[float, ...]]] = []
    for part, places in [(data, predicted), *((part, shape.labels(part)) for part in training)]:
        if part.second is not None:
            pairs += [(text, (0.0,) * len(codes)) for text in part.first]
        pairs += zip(part.second or part.first, map(tuple, codes[places].tolist()), strict=True)
    book = codebook(pairs)
    return code_encoder(book) if book else None


def _random_interval(outcomes: NDArray[np.float64]) -> tuple[float, float]:
    """Returns the exact interval of the mean where each prediction is drawn evenly.

    Args:
        outcomes: What an item adds for each prediction: [items, classes].
    """
    unit = float(outcomes[outcomes > 0].min())  # all others are whole multiples of it
    steps = np.rint(outcomes / unit).astype(np.int64)
    low, high = exact_interval(np.bincount(row) / len(row) for row in steps)
    return low * unit / len(outcomes), high * unit / len(outcomes)


def _metric(shape: Classification) -> str:
    """Returns the metric that `outcomes` is about."""
    return "mae" if isinstance(shape, Ordinal) else "accuracy"


def _worst(shape: Classification, outcomes: NDArray[np.float64]) -> float:
    """Returns the worst score that there is: no item right, or each as far off as it can be."""
    return float(outcomes.max(axis=1).mean()) if isinstance(shape, Ordinal) else 0.0


THEORY = Theory(probe=_probe, prompt=_prompt)
