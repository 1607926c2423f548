"""What models without knowledge, or with all of it, score at bitext retrieval."""

from __future__ import annotations

from collections.abc import Iterator

from xrete.check.certificates.contract import Certificate, Theory, vectors_by_key
from xrete.shapes.bitext import Bitext, BitextRetrieval


def _zero_shot(shape: BitextRetrieval, data: Bitext) -> Iterator[Certificate]:
    """Constant: row 0 wins every tie, 1 of n. Random: each row is right with probability 1/n, on its own.

    Shuffled oracle: each source is given the vector of the next row's target, so no row is right.
    """
    n = len(data.source)
    right = {**dict(zip(data.source, range(n), strict=True)), **dict(zip(data.target, range(n), strict=True))}
    wrong = right | {text: (row + 1) % n for row, text in enumerate(data.source)}
    alone = {text: number for number, text in enumerate([*data.source, *data.target])}
    from scipy.stats import binom  # a second to import, needed by 'xrete check' only

    low, high = binom.interval(0.999, n, 1 / n)
    yield Certificate("constant", vectors_by_key(dict.fromkeys(right, 0)), 100 / n, 100 / n)
    yield Certificate("random", vectors_by_key(alone), 100 * low / n, 100 * high / n)
    yield Certificate("oracle", vectors_by_key(right), 100, 100)
    yield Certificate("shuffled-oracle", vectors_by_key(wrong), 0, 0)


THEORY = Theory(zero_shot=_zero_shot)
