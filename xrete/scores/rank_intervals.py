"""Ranks that the data support: which models can be told apart, between which ranks each lies, and who is tied.

All three rest on simultaneous intervals of every difference between two models, by the paired bootstrap with the
largest studentised error (Mogstad, Romano, Shaikh and Wilhelm 2024, Inference for Ranks, Review of Economic Studies
91(1), section 3). The chance that any order or any rank interval of one leaderboard is wrong is at most 5 %,
however many models it has. `xrete.scores.comparison.standings` does all of it for the records of a column.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from xrete.lazy import NDArray, np

LEVEL = 0.95
THREADS = min(os.cpu_count() or 1, 8)
"""For all pairs of many models; more wait for the interpreter between two operations."""
ROUNDING = 1e-9
"""Differences of scores below this are rounding."""
EQUAL = 1e-7
"""So are errors of a difference below this share of the models' own: a variance has about 16 digits."""


def significantly_better(
    scores: NDArray[np.float64], draws: NDArray[np.float64], *, higher_is_better: bool = True
) -> NDArray[np.bool_]:
    """Returns which models are better than which others, beyond what chance explains.

    Args:
        scores: The models' scores [models].
        draws: Their bootstrap replicates [models, resamples]; a column is one resample of items for all models.
        higher_is_better: The direction of the metric.

    Returns:
        [models, models]: the model of the row is better than the model of the column.
    """
    signed, drawn = (scores, draws) if higher_is_better else (-scores, -draws)
    centred = drawn - signed[:, None]
    covariances = np.cov(centred, bias=True).reshape(len(signed), len(signed))
    variances = covariances.diagonal()
    errors = np.sqrt(np.maximum(variances[:, None] + variances - 2 * covariances, 0))
    # Those of models that are equal in every resample are rounding.
    errors[errors < EQUAL * np.sqrt(np.maximum(variances[:, None], variances)) + ROUNDING] = 0
    inverse = np.divide(1, errors, out=np.zeros_like(errors), where=errors > 0).astype(np.float32)
    # Pairs of a thousand models take a quarter of the time in float32; what it rounds is far below chance.
    single = centred.astype(np.float32)
    parts = [range(first, len(signed), THREADS) for first in range(THREADS)]
    with ThreadPoolExecutor(THREADS) as pool:
        largest = pool.map(lambda rows: _largest(single, inverse, rows), parts)
        critical = np.quantile(np.max(list(largest), axis=0), LEVEL)
    return np.asarray(signed[:, None] - signed > critical * errors + ROUNDING)


def _largest(
    centred: NDArray[np.float32], inverse: NDArray[np.float32], rows: Iterable[int]
) -> NDArray[np.float32]:
    """Returns the largest studentised difference of each resample [resamples], of some models to all later ones.

    Args:
        centred: Replicates less scores [models, resamples].
        inverse: One over the errors of the differences [models, models].
        rows: The models.
    """
    largest, space = np.zeros(centred.shape[1], dtype=np.float32), np.empty_like(centred)
    for row in rows:
        difference = np.subtract(centred[row], centred[row:], out=space[row:])
        difference *= inverse[row, row:, None]
        np.maximum(largest, np.abs(difference, out=difference).max(axis=0), out=largest)
    return largest


def rank_intervals(better: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Returns the best and the worst rank, from 1, that each model may have.

    Args:
        better: What `significantly_better` returns, [models, models].
    """
    lowest, highest = 1 + better.sum(axis=0), len(better) - better.sum(axis=1)
    return list(zip(lowest.tolist(), highest.tolist(), strict=True))


def tie_groups(better: NDArray[np.bool_]) -> list[int]:
    """Returns the group of each model, from 1, the best group first.

    Models that cannot be told apart share a group, and so do those that a chain of such pairs connects: every model
    of a group is better than every model of a later one, and nothing is said of the order within a group.

    Args:
        better: What `significantly_better` returns, [models, models].
    """
    # Those that are better than all others of the table have more wins than these, so every group is a run.
    order = np.argsort(-better.sum(axis=1), kind="stable")
    sorted_ = better[np.ix_(order, order)]
    # The last one that each is not better than, itself at least: a group begins past those of all before it.
    last = len(order) - 1 - np.argmin(sorted_[:, ::-1], axis=1)
    starts = np.concatenate([[True], np.maximum.accumulate(last)[:-1] < np.arange(1, len(order))])
    groups = np.empty(len(order), dtype=np.int64)
    groups[order] = np.cumsum(starts)
    return [int(group) for group in groups]
