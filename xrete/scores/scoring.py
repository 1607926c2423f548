"""Items to scores: languages, groups, means, intervals. Nothing here knows a model."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from xrete.record import GroupScore, Interval, LanguageScore
from xrete.scores import resampling
from xrete.shapes.contract import JointScores, UndefinedShape
from xrete.shapes.metric import Items, Metric, runs

if TYPE_CHECKING:
    from xrete.dataset import Dataset
    from xrete.task import TaskCard


@dataclass(frozen=True)
class Scores:
    """What a record says of languages and groups, and how its intervals were made."""

    languages: dict[str, LanguageScore] = field(default_factory=dict)
    groups: dict[str, GroupScore] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    method: str = resampling.STRATIFIED


@dataclass(frozen=True)
class Score:
    """A metric of one language or a macro mean, its interval (None of one item), and the shape's other metrics."""

    score: float
    ci95: Interval | None
    variants: dict[str, float]


def from_items(dataset: Dataset, items: Mapping[str, Items], seed: int) -> Scores:
    """Computes every metric of every language from its items, and macro means over groups.

    Args:
        dataset: For card, shape and number of items.
        items: By language, in the order of the record.
        seed: Of the bootstrap.
    """
    card, metrics = dataset.card, dataset.shape.metrics
    groups = {name: (present, missing) for name, present, missing in _groups(card, items)}
    # Languages of a source whose rows are of unequal number cannot hold the same items.
    parallel = card.parallel and len({len(next(iter(columns.values()))) for columns in items.values()}) == 1
    languages, means = score_items(
        metrics, card.metric, items, {name: x for name, (x, _) in groups.items()}, seed=seed, parallel=parallel
    )
    return Scores(
        {
            language: LanguageScore(
                score=x.score, n=dataset.shape.size(dataset[language]), ci95=x.ci95, variants=x.variants
            )
            for language, x in languages.items()
        },
        {
            name: GroupScore(
                score=x.score, ci95=x.ci95, languages=groups[name][0], missing=groups[name][1], variants=x.variants
            )
            for name, x in means.items()
        },
        notes=tuple(_undefined(dataset, items)),
        method=resampling.PARALLEL if parallel else resampling.STRATIFIED,
    )


def _undefined(dataset: Dataset, languages: Iterable[str]) -> Iterator[str]:
    """Names the languages whose data have no score, and says why."""
    shape = dataset.shape
    if isinstance(shape, UndefinedShape):
        for language in languages:
            if reason := shape.undefined(dataset[language]):
                yield f"{language}: {reason}"


def score_items(
    metrics: Mapping[str, Metric],
    headline: str,
    items: Mapping[str, Items],
    groups: Mapping[str, Sequence[str]],
    *,
    seed: int,
    parallel: bool,
) -> tuple[dict[str, Score], dict[str, Score]]:
    """Computes what a record says from its items alone, which is also how a record is verified.

    Args:
        metrics: The shape's.
        headline: The metric with intervals.
        items: By language.
        groups: Names to the languages of a macro mean.
        seed: Of the bootstrap.
        parallel: Row i is the same item in every language.

    Returns:
        The scores of the languages, and of the groups.
    """
    metric = metrics[headline]
    values = {x: {name: own.statistic(columns) for name, own in metrics.items()} for x, columns in items.items()}
    draws = {
        x: resampling.replicates(metric, [columns], resampling.generator(seed, x)) for x, columns in items.items()
    }

    def drawn(members: Sequence[str]) -> NDArray[np.float64] | None:
        if not all(resampling.varies(items[x]) for x in members):
            return None
        if not parallel or len(members) == 1:
            return np.asarray(np.mean([draws[x] for x in members], axis=0))
        joined, together = resampling.across(metric, {x: items[x] for x in members})
        return resampling.replicates(joined, [together], resampling.generator(seed, resampling.TOGETHER))

    means = {
        name: {x: _mean(values[member][x] for member in members) for x in metrics}
        for name, members in groups.items()
    }
    return (
        {x: _score(values[x], headline, drawn([x])) for x in items},
        {name: _score(means[name], headline, drawn(members)) for name, members in groups.items()},
    )


def run_scores(metric: Metric, items: Mapping[str, Items]) -> list[float]:
    """Returns the macro mean of each run of fine-tuning apart; one where there is one.

    Args:
        metric: The headline metric.
        items: By language.
    """
    scores = [[metric.statistic(run) for run in runs(columns)] for columns in items.values()]
    return [_mean(column) for column in zip(*scores, strict=True)]


def from_joint(dataset: Dataset, joint: JointScores) -> Scores:
    """Takes over what a joint shape found; the card's metric is the score, the others are variants.

    JSON has no infinity: what is infinite is left out, and a note says so.
    """
    metric = dataset.card.metric
    infinite = [
        f"{where}: {name} is infinite and left out"
        for where, values in (*joint.groups.items(), *joint.languages.items())
        for name, value in values.items()
        if math.isinf(value)
    ]
    languages = {
        language: LanguageScore(
            score=values[metric],
            n=dataset.shape.size(dataset[language]),
            ci95=None,
            variants=_variants(values, metric),
        )
        for language, values in joint.languages.items()
    }
    groups = {
        name: GroupScore(
            score=joint.groups[name][metric],
            ci95=None,
            languages=present,
            missing=missing,
            variants=_variants(joint.groups[name], metric),
        )
        for name, present, missing in _groups(dataset.card, languages)
        if name in joint.groups
    }
    return Scores(languages, groups, tuple(infinite))


def _groups(card: TaskCard, scored: Iterable[str]) -> Iterator[tuple[str, tuple[str, ...], tuple[str, ...]]]:
    """Yields each group that has a scored language: its name, the languages scored, and those not."""
    known = set(scored)
    for name, members in {"all": card.languages, **card.groups}.items():
        present = tuple(x for x in members if x in known)
        if present:
            yield name, present, tuple(x for x in members if x not in known)


def _score(values: Mapping[str, float], headline: str, draws: NDArray[np.float64] | None) -> Score:
    interval = None if draws is None else resampling.interval(draws)
    return Score(values[headline], interval, {x: value for x, value in values.items() if x != headline})


def _variants(values: Mapping[str, float], metric: str) -> dict[str, float]:
    return {name: value for name, value in values.items() if name != metric and math.isfinite(value)}


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))
