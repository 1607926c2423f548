"""What is trained on: a task's train split; for probes else its dev split, else one half of what is scored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from xrete.errors import DataError, unknown_name
from xrete.protocols import Settings
from xrete.protocols.folds import split_items
from xrete.scores.resampling import generator
from xrete.shapes.contract import Part, TrainShape, dropped_rows
from xrete.sources import Folder, Hub, Mini, Source
from xrete.task import layouts

if TYPE_CHECKING:
    from xrete.dataset import Dataset
    from xrete.task import Task

TRAIN = ("train",)
SELECT = ("dev", "val")
"""Names of the splits that regularisation is chosen on, and that are trained on where there is no train split."""
MOST_ROWS = 20_000
"""Most items that one head is trained on, all languages together; more are drawn from, evenly over languages."""
MOST_SELECTION_ROWS = 5_000
"""The same for the items that regularisation is chosen on."""


@dataclass(frozen=True)
class Material:
    """What the heads of one data set are trained on.

    Attributes:
        note: What a reader of the record must know.
        split: The split that is trained on.
        parts: For each head, what it is trained on.
        selection: What regularisation is chosen on; empty where that is left to cross-validation.
        selection_note: Which data that is.
        halves: By language, the number of the head that scores each item; empty where there is one head.
    """

    note: str
    split: str
    parts: tuple[tuple[Part, ...], ...]
    selection: tuple[Part, ...] = ()
    selection_note: str = ""
    halves: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)

    def head_of(self, language: str) -> NDArray[np.int64] | int:
        """Returns the number of the head that scores each item of a language, [items] or one for all."""
        return self.halves[language] if self.halves else 0


_known: WeakKeyDictionary[Dataset, dict[tuple[Settings, bool], Material]] = WeakKeyDictionary()


def material(dataset: Dataset, settings: Settings, *, whole: bool = False) -> Material:
    """Chooses and reads what is trained on; it depends on the source and the settings, not on what is scored when.

    Args:
        dataset: What is scored.
        settings: Languages, and the split to train on where the user named one.
        whole: Take all items, else as many as a probe needs.

    Raises:
        DataError: the split or a language to train on is not there.
        UsageError: the task has no such split or language.
    """
    known = _known.setdefault(dataset, {})
    if (settings, whole) not in known:
        known[settings, whole] = _choose(dataset, settings, whole)
    return known[settings, whole]


def _choose(dataset: Dataset, settings: Settings, whole: bool) -> Material:
    asked = settings.train_split
    if asked is not None and asked not in (*dataset.card.splits, *dataset.card.training, *TRAIN):
        known = (*dataset.card.training, *dataset.card.splits)
        raise unknown_name(f"split of {dataset.card.name}", asked, known, ", ".join(known))
    english = dataset.card.english
    if english and not asked and settings.train_languages == "en" and "en" not in dataset.card.languages:
        return _in_english(english, dataset, settings)
    for split in (asked,) if asked else (*TRAIN, *SELECT):
        if split != dataset.split and (source := _open(dataset, split, settings)):
            return _from_split(source, dataset, settings, whole)
    if asked not in (None, dataset.split):
        raise DataError(missing_split(dataset, asked or "", settings))
    return _cross_fitted(dataset, settings, whole)


def _in_english(task: Task, dataset: Dataset, settings: Settings) -> Material:
    """Trains on English data of the same kind, and chooses the regularisation on its dev split."""
    from xrete.dataset import Dataset

    place = training_source(task, dataset, settings)
    train, dev = (Dataset(task, place, split=split, limit=dataset.limit) for split in ("train", "dev"))
    parts, selection = (
        tuple(_draw(train, settings.seed, MOST_ROWS)),
        tuple(_draw(dev, settings.seed, MOST_SELECTION_ROWS)),
    )
    title, of = task.card.title, _description("train", parts, settings)
    return Material(
        f"trained on {title}, {of}", "train", (parts,), selection, f"its {_description('dev', selection, settings)}"
    )


def missing_split(dataset: Dataset, split: str, settings: Settings) -> str:
    """Says in a sentence that a split to train on is not there, and what to do."""
    card, source = dataset.card, training_source(dataset.task, dataset, settings)
    where = source.root if isinstance(source, Folder) else f"--data {source.kind}"
    splits = [name for name in (*card.training, *card.splits) if name != split and _open(dataset, name, Settings())]
    others = f", or train on another with --train-split {' or '.join(splits)}" if splits else ""
    return f"{card.name} has no '{split}' to train on in {where}; name a folder with --train-data{others}"


def _from_split(source: Dataset, dataset: Dataset, settings: Settings, whole: bool) -> Material:
    """Trains on another split than the scored one."""
    parts = tuple(_draw(source, settings.seed, None if whole else MOST_ROWS))
    note = f"trained on {_description(source.split, parts, settings)}"
    for split in SELECT:
        if split not in (source.split, dataset.split) and (other := _open(dataset, split, settings, strict=False)):
            selection = tuple(_draw(other, settings.seed, None if whole else MOST_SELECTION_ROWS))
            return Material(note, source.split, (parts,), selection, _description(split, selection, settings))
    return Material(note, source.split, (parts,))


def _cross_fitted(dataset: Dataset, settings: Settings, whole: bool) -> Material:
    """Trains on one half of the scored items and scores the other half, and the other way round."""
    shape = dataset.shape
    assert isinstance(shape, TrainShape)
    source, everything = (_open(dataset, dataset.split, x) or dataset for x in (settings, Settings()))
    halves = split_items({language: shape.keys(data) for language, data in _read(everything)}, 2, settings.seed)
    parts = tuple(
        tuple(
            _draw(
                source, settings.seed, None if whole else MOST_ROWS, {x: half != head for x, half in halves.items()}
            )
        )
        for head in (0, 1)
    )
    sizes = [sum(part.used for part in half) for half in parts]
    if not all(sizes):
        raise DataError(
            f"{dataset.card.name} has too few items in {dataset.split} to train on one half and score the other; "
            f"score more of them, or add its training data"
        )
    note = (
        f"cross-fitted, since only {dataset.split} is there: its items were halved, those that share a name or a "
        f"text, in any language, on one side; each half was scored in every language after training on the "
        f"other half in {', '.join(source.languages)} ({' and '.join(f'{size:,}' for size in sizes)} items)"
    )
    return Material(
        note, dataset.split, parts, halves={language: halves[language] for language in dataset.languages}
    )


def _open(dataset: Dataset, split: str, settings: Settings, *, strict: bool = True) -> Dataset | None:
    """Opens a split of the same source in the languages to train on; None where it is not there.

    Raises:
        DataError: the split is damaged; or it is there, but not in these languages, and `strict`.
    """
    from xrete.dataset import Dataset

    card = dataset.card
    if split not in (*card.splits, *card.training) and not isinstance(dataset.source, Mini):
        return None
    place = training_source(dataset.task, dataset, settings)
    try:
        whole = Dataset(dataset.task, place, split=split, limit=dataset.limit)
    except DataError:
        if _has_files(dataset, place, split):
            raise
        return None
    if settings.train_languages == "all":
        return whole
    asked = [code.strip() for code in settings.train_languages.split(",")]
    try:
        chosen = Dataset(dataset.task, place, split=split, languages=asked, limit=dataset.limit)
        absent = chosen.missing
    except DataError:
        absent = tuple(asked)
    if absent and strict:
        raise DataError(
            f"{card.name} has no {', '.join(absent)} to train on in {split}, which holds "
            f"{', '.join(whole.languages)}; name some of these with --train-languages"
        )
    return None if absent else chosen


def training_source(task: Task, dataset: Dataset, settings: Settings) -> Source:
    """Returns where the training data of a task is.

    That is what the user named for it, whose files may have any number of items; else the source of the scored data
    or, for another task's data on the hub, its own repository.

    Args:
        task: Whose training data it is.
        dataset: What is scored.
        settings: With what the user named.

    Raises:
        DataError: there is none of these.
    """
    asked, card = settings.train_data, task.card
    if asked is not None and asked != "hub":
        return Folder(Path(asked), own=True)
    if asked is None and (task is dataset.task or isinstance(dataset.source, Folder)):
        return dataset.source
    if card.hub and "hub" in (asked, dataset.source.kind):
        return Hub(card.hub)
    where = "--train-data hub" if asked else f"--data {dataset.source.kind}"
    raise DataError(f"{card.layout} is not available with {where}")


def _has_files(dataset: Dataset, place: Source, split: str) -> bool:
    if not isinstance(place, Folder):
        return False
    return any(
        place.has(file)
        for language in dataset.card.languages
        for files in layouts(dataset.task, language, split)
        for file in files
    )


def _read(source: Dataset) -> Iterator[tuple[str, Any]]:
    """Reads a language at a time and keeps none: a train split may be larger than memory."""
    for language in source.languages:
        one = type(source)(source.task, source.source, split=source.split, languages=[language], limit=source.limit)
        yield language, one[language]


def _draw(
    source: Dataset, seed: int, most: int | None, masks: Mapping[str, NDArray[np.bool_]] | None = None
) -> Iterator[Part]:
    """Reads each language and draws from it where there are too many items."""
    shape = source.shape
    assert isinstance(shape, TrainShape)
    quota = None if most is None else most // len(source.languages)
    for language, data in _read(source):
        size = shape.size(data)
        rows = np.arange(size) if masks is None else np.flatnonzero(masks[language])
        if quota is not None and len(rows) > quota:
            rows = np.sort(generator(seed, language).choice(rows, quota, replace=False))
        yield Part(language, shape.take(data, rows.tolist()), len(rows), size)


def _description(split: str, parts: Sequence[Part], settings: Settings) -> str:
    """Says in words which items these are."""
    used, size = sum(part.used for part in parts), sum(part.size for part in parts)
    drawn = f"{used:,} of {size:,} items, drawn with seed {settings.seed}" if used < size else f"{used:,} items"
    dropped = sum(dropped_rows(part.data) for part in parts)
    without = f", {dropped:,} damaged rows left out" if dropped else ""
    return f"{split} in {', '.join(part.language for part in parts)} ({drawn}{without})"
