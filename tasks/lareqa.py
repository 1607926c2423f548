"""LAReQA (Roy et al. 2020): find the sentences, in all languages, that answer a question in one of them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cache
from importlib.resources import files as package_files
from operator import itemgetter
from pathlib import Path
from typing import Any

from xrete.shapes.ranking import Pool, Ranking
from xrete.sources import Folder, Hub, HubData, Mini
from xrete.task import TaskCard

from . import recipes
from .rows import answer, question

CANDIDATES = {
    "ar": 1222, "de": 1276, "el": 1234, "en": 1180, "es": 1215, "hi": 1244, "ru": 1219, "th": 852, "tr": 1167,
    "vi": 1209, "zh": 1196,
}  # fmt: skip


CARD = TaskCard(
    name="lareqa",
    title="LAReQA: answer retrieval from one pool of 11 languages",
    shape="ranking",
    category="retrieval",
    metric="map@20",
    mteb_type="Retrieval",
    languages=tuple(CANDIDATES),
    splits=("test",),
    counts={"test": 1190},
    protocols=("zero-shot", "fine-tune"),
    recipes=recipes.ANSWERS,
    hub=HubData(repo="google-research-datasets/xquad_r", revision="c6be7814d83f0bf3bfdf6858c2f7bb1d779b6440"),
    parallel=True,
    max_length=256,
    licence="CC BY-SA 4.0",
    citation="Roy et al. 2020, EMNLP; scored as in XTREME-R (Ruder et al. 2021)",
    layout="lareqa/xquad-r/LL.json",
    notes=(
        "a candidate's text is its sentence and then its whole paragraph, as in XTREME-R",
        "a model reads 256 tokens of a text, XTREME-R the same of a candidate and 96 of a question",
        "the hub's copy has no sentence breaks, which come with XRETE as numbers, and no blanks around its texts",
    ),
)


class Lareqa:
    """XQuAD-R: SQuAD-like paragraphs, cut into sentences. The candidates of all languages are one pool.

    Attributes:
        sentences: A candidate's text is its sentence alone. Published numbers are with the paragraph, so this is a
            task with a name of its own, which nothing is trained for.
    """

    def __init__(self, *, sentences: bool = False) -> None:
        self.sentences = sentences
        self.card = CARD
        if sentences:
            notes = ("a candidate's text is its sentence alone; XTREME-R adds the whole paragraph",)
            self.card = replace(CARD, name="lareqa-sentences", protocols=("zero-shot",), recipes={}, notes=notes)

    def files(self, language: str, split: str) -> Sequence[str]:
        """The language's file."""
        return [f"lareqa/xquad-r/{language}.json"]

    def from_folder(self, folder: Folder, language: str, split: str) -> Ranking:
        """Reads XQuAD-R's file."""
        content = folder.json(self.files(language, split)[0])
        try:
            return self._whole(language, map(_paragraph, _paragraphs(content)))
        except (AttributeError, KeyError, TypeError, IndexError) as error:
            raise ValueError(f"not laid out as XQuAD-R ({type(error).__name__}: {error})") from error

    def from_hub(self, hub: Hub, language: str, split: str) -> Ranking:
        """Reads the config of the language; its sentences are where upstream's breaks are."""
        names = ("context", "id", "question", "answers")
        rows = list(zip(*hub.columns(language, "validation", names), strict=True))
        contexts = [(text, list(group)) for text, group in itertools.groupby(rows, key=itemgetter(0))]
        known = sentence_breaks()[language]
        if [len(text) for text, _ in contexts] != [length for length, *_ in known]:
            raise ValueError("its paragraphs are not those of XQuAD-R, whose sentence breaks are known")
        paragraphs = []
        for (text, group), (_, lead, *ends) in zip(contexts, known, strict=True):
            questions = [
                {"id": name, "question": asked, "answers": [{"answer_start": answers["answer_start"][0] - lead}]}
                for _, name, asked, answers in group
            ]
            breaks = list(zip(ends[::2], ends[1::2], strict=True))
            paragraphs.append(_paragraph({"context": text, "sentence_breaks": breaks, "qas": questions}))
        return self._whole(language, paragraphs)

    def from_mini(self, mini: Mini, language: str, split: str) -> Ranking | None:
        """Reads the sample's paragraphs."""
        rows = [row for row in mini.json_lines("lareqa.jsonl") if row["language"] == language]
        if split != "test" or not rows:
            return None
        questions = ([(q["id"], q["question"], q["answer_sentence"]) for q in row["questions"]] for row in rows)
        return self._ranking(
            language,
            (
                (" ".join(row["sentences"]), row["sentences"], asked)
                for row, asked in zip(rows, questions, strict=True)
            ),
        )

    def _whole(self, language: str, paragraphs: Iterable[Paragraph]) -> Ranking:
        """Makes data of paragraphs that hold as many sentences as XQuAD-R does."""
        ranking = self._ranking(language, paragraphs)
        if len(ranking.pool) != CANDIDATES[language]:
            raise ValueError(f"{len(ranking.pool)} candidate sentences where XQuAD-R has {CANDIDATES[language]}")
        return ranking

    def _ranking(self, language: str, paragraphs: Iterable[Paragraph]) -> Ranking:
        """Every sentence of a paragraph that reads like the answering one is right."""
        pool: dict[str, str] = {}
        ids, queries, relevant = [], [], []
        for number, (context, sentences, questions) in enumerate(paragraphs, start=1):
            names = [f"{language}_{number}_{place}" for place in range(len(sentences))]
            paragraph = "" if self.sentences else context
            pool |= {name: answer(text, paragraph) for name, text in zip(names, sentences, strict=True)}
            for name, asked, place in questions:
                ids.append(name)
                queries.append(question(asked))
                relevant.append([x for x, text in zip(names, sentences, strict=True) if text == sentences[place]])
        return Ranking(ids, queries, relevant, Pool(list(pool), list(pool.values())), parallel=True)


Paragraph = tuple[str, list[str], list[tuple[str, str, int]]]
"""Its text, its sentences, and its questions: id, text, number of the sentence that answers."""


@cache
def sentence_breaks() -> dict[str, list[list[int]]]:
    """Reads where the sentences of XQuAD-R are, from its files as of 9bc8c7f, by language and paragraph.

    A paragraph's numbers are its length, how many blanks stand before it upstream, and where each sentence starts
    and ends, in characters of the text without blanks around it.
    """
    folder = Folder(Path(str(package_files("xrete.tasks"))))
    breaks: dict[str, list[list[int]]] = folder.json("lareqa_breaks.json")
    return breaks


def _paragraphs(content: Any) -> Iterable[Any]:
    return (paragraph for article in content["data"] for paragraph in article["paragraphs"])


def _paragraph(raw: Any) -> Paragraph:
    """Finds the sentence that an answer begins in; answers that reach into the next one stay with it."""
    breaks = raw["sentence_breaks"]
    questions = []
    for asked in raw["qas"]:
        start = asked["answers"][0]["answer_start"]
        holding = [number for number, (first, end) in enumerate(breaks) if first <= start < end]
        if not holding:
            raise ValueError(f"the answer to question {asked['id']} begins at {start}, outside of every sentence")
        questions.append((asked["id"], asked["question"], holding[0]))
    return raw["context"], [raw["context"][first:end] for first, end in breaks], questions


TASK = Lareqa()
