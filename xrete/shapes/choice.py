"""Multiple choice: which of two alternatives is the more plausible cause or effect of a premise."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from xrete.lazy import NDArray, np
from xrete.shapes.classification import ACCURACY
from xrete.shapes.contract import Encode, HeadKind, Segments
from xrete.shapes.metric import Items, Metric
from xrete.shapes.texts import Texts, pair_features

QUESTIONS = ("cause", "effect")


@dataclass(frozen=True, kw_only=True)
class Choices(Texts):
    """Premises (`first`), each with a question and two alternatives.

    Attributes:
        questions: "cause" or "effect".
        choice1, choice2: The alternatives.
        labels: 0 where the first alternative is right, 1 where the second one is.

    Raises:
        ValueError: another question or label, or the columns have unequal lengths.
    """

    questions: Sequence[str]
    choice1: Sequence[str]
    choice2: Sequence[str]
    labels: Sequence[int]
    columns: ClassVar[tuple[str, ...]] = (*Texts.columns, "questions", "choice1", "choice2", "labels")
    text_columns: ClassVar[tuple[str, ...]] = (*Texts.text_columns, "choice1", "choice2")

    def __post_init__(self) -> None:
        super().__post_init__()
        for row, (question, label) in enumerate(zip(self.questions, self.labels, strict=True), start=1):
            if question not in QUESTIONS:
                raise ValueError(f"the question of item {row} is {question!r}, neither 'cause' nor 'effect'")
            if isinstance(label, bool) or label not in (0, 1):
                raise ValueError(f"the label of item {row} is {label!r}, neither 0 nor 1")

    def keys(self) -> list[tuple[str, ...]]:
        """Names, premises and alternatives."""
        return [(*key, *choices) for key, *choices in zip(super().keys(), self.choice1, self.choice2, strict=True)]

    def content(self) -> Iterable[str]:
        """All columns, in order."""
        for column in (self.first, self.questions, self.choice1, self.choice2, map(str, self.labels)):
            yield from column

    @property
    def alternatives(self) -> Sequence[Sequence[str]]:
        """Both alternatives of each item."""
        return list(zip(self.choice1, self.choice2, strict=True))

    def prompts(self) -> list[str]:
        """Premise and question as one text; the question is English in every language, as in XTREME."""
        return [f"{text} What was the {q}?" for text, q in zip(self.first, self.questions, strict=True)]


@dataclass(frozen=True, kw_only=True)
class Alternatives(Texts):
    """Questions (`first`), each with as many alternatives as the others; they are trained on, never scored.

    Attributes:
        alternatives: Of each item.
        labels: Places of the right ones, from 0.

    Raises:
        ValueError: an item has more or fewer alternatives than the first, or its label is no place among them.
    """

    alternatives: Sequence[Sequence[str]]
    labels: Sequence[int]
    columns: ClassVar[tuple[str, ...]] = (*Texts.columns, "alternatives", "labels")

    def __post_init__(self) -> None:
        super().__post_init__()
        for row, (texts, label) in enumerate(zip(self.alternatives, self.labels, strict=True), start=1):
            if len(texts) != len(self.alternatives[0]):
                raise ValueError(f"item {row} has {len(texts)} alternatives, the first {len(self.alternatives[0])}")
            if label not in range(len(texts)):
                raise ValueError(f"the label of item {row} is {label!r}, not one of 0 to {len(texts) - 1}")

    def keys(self) -> list[tuple[str, ...]]:
        """Names, questions and alternatives."""
        return [(*key, *texts) for key, texts in zip(super().keys(), self.alternatives, strict=True)]

    def content(self) -> Iterable[str]:
        """All columns, in order; first how many alternatives an item has."""
        yield str(len(self.alternatives[0]))
        for column in (self.first, *self.alternatives, map(str, self.labels)):
            yield from column

    def prompts(self) -> Sequence[str]:
        """The questions."""
        return self.first


Trained = Choices | Alternatives
"""What can be trained on."""


class MultipleChoice:
    """Scores the alternative with the higher score of a head; the first one wins a tie.

    Items: `gold` and `prediction`, 0 or 1; -1 where a chat model chose neither.
    """

    name = "choice"
    head_kind: HeadKind = "choices"
    unread = "as neither of the choices"
    objectives: tuple[str, ...] = ("choices",)
    metrics: Mapping[str, Metric] = {"accuracy": ACCURACY}

    def size(self, data: Trained) -> int:
        """Number of items."""
        return len(data)

    def take_first(self, data: Trained, limit: int) -> Trained:
        """The first `limit` items."""
        return data.take(range(min(limit, len(data))))

    def take(self, data: Trained, rows: Sequence[int]) -> Trained:
        """Returns the items at `rows`."""
        return data.take(rows)

    def keys(self, data: Trained) -> Sequence[tuple[str, ...]]:
        """Names and texts of each item."""
        return data.keys()

    def content(self, data: Trained) -> Iterable[str]:
        """All columns, in order."""
        return data.content()

    def count_texts(self, data: Choices) -> int:
        """Premises and alternatives."""
        return 3 * len(data)

    def features_note(self, data: Choices) -> str:
        """Says what the probe sees."""
        return (
            "[u; v; |u-v|; u*v] of each choice v, where u is 'PREMISE What was the cause?' (or effect), "
            "as the difference of the two choices"
        )

    def features(self, data: Choices, encode: Encode) -> NDArray[np.float32]:
        """Returns [u; v; |u-v|; u*v] for each alternative v: float32 [items, 2, features]."""
        u = encode(data.prompts())
        return np.stack([pair_features(u, encode(side)) for side in (data.choice1, data.choice2)], axis=1)

    def segments(self, data: Trained) -> Segments:
        """Premise with question, and each alternative."""
        return [(data.prompts(), texts) for texts in zip(*data.alternatives, strict=True)]

    def targets(self, data: Trained, objective: str) -> NDArray[Any]:
        """Places of the right alternatives, int64 [items]."""
        return self.labels(data)

    def labels(self, data: Trained) -> NDArray[np.int64]:
        """Returns the places of the right alternatives, int64 [items]."""
        return np.array(data.labels, dtype=np.int64)

    def items(self, data: Trained, scores: NDArray[np.float64]) -> Items:
        """Predicts the alternative of the highest score [items, alternatives]."""
        return {"gold": self.labels(data), "prediction": scores.argmax(axis=1)}

    def fields(self, data: Choices) -> Iterator[Mapping[str, str]]:
        """Yields `first` (the premise), `question`, `choice1` and `choice2`."""
        names = ("first", "question", "choice1", "choice2")
        columns = (data.first, data.questions, data.choice1, data.choice2)
        return (dict(zip(names, texts, strict=True)) for texts in zip(*columns, strict=True))

    def answered(self, data: Choices, answers: Sequence[Any]) -> Items:
        """Takes the numbers of the alternatives, 1 or 2."""
        places = [-1 if answer is None else int(answer) - 1 for answer in answers]
        return {"gold": self.labels(data), "prediction": np.array(places, dtype=np.int64)}


SHAPE = MultipleChoice()
