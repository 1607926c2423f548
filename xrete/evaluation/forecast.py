"""What a run would do, and what its answers would cost, said before anything is encoded or asked."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from xrete.chat.answers import price_of
from xrete.errors import RecordError
from xrete.evaluation.plan import Plan
from xrete.protocols import TrainingWork, Work
from xrete.record import read_record


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """One model on one task.

    Attributes:
        model, task, protocol, source, split: What is scored.
        languages: Number of its languages.
        finished: Number of those that an earlier run has scored.
        texts: Sentences to encode, or questions to answer, of the other languages, and of what a probe is trained
            on. A sentence that comes more than once is encoded once.
        answered: How many of the questions have their answer in the cache; None for sentences.
        tokens_in, tokens_out: About what the other questions take; None for sentences.
        price: What that costs; None where no prices were named.
        seeds: One training run each; empty where nothing is trained.
        training: The stages of each seed; twice, where two halves are trained on in turn.
    """

    model: str
    task: str
    protocol: str
    source: str
    split: str
    languages: int
    finished: int
    texts: int
    answered: int | None = None
    tokens_in: int | None = None
    tokens_out: int | None = None
    price: float | None = None
    seeds: tuple[int, ...] = ()
    training: tuple[TrainingWork, ...] = ()


def forecast(plan: Plan) -> Forecast:
    """Says what `evaluation.run.score` would do.

    Raises:
        XreteError: the data to train on is damaged or absent.
    """
    dataset, options = plan.dataset, plan.options
    finished = _finished(plan)
    todo = [language for language in dataset.languages if language not in finished]
    work = plan.module.work(dataset, todo, plan.settings, plan.opening(Path()))
    return Forecast(
        model=plan.identity.name,
        task=dataset.card.name,
        protocol=plan.protocol,
        source=dataset.source.kind,
        split=dataset.split,
        languages=len(dataset.languages),
        finished=len(finished),
        texts=work.texts,
        answered=work.answered,
        tokens_in=work.tokens_in,
        tokens_out=work.tokens_out,
        price=_price(options.price, work),
        seeds=work.seeds,
        training=work.training,
    )


def _price(prices: tuple[float, float] | None, work: Work) -> float | None:
    """Returns what the answers would cost; None where there are none, or nobody knows."""
    if prices is None or work.tokens_in is None or work.tokens_out is None:
        return None
    return price_of(prices, work.tokens_in, work.tokens_out)


def _finished(plan: Plan) -> Collection[str]:
    """Returns the languages that need nothing more."""
    if plan.options.results is None or plan.options.force:
        return ()
    slot = plan.slot(plan.options.results)
    try:
        if slot.record_file.exists() and read_record(slot.record_file).status == "complete":
            return plan.dataset.languages
    except RecordError:
        pass  # the run will set it aside
    return plan.finished(slot)
