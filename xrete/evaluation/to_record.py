"""What was planned and what came out, as a record."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from xrete.chat.answers import price_of
from xrete.evaluation import environment
from xrete.evaluation.plan import Plan
from xrete.model import LoadedModel
from xrete.protocols import Reader
from xrete.record import Answers, Cost, DataPart, IntervalPart, KeyPart, ModelPart, Record, Status
from xrete.scores import resampling
from xrete.scores.scoring import Scores
from xrete.store import Outcome

SHORT = 16
"""Digits of the digests of languages in records."""


def to_record(
    plan: Plan,
    model: LoadedModel,
    reader: Reader | None,
    status: Status,
    error: str | None,
    scores: Scores,
    outcomes: Mapping[str, Outcome],
    seconds: float,
) -> Record:
    """Puts a record together.

    Args:
        plan: What was scored.
        model: The model.
        reader: The model as it was opened; None where it could not be.
        status: How the run ended.
        error: Why it failed, if it did.
        scores: What came out.
        outcomes: Of each language, in order.
        seconds: What the run took.
    """
    dataset, options, card = plan.dataset, plan.options, plan.dataset.card
    answers = {language: outcome.answers for language, outcome in outcomes.items() if outcome.answers}
    items = {language: outcome.items for language, outcome in outcomes.items()}
    probe = reader.probe if reader else None
    tuning = plan.module.fine_tuning(dataset, plan.settings, reader, items) if reader else None
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
        cost=_cost(plan, reader, outcomes, answers, seconds),
        answers=dict(answers),
        probe=plan.module.trained_on(dataset, plan.settings),
        fine_tuning=tuning,
        key=KeyPart(train_languages=plan.settings.train_languages, trained=plan.trained),
        notes=((dataset.fallback,) if dataset.fallback else ())
        + tuple(f"{file} is of no language of {card.name} and was not read" for file in dataset.strangers())
        + plan.module.notes(dataset, plan.settings)
        + scores.notes,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
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
        prompts=dict(identity.prompts),
        max_length=identity.max_length,
        training=training if isinstance(training, dict) else None,  # a torch module has a flag of that name
    )


def _cost(
    plan: Plan,
    reader: Reader | None,
    outcomes: Mapping[str, Outcome],
    answers: Mapping[str, Answers],
    seconds: float,
) -> Cost:
    # A joint shape has no outcomes, and reads every language in this run.
    lost: Sequence[int | None] = [outcome.truncated for outcome in outcomes.values()] or [
        reader.truncated if reader else 0
    ]
    prices = plan.options.price
    encoded, cached = (reader.encoded, reader.cached) if reader else (0, 0)
    busy = seconds if reader is None or reader.seconds is None else reader.seconds
    tokens = sum(x.tokens_in for x in answers.values()), sum(x.tokens_out for x in answers.values())
    return Cost(
        seconds=round(seconds, 3),
        sentences=encoded,
        sentences_cached=cached,
        sentences_per_second=round(encoded / busy, 1) if encoded else None,
        truncated=None if None in lost else sum(x for x in lost if x is not None),
        peak_memory_bytes=environment.peak_memory_bytes(),
        price=price_of(prices, *tokens) if prices and answers else None,
    )
