"""Models on the same items: differences of two with what chance explains of them, and ranks of many.

Two records are compared on the languages of both whose data is the same, item by item. What sets them apart
otherwise (another split, other texts, a language that one of them lacks) is named and never averaged over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from xrete import registry
from xrete.errors import RecordError, XreteError
from xrete.lazy import NDArray, np
from xrete.record import Interval, ItemsPart, Record
from xrete.scores import rank_intervals, resampling
from xrete.shapes import load_shape
from xrete.shapes.contract import JointShape, PairableShape, Shape
from xrete.shapes.metric import Items, Metric
from xrete.store import read_items

SEED = 42
"""Of the resampling: the same records always give the same comparison."""

SIGNIFICANT = 0.05
"""A corrected p-value below this says that a difference is there."""

KEPT = 32
"""Records whose items stay in memory, a few megabytes each."""

Side = Literal["first", "second"]
LanguageItems = Mapping[str, Items]
_known: dict[tuple[Path, ItemsPart | None], LanguageItems] = {}


@dataclass(frozen=True)
class Run:
    """A record, and its file, beside which the items lie."""

    path: Path
    record: Record


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Two models on the items of one language, or on the macro mean over languages.

    Attributes:
        first: Score of the first model.
        second: Score of the second.
        ci95: 95 % interval of the first less the second, by the paired bootstrap; None of one item.
        p: Two-sided p-value of the paired permutation test.
        corrected: The same by Holm's correction: over the languages of a task, or over tasks for their means.
        better: Which model is better, where that is known beyond chance.
    """

    first: float
    second: float
    ci95: Interval | None
    p: float
    corrected: float
    better: Side | None = None

    @property
    def difference(self) -> float:
        """The first less the second."""
        return self.first - self.second


@dataclass(frozen=True, kw_only=True)
class TaskDifference:
    """Two models on one task.

    Attributes:
        task: The task.
        protocol: The protocol of both, or "first / second".
        metric: What is compared.
        higher_is_better: None where nobody says it; then no model is better.
        method: How items were drawn.
        mean: The macro mean over `languages`.
        languages: Each language that both were scored on.
        left_out: The other languages, and why they are none of these.
    """

    task: str
    protocol: str
    metric: str
    higher_is_better: bool | None
    method: str
    mean: Difference
    languages: Mapping[str, Difference]
    left_out: Mapping[str, str]


@dataclass(frozen=True)
class Standing:
    """What a model's place in a leaderboard is known to be.

    Attributes:
        best: The best rank that it may have, from 1.
        worst: The worst.
        group: Its group of ties, from 1: those of an earlier group are better, those of its own cannot be ordered.
    """

    best: int
    worst: int
    group: int


def compare_task(first: Run, second: Run, metric: str, higher_is_better: bool | None) -> TaskDifference:
    """Compares two models on one task, on the languages of both that have the same items.

    Args:
        first: Record of the first model.
        second: Record of the second, of the same task.
        metric: A metric that both hold.
        higher_is_better: Its direction, None where nobody says it.

    Returns:
        The differences. The p-value of the mean is corrected for one task; `corrected_over_tasks` does the rest.

    Raises:
        XreteError: they have no language with the same data; the sentence says how their data differs.
        RecordError: a record has no items, or its file is missing or another one.
    """
    record = first.record
    shape = load_shape(record.shape)
    if isinstance(shape, JointShape):
        raise XreteError("its scores are of all languages together: there are no items to compare by")
    own = shape.metrics[metric]
    languages, left_out = _common_languages(record, second.record)
    items = [_items(run, own) for run in (first, second)]
    models, unequal = _paired(shape, items, languages)
    if not models[0]:
        raise XreteError(f"no language of {record.task} has the same items in {first.path} and {second.path}")
    parallel = _is_parallel(record, models[0])
    apart = _resampled(resampling.strata(own, models, parallel=False))
    whole = _resampled(resampling.strata(own, models, parallel=True)) if parallel else apart
    scores = {language: [own.statistic(x[language]) for x in items] for language in models[0]}
    means = np.mean(list(scores.values()), axis=0)
    return TaskDifference(
        task=record.task,
        protocol=" / ".join(dict.fromkeys((record.protocol, second.record.protocol))),
        metric=metric,
        higher_is_better=higher_is_better,
        method=resampling.PARALLEL if parallel else resampling.STRATIFIED,
        mean=_corrected([_difference(means, list(whole.values()))], higher_is_better)[0],
        languages=dict(
            zip(
                scores,
                _corrected([_difference(scores[x], [apart[x]]) for x in scores], higher_is_better),
                strict=True,
            )
        ),
        left_out=left_out | unequal,
    )


