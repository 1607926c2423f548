"""The main loop: plan, load, encode, score, save; a language at a time."""

from __future__ import annotations

import shlex
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import stdev
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from xrete.chat.answers import IN_MEMORY, AnswerCache, Asker, answers_file, price_of
from xrete.encoding.cache import DEFAULT_LIMIT_BYTES, Cache, DiskCache, NoCache
from xrete.encoding.embedder import Embedder, Probe, Progress, take_probe
from xrete.errors import UsageError, XreteError
from xrete.evaluation import environment
from xrete.evaluation.xtreme import write_predictions
from xrete.files import cache_root, digest
from xrete.model import UNVERSIONED, ChatModel, LoadedModel, ModelIdentity, wrap
from xrete.protocols import Settings, Tuning, load_protocol
from xrete.record import (
    Answers,
    Cost,
    DataPart,
    FineTuning,
    IntervalPart,
    ModelPart,
    Record,
    Status,
    TrainingRun,
)
from xrete.scores import resampling, scoring
from xrete.scores.scoring import Scores
from xrete.shapes.contract import JointShape
from xrete.store import Outcome, Slot, read_items
from xrete.training.finetune.job import Watch

if TYPE_CHECKING:
    from xrete.dataset import Dataset
    from xrete.task import TaskCard
    from xrete.training.finetune.tuner import Tuner

    Reader = Embedder | Asker | Tuner

LazyModel = Callable[[], LoadedModel]

SHORT = 16
"""Digits of the digests of languages in records."""


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """How to run, beyond model and task.

    Attributes:
        protocol: One of the task's protocols; None takes its first.
        results: Folder for records; None keeps nothing on disk.
        force: Score again what is already complete.
        seed: For every random choice: the bootstrap, probes, fine-tuning.
        train_languages: Languages that a protocol with training trains on: "all", "en", or codes with commas.
        train_split: Split of the task that such a protocol trains on; None: its own choice.
        train_data: "hub", or a folder of upstream files that it trains on; None: the source of what is scored.
        tuning: How a model is fine-tuned.
        use_cache: Keep and use embeddings and answers on disk.
        cache_limit_bytes: Most bytes of all cached embeddings.
        command: What the user typed, for the record.
        price: Of a million tokens in and out, for what a chat model costs; None where nobody knows.
        progress: Told how many texts were encoded and found in the cache.
        watch: Told of every step of fine-tuning.
        predictions: Folder for predictions in XTREME's layout, below the model's name; needs `results`.
    """

    protocol: str | None = None
    results: Path | None = None
    force: bool = False
    seed: int = 42
    train_languages: str = "all"
    train_split: str | None = None
    train_data: str | Path | None = None
    tuning: Tuning = field(default_factory=Tuning)
    use_cache: bool = True
    cache_limit_bytes: int = DEFAULT_LIMIT_BYTES
    command: str | None = None
    price: tuple[float, float] | None = None
    progress: Progress = lambda encoded, cached: None
    watch: Watch = lambda step: None
    predictions: Path | None = None


def evaluate(
    model: Any,
    dataset: Dataset,
    *,
    protocol: str | None = None,
    results: str | Path | None = None,
    force: bool = False,
    seed: int = 42,
    train_languages: str = "all",
    train_split: str | None = None,
    train_data: str | Path | None = None,
    tuning: Tuning | None = None,
    use_cache: bool = True,
    price: tuple[float, float] | None = None,
    progress: Progress | None = None,
    watch: Watch | None = None,
    predictions: str | Path | None = None,
) -> Record:
    """Scores one model on one task.

    Args:
        model: What `xrete.load_model` returns, or any object whose `encode(list[str])` returns an array [n, d].
        dataset: What `xrete.load_task` returns.
        protocol: One of the task's protocols; None takes its first for such a model.
        results: Folder for records; None keeps nothing on disk.
        force: Score again what is already complete.
        seed: For every random choice: the bootstrap, probes, fine-tuning.
        train_languages: Languages that a protocol with training trains on: "all", "en", or codes with commas.
        train_split: Split of the task that such a protocol trains on; None: its own choice.
        train_data: "hub", or a folder of upstream files that it trains on; None: the source of what is scored.
        tuning: How the model is fine-tuned; None: by the task's first recipe.
        use_cache: Keep and use embeddings and answers on disk.
        price: Of a million tokens in and out, for what a chat model costs.
        progress: Called with the number of texts just encoded, and just found in the cache.
        watch: Called with every step of fine-tuning.
        predictions: Folder for predictions in XTREME's layout, below the model's name; needs `results`.

    Returns:
        The record; complete, unless an error was raised.

    Raises:
        TypeError: the model has no `encode`.
        XreteError: the data is damaged, the model gives no usable vectors, or results cannot be written.
    """
    loaded = wrap(model)
    options = RunOptions(
        protocol=protocol,
        results=None if results is None else Path(results),
        force=force,
        seed=seed,
        train_languages=train_languages,
        train_split=train_split,
        train_data=train_data,
        tuning=tuning or Tuning(),
        use_cache=use_cache,
        price=price,
        progress=progress or (lambda encoded, cached: None),
        watch=watch or (lambda step: None),
        predictions=None if predictions is None else Path(predictions),
    )
    return run(loaded.identity, lambda: loaded, dataset, options)


