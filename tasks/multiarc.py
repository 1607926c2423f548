"""MultiARC (Keung et al. 2020): the stars of a product review, 6 languages."""

from __future__ import annotations

from collections.abc import Sequence

from xrete.shapes.classification import Labelled
from xrete.shapes.texts import check_texts
from xrete.sources import Folder, Hub, HubData, Mini
from xrete.task import TaskCard
from xrete.tasks import recipes
from xrete.tasks.prompts import RATING

STARS = ("1", "2", "3", "4", "5")
HUB_SPLITS = {"dev": "validation"}
BREAK = "\n\n"
"""Between title and body, as in the hub's copy."""


class MultiArc:
    """The Multilingual Amazon Reviews Corpus; its distributor has withdrawn it, old copies and the hub's remain."""

    card = TaskCard(
        name="multiarc",
        title="MultiARC: stars of product reviews, 6 languages",
        shape="ordinal",
        category="classification",
        metric="mae",
        mteb_type="Classification",
        languages=tuple("de en es fr ja zh".split()),
        splits=("test", "dev"),
        training=("train",),
        counts={"test": 5000, "dev": 5000, "train": 200000},
        protocols=("probe", "fine-tune", "prompt"),
        prompt=RATING,
        recipes=recipes.RATING,
        hub=HubData(repo="mteb/AmazonReviewsClassification", revision="6b5d328eaae8ef408dd7d775040245cf86f92e9d"),
        licence="non-commercial research only; withdrawn by Amazon",
        citation="Keung et al. 2020, EMNLP",
        layout="multiarc/dataset_xx_test.json (and _dev, _train)",
        higher_is_better=False,
        notes=("mean absolute error in stars: the paper prints it times 100, which is mae_x100",),
    )

    def files(self, language: str, split: str) -> Sequence[str]:
        """The preferred layout."""
        return self.layouts(language, split)[0]

    def layouts(self, language: str, split: str) -> Sequence[Sequence[str]]:
        """All files in one folder, or in one for each split."""
        name = f"dataset_{language}_{split}.json"
        return [[f"multiarc/{name}"], [f"multiarc/{split}/{name}"]]

    def from_folder(self, folder: Folder, language: str, split: str) -> Labelled:
        """Reads JSON lines; some copies have strings for the stars."""
        (file,) = folder.choose(self.layouts(language, split))
        titles: list[str] = []
        bodies: list[str] = []
        stars: list[str] = []
        for number, row in enumerate(folder.json_lines(file), start=1):
            if absent := [name for name in ("review_title", "review_body", "stars") if name not in row]:
                raise ValueError(f"item {number} has no {absent[0]!r}")
            if row.get("language", language) != language:
                raise ValueError(f"item {number} is in {row['language']!r}, in a file of {language}")
            titles.append(row["review_title"])
            bodies.append(row["review_body"])
            stars.append(str(row["stars"]))
        check_texts("review_title", titles)
        check_texts("review_body", bodies)
        texts = [f"{title}{BREAK}{body}" for title, body in zip(titles, bodies, strict=True)]
        return Labelled(first=texts, labels=stars, classes=STARS)

    def from_hub(self, hub: Hub, language: str, split: str) -> Labelled:
        """Reads the config of the language, whose labels are stars - 1."""
        texts, labels = hub.columns(language, HUB_SPLITS.get(split, split), ("text", "label"))
        return Labelled(first=texts, labels=[str(int(label) + 1) for label in labels], classes=STARS)

    def from_mini(self, mini: Mini, language: str, split: str) -> Labelled | None:
        """Reads the sample."""
        rows = mini.rows("multiarc.jsonl", language, split)
        texts, stars, ids = ([str(row[name]) for row in rows] for name in ("text", "stars", "id"))
        return Labelled(first=texts, labels=stars, classes=STARS, ids=ids) if rows else None


TASK = MultiArc()