def corrected_over_tasks(tasks: Sequence[TaskDifference]) -> list[TaskDifference]:
    """Corrects the p-values of the tasks' means for the number of tasks (Holm)."""
    corrected = resampling.holm([task.mean.p for task in tasks])
    return [
        replace(task, mean=_decided(task.mean, p, task.higher_is_better))
        for task, p in zip(tasks, corrected, strict=True)
    ]


def standings(
    runs: Sequence[Run], metric: str, languages: Sequence[str], *, higher_is_better: bool
) -> list[Standing] | None:
    """Returns rank intervals and groups of ties for the models of one column of a leaderboard.

    Args:
        runs: One record for each model, all of one task, protocol and data.
        metric: What they are ranked by.
        languages: What the macro mean is over; every record has them.
        higher_is_better: The direction of the metric.

    Returns:
        In the order of `runs`; None where a record has no items, they cannot be paired, or a language has only one,
        and nothing is known.

    Raises:
        RecordError: items are missing or are not the ones that the record was written with.
    """
    if any(run.record.items is None for run in runs):
        return None
    shape = load_shape(runs[0].record.shape)
    own = shape.metrics[metric]
    items = [_items(run, own) for run in runs]
    models, unequal = _paired(shape, items, languages)
    if unequal or not all(map(resampling.varies, models[0].values())):
        return None
    drawn = [
        resampling.replicates(of_stratum, together, resampling.generator(SEED, name))
        for name, (of_stratum, together) in resampling.strata(
            own, models, parallel=_is_parallel(runs[0].record, models[0])
        ).items()
    ]
    scores = np.array([np.mean([own.statistic(x[language]) for language in languages]) for x in items])
    better = rank_intervals.significantly_better(scores, np.mean(drawn, axis=0), higher_is_better=higher_is_better)
    groups = rank_intervals.tie_groups(better)
    return [
        Standing(*rank, group) for rank, group in zip(rank_intervals.rank_intervals(better), groups, strict=True)
    ]


def _items(run: Run, metric: Metric) -> LanguageItems:
    """Reads the items of a record, which tables of languages ask for again and again.

    Raises:
        RecordError: they are missing or damaged, lack a language of the record, or are not what the metric is of.
    """
    key = (run.path, run.record.items)
    if key not in _known:
        _known[key] = read_items(run.path, run.record)
        while len(_known) > KEPT:
            del _known[next(iter(_known))]
    items = _known[key]
    if missing := [language for language in run.record.languages if language not in items]:
        raise RecordError(f"the items of {run.path} lack {missing[0]}; run it again with --force")
    try:
        metric.statistic(next(iter(items.values())))  # the columns are the same in every language
    except (ArithmeticError, IndexError, KeyError, TypeError, ValueError):
        columns = ", ".join(next(iter(items.values())))
        raise RecordError(
            f"the items of {run.path} are not those of {run.record.task}: they hold {columns}; "
            "run it again with --force"
        ) from None
    return items


