"""What is known of scores at multiple choice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xrete.check.certificates.contract import Certificate, KnownAnswers, Theory
from xrete.check.certificates.encoders import code_encoder, codebook, constant_encoder, exact_interval
from xrete.shapes.choice import Choices, MultipleChoice
from xrete.shapes.contract import Encode


def _prompt(shape: MultipleChoice, data: Choices, answer: Any) -> Iterator[KnownAnswers]:
    """Constant: always the first choice. Mute: neither, which is never right."""
    gold = shape.labels(data)
    yield KnownAnswers("oracle", (gold + 1).tolist(), 100)
    yield KnownAnswers("constant", [1] * len(gold), 100 * float(np.mean(gold == 0)))
    yield KnownAnswers("mute", [None] * len(gold), 0)


def _probe(shape: MultipleChoice, data: Choices, training: Sequence[Choices]) -> Iterator[Certificate]:
    """Constant: always the first choice. The others' vectors say of an alternative if it is right.

    Oracle: truly. Shuffled oracle: of the scored items the wrong one. Random: of the scored items one drawn at
    random, so that the number of right answers is binomial.
    """
    gold = shape.labels(data)
    first = 100 * float(np.mean(gold == 0))
    yield Certificate("constant", constant_encoder, first, first)
    drawn = np.random.default_rng(0).integers(0, 2, len(gold))
    low, high = exact_interval([np.array([0.5, 0.5])] * len(gold))
    for name, answers, bounds in (
        ("oracle", gold, (100.0, 100.0)),
        ("shuffled-oracle", 1 - gold, (0.0, 0.0)),
        ("random", drawn, (100 * low / len(gold), 100 * high / len(gold))),
    ):
        if (encode := _teller(data, answers, training)) is not None:
            yield Certificate(name, encode, *bounds)


def _teller(data: Choices, answers: NDArray[np.int64], training: Sequence[Choices]) -> Encode | None:
    """Makes a model whose vectors say which alternative is right: `answers` of scored items, gold in training."""
    pairs: list[tuple[str, tuple[float, ...]]] = []
    for part, places in [(data, answers), *((part, np.array(part.labels)) for part in training)]:
        pairs += [(text, (0.0, 0.0)) for text in part.prompts()]
        for number, side in enumerate((part.choice1, part.choice2)):
            codes = [(1.0, 0.0) if place == number else (0.0, 1.0) for place in places]
            pairs += zip(side, codes, strict=True)
    book = codebook(pairs)
    return code_encoder(book) if book else None


THEORY = Theory(probe=_probe, prompt=_prompt)
