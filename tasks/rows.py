"""How rows of files become items: what tasks share with each other, and with the data that they are trained on."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from xrete.shapes.choice import Choices
from xrete.shapes.classification import Labelled
from xrete.sources import Folder, Hub

CLASSES = ("entailment", "neutral", "contradiction")
CHOICE_COLUMNS = ("premise", "question", "choice1", "choice2", "label")
HUB_SPLITS = {"dev": "validation", "val": "validation"}


def records(folder: Folder, path: str, names: Sequence[str]) -> list[tuple[Any, ...]]:
    """Reads the values of `names` from each line of a file of JSON objects.

    Raises:
        ValueError: an item lacks one.
    """
    rows = []
    for number, row in enumerate(folder.each_json_line(path), start=1):
        if absent := [name for name in names if name not in row]:
            raise ValueError(f"item {number} has no {absent[0]!r}")
        rows.append(tuple(row[name] for name in names))
    return rows


def labelled(rows: Sequence[Sequence[Any]], ids: Sequence[str] | None = None) -> Labelled:
    """Makes data of premises, hypotheses and labels; rows without a label ("-" or none) are dropped, counted."""
    names = ids if ids is not None else [str(row) for row in range(len(rows))]
    kept = [(name, row) for name, row in zip(names, rows, strict=True) if row[2] not in (None, "-")]
    return Labelled(
        first=[row[0] for _, row in kept],
        second=[row[1] for _, row in kept],
        # XNLI-MT spells one label otherwise.
        labels=[str(row[2]).replace("contradictory", "contradiction") for _, row in kept],
        classes=CLASSES,
        ids=[name for name, _ in kept],
        dropped=len(rows) - len(kept),
    )


class XnliFiles:
    """Reads XNLI-1.0, the translated training data of XNLI-MT-1.0, and the files of XTREME's preparation."""

    def files(self, language: str, split: str) -> Sequence[str]:
        """The preferred layout."""
        return self.layouts(language, split)[0]

    def layouts(self, language: str, split: str) -> Sequence[Sequence[str]]:
        """The published archives, in a folder of the task or not, then XTREME's dev and train files."""
        translated = f"XNLI-MT-1.0/multinli/multinli.train.{language}.tsv"
        published = translated if split == "train" else f"XNLI-1.0/xnli.{split}.tsv"
        prepared = [] if split == "test" else [[f"xnli/{split}-{language}.tsv"]]
        return [[f"xnli/{published}"], [published], *prepared]

    def from_folder(self, folder: Folder, language: str, split: str) -> Labelled:
        """Reads one file, of all languages in XNLI-1.0."""
        (file,) = folder.choose(self.layouts(language, split))
        if "XNLI-1.0/" in file:
            names = ("sentence1", "sentence2", "gold_label", "pairID", "language")
            rows = [row for row in zip(*folder.table(file, names), strict=True) if row[4] == language]
            return labelled(rows, ids=[row[3] for row in rows])
        return labelled(folder.rows(file, 3, header="XNLI-MT-1.0/" in file))

    def from_hub(self, hub: Hub, language: str, split: str) -> Labelled:
        """Reads the config of the language."""
        columns = hub.columns(language, HUB_SPLITS.get(split, split), ("premise", "hypothesis", "label"))
        return labelled(list(zip(*columns, strict=True)))


def choices(rows: Sequence[Sequence[Any]], ids: Sequence[str] | None = None) -> Choices:
    """Makes data of the values of `CHOICE_COLUMNS`."""
    premises, questions, choice1, choice2, labels = zip(*rows, strict=True)
    return Choices(first=premises, questions=questions, choice1=choice1, choice2=choice2, labels=labels, ids=ids)


def question(text: str) -> str:
    """Writes a question as XTREME-R does."""
    return text.replace("\n", "")


def answer(sentence: str, paragraph: str) -> str:
    """Writes a sentence that may answer a question as XTREME-R does: itself, then its whole paragraph."""
    return (sentence + paragraph).replace("\n", "")


def mention(context: Mapping[str, Any], span: Mapping[str, Any]) -> str:
    """Writes a mention as XTREME-R does: "MENTION: LEFT { MENTION } RIGHT", in its one sentence.

    Raises:
        ValueError: the text is missing, the mention is not where it should be, or no sentence holds it.
        KeyError: the context or span lacks a part.
    """
    text, start, end = context["text"], span["start"], span["end"]
    if not text:
        raise ValueError("the text of the article is missing; run Mewsli-X's get-mewsli-x.sh, which restores it")
    if text[start:end] != span["text"]:
        raise ValueError(f"{span['text']!r} is not at {start}:{end} of its article; fetch the file again")
    for sentence in context["sentence_spans"]:
        if sentence["start"] <= start and end <= sentence["end"]:
            return marked(text[sentence["start"] : start], span["text"], text[end : sentence["end"]])
    raise ValueError(f"no sentence holds the mention at {start}:{end}; fetch the file again")


def marked(left: str, name: str, right: str) -> str:
    """Writes a mention between what stands before and after it; braces of the text become parentheses."""
    left, right = (re.sub(r"\{(.*?)\}", r"(\1)", side) for side in (left, right))
    return _plain(f"{name}: {left} {{ {name} }} {right}")


def description(entity: Mapping[str, Any]) -> str:
    """Writes an entity of Mewsli-X as XTREME-R does: the sentences of its description, without its title.

    Raises:
        KeyError: it lacks a part.
    """
    text, spans = entity["description"], entity["sentence_spans"]
    return _plain(" ".join(text[span["start"] : span["end"]] for span in spans))


def _plain(text: str) -> str:
    """One line, double spaces made single in one pass (not all of them), as the official code does."""
    return " ".join(text.splitlines()).replace("  ", " ").strip()
