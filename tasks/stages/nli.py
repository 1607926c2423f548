"""Natural language inference: SNLI, MultiNLI and their like."""

from __future__ import annotations

from collections.abc import Sequence

from xrete.shapes.classification import Labelled
from xrete.sources import Folder, Hub, HubData
from xrete.task import TaskCard

from ..rows import XnliFiles, labelled, records


class Snli:
    """SNLI, or other English NLI data in a folder of that name."""

    card = TaskCard(
        name="snli",
        title="SNLI, or what lies in its place",
        shape="classification",
        category="inference",
        metric="accuracy",
        languages=("en",),
        splits=(),
        training=("train", "dev"),
        counts={},
        hub=HubData(repo="sentence-transformers/all-nli", revision="d482672c8e74ce18da116f430137434ba2e52fab"),
        licence="CC BY-SA 4.0",
        citation="Bowman et al. 2015, EMNLP",
        layout="snli/snli_1.0_train.jsonl, or other NLI data as snli/train-en.tsv (premise, hypothesis, label)",
        notes=("the hub's repository is SNLI and MultiNLI together", "pairs without a gold label are dropped"),
    )

    def files(self, language: str, split: str) -> Sequence[str]:
        """The preferred layout."""
        return self.layouts(language, split)[0]

    def layouts(self, language: str, split: str) -> Sequence[Sequence[str]]:
        """SNLI's own files, in the folder of its archive or not, then those of XNLI-MT and of XTREME."""
        names = [f"snli_1.0_{split}.jsonl", f"snli_1.0/snli_1.0_{split}.jsonl", f"multinli.{split}.en.tsv"]
        return [[f"snli/{name}"] for name in (*names, f"{split}-en.tsv")]

    def from_folder(self, folder: Folder, language: str, split: str) -> Labelled:
        """Reads JSON lines, or a table, which has a header in XNLI-MT."""
        (file,) = folder.choose(self.layouts(language, split))
        if file.endswith(".jsonl"):
            return labelled(records(folder, file, ("sentence1", "sentence2", "gold_label")))
        return labelled(folder.rows(file, 3, header="multinli" in file))

    def from_hub(self, hub: Hub, language: str, split: str) -> Labelled:
        """Reads the config with three classes."""
        return labelled(
            list(zip(*hub.columns("pair-class", split, ("premise", "hypothesis", "label")), strict=True))
        )


class MultiNli(XnliFiles):
    """XNLI's training data in some of its languages; its dev split in the same chooses the best weights."""

    def __init__(self, languages: tuple[str, ...]) -> None:
        """Makes the adapter.

        Args:
            languages: Codes of XNLI.
        """
        self.card = TaskCard(
            name=f"multinli-{'-'.join(languages)}",
            title=f"MultiNLI in {', '.join(languages)}",
            shape="classification",
            category="inference",
            metric="accuracy",
            languages=languages,
            splits=(),
            training=("train", "dev"),
            counts={"train": 392702, "dev": 2490},
            hub=HubData(repo="facebook/xnli", revision="b8dd5d7af51114dbda02c0e3f6133f332186418e"),
            licence="CC BY-NC 4.0",
            citation="Williams et al. 2018, NAACL; translated by Conneau et al. 2018, EMNLP",
            layout="XNLI-MT-1.0/multinli/multinli.train.xx.tsv and XNLI-1.0/xnli.dev.tsv",
        )


SNLI = Snli()
ENGLISH, SPANISH, ENGLISH_SPANISH = (MultiNli(languages) for languages in (("en",), ("es",), ("en", "es")))
