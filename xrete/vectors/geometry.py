"""Geometry of many languages in one space: invariance, canonical form, isotropy (EMMA-X, section 5.3, Eq. 16-18).

Pure mathematics on unit vectors. Rows are float32, [sentences, dimension], aligned across languages; every sum is
in float64. What is added up is made for streaming, so that no number of languages needs more than their means and
variances, and a few dimension x dimension matrices a group:

- Eq. 16, averaged over all ordered pairs of languages, is a function of sums over languages. The determinants of a
  pair cancel between its two directions, and sum_ij tr(P_j S_i) is the product of sum_j P_j and sum_i S_i.
- Eq. 17 needs the sum of each sentence's vectors and the sum of all squares.
- Eq. 18 needs eigenvectors of the sum of E^T E first, and the rows once more for Z.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.float32]
Floats = NDArray[np.float64]

MIN_VARIANCE = 1e-12
"""A dimension that does not vary is given this variance: its divergence is large, not infinite."""

SHRINKAGE = 0.1
"""Share of the covariance that is replaced by a multiple of the identity. The same for all languages: one fitted to
each (Ledoit-Wolf) would add differences between languages that are not in their sentences."""

RESOLUTION = 1e-13
"""Sums of squares below this share of all squares are rounding of float32 rows (6e-8, squared): they are zero."""

BLOCK = 1024
"""Rows whose products are held at once."""

FEW = 64
"""Rows that are made float64 at once: they stay in the processor's cache, which halves the time."""


@dataclass(frozen=True)
class Moments:
    """First and second moments of one language's rows.

    Attributes:
        n: Number of rows.
        total: Sum of the rows [d].
        gram: E^T E [d, d].
    """

    n: int
    total: Floats
    gram: Floats

    @staticmethod
    def of(rows: Rows | Floats) -> Moments:
        """Adds up `rows` [n, d]."""
        exact = rows.astype(np.float64, copy=False)
        return Moments(len(rows), exact.sum(axis=0), exact.T @ exact)

    @staticmethod
    def empty(dimension: int) -> Moments:
        """Moments of no rows, to add others to."""
        return Moments(0, np.zeros(dimension), np.zeros((dimension, dimension)))

    def __add__(self, other: Moments) -> Moments:
        return Moments(self.n + other.n, self.total + other.total, self.gram + other.gram)

    @cached_property
    def mean(self) -> Floats:
        """The mu of Eq. 16 [d]."""
        return self.total / self.n

    @cached_property
    def variance(self) -> Floats:
        """Diagonal of the covariance, divided by n [d]."""
        return np.maximum(np.diagonal(self.gram) / self.n - self.mean**2, MIN_VARIANCE)

    @cached_property
    def covariance(self) -> Floats:
        """The sigma of Eq. 16, divided by n where the paper prints a sum [d, d]."""
        return self.gram / self.n - np.outer(self.mean, self.mean)

    @property
    def mean_cosine(self) -> float:
        """Mean cosine of two different rows: near 0 where they point everywhere, 1 where they are all the same."""
        if self.n < 2:
            return math.nan
        return float((self.total @ self.total - np.trace(self.gram)) / (self.n * (self.n - 1)))


@dataclass(frozen=True)
class DiagonalKL:
    """Eq. 16 with diagonal covariances, for each language: the mean over the others, both directions, in nats.

    The mean of any of these over the languages is Eq. 16.

    Attributes:
        scale: Part of the variances, mean over dimensions [L].
        shift: Part of the means, mean over dimensions [L].
        dimension: Number of dimensions.
    """

    scale: Floats
    shift: Floats
    dimension: int

    @property
    def mean(self) -> Floats:
        """Mean over dimensions, the headline (`diag_mean`), float64 [L]."""
        return self.scale + self.shift

    @property
    def sum(self) -> Floats:
        """Sum over dimensions (`diag_sum`), float64 [L]."""
        return self.dimension * self.mean

    def literal(self, n: int) -> Floats:
        """With variances that are sums over `n` sentences, as printed, not means (`literal_sum`) [L].

        The common factor n cancels in the scale and divides the shift, so that offsets nearly vanish.
        """
        return self.scale + self.shift / n


