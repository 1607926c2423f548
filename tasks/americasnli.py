"""AmericasNLI (Ebrahimi et al. 2022): XNLI in ten Indigenous languages of the Americas."""

from __future__ import annotations

from collections.abc import Sequence

from xrete.shapes.classification import Labelled
from xrete.sources import Folder, Hub, HubData, Mini
from xrete.task import TaskCard

from . import recipes
from .prompts import INFERENCE
from .rows import HUB_SPLITS, labelled
from .stages.nli import ENGLISH

LANGUAGES = tuple("aym bzd cni gn hch nah oto quy shp tar".split())
STAND_INS = dict(zip(LANGUAGES, ("es", "en", "pt", "fr", "it", "de"), strict=False))


class AmericasNli:
    """The files of `abteen/americasnli`, below `data`."""

    card = TaskCard(
        name="americasnli",
        title="AmericasNLI: natural language inference, 10 Indigenous languages",
        shape="classification",
        category="inference",
        metric="accuracy",
        mteb_type="PairClassification",
        languages=LANGUAGES,
        splits=("test", "dev"),
        training=("train",),
        counts={
            "test": dict.fromkeys(LANGUAGES, 750) | {"nah": 738, "oto": 748},
            "dev": {**dict.fromkeys(LANGUAGES, 743), "cni": 658, "nah": (585, 376), "oto": 222},
        },
        protocols=("probe", "fine-tune", "prompt"),
        prompt=INFERENCE,
        recipes=recipes.AMERICAS,
        english=ENGLISH,
        hub=HubData(
            repo="nala-cub/americas_nli",
            revision="668b53909c205ece201487394833a36ebab47245",
            splits={"test": (), "dev": ()},
        ),
        licence="CC BY-SA 4.0",
        citation="Ebrahimi et al. 2022, ACL",
        layout="americasnli/anli_final/test/xx.tsv (and dev), and americasnli/translate_train/train/xx.tsv",
        notes=(
            "not Adversarial NLI, which the paper's abbreviation ANLI suggests",
            "the two published versions of dev disagree on nah (585 and 376 items)",
            "with --train-languages en, a probe is trained on MultiNLI",
            "the mini sample's languages are European stand-ins: "
            + ", ".join(f"{x} is {y}" for x, y in STAND_INS.items()),
        ),
    )

    def files(self, language: str, split: str) -> Sequence[str]:
        """The preferred layout."""
        return self.layouts(language, split)[0]

    def layouts(self, language: str, split: str) -> Sequence[Sequence[str]]:
        """A file for each language, or one for all of them; one for each of the translated training data."""
        if split == "train":
            return [[f"americasnli/translate_train/train/{language}.tsv"]]
        folder = "americasnli/anli_final"
        return [[f"{folder}/{split}/{language}.tsv"], [f"{folder}/anli.{split}.tsv"]]

    def from_folder(self, folder: Folder, language: str, split: str) -> Labelled:
        """Reads one file; each row says its language."""
        (file,) = folder.choose(self.layouts(language, split))
        if split == "train":  # it has no names of items, and how it spells languages is not known to us
            return labelled(list(zip(*folder.table(file, ("premise", "hypothesis", "label")), strict=True)))
        rows = list(zip(*folder.table(file, ("premise", "hypothesis", "label", "id", "language")), strict=True))
        if "anli." not in file and (strangers := {row[4] for row in rows} - {language}):
            raise ValueError(f"rows of {', '.join(sorted(strangers))} in the file of {language}")
        rows = [row for row in rows if row[4] == language]
        return labelled(rows, ids=[row[3] for row in rows])

    def from_hub(self, hub: Hub, language: str, split: str) -> Labelled:
        """Reads the config of the language, whose items have no names."""
        columns = hub.columns(language, HUB_SPLITS.get(split, split), ("premise", "hypothesis", "label"))
        return labelled(list(zip(*columns, strict=True)))

    def from_mini(self, mini: Mini, language: str, split: str) -> Labelled | None:
        """Reads the stand-in's sample."""
        rows = mini.rows("americasnli.jsonl", STAND_INS.get(language, ""), split)
        columns = [(row["premise"], row["hypothesis"], row["label"]) for row in rows]
        return labelled(columns, [row["id"] for row in rows]) if rows else None


TASK = AmericasNli()
