"""Batches: languages drawn by temperature, and each corpus walked through in a new random order every epoch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from xrete.errors import UsageError
from xrete.lazy import NDArray, np

from .digests import text_digests
from .permutation import order_key, permute
from .prepared import Corpus, Prepared

BATCHES = "batches"
"""The key of a position that counts batches; the others are corpora, and count the rows drawn from them."""


@dataclass(frozen=True)
class Batch:
    """One global batch, the same on every process.

    Attributes:
        texts: The sentences [B].
        languages: XLM-R's code of each [B].
        partners: Row of each row's translation in this batch, -1 where there is none; int64 [B].
        ids: 64-bit digest of each text: equal texts have equal ids; int64 [B].
        position: The sampler's state after this batch, as JSON: what a checkpoint keeps.
    """

    texts: list[str]
    languages: list[str]
    partners: NDArray[np.int64]
    ids: NDArray[np.int64]
    position: dict[str, int]


class Sampler:
    """Draws batches; each is a function of the seed and the position alone.

    A corpus of n rows is chosen with a probability in proportion to n to the exponent's power, for each row or pair
    anew. Its rows come in a pseudo-random order without replacement; when all have been drawn, in another one.

    Args:
        prepared: The corpora.
        seed: Of all that is random.
        parallel_exponent: For bitexts.
        monolingual_exponent: For monolingual text.
        position: Where to go on, from a batch of the same corpora and seed; None starts.

    Raises:
        UsageError: the position is one of other corpora.
    """

    def __init__(
        self,
        prepared: Prepared,
        *,
        seed: int,
        parallel_exponent: float,
        monolingual_exponent: float,
        position: Mapping[str, int] | None = None,
    ) -> None:
        self._seed = seed
        self._parallel = {f"parallel/{name}": corpus for name, corpus in prepared.parallel.items()}
        self._monolingual = {f"monolingual/{name}": corpus for name, corpus in prepared.monolingual.items()}
        self._shares = {
            **_shares(self._parallel, parallel_exponent),
            **_shares(self._monolingual, monolingual_exponent),
        }
        start = dict.fromkeys([BATCHES, *self._parallel, *self._monolingual], 0)
        self._position = start if position is None else dict(position)
        if self._position.keys() != start.keys():
            other = sorted(self._position.keys() ^ start.keys())
            raise UsageError(
                f"the position to go on from is one of other corpora ({', '.join(other[:3])}); give the same data, "
                f"or start anew"
            )

    @property
    def shares(self) -> dict[str, float]:
        """The probability of each bitext ("parallel/de-en"), and of each language ("monolingual/sw")."""
        return dict(self._shares)

    def bitexts(self, pairs: int) -> Batch:
        """Draws pairs: rows 0..n-1 are sources, n..2n-1 their translations; which side is which is drawn [2n]."""
        return self._batch(pairs, 0)

    def sentences(self, count: int) -> Batch:
        """Draws sentences of all languages [count]; no row has a partner."""
        return self._batch(0, count)

    def held_out(self, pairs: int, sentences: int) -> Batch:
        """Returns rows with which first epochs end, of each corpus in proportion, fewer of a small one.

        No batch has them before their corpus was gone through. Pairs come first, as in `bitexts`.
        """
        sides = self._last(self._parallel, pairs)
        alone = self._last(self._monolingual, sentences) if self._monolingual else []
        drawn = [*(row[side] for side in (0, 1) for row in sides), *(row[0] for row in alone)]
        texts, languages = [text for text, _ in drawn], [language for _, language in drawn]
        partners = np.full(len(drawn), -1)
        partners[: 2 * len(sides)] = np.roll(np.arange(2 * len(sides)), len(sides))
        return Batch(texts, languages, partners, text_digests(texts), dict(self._position))

    def _last(self, corpora: Mapping[str, Corpus], count: int) -> list[list[tuple[str, str]]]:
        """Reads the rows with which the first epochs end: text and language of each side."""
        bounds = np.cumsum([self._shares[name] for name in corpora])
        chosen = np.searchsorted(bounds[:-1], (np.arange(count) + 0.5) / count, side="right")
        sizes = np.array([len(corpus) for corpus in corpora.values()])[chosen]
        steps = sizes - 1 - (np.arange(count) - np.searchsorted(chosen, chosen))  # counted back in each corpus
        return self._rows(corpora, chosen[steps >= 0], steps[steps >= 0])

    def mixed(self, count: int, parallel_fraction: float) -> Batch:
        """Draws sentences, a share of which are sides of whole pairs; those come first, as in `bitexts` [count].

        The share is met up to one pair: there are count * parallel_fraction / 2 of them, rounded.
        """
        pairs = min(round(count * parallel_fraction / 2), count // 2)
        return self._batch(pairs, count - 2 * pairs)

    def _batch(self, pairs: int, count: int) -> Batch:
        random = np.random.default_rng([self._seed, self._position[BATCHES]])
        sides = self._draw(self._parallel, pairs, random)
        swapped = random.random(pairs) < 0.5
        sources, targets = (
            [row[side ^ swap] for row, swap in zip(sides, swapped.tolist(), strict=True)] for side in (0, 1)
        )
        drawn = [*sources, *targets, *(row[0] for row in self._draw(self._monolingual, count, random))]
        texts, languages = [text for text, _ in drawn], [language for _, language in drawn]
        partners = np.full(len(drawn), -1)
        partners[: 2 * pairs] = np.roll(np.arange(2 * pairs), pairs)
        self._position[BATCHES] += 1
        return Batch(texts, languages, partners, text_digests(texts), dict(self._position))

    def _draw(
        self, corpora: Mapping[str, Corpus], count: int, random: np.random.Generator
    ) -> list[list[tuple[str, str]]]:
        """Draws rows of several corpora: text and language of each side."""
        if not count:
            return []
        if not corpora:
            if corpora is self._parallel:
                raise UsageError("there are no bitexts: give data.parallel a source")
            raise UsageError(
                "there is no monolingual text: give data.monolingual a source, or set data.bitexts_as_monolingual"
            )
        names = list(corpora)
        bounds = np.cumsum([self._shares[name] for name in names])
        chosen = np.searchsorted(bounds[:-1], random.random(count), side="right")
        steps = np.empty(count, dtype=np.int64)
        for number in np.unique(chosen).tolist():
            places, drawn = np.flatnonzero(chosen == number), self._position[names[number]]
            self._position[names[number]] = drawn + len(places)
            steps[places] = np.arange(drawn, drawn + len(places))
        return self._rows(corpora, chosen, steps)

    def _rows(
        self, corpora: Mapping[str, Corpus], chosen: NDArray[np.int64], steps: NDArray[np.int64]
    ) -> list[list[tuple[str, str]]]:
        """Reads rows: text and language of each side.

        Args:
            corpora: All of one kind.
            chosen: Which of them each row is of, int64 [n].
            steps: When its turn is, counted from the start of the first epoch, int64 [n].
        """
        names = list(corpora)
        sizes = np.array([len(corpus) for corpus in corpora.values()])[chosen]
        orders = zip(chosen.tolist(), (steps // sizes).tolist(), strict=True)
        keys = np.stack([order_key(f"{self._seed} {names[number]} {epoch}") for number, epoch in orders])
        permuted = permute(steps % sizes, sizes, keys)
        rows: list[list[tuple[str, str]]] = [[]] * len(chosen)
        for number in np.unique(chosen).tolist():
            corpus, places = corpora[names[number]], np.flatnonzero(chosen == number)
            for place, texts in zip(places.tolist(), corpus.rows(permuted[places]), strict=True):
                rows[place] = list(zip(texts, corpus.languages, strict=True))
        return rows


def _shares(corpora: Mapping[str, Corpus], exponent: float) -> dict[str, float]:
    """P ~ n^exponent, taken as (n / largest)^exponent so that no power overflows."""
    largest = max(map(len, corpora.values()), default=1)
    weights = {name: (len(corpus) / largest) ** exponent for name, corpus in corpora.items()}
    return {name: weight / sum(weights.values()) for name, weight in weights.items()}
