"""What a run of EMMA-X on Django's messages makes of them: are translations found, and which ranks do they get?

    xrete pretrain emmax --config bench/me5-small.toml --out DIR
    python bench/messages.py DIR

For the start and each checkpoint: how often the nearest message of another language is the translation, among
languages with bitexts and among those without; and for checkpoints with a trained classifier, the share of
translations and of other messages that it puts into each rank. No pair of these languages was shown as a bitext.
"""

from __future__ import annotations

import argparse
import itertools
import random
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table
from xrete.models.emmax.corpora.catalogues import catalogues, messages
from xrete.models.emmax.judges import config_of, judge
from xrete.models.emmax.runs import checkpoints

import xrete

WITH, WITHOUT = ("de", "ru", "sw", "fr", "hi", "ja"), ("uk", "sq", "is", "cs", "uz", "be")
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


def shares(folder: Path, texts: Mapping[str, Sequence[str]]) -> tuple[str, str]:
    """Returns which share of translations, and of other messages, has each rank, in percent."""
    said = judge(folder, [text for language in texts.values() for text in language]).classifier
    size = len(next(iter(texts.values())))
    message = np.tile(np.arange(size), len(texts))
    same = message[:, None] == message
    number = config_of(folder).ranks.number
    counts = [
        np.bincount(said[cells], minlength=number) for cells in (same & ~np.eye(len(same), dtype=bool), ~same)
    ]
    first, second = (" ".join(f"{100 * share:.1f}" for share in count / count.sum()) for count in counts)
    return first, second


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
    for name, folder in zip(names, [None, *folders], strict=True):
        accuracies = [f"{found(names[name], some, many):.1f}" for some in (WITH[:3], WITHOUT[:3])]
        ranks = shares(folder, few) if folder and not folder.name.startswith("1-") else ("", "")
        table.add_row(name, *accuracies, *ranks)
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
