"""LAReQA (Roy et al. 2020): find the sentences, in all languages, that answer a question in one of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from xrete.shapes.ranking import Pool, Ranking
from xrete.sources import Folder, Mini
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
    parallel=True,
    max_length=256,
    licence="CC BY-SA 4.0",
    citation="Roy et al. 2020, EMNLP; scored as in XTREME-R (Ruder et al. 2021)",
    layout="lareqa/xquad-r/LL.json",
    notes=(
        "a candidate's text is its sentence and then its whole paragraph, as in XTREME-R",
        "a model reads 256 tokens of a text, XTREME-R the same of a candidate and 96 of a question",
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
            ranking = self._ranking(language, map(_paragraph, _paragraphs(content)))
        except (AttributeError, KeyError, TypeError, IndexError) as error:
            raise ValueError(f"not laid out as XQuAD-R ({type(error).__name__}: {error})") from error
        if len(ranking.pool) != CANDIDATES[language]:
            raise ValueError(f"{len(ranking.pool)} candidate sentences where XQuAD-R has {CANDIDATES[language]}")
        return ranking

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
