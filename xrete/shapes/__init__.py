"""Shapes: what kinds of tasks there are. A shape owns its data type, its scorer and its protocols' inner part.

A shape turns data into *items* (columns with one row for each scored item) and items into scores. Scores are
functions of the items alone, so that a record can be checked, resampled and compared without its model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from xrete.errors import unknown_name

if TYPE_CHECKING:
    from xrete.dataset import Dataset

Items = Mapping[str, NDArray[Any]]
Encode = Callable[[Sequence[str]], NDArray[np.float32]]
"""Texts to unit vectors, float32 [n, dimension]."""

SHAPES: dict[str, str] = {
    "bitext": "xrete.shapes.bitext:SHAPE",
}


@dataclass(frozen=True)
class Metric:
    """A number computed from a language's items.

    Attributes:
        statistic: Items to the metric's value, in the unit of reports (0-100 for shares and correlations).
        per_item: Items to one value for each item, whose mean is the statistic; None where it is no mean.
    """

    statistic: Callable[[Items], float]
    per_item: Callable[[Items], NDArray[np.float64]] | None = None

    @staticmethod
    def mean_of(per_item: Callable[[Items], NDArray[np.float64]]) -> Metric:
        """Makes the metric that is the mean of `per_item`."""
        return Metric(lambda items: float(np.mean(per_item(items))), per_item)


@dataclass(frozen=True)
class Certificate:
    """A model whose score on some data is known from theory, to certify the scorer.

    Attributes:
        name: Which one: constant, random, oracle or shuffled-oracle.
        encode: The model.
        low, high: What its headline score must lie in; equal where theory gives one number.
    """

    name: str
    encode: Encode
    low: float
    high: float


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
class ProbeShape(Shape, Protocol):
    """A shape that a linear head on frozen embeddings can be trained for."""

    def features(self, data: Any, encode: Encode) -> NDArray[np.float32]:
        """Returns what the head sees, float32 [rows, features]; an item may have several rows (its choices)."""
        ...

    def labels(self, data: Any) -> NDArray[Any]:
        """Returns the gold labels: one for each item, or a row of 0 and 1 for each item where it has several."""
        ...

    def items(self, data: Any, scores: NDArray[np.float64]) -> Items:
        """Turns the head's scores into items: [items, classes], or one for each row of `features`."""
        ...


@dataclass(frozen=True)
class JointScores:
    """What a shape that looks at all languages together found. Intervals and items have no meaning there.

    Attributes:
        languages: Values of every metric, for each language.
        groups: Values of every metric, for each group of the card and "all".
    """

    languages: Mapping[str, Mapping[str, float]]
    groups: Mapping[str, Mapping[str, float]]


@runtime_checkable
class JointShape(Shape, Protocol):
    """A shape whose scores are of groups of languages, not means over languages (geometry)."""

    def joint(self, dataset: Dataset, encode: Encode) -> JointScores:
        """Scores every language and group at once, reading each language once."""
        ...


def load_shape(name: str) -> Shape:
    """Returns the shape of that name.

    Raises:
        UsageError: there is none.
    """
    if name not in SHAPES:
        raise unknown_name("shape", name, SHAPES, "see xrete/shapes")
    module, _, attribute = SHAPES[name].partition(":")
    shape: Shape = getattr(import_module(module), attribute)
    return shape


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
