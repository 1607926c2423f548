"""Artificial languages: a word for each concept, an order of words, function words."""

from __future__ import annotations

import itertools
import string
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from xrete.lazy import NDArray, np

from .config import WorldConfig
from .meanings import zipf

PIVOT = "en"
"""The language that bitexts and held-out sets lead to; artificial like the others, English in name only."""
HEAD = tuple(f"qa{letter}" for letter in string.ascii_lowercase)
TAIL = tuple(f"qt{letter}" for letter in string.ascii_lowercase)
"""Codes that ISO 639-3 keeps for private use."""

SYLLABLES = 20
"""Syllables of a language; no other language has any of them."""
CONSONANTS = "bcdfghjklmnprstvwxz"
VOWELS = "aeiou"
ACCENTS = ("", *"\u0300\u0301\u0302\u0303\u0304\u0306\u0308\u030c\u030f\u0311\u0328")
MOST_PARTICLES = 2
"""Most function words in a sentence."""


@dataclass(frozen=True)
class Language:
    """One language.

    Attributes:
        code: Its code.
        forms: The word of each concept, str [concepts].
        order: Which component of a meaning stands at each place of a sentence, [components].
        particles: Its function words, which have no meaning; the most frequent first. They stand behind other words
            without a space, so that stems stand alone and before endings, as tokenizers expect of a language.
        frequencies: How often each of these is drawn.
    """

    code: str
    forms: NDArray[np.object_]
    order: NDArray[np.int64]
    particles: tuple[str, ...]
    frequencies: NDArray[np.float64]

    def words(self) -> Iterator[tuple[str, int]]:
        """Yields each word as it can be written, with and without a function word behind it, and its concept."""
        for ending in ("", *self.particles):
            for concept, form in enumerate(self.forms.tolist()):
                yield form + ending, concept

    def sentences(self, meanings: NDArray[np.int64], random: np.random.Generator) -> list[str]:
        """Says each meaning [n, components] once, with a function word behind none, one or two of the words."""
        rows: list[list[str]] = self.forms[meanings[:, self.order]].tolist()
        if self.particles:
            size = (len(rows), MOST_PARTICLES)
            counts = random.integers(0, MOST_PARTICLES, len(rows), endpoint=True)
            chosen = random.choice(self.particles, size, p=self.frequencies).tolist()
            places = random.permuted(np.tile(np.arange(len(self.order)), (len(rows), 1)), axis=1).tolist()
            for row, count, particles, at in zip(rows, counts, chosen, places, strict=True):
                for particle, place in itertools.islice(zip(particles, at, strict=False), count):
                    row[place] += particle
        return [" ".join(row) for row in rows]


def languages(config: WorldConfig) -> Mapping[str, Language]:
    """Makes the pivot, then the head languages, then the tail, by code."""
    everyone = (PIVOT, *HEAD, *TAIL)
    syllables = np.random.default_rng([config.seed, 1]).permutation(_syllables()).tolist()
    cognates = np.random.default_rng([config.seed, 2]).permutation(config.concepts)
    cognates = cognates[: round(config.cognates * config.concepts)]
    stock = _words(syllables[:SYLLABLES], config.concepts, np.random.default_rng([config.seed, 3]))
    made = {}
    for code in (PIVOT, *HEAD[: config.head], *TAIL[: config.tail]):
        place = 1 + everyone.index(code)
        own = syllables[place * SYLLABLES : (place + 1) * SYLLABLES]
        random = np.random.default_rng([config.seed, 3, place])
        particles = tuple(own[: config.function_words])
        forms = _words(own[config.function_words :], config.concepts, random)
        forms[cognates] = stock[cognates]
        made[code] = Language(
            code=code,
            forms=forms,
            order=random.permutation(config.components),
            particles=particles,
            frequencies=zipf(config.function_words, config.zipf),
        )
    return made


def _syllables() -> list[str]:
    """Lists all syllables: a consonant and a vowel, two characters each, so that words can be taken apart."""
    vowels = [unicodedata.normalize("NFC", vowel + accent) for accent in ACCENTS for vowel in VOWELS]
    return ["".join(pair) for pair in itertools.product(CONSONANTS, vowels)]


def _words(syllables: Sequence[str], count: int, random: np.random.Generator) -> NDArray[np.object_]:
    """Makes different words of two or three syllables, [count]."""
    words: dict[str, None] = {}
    while len(words) < count:
        words["".join(random.choice(syllables, random.integers(2, 3, endpoint=True)))] = None
    return np.array(list(words), dtype=object)
