"""XCOPA (Ponti et al. 2020): the more plausible cause or effect of two, 11 languages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from xrete.tasks import recipes
from xrete.tasks.prompts import CHOICE

from xrete.shapes.choice import Choices
from xrete.sources import Folder, Hub, Mini
from xrete.task import HubData, TaskCard

COLUMNS = ("premise", "question", "choice1", "choice2", "label")
HUB_SPLITS = {"val": "validation"}


def choices(columns: Mapping[str, Sequence[Any]], ids: Sequence[str] | None = None) -> Choices:
    """Makes data of the columns of `COLUMNS`."""
    premises, questions, choice1, choice2, labels = (columns[name] for name in COLUMNS)
    return Choices(first=premises, questions=questions, choice1=choice1, choice2=choice2, labels=labels, ids=ids)


class Xcopa:
    """The files of `cambridgeltl/xcopa`, below `data`."""

    card = TaskCard(
        name="xcopa",
        title="XCOPA: choice of plausible alternatives, 11 languages",
        shape="choice",
        category="inference",
        metric="accuracy",
        languages=tuple("et ht id it qu sw ta th tr vi zh".split()),
        splits=("test", "val"),
        counts={"test": 500, "val": 100},
        protocols=("probe", "fine-tune", "prompt"),
        prompt=CHOICE,
        recipes=recipes.CHOICE,
        hub=HubData(repo="cambridgeltl/xcopa", revision="042f78955ba48e6404616762fa6e05e839c3907a"),
        parallel=True,
        licence="CC BY 4.0",
        citation="Ponti et al. 2020, EMNLP",
        layout="xcopa/data/xx/test.xx.jsonl (and val.xx.jsonl)",
        notes=("XTREME's own copies have 0 for every label of test; such files are refused",),
    )

    def files(self, language: str, split: str) -> Sequence[str]:
        """One file."""
        return [f"xcopa/data/{language}/{split}.{language}.jsonl"]

    def from_folder(self, folder: Folder, language: str, split: str) -> Choices:
        """Reads JSON lines."""
        rows = folder.json_lines(self.files(language, split)[0])
        for number, row in enumerate(rows, start=1):
            if absent := [name for name in COLUMNS if name not in row]:
                raise ValueError(f"item {number} has no {absent[0]!r}")
        if len({row["label"] for row in rows}) == 1:
            raise ValueError(f"every label is {rows[0]['label']}: XTREME's preparation has blanked them")
        return choices({name: [row[name] for row in rows] for name in COLUMNS})

    def from_hub(self, hub: Hub, language: str, split: str) -> Choices:
        """Reads the config of the language."""
        columns = hub.columns(language, HUB_SPLITS.get(split, split), COLUMNS)
        return choices(dict(zip(COLUMNS, columns, strict=True)))

    def from_mini(self, mini: Mini, language: str, split: str) -> Choices | None:
        """Reads the sample."""
        rows = mini.rows("xcopa.jsonl", language, split)
        columns = {name: [row[name] for row in rows] for name in COLUMNS}
        return choices(columns, [row["id"] for row in rows]) if rows else None


TASK = Xcopa()
