"""A cheap encoder that is no toy: hashed character n-grams, which do find near translations in related languages.

Run as a script, it scores a task with it, as a process that a test can kill::

    python tests/encoders.py TASK RESULTS LOG [STOP_AT]
"""

from __future__ import annotations

import sys
import time
import zlib
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from xrete.encoding.embedder import PROBE
from xrete.model import LoadedModel, ModelCard, ModelIdentity

DIMENSION = 256
TABLE = np.random.default_rng(0).standard_normal((4096, DIMENSION), dtype=np.float32)
"""A vector for each hash; real numbers, so that no two different sentences tie."""


class Ngrams:
    """Sums of a random vector for each character n-gram, as fastText has them before it is trained.

    Attributes:
        encoded: Every text that was encoded, in order; the probe of the harness is left out.
        before: Called with each list of texts before it is encoded, for a test to interfere.
    """

    chunk_size = 8
    parameters = 0
    device = "cpu"

    def __init__(self, before: Callable[[Sequence[str]], None] | None = None) -> None:
        self.encoded: list[str] = []
        self.before = before

    def encode(self, texts: Sequence[str], /) -> NDArray[np.float32]:
        if tuple(texts) != PROBE:
            if self.before:
                self.before(texts)
            self.encoded.extend(texts)
        return np.stack([_vector(text) for text in texts])

    def truncated(self, texts: Sequence[str], /) -> NDArray[np.bool_]:
        return np.array([len(text) > 60 for text in texts])


@cache
def _vector(text: str) -> NDArray[np.float32]:
    padded = f" {text.lower()} "
    grams = (padded[start : start + size] for size in (1, 2, 3) for start in range(len(padded) - size + 1))
    return np.asarray(TABLE[[zlib.crc32(gram.encode()) % len(TABLE) for gram in grams]].sum(axis=0))


def as_model(encoder: Ngrams, name: str = "ngrams") -> LoadedModel:
    """Makes the encoder a model with a revision, whose vectors are cached and whose records are found again."""
    card = ModelCard(
        name=name, title="hashed n-grams", licence="CC0 1.0", languages="any", parameters=0, dimension=DIMENSION,
        max_length=None, trained_on=(), citation="our own",
    )  # fmt: skip
    return LoadedModel(card, ModelIdentity(name=name, revision="1", pooling="sum"), encoder)


@pytest.fixture
def new_ngrams() -> Callable[..., Ngrams]:
    """The class."""
    return Ngrams


@pytest.fixture
def model_of() -> Callable[..., LoadedModel]:
    """The function `as_model`."""
    return as_model


def main(task: str, results: str, log: str, stop_at: str = "") -> None:
    """Scores the mini sample in six languages.

    Args:
        task: The task.
        results: Folder for the record.
        log: Every text is appended to this file before it is encoded.
        stop_at: Sleeps for ever, and says so, when this text is to be encoded.
    """
    import xrete
    from xrete.evaluation.plan import RunOptions
    from xrete.evaluation.run import run

    def before(texts: Sequence[str]) -> None:
        if stop_at and stop_at in texts:
            print("sleeping", flush=True)
            time.sleep(600)
        with Path(log).open("a", encoding="utf-8") as file:
            file.writelines(f"{text}\n" for text in texts)

    dataset = xrete.load_task(task, "mini", languages=["de", "fr", "sw", "ja", "ru", "fi"])
    model = as_model(Ngrams(before))
    print("scoring", flush=True)
    run(model.identity, lambda: model, dataset, RunOptions(results=Path(results)))


if __name__ == "__main__":
    main(*sys.argv[1:])
