"""What is trained on what: everything that a process needs beside the model. It can be pickled."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xrete.files import digest
from xrete.shapes import load_shape
from xrete.shapes.contract import Part, ProbeShape, Segments, TrainShape
from xrete.task import Stage


class Examples:
    """Items of several languages, one after the other."""

    def __init__(self, shape: TrainShape, parts: Sequence[Part], objective: str) -> None:
        """Reads what is trained on.

        Args:
            shape: Of the data.
            parts: The data.
            objective: What for.
        """
        self._shape, self._parts = shape, parts
        columns = [shape.segments(part.data) for part in parts]
        self._segments: Segments = [
            (
                [text for first, _ in alternative for text in first],
                None if alternative[0][1] is None else [text for _, second in alternative for text in second or ()],
            )
            for alternative in zip(*columns, strict=True)
        ]
        self.targets: NDArray[Any] = np.concatenate([shape.targets(part.data, objective) for part in parts])
        self.ends = np.cumsum([part.used for part in parts])[:-1]

    def __len__(self) -> int:
        return len(self.targets)

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """Bytes of each item, which stand for its tokens; those of the longest alternative: int64 [items]."""
        sizes = [
            [len(text.encode()) for text in first]
            if second is None
            else [len(x.encode()) + len(y.encode()) for x, y in zip(first, second, strict=True)]
            for first, second in self._segments
        ]
        return np.asarray(np.max(sizes, axis=0), dtype=np.int64)

    @cached_property
    def names(self) -> NDArray[np.intp]:
        """Number of each item's name, which it shares with its translations: int [items]."""
        names = [name for part in self._parts for name, *_ in self._shape.keys(part.data)]
        return np.unique(names, return_inverse=True)[1]

    def segments(self, rows: NDArray[np.intp]) -> Segments:
        """Returns the texts of the items at `rows` [n], in their order."""
        return [
            ([first[row] for row in rows], None if second is None else [second[row] for row in rows])
            for first, second in self._segments
        ]


@dataclass(frozen=True, kw_only=True)
class StageJob:
    """One stage with its data.

    Attributes:
        stage: Its settings; `task` is not needed any more.
        shape: Name of the shape of the data.
        metric: What the best weights are chosen by.
        higher_is_better: Whether more of it is better.
        train: What is trained on.
        dev: What the best weights are chosen on; empty where the stage selects none.
    """

    stage: Stage
    shape: str
    metric: str
    higher_is_better: bool
    train: tuple[Part, ...]
    dev: tuple[Part, ...]

    @cached_property
    def examples(self) -> Examples:
        """What is trained on."""
        return self._examples(self.train)

    @cached_property
    def held_out(self) -> Examples:
        """What the best weights are chosen on."""
        return self._examples(self.dev)

    @cached_property
    def epoch_items(self) -> int:
        """Items that are read in an epoch."""
        if self.stage.one_language:
            return int(self.examples.names.max()) + 1
        return sum(part.used for part in self.train)

    @property
    def epoch_steps(self) -> int:
        """Steps of an epoch."""
        return math.ceil(self.epoch_items / self.stage.batch)

    @property
    def steps(self) -> int:
        """Steps of the whole stage, if it does not end early."""
        return self.stage.epochs * self.epoch_steps

    @property
    def languages(self) -> list[str]:
        """Languages that are trained on."""
        return [part.language for part in self.train]

    @property
    def outputs(self) -> int:
        """Number of scores that a head gives for a row."""
        from xrete.training.finetune.objectives import OBJECTIVES  # which loads torch; planning needs none

        by_class = OBJECTIVES[self.stage.objective].scores == "classes"
        return len(self.train[0].data.classes) if by_class else 1

    def judge(self, scores: NDArray[np.float64]) -> float:
        """Returns the macro mean of the metric over the languages of `dev`; more is better.

        Args:
            scores: What the network says of every item of `dev`, in order: [items] or [items, classes].
        """
        shape = load_shape(self.shape)
        assert isinstance(shape, ProbeShape)
        per_language = np.split(scores, self.held_out.ends)
        items = [shape.items(part.data, own) for part, own in zip(self.dev, per_language, strict=True)]
        value = float(np.mean([shape.metrics[self.metric].statistic(item) for item in items]))
        return value if self.higher_is_better else -value

    def _examples(self, parts: tuple[Part, ...]) -> Examples:
        shape = load_shape(self.shape)
        assert isinstance(shape, TrainShape)
        return Examples(shape, parts, self.stage.objective)


@dataclass(frozen=True, kw_only=True)
class Job:
    """One training run.

    Attributes:
        stages: What is done, in order.
        seed: For everything that is random.
        lora: Rank of low-rank adapters; None trains every weight.
    """

    stages: tuple[StageJob, ...]
    seed: int
    lora: int | None = None

    @property
    def digest(self) -> str:
        """A digest of what decides the weights that come out, beside the model."""
        words = [repr(self.seed), repr(self.lora)]
        for stage in self.stages:
            shape = load_shape(stage.shape)
            words.append(repr(stage.stage))
            for part in (*stage.train, *stage.dev):
                words += [part.language, digest(shape.content(part.data))]
        return digest(words)


@dataclass(frozen=True)
class TrainerStep:
    """How far a run is, for progress bars.

    Attributes:
        stage: Name of the stage.
        done, total: Steps of the stage.
        loss: Mean loss of the step's items.
        best: Best value on held-out data so far, or None.
    """

    stage: str
    done: int
    total: int
    loss: float
    best: float | None


StepWatch = Callable[[TrainerStep], None]


@dataclass
class StageResult:
    """What a stage came to, for records.

    Attributes:
        stage: Its name.
        items: Number of items that were trained on.
        languages: Of these items.
        steps: Steps that were made.
        best_step: The step whose weights were kept.
        dev: The metric on held-out data at that step, or None.
    """

    stage: str
    items: int
    steps: int
    best_step: int
    dev: float | None = None
    languages: list[str] = field(default_factory=list)
