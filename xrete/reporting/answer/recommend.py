"""Short lists: the models with scores in some languages for a purpose, what they rest on, and what nobody knows.

Each list is of one task, over languages that all of its models have, so that its means may be compared.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from xrete import languages, registry
from xrete.errors import RecordError
from xrete.lazy import np
from xrete.reporting.answer.families import nearest
from xrete.reporting.answer.purposes import PURPOSES, Purpose, headline
from xrete.reporting.answer.scores import MEASURED, CellKey, Facts, Known, KnownScore, Who
from xrete.reporting.tables import standings
from xrete.scores import analytic, rank_intervals
from xrete.scores.comparison import Run, Standing

LISTS_OF_A_TASK = 3
"""Where no list of a task has all the languages that were asked for."""

PERMISSIVE = frozenset(
    "0bsd apache-2.0 artistic-2.0 bsd-2-clause bsd-3-clause bsl-1.0 cc-by-4.0 cc0-1.0 isc mit unlicense".split()
)
"""Licences that allow any use with attribution, by their SPDX names."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """What was asked.

    Attributes:
        languages: Codes; empty for all.
        max_parameters: Most weights.
        max_dimension: Longest vectors.
        licence: "permissive", or a licence's name.
        open_weights: Only models whose weights can be had.
        measured: Only what was measured here.
    """

    languages: tuple[str, ...] = ()
    max_parameters: int | None = None
    max_dimension: int | None = None
    licence: str | None = None
    open_weights: bool = False
    measured: bool = False


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A model of a list.

    Attributes:
        facts: What is known of it.
        score: Its mean over the list's languages, in the unit of the task.
        ci95: The mean's 95 % interval; None where it has none.
        standing: The ranks between which it lies in the list, and its group of ties; None where nothing is known.
        revision: The revision that was scored.
        published: What others published for the same weights on the same languages, each with its source.
    """

    facts: Facts
    score: float
    ci95: tuple[float, float] | None
    standing: Standing | None
    revision: str | None
    published: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, kw_only=True)
class ShortList:
    """Models of one task that have the same languages, the best first.

    Attributes:
        task: The task.
        protocol: How models were put to it.
        split: The split that was scored.
        metric: The metric.
        languages: The languages.
        n: Sentences, pairs or questions in all of them; None where nobody says it.
        candidates: The models.
        paired: Whether ranks are by the outcomes of the same sentences, else by each model's own interval.
    """

    task: str
    protocol: str
    split: str | None
    metric: str
    languages: tuple[str, ...]
    n: int | None
    candidates: tuple[Candidate, ...]
    paired: bool

    @property
    def best(self) -> tuple[Candidate, ...]:
        """Those that may be the best of the list."""
        return tuple(x for x in self.candidates if x.standing and x.standing.best == 1)

    @property
    def smallest(self) -> Candidate | None:
        """The smallest of those that may be the best and say their size."""
        sized = [x for x in self.best if x.facts.parameters]
        return min(sized, key=lambda x: x.facts.parameters or 0, default=None)