def run(identity: ModelIdentity, load: LazyModel, dataset: Dataset, options: RunOptions) -> Record:
    """Scores one model on one task; the model is loaded only if there is something to do.

    Args:
        identity: Which vectors the model gives.
        load: Loads it.
        dataset: The task's data.
        options: How to run.
    """
    plan = Plan.make(identity, dataset, options)
    if options.results is None:
        return _score(plan, load, None)
    slot = plan.slot(options.results)
    with slot.lock():
        record = None
        if options.force or identity.revision == UNVERSIONED:
            slot.clear()
        else:
            record = slot.finished()
        record = record or _score(plan, load, slot)
        if options.predictions and record.items:
            folder = options.predictions / slot.record_file.parent.name
            write_predictions(folder, dataset, read_items(slot.record_file, record))
        return record


@dataclass(frozen=True)
class Plan:
    """One cell of a leaderboard, decided: what will be scored, and the key that its record goes by."""

    identity: ModelIdentity
    dataset: Dataset
    options: RunOptions
    settings: Settings
    protocol: str
    data_fingerprint: str
    key: str

    @staticmethod
    def make(identity: ModelIdentity, dataset: Dataset, options: RunOptions) -> Plan:
        """Reads and checks the data, and decides the key.

        Raises:
            DataError: the data is damaged.
            UsageError: the task has no such protocol, or none for such a model.
        """
        card = dataset.card
        identity = identity.limited(card.max_length)
        name = _choose_protocol(identity, card, options.protocol)
        protocol = load_protocol(name)
        data = dataset.fingerprint()
        settings = Settings(seed=options.seed)
        if protocol.TRAINS:  # else languages to train on make no second record
            settings = Settings(
                seed=options.seed,
                train_languages=options.train_languages,
                train_split=options.train_split,
                train_data=options.train_data,
                tuning=options.tuning if name == "fine-tune" else Tuning(),
            )
        key = record_key(
            identity,
            (card.name, name, dataset.split, data, str(dataset.limit)),
            settings,
            dataset.missing,
            protocol.fingerprint(dataset, settings),
        )
        return Plan(identity, dataset, options, settings, name, data, key)

    def slot(self, results: Path) -> Slot:
        """Returns the place of its record in a results folder."""
        card, source = self.dataset.card, self.dataset.source
        return Slot(results, self.identity.name, card.name, self.protocol, source.kind, self.key)


def _choose_protocol(identity: ModelIdentity, card: TaskCard, asked: str | None) -> str:
    """Returns what was asked for, else the task's first protocol for models of this kind."""
    if asked is not None and asked not in card.protocols:
        raise UsageError(f"{card.name} has no protocol '{asked}'; it has {', '.join(card.protocols)}")
    fitting = [name for name in card.protocols if identity.kind == load_protocol(name).KIND]
    if asked in fitting or (asked is None and fitting):
        return asked or fitting[0]
    answers = "answers in words" if identity.kind == "chat" else "gives vectors"
    reason = f"protocol '{asked}' of {card.name}" if asked else f"every protocol of {card.name}"
    wants = "vectors" if identity.kind == "chat" else "a chat model"
    help_ = f"use --protocol {' or '.join(fitting)}" if fitting else "leave the task out"
    raise UsageError(f"{identity.name} {answers}, and {reason} wants {wants}; {help_}")


def record_key(
    identity: ModelIdentity, task: Sequence[str], settings: Settings, missing: Sequence[str], trained: str = ""
) -> str:
    """Returns the digest of everything that decides a record, which is part of its file's name.

    Args:
        identity: The model.
        task: Its name, the protocol, the split, the fingerprint of the data, and the limit.
        settings: Of the protocol.
        missing: Languages that the source lacks: part of the record, though not of its scores.
        trained: Digest of what a protocol trains on, or asks.
    """
    parts = [identity.digest, *task, repr(settings), *missing, *filter(None, [trained])]
    return digest(parts)[:12]


