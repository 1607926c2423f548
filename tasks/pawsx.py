"""PAWS-X (Yang et al. 2019): do two sentences of nearly the same words mean the same, 7 languages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from xrete.shapes.classification import Labelled
from xrete.sources import Folder, Hub, HubData, Mini
from xrete.task import TaskCard
from xrete.tasks import recipes
from xrete.tasks.prompts import PARAPHRASE

CLASSES = ("0", "1")
HUB_SPLITS = {"dev": "validation"}
PLACEHOLDER = "NS"
CARD = TaskCard(
    name="pawsx",
    title="PAWS-X: paraphrase or not, 7 languages",
    shape="classification",
    category="inference",
    metric="accuracy",
    mteb_type="PairClassification",
    languages=tuple("de en es fr ja ko zh".split()),
    splits=("test", "dev"),
    training=("train",),
    counts={"test": 2000, "dev": 2000, "train": 49401},
    protocols=("probe", "fine-tune", "prompt"),
    prompt=PARAPHRASE,
    recipes=recipes.PARAPHRASE,
    hub=HubData(repo="google-research-datasets/paws-x", revision="4cd8187c404bda33cb1f62b49b001115862acf37"),
    parallel=True,
    licence="free use, credit Google LLC",
    citation="Yang et al. 2019, EMNLP",
    layout="pawsx/x-final/xx/test_2k.tsv (and dev_2k.tsv), or pawsx/dev-xx.tsv",
    notes=(
        "the placeholder NS in place of a sentence of dev and test is kept, as by XTREME: 2,000 items",
        "XTREME's own test files hold no labels and are not read",
    ),
)


class PawsX:
    """The archive `x-final`, and the files that XTREME's preparation writes.

    Attributes:
        drop_placeholders: Leave out items with NS for a sentence. Published numbers are with them, so this is a
            task with a name of its own.
    """

    def __init__(self, *, drop_placeholders: bool = False) -> None:
        self.drop_placeholders = drop_placeholders
        self.card = replace(CARD, name="pawsx-without-ns") if drop_placeholders else CARD

    def files(self, language: str, split: str) -> Sequence[str]:
        """The preferred layout."""
        return self.layouts(language, split)[0]

    def layouts(self, language: str, split: str) -> Sequence[Sequence[str]]:
        """The published archive, in a folder of the task or not, then XTREME's dev and train files."""
        train = "train" if language == "en" else "translated_train"
        published = f"x-final/{language}/{train if split == 'train' else f'{split}_2k'}.tsv"
        prepared = [] if split == "test" else [[f"pawsx/{split}-{language}.tsv"]]
        return [[f"pawsx/{published}"], [published], *prepared]

    def from_folder(self, folder: Folder, language: str, split: str) -> Labelled:
        """Reads one file."""
        (file,) = folder.choose(self.layouts(language, split))
        if "x-final/" in file:
            columns = folder.table(file, ("sentence1", "sentence2", "label", "id"))
            return self._labelled(list(zip(*columns, strict=True)), split)
        rows = folder.rows(file, 3)
        return self._labelled([(*row, str(number)) for number, row in enumerate(rows)], split)

    def from_hub(self, hub: Hub, language: str, split: str) -> Labelled:
        """Reads the config of the language."""
        columns = hub.columns(language, HUB_SPLITS.get(split, split), ("sentence1", "sentence2", "label", "id"))
        return self._labelled(list(zip(*columns, strict=True)), split)

    def from_mini(self, mini: Mini, language: str, split: str) -> Labelled | None:
        """Reads the sample."""
        rows = mini.rows("pawsx.jsonl", language, split)
        columns = [(row["sentence1"], row["sentence2"], row["label"], row["id"]) for row in rows]
        return self._labelled(columns, split) if rows else None

    def _labelled(self, rows: Sequence[Sequence[Any]], split: str) -> Labelled:
        """Drops and counts rows without a label, and those of train with an empty side."""
        kept = [
            row
            for row in rows
            if row[2] is not None
            and not (split == "train" and not all((side or "").strip() for side in row[:2]))
            and not (self.drop_placeholders and PLACEHOLDER in row[:2])
        ]
        return Labelled(
            first=[row[0] for row in kept],
            second=[row[1] for row in kept],
            labels=[row[2] for row in kept],
            classes=CLASSES,
            ids=[str(row[3]) for row in kept],
            dropped=len(rows) - len(kept),
        )


TASK = PawsX()
