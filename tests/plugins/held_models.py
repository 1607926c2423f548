"""Two models that stand still in the middle of a sweep, twice in all of it, for a test to kill what runs them.

The folder that the environment variable HOLD names gets a file `first`, then a file `second`: the process that made
it writes its own number and its parent's there, and sleeps. All others go on. Without HOLD nobody sleeps.
"""

from __future__ import annotations

import os
import time
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xrete.model import Encoder, LoadOptions, ModelCard, ModelIdentity

DIMENSION = 16
CALLS = 6
"""After so many calls some languages are scored, and others are not."""


class HeldEncoder:
    """A random vector for each text."""

    def __init__(self, salt: int) -> None:
        self._salt = salt
        self._calls = 0

    def encode(self, texts: Sequence[str], /) -> NDArray[np.float32]:
        self._calls += 1
        if self._calls == CALLS and (folder := os.environ.get("HOLD")):
            _hold(Path(folder))
        seeds = ([self._salt, zlib.crc32(text.encode())] for text in texts)
        rows = [np.random.default_rng(seed).standard_normal(DIMENSION) for seed in seeds]
        return np.asarray(rows, dtype=np.float32).reshape(-1, DIMENSION)


def _hold(folder: Path) -> None:
    for name in ("first", "second"):
        try:
            with (folder / name).open("x") as file:
                file.write(f"{os.getpid()} {os.getppid()}\n")
        except FileExistsError:
            continue
        time.sleep(600)


class Held:
    """The plugin of one of them."""

    def __init__(self, name: str, salt: int) -> None:
        self._salt = salt
        self.card = ModelCard(
            name=name, title="a held one", licence="CC0 1.0", languages="any", parameters=None,
            dimension=DIMENSION, max_length=None, trained_on=(), citation="our own",
        )  # fmt: skip

    def identify(self, options: LoadOptions) -> ModelIdentity:
        return ModelIdentity(name=self.card.name, revision="1", pooling="none")

    def load(self, options: LoadOptions) -> Encoder:
        return HeldEncoder(self._salt)


MODELS = {"held": Held("held", 1), "other-held": Held("other-held", 2)}