@dataclass(frozen=True, kw_only=True)
class Missing:
    """A language that no model has a score in.

    Attributes:
        language: The language, as it was asked for.
        relatives: The nearest languages with scores for the purpose.
        tasks: Tasks of the purpose that could score it.
    """

    language: str
    relatives: tuple[str, ...]
    tasks: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What is known for one purpose.

    Attributes:
        purpose: The purpose.
        lists: The short lists, of most models first.
        missing: Languages that nobody has a score in.
        unknown: Models that were left out as nobody says what was asked of them, by what it is.
    """

    purpose: Purpose
    lists: tuple[ShortList, ...]
    missing: tuple[Missing, ...]
    unknown: Mapping[str, int] = field(default_factory=dict)


def recommend(known: Known, purpose: Purpose, question: Question) -> Answer:
    """Answers a question for one purpose."""
    scores = [x for x in headline(known.scores, purpose) if not question.measured or x.source == MEASURED]
    asked = [x for x in scores if _is_asked(x.cell.language, question.languages)]
    models = {(x.source, x.model) for x in asked}
    allowed, unknown = _allowed(
        {who: known.facts.get(who, Facts(model=who[1], source=who[0])) for who in models}, question
    )
    lists = [
        made
        for cells in _by_task(asked).values()
        for made in _lists([x for x in cells if (x.source, x.model) in allowed], allowed, known, question)
    ]
    lists.sort(key=lambda x: (-len(x.candidates), x.task, x.languages))
    scored = {score.cell.language for score in asked}
    parts = {part for score in scores for part in _parts(score.cell.language)}
    missing = [
        Missing(language=code, relatives=tuple(nearest(code, parts)), tasks=_tasks_with(code, purpose))
        for code in question.languages
        if not any(languages.same_language(language, code) for language in scored)
    ]
    return Answer(purpose=purpose, lists=tuple(lists), missing=tuple(missing), unknown=unknown)


def _parts(language: str) -> list[str]:
    return language.split("-")


def _is_asked(language: str, asked: Sequence[str]) -> bool:
    """Returns whether a task's language was asked for; of a pair both must have been, but for English."""
    if not asked:
        return True
    parts = _parts(language)
    wanted = [any(languages.same_language(part, code) for code in asked) for part in parts]
    english = [len(parts) > 1 and languages.standard(part) == "en" for part in parts]
    return any(wanted) and all(map(max, wanted, english))


def _allowed(models: Mapping[Who, Facts], question: Question) -> tuple[dict[Who, Facts], dict[str, int]]:
    """Keeps the models that pass the filters; counts those of which nobody says whether they do."""
    licences = PERMISSIVE if question.licence == "permissive" else {(question.licence or "").casefold()}
    filters: list[tuple[str, bool, Callable[[Facts], bool | None]]] = [
        ("size", question.max_parameters is not None, lambda x: _at_most(x.parameters, question.max_parameters)),
        ("dimension", question.max_dimension is not None, lambda x: _at_most(x.dimension, question.max_dimension)),
        ("licence", question.licence is not None, lambda x: _is_among(x.licence, licences)),
        ("weights", question.open_weights, lambda x: x.open_weights),
    ]
    allowed = dict(models)
    unknown: dict[str, int] = defaultdict(int)
    for name, is_asked, passes in filters:
        if not is_asked:
            continue
        for who, facts in list(allowed.items()):
            passed = passes(facts)
            unknown[name] += passed is None
            if not passed:
                del allowed[who]
    return allowed, {name: count for name, count in unknown.items() if count}


def _at_most(value: int | None, limit: int | None) -> bool | None:
    return None if value is None or limit is None else value <= limit


def _is_among(licence: str | None, licences: Collection[str]) -> bool | None:
    return None if licence is None else licence.casefold() in licences


def _by_task(scores: Iterable[KnownScore]) -> dict[tuple[str, str, str | None], list[KnownScore]]:
    groups = defaultdict(list)
    for score in scores:
        groups[score.cell.task, score.cell.protocol, score.cell.split].append(score)
    return groups


def _lists(
    scores: list[KnownScore], facts: Mapping[Who, Facts], known: Known, question: Question
) -> Iterator[ShortList]:
    """Yields lists of one task, each over languages that the one before has not."""
    by_model: dict[Who, dict[str, KnownScore]] = defaultdict(dict)
    for score in scores:
        by_model[score.source, score.model][score.cell.language] = score
    left = {score.cell.language for score in scores}
    for _ in range(LISTS_OF_A_TASK if question.languages else 1):
        chosen = _common(by_model, left)
        if not chosen:
            return
        members = {who: own for who, own in by_model.items() if chosen <= own.keys()}
        yield _short_list(sorted(chosen), members, facts, known)
        left -= chosen


def _common(by_model: Mapping[Who, Mapping[str, KnownScore]], left: set[str]) -> frozenset[str]:
    """Returns the languages whose number, times that of the models that have them all, is the largest."""
    sets = {frozenset(own.keys() & left) for own in by_model.values()} - {frozenset()}

    def weight(chosen: frozenset[str]) -> tuple[int, int, list[str]]:
        having = sum(chosen <= own.keys() for own in by_model.values())
        return having * len(chosen), len(chosen), sorted(chosen)

    return max(sets, key=weight, default=frozenset())


