"""Quality estimation (MLQE-PE, WMT 2021 task 1): how good is a translation, judged by people, 11 pairs."""

from __future__ import annotations

from collections.abc import Sequence

from xrete.shapes.similarity import ScoredPairs, score_numbers
from xrete.sources import Folder, Hub, HubData, Mini
from xrete.task import TaskCard
from xrete.tasks import recipes
from xrete.tasks.prompts import QUALITY
from xrete.tasks.rows import HUB_SPLITS

TRAINED = tuple("en-de en-zh et-en ne-en ro-en ru-en si-en".split())
TEST_ONLY = tuple("en-cs en-ja km-en ps-en".split())
PAIRS = tuple(sorted(TRAINED + TEST_ONLY))
FOLDERS = {"train": "train/{pair}-train", "dev": "dev/{pair}-dev", "test20": "test/{pair}"}
"""Below `direct-assessments`; the archives of test20 unpack to a folder without the split's name."""
Z_SCORES = (-20.0, 20.0)
"""Means of z-scores are within 5 or so; a raw judgement (0-100) or a sentence is not."""


class QualityEstimation:
    """The sentence-level files of `sheffieldnlp/mlqe-pe`, unpacked."""

    card = TaskCard(
        name="qe",
        title="MLQE-PE: translation quality estimation, 11 language pairs",
        shape="similarity",
        category="similarity",
        metric="pearson",
        mteb_type="STS",
        languages=PAIRS,
        splits=("test21", "test20", "dev"),
        training=("train",),
        counts={
            "test21": dict.fromkeys(PAIRS, 1000) | {"km-en": 990},
            "test20": dict.fromkeys(TRAINED, 1000),
            "dev": dict.fromkeys(TRAINED, 1000),
            "train": dict.fromkeys(TRAINED, 7000),
        },
        protocols=("zero-shot", "probe", "fine-tune", "prompt"),
        prompt=QUALITY,
        recipes=recipes.QUALITY,
        hub=HubData(
            repo="wmt/wmt20_mlqe_task1",
            revision="0783ed2bd75f44835df4ea664f9ccb85812c8563",
            splits={"test20": tuple(x for x in TRAINED if x != "ru-en"), "dev": TRAINED, "train": TRAINED},
        ),
        editions=("test20",),
        groups={"with-training-data": TRAINED, "test-only": TEST_ONLY},
        licence="CC0 1.0",
        citation="Fomicheva et al. 2022, LREC; Specia et al. 2021, WMT",
        layout="mlqe-pe/test21_goldlabels/xx-yy-test21 and mlqe-pe/direct-assessments/dev/xx-yy-dev",
        notes=(
            "the gold score is the mean of z-standardised direct assessments",
            "test20 and test21 are different sentences; tables show them as two tasks (qe-test20)",
            "the hub's repository is the release of 2020: test20 (no scores of ru-en), dev and train",
        ),
    )

    def files(self, language: str, split: str) -> Sequence[str]:
        """The preferred layout."""
        return self.layouts(language, split)[0]

    def layouts(self, language: str, split: str) -> Sequence[Sequence[str]]:
        """The folders as the archives unpack; those of test-only pairs may lie in a folder of their own."""
        if split != "test21":
            folder = f"mlqe-pe/direct-assessments/{FOLDERS[split].format(pair=language)}"
            return [[f"{folder}/{split}.{language.replace('-', '')}.df.short.tsv"]]
        names = ("test21.src", "test21.mt", "goldlabels/test21.da")
        roots = ("", "zero-shot/") if language in TEST_ONLY else ("",)
        return [[f"mlqe-pe/test21_goldlabels/{root}{language}-test21/{name}" for name in names] for root in roots]

    def from_folder(self, folder: Folder, language: str, split: str) -> ScoredPairs:
        """Reads sources, translations and scores from three files, or from columns of one, without quoting."""
        files = folder.choose(self.layouts(language, split))
        aims = None
        if split == "test21":
            first, second, scores = map(folder.lines, files)
        else:
            first, second, scores, means = folder.table(files[0], ("original", "translation", "z_mean", "mean"))
            aims = [mean / 100 for mean in score_numbers(means, 0, 100)]
        return ScoredPairs(first=first, second=second, scores=score_numbers(scores, *Z_SCORES), aims=aims)

    def from_hub(self, hub: Hub, language: str, split: str) -> ScoredPairs:
        """Reads the config of the pair."""
        theirs = {**HUB_SPLITS, "test20": "test"}[split] if split != "train" else split
        pairs, scores, means = hub.columns(language, theirs, ("translation", "z_mean", "mean"))
        first, second = ([pair[side] for pair in pairs] for side in language.split("-"))
        aims = [mean / 100 for mean in score_numbers(means, 0, 100)]
        return ScoredPairs(first=first, second=second, scores=score_numbers(scores, *Z_SCORES), aims=aims)

    def from_mini(self, mini: Mini, language: str, split: str) -> ScoredPairs | None:
        """Reads the sample."""
        rows = mini.rows("qe.jsonl", language, split)
        columns = ([row[name] for row in rows] for name in ("source", "translation", "score", "id"))
        first, second, scores, ids = columns
        return ScoredPairs(first=first, second=second, scores=scores, ids=ids) if rows else None


TASK = QualityEstimation()
