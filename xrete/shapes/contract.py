"""The contract of a shape: what it must offer for each protocol that its tasks name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from xrete.lazy import NDArray, np
from xrete.shapes.metric import Items, Metric

if TYPE_CHECKING:
    from xrete.dataset import Dataset

Encode = Callable[[Sequence[str]], "NDArray[np.float32]"]
"""Texts to unit vectors, float32 [n, dimension]."""
Model = Any
"""What a protocol is handed: `Encode`, `protocols.prompt.Ask` for a chat model, or a `Tuner` of fine-tuning."""


@dataclass(frozen=True)
class Certificate:
    """A model whose score on some data is known from theory, to certify the scorer.

    Attributes:
        name: Which one: constant, random, oracle or shuffled-oracle.
        encode: The model.
        low, high: What its score must lie in; equal where theory gives one number.
        metric: The metric that theory speaks of; None is the task's headline metric.
    """

    name: str
    encode: Model
    low: float
    high: float
    metric: str | None = None


class Shape(Protocol):
    """The contract of a shape. `Any` stands for the shape's own data type."""

    @property
    def name(self) -> str:
        """The key in `SHAPES`."""
        ...

    @property
    def metrics(self) -> Mapping[str, Metric]:
        """Every metric, computed for every record."""
        ...

    def size(self, data: Any) -> int:
        """Number of items of one language."""
        ...

    def head(self, data: Any, limit: int) -> Any:
        """The data with its first `limit` items only."""
        ...

    def content(self, data: Any) -> Iterable[str]:
        """Every text and label that decides the score, for the fingerprint of the data."""
        ...

    def texts(self, data: Any) -> int:
        """Number of texts that are encoded, for progress bars."""
        ...

    def certificates(self, data: Any) -> Iterable[Certificate]:
        """Returns models whose headline score on `data` is known from theory."""
        ...


@runtime_checkable
class ZeroShotShape(Shape, Protocol):
    """A shape that can be scored with frozen embeddings alone, a language at a time."""

    def zero_shot(self, dataset: Dataset, encode: Encode, languages: Sequence[str]) -> Iterator[tuple[str, Items]]:
        """Scores `languages` and yields each one's items as soon as they are there."""
        ...


@runtime_checkable
class PairableShape(Shape, Protocol):
    """A shape whose items are not the same rows for every model, but can be brought to that.

    Of other shapes, row i of a language is the same item in the items of every model.
    """

    def paired(self, models: Sequence[Items]) -> list[Items]:
        """Brings one language's items of several models to the same rows, which changes no metric but in ties."""
        ...


HeadKind = Literal["classes", "labels", "choices", "score"]
"""What a linear head gives: a score for each class, for each label apart, for each alternative, or one number."""


@dataclass(frozen=True)
class Part:
    """Items of one language to train on.

    Attributes:
        language: The language.
        data: The shape's data.
        used: Number of its items.
        size: Number of items that it was drawn from.
    """

    language: str
    data: Any
    used: int
    size: int


Segments = Sequence[tuple[Sequence[str], Sequence[str] | None]]
"""What is read of each item: first texts and second texts, or None, for each of its alternatives; most have one."""


@runtime_checkable
class TrainShape(Shape, Protocol):
    """A shape whose items can be trained on."""

    @property
    def objectives(self) -> tuple[str, ...]:
        """Which objectives of `xrete.task.Objective` its items are for."""
        ...

    def segments(self, data: Any) -> Segments:
        """Returns the texts of each item."""
        ...

    def targets(self, data: Any, objective: str) -> NDArray[Any]:
        """Returns what an objective of `xrete.task.Objective` aims at: [items], or [items, labels]."""
        ...

    def keys(self, data: Any) -> Sequence[Sequence[str]]:
        """Returns, for each item, what it shares with its translations and near copies: its name and its texts.

        Two items with a key in common, in whatever languages, are never one trained on and the other scored.
        """
        ...

    def take(self, data: Any, rows: Sequence[int]) -> Any:
        """Returns the data of the items at `rows`, with the same keys as before."""
        ...


