"""Models that cost nothing, for `--plugin`: one that works and some that fail in their own ways."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xrete.errors import XreteError
from xrete.model import Encoder, LoadOptions, ModelCard, ModelIdentity

DIMENSION = 16


class HashEncoder:
    """A random vector for each text, the same one every time."""

    def encode(self, texts: Sequence[str], /) -> NDArray[np.float32]:
        seeds = [int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") for text in texts]
        rows = [np.random.default_rng(seed).standard_normal(DIMENSION) for seed in seeds]
        return np.asarray(rows, dtype=np.float32).reshape(-1, DIMENSION)


class CrashingEncoder(HashEncoder):
    """Raises what no plugin should raise."""

    def encode(self, texts: Sequence[str], /) -> NDArray[np.float32]:
        raise RuntimeError("the moon is in the wrong quarter")


class FadingEncoder(HashEncoder):
    """Raises after a few languages."""

    def __init__(self) -> None:
        self._calls = 0

    def encode(self, texts: Sequence[str], /) -> NDArray[np.float32]:
        self._calls += 1
        if self._calls > 8:
            raise RuntimeError("the moon has set")
        return super().encode(texts)


class SleepyEncoder(HashEncoder):
    """Sleeps over the file that the environment names: it makes it, and waits until it is gone."""

    def encode(self, texts: Sequence[str], /) -> NDArray[np.float32]:
        if (marker := os.environ.get("SLEEP_WHEN_ENCODING")) and any("swg" in text for text in texts):
            Path(marker).touch()
            while Path(marker).exists():
                time.sleep(0.05)
        return super().encode(texts)


class Fake:
    """A plugin around one of them."""

    def __init__(self, name: str, encoder: type[HashEncoder] | None) -> None:
        self._encoder = encoder
        self.card = ModelCard(
            name=name, title="a fake", licence="CC0 1.0", languages="any", parameters=None, dimension=DIMENSION,
            max_length=None, trained_on=(), citation="our own",
        )  # fmt: skip

    def identify(self, options: LoadOptions) -> ModelIdentity:
        return ModelIdentity(name=self.card.name, revision="1", pooling="none")

    def load(self, options: LoadOptions) -> Encoder:
        if self._encoder is None:
            raise XreteError("the weights are on the moon; fetch them")
        return self._encoder()


MODELS = {
    "hash": Fake("hash", HashEncoder),
    "unloadable": Fake("unloadable", None),
    "crashing": Fake("crashing", CrashingEncoder),
    "fading": Fake("fading", FadingEncoder),
    "sleepy": Fake("sleepy", SleepyEncoder),
}