def diagonal_kl(means: Floats, variances: Floats) -> DiagonalKL:
    """Computes Eq. 16 from means and variances [L, d]; O(L d), since the sum over the others is a sum over all.

    Per pair and dimension (KL(1||2) + KL(2||1)) / 2 is
    1/4 [v1/v2 + v2/v1 - 2 + (mu1 - mu2)^2 (1/v1 + 1/v2)], and 0 for a language and itself.

    Raises:
        ValueError: fewer than two languages.
    """
    languages, dimension = means.shape
    if languages < 2:
        raise ValueError("a divergence between languages needs two of them")
    v, p = variances, 1.0 / variances
    m = means - means.mean(axis=0)  # now sum_j m_j = 0, which takes terms away, and rounding
    weighted, squares = p * m, m * m
    # Every sum over the others and over dimensions is a product with a sum over all languages.
    scale = v @ p.sum(axis=0) + p @ v.sum(axis=0) - 2.0 * languages * dimension
    own = (weighted * m).sum(axis=1)
    shift = own.sum() - 2.0 * m @ weighted.sum(axis=0) + squares @ p.sum(axis=0)
    shift += p @ squares.sum(axis=0) + languages * own
    # Both are sums of squares; what is below zero is rounding.
    scale, shift = (np.maximum(part, 0.0) / (4.0 * (languages - 1) * dimension) for part in (scale, shift))
    return DiagonalKL(scale, shift, dimension)


@dataclass(frozen=True)
class Gaussian:
    """A language's Gaussian with full covariance.

    Attributes:
        mean: mu [d].
        covariance: Sigma, shrunk [d, d].
        precision: Upper triangle of its inverse, zero below; making it whole costs as much as the inverse [d, d].
    """

    mean: Floats
    covariance: Floats
    precision: Floats

    @staticmethod
    def of(mean: Floats, covariance: Floats, shrinkage: float) -> Gaussian:
        """Shrinks the covariance [d, d], (1 - a) S + a tr(S)/d I, and inverts it by Cholesky; the mean is [d].

        Raises:
            ValueError: the covariance is singular; without shrinkage it is where n <= d.
        """
        from scipy.linalg import lapack  # not needed to list tasks

        d = len(mean)
        shrunk = (1.0 - shrinkage) * covariance
        level = max(float(np.trace(covariance)) / d, MIN_VARIANCE)
        shrunk[np.diag_indices(d)] += shrinkage * level
        factor, failed = lapack.dpotrf(shrunk.T, lower=1)
        if failed:
            raise ValueError("the covariance is singular")
        return Gaussian(mean, shrunk, lapack.dpotri(factor, lower=1, overwrite_c=1)[0].T)

    def weighted(self, vector: Floats) -> Floats:
        """The inverse times `vector` [d]."""
        return self.precision @ vector + vector @ self.precision - np.diagonal(self.precision) * vector


class GaussianSums:
    """Eq. 16 with full covariances, one language after the other; two matrices whatever their number."""

    def __init__(self, dimension: int) -> None:
        self._precisions = np.zeros((dimension, dimension))
        self._covariances = np.zeros((dimension, dimension))
        self._origin: Floats | None = None
        self._means: list[Floats] = []
        self._weighted: list[Floats] = []  # P mu

    def add(self, gaussian: Gaussian) -> None:
        """Adds one language."""
        self._precisions += gaussian.precision
        self._covariances += gaussian.covariance
        if self._origin is None:
            self._origin = gaussian.mean  # a common offset changes nothing but the rounding
        self._means.append(gaussian.mean - self._origin)
        self._weighted.append(gaussian.weighted(self._means[-1]))

    def mean(self) -> float:
        """Mean KL over ordered pairs of different languages, in nats per dimension; nan with fewer than two.

        sum_ij [tr(P_j S_i) - d + (mu_i - mu_j)^T P_j (mu_i - mu_j)] / (2 L (L - 1) d); the sum over i = j is 0.
        """
        count, d = len(self._means), len(self._precisions)
        if count < 2:
            return math.nan
        means, weighted = np.array(self._means), np.array(self._weighted)
        precisions = self._precisions + np.triu(self._precisions, 1).T
        traces = np.vdot(precisions, self._covariances) - d * count**2
        shifts = (
            np.vdot(means @ precisions, means)
            - 2.0 * means.sum(axis=0) @ weighted.sum(axis=0)
            + count * np.vdot(means, weighted)
        )
        return max(0.0, float(traces + shifts) / (2.0 * count * (count - 1) * d))


