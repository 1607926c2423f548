"""BUCC 2018 (Zweigenbaum et al. 2018): mine the translation pairs hidden in two corpora."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from xrete.errors import DataError
from xrete.shapes.mining import Corpora
from xrete.sources import Folder, Hub, HubData, Mini
from xrete.task import TaskCard

PARTS = {"test": "training", "dev": "sample"}
"""The shared task never released its test gold, so XTREME tests on its training files and tunes on its samples."""
ENGLISH = {"de-en": 399_337, "fr-en": 369_810, "ru-en": 558_401, "zh-en": 88_860}
"""Lines of the English side of "training"."""


class Bucc:
    """Four pairs of languages with English."""

    card = TaskCard(
        name="bucc",
        title="BUCC 2018: bitext mining, 4 languages with English",
        shape="mining",
        category="retrieval",
        metric="f1",
        mteb_type="BitextMining",
        languages=tuple(ENGLISH),
        splits=("test", "dev"),
        counts={
            "test": {"de-en": 9580, "fr-en": 9086, "ru-en": 14435, "zh-en": 1899},
            "dev": {"de-en": 1038, "fr-en": 929, "ru-en": 2374, "zh-en": 257},
        },
        hub=HubData(repo="mteb/BUCC", revision="414572247440f0ccacf7eb0bb70a31533a0e5443", splits={"test": ()}),
        licence="unstated; distributed by the BUCC shared task for research",
        citation="Zweigenbaum, Sharoff and Rapp 2018, BUCC; scored as in XTREME (Hu et al. 2020)",
        layout="bucc2018/XX-en/XX-en.training.{XX,en,gold} (and XX-en.sample.{XX,en,gold})",
        notes=(
            "test is the shared task's training part, dev its sample; f1 takes its threshold from dev",
            "mteb/BUCC has no sample: from the hub, thresholds are tuned on the gold that is scored",
        ),
    )

    def files(self, language: str, split: str) -> Sequence[str]:
        """Both corpora and the gold."""
        sides = (language.split("-")[0], "en", "gold")
        return [f"bucc2018/{language}/{language}.{PARTS[split]}.{side}" for side in sides]

    def from_folder(self, folder: Folder, language: str, split: str) -> Corpora:
        """Reads the shared task's files; the sample is what the threshold is tuned on."""
        source, target, gold = self.files(language, split)
        left, right = _corpus(folder, source), _corpus(folder, target)
        if split == "test" and len(right) != ENGLISH[language]:
            raise ValueError(f"{len(right)} English lines where BUCC has {ENGLISH[language]}")
        rows = [{name: row for row, name in enumerate(side)} for side in (left, right)]
        pairs = []
        for number, ids in enumerate(folder.rows(gold, 2), start=1):
            for name, known, file in zip(ids, rows, (source, target), strict=True):
                if name not in known:
                    where = f"{folder.locate(gold)}, line {number}"
                    raise DataError(f"{where}: {name} is not in {file}, which is truncated or of another version")
            pairs.append((rows[0][ids[0]], rows[1][ids[1]]))
        tuning = self._sample(folder, language) if split == "test" else None
        return Corpora(list(left.values()), list(right.values()), pairs, tuning, (list(left), list(right)))

    def _sample(self, folder: Folder, language: str) -> Corpora | None:
        """Reads what the threshold is tuned on, if it is there; the data set counts only what is scored."""
        files = self.files(language, "dev")
        if not any(map(folder.has, files)):
            return None
        sample = self.from_folder(folder, language, "dev")
        expected = self.card.expected(language, "dev")
        if expected and len(sample.gold) not in expected:
            raise DataError(
                f"{folder.locate(files[-1])}: {len(sample.gold)} gold pairs where BUCC's sample has {expected[0]}; "
                f"fetch it again"
            )
        return sample

    def from_hub(self, hub: Hub, language: str, split: str) -> Corpora:
        """Reads the one row of the language; its gold counts lines from 1."""
        source, target, gold = hub.columns(language, split, ("sentence1", "sentence2", "gold"))
        ids = _numbered(language, source[0], target[0])
        return Corpora(source[0], target[0], [(i - 1, j - 1) for i, j in gold[0]], ids=ids)

    def from_mini(self, mini: Mini, language: str, split: str) -> Corpora | None:
        """Reads the sample; its train split is what the threshold is tuned on."""
        parts = {
            row["split"]: Corpora(
                row["source"],
                row["target"],
                [(i, j) for i, j in row["gold"]],
                ids=_numbered(language, row["source"], row["target"]),
            )
            for row in mini.json_lines("bucc.jsonl")
            if row["language"] == language
        }
        if not {"test", "train"} <= parts.keys() or split not in ("test", "dev", "train"):
            return None
        return replace(parts["test"], tuning=parts["train"]) if split == "test" else parts["train"]


def _corpus(folder: Folder, path: str) -> dict[str, str]:
    """Reads lines of an id, a tab and a sentence; a tab inside a sentence is text."""
    corpus: dict[str, str] = {}
    for number, line in enumerate(folder.lines(path), start=1):
        name, tab, text = line.partition("\t")
        if not tab or name in corpus:
            problem = "occurs twice" if tab else "has no tab and sentence after it"
            raise DataError(
                f"{folder.locate(path)}, line {number}: id {name[:40]!r} {problem}; fetch the file again"
            )
        corpus[name] = text
    return corpus


def _numbered(pair: str, source: Sequence[str], target: Sequence[str]) -> tuple[list[str], list[str]]:
    """Makes ids like those of BUCC's files, the language and the number of the line: "de-000000001"."""
    left, right = pair.split("-")
    return (
        [f"{left}-{number:09d}" for number in range(1, len(source) + 1)],
        [f"{right}-{number:09d}" for number in range(1, len(target) + 1)],
    )


TASK = Bucc()
