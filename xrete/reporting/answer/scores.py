"""Every known score of a model in a language, measured here or published, in one form."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from xrete import registry
from xrete.errors import XreteError
from xrete.published.numbers import ModelFacts, Publication, PublishedNumber, speaking
from xrete.record import Record
from xrete.reporting.collect import Entry
from xrete.reporting.leaderboard import ALL, Measure, Subject
from xrete.reporting.published import repository
from xrete.reporting.tables.record_index import RecordIndex
from xrete.scores import analytic

MEASURED = "measured"
"""The source of what this code measured."""

TASK_NAMES = {
    "tatoeba": ("Tatoeba", "TatoebaBitextMining"),
    "flores": ("FloresBitextMining",),
    "multists": ("STS17",),
}
"""How MTEB calls the data of tasks, in lists of what a model was trained on."""


class CellKey(NamedTuple):
    """What is scored: numbers of one cell may be compared."""

    task: str
    protocol: str
    split: str | None
    language: str


class KnownScore(NamedTuple):
    """One number of a model in a language.

    Attributes:
        model: The model, as its source or its records name it.
        cell: What was scored.
        metric: The task's headline metric, or another one that is published.
        score: The number, in XRETE's unit.
        low: Lower end of its 95 % interval; None where it has none.
        high: The upper end.
        n: Sentences, pairs or questions that it rests on.
        source: "measured", or who published it.
        revision: The model's revision.
        higher_is_better: Whether a higher number is better.
    """

    model: str
    cell: CellKey
    metric: str
    score: float
    low: float | None
    high: float | None
    n: int | None
    source: str
    revision: str | None
    higher_is_better: bool


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is known of a model that has scores; None where nobody says it.

    Attributes:
        model: The model.
        source: Whose scores they are.
        parameters: Number of weights.
        dimension: Length of its vectors.
        max_tokens: Tokens that it reads.
        licence: Its licence.
        open_weights: Whether its weights can be had.
        trained_on: Tasks here whose data it was trained on; None where nobody says it.
        speed: Sentences that it encoded in a second, with the device, where it was measured.
        same_as: Of a model that was measured here, the name by which others' results have the same weights.
    """

    model: str
    source: str
    parameters: int | None = None
    dimension: int | None = None
    max_tokens: int | None = None
    licence: str | None = None
    open_weights: bool | None = None
    trained_on: frozenset[str] | None = None
    speed: tuple[float, str] | None = None
    same_as: str | None = None


_SHARED = ("parameters", "dimension", "max_tokens", "licence", "open_weights")
"""What `Facts` takes from a source as it is."""

Who = tuple[str, str]
"""Source and model."""


@dataclass(frozen=True)
class Known:
    """All that is known.

    Attributes:
        scores: The scores, of languages only.
        facts: What is known of models, by source and model.
        records: The records that speak for measured models, by model, task and protocol.
    """

    scores: tuple[KnownScore, ...]
    facts: Mapping[Who, Facts]
    records: Mapping[tuple[str, str, str], Entry]


def known(entries: Sequence[Entry], publications: Iterable[Publication]) -> Known:
    """Gathers scores of records and of publications.

    Records of the mini sample, of trial runs and unfinished ones are left out. Of several records or revisions of a
    model the one with the most languages speaks for it. Of a number that two imports have, the later one's counts.
    """
    real = [entry for entry in entries if not entry.is_mini]
    index = RecordIndex(real)
    records = dict(_records(index))
    sources: dict[str, list[Publication]] = defaultdict(list)
    for publication in publications:
        sources[publication.source].append(publication)
    scores = [score for (model, _, _), entry in records.items() for score in _measured(model, entry.record)]
    by_model: dict[str, list[Record]] = defaultdict(list)
    for (model, _, _), entry in records.items():
        by_model[model].append(entry.record)
    facts = {(MEASURED, x.label): _measured_facts(x, by_model[x.label]) for x in index.subjects}
    for source, parts in sources.items():
        numbers = speaking(parts)
        scores += _published(numbers)
        facts |= {(source, own.model): own for own in _published_facts(source, numbers, parts)}
    return Known(tuple(scores), facts, records)


