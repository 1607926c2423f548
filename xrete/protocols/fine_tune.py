"""Fine-tune: the transformer itself is trained on the task's own training data, by a recipe."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from statistics import stdev
from typing import TYPE_CHECKING, Any, Literal
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from xrete.encoding.embedder import take_probe
from xrete.errors import DataError, HubError, UsageError
from xrete.files import digest
from xrete.model import Kind, LoadedModel
from xrete.protocols import Opening, Settings, TrainingWork, Work
from xrete.protocols.folds import split_items
from xrete.protocols.material import TRAIN, Material, material, training_source
from xrete.record import FineTuning, TrainingRun
from xrete.scores.scoring import run_scores
from xrete.shapes import load_shape
from xrete.shapes.contract import Part, ProbeShape, Shape, TrainShape, ZeroShotShape, dropped_rows
from xrete.shapes.metric import Items, join_runs
from xrete.task import Recipe, Stage
from xrete.training.finetune import overrides
from xrete.training.finetune.job import Job, StageJob

if TYPE_CHECKING:
    from xrete.dataset import Dataset
    from xrete.training.finetune.tuner import Tuned, Tuner

KIND: Kind = "encoder"
UNIT: Literal["steps"] = "steps"
SELF_CONTAINED = False
NEEDS: Literal["recipes"] = "recipes"

HELD_OUT = 10
"""One item of so many is held out to choose the best weights, where there is no other split for that."""


def outcomes(
    dataset: Dataset, tuner: Tuner, languages: Sequence[str], settings: Settings
) -> Iterator[tuple[str, Items]]:
    """Trains once for each seed, and for each half where one is trained on and the other scored; then scores."""
    halves = _own(dataset, plan(dataset, settings), settings).halves
    runs: dict[int, dict[str, Items]] = {}
    for seed in seeds(settings):
        tuned = [tuner.train(job) for job in jobs(dataset, settings, seed)]
        runs[seed] = _scored(dataset, tuned, languages, halves)
    for language in languages:
        yield language, join_runs({seed: scored[language] for seed, scored in runs.items()})


def jobs(dataset: Dataset, settings: Settings, seed: int) -> list[Job]:
    """Returns the training runs of one seed: one, or one for each half."""
    stages = plan(dataset, settings)
    own = _own(dataset, stages, settings)
    return [
        Job(
            stages=tuple(_stage_job(dataset, stages, stage, settings, own, half) for stage in stages),
            seed=seed,
            lora=settings.tuning.lora,
        )
        for half in range(len(own.parts) if _uses_own(stages) else 1)
    ]


def seeds(settings: Settings) -> tuple[int, ...]:
    """Returns the seeds of the training runs."""
    return settings.tuning.seeds or (settings.seed,)


_plans: WeakKeyDictionary[Dataset, dict[Settings, Recipe]] = WeakKeyDictionary()


def plan(dataset: Dataset, settings: Settings) -> Recipe:
    """Returns the stages, which are chosen once.

    Where the user names a split of the task to train on, the last stage takes that in place of other data.

    Raises:
        UsageError: there is no such recipe or setting, an objective is not one of the data's, or nothing that is
            trained on is in the languages that the user named to train on.
    """
    known = _plans.setdefault(dataset, {})
    if settings not in known:
        known[settings] = _choose(dataset, settings)
    return known[settings]


def _choose(dataset: Dataset, settings: Settings) -> Recipe:
    stages = overrides.choose(dataset.card, settings.tuning.recipe, settings.tuning.changes)
    if settings.train_split is not None:
        stages = (*stages[:-1], replace(stages[-1], task=None))
    for stage in stages:
        shape: Any = load_shape((stage.task or dataset.task).card.shape)
        if stage.objective not in shape.objectives:
            raise UsageError(
                f"--set {stage.name}.objective={stage.objective}: that stage of {dataset.card.name} has data for "
                f"{' or '.join(shape.objectives)}"
            )
    asked = {code.strip() for code in settings.train_languages.split(",")}
    for stage in () if _uses_own(stages) or asked == {"all"} else stages:
        assert stage.task is not None
        if asked != set(stage.task.card.languages):
            raise UsageError(
                f"--train-languages {settings.train_languages}: stage {stage.name} of {dataset.card.name} trains "
                f"on {stage.task.card.title}, which is in {', '.join(stage.task.card.languages)}; leave it out"
            )
    return stages


def fits(shape: Shape) -> bool:
    """Returns whether a shape can be scored with a model that was trained."""
    return isinstance(shape, ZeroShotShape | ProbeShape)


def settings(asked: Settings) -> Settings:
    """Returns all that was asked for."""
    return asked


def open_model(model: LoadedModel, opening: Opening, stack: ExitStack) -> Tuner:
    """Opens a transformer to train copies of."""
    from xrete.training.finetune.tuner import Tuner, trainable

    encoder = trainable(model.encoder)
    folder = opening.weights / opening.identity.digest
    return Tuner(encoder, folder, opening.progress, opening.watch, probe=take_probe(encoder))


def joint(dataset: Dataset, model: Tuner) -> None:
    """Is None: trained models are scored on one language after the other."""


def work(dataset: Dataset, languages: Sequence[str], settings: Settings, opening: Opening) -> Work:
    """Counts the texts of the languages, and the stages of each seed."""
    texts = sum(dataset.shape.count_texts(dataset[language]) for language in languages)
    if not languages:
        return Work(texts=texts)
    chosen = seeds(settings)
    training = tuple(
        TrainingWork(stage=x.stage.name, languages=x.languages, items=x.epoch_items, steps=x.steps)
        for job in jobs(dataset, settings, chosen[0])
        for x in job.stages
    )
    return Work(texts=texts, seeds=chosen, training=training)


def trained_on(dataset: Dataset, settings: Settings) -> None:
    """Is None: `fine_tuning` says all."""


def fine_tuning(dataset: Dataset, settings: Settings, model: Tuner, items: Mapping[str, Items]) -> FineTuning:
    """Says how the model was trained, and what each training run scored."""
    asked, metric = settings.tuning, dataset.shape.metrics[dataset.card.metric]
    scores = run_scores(metric, items)
    means = dict(zip(model.chosen, scores, strict=False))  # without scores, where the run failed
    languages = (x for results in model.chosen.values() for stage in results for x in stage.languages)
    return FineTuning(
        recipe=asked.recipe or next(iter(dataset.card.recipes)),
        stages=tuple(map(overrides.described, plan(dataset, settings))),
        train_languages=",".join(dict.fromkeys(languages)),
        train_split=settings.train_split,
        lora=asked.lora,
        runs=tuple(
            TrainingRun(seed=seed, score=means.get(seed), stages=tuple(map(asdict, results)))
            for seed, results in model.chosen.items()
        ),
        spread=stdev(scores) if len(scores) > 1 else None,
    )


def fingerprint(dataset: Dataset, settings: Settings) -> str:
    """Returns a digest of all that is trained on, and how."""
    return digest(job.digest for seed in seeds(settings) for job in jobs(dataset, settings, seed))


def notes(dataset: Dataset, settings: Settings) -> tuple[str, ...]:
    """Says what was trained on."""
    stages = plan(dataset, settings)
    own = _own(dataset, stages, settings)
    notes = []
    for stage in stages:
        if stage.task is None:
            chosen = own.selection_note or f"a {HELD_OUT}th of them, held out by item"
            notes.append(f"fine-tune, {stage.name}: {own.note}" + (f"; best by {chosen}" if stage.select else ""))
        else:
            items, chosen = (
                _counted(_elsewhere(dataset, stages, stage, settings, stage.split)),
                f"a {HELD_OUT}th of them",
            )
            if _has_dev(stage):
                chosen = f"dev ({_counted(_elsewhere(dataset, stages, stage, settings, 'dev'))})"
            split = "" if stage.split == "train" else f", {stage.split}"
            notes.append(
                f"fine-tune, {stage.name}: trained on {stage.task.card.title}{split} ({items})"
                + (f"; best by {chosen}" if stage.select else "")
            )
    return tuple(notes)


def _has_dev(stage: Stage) -> bool:
    """Returns whether a stage with data of its own has other data to choose the best weights by."""
    return stage.select and stage.task is not None and stage.split == "train" and "dev" in stage.task.card.training


def _counted(parts: Sequence[Part]) -> str:
    """Says how many items there are, and how many were left out for a known error."""
    dropped = sum(dropped_rows(part.data) for part in parts)
    return f"{sum(part.used for part in parts):,} items" + (f", {dropped:,} left out" if dropped else "")


def _uses_own(stages: Recipe) -> bool:
    return any(stage.task is None for stage in stages)


def _own(dataset: Dataset, stages: Recipe, settings: Settings) -> Material:
    """Returns what is there of the task's own training data; nothing where no stage needs it.

    Raises:
        DataError: it is not there.
    """
    if not _uses_own(stages):
        return Material("", "", ((),))
    seed = replace(settings, tuning=replace(settings.tuning, seeds=()))  # the data is the same for all seeds
    try:
        return material(dataset, replace(seed, train_split=settings.train_split or TRAIN[0]), whole=True)
    except DataError as error:
        others = [name for name, recipe in dataset.card.recipes.items() if not _uses_own(recipe)]
        if not others or settings.train_split:
            raise
        raise DataError(f"{error}, or train on other data with --recipe {' or '.join(others)}") from None


def _stage_job(
    dataset: Dataset, stages: Recipe, stage: Stage, settings: Settings, own: Material, half: int
) -> StageJob:
    card = dataset.card if stage.task is None else stage.task.card
    shape = load_shape(card.shape)
    assert isinstance(shape, TrainShape)
    if stage.task is None:
        train, dev = own.parts[half], own.selection
    else:
        train = _elsewhere(dataset, stages, stage, settings, stage.split)
        dev = _elsewhere(dataset, stages, stage, settings, "dev") if _has_dev(stage) else ()
    if stage.select and not dev:
        train, dev = _held_out(train, shape, settings.seed)
    return StageJob(
        stage=replace(stage, task=None),
        shape=card.shape,
        metric=card.metric,
        higher_is_better=card.higher_is_better,
        train=train,
        dev=dev if stage.select else (),
    )


_known: WeakKeyDictionary[Dataset, dict[tuple[Any, ...], tuple[Part, ...]]] = WeakKeyDictionary()


def _elsewhere(dataset: Dataset, stages: Recipe, stage: Stage, settings: Settings, split: str) -> tuple[Part, ...]:
    """Reads the training data of another task, once.

    Raises:
        DataError: it is not there; the sentence says which stage needs it.
    """
    from xrete.dataset import Dataset as Data

    assert stage.task is not None
    known, key = _known.setdefault(dataset, {}), (stage.task, settings.train_data, split)
    if key in known:
        return known[key]
    try:
        place = training_source(stage.task, dataset, settings)
        data = Data(stage.task, place, split=split, limit=dataset.limit)
        sizes = {language: data.shape.size(data[language]) for language in data.languages}
        known[key] = tuple(Part(language, data[language], size, size) for language, size in sizes.items())
        return known[key]
    except (DataError, HubError) as error:
        others = ""
        if split != stage.split:
            others = f", or keep the last weights with --set {stage.name}.select=false"
        elif len(stages) > 1:
            others = f", or leave the stage out with --set {stage.name}.epochs=0"
        raise DataError(
            f"{dataset.card.name}, stage {stage.name}: {error}; name a folder that has it with --train-data{others}"
        ) from None


def _held_out(parts: Sequence[Part], shape: TrainShape, seed: int) -> tuple[tuple[Part, ...], tuple[Part, ...]]:
    """Splits what is there to train on; items that share a name or a text stay on one side."""
    folds = split_items({part.language: shape.keys(part.data) for part in parts}, HELD_OUT, seed)

    def taken(part: Part, mask: NDArray[np.bool_]) -> Part:
        rows = np.flatnonzero(mask).tolist()
        return Part(part.language, shape.take(part.data, rows), len(rows), part.size)

    train = tuple(taken(part, folds[part.language] != 0) for part in parts)
    dev = tuple(taken(part, folds[part.language] == 0) for part in parts)
    if not all(part.used for part in dev):
        raise DataError(
            f"{sum(part.used for part in parts)} items are too few to hold a tenth of them out to choose the best "
            "weights; train on more, or keep the last weights with --set select=false"
        )
    return train, dev


def _scored(
    dataset: Dataset, tuned: Sequence[Tuned], languages: Sequence[str], halves: Mapping[str, NDArray[np.int64]]
) -> dict[str, Items]:
    """Scores languages with one trained model, or with two, each the half that it was not trained on."""
    outcomes = [dict(_outcomes(dataset, model, languages)) for model in tuned]
    if len(outcomes) == 1:
        return outcomes[0]
    return {
        language: {
            name: np.where(halves[language] == 0, column, outcomes[1][language][name])
            for name, column in outcomes[0][language].items()
        }
        for language in languages
    }


def _outcomes(dataset: Dataset, tuned: Tuned, languages: Sequence[str]) -> Iterator[tuple[str, Items]]:
    shape: Any = dataset.shape
    if tuned.is_encoder and isinstance(shape, ZeroShotShape):
        yield from shape.zero_shot(dataset, tuned, languages)
        return
    assert isinstance(shape, ProbeShape)
    for language in languages:
        data = dataset[language]
        yield language, shape.items(data, tuned.scores(Part(language, data, shape.size(data), shape.size(data))))
