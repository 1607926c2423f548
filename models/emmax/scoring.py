"""Scores of held-out tasks while a run goes on, by the harness itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from xrete import evaluate, load_task
from xrete.dataset import Dataset

from .config import Watching

Encode = Callable[[Sequence[str]], NDArray[np.float32]]


class Scorer:
    """Opens the tasks once, and scores an encoder on them as often as asked."""

    def __init__(self, config: Watching) -> None:
        """Opens the tasks' data.

        Raises:
            XreteError: a task or its data is not available.
        """
        self.tasks: list[Dataset] = []
        if config.score_every:
            self.tasks = [load_task(name, config.data, split=config.split) for name in config.tasks]

    def score(self, encode: Encode) -> dict[str, dict[str, float]]:
        """Scores an encoder.

        Args:
            encode: Returns one vector a text, float32 [n, d].

        Returns:
            For each task the score of each of its groups.
        """
        model = _Encoder(encode)
        records = {dataset.card.name: evaluate(model, dataset, use_cache=False) for dataset in self.tasks}
        return {
            task: {group: part.score for group, part in record.groups.items() if part.score is not None}
            for task, record in records.items()
        }


class _Encoder:
    """What the harness asks of a model."""

    def __init__(self, encode: Encode) -> None:
        self._encode = encode

    def encode(self, texts: Sequence[str], /) -> NDArray[np.float32]:
        """Encodes."""
        return self._encode(texts)