def shrunk_floor(covariance: Floats, n: int, shrinkage: float = SHRINKAGE, seed: int = 0) -> float:
    """Says what `full_shrunk` gives for two samples of `n` rows from the very same Gaussian, by drawing them.

    Covariances of finite samples differ, so languages that are drawn alike do not reach 0 (at n = 2,009 and
    d = 1,024 and without shrinkage it would be 0.52 nats per dimension). Translations are not drawn independently,
    so a well aligned model may stay below it.

    Args:
        covariance: Of the Gaussian [d, d]; only its eigenvalues matter.
        n: Rows of a sample.
        shrinkage: As in `Gaussian.of`.
        seed: For the draw.

    Returns:
        Nats per dimension.
    """
    deviations = np.sqrt(np.maximum(np.linalg.eigvalsh(covariance), 0.0))
    random = np.random.default_rng(seed)
    sums = GaussianSums(len(deviations))
    for _ in range(2):
        drawn = random.standard_normal((n, len(deviations))) * deviations
        mean = drawn.mean(axis=0)
        sums.add(Gaussian.of(mean, drawn.T @ drawn / n - np.outer(mean, mean), shrinkage))
    return sums.mean()


class ClusterSums:
    """Calinski-Harabasz (Eq. 17), one language after the other: a cluster is one sentence in all languages.

    Args:
        sentences: K.
        dimension: d.
    """

    def __init__(self, sentences: int, dimension: int) -> None:
        self._sums = np.zeros((sentences, dimension))
        self._squares = 0.0
        self._members = 0

    def add(self, rows: Rows) -> None:
        """Adds one language's rows [K, d]."""
        for start in range(0, len(rows), FEW):
            part = rows[start : start + FEW].astype(np.float64)
            self._sums[start : start + FEW] += part
            self._squares += float(np.vdot(part, part))
        self._members += 1

    @property
    def raw(self) -> float:
        """Returns B/W, the formula as printed; inf where all translations are equal, nan where nothing varies.

        B = m sum_k ||c_k - c||^2 and W = sum ||s - c_k||^2 = sum ||s||^2 - m sum_k ||c_k||^2.
        """
        count, m = len(self._sums), self._members
        if m < 2 or count < 2:
            return math.nan
        centroids = float(np.vdot(self._sums, self._sums)) / m
        total = self._sums.sum(axis=0)
        noise = RESOLUTION * self._squares
        between = centroids - float(total @ total) / (m * count)
        within = self._squares - centroids
        if within <= noise:
            return math.inf if between > noise else math.nan
        return max(between, 0.0) / within

    @property
    def score(self) -> float:
        """The index as scikit-learn has it: (B / (K - 1)) / (W / (N - K)) with N = m K."""
        count = len(self._sums)
        return self.raw * count * (self._members - 1) / (count - 1) if count > 1 else math.nan


def principal_axes(gram: Floats, total: Floats) -> Floats:
    """Returns the orthonormal eigenvectors of E^T E as columns [d, d], the smallest eigenvalue first.

    An eigenvector has no sign and Z(v) is not Z(-v): each is turned so that v . sum_e e >= 0 (Eq. 18 is then
    e^-1 where all rows are equal).
    """
    _, axes = np.linalg.eigh(gram)
    return np.asarray(axes * np.where(total @ axes < 0.0, -1.0, 1.0))


class PartitionSums:
    """Principal ratio (Eq. 18; Mu and Viswanath 2018), one language after the other.

    Args:
        axes: What `principal_axes` returns, of the sum over all languages that will be added.
    """

    def __init__(self, axes: Floats) -> None:
        # Products in float32 are off by 1e-7, and so is exp of them; the sums over rows are in float64.
        self._axes = axes.astype(np.float32)
        self._sums = np.zeros((2, axes.shape[1]))

    def add(self, rows: Rows) -> None:
        """Adds exp(v . e) and exp(-v . e) of one language's rows [n, d]; unit rows cannot overflow."""
        for start in range(0, len(rows), BLOCK):
            terms = rows[start : start + BLOCK] @ self._axes
            np.exp(terms, out=terms)
            self._sums[0] += terms.sum(axis=0, dtype=np.float64)
            np.reciprocal(terms, out=terms)
            self._sums[1] += terms.sum(axis=0, dtype=np.float64)

    @property
    def ratio(self) -> float:
        """The least Z(v) over the greatest, over the axes, each with its one sign: in [e^-1, 1] for unit rows."""
        return float(self._sums[0].min() / self._sums[0].max())

    @property
    def ratio_both(self) -> float:
        """The least Z over the greatest, over the axes with both signs: in [e^-2, 1] for unit rows."""
        return float(self._sums.min() / self._sums.max())


def top_components(moments: Moments, k: int) -> Floats:
    """Returns the first `k` principal components of all rows, centred, as columns [d, k]."""
    _, axes = np.linalg.eigh(moments.covariance)
    return np.asarray(axes[:, ::-1][:, :k])
