"""The main loop: plan, load, encode, score, save; a language at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from xrete.errors import XreteError
from xrete.evaluation import precision
from xrete.evaluation.plan import Plan, RunOptions, as_task_reads
from xrete.evaluation.to_record import to_record
from xrete.evaluation.xtreme import write_predictions
from xrete.model import UNVERSIONED, LoadedModel, ModelIdentity, UnopenedModel, wrap
from xrete.protocols import Reader, Tuning
from xrete.record import Record, Status
from xrete.scores import scoring
from xrete.scores.scoring import Scores
from xrete.store import Outcome, Slot, read_items

if TYPE_CHECKING:
    from xrete.dataset import Dataset
    from xrete.encoding.embedder import Progress
    from xrete.training.finetune.job import StepWatch
    from xrete.vectors.resume import OnSearch

LazyModel = Callable[[], LoadedModel]


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
    on_search: OnSearch | None = None,
    watch: StepWatch | None = None,
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
        on_search: Called with the number of vectors that a long search has gone through, and of all.
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
        on_search=on_search or (lambda done, total: None),
        watch=watch or (lambda step: None),
        predictions=None if predictions is None else Path(predictions),
    )
    if loaded.fast:
        exact = UnopenedModel(loaded.identity, lambda: loaded)
        device = getattr(loaded.encoder, "device", "cpu")
        if precision.choose(exact, loaded.fast, dataset, options, device, headline).fast:
            loaded = loaded.fast.load()
    return run(loaded.identity, lambda: loaded, dataset, options)


def headline(model: UnopenedModel, dataset: Dataset, options: RunOptions) -> float:
    """Returns a model's headline score on data."""
    score = run(model.identity, model.load, dataset, options).score
    assert score is not None  # the record is complete
    return score


def run(identity: ModelIdentity, load: LazyModel, dataset: Dataset, options: RunOptions) -> Record:
    """Scores one model on one task; the model is loaded only if there is something to do.

    Args:
        identity: Which vectors the model gives.
        load: Loads it.
        dataset: The task's data.
        options: How to run.
    """
    return score(Plan.make(identity, dataset, options), load)


def score(plan: Plan, load: LazyModel) -> Record:
    """Scores a planned cell; the model is loaded only if there is something to do.

    Args:
        plan: The cell.
        load: Loads its model.
    """
    options = plan.options
    if options.results is None:
        return _score(plan, load, None)
    slot = plan.slot(options.results)
    with slot.lock():
        record = None
        if options.force or plan.identity.revision == UNVERSIONED:
            slot.clear()
        else:
            record = slot.finished()
        record = record or _score(plan, load, slot)
        if options.predictions and record.items:
            folder = options.predictions / slot.record_file.parent.name
            write_predictions(folder, plan.dataset, read_items(slot.record_file, record))
        return record


def _score(plan: Plan, load: LazyModel, slot: Slot | None) -> Record:
    """Scores what is not done yet, and writes the record, whatever happens."""
    started = time.perf_counter()
    outcomes = plan.finished(slot) if slot else {}
    model = as_task_reads(load(), plan.dataset)
    reader: Reader | None = None
    with ExitStack() as stack:

        def save(status: Status, scores: Scores, error: str | None = None) -> Record:
            done = _in_order(plan, outcomes)
            seconds = time.perf_counter() - started
            record = to_record(plan, model, reader, status, error, scores, done, seconds)
            return slot.save(record, done) if slot else record

        try:
            weights = slot.weights if slot else Path(stack.enter_context(TemporaryDirectory()))
            reader = plan.module.open_model(model, plan.opening(weights), stack)
            together = plan.module.joint(plan.dataset, reader)
            if together is not None:
                return save("complete", scoring.from_joint(plan.dataset, together))
            for language, outcome in _outcomes(plan, reader, outcomes):
                outcomes[language] = outcome
                if slot:
                    slot.save_outcome(language, outcome)
            return save("complete", _scores(plan, outcomes))
        except Exception as error:  # a model or an adapter may raise anything
            reason = str(error) if isinstance(error, XreteError) else f"{type(error).__name__}: {error}"
            save("failed", _scores(plan, outcomes), reason)
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
    before = reader.truncated
    for language, items in plan.module.outcomes(plan.dataset, reader, todo, plan.settings):
        lost = None if reader.truncated is None or before is None else reader.truncated - before
        before = reader.truncated
        yield language, Outcome(items, lost, reader.take())


def _in_order(plan: Plan, outcomes: Mapping[str, Outcome]) -> dict[str, Outcome]:
    return {language: outcomes[language] for language in plan.dataset.languages if language in outcomes}
