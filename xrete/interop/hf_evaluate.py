"""The metrics as `evaluate.Metric` classes, to use directly: `Spearman().compute(predictions=…, references=…)`.

`evaluate.load("accuracy")` would ask the hub, even offline, and run what it finds there. These compute with the
functions that the shapes use, and give 0 to 1 (correlations -1 to 1, errors in the unit of the data). Importing
this module imports `evaluate` and `datasets`, which takes a second or more: no other module imports it.
"""

from __future__ import annotations

from typing import Any, ClassVar

import datasets
import evaluate
import numpy as np

from xrete.shapes.classification import accuracy, mean_absolute_error
from xrete.shapes.multilabel import mean_r_precision
from xrete.shapes.similarity import pearson, spearman


class _Metric(evaluate.Metric):  # type: ignore[misc] # the library has no types
    """What the metrics share.

    Attributes:
        description: One sentence.
        types: Alternatives for the type of references and of predictions.
    """

    description: ClassVar[str]
    types: ClassVar[tuple[tuple[Any, Any], ...]] = ((datasets.Value("float64"), datasets.Value("float64")),)

    def _info(self) -> Any:
        features = [
            datasets.Features({"references": gold, "predictions": predicted}) for gold, predicted in self.types
        ]
        return evaluate.MetricInfo(
            description=self.description,
            citation="",
            inputs_description="references: what is right; predictions: one for each reference",
            features=features,
        )


class Accuracy(_Metric):
    """Share of predictions that equal their reference; ids or names of classes."""

    description = "Share of right predictions, 0 to 1."
    types = tuple((datasets.Value(kind), datasets.Value(kind)) for kind in ("int64", "string"))

    def _compute(self, predictions: list[Any], references: list[Any]) -> dict[str, float]:
        return {"accuracy": accuracy(np.array(references), np.array(predictions))}


class MeanAbsoluteError(_Metric):
    """Mean absolute difference, in the unit of the data."""

    description = "Mean absolute difference of prediction and reference."

    def _compute(self, predictions: list[float], references: list[float]) -> dict[str, float]:
        return {"mae": mean_absolute_error(np.array(references), np.array(predictions))}


class Spearman(_Metric):
    """Rank correlation with average ranks for ties; 0 where a side is constant."""

    description = "Spearman's rank correlation, -1 to 1."

    def _compute(self, predictions: list[float], references: list[float]) -> dict[str, float]:
        return {"spearman": spearman(np.array(references), np.array(predictions))}


class Pearson(_Metric):
    """Correlation; 0 where a side is constant."""

    description = "Pearson's correlation, -1 to 1."

    def _compute(self, predictions: list[float], references: list[float]) -> dict[str, float]:
        return {"pearson": pearson(np.array(references), np.array(predictions))}


class RPrecision(_Metric):
    """Mean share of the gold labels among as many labels with the highest scores."""

    description = "Mean R-precision over the items that have labels, 0 to 1; the later label wins a tie."
    types = ((datasets.List(datasets.Value("bool")), datasets.List(datasets.Value("float64"))),)

    def _compute(self, predictions: list[list[float]], references: list[list[bool]]) -> dict[str, float]:
        return {"r_precision": mean_r_precision(np.array(references), np.array(predictions))}