def _score(plan: Plan, load: LazyModel, slot: Slot | None) -> Record:
    """Scores what is not done yet, and writes the record, whatever happens."""
    started = time.perf_counter()
    outcomes = slot.load_outcomes() if slot else {}
    model = load().limited(plan.dataset.card.max_length)
    reader: Reader = Embedder(model.encoder)
    probe: Probe | None = None
    with ExitStack() as stack:

        def save(status: Status, scores: Scores, error: str | None = None) -> Record:
            done = _in_order(plan, outcomes)
            answers = {language: outcome.answers for language, outcome in done.items() if outcome.answers}
            cost = _cost(plan, reader, outcomes, answers, time.perf_counter() - started)
            tuning = None if isinstance(reader, Embedder | Asker) else _fine_tuning(plan, reader, done)
            record = _record(plan, model, probe, status, error, scores, cost, answers, tuning)
            return slot.save(record, done) if slot else record

        try:
            reader, probe = _open_model(plan, model, stack, slot)
            if isinstance(plan.dataset.shape, JointShape) and isinstance(reader, Embedder):
                return save(
                    "complete", scoring.from_joint(plan.dataset, plan.dataset.shape.joint(plan.dataset, reader))
                )
            for language, outcome in _outcomes(plan, reader, outcomes):
                outcomes[language] = outcome
                if slot:
                    slot.save_outcome(language, outcome)
            return save("complete", _scores(plan, outcomes))
        except Exception as error:  # a model or an adapter may raise anything
            said = str(error) if isinstance(error, XreteError) else f"{type(error).__name__}: {error}"
            save("failed", _scores(plan, outcomes), said)
            raise
        except KeyboardInterrupt:
            save("partial", _scores(plan, outcomes))
            raise


def _scores(plan: Plan, outcomes: Mapping[str, Outcome]) -> Scores:
    items = {language: outcome.items for language, outcome in _in_order(plan, outcomes).items()}
    return scoring.from_items(plan.dataset, items, plan.options.seed)


def _outcomes(plan: Plan, reader: Reader, done: Mapping[str, Outcome]) -> Iterator[tuple[str, Outcome]]:
    """Yields each language that is not done yet, with what its texts lost to truncation, or its answers took."""
    todo = [language for language in plan.dataset.languages if language not in done]
    protocol = load_protocol(plan.protocol)
    before: int | None = 0
    for language, items in protocol.outcomes(plan.dataset, reader, todo, plan.settings):
        if isinstance(reader, Asker):
            yield language, Outcome(items, None, reader.take())
            continue
        lost = None if reader.truncated is None or before is None else reader.truncated - before
        before = reader.truncated
        yield language, Outcome(items, lost)


def _open_model(plan: Plan, model: LoadedModel, stack: ExitStack, slot: Slot | None) -> tuple[Reader, Probe | None]:
    """Returns what turns texts into vectors or answers, or trains, and the fingerprint of an encoder."""
    if plan.protocol == "fine-tune":
        from xrete.training.finetune.tuner import Tuner, trainable

        folder = slot.weights if slot else Path(stack.enter_context(TemporaryDirectory()))
        encoder, options = trainable(model.encoder), plan.options
        return Tuner(encoder, folder / plan.identity.digest, options.progress, options.watch), take_probe(encoder)
    if isinstance(model.encoder, ChatModel):
        file = answers_file() if plan.options.use_cache else IN_MEMORY
        cache = stack.enter_context(AnswerCache(file, plan.identity))
        return Asker(model.encoder, cache, plan.options.progress), None
    embedder = Embedder(model.encoder, _open_cache(plan, stack), plan.options.progress)
    return embedder, take_probe(model.encoder)


def _open_cache(plan: Plan, stack: ExitStack) -> Cache:
    """Opens the model's cache; objects without a revision have none, since their vectors may change."""
    if not plan.options.use_cache or plan.identity.revision == UNVERSIONED:
        return NoCache()
    try:
        folder = cache_root() / "embeddings"
        return stack.enter_context(DiskCache(folder, plan.identity.digest, plan.options.cache_limit_bytes))
    except (OSError, sqlite3.Error):
        return NoCache()  # a read-only home or a full disk costs time, not the run


def _in_order(plan: Plan, outcomes: Mapping[str, Outcome]) -> dict[str, Outcome]:
    return {language: outcomes[language] for language in plan.dataset.languages if language in outcomes}


