"""What a run would do, and what its answers would cost, said before anything is encoded or asked."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from xrete.chat.answers import AnswerCache, answers_file, price_of
from xrete.errors import RecordError
from xrete.evaluation.run import Plan, RunOptions
from xrete.protocols import fine_tune
from xrete.protocols.material import material
from xrete.protocols.prompt import questions
from xrete.record import read_record

if TYPE_CHECKING:
    from xrete.dataset import Dataset
    from xrete.model import ModelIdentity

BYTES_PER_TOKEN = 3
"""Of UTF-8. Tokenizers of large models put more into a token in most languages: the estimate is rather too high."""
MESSAGE_TOKENS = 8
"""That the form of a chat adds to a question."""
ANSWER_TOKENS = 8
"""Of one word, number or short list. A model that thinks before it answers uses many more."""


@dataclass(frozen=True, kw_only=True)
class Training:
    """One stage of fine-tuning.

    Attributes:
        stage: Its name.
        languages: Languages that it trains on.
        items: Items that it reads in an epoch.
        steps: Steps that it makes, if it does not end early.
    """

    stage: str
    languages: list[str]
    items: int
    steps: int


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
    training: tuple[Training, ...] = ()


def forecast(identity: ModelIdentity, dataset: Dataset, options: RunOptions) -> Forecast:
    """Says what `evaluation.run` would do with the same arguments.

    Raises:
        XreteError: the data is damaged, or the task has no such protocol.
    """
    plan = Plan.make(identity, dataset, options)
    finished = _finished(plan)
    todo = [language for language in dataset.languages if language not in finished]
    found = Forecast(
        model=identity.name,
        task=dataset.card.name,
        protocol=plan.protocol,
        source=dataset.source.kind,
        split=dataset.split,
        languages=len(dataset.languages),
        finished=len(finished),
        texts=sum(dataset.shape.count_texts(dataset[language]) for language in todo),
    )
    if plan.protocol == "fine-tune" and todo:
        seeds = fine_tune.seeds(plan.settings)
        return replace(found, seeds=seeds, training=_training(plan, seeds[0]))
    if plan.protocol == "probe" and todo:
        learnt = material(dataset, plan.settings)
        parts = (part for parts in (*learnt.parts, learnt.selection) for part in parts)
        return replace(found, texts=found.texts + sum(dataset.shape.count_texts(part.data) for part in parts))
    if identity.kind != "chat":
        return found
    asked = [question for language in todo for question in questions(dataset, language)]
    known = _known(plan, asked)
    missing = {question for question in asked if question not in known}
    tokens = sum(map(estimate_tokens, missing)), ANSWER_TOKENS * len(missing)
    return replace(
        found,
        texts=len(asked),
        answered=sum(question in known for question in asked),
        tokens_in=tokens[0],
        tokens_out=tokens[1],
        price=price_of(options.price, *tokens) if options.price else None,
    )


def estimate_tokens(question: str) -> int:
    """Returns about how many tokens a model reads with a question."""
    return MESSAGE_TOKENS + math.ceil(len(question.encode()) / BYTES_PER_TOKEN)


def _training(plan: Plan, seed: int) -> tuple[Training, ...]:
    """Returns the stages of a seed."""
    return tuple(
        Training(stage=x.stage.name, languages=x.languages, items=x.epoch_items, steps=x.steps)
        for job in fine_tune.jobs(plan.dataset, plan.settings, seed)
        for x in job.stages
    )


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
    return slot.load_outcomes()


def _known(plan: Plan, asked: Sequence[str]) -> Collection[str]:
    """Returns the questions whose answers are in the cache."""
    if not plan.options.use_cache or not answers_file().exists():
        return ()
    with AnswerCache(answers_file(), plan.identity) as cache:
        return cache.get(asked)
