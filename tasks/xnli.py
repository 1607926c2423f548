"""XNLI (Conneau et al. 2018): does a premise entail, contradict or leave open a hypothesis, 15 languages."""

from __future__ import annotations

from collections.abc import Sequence

from xrete.tasks import recipes
from xrete.tasks.prompts import INFERENCE

from xrete.shapes.classification import Labelled
from xrete.sources import Folder, Hub, Mini
from xrete.task import HubData, TaskCard

CLASSES = ("entailment", "neutral", "contradiction")
HUB_SPLITS = {"dev": "validation"}


def labelled(rows: Sequence[Sequence[str | None]], ids: Sequence[str] | None = None) -> Labelled:
    """Makes data of premises, hypotheses and labels; rows without a label ("-" or none) are dropped, counted."""
    names = ids if ids is not None else [str(row) for row in range(len(rows))]
    kept = [(name, row) for name, row in zip(names, rows, strict=True) if row[2] not in (None, "-")]
    return Labelled(
        first=[str(row[0]) for _, row in kept],
        second=[str(row[1]) for _, row in kept],
        # XNLI-MT spells one label otherwise.
        labels=[str(row[2]).replace("contradictory", "contradiction") for _, row in kept],
        classes=CLASSES,
        ids=[name for name, _ in kept],
        dropped=len(rows) - len(kept),
    )


class Xnli:
    """XNLI-1.0, the translated training data of XNLI-MT-1.0, and the files that XTREME's preparation writes."""

    card = TaskCard(
        name="xnli",
        title="XNLI: natural language inference, 15 languages",
        shape="classification",
        category="inference",
        metric="accuracy",
        languages=tuple("ar bg de el en es fr hi ru sw th tr ur vi zh".split()),
        splits=("test", "dev"),
        training=("train",),
        counts={"test": 5010, "dev": 2490, "train": 392702},
        protocols=("probe", "fine-tune", "prompt"),
        prompt=INFERENCE,
        recipes=recipes.INFERENCE,
        hub=HubData(repo="facebook/xnli", revision="b8dd5d7af51114dbda02c0e3f6133f332186418e"),
        parallel=True,
        licence="CC BY-NC 4.0",
        citation="Conneau et al. 2018, EMNLP",
        layout="xnli/XNLI-1.0/xnli.test.tsv (and xnli.dev.tsv), or xnli/dev-xx.tsv",
        notes=("XTREME's own test files hold no labels and are not read",),
    )

    def files(self, language: str, split: str) -> Sequence[str]:
        """The preferred layout."""
        return self.layouts(language, split)[0]

    def layouts(self, language: str, split: str) -> Sequence[Sequence[str]]:
        """The published archives, in a folder of the task or not, then XTREME's dev and train files."""
        translated = f"XNLI-MT-1.0/multinli/multinli.train.{language}.tsv"
        published = translated if split == "train" else f"XNLI-1.0/xnli.{split}.tsv"
        prepared = [] if split == "test" else [[f"xnli/{split}-{language}.tsv"]]
        return [[f"xnli/{published}"], [published], *prepared]

    def from_folder(self, folder: Folder, language: str, split: str) -> Labelled:
        """Reads one file, of all languages in XNLI-1.0."""
        (file,) = folder.choose(self.layouts(language, split))
        if "XNLI-1.0/" in file:
            names = ("sentence1", "sentence2", "gold_label", "pairID", "language")
            rows = [row for row in zip(*folder.table(file, names), strict=True) if row[4] == language]
            return labelled(rows, ids=[row[3] for row in rows])
        return labelled(folder.rows(file, 3, header="XNLI-MT-1.0/" in file))

    def from_hub(self, hub: Hub, language: str, split: str) -> Labelled:
        """Reads the config of the language."""
        columns = hub.columns(language, HUB_SPLITS.get(split, split), ("premise", "hypothesis", "label"))
        return labelled(list(zip(*columns, strict=True)))

    def from_mini(self, mini: Mini, language: str, split: str) -> Labelled | None:
        """Reads the sample."""
        rows = mini.rows("xnli.jsonl", language, split)
        ids = [row["id"] for row in rows]
        return labelled([(row["premise"], row["hypothesis"], row["label"]) for row in rows], ids) if rows else None


TASK = Xnli()
