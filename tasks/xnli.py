"""XNLI (Conneau et al. 2018): does a premise entail, contradict or leave open a hypothesis, 15 languages."""

from __future__ import annotations

from xrete.shapes.classification import Labelled
from xrete.sources import HubData, Mini
from xrete.task import TaskCard

from . import recipes
from .prompts import INFERENCE
from .rows import XnliFiles, labelled


class Xnli(XnliFiles):
    """The task, on the files that `XnliFiles` reads."""

    card = TaskCard(
        name="xnli",
        title="XNLI: natural language inference, 15 languages",
        shape="classification",
        category="inference",
        metric="accuracy",
        mteb_type="PairClassification",
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

    def from_mini(self, mini: Mini, language: str, split: str) -> Labelled | None:
        """Reads the sample."""
        rows = mini.rows("xnli.jsonl", language, split)
        ids = [row["id"] for row in rows]
        return labelled([(row["premise"], row["hypothesis"], row["label"]) for row in rows], ids) if rows else None


TASK = Xnli()
