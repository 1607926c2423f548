"""What is known of R-precision at multi-label classification."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xrete.check.certificates.contract import Certificate, KnownAnswers, Theory
from xrete.check.certificates.encoders import code_encoder, codebook, constant_encoder, exact_interval
from xrete.shapes.contract import Encode
from xrete.shapes.multilabel import MultiLabel, MultiLabelled, mean_r_precision


def _prompt(shape: MultiLabel, data: MultiLabelled, answer: Any) -> Iterator[KnownAnswers]:
    """Constant: the first label alone. Mute: no label."""
    gold = shape.labels(data)
    share = gold[:, 0] / np.maximum(gold.sum(axis=1), 1)
    score = 100 * float(share[gold.any(axis=1)].mean())
    yield KnownAnswers("oracle", [sorted(names) for names in data.labels], 100, "r_precision")
    yield KnownAnswers("constant", [data.classes[:1]] * len(gold), score, "r_precision")
    yield KnownAnswers("mute", [None] * len(gold), 0, "r_precision")


def _probe(shape: MultiLabel, data: MultiLabelled, training: Sequence[MultiLabelled]) -> Iterator[Certificate]:
    """Constant: the labels in order of their frequency in training. The others' vectors say a set of labels.

    Oracle: the gold ones. Shuffled oracle: as many of those that are wrong. Random: as many, drawn at random,
    so that each item's number of hits is hypergeometric. Only labels that a probe can learn to read are said:
    those that some, but not all, of the training items have.
    """
    gold = shape.labels(data)
    known = np.concatenate([shape.labels(part) for part in training])
    frequency = known.sum(axis=0)
    score = 100 * mean_r_precision(gold, np.tile(frequency.astype(np.float64), (len(gold), 1)))
    yield Certificate("constant", constant_encoder, score, score, metric="r_precision")
    readable = (frequency > 0) & (frequency < len(known))
    if gold[:, ~readable].any():
        return
    chance = np.random.default_rng(0).random(gold.shape) - 4 * ~readable
    for name, answers, bounds in (
        ("oracle", gold, (100.0, 100.0)),
        ("shuffled-oracle", _as_many(gold, chance - 2 * gold), _least_hits(gold, int(readable.sum()))),
        ("random", _as_many(gold, chance), _random_interval(gold, int(readable.sum()))),
    ):
        if (encode := _teller(shape, data, answers, training)) is not None:
            yield Certificate(name, encode, *bounds, metric="r_precision")


def _as_many(gold: NDArray[np.bool_], preference: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Chooses for each item as many labels as it has, those of the highest preference [items, labels]."""
    ranks = (-preference).argsort(axis=1).argsort(axis=1)
    return np.asarray(ranks < gold.sum(axis=1, keepdims=True))


def _least_hits(gold: NDArray[np.bool_], count: int) -> tuple[float, float]:
    """Returns the score where every item gets wrong labels of `count`: 0 for those with up to half of them."""
    number = gold.sum(axis=1)[gold.any(axis=1)]
    score = 100 * float((np.maximum(2 * number - count, 0) / number).mean())
    return score, score


def _random_interval(gold: NDArray[np.bool_], count: int) -> tuple[float, float]:
    """Returns the exact interval of mean R-precision where each item gets as many of `count` labels as it has."""
    numbers = [int(number) for number in gold.sum(axis=1) if number]
    unit = math.lcm(*numbers)
    low, high = exact_interval(_hit_shares(number, count, unit) for number in numbers)
    return 100 * low / unit / len(numbers), 100 * high / unit / len(numbers)


def _hit_shares(number: int, count: int, unit: int) -> NDArray[np.float64]:
    """Returns the distribution of hits / number in steps of 1 / unit: `number` drawn of `count`, `number` right."""
    shares = np.zeros(unit + 1)
    for hits in range(number + 1):
        ways = math.comb(number, hits) * math.comb(count - number, number - hits)
        shares[hits * unit // number] = ways / math.comb(count, number)
    return shares


def _teller(
    shape: MultiLabel, data: MultiLabelled, answers: NDArray[np.bool_], training: Sequence[MultiLabelled]
) -> Encode | None:
    """Makes a model whose vectors say `answers` of the scored texts and the gold labels of those trained on."""
    pairs: list[tuple[str, tuple[float, ...]]] = []
    for part, labels in [(data, answers), *((part, shape.labels(part)) for part in training)]:
        pairs += zip(part.first, map(tuple, labels.astype(float).tolist()), strict=True)
    book = codebook(pairs)
    return code_encoder(book) if book else None


THEORY = Theory(probe=_probe, prompt=_prompt)