@runtime_checkable
class ProbeShape(TrainShape, Protocol):
    """A shape that a head can be trained for, on frozen embeddings or on a transformer's states."""

    @property
    def head_kind(self) -> HeadKind:
        """Which head is trained."""
        ...

    def features(self, data: Any, encode: Encode) -> NDArray[np.float32]:
        """Returns what the head sees, float32 [items, features], or [items, choices, features]."""
        ...

    def features_note(self, data: Any) -> str:
        """Says in a formula what `features` are made of, for the notes of records."""
        ...

    def labels(self, data: Any) -> NDArray[Any]:
        """Returns what is right: a place or a number for each item, or bools [items, labels]."""
        ...

    def items(self, data: Any, scores: NDArray[np.float64]) -> Items:
        """Turns the head's scores into items: [items, classes or labels or choices], or [items] for a number."""
        ...

    def probe_certificates(self, data: Any, training: Sequence[Any]) -> Iterable[Certificate]:
        """Returns models whose score on `data` is known from theory, for a head that was trained on `training`."""
        ...


@dataclass(frozen=True)
class KnownAnswers:
    """Answers of a chat model whose score on some data is known from theory.

    Attributes:
        name: Which ones: oracle (the right ones), constant (always the first that is allowed) or mute (none).
        answers: For each item an answer in the terms of the prompt, or None.
        score: What they score.
        metric: The metric that theory speaks of; None is the task's headline metric.
    """

    name: str
    answers: Sequence[Any]
    score: float
    metric: str | None = None


@runtime_checkable
class PromptShape(Shape, Protocol):
    """A shape whose items can be put to a chat model as questions (`xrete.prompts`)."""

    @property
    def unread(self) -> str:
        """Says what an answer that cannot be read counts as; it is wrong."""
        ...

    def fields(self, data: Any) -> Iterable[Mapping[str, str]]:
        """Returns, for each item, what the template of a prompt may name."""
        ...

    def answered(self, data: Any, answers: Sequence[Any]) -> Items:
        """Turns what was read of each answer, None where it cannot be read, into items."""
        ...

    def known_answers(self, data: Any, answer: Any) -> Iterable[KnownAnswers]:
        """Returns answers whose score on `data` is known from theory, in the terms of the prompt's `answer`."""
        ...


@dataclass(frozen=True)
class JointScores:
    """What a shape that looks at all languages together found. Intervals and items have no meaning there.

    The card's metric must be there for every language and group that is named; another metric is left out where it
    is not defined. A value may be infinite; a record, being JSON, then says so in its notes and leaves it out.

    Attributes:
        languages: Values of metrics, for each language.
        groups: Values of metrics, for each group of the card and "all".
    """

    languages: Mapping[str, Mapping[str, float]]
    groups: Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class JointCertificate:
    """A model whose values over all languages of some data are known from theory.

    Attributes:
        name: Which one: constant, random, oracle or shuffled-oracle.
        encode: The model; called with the texts of one language at a time.
        bounds: What metrics of the group "all" must lie in, lowest and highest; they may be infinite.
    """

    name: str
    encode: Encode
    bounds: Mapping[str, tuple[float, float]]


@runtime_checkable
class JointShape(Shape, Protocol):
    """A shape whose scores are of groups of languages, not means over languages (geometry).

    Its `metrics` are made by `Metric.joint`, and `certificates` has none: those of one language mean nothing.
    """

    def joint(self, dataset: Dataset, encode: Encode) -> JointScores:
        """Scores every language and group at once, reading each language once."""
        ...

    def joint_certificates(self, dataset: Dataset) -> Iterable[JointCertificate]:
        """Returns models whose values on `dataset` are known from theory."""
        ...


def vectors_by_key(keys: Mapping[str, int], dimension: int = 64, seed: int = 0) -> Encode:
    """Makes a model that gives texts of one key the same random unit vector, and other texts another.

    Args:
        keys: Texts to keys.
        dimension: Of the vectors. At 64, two of a few thousand random vectors are never as close as equal ones.
        seed: For the vectors.
    """
    table = np.random.default_rng(seed).standard_normal((max(keys.values()) + 1, dimension)).astype(np.float32)
    table /= np.linalg.norm(table, axis=1, keepdims=True)
    return lambda texts: table[[keys[text] for text in texts]]
