"""Items, and metrics: functions of items, which take the mean over training runs where there are several.

Scores are functions of the items alone, so that a record can be checked, resampled and compared without its model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from xrete.lazy import NDArray, np

Items = Mapping[str, "NDArray[Any]"]
"""Columns by name, each with one row for each scored item, [n] or [n, …]."""

RUN = "@"
"""Before the seed in names of columns that hold another training run's outcomes: "prediction@43"."""


def runs(items: Items) -> list[Items]:
    """Takes apart the outcomes of several training runs; one where there is one.

    Columns of the first run have plain names. Those of another that differ have its seed after `RUN`.
    """
    seeds = dict.fromkeys(name.partition(RUN)[2] for name in items)
    plain = {name: column for name, column in items.items() if RUN not in name}
    return [{name: items.get(f"{name}{RUN}{seed}", column) for name, column in plain.items()} for seed in seeds]


def join_runs(outcomes: Mapping[int, Items]) -> Items:
    """Puts the outcomes of several training runs, by seed, side by side; `runs` takes them apart."""
    first, *others = outcomes
    joined = dict(outcomes[first])
    for seed in others:
        for name, column in outcomes[seed].items():
            joined[f"{name}{RUN}{seed}"] = column
    return joined


@dataclass(frozen=True)
class Metric:
    """A number computed from a language's items; of several training runs, the mean over them.

    Attributes:
        statistic: Items to the metric's value, in the unit of reports (0-100 for shares and correlations).
        per_item: Items to one value for each item, whose mean is the statistic; None where it is no mean.
        in_one_unit: Items to items of the same statistic whose columns have the same unit for every model, so that
            the outcomes of two models may be swapped; None where they have that already.
    """

    statistic: Callable[[Items], float]
    per_item: Callable[[Items], NDArray[np.float64]] | None = None
    in_one_unit: Callable[[Items], Items] | None = None

    def __post_init__(self) -> None:
        statistic, per_item, in_one_unit = self.statistic, self.per_item, self.in_one_unit

        def over_runs(items: Items) -> float:
            return float(np.mean([statistic(run) for run in runs(items)]))

        def per_item_over_runs(items: Items) -> NDArray[np.float64]:
            assert per_item is not None
            return np.asarray(np.mean([per_item(run) for run in runs(items)], axis=0))

        def in_one_unit_over_runs(items: Items) -> Items:
            assert in_one_unit is not None
            return join_runs({place: in_one_unit(run) for place, run in enumerate(runs(items))})

        object.__setattr__(self, "statistic", over_runs)
        object.__setattr__(self, "in_one_unit", in_one_unit_over_runs if in_one_unit else None)
        object.__setattr__(self, "per_item", per_item_over_runs if per_item else None)

    @staticmethod
    def mean_of(per_item: Callable[[Items], NDArray[np.float64]]) -> Metric:
        """Makes the metric that is the mean of `per_item`, float64 [items]."""
        return Metric(lambda items: float(np.mean(per_item(items))), per_item)

    @staticmethod
    def joint() -> Metric:
        """Makes a metric of a `JointShape`, which has a name but is no function of items."""

        def statistic(items: Items) -> float:
            raise TypeError("a metric of all languages together is not computed from one language's items")

        return Metric(statistic)
