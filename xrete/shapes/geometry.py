"""Geometry: how all languages lie in one space together (EMMA-X, section 5.3, Eq. 16 to 18).

The data of a language is its sentences; row i of every language says the same.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from xrete.errors import DataError, UsageError
from xrete.languages import same_language
from xrete.lazy import np
from xrete.shapes.contract import Data, Encode, JointScores
from xrete.shapes.metric import Metric
from xrete.vectors import geometry
from xrete.vectors.alignment import pair_cosine, rank_correlation
from xrete.vectors.disk_buffer import DiskBuffer
from xrete.vectors.geometry import (
    ClusterSums,
    Floats,
    Gaussian,
    GaussianSums,
    Moments,
    PartitionSums,
    Rows,
    diagonal_kl,
)
from xrete.vectors.hubness import hubness
from xrete.vectors.search import mutual_nearest

COMPONENTS = 16
"""The k of `kl_pca_16`: k much smaller than n, even in the mini sample."""

ROWS_PER_COMPONENT = 4
"""With fewer rows for each of the k components, covariances of k dimensions are noise."""

BESIDE_RETRIEVAL = ("kl", "mean_cosine", "alignment", "hubness")
"""What is correlated with retrieval accuracy across languages."""

METRICS = (
    *("kl", "kl_diag_sum", "kl_literal_sum", "kl_full_shrunk", "kl_full_shrunk_floor", "kl_pca_16"),
    *("ch", "ch_raw", "pr", "pr_both"),
    *("mean_cosine", "alignment", "hubness", "accuracy"),
    *(f"rho_{name}" for name in BESIDE_RETRIEVAL),
)


class Geometry:
    """Scores all languages together, and each group of the card.

    Of groups:

    - `kl` (Eq. 16): diagonal covariances, mean over dimensions. `kl_diag_sum`: their sum. `kl_literal_sum`: with
      variances that are sums over sentences, as printed. `kl_full_shrunk`: full covariances, shrunk towards the
      identity by 0.1, per dimension, and `kl_full_shrunk_floor`: what two samples of one Gaussian would give.
      `kl_pca_16`: full covariances of the first 16 components of the group, per component.
    - `ch` (Eq. 17 as scikit-learn has it) and `ch_raw` (as printed).
    - `pr` (Eq. 18, each eigenvector turned towards the mean) and `pr_both` (with both signs).
    - Means over the group's languages of the four numbers below, and `rho_*`: 100 times the rank correlation of
      each of them, and of `kl`, with `accuracy`.

    Of languages: `kl` and its diagonal variants, as means over the other languages, so that their mean over all
    languages is the group's; `mean_cosine` of its own sentences (anisotropy); and against English `alignment`
    (mean cosine of translations), `hubness` (of English sentences, k = 10) and `accuracy` (as in task flores).

    What is not defined is left out: against English where English is not there, `rho_*` below three languages,
    `kl_pca_16` below 64 sentences or 16 dimensions, `ch` where nothing varies.

    Languages are encoded once, English first. Their vectors are kept on disk for the second look that Eq. 18
    needs (the eigenvectors of all rows come first, then all rows again), not encoded again: without an embedding
    cache that would double the time. Memory holds one language, the means and variances of all, and four
    matrices a group.
    """

    name = "geometry"
    metrics: Mapping[str, Metric] = dict.fromkeys(METRICS, Metric.joint())

    def size(self, data: Sequence[str]) -> int:
        """Number of sentences."""
        return len(data)

    def take_first(self, data: Sequence[str], limit: int) -> Sequence[str]:
        """The first `limit` sentences."""
        return data[:limit]

    def content(self, data: Sequence[str]) -> Iterable[str]:
        """The sentences, in order."""
        return data

    def count_texts(self, data: Sequence[str]) -> int:
        """Number of sentences."""
        return len(data)

    def joint(self, dataset: Data, encode: Encode) -> JointScores:
        """Scores every language and every group that has two languages or more.

        Raises:
            DataError: languages have unequal numbers of sentences.
            UsageError: there are fewer than two languages.
        """
        _check(dataset)
        groups = _groups(dataset)
        with DiskBuffer() as buffer:
            first_looks, sums = _first_pass(dataset, encode, groups, buffer)
            looks = _second_pass(first_looks, sums, groups, buffer)
        sentences = len(dataset[dataset.languages[0]])
        kl = {name: _divergences(first_looks, members, sentences) for name, members in groups.items()}
        for language, values in zip(groups["all"], kl["all"], strict=True):
            first_looks[language].values.update(values)
        return JointScores(
            languages={language: _defined(first_looks[language].values) for language in dataset.languages},
            groups={
                name: _defined(
                    _means(kl[name])
                    | sums[name].values()
                    | looks[name].values()
                    | _summary([first_looks[language].values for language in members])
                )
                for name, members in groups.items()
            },
        )


@dataclass(frozen=True)
class _Language:
    """What is kept of one language."""

    mean: Floats
    variance: Floats
    values: dict[str, float]


class _Sums:
    """What is added up for one group as its languages pass by."""

    def __init__(self, rows: Rows) -> None:
        sentences, dimension = rows.shape
        self.moments = Moments.empty(dimension)
        self.clusters = ClusterSums(sentences, dimension)
        self._gaussians = GaussianSums(dimension)
        self._within = np.zeros((dimension, dimension))
        self._languages = 0

    def add(self, rows: Rows, moments: Moments, gaussian: Gaussian) -> None:
        self.moments += moments
        self.clusters.add(rows)
        self._gaussians.add(gaussian)
        self._within += moments.covariance
        self._languages += 1

    def values(self) -> dict[str, float]:
        within, sentences = self._within / self._languages, self.moments.n // self._languages
        return {
            "kl_full_shrunk": self._gaussians.mean(),
            "kl_full_shrunk_floor": geometry.shrunk_floor(within, sentences),
            "ch": self.clusters.score,
            "ch_raw": self.clusters.raw,
        }


class _SecondLook:
    """What can be added up for one group only once the moments of all its rows are known."""

    def __init__(self, axes: Floats, components: Floats) -> None:
        self._partition = PartitionSums(axes)
        self._components = components
        self._gaussians: GaussianSums | None = GaussianSums(components.shape[1])

    @staticmethod
    def after(sums: _Sums) -> _SecondLook:
        moments = sums.moments
        return _SecondLook(
            geometry.principal_axes(moments.gram, moments.total), geometry.top_components(moments, COMPONENTS)
        )

    def add(self, rows: Rows) -> None:
        self._partition.add(rows)
        k = self._components.shape[1]
        if k < COMPONENTS or len(rows) < ROWS_PER_COMPONENT * k or self._gaussians is None:
            return
        moments = Moments.of(rows.astype(np.float64) @ self._components)
        try:
            self._gaussians.add(Gaussian.of(moments.mean, moments.covariance, shrinkage=0.0))
        except ValueError:  # a language that does not vary in them: the divergence from it is infinite
            self._gaussians = None

    def values(self) -> dict[str, float]:
        return {
            "kl_pca_16": self._gaussians.mean() if self._gaussians else math.inf,
            "pr": self._partition.ratio,
            "pr_both": self._partition.ratio_both,
        }


def english_of(languages: Iterable[str]) -> str | None:
    """Returns the code that is English, if there is one."""
    return next((language for language in languages if same_language(language, "en")), None)


def _groups(dataset: Data) -> dict[str, tuple[str, ...]]:
    """Returns the languages that are there of every group that has two."""
    card = dataset.card
    present = set(dataset.languages)
    groups = {
        name: tuple(x for x in members if x in present)
        for name, members in {"all": card.languages, **card.groups}.items()
    }
    return {name: members for name, members in groups.items() if len(members) > 1}


def _check(dataset: Data) -> None:
    name, (first, *others) = dataset.card.name, dataset.languages
    if not others:
        raise UsageError(f"{name} compares languages, and there is only {first}; take at least two")
    for other in others:
        if len(dataset[first]) != len(dataset[other]):
            raise DataError(
                f"{name}: {first} has {len(dataset[first])} sentences and {other} {len(dataset[other])}, but row "
                f"for row they must translate each other; fetch the files again"
            )


def _first_pass(
    dataset: Data, encode: Encode, groups: Mapping[str, tuple[str, ...]], buffer: DiskBuffer
) -> tuple[dict[str, _Language], dict[str, _Sums]]:
    """Encodes every language and adds up; English comes first, because others are compared with it."""
    pivot = english_of(dataset.languages)
    english: Rows | None = None
    first_looks: dict[str, _Language] = {}
    sums: dict[str, _Sums] = {}
    for language in sorted(dataset.languages, key=lambda code: code != pivot):
        rows = encode(dataset[language])
        buffer.append(rows)
        moments = Moments.of(rows)
        values = {"mean_cosine": moments.mean_cosine} | ({} if english is None else _beside(rows, english))
        first_looks[language] = _Language(moments.mean, moments.variance, values)
        gaussian = Gaussian.of(moments.mean, moments.covariance, geometry.SHRINKAGE)
        for name, members in groups.items():
            if language in members:
                sums.setdefault(name, _Sums(rows)).add(rows, moments, gaussian)
        if language == pivot:
            english = rows
    return first_looks, sums


def _beside(rows: Rows, english: Rows) -> dict[str, float]:
    nearest, _ = mutual_nearest(rows, english)
    return {
        "alignment": pair_cosine(rows, english),
        "hubness": hubness(rows, english),
        "accuracy": 100.0 * float(np.mean(nearest == np.arange(len(rows)))),
    }


def _second_pass(
    languages: Iterable[str],
    sums: Mapping[str, _Sums],
    groups: Mapping[str, tuple[str, ...]],
    buffer: DiskBuffer,
) -> dict[str, _SecondLook]:
    """Looks at every language's vectors again, in the order of the first pass."""
    looks = {name: _SecondLook.after(total) for name, total in sums.items()}
    for number, language in enumerate(languages):
        rows = buffer[number]
        for name, members in groups.items():
            if language in members:
                looks[name].add(rows)
    return looks


