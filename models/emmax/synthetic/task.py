"""The held-out sets of a world as a bitext retrieval task."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from xrete.shapes.bitext import Bitext
from xrete.sources import Folder
from xrete.task import TaskCard

from .languages import PIVOT
from .world import read_card


class WorldTask:
    """Find the pivot's sentence of the same meaning; languages with bitexts are head, others long-tail."""

    def __init__(self, head: Sequence[str], tail: Sequence[str], count: int) -> None:
        """Says what there is.

        Args:
            head: Languages with bitexts.
            tail: Languages without.
            count: Sentences of each held-out set.
        """
        groups = {"head": tuple(head), "long-tail": tuple(tail)}
        self.card = TaskCard(
            name="world",
            title=f"World: sentence retrieval, {len(head) + len(tail)} artificial languages to their pivot",
            shape="bitext",
            category="retrieval",
            metric="accuracy",
            languages=(*head, *tail),
            splits=("test",),
            counts={"test": count},
            groups={name: codes for name, codes in groups.items() if codes},
            licence="CC0 1.0",
            citation="made by xrete.models.emmax.synthetic",
            layout=f"heldout/LANG.txt and heldout/{PIVOT}.txt",
        )

    @classmethod
    def of(cls, folder: Path) -> WorldTask:
        """Returns the task of the world whose corpora are in `folder`.

        Raises:
            DataError: there is none.
        """
        card = read_card(folder)
        return cls(card["head"], card["tail"], card["held_out_sentences"])

    def files(self, language: str, split: str) -> Sequence[str]:
        """The two sides."""
        return [f"heldout/{code}.txt" for code in (language, PIVOT)]

    def from_folder(self, folder: Folder, language: str, split: str) -> Bitext:
        """Reads the two sides."""
        return Bitext(*map(folder.lines, self.files(language, split)))