def _record(
    plan: Plan,
    model: LoadedModel,
    probe: Probe | None,
    status: Status,
    error: str | None,
    scores: Scores,
    cost: Cost,
    answers: Mapping[str, Answers],
    tuning: FineTuning | None,
) -> Record:
    dataset, options, card = plan.dataset, plan.options, plan.dataset.card
    total = scores.groups.get("all")
    return Record(
        status=status,
        error=error,
        command=options.command or shlex.join(["python", Path(sys.argv[0]).name]),
        model=_model_part(model, probe.dimension if probe else None),
        fingerprint=probe.fingerprint if probe else None,
        task=card.name,
        shape=card.shape,
        protocol=plan.protocol,
        metric=card.metric,
        higher_is_better=card.higher_is_better,
        score=total.score if total else None,
        ci95=total.ci95 if total else None,
        languages=scores.languages,
        groups=scores.groups,
        missing_languages=dataset.missing,
        data=DataPart(
            source=dataset.source.kind,
            revision=dataset.revision,
            fingerprint=plan.data_fingerprint,
            split=dataset.split,
            limit=dataset.limit,
            dropped=dataset.dropped(),
            languages={x: y[:SHORT] for x, y in dataset.digests.items()} if dataset.scored_apart() else {},
        ),
        code=environment.code(),
        environment=environment.environment(
            getattr(model.encoder, "device", "cpu"),
            plan.identity.dtype,
            getattr(model.encoder, "processes", 1),
            options.seed,
        ),
        items=None,
        interval=IntervalPart(method=scores.method, resamples=resampling.RESAMPLES, seed=options.seed),
        cost=cost,
        answers=dict(answers),
        fine_tuning=tuning,
        notes=((dataset.fallback,) if dataset.fallback else ())
        + load_protocol(plan.protocol).notes(dataset, plan.settings)
        + scores.notes,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _fine_tuning(plan: Plan, tuner: Tuner, outcomes: Mapping[str, Outcome]) -> FineTuning:
    """Says how the model was trained, and what each training run scored."""
    from xrete.protocols.fine_tune import plan as stages
    from xrete.training.finetune.overrides import described

    asked, metric = plan.settings.tuning, plan.dataset.shape.metrics[plan.dataset.card.metric]
    scores = scoring.run_scores(metric, {language: outcome.items for language, outcome in outcomes.items()})
    means = dict(zip(tuner.chosen, scores, strict=False))  # without scores, where the run failed
    return FineTuning(
        recipe=asked.recipe or next(iter(plan.dataset.card.recipes)),
        stages=tuple(described(stage) for stage in stages(plan.dataset, plan.settings)),
        train_languages=",".join(
            dict.fromkeys(x for chosen in tuner.chosen.values() for stage in chosen for x in stage.languages)
        ),
        train_split=plan.settings.train_split,
        lora=asked.lora,
        runs=tuple(
            TrainingRun(seed=seed, score=means.get(seed), stages=tuple(asdict(stage) for stage in chosen))
            for seed, chosen in tuner.chosen.items()
        ),
        spread=stdev(scores) if len(scores) > 1 else None,
    )


def _model_part(model: LoadedModel, dimension: int | None) -> ModelPart:
    identity = model.identity
    training = getattr(model.encoder, "training", None)
    return ModelPart(
        name=identity.name,
        revision=identity.revision,
        params=getattr(model.encoder, "parameters", model.card.parameters),
        dim=dimension,
        pooling=identity.pooling,
        prefix=identity.prefix,
        max_length=identity.max_length,
        training=training if isinstance(training, dict) else None,  # a torch module has a flag of that name
    )


def _cost(
    plan: Plan,
    reader: Reader,
    outcomes: Mapping[str, Outcome],
    answers: Mapping[str, Answers],
    seconds: float,
) -> Cost:
    # A joint shape has no outcomes, and reads every language in this run.
    lost: Sequence[int | None] = [outcome.truncated for outcome in outcomes.values()] or [reader.truncated]
    prices, said = plan.options.price, answers.values()
    busy = reader.seconds if isinstance(reader, Embedder) else seconds
    tokens = sum(x.tokens_in for x in said), sum(x.tokens_out for x in said)
    return Cost(
        seconds=round(seconds, 3),
        sentences=reader.encoded,
        sentences_cached=reader.cached,
        sentences_per_second=round(reader.encoded / busy, 1) if reader.encoded else None,
        truncated=None if None in lost else sum(x for x in lost if x is not None),
        peak_memory_bytes=environment.peak_memory_bytes(),
        price=price_of(prices, *tokens) if prices and answers else None,
    )