def _divergences(
    first_looks: Mapping[str, _Language], members: Sequence[str], sentences: int
) -> list[dict[str, float]]:
    """Returns the diagonal variants of Eq. 16 for each language of a group."""
    kl = diagonal_kl(
        np.array([first_looks[language].mean for language in members]),
        np.array([first_looks[language].variance for language in members]),
    )
    columns = {"kl": kl.mean, "kl_diag_sum": kl.sum, "kl_literal_sum": kl.literal(sentences)}
    return [{name: float(column[row]) for name, column in columns.items()} for row in range(len(members))]


def _means(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Means of what is there; each row's NaN is passed over."""
    names = dict.fromkeys(name for row in rows for name in row)
    columns = {name: [row[name] for row in rows if not math.isnan(row.get(name, math.nan))] for name in names}
    return {name: float(np.mean(column)) for name, column in columns.items() if column}


def _summary(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Means over a group of what was found of its languages, and what goes with retrieval accuracy."""
    values = _means([{name: row[name] for name in row if not name.startswith("kl")} for row in rows])
    for name in BESIDE_RETRIEVAL:
        pairs = [(row[name], row["accuracy"]) for row in rows if {name, "accuracy"} <= _defined(row).keys()]
        values[f"rho_{name}"] = 100.0 * rank_correlation([x for x, _ in pairs], [y for _, y in pairs])
    return values


def _defined(values: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in values.items() if not math.isnan(value)}


SHAPE = Geometry()
