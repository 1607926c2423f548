"""Scores of held-out tasks while a run goes on, by the harness itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from xrete import evaluate, load_task
from xrete.dataset import Dataset

from .config import Watching


class Scores(NamedTuple):
    """What an encoder scores.

    Attributes:
        groups: For each task the score of each of its groups.
        languages: For each task the score of each of its languages.
        members: For each task the languages of each of its groups.
    """

    groups: dict[str, dict[str, float]]
    languages: dict[str, dict[str, float]]
    members: dict[str, dict[str, list[str]]]


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

    def score(self, encode: Encode) -> Scores:
        """Scores an encoder.

        Args:
            encode: Returns one vector a text, float32 [n, d].
        """
        model = _Encoder(encode)
        records = {dataset.card.name: evaluate(model, dataset, use_cache=False) for dataset in self.tasks}
        return Scores(
            {task: {name: part.score for name, part in one.groups.items()} for task, one in records.items()},
            {task: {code: part.score for code, part in one.languages.items()} for task, one in records.items()},
            {task: {name: [*part.languages] for name, part in one.groups.items()} for task, one in records.items()},
        )


class _Encoder:
    """What the harness asks of a model."""

    def __init__(self, encode: Encode) -> None:
        self._encode = encode

    def encode(self, texts: Sequence[str], /) -> NDArray[np.float32]:
        """Encodes."""
        return self._encode(texts)
