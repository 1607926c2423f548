"""The contract of a shape: what it must offer for each protocol that its tasks name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from xrete.lazy import NDArray, np
from xrete.shapes.metric import Items, Metric

if TYPE_CHECKING:
    from xrete.model import Role
    from xrete.task import TaskCard


class Data(Protocol):
    """What a shape sees of a data set (`xrete.dataset.Dataset`)."""

    @property
    def card(self) -> TaskCard:
        """The task's."""
        ...

    @property
    def languages(self) -> Sequence[str]:
        """Languages that are scored."""
        ...

    def __getitem__(self, language: str) -> Any:
        """Returns the shape's data of a language."""
        ...


Encode = Callable[[Sequence[str]], "NDArray[np.float32]"]
"""Texts to unit vectors, float32 [n, dimension]."""


def as_role(encode: Encode, role: Role) -> Encode:
    """Returns what encodes texts of a role: `encode` itself where its model reads all texts alike."""
    of_role: Callable[[Role], Encode] | None = getattr(encode, "for_role", None)
    return of_role(role) if of_role else encode


Model = Any
"""What a protocol is handed: `Encode`, `protocols.prompt.Ask` for a chat model, or a `Tuner` of fine-tuning."""


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

    def take_first(self, data: Any, limit: int) -> Any:
        """The data with its first `limit` items only."""
        ...

    def content(self, data: Any) -> Iterable[str]:
        """Every text and label that decides the score, for the fingerprint of the data."""
        ...

    def count_texts(self, data: Any) -> int:
        """Number of texts that are encoded, for progress bars."""
        ...


@runtime_checkable
class ZeroShotShape(Shape, Protocol):
    """A shape that can be scored with frozen embeddings alone, a language at a time."""

    def zero_shot(self, dataset: Data, encode: Encode, languages: Sequence[str]) -> Iterator[tuple[str, Items]]:
        """Scores `languages` and yields each one's items as soon as they are there."""
        ...


@runtime_checkable
class RoledShape(Shape, Protocol):
    """A shape whose two sides are unlike: it encodes texts with `as_role`."""

    @property
    def roles(self) -> tuple[Role, ...]:
        """What the first and the second texts of an item are."""
        ...


def roles_of(shape: Shape) -> tuple[Role, ...]:
    """Returns what the texts of a shape are; empty where its sides are alike."""
    return shape.roles if isinstance(shape, RoledShape) else ()


@runtime_checkable
class PoolingShape(Shape, Protocol):
    """A shape whose languages may share texts, which are encoded once for all of them."""

    def count_distinct_texts(self, data: Sequence[Any]) -> int:
        """Number of texts that are encoded for several languages together, for progress bars."""
        ...


@runtime_checkable
class NotedShape(Shape, Protocol):
    """A shape that has something to say of the data to a reader of the record."""

    def notes(self, dataset: Data) -> Iterable[str]:
        """Returns sentences."""
        ...


@runtime_checkable
class UndefinedShape(Shape, Protocol):
    """A shape whose metric may not exist of some data, whatever a model gives."""

    def undefined(self, data: Any) -> str | None:
        """Returns why the metric does not exist of a language's data, or None where it does."""
        ...


@runtime_checkable
class PooledData(Protocol):
    """Data of a language whose candidates may be shared with other languages.

    Attributes:
        parallel: Languages share them, so that one language's outcomes depend on the others' data.
    """

    parallel: bool


@runtime_checkable
class CleanedData(Protocol):
    """Data of which an adapter left rows out.

    Attributes:
        dropped: How many, for a known data error.
    """

    dropped: int


def dropped_rows(data: Any) -> int:
    """Returns how many rows of a language's data were left out for a known data error."""
    return data.dropped if isinstance(data, CleanedData) else 0


def shares_candidates(data: Any) -> bool:
    """Returns whether a language's outcomes depend on other languages' data, too."""
    return isinstance(data, PooledData) and data.parallel


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


@runtime_checkable
class JointShape(Shape, Protocol):
    """A shape whose scores are of groups of languages, not means over languages (geometry).

    Its `metrics` are made by `Metric.joint`.
    """

    def joint(self, dataset: Data, encode: Encode) -> JointScores:
        """Scores every language and group at once, reading each language once."""
        ...
