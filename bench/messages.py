"""What a run of EMMA-X on Django's messages makes of them: are translations found, and which ranks do they get?

    xrete pretrain emmax --config bench/me5-small.toml --out DIR
    python bench/messages.py DIR

For the start and each checkpoint: how often the nearest message of another language is the translation, among
languages with bitexts and among those without; and for checkpoints with a trained classifier, the share of
translations and of other messages that it puts into each rank. No pair of these languages was shown as a bitext.
Then, of the first of these checkpoints, which other messages it most often puts above the last rank.
"""

from __future__ import annotations

import argparse
import itertools
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

import xrete
from xrete.models.emmax.corpora.catalogues import catalogues, messages
from xrete.models.emmax.folders import checkpoints
from xrete.models.emmax.synthetic.judges import config_of, judge

WITH, WITHOUT = ("de", "ru", "sw", "fr", "hi", "ja"), ("uk", "sq", "is", "cs", "uz", "be")
NEIGHBOURS = 20
"""Pairs of messages that are shown."""
SHORTEST = 8
"""Letters of an English message; shorter ones are words that stand in many."""


def translated(languages: Sequence[str], most: int) -> Mapping[str, Sequence[str]]:
    """Returns messages that all of these languages have, row by row."""
    by_message: dict[str, dict[str, str]] = {}
    for language, file in catalogues("django"):
        for row in messages(file):
            if row.texts and len(row.texts[0]) >= SHORTEST:
                by_message.setdefault(row.texts[0], {}).setdefault(language, row.texts[1])
    whole = [key for key, of in by_message.items() if all(of.get(x, key) != key for x in languages)]
    chosen = random.Random(0).sample(whole, min(most, len(whole)))
    return {language: [by_message[key][language] for key in chosen] for language in languages}


def found(model: str, languages: Sequence[str], texts: Mapping[str, Sequence[str]]) -> float:
    """Returns the accuracy, in percent, over all ordered pairs of languages."""
    encoder = xrete.load_model(model, device="cpu")
    vectors = {}
    for language in languages:
        rows = encoder.encode(texts[language])
        vectors[language] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    pairs = itertools.permutations(languages, 2)
    return 100 * float(
        np.mean([(vectors[a] @ vectors[b].T).argmax(1) == np.arange(len(vectors[a])) for a, b in pairs])
    )


@dataclass(frozen=True)
class Ranks:
    """What the classifier says of messages in all languages.

    Attributes:
        said: Ranks from 0, [n, n].
        message: Which message each text is, [n].
        number: N.
    """

    said: NDArray[np.int64]
    message: NDArray[np.int64]
    number: int

    @classmethod
    def of(cls, folder: Path, texts: Mapping[str, Sequence[str]]) -> Ranks:
        """Asks a checkpoint."""
        said = judge(folder, [text for language in texts.values() for text in language]).classifier
        message = np.tile(np.arange(len(next(iter(texts.values())))), len(texts))
        return cls(said, message, config_of(folder).ranks.number)

    def shares(self) -> list[str]:
        """Returns which share of translations, and of other messages, has each rank, in percent."""
        same = self.message[:, None] == self.message
        found = []
        for cells in (same & ~np.eye(len(same), dtype=bool), ~same):
            count = np.bincount(self.said[cells], minlength=self.number)
            found.append(" ".join(f"{100 * share:.1f}" for share in count / count.sum()))
        return found

    def neighbours(self, names: Sequence[str]) -> Iterator[str]:
        """Says how many texts have another message above the last rank, and which pairs of messages are there."""
        near = (self.message[:, None] != self.message) & (self.said < self.number - 1)
        yield f"{near.any(axis=1).mean():.0%} of {len(near)} texts have another message above the last rank:"
        pairs = Counter(tuple(sorted(self.message[[a, b]])) for a, b in np.argwhere(near))
        for (a, b), count in pairs.most_common(NEIGHBOURS):
            yield f"{count / near.sum():6.1%}  {names[a]}  |  {names[b]}"


def main() -> None:
    """Looks at one run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    given = parser.parse_args()
    many, few = translated([*WITH[:3], *WITHOUT[:3]], 400), translated([*WITH, *WITHOUT], 60)
    size = len(many["de"])
    table = Table("", "with bitexts", "without", "ranks of translations", "of others", title=f"{size} messages")
    folders = checkpoints(given.run)
    encoder = config_of(folders[0]).encoder
    names = {"start": f"hf:{encoder.start}?pooling={encoder.pooling}"} | {x.name: f"emmax:{x}" for x in folders}
    trained = []
    for name, folder in zip(names, [None, *folders], strict=True):
        accuracies = [f"{found(names[name], some, many):.1f}" for some in (WITH[:3], WITHOUT[:3])]
        if folder and not folder.name.startswith("1-"):
            trained.append(Ranks.of(folder, few))
        table.add_row(name, *accuracies, *(trained[-1].shares() if trained else ("", "")))
    console = Console(width=120)
    console.print(table)
    for line in trained[0].neighbours(few["de"]) if trained else ():
        console.print(line, markup=False, highlight=False, soft_wrap=True)


if __name__ == "__main__":
    main()
