"""The `evaluate.Metric` classes: offline, and equal to scikit-learn and scipy."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics

from xrete.shapes.multilabel import mean_r_precision

RANDOM = np.random.default_rng(0)
GOLD = RANDOM.integers(1, 6, 200)
SAID = RANDOM.integers(1, 6, 200)


def test_they_compute_offline() -> None:

    from xrete.interop import hf_evaluate

    def compute(metric: str, said: object, gold: object) -> float:
        ((name, value),) = getattr(hf_evaluate, metric)().compute(predictions=said, references=gold).items()
        assert name == {"Accuracy": "accuracy", "MeanAbsoluteError": "mae"}.get(metric, metric.lower())
        return float(value)

    names = np.array(["", "one", "two", "three", "four", "five"])
    assert compute("Accuracy", SAID, GOLD) == pytest.approx(sklearn.metrics.accuracy_score(GOLD, SAID))
    assert compute("Accuracy", names[SAID].tolist(), names[GOLD].tolist()) == compute("Accuracy", SAID, GOLD)
    expected = sklearn.metrics.mean_absolute_error(GOLD, SAID)
    assert compute("MeanAbsoluteError", SAID, GOLD) == pytest.approx(expected)
    assert compute("Spearman", SAID, GOLD) == pytest.approx(scipy.stats.spearmanr(GOLD, SAID).statistic)
    assert compute("Pearson", SAID, GOLD) == pytest.approx(scipy.stats.pearsonr(GOLD, SAID).statistic)
    assert compute("Spearman", [1.0, 1.0, 1.0], [1.0, 2.0, 3.0]) == 0


def test_r_precision_computes_offline() -> None:
    from xrete.interop.hf_evaluate import RPrecision

    gold, scores = RANDOM.random((30, 6)) < 0.4, RANDOM.random((30, 6))
    found = RPrecision().compute(predictions=scores.tolist(), references=gold.tolist())
    assert found == {"r_precision": pytest.approx(mean_r_precision(gold, scores))}
