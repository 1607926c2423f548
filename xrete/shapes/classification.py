"""Classification of a text or a pair: one of several names (NLI, paraphrases), or a number of stars."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from xrete.errors import UsageError
from xrete.lazy import NDArray, np
from xrete.shapes.contract import Encode, HeadKind, Segments
from xrete.shapes.metric import Items, Metric
from xrete.shapes.texts import Texts

NO_CLASS = ""
"""The prediction where a chat model named none of the classes."""


@dataclass(frozen=True, kw_only=True)
class Labelled(Texts):
    """Texts or pairs with one label each. Labels are names: ids differ from copy to copy of the same data.

    Attributes:
        labels: Names, one for each item.
        classes: Every name that there is. In a tie of two, the first one is predicted.

    Raises:
        ValueError: a label is none of the classes, or the columns have unequal lengths.
    """

    labels: Sequence[str]
    classes: tuple[str, ...]
    columns: ClassVar[tuple[str, ...]] = (*Texts.columns, "labels")

    def __post_init__(self) -> None:
        super().__post_init__()
        known = set(self.classes)
        bad = next((row for row, label in enumerate(self.labels) if label not in known), None)
        if bad is not None:
            raise ValueError(
                f"the label of item {bad + 1} is {self.labels[bad]!r}, which is none of {', '.join(self.classes)}"
            )


def accuracy(gold: NDArray[np.generic], prediction: NDArray[np.generic]) -> float:
    """Returns the share of equal values of two columns [items], 0 to 1."""
    return float(np.mean(np.asarray(gold == prediction)))


def macro_f1(gold: NDArray[np.generic], prediction: NDArray[np.generic]) -> float:
    """Returns the mean F1, 0 to 1, over the classes in either column [items]; `NO_CLASS` is none."""
    shares = []
    for name in np.unique(np.concatenate([gold, prediction[prediction != NO_CLASS]])):
        hits = np.sum((gold == name) & (prediction == name))
        shares.append(2 * hits / (np.sum(gold == name) + np.sum(prediction == name)))
    return float(np.mean(shares))


def mean_absolute_error(gold: NDArray[np.generic], prediction: NDArray[np.generic]) -> float:
    """Returns the mean absolute difference, in the unit of the columns [items]."""
    return float(np.mean(_absolute_errors(gold, prediction)))


def _absolute_errors(gold: NDArray[np.generic], prediction: NDArray[np.generic]) -> NDArray[np.float64]:
    return np.abs(np.asarray(gold, dtype=np.float64) - np.asarray(prediction, dtype=np.float64))


def _right(items: Items) -> NDArray[np.float64]:
    return 100.0 * np.asarray(items["gold"] == items["prediction"])


ACCURACY = Metric.mean_of(_right)


class Classification:
    """Scores the class with the highest score of a head; the first one of the card's order wins a tie.

    Items: `gold` and `prediction`, names of classes; `NO_CLASS` where a chat model named none.
    """

    name = "classification"
    objectives: tuple[str, ...] = ("classes", "softmax")
    head_kind: HeadKind = "classes"
    unread = "as none of the classes"
    metrics: Mapping[str, Metric] = {
        "accuracy": ACCURACY,
        "macro_f1": Metric(lambda items: 100 * macro_f1(items["gold"], items["prediction"])),
    }

    def size(self, data: Labelled) -> int:
        """Number of items."""
        return len(data)

    def take_first(self, data: Labelled, limit: int) -> Labelled:
        """The first `limit` items."""
        return data.take(range(min(limit, len(data))))

    def take(self, data: Labelled, rows: Sequence[int]) -> Labelled:
        """Returns the items at `rows`."""
        return data.take(rows)

    def keys(self, data: Labelled) -> Sequence[tuple[str, ...]]:
        """Names and texts of each item."""
        return data.keys()

    def content(self, data: Labelled) -> Iterable[str]:
        """Texts, then labels."""
        yield from data.content()
        yield from data.labels

    def count_texts(self, data: Labelled) -> int:
        """Texts of all columns."""
        return len(data) * (1 if data.second is None else 2)

    def features_note(self, data: Labelled) -> str:
        """Says what the probe sees."""
        return "u" if data.second is None else "[u; v; |u-v|; u*v]"

    def features(self, data: Labelled, encode: Encode) -> NDArray[np.float32]:
        """Returns u, or [u; v; |u-v|; u*v] for pairs: float32 [items, features]."""
        return data.features(encode)

    def segments(self, data: Labelled) -> Segments:
        """A text, or a pair."""
        return data.segments()

    def targets(self, data: Labelled, objective: str) -> NDArray[Any]:
        """Places in `classes`, int64 [items].

        Raises:
            UsageError: the objective is about two texts, and there is one.
        """
        if objective == "softmax" and data.second is None:
            raise UsageError("objective softmax compares two texts, and these items have one; use classes")
        return self.labels(data)

    def labels(self, data: Labelled) -> NDArray[np.int64]:
        """Returns places in `classes`, int64 [items]."""
        places = {name: place for place, name in enumerate(data.classes)}
        return np.array([places[label] for label in data.labels], dtype=np.int64)

    def items(self, data: Labelled, scores: NDArray[np.float64]) -> Items:
        """Predicts the class of the highest score [items, classes] and puts it beside the gold one."""
        names = self.values(data.classes)
        return {"gold": names[self.labels(data)], "prediction": names[scores.argmax(axis=1)]}

    def values(self, classes: Sequence[str]) -> NDArray[np.generic]:
        """Returns what stands for the classes in items: their names [classes]."""
        return np.array(classes)

    def fields(self, data: Labelled) -> Iterator[Mapping[str, str]]:
        """Yields `first` and, of pairs, `second`."""
        return data.fields()

    def answered(self, data: Labelled, answers: Sequence[Any]) -> Items:
        """Takes the names of the classes."""
        names = [NO_CLASS if answer is None else answer for answer in answers]
        return {"gold": self.values(data.classes)[self.labels(data)], "prediction": np.array(names)}

    def outcomes(self, data: Labelled) -> NDArray[np.float64]:
        """Returns what an item adds to the accuracy for each prediction, in percent: float64 [items, classes]."""
        return np.asarray(100.0 * (self.labels(data)[:, None] == np.arange(len(data.classes))))


class Ordinal(Classification):
    """Classes are whole numbers in order, such as stars; the lower one wins a tie. Items hold the numbers."""

    name = "ordinal"
    objectives = ("classes",)
    unread = "as the number farthest from the right one, the lower of two"
    metrics: Mapping[str, Metric] = {
        "mae": Metric.mean_of(lambda items: _absolute_errors(items["gold"], items["prediction"])),
        "mae_x100": Metric.mean_of(lambda items: 100 * _absolute_errors(items["gold"], items["prediction"])),
        "accuracy": ACCURACY,
    }

    def values(self, classes: Sequence[str]) -> NDArray[np.generic]:
        """Returns the numbers, int64 [classes]."""
        return np.array([int(name) for name in classes])

    def answered(self, data: Labelled, answers: Sequence[Any]) -> Items:
        """Takes numbers."""
        numbers, farthest = self.values(data.classes), self.outcomes(data).argmax(axis=1)
        values = [
            numbers[far] if answer is None else int(answer) for answer, far in zip(answers, farthest, strict=True)
        ]
        return {"gold": numbers[self.labels(data)], "prediction": np.array(values)}

    def outcomes(self, data: Labelled) -> NDArray[np.float64]:
        """Returns the absolute error of each prediction: float64 [items, classes]."""
        numbers = np.asarray(self.values(data.classes), dtype=np.float64)
        return np.asarray(np.abs(numbers[self.labels(data)][:, None] - numbers))


SHAPE = Classification()
ORDINAL = Ordinal()
