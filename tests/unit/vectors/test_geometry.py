"""The mathematics of geometry against independent formulations, and what theory says of special cases."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import logsumexp
from scipy.stats import skew, spearmanr
from sklearn.metrics import calinski_harabasz_score
from torch.distributions import MultivariateNormal, Normal, kl_divergence

from xrete.vectors.alignment import pair_cosine, rank_correlation
from xrete.vectors.geometry import (
    MIN_VARIANCE,
    SHRINKAGE,
    ClusterSums,
    DiagonalKL,
    Floats,
    Gaussian,
    GaussianSums,
    Moments,
    PartitionSums,
    Rows,
    diagonal_kl,
    principal_axes,
    shrunk_floor,
    top_components,
)
from xrete.vectors.hubness import hubness

seeds = st.integers(0, 10_000)
quickly = settings(max_examples=15, deadline=None)


def unit(rows: NDArray[np.float64]) -> Rows:
    return np.asarray(rows / np.linalg.norm(rows, axis=-1, keepdims=True), dtype=np.float32)


def random_rows(n: int, d: int, seed: int = 0) -> Rows:
    return unit(np.random.default_rng(seed).standard_normal((n, d)))


def translations(languages: int = 5, n: int = 40, d: int = 6, seed: int = 0) -> list[Rows]:
    """Rows with structure of all kinds: meanings, offsets and scales of languages, a common direction."""
    random = np.random.default_rng(seed)
    meaning = random.standard_normal((n, d)) + random.standard_normal(d)
    return [
        unit(
            meaning
            + 0.4 * random.standard_normal((n, d)) * random.uniform(0.5, 2, d)
            + 0.3 * random.standard_normal(d)
        )
        for _ in range(languages)
    ]


def diagonal(languages: Sequence[Rows]) -> DiagonalKL:
    moments = [Moments.of(rows) for rows in languages]
    return diagonal_kl(np.array([m.mean for m in moments]), np.array([m.variance for m in moments]))


def full(languages: Sequence[Rows], shrinkage: float = SHRINKAGE) -> float:
    sums = GaussianSums(languages[0].shape[1])
    for rows in languages:
        moments = Moments.of(rows)
        sums.add(Gaussian.of(moments.mean, moments.covariance, shrinkage))
    return sums.mean()


def clusters(languages: Sequence[Rows]) -> ClusterSums:
    sums = ClusterSums(*languages[0].shape)
    for rows in languages:
        sums.add(rows)
    return sums


def partition(languages: Sequence[Rows]) -> PartitionSums:
    total = sum((Moments.of(rows) for rows in languages), Moments.empty(languages[0].shape[1]))
    sums = PartitionSums(principal_axes(total.gram, total.total))
    for rows in languages:
        sums.add(rows)
    return sums


def everything(languages: Sequence[Rows]) -> list[float]:
    kl, ch, pr = diagonal(languages), clusters(languages), partition(languages)
    return [float(kl.mean.mean()), full(languages), ch.score, ch.raw, pr.ratio, pr.ratio_both]


# The six tests of the specification, section 15.5.


def test_identical_rows_diverge_nowhere_and_vary_within_no_cluster() -> None:
    languages = [random_rows(30, 8)] * 4
    assert diagonal(languages).mean == pytest.approx([0.0] * 4, abs=1e-13)
    assert full(languages) == pytest.approx(0.0, abs=1e-12)
    assert clusters(languages).score == math.inf
    assert clusters(languages).raw == math.inf


def test_random_rows_have_no_structure() -> None:
    languages = [random_rows(300, 32, seed) for seed in range(8)]
    assert clusters(languages).score == pytest.approx(1.0, abs=0.03)
    assert partition(languages).ratio > 0.97
    assert partition(languages).ratio <= 1.0


def test_one_vector_everywhere_has_the_least_ratio_there_is() -> None:
    languages = [np.repeat(random_rows(1, 8), 20, axis=0)] * 3
    assert partition(languages).ratio == pytest.approx(math.exp(-1), abs=1e-6)
    assert partition(languages).ratio_both == pytest.approx(math.exp(-2), abs=1e-6)
    assert math.isnan(clusters(languages).score)
    assert diagonal(languages).mean == pytest.approx([0.0] * 3, abs=1e-12)
    assert full(languages) == pytest.approx(0.0, abs=1e-12)


def test_an_offset_of_one_language_raises_its_divergence() -> None:
    languages = translations()
    moments = [Moments.of(rows) for rows in languages]
    means, variances = np.array([m.mean for m in moments]), np.array([m.variance for m in moments])
    moved = means.copy()
    moved[2] += 0.3
    n = len(languages[0])
    before, after = diagonal_kl(means, variances), diagonal_kl(moved, variances)
    assert after.mean.argmax() == 2
    assert after.mean.mean() > 1.5 * before.mean.mean()
    # The variant with sums for variances hardly sees it: the offset counts only 1/n.
    assert after.literal(n).mean() - before.literal(n).mean() == pytest.approx(
        (after.shift - before.shift).mean() / n
    )
    assert after.scale == pytest.approx(before.scale)


def test_calinski_harabasz_is_scikit_learns_and_the_raw_ratio_times_a_factor() -> None:
    languages = translations(languages=7, n=25)
    found = clusters(languages)
    expected = calinski_harabasz_score(np.concatenate(languages).astype(np.float64), np.tile(np.arange(25), 7))
    assert found.score == pytest.approx(expected, rel=1e-10)
    assert found.score == pytest.approx(found.raw * 25 * (7 - 1) / (25 - 1))


def test_the_mean_over_pairs_is_equation_16_taken_literally() -> None:
    languages = translations()
    moments = [Moments.of(rows) for rows in languages]

    def normal(m: Moments) -> Normal:
        return Normal(torch.from_numpy(m.mean), torch.from_numpy(np.sqrt(m.variance)))

    pairs = np.array([[float(kl_divergence(normal(a), normal(b)).mean()) for b in moments] for a in moments])
    count = len(moments)
    literal = sum((pairs[a, b] + pairs[b, a]) / 2 for a, b in itertools.permutations(range(count), 2))
    found = diagonal(languages)
    assert np.diagonal(pairs) == pytest.approx(0.0)
    assert found.mean.mean() == pytest.approx(literal / (count * (count - 1)))
    assert found.mean == pytest.approx((pairs + pairs.T).sum(axis=1) / 2 / (count - 1))
    assert found.sum == pytest.approx(6 * found.mean)


# Parity of what the specification only names.


def test_full_covariances_agree_with_torch() -> None:
    languages = translations()

    def normal(rows: Rows) -> MultivariateNormal:
        m = Moments.of(rows)
        shrunk = (1 - SHRINKAGE) * m.covariance + SHRINKAGE * np.trace(m.covariance) / 6 * np.eye(6)
        return MultivariateNormal(torch.from_numpy(m.mean), torch.from_numpy(shrunk))

    pairs = [float(kl_divergence(normal(a), normal(b))) for a, b in itertools.permutations(languages, 2)]
    assert full(languages) == pytest.approx(float(np.mean(pairs)) / 6)


def test_moments_agree_with_numpy() -> None:
    rows = random_rows(50, 5)
    moments = Moments.of(rows)
    assert moments.covariance == pytest.approx(np.cov(rows.astype(np.float64), rowvar=False, bias=True))
    assert moments.variance == pytest.approx(rows.astype(np.float64).var(axis=0))
    cosines = rows.astype(np.float64) @ rows.T
    assert moments.mean_cosine == pytest.approx(cosines[~np.eye(50, dtype=bool)].mean(), abs=1e-6)


def test_the_principal_ratio_agrees_with_a_decomposition_of_all_rows() -> None:
    languages = translations()
    rows = np.concatenate(languages).astype(np.float64)
    _, _, axes = np.linalg.svd(rows, full_matrices=False)
    axes *= np.where(axes @ rows.sum(axis=0) < 0, -1, 1)[:, None]
    z = logsumexp(rows @ axes.T, axis=0)
    both = np.concatenate([z, logsumexp(-rows @ axes.T, axis=0)])
    assert partition(languages).ratio == pytest.approx(math.exp(z.min() - z.max()), rel=1e-6)
    assert partition(languages).ratio_both == pytest.approx(math.exp(both.min() - both.max()), rel=1e-6)


def test_the_floor_is_what_theory_says_without_shrinkage() -> None:
    n, d = 400, 20
    # E[KL] of two samples of n rows of one Gaussian: (d + 3) / (2 (n - d - 2)) per dimension, whatever it is.
    assert shrunk_floor(np.eye(d), n, shrinkage=0.0) == pytest.approx((d + 3) / (2 * (n - d - 2)), rel=0.15)
    assert 0.0 < shrunk_floor(np.eye(d), n) < shrunk_floor(np.eye(d), n, shrinkage=0.0)
    assert shrunk_floor(np.eye(d), n) == shrunk_floor(np.eye(d), n)


def test_components_are_the_directions_of_most_variance() -> None:
    rows = np.concatenate(translations())
    found = top_components(Moments.of(rows), 2)
    centred = rows - rows.mean(axis=0, dtype=np.float64)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    assert np.abs(np.diagonal(axes[:2] @ found)) == pytest.approx([1.0, 1.0], abs=1e-5)


def test_hubness_is_the_skewness_of_how_often_each_is_a_neighbour() -> None:
    queries, candidates = random_rows(80, 6), random_rows(70, 6, seed=1)
    nearest = np.argsort(-(queries @ candidates.T), axis=1)[:, :10]
    counts = np.bincount(nearest.ravel(), minlength=70)
    assert hubness(queries, candidates) == pytest.approx(float(skew(counts)))
    one = np.repeat(random_rows(1, 6), 30, axis=0)
    assert math.isnan(hubness(one, one)), "all are tied, so nobody is a hub"
    assert math.isnan(hubness(queries, candidates[:10])), "everybody is among the ten nearest"


def test_hubness_does_not_depend_on_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    queries, candidates = random_rows(80, 6), random_rows(70, 6, seed=1)
    expected = hubness(queries, candidates)
    monkeypatch.setattr("xrete.vectors.hubness.CELLS", 7 * 70)
    assert hubness(queries, candidates) == expected


def test_pair_cosine_is_the_mean_of_the_diagonal() -> None:
    left, right = random_rows(20, 6), random_rows(20, 6, seed=1)
    assert pair_cosine(left, right) == pytest.approx(float(np.diagonal(left @ right.T).mean()), abs=1e-6)


def test_rank_correlation_is_spearmans() -> None:
    left, right = [3.0, 1.0, 2.0, 2.0, 9.0], [1.0, 0.0, 5.0, 4.0, 4.0]
    assert rank_correlation(left, right) == pytest.approx(spearmanr(left, right).statistic)
    assert math.isnan(rank_correlation([1.0, 2.0], [2.0, 1.0]))
    assert math.isnan(rank_correlation([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]))


# What is not defined, and what must not break.


def test_one_language_has_no_divergence_and_no_clusters() -> None:
    one = translations(languages=1)
    with pytest.raises(ValueError, match="two"):
        diagonal(one)
    assert math.isnan(full(one))
    assert math.isnan(clusters(one).score)


def test_one_sentence_has_no_clusters_to_tell_apart() -> None:
    one = translations(n=1)
    assert math.isnan(clusters(one).score)
    assert math.isnan(Moments.of(one[0]).mean_cosine)


def test_a_dimension_that_does_not_vary_gives_a_large_divergence_not_an_infinite_one() -> None:
    flat = translations()[0].copy()
    flat[:, 0] = 0.25
    found = diagonal([flat, translations()[1]]).mean
    assert Moments.of(flat).variance[0] == MIN_VARIANCE
    assert np.isfinite(found).all()
    assert found[0] > 1e6


def test_fewer_rows_than_dimensions_need_shrinkage() -> None:
    few = [rows[:4] for rows in translations()]
    assert math.isfinite(full(few))
    with pytest.raises(ValueError, match="singular"):
        full(few, shrinkage=0.0)


# Properties.


@given(seeds)
@quickly
def test_the_order_of_languages_and_rows_does_not_matter(seed: int) -> None:
    languages = translations(seed=seed)
    random = np.random.default_rng(seed)
    rows = random.permutation(len(languages[0]))
    shuffled = [languages[number][rows] for number in random.permutation(len(languages))]
    assert everything(shuffled) == pytest.approx(everything(languages), rel=1e-6)


@given(seeds)
@quickly
def test_rotations_change_only_what_looks_at_single_dimensions(seed: int) -> None:
    languages = translations(seed=seed)
    rotation = np.linalg.qr(np.random.default_rng(seed).standard_normal((6, 6)))[0]
    turned = [unit(rows.astype(np.float64) @ rotation) for rows in languages]
    _, *before = everything(languages)
    kl, *after = everything(turned)
    assert after == pytest.approx(before, rel=1e-4)
    assert kl != pytest.approx(everything(languages)[0], rel=1e-4)


@given(seeds, st.integers(1, 60))
@quickly
def test_one_block_of_rows_after_the_other_is_all_at_once(seed: int, size: int) -> None:
    rows = random_rows(60, 6, seed)
    parts = [rows[start : start + size] for start in range(0, 60, size)]
    moments = sum(map(Moments.of, parts), Moments.empty(6))
    whole = Moments.of(rows)
    assert moments.n == whole.n
    assert moments.gram == pytest.approx(whole.gram)
    assert moments.total == pytest.approx(whole.total)
    axes: Floats = principal_axes(whole.gram, whole.total)
    streamed, once = PartitionSums(axes), PartitionSums(axes)
    for part in parts:
        streamed.add(part)
    once.add(rows)
    assert streamed.ratio == pytest.approx(once.ratio, rel=1e-7)


@given(seeds)
@quickly
def test_values_stay_in_their_range(seed: int) -> None:
    languages = translations(seed=seed)
    kl, full_kl, ch, raw, pr, both = everything(languages)
    assert min(kl, full_kl, ch, raw) >= 0.0
    assert math.exp(-1) - 1e-6 <= pr <= 1.0
    assert math.exp(-2) - 1e-6 <= both <= pr
