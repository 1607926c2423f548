"""MultiEURLEX (Chalkidis et al. 2021): the topics of EU laws, 23 languages, several topics each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from xrete.shapes.multilabel import MultiLabelled
from xrete.sources import Folder, Hub, HubData, Mini
from xrete.task import TaskCard
from xrete.tasks import recipes
from xrete.tasks.prompts import topics

CONCEPTS = tuple(
    (
        "100149 100160 100148 100147 100152 100143 100156 100158 100154 100153 100142 100145 100150 100162 100159 "
        "100144 100151 100157 100161 100146 100155"
    ).split()
)
"""EuroVoc's 21 concepts of level 1, in the order of the hub's labels."""
NAMES = {
    "politics": "100142", "international relations": "100143", "European Union": "100144", "law": "100145",
    "economics": "100146", "trade": "100147", "finance": "100148", "social questions": "100149",
    "education and communications": "100150", "science": "100151", "business and competition": "100152",
    "employment and working conditions": "100153", "transport": "100154", "environment": "100155",
    "agriculture forestry and fisheries": "100156", "agri-foodstuffs": "100157",
    "production technology and research": "100158", "energy": "100159", "industry": "100160",
    "geography": "100161", "international organisations": "100162",
}  # fmt: skip
HUB_SPLITS = {"dev": "validation"}
TRAIN = {
    **dict.fromkeys("en de fr it nl el da".split(), 55000),
    "es": 52785, "pt": 52370, "fi": 42497, "sv": 42490, "lv": 23208, "pl": 23197, "lt": 23188, "cs": 23187,
    "sl": 23184, "et": 23126, "sk": 22971, "hu": 22664, "mt": 17521, "bg": 15986, "ro": 15921, "hr": 7944,
}  # fmt: skip
CONCEPTS_FILE = "multieurlex/eurovoc_concepts.json"
"""Of the published archive: the concepts of every level."""
SIZES = {1: 21, 2: 127, 3: 567}
"""Numbers of concepts, by level."""
CARD = TaskCard(
    name="multieurlex",
    title="MultiEURLEX: topics of EU laws, 23 languages",
    shape="multilabel",
    category="classification",
    metric="r_precision",
    mteb_type="MultilabelClassification",
    languages=tuple("bg cs da de el en es et fi fr hr hu it lt lv mt nl pl pt ro sk sl sv".split()),
    splits=("test", "dev"),
    training=("train",),
    counts={"test": 5000, "dev": 5000, "train": TRAIN},
    protocols=("probe", "fine-tune", "prompt"),
    prompt=topics(NAMES),
    recipes=recipes.TOPICS,
    hub=HubData(repo="mteb/eurlex-multilingual", revision="2aea5a6dc8fdcfeca41d0fb963c0a338930bde5c"),
    parallel=True,
    licence="CC BY-SA 4.0",
    citation="Chalkidis et al. 2021, EMNLP",
    layout="multieurlex/test.jsonl (and dev.jsonl, train.jsonl) with all languages",
    notes=(
        "the paper calls its metric accuracy and does not say which; mean R-precision at level 1 is the data "
        "set's own, and a comparison with the paper's 71.4 is not established",
        "the splits are chronological: labels of dev and test are distributed otherwise than those of train",
    ),
)


class MultiEurlex:
    """Level 1 of EuroVoc, from the hub's copy or the published archive; other levels from the archive.

    Attributes:
        level: Of the concepts that are labels, 1 to 3. Levels 2 and 3 (the official trainer's own) are tasks with
            names of their own.
    """

    def __init__(self, *, level: int = 1) -> None:
        self.level = level
        self.card = CARD
        if level != 1:
            self.card = replace(
                CARD,
                name=f"multieurlex-level-{level}",
                title=f"MultiEURLEX: topics of EU laws at level {level} of EuroVoc, 23 languages",
                protocols=("probe", "fine-tune"),
                prompt=None,
                hub=None,
                layout=f"multieurlex/test.jsonl (and dev.jsonl, train.jsonl) and {CONCEPTS_FILE}",
                notes=CARD.notes[1:],
            )

    def files(self, language: str, split: str) -> Sequence[str]:
        """One file for all languages, and where it is needed the list of the labels."""
        return [f"multieurlex/{split}.jsonl", *([CONCEPTS_FILE] if self.level != 1 else [])]

    def from_folder(self, folder: Folder, language: str, split: str) -> MultiLabelled:
        """Reads JSON lines; a law that is not translated has no text in the language."""
        texts: list[str] = []
        labels: list[list[str]] = []
        ids: list[str] = []
        for number, row in enumerate(folder.each_json_line(self.files(language, split)[0]), start=1):
            try:
                text, names = row["text"].get(language), row["eurovoc_concepts"][f"level_{self.level}"]
                ids += [str(row["celex_id"])] if text is not None else []
            except (KeyError, AttributeError, TypeError):
                raise ValueError(f"item {number} has no 'text', 'celex_id' or 'eurovoc_concepts'") from None
            if text is not None:
                texts.append(text)
                labels.append([str(name) for name in names])
        return MultiLabelled(first=texts, labels=labels, classes=self._concepts(folder), ids=ids)

    def _concepts(self, folder: Folder) -> tuple[str, ...]:
        """Returns the labels of the level."""
        if self.level == 1:
            return CONCEPTS
        try:
            concepts = tuple(map(str, folder.json(CONCEPTS_FILE)[f"level_{self.level}"]))
        except (KeyError, TypeError):
            concepts = ()
        if len(concepts) != SIZES[self.level]:
            raise ValueError(
                f"{len(concepts)} concepts where level {self.level} of EuroVoc has {SIZES[self.level]}"
            )
        return concepts

    def from_hub(self, hub: Hub, language: str, split: str) -> MultiLabelled:
        """Reads the config of the language; labels are concepts or, where the copy has no names, their places."""
        texts, labels, ids = hub.columns(language, HUB_SPLITS.get(split, split), ("text", "label", "id"))
        names = [[CONCEPTS[x] if isinstance(x, int) else str(x) for x in row] for row in labels]
        return MultiLabelled(first=texts, labels=names, classes=CONCEPTS, ids=[str(x) for x in ids])

    def from_mini(self, mini: Mini, language: str, split: str) -> MultiLabelled | None:
        """Reads the sample, which spells the concepts of level 1 out."""
        rows = mini.rows("multieurlex.jsonl", language, split) if self.level == 1 else []
        labels = [[NAMES[name] for name in row["labels"]] for row in rows]
        texts, ids = ([str(row[name]) for row in rows] for name in ("text", "id"))
        return MultiLabelled(first=texts, labels=labels, classes=CONCEPTS, ids=ids) if rows else None


TASK = MultiEurlex()
