"""Two models whose vectors differ, and which are cheap: for what must tell one from the other."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from xrete.model import Encoder, LoadOptions, ModelCard, ModelIdentity

DIMENSION = 32


class WordEncoder:
    """The sum of a random vector for each word, so that texts with common words are near each other."""

    def __init__(self, salt: int) -> None:
        self._salt = salt

    def encode(self, texts: Sequence[str], /) -> NDArray[np.float32]:
        return np.stack([sum(self._vectors(text), _vector(self._salt, "")) for text in texts])

    def _vectors(self, text: str) -> list[NDArray[np.float32]]:
        return [_vector(self._salt, word) for word in text.lower().split()]


@cache
def _vector(salt: int, word: str) -> NDArray[np.float32]:
    seed = [salt, zlib.crc32(word.encode())]
    return np.random.default_rng(seed).standard_normal(DIMENSION).astype(np.float32)


class Words:
    """The plugin of one of them."""

    def __init__(self, name: str, salt: int) -> None:
        self._salt = salt
        self.card = ModelCard(
            name=name, title="sums of words", licence="CC0 1.0", languages="any", parameters=None,
            dimension=DIMENSION, max_length=None, trained_on=(), citation="our own",
        )  # fmt: skip

    def identify(self, options: LoadOptions) -> ModelIdentity:
        return ModelIdentity(name=self.card.name, revision="1", pooling="sum")

    def load(self, options: LoadOptions) -> Encoder:
        return WordEncoder(self._salt)


MODELS = {"words": Words("words", 1), "other-words": Words("other-words", 2)}
