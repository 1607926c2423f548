"""Which measures stand in a table's columns."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence

from xrete.reporting.leaderboard import ALL, Measure, Reference
from xrete.reporting.tables.record_index import GEOMETRY, RecordIndex

ZERO_SHOT = "zero-shot"
PROTOCOLS = ("fine-tune", "probe", ZERO_SHOT, "prompt")
"""In the order in which the main table prefers them."""

TASKS = (
    *("xnli", "americasnli", "multists", "qe", "lareqa", "mewslix", "bucc", "tatoeba"),
    *("xcopa", "multieurlex", "multiarc", "pawsx", "flores", "flores-geometry"),
)
"""The paper's tasks in the order of its Table 1; others follow by name."""

ZERO_SHOT_TASKS = ("multists", "qe", "lareqa", "mewslix", "bucc", "tatoeba")
LONG_TAIL_TASKS = ("flores", "tatoeba")
LONG_TAIL_GROUPS = ("head", "long-tail")
GEOMETRY_TASK = "flores-geometry"
GEOMETRY_GROUPS = ("head", "long-tail", ALL)
VIEW_TASKS = {"zero-shot": ZERO_SHOT_TASKS, "long-tail": LONG_TAIL_TASKS, "geometry": (GEOMETRY_TASK,)}

Pair = tuple[str, str]
"""A task and a protocol."""


def of_table(
    table: str, index: RecordIndex, others: Sequence[Reference], metric: str | None, *, every: bool
) -> list[Measure]:
    """Returns the measures across a table of models: what is measured here, and what others have numbers of.

    Args:
        table: Its name.
        index: The records.
        others: Published numbers beside them.
        metric: In place of the headline metrics.
        every: Whether the main table shows all protocols of a task, not only those that speak for some model.
    """
    if table in _LAYOUTS:
        return _LAYOUTS[table](index, others, metric)
    return _main(index, others, metric, every=every)


def task_order(task: str) -> tuple[int, str]:
    """Sorts tasks as the paper does."""
    return (TASKS.index(task) if task in TASKS else len(TASKS), task)


def protocol_order(protocol: str) -> tuple[int, str]:
    """Sorts protocols as the main table prefers them."""
    return (PROTOCOLS.index(protocol) if protocol in PROTOCOLS else len(PROTOCOLS), protocol)


def _pairs(index: RecordIndex, *, every: bool) -> set[Pair]:
    """Returns tasks with all their protocols, or those that speak for some model: its first usable and its first.

    The first one of any status stands too, so that a fine-tuning that failed does not vanish behind a zero-shot
    score.
    """
    wanted: set[Pair] = set()
    for subject, task in itertools.product(index.subjects, index.tasks):
        for protocols in index.protocols(subject, task):
            shown = sorted(protocols, key=protocol_order)[: None if every else 1]
            wanted.update((task, protocol) for protocol in shown)
    return wanted


def _main(index: RecordIndex, others: Sequence[Reference], metric: str | None, *, every: bool) -> list[Measure]:
    pairs = _pairs(index, every=every) | {pair for other in others for pair in other.pairs}
    ordered = sorted(pairs, key=lambda pair: (task_order(pair[0]), protocol_order(pair[1])))
    return _measures(index, others, ordered, (ALL,), metric)


def _zero_shot(index: RecordIndex, others: Sequence[Reference], metric: str | None) -> list[Measure]:
    return _measures(index, others, [(task, ZERO_SHOT) for task in ZERO_SHOT_TASKS], (ALL,), metric)


def _long_tail(index: RecordIndex, others: Sequence[Reference], metric: str | None) -> list[Measure]:
    return _measures(index, others, [(task, ZERO_SHOT) for task in LONG_TAIL_TASKS], LONG_TAIL_GROUPS, metric)


def _geometry(index: RecordIndex, others: Sequence[Reference], metric: str | None) -> list[Measure]:
    if GEOMETRY_TASK not in index.tasks and not others:
        return []
    return [
        Measure(task=GEOMETRY_TASK, protocol=ZERO_SHOT, metric=name, group=group)
        for group in GEOMETRY_GROUPS
        for name in ((metric,) if metric else GEOMETRY)
    ]


_LAYOUTS: dict[str, Callable[[RecordIndex, Sequence[Reference], str | None], list[Measure]]] = {
    "zero-shot": _zero_shot,
    "long-tail": _long_tail,
    "geometry": _geometry,
}


def _measures(
    index: RecordIndex,
    others: Sequence[Reference],
    pairs: Iterable[Pair],
    groups: Sequence[str],
    metric: str | None,
) -> list[Measure]:
    return [
        Measure(task=task, protocol=protocol, metric=name, group=group)
        for task, protocol in pairs
        for name in _metrics(index, others, task, protocol, metric)
        for group in groups
    ]


def _metrics(
    index: RecordIndex, others: Sequence[Reference], task: str, protocol: str, asked: str | None
) -> Iterable[str]:
    published = [name for x in others for name in x.metrics(task, protocol) if asked in (None, name)]
    return dict.fromkeys([*index.metrics(task, protocol, asked), *published])
