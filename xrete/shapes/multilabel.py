"""Multi-label classification: any number of labels for each text."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from xrete.lazy import NDArray, np
from xrete.shapes.contract import Encode, HeadKind, Segments
from xrete.shapes.metric import Items, Metric
from xrete.shapes.texts import Texts


@dataclass(frozen=True, kw_only=True)
class MultiLabelled(Texts):
    """Texts with any number of labels each. Labels are names.

    Attributes:
        labels: The names of each item.
        classes: Every name that there is.

    Raises:
        ValueError: a label is none of the classes, or the columns have unequal lengths.
    """

    labels: Sequence[Collection[str]]
    classes: tuple[str, ...]
    columns: ClassVar[tuple[str, ...]] = (*Texts.columns, "labels")

    def __post_init__(self) -> None:
        super().__post_init__()
        known = set(self.classes)
        for row, names in enumerate(self.labels):
            if not known.issuperset(names):
                unknown = next(name for name in names if name not in known)
                raise ValueError(
                    f"a label of item {row + 1} is {unknown!r}, which is none of the {len(known)} classes"
                )


def r_precisions(gold: NDArray[np.bool_], scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns the share of the gold labels among as many labels with the highest scores, 0 to 1.

    The later label wins a tie, as in the reference implementation (`argsort()[::-1]`, made stable).

    Args:
        gold: [items, labels].
        scores: [items, labels]; minus infinity leaves a label out of the ranking, so that it is never found.

    Returns:
        [items]; 0 where an item has no label, which means skip it and is left out of means.
    """
    order = scores.argsort(axis=1, kind="stable")[:, ::-1]
    right = np.take_along_axis(gold & (scores > -np.inf), order, axis=1).cumsum(axis=1)
    number = gold.sum(axis=1)
    hits = right[np.arange(len(gold)), np.maximum(number, 1) - 1]
    return np.asarray(np.where(number > 0, hits, 0) / np.maximum(number, 1), dtype=np.float64)


def mean_r_precision(gold: NDArray[np.bool_], scores: NDArray[np.float64]) -> float:
    """Returns the mean R-precision, 0 to 1, over the items that have labels; both [items, labels]."""
    return float(r_precisions(gold, scores)[gold.any(axis=1)].mean())


def _mean_of_labelled(items: Items) -> float:
    return 100 * float(items["r_precision"][items["gold"] > 0].mean())


def _exact(items: Items) -> NDArray[np.float64]:
    hits = items["hits"]
    return np.asarray(100.0 * ((items["gold"] == hits) & (items["predicted"] == hits)))


def _label_accuracy(items: Items) -> NDArray[np.float64]:
    wrong = items["gold"] + items["predicted"] - 2 * items["hits"]
    return np.asarray(100.0 * (1 - wrong / items["labels"]))


def _micro_f1(items: Items) -> float:
    total = float(items["gold"].sum() + items["predicted"].sum())
    return 200 * float(items["hits"].sum()) / total if total else 0.0


class MultiLabel:
    """Scores a ranking of the labels, and the set of those with a score above 0 (a probability above one half).

    Items: `r_precision` (0 to 1), `gold`, `predicted`, `hits` and `labels`: numbers of labels that are right, that
    are predicted, that are both, and that there are.
    """

    name = "multilabel"
    objectives: tuple[str, ...] = ("labels",)
    head_kind: HeadKind = "labels"
    unread = "as no label"
    metrics: Mapping[str, Metric] = {
        "r_precision": Metric(_mean_of_labelled),
        "subset_accuracy": Metric.mean_of(_exact),
        "micro_f1": Metric(_micro_f1),
        "label_accuracy": Metric.mean_of(_label_accuracy),
    }

    def size(self, data: MultiLabelled) -> int:
        """Number of texts."""
        return len(data)

    def take_first(self, data: MultiLabelled, limit: int) -> MultiLabelled:
        """The first `limit` texts."""
        return data.take(range(min(limit, len(data))))

    def take(self, data: MultiLabelled, rows: Sequence[int]) -> MultiLabelled:
        """Returns the texts at `rows`."""
        return data.take(rows)

    def keys(self, data: MultiLabelled) -> Sequence[tuple[str, ...]]:
        """Name and text of each item."""
        return data.keys()

    def content(self, data: MultiLabelled) -> Iterable[str]:
        """Texts, then labels in the order of the classes."""
        yield from data.content()
        for names in data.labels:
            yield " ".join(name for name in data.classes if name in names)

    def count_texts(self, data: MultiLabelled) -> int:
        """Number of texts."""
        return len(data)

    def features_note(self, data: MultiLabelled) -> str:
        """Says what the probe sees."""
        return "u"

    def features(self, data: MultiLabelled, encode: Encode) -> NDArray[np.float32]:
        """Returns the texts' vectors, float32 [items, dimension]."""
        return data.features(encode)

    def segments(self, data: MultiLabelled) -> Segments:
        """A text."""
        return data.segments()

    def targets(self, data: MultiLabelled, objective: str) -> NDArray[Any]:
        """Which labels are right, bool [items, labels]."""
        return self.labels(data)

    def labels(self, data: MultiLabelled) -> NDArray[np.bool_]:
        """Returns which labels each item has: [items, labels]."""
        return np.array([[name in names for name in data.classes] for names in data.labels])

    def items(self, data: MultiLabelled, scores: NDArray[np.float64]) -> Items:
        """Compares scores [items, labels], above 0 for what is predicted, with the gold labels."""
        gold, predicted = self.labels(data), scores > 0
        return {
            "r_precision": r_precisions(gold, scores),
            "gold": gold.sum(axis=1),
            "predicted": predicted.sum(axis=1),
            "hits": (gold & predicted).sum(axis=1),
            "labels": np.full(len(gold), gold.shape[1]),
        }

    def fields(self, data: MultiLabelled) -> Iterator[Mapping[str, str]]:
        """Yields `first`, the text."""
        return data.fields()

    def answered(self, data: MultiLabelled, answers: Sequence[Any]) -> Items:
        """Takes lists of labels, the best first; labels that are not listed are never found."""
        scores = np.full((len(data), len(data.classes)), -np.inf)
        for row, names in enumerate(answers):
            for rank, name in enumerate(names or ()):
                scores[row, data.classes.index(name)] = len(data.classes) - rank
        return self.items(data, scores)


SHAPE = MultiLabel()
