"""Items to scores: languages, groups, means, intervals. Nothing here knows a model."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from xrete import stats
from xrete.record import GroupScore, LanguageScore
from xrete.shapes import Items, JointScores

if TYPE_CHECKING:
    from xrete.dataset import Dataset
    from xrete.task import TaskCard


@dataclass(frozen=True)
class Scores:
    """What a record says of languages and groups."""

    languages: dict[str, LanguageScore] = field(default_factory=dict)
    groups: dict[str, GroupScore] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def from_items(dataset: Dataset, items: Mapping[str, Items], seed: int) -> Scores:
    """Computes every metric of every language from its items, and macro means over groups.

    Args:
        dataset: For card, shape and number of items.
        items: By language, in the order of the record.
        seed: Of the bootstrap.
    """
    card, metrics = dataset.card, dataset.shape.metrics
    languages: dict[str, LanguageScore] = {}
    draws: dict[str, NDArray[np.float64]] = {}
    for language, columns in items.items():
        values = {name: metric.statistic(columns) for name, metric in metrics.items()}
        draws[language] = stats.replicates(metrics[card.metric], columns, stats.generator(seed, language))
        languages[language] = LanguageScore(
            score=values.pop(card.metric),
            n=dataset.shape.size(dataset[language]),
            ci95=stats.interval(draws[language]),
            variants=values,
        )
    groups = {
        name: GroupScore(
            score=_mean(languages[x].score for x in present),
            ci95=stats.mean_interval(draws[x] for x in present),
            languages=present,
            missing=missing,
            variants={
                metric: _mean(languages[x].variants[metric] for x in present)
                for metric in metrics
                if metric != card.metric
            },
        )
        for name, present, missing in _groups(card, languages)
    }
    return Scores(languages, groups)


def from_joint(dataset: Dataset, found: JointScores) -> Scores:
    """Takes over what a joint shape found; the card's metric is the score, the others are variants.

    JSON has no infinity: what is infinite is left out, and a note says so.
    """
    metric = dataset.card.metric
    infinite = [
        f"{where}: {name} is infinite and left out"
        for where, values in (*found.groups.items(), *found.languages.items())
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
        for language, values in found.languages.items()
    }
    groups = {
        name: GroupScore(
            score=found.groups[name][metric],
            ci95=None,
            languages=present,
            missing=missing,
            variants=_variants(found.groups[name], metric),
        )
        for name, present, missing in _groups(dataset.card, languages)
        if name in found.groups
    }
    return Scores(languages, groups, tuple(infinite))


def _groups(card: TaskCard, scored: Iterable[str]) -> Iterator[tuple[str, tuple[str, ...], tuple[str, ...]]]:
    """Yields each group that has a scored language: its name, the languages scored, and those not."""
    known = set(scored)
    for name, members in {"all": card.languages, **card.groups}.items():
        present = tuple(x for x in members if x in known)
        if present:
            yield name, present, tuple(x for x in members if x not in known)


def _variants(values: Mapping[str, float], metric: str) -> dict[str, float]:
    return {name: value for name, value in values.items() if name != metric and math.isfinite(value)}


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))
