"""Predictions in the layout that XTREME's and XTREME-R's official `evaluate.py` reads: TASK/test-LL.SUFFIX.

A score that the official evaluator computes from these files equals the record's. Its Tatoeba labels are about
English queries in the order of their sorted text, so they are compared with `accuracy_en2xx`. It reads nothing for
LAReQA, which XTREME-R scores where the vectors are made.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xrete.files import write_text
from xrete.languages import standard
from xrete.lazy import np
from xrete.shapes.metric import Items
from xrete.shapes.ranking import NAMED

if TYPE_CHECKING:
    from xrete.dataset import Dataset

Lines = Callable[[Any, Items], Iterable[str]]


def _labels(data: Any, items: Items) -> Iterable[str]:
    """XNLI and PAWS-X: the name of the predicted label."""
    return map(str, items["prediction"].tolist())


def _choices(data: Any, items: Items) -> Iterable[str]:
    """XCOPA: an object with the number of the alternative."""
    return (json.dumps({"label": int(choice)}) for choice in items["prediction"])


def _sorted_english(data: Any, items: Items) -> Iterable[str]:
    """Tatoeba: for each English sentence, in sorted order, the row of its nearest neighbour on the other side."""
    order = sorted(range(len(data.target)), key=lambda row: data.target[row].strip())
    return (str(items["en2xx"][row]) for row in order)


def _pairs(data: Any, items: Items) -> Iterable[str]:
    """BUCC: the ids of both sentences of each pair that scores above the threshold."""
    mined = items["margin_found"]
    source, target = (items[side][mined].tolist() for side in ("source", "target"))
    return (f"{data.ids[0][i]}\t{data.ids[1][j]}" for i, j in zip(source, target, strict=True))


def _candidates(data: Any, items: Items) -> Iterable[str]:
    """Mewsli-X: one object, each mention's id with the ids of its first entities, best first."""
    columns = [items[f"candidate_{number}"] for number in range(1, NAMED + 1)]
    best = np.stack(columns, axis=1).tolist()
    retrieved = ([data.pool.ids[row] for row in rows if row >= 0] for rows in best)
    yield json.dumps(dict(zip(data.ids, retrieved, strict=True)))


LAYOUT: Mapping[str, tuple[str, str, Lines]] = {
    "xnli": ("xnli", "tsv", _labels),
    "pawsx": ("pawsx", "tsv", _labels),
    "xcopa": ("xcopa", "jsonl", _choices),
    "tatoeba": ("tatoeba", "tsv", _sorted_english),
    "bucc": ("bucc2018", "tsv", _pairs),
    "mewslix": ("mewslix", "json", _candidates),
}
"""XRETE's task names to XTREME's, with the suffix of the files and what stands in them."""


def write_predictions(folder: Path, dataset: Dataset, items: Mapping[str, Items]) -> list[Path]:
    """Writes one file for each language of XTREME and XTREME-R.

    Args:
        folder: What `evaluate.py` takes as its `--prediction_folder`.
        dataset: What was scored. The evaluator knows no other split than test: files of every split are named so.
        items: By language.

    Returns:
        The files; none for a task that the evaluator does not read.
    """
    card = dataset.card
    if card.name not in LAYOUT:
        return []
    name, suffix, lines = LAYOUT[card.name]
    known = card.groups.get("xtreme-r", card.languages)  # XTREME has a part of Tatoeba's languages
    written = []
    for language in (x for x in items if x in known):
        file = folder / name / f"test-{_code(language)}.{suffix}"
        write_text(file, "".join(f"{line}\n" for line in lines(dataset[language], items[language])))
        written.append(file)
    return written


def _code(language: str) -> str:
    """Returns XTREME's code of a language, or of the first one of a pair."""
    code = standard(language.partition("-")[0])
    return {"fil": "tl"}.get(code, code)  # XTREME keeps Tagalog's older code