def _common_languages(first: Record, second: Record) -> tuple[list[str], dict[str, str]]:
    """Returns the languages of both with the same data, and why the others are none of these."""
    common = [language for language in first.languages if language in second.languages]
    left_out = {language: "scored by the first only" for language in first.languages if language not in common}
    left_out |= {language: "scored by the second only" for language in second.languages if language not in common}
    if first.data.fingerprint == second.data.fingerprint:
        return common, left_out
    data = [first.data, second.data]
    where = f"{first.task}, {first.protocol}"
    both = " and ".join(f"{x.split} of {x.source} (fingerprint {x.fingerprint[:8]})" for x in data)
    if not all(x.languages for x in data):
        unequal = f" in {len(first.languages)} and {len(second.languages)} languages" if left_out else ""
        raise XreteError(
            f"{where}: scored on different data{unequal}, {both}, and the records do not say which languages "
            f"share it; run one of them again on the data of the other"
        )
    same = [x for x in common if first.data.languages.get(x) == second.data.languages.get(x)]
    if not same:
        raise XreteError(
            f"{where}: scored on different data, {both}; run one of them again on the data of the other"
        )
    return same, left_out | {x: "scored on different data" for x in common if x not in same}


def _paired(
    shape: Shape, items: Sequence[LanguageItems], languages: Sequence[str]
) -> tuple[list[dict[str, Items]], dict[str, str]]:
    """Brings the items of all models to the same rows, by language; names the languages where they are not."""
    models: list[dict[str, Items]] = [{} for _ in items]
    unequal: dict[str, str] = {}
    for language in languages:
        columns = [x[language] for x in items]
        if isinstance(shape, PairableShape):
            columns = shape.paired(columns)
        sizes = [len(next(iter(x.values()))) for x in columns]
        if len(set(sizes)) > 1:
            unequal[language] = f"unequal numbers of items: {' and '.join(map(str, sizes))}"
            continue
        for model, own in zip(models, columns, strict=True):
            model[language] = own
    return models, unequal


def _is_parallel(record: Record, items: LanguageItems) -> bool:
    """Returns whether row i is the same item in every language, by the record's own words or the task's card."""
    try:
        parallel = record.interval.method == resampling.PARALLEL or registry.task(record.task).card.parallel
    except XreteError:  # a task that is not installed here
        parallel = False
    return parallel and len({len(next(iter(columns.values()))) for columns in items.values()}) == 1


@dataclass(frozen=True)
class _Resampled:
    """Differences of two models in one stratum: bootstrap replicates (None of one item), and by chance."""

    drawn: NDArray[np.float64] | None
    by_chance: NDArray[np.float64]


def _resampled(strata: resampling.Strata) -> dict[str, _Resampled]:
    differences = {}
    for name, (metric, (first, second)) in strata.items():
        by_chance = resampling.differences_by_chance(metric, first, second, resampling.generator(SEED, name))
        drawn = None
        if resampling.varies(first):
            own, other = resampling.replicates(metric, [first, second], resampling.generator(SEED, name))
            drawn = own - other
        differences[name] = _Resampled(drawn, by_chance)
    return differences


def _difference(scores: Sequence[float] | NDArray[np.float64], strata: Sequence[_Resampled]) -> Difference:
    first, second = map(float, scores)
    p = resampling.p_value(first - second, np.mean([x.by_chance for x in strata], axis=0))
    drawn = [x.drawn for x in strata if x.drawn is not None]
    interval = resampling.interval(np.mean(drawn, axis=0)) if len(drawn) == len(strata) else None
    return Difference(first=first, second=second, ci95=interval, p=p, corrected=p)


def _corrected(differences: Sequence[Difference], higher_is_better: bool | None) -> list[Difference]:
    corrected = resampling.holm([x.p for x in differences])
    return [_decided(x, p, higher_is_better) for x, p in zip(differences, corrected, strict=True)]


def _decided(difference: Difference, corrected: float, higher_is_better: bool | None) -> Difference:
    better: Side | None = None
    if corrected < SIGNIFICANT and higher_is_better is not None:
        better = "first" if (difference.difference > 0) == higher_is_better else "second"
    return replace(difference, corrected=corrected, better=better)
