"""What theory says of the geometry of four models: the certificates of shape `geometry`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from xrete.check.certificates.contract import JointCertificate, Theory, vectors_by_key
from xrete.shapes.contract import Data
from xrete.shapes.geometry import Geometry

DIMENSION = 64
SIGMAS = 4.0
FLOAT32 = 1e-6
"""How far float32 vectors may take a number from theory."""

Bounds = Mapping[str, tuple[float, float]]


def _joint(shape: Geometry, dataset: Data) -> Iterator[JointCertificate]:
    return _certificates({language: dataset[language] for language in dataset.languages})


def _certificates(sentences: Mapping[str, Sequence[str]]) -> Iterator[JointCertificate]:
    """Yields models whose values on `sentences`, by language, are known.

    - Constant: no divergence; Z(v) is N e for the one direction and N for all others, so `pr` is 1/e and
      `pr_both` 1/e^2; row 0 wins every tie.
    - Random: every row its own direction; see `_random`.
    - Oracle: row i is the same in all languages: no divergence, nothing varies within a cluster.
    - Shuffled oracle: the oracle with the rows of the language number l moved by l; see `_shuffled`.
    """
    n, languages = len(next(iter(sentences.values()))), len(sentences)
    texts = {text: number for number, text in enumerate({x: 0 for lines in sentences.values() for x in lines})}
    moved = {tuple(lines): number for number, lines in enumerate(sentences.values())}
    rows = np.eye(n, dtype=np.float32)

    def shuffled(lines: Sequence[str]) -> NDArray[np.float32]:
        return np.roll(rows, moved[tuple(lines)], axis=0)

    yield JointCertificate(
        "constant",
        vectors_by_key(dict.fromkeys(texts, 0)),
        {
            "kl": (0.0, 0.0),
            "kl_full_shrunk": (0.0, 0.0),
            "pr": _around(math.exp(-1)),
            "pr_both": _around(math.exp(-2)),
            "mean_cosine": _around(1.0),
        },
    )
    yield JointCertificate("random", vectors_by_key(texts, DIMENSION), _random(languages, n))
    yield JointCertificate(
        "oracle",
        lambda lines: rows[: len(lines)],
        {"kl": (0.0, 0.0), "kl_full_shrunk": (0.0, 0.0), "ch": (math.inf, math.inf), "mean_cosine": (0.0, 0.0)},
    )
    yield JointCertificate("shuffled-oracle", shuffled, _shuffled(languages, n))


def _random(languages: int, n: int) -> Bounds:
    """Bounds for N = languages x n independent directions in d dimensions.

    - `ch`, about 1, is the ratio of two estimates of one variance: F with (K - 1) d and (N - K) d degrees of
      freedom.
    - `kl`: two samples of n rows of one Gaussian differ by 2 / (n - 3) in a dimension. Its relative deviation over
      L - 1 independent comparisons of d dimensions is about sqrt(2 / (d (L - 1))); coordinates of unit vectors
      have lighter tails than a Gaussian's, which takes 2 % at d = 64.
    - `pr`: Z(v) / N is 1 + v . mean + lambda / 2 + …, lambda being the eigenvalue of E^T E / N. By Marchenko and
      Pastur lambda lies in (1 +- sqrt(d / N))^2 / d; v . mean, whose sign is chosen, in [0, SIGMAS / sqrt(d N)].
    """
    from scipy.stats import f  # a second to import, needed by 'xrete check' only

    d, total = DIMENSION, languages * n
    low, high = f.interval(0.999, (n - 1) * d, (total - n) * d)
    kl = 2.0 / (n - 3)
    spread = 0.05 + SIGMAS * math.sqrt(2.0 / (d * (languages - 1)))
    edge = math.sqrt(d / total)
    least = 1.0 + max(0.0, 1.0 - edge) ** 2 / (2 * d)
    greatest = 1.0 + (1.0 + edge) ** 2 / (2 * d) + SIGMAS / math.sqrt(d * total)
    return {
        "ch": (float(low), float(high)),
        "kl": (kl * (1.0 - spread), kl * (1.0 + spread)),
        "pr": (0.99 * least / greatest, 1.0),  # 0.99 for the terms of third order and more
    }


def _shuffled(languages: int, n: int) -> Bounds:
    """Bounds for orthonormal rows, moved by another number of places in every language.

    A language still has the same rows, so nothing diverges. Where no language is moved back to where another is
    (L <= K), a cluster holds L different rows: ||c_k||^2 = 1/L and ||c||^2 = 1/K, hence B = K - L, W = K (L - 1)
    and `ch` = (K - L) / (K - 1), below the 1 of independent rows.
    """
    bounds = {"kl": (0.0, 0.0), "kl_full_shrunk": (0.0, 0.0)}
    if languages <= n:
        index = (n - languages) / (n - 1)
        bounds["ch"] = (index - FLOAT32, index + FLOAT32)
    return bounds


def _around(value: float) -> tuple[float, float]:
    return value - FLOAT32, value + FLOAT32


THEORY = Theory(joint=_joint)
