"""Probe: a linear head on frozen embeddings, trained on the task's own training data, or what there is of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from xrete.files import digest
from xrete.model import Kind
from xrete.protocols import Opening, Settings, Tuning, Work
from xrete.protocols.folds import split_items
from xrete.protocols.frozen import fine_tuning as fine_tuning
from xrete.protocols.frozen import open_model as open_model
from xrete.protocols.heads import STRENGTHS, Head, fit_heads
from xrete.protocols.material import Material, material
from xrete.record import ProbePart
from xrete.shapes.contract import Encode, Part, ProbeShape, Shape
from xrete.shapes.metric import Items

if TYPE_CHECKING:
    from xrete.dataset import Dataset

KIND: Kind = "encoder"
UNIT: Literal["sentences"] = "sentences"
SELF_CONTAINED = False
NEEDS = None

FOLDS = 3
"""Of the cross-validation that chooses the regularisation where no other split is left for it."""


KEPT = 4
"""`xrete check` asks for the same head again for every language that it scores."""

trained_heads: dict[str, Head] = {}
"""The last `KEPT`, by a digest of all that they were trained on."""


def outcomes(
    dataset: Dataset, encode: Encode, languages: Sequence[str], settings: Settings
) -> Iterator[tuple[str, Items]]:
    """Trains on what `material` says, whichever languages are still to be scored, and scores those."""
    if not languages:
        return
    learnt, shape = material(dataset, settings), _shape(dataset)
    trainer = _Trainer(dataset, encode, settings.seed, learnt)
    heads = [trainer.train(parts) for parts in learnt.parts]
    for language in languages:
        data = dataset[language]
        features = shape.features(data, encode)
        scores = np.stack([head(features) for head in heads])
        yield language, shape.items(data, scores[learnt.head_of(language), np.arange(len(features))])


def fits(shape: Shape) -> bool:
    """Returns whether a shape has features and labels for a head."""
    return isinstance(shape, ProbeShape)


def settings(asked: Settings) -> Settings:
    """Returns all but how a transformer is trained."""
    return replace(asked, tuning=Tuning())


def joint(dataset: Dataset, model: Encode) -> None:
    """Is None: a head is trained for one language after the other."""


def work(dataset: Dataset, languages: Sequence[str], settings: Settings, opening: Opening) -> Work:
    """Counts the texts of the languages, and of what the probe is trained on."""
    texts = sum(dataset.shape.count_texts(dataset[language]) for language in languages)
    if languages:
        learnt = material(dataset, settings)
        parts = (part for parts in (*learnt.parts, learnt.selection) for part in parts)
        texts += sum(dataset.shape.count_texts(part.data) for part in parts)
    return Work(texts=texts)


def fingerprint(dataset: Dataset, settings: Settings) -> str:
    """Returns a digest of the texts and labels that are trained on, and those that regularisation is chosen on."""
    learnt, shape = material(dataset, settings), dataset.shape
    every = [*learnt.parts, learnt.selection]
    return digest(
        digest(text for part in parts for text in (part.language, *shape.content(part.data))) for parts in every
    )


def trained_on(dataset: Dataset, settings: Settings) -> ProbePart:
    """Says in which languages and on which split the head was trained."""
    chosen = material(dataset, settings)
    languages = dict.fromkeys(part.language for parts in chosen.parts for part in parts)
    return ProbePart(train_languages=",".join(languages), train_split=chosen.split)


def notes(dataset: Dataset, settings: Settings) -> tuple[str, ...]:
    """Says which head, on which features, trained on what, and how its regularisation was chosen."""
    learnt, shape = material(dataset, settings), _shape(dataset)
    head = "ridge regression" if shape.head_kind == "score" else "logistic regression"
    note = shape.features_note(dataset[dataset.languages[0]])
    where = learnt.selection_note or f"{FOLDS}-fold cross-validation, by item, within what is trained on"
    chosen = f"one of {len(STRENGTHS)} strengths of regularisation, chosen by {dataset.card.metric} on {where}"
    return f"probe: {head} on frozen embeddings, {note}, standardised; {chosen}", f"probe: {learnt.note}"


def _shape(dataset: Dataset) -> ProbeShape:
    assert isinstance(dataset.shape, ProbeShape)  # `xrete check` holds cards to it
    return dataset.shape


class _Trainer:
    """Trains heads for one task and model."""

    def __init__(self, dataset: Dataset, encode: Encode, seed: int, learnt: Material) -> None:
        self._shape = _shape(dataset)
        self._encode = encode
        self._seed = seed
        self._metric_name = f"{dataset.card.shape} {dataset.card.metric}"
        self._metric = dataset.shape.metrics[dataset.card.metric]
        self._sign = 1 if dataset.card.higher_is_better else -1
        self._selection = learnt.selection
        self._classes = 0
        if self._shape.head_kind == "classes":
            self._classes = 1 + max(int(self._labels(parts).max()) for parts in learnt.parts)

    def train(self, parts: Sequence[Part]) -> Head:
        """Trains a head with the strength that does best on the selection, else in cross-validation."""
        features, labels = self._features(parts), self._labels(parts)
        held_out = self._features(self._selection) if self._selection else features
        key = digest([self._metric_name, repr(self._seed), *(x.tobytes() for x in (features, labels, held_out))])
        if key not in trained_heads:
            if self._selection:
                scores = [head(held_out) for head in self._heads(features, labels)]
                best = self._best(self._selection, scores)
            else:
                best = self._best(parts, self._cross_validated(parts, features, labels))
            (trained_heads[key],) = self._heads(features, labels, [STRENGTHS[best]])
            while len(trained_heads) > KEPT:
                del trained_heads[next(iter(trained_heads))]
        return trained_heads[key]

    def _heads(
        self, features: NDArray[np.float32], labels: NDArray[Any], strengths: Sequence[float] = STRENGTHS
    ) -> Iterator[Head]:
        return fit_heads(self._shape.head_kind, features, labels, strengths, self._classes)

    def _cross_validated(
        self, parts: Sequence[Part], features: NDArray[np.float32], labels: NDArray[Any]
    ) -> list[NDArray[np.float64]]:
        """Returns, for each strength, the scores of every item by a head that has not seen it."""
        folds = split_items({part.language: self._shape.keys(part.data) for part in parts}, FOLDS, self._seed)
        fold = np.concatenate([folds[part.language] for part in parts])
        numbers = np.unique(fold)
        scores: list[NDArray[np.float64]] = []
        for number in numbers if len(numbers) > 1 else ():  # one fold: all items hang together
            left_out = fold == number
            for strength, head in enumerate(self._heads(features[~left_out], labels[~left_out])):
                held_out = head(features[left_out])
                if len(scores) == strength:
                    scores.append(np.zeros((len(fold), *held_out.shape[1:])))
                scores[strength][left_out] = held_out
        return scores

    def _best(self, parts: Sequence[Part], scores: Sequence[NDArray[np.float64]]) -> int:
        """Returns which of `scores` has the best mean over languages; the strongest regularisation wins a tie."""
        ends = np.cumsum([part.used for part in parts])[:-1]
        if not scores:
            return 0
        means = []
        for candidate in scores:
            items = map(self._shape.items, (part.data for part in parts), np.split(candidate, ends))
            means.append(float(np.mean([self._metric.statistic(item) for item in items])))
        return int(np.argmax(self._sign * np.array(means)))

    def _features(self, parts: Sequence[Part]) -> NDArray[np.float32]:
        return np.concatenate([self._shape.features(part.data, self._encode) for part in parts])

    def _labels(self, parts: Sequence[Part]) -> NDArray[Any]:
        return np.concatenate([self._shape.labels(part.data) for part in parts])
