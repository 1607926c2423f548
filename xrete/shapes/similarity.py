"""Similarity: pairs of sentences with a gold score; the prediction is their cosine, or a ridge regression's."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from xrete.lazy import NDArray, np
from xrete.shapes.contract import Data, Encode, HeadKind, Segments
from xrete.shapes.metric import Items, Metric
from xrete.shapes.texts import Texts

NOISE = 1e-6
"""Cosines of float32 vectors carry about 1e-7 of rounding: what differs by less than this is constant."""


@dataclass(frozen=True, kw_only=True)
class ScoredPairs(Texts):
    """Pairs of sentences and the score that people gave them.

    Attributes:
        scores: In the task's own unit; correlations do not depend on it.
        aims: What a cosine that is trained on these pairs should be, 0 to 1; None: the scores, from the lowest to
            the highest.

    Raises:
        ValueError: a score is not finite, or the columns have unequal lengths.
    """

    scores: Sequence[float]
    aims: Sequence[float] | None = None
    columns: ClassVar[tuple[str, ...]] = (*Texts.columns, "scores", "aims")

    def __post_init__(self) -> None:
        super().__post_init__()
        bad = np.flatnonzero(~np.isfinite(np.asarray(self.scores, dtype=np.float64)))
        if len(bad):
            raise ValueError(f"the score of item {bad[0] + 1} is {self.scores[bad[0]]}")


def score_numbers(cells: Iterable[str | float], low: float, high: float) -> list[float]:
    """Reads the scores of upstream files.

    Raises:
        ValueError: a cell is no number, or not between `low` and `high`.
    """
    values: list[float] = []
    for row, cell in enumerate(cells, start=1):
        try:
            value = float(cell)
        except ValueError:
            raise ValueError(f"the score of item {row} is {cell!r}, which is no number") from None
        if not low <= value <= high:
            raise ValueError(f"the score of item {row} is {cell}, outside {low:g} to {high:g}")
        values.append(value)
    return values


def pearson(gold: NDArray[np.float64], prediction: NDArray[np.float64]) -> float:
    """Returns Pearson's r of two columns [n], -1 to 1; 0 where a side is constant and r is undefined."""
    x, y = (np.asarray(side, dtype=np.float64) for side in (gold, prediction))
    if is_constant(x) or is_constant(y):
        return 0.0
    x, y = x - x.mean(), y - y.mean()
    r = float(x @ y / np.sqrt((x @ x) * (y @ y)))
    return max(-1.0, min(1.0, r))


def spearman(gold: NDArray[np.float64], prediction: NDArray[np.float64]) -> float:
    """Returns Spearman's rank correlation of columns [n], -1 to 1, with average ranks; 0 where one is constant."""
    if is_constant(gold) or is_constant(prediction):
        return 0.0
    return pearson(average_ranks(gold), average_ranks(prediction))


def average_ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns ranks from 1, float64 [n]; equal values share the mean of their ranks."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[inverse])


