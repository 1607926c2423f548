"""Two tasks: one with a name of its own, one with the name of a task of XRETE's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from xrete.shapes.bitext import Bitext
from xrete.sources import Folder, Mini
from xrete.task import TaskCard

SAMPLE = {"dog": "Hund", "cat": "Katze", "horse": "Pferd", "cow": "Kuh", "bird": "Vogel", "fish": "Fisch"}


class Animals:
    """Find the English name."""

    card = TaskCard(
        name="animals",
        title="Animals: names, 2 languages to English",
        shape="bitext",
        category="retrieval",
        metric="accuracy",
        languages=("de", "sw"),
        splits=("test",),
        counts={},
        licence="CC0 1.0",
        citation="our own",
        layout="animals/xx.txt and animals/en.txt",
    )

    def files(self, language: str, split: str) -> Sequence[str]:
        return [f"animals/{language}.txt"]

    def from_folder(self, folder: Folder, language: str, split: str) -> Bitext:
        return Bitext(folder.lines(f"animals/{language}.txt"), folder.lines("animals/en.txt"))

    def from_mini(self, mini: Mini, language: str, split: str) -> Bitext | None:
        return Bitext(list(SAMPLE.values()), list(SAMPLE)) if language == "de" else None


class Namesake(Animals):
    """The same under another name."""

    card = replace(Animals.card, name="tatoeba")


TASK = Animals()
NAMESAKE = Namesake()
