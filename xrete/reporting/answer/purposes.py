"""What encoders are for: which tasks stand for which purpose, and the order of all models for one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from xrete import registry
from xrete.errors import XreteError
from xrete.lazy import NDArray, np
from xrete.reporting.answer.scores import CellKey, KnownScore, Who
from xrete.scores import overall
from xrete.scores.overall import Order

Purpose = Literal["search", "alignment", "similarity", "understanding"]

PURPOSES: dict[Purpose, tuple[str, ...]] = {
    "search": ("lareqa", "mewslix"),
    "alignment": ("tatoeba", "flores", "bucc"),
    "similarity": ("multists", "qe"),
    "understanding": ("xnli", "americasnli", "pawsx", "xcopa", "multieurlex", "multiarc"),
}
"""Tasks by purpose. Geometry says why a model is good, not how good it is."""


@dataclass(frozen=True)
class Overall:
    """The order of all models for a purpose: who they are, in the order of `order.places`."""

    models: tuple[Who, ...]
    order: Order


def headline(scores: Iterable[KnownScore], purpose: Purpose | None = None) -> list[KnownScore]:
    """Keeps the scores by a task's own metric, of the tasks of one purpose, or of all purposes."""
    tasks = PURPOSES[purpose] if purpose else tuple(task for own in PURPOSES.values() for task in own)
    metrics = {task: _metric(task) for task in tasks}
    return [score for score in scores if metrics.get(score.cell.task) == score.metric]


def overall_order(scores: Iterable[KnownScore], purpose: Purpose | None = None) -> Overall:
    """Orders all models for a purpose, or for all of them, by `xrete.scores.overall`."""
    models, cells, values = matrix(headline(scores, purpose))
    return Overall(tuple(models), overall.order(values, [cell.task for cell in cells]))


def matrix(scores: Sequence[KnownScore]) -> tuple[list[Who], list[CellKey], NDArray[np.float64]]:
    """Returns models, cells and scores [models, cells]: higher is better, not-a-number where none is known."""
    models = sorted({(score.source, score.model) for score in scores})
    cells = sorted({score.cell for score in scores}, key=str)
    row, column = ({key: place for place, key in enumerate(keys)} for keys in (models, cells))
    values = np.full((len(models), len(cells)), np.nan)
    for score in scores:
        value = score.score if score.higher_is_better else -score.score
        values[row[score.source, score.model], column[score.cell]] = value
    return models, cells, values


def _metric(task: str) -> str | None:
    try:
        return registry.task(task).card.metric
    except XreteError:  # a task whose plugin does not load here
        return None
