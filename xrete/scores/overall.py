"""An order of many models over many tasks and languages: mean win rate and Borda, with what the data support.

A cell is one task in one language. No mean over tasks is taken, whose units and difficulties differ: models are
compared cell by cell, on those that both have.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from xrete.lazy import NDArray, np
from xrete.scores import rank_intervals
from xrete.scores.analytic import NORMAL
from xrete.scores.comparison import Standing
from xrete.scores.resampling import generator
from xrete.shapes.similarity import average_ranks

RESAMPLES = 1000
SEED = 42
FEWEST_CELLS = 5
"""A model with fewer cells has no place: nobody knows what it would do on others."""

FEWEST_TASKS = 5
"""With fewer tasks, how much a model differs between tasks cannot be estimated."""


@dataclass(frozen=True)
class Place:
    """Where a model stands.

    Attributes:
        win_rate: The share of the cells, in common with another model, on which it is better; mean over the others.
        ci95: Its 95 % interval.
        standing: The ranks between which it lies, and its group of ties.
        borda: Its rank by MTEB's Borda count.
        cells: Number of cells that it has.
    """

    win_rate: float
    ci95: tuple[float, float]
    standing: Standing
    borda: int
    cells: int


@dataclass(frozen=True)
class Order:
    """The models in one order.

    Attributes:
        places: One for each model, None for those with too few cells.
        cells: Number of cells, of those that two models have.
        drawn: What the intervals were drawn over.
    """

    places: tuple[Place | None, ...]
    cells: int
    drawn: str


def order(values: NDArray[np.float64], tasks: Sequence[str]) -> Order:
    """Orders models by their mean win rate.

    Tasks are drawn with all their languages, where most models have `FEWEST_TASKS`; those with fewer have no place
    then. Else languages are drawn, those of each task apart, and the order is about these tasks alone.

    Args:
        values: Scores, higher is better, not-a-number where a model has none [models, cells].
        tasks: The task of each cell [cells].
    """
    shared = np.isfinite(values).sum(axis=0) > 1
    values, tasks = values[:, shared], [task for task, kept in zip(tasks, shared, strict=True) if kept]
    names = list(dict.fromkeys(tasks))
    members = np.array([names.index(task) for task in tasks], dtype=np.int64)
    known = np.isfinite(values)
    counts = known.sum(axis=1)
    breadth = np.array([len(np.unique(members[row])) for row in known])
    enough = counts >= FEWEST_CELLS
    drawn = "tasks" if enough.any() and np.median(breadth[enough]) >= FEWEST_TASKS else "languages"
    rows = np.flatnonzero(enough & (breadth >= FEWEST_TASKS) if drawn == "tasks" else enough)
    places: list[Place | None] = [None] * len(values)
    if len(rows) > 1:
        own = values[rows]
        rates, draws = _drawn_win_rates(own, _weights(members, drawn), correction_of(members, drawn))
        better = rank_intervals.significantly_better(rates, draws)
        ranks, groups = rank_intervals.rank_intervals(better), rank_intervals.tie_groups(better)
        low, high = _limits(rates, draws.std(axis=1), own.shape[1] * (len(rows) - 1))
        count = borda(task_means(own, members))
        for place, row in enumerate(rows):
            places[row] = Place(
                win_rate=float(rates[place]),
                ci95=(float(low[place]), float(high[place])),
                standing=Standing(*ranks[place], groups[place]),
                borda=int(count[place]),
                cells=int(counts[row]),
            )
    return Order(tuple(places), len(tasks), drawn)


def win_rates(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns each model's mean win rate [models]: its mean over the others of the cells in common that it wins.

    A draw is half a win. A model that has no cell in common with any other has none (not-a-number).

    Args:
        values: Scores, higher is better, not-a-number where a model has none [models, cells].
    """
    return weighted_win_rates(values, np.ones((1, values.shape[1])))[:, 0]


def task_means(values: NDArray[np.float64], tasks: NDArray[np.int64]) -> NDArray[np.float64]:
    """Returns each model's mean over the cells of each task [models, tasks].

    Not-a-number where it lacks one, as in MTEB: means over other languages are another number.

    Args:
        values: Scores, not-a-number where a model has none [models, cells].
        tasks: The number of each cell's task, from 0 [cells].
    """
    return np.stack([values[:, tasks == task].mean(axis=1) for task in range(tasks.max() + 1)], axis=1)


def borda(scores: NDArray[np.float64]) -> NDArray[np.int64]:
    """Returns each model's rank by Borda count [models], 1 the best, equal for equal counts.

    On each task a model gets as many points as there are models, less its rank, and none where it has no score:
    MTEB's `_borda_rank_from_long` (Enevoldsen et al. 2025, MMTEB).

    Args:
        scores: Scores, higher is better, not-a-number where a model has none [models, tasks].
    """
    points = np.zeros(len(scores))
    for column in scores.T:
        known = np.isfinite(column)
        points[known] += len(scores) - average_ranks(-column[known])
    return np.asarray(1 + (points[None] > points[:, None]).sum(axis=1))


