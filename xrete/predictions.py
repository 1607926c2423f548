"""Predictions in the layout that XTREME's and XTREME-R's official `evaluate.py` reads: TASK/test-LL.SUFFIX.

A score that the official evaluator computes from these files equals the record's. Its Tatoeba labels are about
English queries in the order of their sorted text, so they are compared with `accuracy_en2xx`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xrete.files import write_text
from xrete.languages import standard
from xrete.shapes import Items

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


LAYOUT: Mapping[str, tuple[str, str, Lines]] = {
    "xnli": ("xnli", "tsv", _labels),
    "pawsx": ("pawsx", "tsv", _labels),
    "xcopa": ("xcopa", "jsonl", _choices),
    "tatoeba": ("tatoeba", "tsv", _sorted_english),
}
"""XRETE's task names to XTREME's, with the suffix of the files and what stands in them."""


def write_predictions(folder: Path, dataset: Dataset, items: Mapping[str, Items]) -> list[Path]:
    """Writes one file a language.

    Args:
        folder: What `evaluate.py` takes as its `--prediction_folder`.
        dataset: What was scored.
        items: By language.

    Returns:
        The files; none for a task that XTREME does not have.
    """
    if dataset.card.name not in LAYOUT:
        return []
    name, suffix, lines = LAYOUT[dataset.card.name]
    written = []
    for language, columns in items.items():
        code = {"fil": "tl"}.get(standard(language), standard(language))  # XTREME keeps Tagalog's older code
        file = folder / name / f"test-{code}.{suffix}"
        write_text(file, "".join(f"{line}\n" for line in lines(dataset[language], columns)))
        written.append(file)
    return written
