"""Pictures as numbers: a sample of sentences in many languages, and where t-SNE and PCA put it in the plane."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xrete.errors import UsageError
from xrete.vectors.geometry import Floats, Moments, Rows

PERPLEXITY = 30.0
"""About how many neighbours t-SNE keeps together: van der Maaten and Hinton's, and scikit-learn's, middle value."""

BEFORE_TSNE = 50
"""Principal components that t-SNE sees; the rest is noise to it, and time."""


@dataclass(frozen=True)
class Sample:
    """Sentences in several languages.

    Attributes:
        languages: Codes.
        rows: Numbers of the sentences in the data.
        captions: Each sentence, in English where English is there.
        vectors: Unit vectors [languages, sentences, d].
    """

    languages: tuple[str, ...]
    rows: tuple[int, ...]
    captions: tuple[str, ...]
    vectors: NDArray[np.float32]

    @property
    def flat(self) -> Rows:
        """All vectors, a language after the other [languages x sentences, d]."""
        return self.vectors.reshape(-1, self.vectors.shape[-1])


@dataclass(frozen=True)
class Projection:
    """A sample in the plane.

    Attributes:
        sample: What is projected.
        tsne: Coordinates by t-SNE [languages, sentences, 2].
        components: Coordinates by PCA, centred [languages, sentences, 2].
        explained: Share of the variance on each of the two components.
        spectrum: Eigenvalues of E^T E as shares of their sum, the largest first: what the principal ratio looks
            at. All are 1/d in an isotropic space.
    """

    sample: Sample
    tsne: Floats
    components: Floats
    explained: tuple[float, float]
    spectrum: Floats

    @cached_property
    def isolation(self) -> Floats:
        """Share of a language's sentences whose nearest vector, of all others, is of the same language [languages].

        Near 0 where languages share one space, 1 where a language stays by itself.
        """
        vectors = self.sample.flat
        scores = vectors @ vectors.T
        np.fill_diagonal(scores, -np.inf)
        sentences = len(self.sample.rows)
        same = scores.argmax(axis=1) // sentences == np.arange(len(vectors)) // sentences
        return np.asarray(same.reshape(-1, sentences).mean(axis=1))


def choose(count: int, most: int, seed: int, keep: Sequence[int] = ()) -> list[int]:
    """Draws at most `most` of `count` numbers without repetition, those in `keep` always, in order."""
    others = [number for number in range(count) if number not in set(keep)]
    wanted = max(0, min(most - len(keep), len(others)))
    drawn = np.random.default_rng(seed).choice(len(others), wanted, replace=False)
    return sorted([*keep, *(others[index] for index in drawn)])


def project(sample: Sample, seed: int) -> Projection:
    """Puts a sample into the plane.

    Args:
        sample: Two languages or more.
        seed: For t-SNE, which starts from PCA, so that the seed decides little.

    Raises:
        UsageError: there are too few sentences for a picture.
    """
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    vectors = sample.flat.astype(np.float64)
    if len(sample.rows) < 3:
        raise UsageError("a picture needs three sentences or more; raise --sentences or --limit")
    size = min(BEFORE_TSNE, *vectors.shape)
    pca = PCA(size, svd_solver="full").fit(vectors)
    reduced = pca.transform(vectors)
    tsne = TSNE(init="pca", perplexity=min(PERPLEXITY, len(vectors) / 4), random_state=seed)
    # On one thread: the picture is the same on any machine, and on a busy one its thousands of tiny steps do not
    # each wait for a thread that has no processor.
    with threadpool_limits(1):
        placed = tsne.fit_transform(reduced)
    spectrum = np.linalg.eigvalsh(Moments.of(vectors).gram)[::-1].clip(min=0.0)
    shares: Any = pca.explained_variance_ratio_
    plane = (len(sample.languages), len(sample.rows), 2)
    return Projection(
        sample,
        np.asarray(placed, dtype=np.float64).reshape(plane),
        reduced[:, :2].reshape(plane),
        (float(shares[0]), float(shares[1])),
        spectrum / spectrum.sum(),
    )