def _short_list(
    chosen: list[str], members: Mapping[Who, Mapping[str, KnownScore]], facts: Mapping[Who, Facts], known: Known
) -> ShortList:
    everyone = {who: [own[language] for language in chosen] for who, own in members.items()}
    twins = _twins(everyone, facts)
    twice = {twin for own in twins.values() for twin in own}
    parts = {who: own for who, own in everyone.items() if who not in twice}
    first = next(iter(parts.values()))[0]
    together = registry.task(first.cell.task).card.parallel
    scores = {who: float(np.mean([x.score for x in own])) for who, own in everyone.items()}
    intervals = {who: _interval(own, together) for who, own in parts.items()}
    order = sorted(parts, key=lambda who: (-scores[who] if first.higher_is_better else scores[who], who))
    paired = _paired(order, first, chosen, known)
    places = paired or _unpaired(order, scores, intervals, first.higher_is_better)
    candidates = [
        Candidate(
            facts=facts[who],
            score=scores[who],
            ci95=intervals[who],
            standing=places[row] if places else None,
            revision=parts[who][0].revision,
            published=tuple((twin[0], scores[twin]) for twin in twins.get(who, ())),
        )
        for row, who in enumerate(order)
    ]
    counts = [x.n for x in parts[order[0]]]
    cell: CellKey = first.cell
    return ShortList(
        task=cell.task,
        protocol=cell.protocol,
        split=cell.split,
        metric=first.metric,
        languages=tuple(chosen),
        n=None if None in counts else sum(filter(None, counts)),
        candidates=tuple(candidates),
        paired=paired is not None,
    )


def _twins(members: Iterable[Who], facts: Mapping[Who, Facts]) -> dict[Who, list[Who]]:
    """Returns under whom others published the weights of models that were measured here: a model has one row."""
    by_name: dict[str, list[Who]] = defaultdict(list)
    for source, model in members:
        if source != MEASURED:
            by_name[model].append((source, model))
    names = {who: facts[who].same_as for who in members if who[0] == MEASURED}
    return {who: by_name[name] for who, name in names.items() if name in by_name}


def _interval(scores: Sequence[KnownScore], together: bool) -> tuple[float, float] | None:
    parts = [(x.low, x.high) if x.low is not None and x.high is not None else None for x in scores]
    return analytic.of_mean([x.score for x in scores], parts, together=together)


def _paired(order: Sequence[Who], first: KnownScore, chosen: Sequence[str], known: Known) -> list[Standing] | None:
    """Returns standings by the outcomes of the same sentences, where all models were measured here on one data."""
    if len(order) < 2 or any(source != MEASURED for source, _ in order):
        return None
    entries = [known.records[model, first.cell.task, first.cell.protocol] for _, model in order]
    if any(entry.path is None for entry in entries) or len({x.record.data.fingerprint for x in entries}) > 1:
        return None
    runs = [Run(entry.path, entry.record) for entry in entries if entry.path]
    try:
        return standings.standings(runs, first.metric, chosen, higher_is_better=first.higher_is_better)
    except RecordError:  # items that are not beside their record: 'xrete verify' says more
        return None


def _unpaired(
    order: Sequence[Who],
    scores: Mapping[Who, float],
    intervals: Mapping[Who, tuple[float, float] | None],
    higher_is_better: bool,
) -> list[Standing] | None:
    """Returns standings by each model's own interval, which is cautious."""
    known = [interval for who in order if (interval := intervals[who]) is not None]
    if len(known) < len(order):
        return None
    better = analytic.significantly_better([scores[who] for who in order], known, higher_is_better=higher_is_better)
    groups = rank_intervals.tie_groups(better)
    return [
        Standing(*rank, group) for rank, group in zip(rank_intervals.rank_intervals(better), groups, strict=True)
    ]


def _tasks_with(code: str, purpose: Purpose) -> tuple[str, ...]:
    """Returns the tasks of a purpose that have a language."""
    return tuple(
        task
        for task in PURPOSES[purpose]
        if any(_is_asked(language, [code]) for language in registry.task(task).card.languages)
    )
