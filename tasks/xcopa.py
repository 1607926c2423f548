"""XCOPA (Ponti et al. 2020): the more plausible cause or effect of two, 11 languages."""

from __future__ import annotations

from collections.abc import Sequence

from xrete.shapes.choice import Choices
from xrete.sources import Folder, Hub, HubData, Mini
from xrete.task import TaskCard

from . import recipes
from .prompts import CHOICE
from .rows import CHOICE_COLUMNS, HUB_SPLITS, choices, records
from .stages.choice import COPA


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
        english=COPA,
        hub=HubData(repo="cambridgeltl/xcopa", revision="042f78955ba48e6404616762fa6e05e839c3907a"),
        parallel=True,
        licence="CC BY 4.0",
        citation="Ponti et al. 2020, EMNLP",
        layout="xcopa/data/xx/test.xx.jsonl (and val.xx.jsonl)",
        notes=(
            "XTREME's own copies have 0 for every label of test; such files are refused",
            "with --train-languages en, a probe is trained on COPA",
        ),
    )

    def files(self, language: str, split: str) -> Sequence[str]:
        """One file."""
        return [f"xcopa/data/{language}/{split}.{language}.jsonl"]

    def from_folder(self, folder: Folder, language: str, split: str) -> Choices:
        """Reads JSON lines."""
        rows = records(folder, self.files(language, split)[0], CHOICE_COLUMNS)
        if all(label == rows[0][-1] for *_, label in rows):
            raise ValueError(f"every label is {rows[0][-1]}: XTREME's preparation has blanked them")
        return choices(rows)

    def from_hub(self, hub: Hub, language: str, split: str) -> Choices:
        """Reads the config of the language."""
        columns = hub.columns(language, HUB_SPLITS.get(split, split), CHOICE_COLUMNS)
        return choices(list(zip(*columns, strict=True)))

    def from_mini(self, mini: Mini, language: str, split: str) -> Choices | None:
        """Reads the sample."""
        rows = mini.rows("xcopa.jsonl", language, split)
        columns = [[row[name] for name in CHOICE_COLUMNS] for row in rows]
        return choices(columns, [row["id"] for row in rows]) if rows else None


TASK = Xcopa()