def _records(index: RecordIndex) -> Iterator[tuple[tuple[str, str, str], Entry]]:
    metrics: dict[tuple[str, str], str] = {}
    for subject in index.subjects:
        for task in sorted(index.tasks):
            for protocol in sorted(index.protocols(subject, task)[0]):
                if (task, protocol) not in metrics:
                    metrics[task, protocol] = index.metrics(task, protocol, None)[0]
                measure = Measure(task=task, protocol=protocol, metric=metrics[task, protocol], group=ALL)
                if ranked := index.ranked(subject, measure):
                    yield (subject.label, task, protocol), ranked[0]


def _measured(model: str, record: Record) -> Iterator[KnownScore]:
    for language, score in record.languages.items():
        interval = score.ci95
        if interval is None or interval[0] == interval[1]:  # a bootstrap sees no chance where all items are right
            interval = analytic.interval(record.metric, score.score, score.n)
        low, high = interval or (None, None)
        yield KnownScore(
            model=model,
            cell=CellKey(record.task, record.protocol, record.data.split, language),
            metric=record.metric,
            score=score.score,
            low=low,
            high=high,
            n=score.n,
            source=MEASURED,
            revision=record.model.revision,
            higher_is_better=record.higher_is_better,
        )


def _published(numbers: Iterable[PublishedNumber]) -> Iterator[KnownScore]:
    upwards: dict[str, bool] = {}
    for number in numbers:
        task = number.task
        if task not in upwards:
            upwards[task] = registry.task(task).card.higher_is_better
        low, high = number.ci95 or (None, None)
        yield KnownScore(
            model=number.model,
            cell=CellKey(task, number.protocol, number.split, number.language or ALL),
            metric=number.metric,
            score=number.value,
            low=low,
            high=high,
            n=number.n,
            source=number.source,
            revision=number.revision,
            higher_is_better=upwards[task],
        )


def _published_facts(
    source: str, numbers: Iterable[PublishedNumber], publications: Iterable[Publication]
) -> Iterator[Facts]:
    """Yields what is known of each model: of the revision that has numbers, else of another one."""
    facts = {key: own for publication in publications for key, own in publication.facts.items()}
    scored = {(number.model, number.revision) for number in numbers}
    revisions: dict[str, list[ModelFacts]] = defaultdict(list)
    for key, own in sorted(facts.items(), key=lambda x: x[0] not in scored):
        revisions[key[0]].append(own)
    for model, all_of in revisions.items():
        names = _first(all_of, "trained_on")
        trained = None if names is None else frozenset(_tasks(names.split()))
        parts = {name: _first(all_of, name) for name in _SHARED}
        yield Facts(model=model, source=source, trained_on=trained, **parts)


def _first(facts: Iterable[ModelFacts], name: str) -> Any:
    return next((value for own in facts if (value := getattr(own, name)) is not None), None)


def _tasks(names: Sequence[str]) -> Iterator[str]:
    return (task for task, known_as in TASK_NAMES.items() if set(known_as) & set(names))


def _measured_facts(subject: Subject, own: Sequence[Record]) -> Facts:
    name = subject.model.partition(":")[0]
    try:
        card = registry.model(name).card if name in registry.names("models") else None
    except XreteError:  # a plugin that does not load here
        card = None
    trained = card.trained_on if card else None
    part = own[0].model if own else None
    return Facts(
        model=subject.label,
        source=MEASURED,
        parameters=(part and part.params) or (card and card.parameters) or None,
        dimension=(part and part.dim) or (card and card.dimension) or None,
        max_tokens=part.max_length if part else None,
        licence=card.licence if card else None,
        open_weights=any(record.protocol != "prompt" for record in own) or None,
        trained_on=None if trained is None else frozenset(trained),
        speed=max(_speeds(own), default=None),
        same_as=None if subject.variant else repository(subject.model),
    )


def _speeds(records: Iterable[Record]) -> Iterator[tuple[float, str]]:
    return (
        (record.cost.sentences_per_second, record.environment.device)
        for record in records
        if record.cost.sentences_per_second
    )