def _weights(members: NDArray[np.int64], drawn: str) -> NDArray[np.float64]:
    """Draws how often each cell counts in each resample [resamples, cells]."""
    random = generator(SEED, "overall")
    sizes = np.bincount(members)
    if drawn == "tasks":
        times = random.multinomial(len(sizes), np.full(len(sizes), 1 / len(sizes)), size=RESAMPLES)
        return np.asarray(times[:, members], dtype=np.float64)
    weights = np.empty((RESAMPLES, len(members)))
    for task, size in enumerate(sizes):
        weights[:, members == task] = random.multinomial(size, np.full(size, 1 / size), size=RESAMPLES)
    return weights


def correction_of(members: NDArray[np.int64], drawn: str) -> float:
    """Returns by how much resamples of few units lie too close together, for cells' tasks [cells].

    A resample of n units has (n - 1) / n of their variance, and the error of its estimate is that of Student's
    distribution (Davison and Hinkley 1997, Bootstrap Methods, section 2.4). Without it an interval over five tasks
    holds the truth 84 % of the time.
    """
    from scipy.special import stdtrit

    tasks = int(members.max()) + 1
    units, free = (tasks, tasks - 1) if drawn == "tasks" else (len(members), len(members) - tasks)
    return float(math.sqrt(units / max(free, 1)) * stdtrit(max(free, 1), 0.975) / NORMAL)


def _limits(
    rates: NDArray[np.float64], errors: NDArray[np.float64], comparisons: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns the 95 % limits of win rates, [models] each, symmetric on the scale of log odds.

    Rates near 0 and 1 are skewed: percentiles hold those of the best and the worst model 88 % of the time.

    Args:
        rates: The win rates [models].
        errors: Their standard errors [models].
        comparisons: How many a rate is over; of a model that wins or loses all of them half a one is open.
    """
    inner = np.clip(rates, 0.5 / comparisons, 1 - 0.5 / comparisons)
    centre, width = np.log(inner / (1 - inner)), NORMAL * errors / (inner * (1 - inner))
    low, high = (1 / (1 + np.exp(-(centre + side * width))) for side in (-1, 1))
    return np.minimum(low, rates), np.maximum(high, rates)


def _drawn_win_rates(
    values: NDArray[np.float64], weights: NDArray[np.float64], factor: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns win rates [models], and their replicates [models, resamples]."""
    whole = weighted_win_rates(values, np.concatenate([np.ones((1, values.shape[1])), weights]))
    rates, draws = whole[:, 0], whole[:, 1:]
    draws = np.where(np.isfinite(draws), draws, rates[:, None])  # no cell in common in this resample
    return rates, rates[:, None] + factor * (draws - rates[:, None])


def weighted_win_rates(values: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns win rates where cells count several times or not at all [models, resamples].

    Args:
        values: Scores [models, cells].
        weights: How often each cell counts [resamples, cells].
    """
    counted = weights.T.astype(np.float32)
    order, first, last = _sorted(values)
    # Many models have the same cells: their wins are added before they are weighted.
    patterns, pattern_of = np.unique(np.isfinite(values), axis=0, return_inverse=True)
    shares, others = np.zeros((2, len(values), len(weights)), dtype=np.float32)
    for number, pattern in enumerate(patterns):
        members = pattern_of == number
        met = np.concatenate([np.zeros((1, len(pattern)), dtype=np.int64), members[order].cumsum(axis=0)])
        won = np.take_along_axis(met, first, axis=0) + np.take_along_axis(met, last + 1, axis=0) - members[:, None]
        wins = np.where(pattern & np.isfinite(values), won / 2, 0).astype(np.float32) @ counted
        common = ((patterns & pattern).astype(np.float32) @ counted)[pattern_of]
        shares += np.divide(wins, common, out=np.zeros_like(wins), where=common > 0)
        others += (members.sum() - members)[:, None] * (common > 0)
    with np.errstate(invalid="ignore"):  # a model without a cell in common with any other has none
        return np.divide(shares, others, dtype=np.float64)


def _sorted(values: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Returns each column's models from lowest to highest, and where each one's equals begin and end in it.

    Args:
        values: Scores [models, cells].

    Returns:
        Three of [models, cells].
    """
    order = np.argsort(values, axis=0, kind="stable")
    ordered = np.take_along_axis(values, order, axis=0)
    places = np.arange(len(values))[:, None]
    new = np.concatenate([np.ones((1, values.shape[1]), dtype=bool), ordered[1:] != ordered[:-1]])
    begin = np.maximum.accumulate(np.where(new, places, 0), axis=0)
    final = np.concatenate([new[1:], new[:1]])
    end = np.minimum.accumulate(np.where(final, places, len(values))[::-1], axis=0)[::-1]
    first, last = np.empty_like(order), np.empty_like(order)
    np.put_along_axis(first, order, begin, axis=0)
    np.put_along_axis(last, order, end, axis=0)
    return order, first, last
