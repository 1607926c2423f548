"""MultiSTS (STS 2017, extended by Reimers and Gurevych 2020): sentence similarity, 10 language pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from xrete.shapes.similarity import ScoredPairs, score_numbers
from xrete.sources import Folder, Hub, Mini
from xrete.task import TaskCard

from . import qe, recipes
from .prompts import SIMILARITY
from .stages.sts import SCORED

PAIRS = tuple("ar-ar en-ar en-de en-en en-es en-fr en-it en-nl en-tr es-es".split())
SWAPPED = {"en-es": "es-en", "en-fr": "fr-en", "en-it": "it-en", "en-nl": "nl-en"}
"""Pairs whose files and configs are named the other way round."""
TRACKS = {
    "ar-ar": "1.ar-ar", "en-ar": "2.ar-en", "es-es": "3.es-es", "en-es": "4a.es-en", "en-en": "5.en-en",
    "en-tr": "6.tr-en",
}  # fmt: skip
"""The original files. Track 4b is other data."""
SCORED_FIRST = ("en-tr",)
"""Track 6 has 500 pairs and 250 scores: those of its first 250 pairs, in order; the rest was never scored."""


class MultiSts:
    """The extended release, or the original files of SemEval-2017 task 1."""

    card = TaskCard(
        name="multists",
        title="MultiSTS: sentence similarity, 3 languages and 7 language pairs",
        shape="similarity",
        category="similarity",
        metric="spearman",
        mteb_type="STS",
        languages=PAIRS,
        splits=("test",),
        counts={"test": 250},
        protocols=("zero-shot", "probe", "fine-tune", "prompt"),
        prompt=SIMILARITY,
        recipes=recipes.SIMILARITY | {"quality": (replace(recipes.SCORED_TRANSLATIONS, task=qe.TASK),)},
        hub=SCORED,
        licence="CC BY-SA 4.0",
        citation="Cer et al. 2017, SemEval; Reimers and Gurevych 2020, EMNLP",
        layout="sts2017/STS2017-extended/STS.xx-yy.txt, or sts2017/STS2017.eval.v1.1 with sts2017/STS2017.gs",
        groups={"monolingual": ("ar-ar", "en-en", "es-es"), "cross-lingual": tuple(PAIRS[1:3] + PAIRS[4:9])},
        notes=(
            "ko-ko, which the hub's repository has too, is no part of it",
            "of the original track 6 (en-tr), the first 250 of 500 pairs are scored",
        ),
    )

    def files(self, language: str, split: str) -> Sequence[str]:
        """The preferred layout."""
        return self.layouts(language, split)[0]

    def layouts(self, language: str, split: str) -> Sequence[Sequence[str]]:
        """The extended release, in a folder of the task or not, then the original files."""
        extended = f"STS2017-extended/STS.{SWAPPED.get(language, language)}.txt"
        layouts = [[f"sts2017/{extended}"], [extended]]
        if track := TRACKS.get(language):
            pairs, gold = f"STS2017.eval.v1.1/STS.input.track{track}.txt", f"STS2017.gs/STS.gs.track{track}.txt"
            layouts += [[f"{root}{pairs}", f"{root}{gold}"] for root in ("sts2017/", "")]
        return layouts

    def from_folder(self, folder: Folder, language: str, split: str) -> ScoredPairs:
        """Reads one file with scores, or sentences and scores from two."""
        files = folder.choose(self.layouts(language, split))
        if len(files) == 1:
            first, second, scores = zip(*folder.rows(files[0], 3), strict=True)
        else:
            rows, scores = folder.rows(files[0], 2), tuple(folder.lines(files[1]))
            if language in SCORED_FIRST and len(rows) == 2 * len(scores):
                rows = rows[: len(scores)]
            first, second = zip(*rows, strict=True)
        return ScoredPairs(first=first, second=second, scores=score_numbers(scores, 0, 5))

    def from_hub(self, hub: Hub, language: str, split: str) -> ScoredPairs:
        """Reads the config of the pair."""
        config = SWAPPED.get(language, language)
        first, second, scores = hub.columns(config, split, ("sentence1", "sentence2", "score"))
        return ScoredPairs(first=first, second=second, scores=score_numbers(scores, 0, 5))

    def from_mini(self, mini: Mini, language: str, split: str) -> ScoredPairs | None:
        """Reads the sample."""
        rows = mini.rows("multists.jsonl", language, split)
        columns = ([row[name] for row in rows] for name in ("sentence1", "sentence2", "score", "id"))
        first, second, scores, ids = columns
        return ScoredPairs(first=first, second=second, scores=scores, ids=ids) if rows else None


TASK = MultiSts()
