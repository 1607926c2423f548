"""Linear heads on frozen features, by scikit-learn: what the probe protocol trains."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xrete.shapes.contract import HeadKind

STRENGTHS = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
"""How far features may pull a head away from the mere frequency of labels: scikit-learn's C; ridge has 1 / C."""
STEPS = 200
"""Most steps of a fit. Stopping early regularises a little more; it is the same in every run."""

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Head:
    """A linear map of features to scores.

    Attributes:
        weights: [features, outputs].
        bias: [outputs].
        flat: There is one output, and scores have no axis for it.
    """

    weights: NDArray[np.float64]
    bias: NDArray[np.float64]
    flat: bool

    def __call__(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Maps [..., features] to [..., outputs], or to [...] where there is one output."""
        scores = features.astype(np.float64) @ self.weights + self.bias
        return np.asarray(scores[..., 0] if self.flat else scores)


def fit_heads(
    kind: HeadKind,
    features: NDArray[np.float32],
    labels: NDArray[Any],
    strengths: Sequence[float] = STRENGTHS,
    classes: int = 0,
) -> Iterator[Head]:
    """Trains one head for each strength.

    Features are standardised; one that is the same for all items is left out. Where none is left (a constant
    model), the head is the frequency of the labels, exactly, so that ties are ties.

    Args:
        kind: Which head.
        features: [items, features], or [items, choices, features].
        labels: As `ProbeShape.labels`.
        strengths: Regularisation, strongest (smallest) first.
        classes: Number of classes, for "classes"; 0 takes those of `labels`.
    """
    flat = features.reshape(-1, features.shape[-1])
    kept = flat.max(axis=0) > flat.min(axis=0)
    mean = flat.mean(axis=0, dtype=np.float64)[kept]
    scale = flat[:, kept].std(axis=0, dtype=np.float64)
    standard = ((features[..., kept] - mean) / scale).astype(np.float32)
    fit = partial(_fit_classes, count=classes or 1 + int(labels.max())) if kind == "classes" else _FITS[kind]
    for strength in strengths:
        weights, bias = fit(standard, labels, strength)
        scaled = np.zeros((len(kept), weights.shape[1]))
        scaled[kept] = weights / scale[:, None]
        yield Head(scaled, bias - mean @ scaled[kept], flat=kind in ("choices", "score"))


def _fit_classes(x: Floats, labels: NDArray[Any], strength: float, count: int) -> tuple[Floats, Floats]:
    """Multinomial logistic regression; a class that is not in the training data is never predicted."""
    frequency = np.bincount(labels, minlength=count)
    weights = np.zeros((x.shape[1], count))
    with np.errstate(divide="ignore"):
        bias = np.log(frequency)
    present = np.flatnonzero(frequency)
    if x.shape[1] and len(present) > 1:
        model = _logistic(x, labels, strength)
        # With two classes, scikit-learn gives the second one's side only.
        columns = present[1:] if len(present) == 2 else present
        bias[present] = 0
        weights[:, columns], bias[columns] = model.coef_.T, model.intercept_
    return weights, bias


def _fit_labels(x: Floats, labels: NDArray[Any], strength: float) -> tuple[Floats, Floats]:
    """A binary logistic regression for each label; one that all or no items have gets its smoothed odds."""
    count = labels.sum(axis=0)
    weights = np.zeros((x.shape[1], labels.shape[1]))
    bias = np.log((count + 0.5) / (len(labels) - count + 0.5))
    for column in np.flatnonzero((count > 0) & (count < len(labels))) if x.shape[1] else ():
        model = _logistic(x, labels[:, column], strength)
        weights[:, column], bias[column] = model.coef_[0], model.intercept_[0]
    return weights, bias


def _fit_choices(x: Floats, labels: NDArray[Any], strength: float) -> tuple[Floats, Floats]:
    """One weight vector for both alternatives: logistic regression of the right one on their difference."""
    if not x.shape[-1]:
        return np.zeros((0, 1)), np.zeros(1)
    difference = x[:, 1] - x[:, 0]
    # Each item once in either order: neither place is favoured, and there are always two classes.
    mirrored = np.concatenate([difference, -difference])
    model = _logistic(mirrored, np.concatenate([labels, 1 - labels]), strength, fit_intercept=False)
    return model.coef_.T, np.zeros(1)


def _fit_score(x: Floats, labels: NDArray[Any], strength: float) -> tuple[Floats, Floats]:
    """Ridge regression."""
    mean = float(labels.mean())
    if not x.shape[1]:
        return np.zeros((0, 1)), np.array([mean])
    from sklearn.linear_model import Ridge

    model = Ridge(alpha=1 / strength).fit(x, labels - mean)
    return model.coef_.reshape(-1, 1), np.array([model.intercept_ + mean])


def _logistic(x: Floats, labels: NDArray[Any], strength: float, **options: Any) -> Any:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    # One thread: the same bits on any number of cores, and on a busy machine several times faster than two.
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore", ConvergenceWarning)  # see STEPS
        return LogisticRegression(C=strength, max_iter=STEPS, **options).fit(x, labels)


_FITS: dict[str, Callable[[Floats, NDArray[Any], float], tuple[Floats, Floats]]] = {
    "labels": _fit_labels,
    "choices": _fit_choices,
    "score": _fit_score,
}
