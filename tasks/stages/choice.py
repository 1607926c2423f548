"""Multiple choice: SIQa, and the COPA that XCOPA is translated from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from xrete.shapes.choice import Alternatives, Choices
from xrete.sources import Folder, Hub, HubData
from xrete.task import TaskCard

from ..rows import CHOICE_COLUMNS, HUB_SPLITS, choices, records

PLACES = {"A": 0, "B": 1, "C": 2, "1": 0, "2": 1, "3": 2}
"""Of SIQa's right answers: letters in the original, numbers in copies."""
QUESTION = ("context", "question", "answerA", "answerB", "answerC")


class SocialIqa:
    """SIQa: what people want, feel or do next, with three answers."""

    card = TaskCard(
        name="siqa",
        title="SIQa",
        shape="choice",
        category="inference",
        metric="accuracy",
        languages=("en",),
        splits=(),
        training=("train", "dev"),
        counts={"train": 33410, "dev": 1954},
        hub=HubData(repo="lighteval/siqa", revision="54c6a1f8cb6daf4f5abf24a601852612fb35eb25"),
        licence="not known to us",
        citation="Sap et al. 2019, EMNLP",
        layout="siqa/socialIQa_v1.4_trn.jsonl (and socialIQa_v1.4_dev.jsonl)",
    )

    def files(self, language: str, split: str) -> Sequence[str]:
        """One file."""
        return [f"siqa/socialIQa_v1.4_{'trn' if split == 'train' else split}.jsonl"]

    def from_folder(self, folder: Folder, language: str, split: str) -> Alternatives:
        """Reads JSON lines, whose right answer is `correct`, or in copies `label`."""
        (file,) = self.files(language, split)
        key = "label" if "label" in next(folder.each_json_line(file), {}) else "correct"
        return self._alternatives(records(folder, file, (*QUESTION, key)))

    def from_hub(self, hub: Hub, language: str, split: str) -> Alternatives:
        """Reads the one config."""
        columns = hub.columns("default", HUB_SPLITS.get(split, split), (*QUESTION, "label"))
        return self._alternatives(list(zip(*columns, strict=True)))

    def _alternatives(self, rows: Sequence[Sequence[Any]]) -> Alternatives:
        """Makes data of the values of `QUESTION` and the right answer."""
        places = []
        for number, row in enumerate(rows, start=1):
            if str(row[-1]) not in PLACES:
                raise ValueError(f"the label of item {number} is {row[-1]!r}, none of {', '.join(PLACES)}")
            places.append(PLACES[str(row[-1])])
        return Alternatives(
            first=[f"{context} {question}" for context, question, *_ in rows],
            alternatives=[row[2:5] for row in rows],
            labels=places,
        )


class Copa:
    """COPA, the English original of XCOPA, as SuperGLUE publishes it."""

    card = TaskCard(
        name="copa",
        title="COPA",
        shape="choice",
        category="inference",
        metric="accuracy",
        languages=("en",),
        splits=(),
        training=("train", "dev"),
        counts={"train": 400, "dev": 100},
        hub=HubData(repo="aps/super_glue", revision="3de24cf8022e94f4ee4b9d55a6f539891524d646"),
        licence="BSD 2-Clause",
        citation="Roemmele et al. 2011, AAAI",
        layout="copa/train.jsonl (and val.jsonl)",
    )

    def files(self, language: str, split: str) -> Sequence[str]:
        """One file."""
        return [f"copa/{'val' if split == 'dev' else split}.jsonl"]

    def from_folder(self, folder: Folder, language: str, split: str) -> Choices:
        """Reads JSON lines."""
        return choices(records(folder, self.files(language, split)[0], CHOICE_COLUMNS))

    def from_hub(self, hub: Hub, language: str, split: str) -> Choices:
        """Reads SuperGLUE's config of it, whose labels are the names of the alternatives."""
        columns = hub.columns("copa", HUB_SPLITS.get(split, split), CHOICE_COLUMNS)
        places = {"choice1": 0, "choice2": 1}
        return choices([(*row, places.get(label, label)) for *row, label in zip(*columns, strict=True)])


SIQA, COPA = SocialIqa(), Copa()
