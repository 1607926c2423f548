"""STS-b (Cer et al. 2017): similarity of English sentences."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from xrete.errors import DataError
from xrete.shapes.similarity import ScoredPairs, score_numbers
from xrete.sources import Folder, Hub, HubData
from xrete.task import TaskCard

from ..rows import HUB_SPLITS

SCORED = HubData(repo="mteb/sts17-crosslingual-sts", revision="faeb762787bd10488a50c8b5be4a3b82e411949c")
"""MultiSTS, half of whose English pairs are in STS-b's dev split, and the other half in its test split."""
SCORED_SOURCE = "track5.en-en"
"""What STS-b calls them."""


class StsBenchmark:
    """STS-b (the STS benchmark): pairs of sentences with scores from 0 to 5.

    Its dev split holds half of MultiSTS's English pairs, which the best weights must not be chosen by.
    """

    card = TaskCard(
        name="stsb",
        title="STS-b",
        shape="similarity",
        category="similarity",
        metric="spearman",
        languages=("en",),
        splits=(),
        training=("train", "dev"),
        counts={"train": 5749, "dev": 1500},
        hub=HubData(repo="sentence-transformers/stsb", revision="ab7a5ac0e35aa22088bdcf23e7fd99b220e53308"),
        licence="CC BY-SA 4.0",
        citation="Cer et al. 2017, SemEval",
        layout="stsbenchmark/sts-train.csv (and sts-dev.csv)",
        notes=("pairs of MultiSTS in the dev split are dropped",),
    )

    def __init__(self, *, keep_scored: bool = False) -> None:
        """Makes the adapter.

        Args:
            keep_scored: Keep the pairs that MultiSTS scores, as Sentence-BERT did.
        """
        self._keep_scored = keep_scored

    def files(self, language: str, split: str) -> Sequence[str]:
        """The original file, which is tab-separated."""
        return [f"stsbenchmark/sts-{split}.csv"]

    def from_folder(self, folder: Folder, language: str, split: str) -> ScoredPairs:
        """Reads genre, source, year, number, score and sentences; some rows say two origins more. No quoting."""
        (file,) = self.files(language, split)
        rows = [line.split("\t") for line in folder.lines(file)]
        for number, row in enumerate(rows, start=1):
            if len(row) < 7:
                raise DataError(f"{folder.locate(file)}, line {number}: {len(row)} cells, not 7 or more")
        kept = [row for row in rows if self._keep_scored or SCORED_SOURCE not in row[:2]]
        *_, scores, first, second = zip(*(row[:7] for row in kept), strict=True)
        numbers = score_numbers(scores, 0, 5)
        aims = [number / 5 for number in numbers]
        return ScoredPairs(first=first, second=second, scores=numbers, aims=aims, dropped=len(rows) - len(kept))

    def from_hub(self, hub: Hub, language: str, split: str) -> ScoredPairs:
        """Reads pairs with scores from 0 to 1; this copy does not say sources, so pairs are compared with MultiSTS.

        Raises:
            ValueError: none of its pairs is found in the dev split, so that the two copies are of unlike text.
        """
        columns = hub.columns("default", HUB_SPLITS.get(split, split), ("sentence1", "sentence2", "score"))
        rows = kept = list(zip(*columns, strict=True))
        if split == "dev" and not self._keep_scored:
            pairs = zip(*Hub(SCORED).columns("en-en", "test", ("sentence1", "sentence2")), strict=True)
            scored = set(map(_words, pairs))
            kept = [row for row in rows if _words(row[:2]) not in scored]
            if len(kept) == len(rows):
                raise ValueError("no pair of MultiSTS was found in dev, where 125 are known to be")
        first, second, scores = zip(*kept, strict=True)
        numbers = score_numbers(scores, 0, 1)
        return ScoredPairs(first=first, second=second, scores=numbers, aims=numbers, dropped=len(rows) - len(kept))


def _words(texts: Iterable[str]) -> tuple[str, ...]:
    """Texts without what copies differ in: spaces at their ends and double ones."""
    return tuple(" ".join(text.split()) for text in texts)


STS_B = StsBenchmark()
