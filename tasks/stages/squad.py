"""SQuAD v1.1 (Rajpurkar et al. 2016), for LAReQA: questions, each with the sentence that holds its answer."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from xrete.shapes.ranking import Pool, Ranking
from xrete.sources import Folder, Hub, HubData
from xrete.task import TaskCard

from ..rows import HUB_SPLITS, answer, question

Span = tuple[int, int]
Row = tuple[str, str, str, str, int]
"""Name of a question, its text, the paragraph, the first answer, and where that starts."""

_END = re.compile(r"""[.?!](?:\[[^\[\]]*\]|[)'"\u201D])*\s+(?=['"(\[\u201C]?[A-Z0-9])""")
"""A full stop, what may close after it (quotes, references), and a space before what may open a sentence."""
_SHORT = re.compile(r"\b(?:[A-Z]|Mrs?|Ms|Dr|Prof|St|Rev|Gen|Col|Lt|Sgt|Capt|Gov|Sen|Rep|No|vs)$")
"""What a full stop ends no sentence after: initials, titles."""


class Squad:
    """The published files, or their copy on the hub."""

    card = TaskCard(
        name="squad",
        title="SQuAD v1.1",
        shape="ranking",
        category="retrieval",
        metric="map@20",
        languages=("en",),
        splits=(),
        training=("train", "dev"),
        counts={"train": 87599, "dev": 10570},
        hub=HubData(repo="rajpurkar/squad", revision="7b6d24c440a36b6815f21b70d25016731768db1f"),
        licence="CC BY-SA 4.0",
        citation="Rajpurkar et al. 2016, EMNLP",
        layout="squad/train-v1.1.json (and dev-v1.1.json)",
        notes=(
            "sentences are found by rules that are simpler than XTREME-R's, and not the same",
            "questions whose first answer is not within one sentence are dropped",
        ),
    )

    def files(self, language: str, split: str) -> Sequence[str]:
        """One file."""
        return [f"squad/{split}-v1.1.json"]

    def from_folder(self, folder: Folder, language: str, split: str) -> Ranking:
        """Reads the published file."""
        content = folder.json(self.files(language, split)[0])
        try:
            return _ranking(_rows(content))
        except (KeyError, TypeError, IndexError) as error:
            raise ValueError(f"not laid out as SQuAD v1.1 ({type(error).__name__}: {error})") from error

    def from_hub(self, hub: Hub, language: str, split: str) -> Ranking:
        """Reads the one config."""
        names = ("id", "question", "context", "answers")
        columns = hub.columns("plain_text", HUB_SPLITS.get(split, split), names)
        rows = zip(*columns, strict=True)
        return _ranking((*row, answers["text"][0], answers["answer_start"][0]) for *row, answers in rows)


def _rows(content: Any) -> Iterator[Row]:
    for article in content["data"]:
        for paragraph in article["paragraphs"]:
            for asked in paragraph["qas"]:
                first = asked["answers"][0]
                yield asked["id"], asked["question"], paragraph["context"], first["text"], first["answer_start"]


def _ranking(rows: Iterable[Row]) -> Ranking:
    """Pairs each question with the sentence that holds its answer; the others of a paragraph are no candidates."""
    ids, queries, relevant = [], [], []
    pool: dict[str, str] = {}
    known: dict[str, tuple[int, list[Span]]] = {}
    dropped = 0
    for name, asked, context, text, start in rows:
        end = start + len(text)
        if context not in known:
            known[context] = len(known), sentences(context)
        number, spans = known[context]
        place = next((place for place, (a, b) in enumerate(spans) if a <= start and end <= b), None)
        if place is None or context[start:end] != text:
            dropped += 1
            continue
        ids.append(name)
        queries.append(question(asked))
        relevant.append([f"{number}_{place}"])
        a, b = spans[place]
        pool[f"{number}_{place}"] = answer(context[a:b], context)
    return Ranking(ids, queries, relevant, Pool(list(pool), list(pool.values())), dropped=dropped)


def sentences(text: str) -> list[Span]:
    """Finds the sentences of an English text: where each starts and ends.

    XTREME-R has far longer rules, tuned to SQuAD. On the English of XQuAD-R, whose sentence breaks are published,
    98 % of these sentences are the same.
    """
    sentences, start = [], 0
    for match in _END.finditer(text):
        if text[match.start()] == "." and _SHORT.search(text, start, match.start()):
            continue
        sentences.append((start, match.start() + len(match.group().rstrip())))
        start = match.end()
    end = len(text.rstrip())
    return [*sentences, (start, end)] if start < end else sentences


SQUAD = Squad()