def standardised(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns values less their mean, over their standard deviation, float64 [n]; zeros where constant."""
    if is_constant(values):
        return np.zeros(len(values))
    numbers = np.asarray(values, dtype=np.float64)
    return np.asarray((numbers - numbers.mean()) / numbers.std())


def is_constant(values: NDArray[np.float64]) -> bool:
    """Returns whether values [n] differ by no more than rounding."""
    return not len(values) or bool(np.ptp(values) <= NOISE * max(1.0, float(np.abs(values).max())))


class Similarity:
    """Scores by cosine. Items: `gold` and `prediction`."""

    name = "similarity"
    objectives: tuple[str, ...] = ("cosine", "cosent", "score")
    head_kind: HeadKind = "score"
    unread = (
        "as the lowest number that was answered in the language where the gold score is in the upper half of its "
        "range, and as the highest elsewhere"
    )
    metrics: Mapping[str, Metric] = {
        "spearman": Metric(
            lambda items: 100 * spearman(items["gold"], items["prediction"]),
            in_one_unit=lambda items: {**items, "prediction": average_ranks(items["prediction"])},
        ),
        "pearson": Metric(
            lambda items: 100 * pearson(items["gold"], items["prediction"]),
            in_one_unit=lambda items: {**items, "prediction": standardised(items["prediction"])},
        ),
    }

    def size(self, data: ScoredPairs) -> int:
        """Number of pairs."""
        return len(data)

    def take_first(self, data: ScoredPairs, limit: int) -> ScoredPairs:
        """The first `limit` pairs."""
        return data.take(range(min(limit, len(data))))

    def content(self, data: ScoredPairs) -> Iterable[str]:
        """Both sides, then the scores."""
        yield from data.content()
        yield from map(repr, map(float, data.scores))

    def count_texts(self, data: ScoredPairs) -> int:
        """Sentences of both sides."""
        return 2 * len(data)

    def undefined(self, data: ScoredPairs) -> str | None:
        """Returns why no correlation with the gold scores exists, or None where it does."""
        if not is_constant(self.labels(data)):
            return None
        return "the gold score is the same for every pair; the correlation is undefined and counts as 0"

    def zero_shot(self, dataset: Data, encode: Encode, languages: Sequence[str]) -> Iterator[tuple[str, Items]]:
        """Yields each language's cosines beside the gold scores."""
        for language in languages:
            data: ScoredPairs = dataset[language]
            u, v = (encode(side).astype(np.float64) for side in sides_of(data))
            items = self.items(data, np.asarray((u * v).sum(axis=1)))
            if is_constant(items["prediction"]):
                warnings.warn(
                    f"{dataset.card.name}, {language}: the model gives every pair the same cosine; its correlation "
                    f"is undefined and counts as 0",
                    stacklevel=2,
                )
            yield language, items

    def features_note(self, data: ScoredPairs) -> str:
        """Says what the probe sees."""
        return "[u*v; |u-v|]"

    def features(self, data: ScoredPairs, encode: Encode) -> NDArray[np.float32]:
        """Returns [u*v; |u-v|], which do not depend on which side is which: float32 [pairs, 2 * dimension]."""
        u, v = map(encode, sides_of(data))
        return np.concatenate([u * v, np.abs(u - v)], axis=1)

    def segments(self, data: ScoredPairs) -> Segments:
        """A pair."""
        return data.segments()

    def targets(self, data: ScoredPairs, objective: str) -> NDArray[Any]:
        """Cosines that the pairs should have, or their scores: float64 [pairs]."""
        if objective == "score":
            return self.labels(data)
        return (as_cosines(self.labels(data)) + 1) / 2 if data.aims is None else np.asarray(data.aims, np.float64)

    def labels(self, data: ScoredPairs) -> NDArray[np.float64]:
        """Returns the gold scores, float64 [pairs]."""
        return np.asarray(data.scores, dtype=np.float64)

    def items(self, data: ScoredPairs, scores: NDArray[np.float64]) -> Items:
        """Puts the predictions [pairs] beside the gold scores."""
        return {"gold": self.labels(data), "prediction": scores}

    def keys(self, data: ScoredPairs) -> Sequence[tuple[str, ...]]:
        """Names and texts of each pair."""
        return data.keys()

    def take(self, data: ScoredPairs, rows: Sequence[int]) -> ScoredPairs:
        """Returns the pairs at `rows`."""
        return data.take(rows)

    def fields(self, data: ScoredPairs) -> Iterator[Mapping[str, str]]:
        """Yields `first` and `second`."""
        return data.fields()

    def answered(self, data: ScoredPairs, answers: Sequence[Any]) -> Items:
        """Takes numbers; correlations do not depend on their unit."""
        predictions = np.array([np.nan if answer is None else answer for answer in answers], dtype=np.float64)
        numbers = predictions[~np.isnan(predictions)]
        low, high = (numbers.min(), numbers.max()) if len(numbers) else (0.0, 0.0)
        wrong = np.where(as_cosines(self.labels(data)) >= 0, low, high)
        return self.items(data, np.where(np.isnan(predictions), wrong, predictions))


def sides_of(data: ScoredPairs) -> tuple[Sequence[str], Sequence[str]]:
    """Returns the first and the second sentences."""
    assert data.second is not None
    return data.first, data.second


def as_cosines(gold: NDArray[np.float64]) -> NDArray[np.float64]:
    """Maps scores [n] to -1 ... 1, float64 [n]."""
    return np.asarray(2 * (gold - gold.min()) / max(float(np.ptp(gold)), NOISE) - 1)


SHAPE = Similarity()
