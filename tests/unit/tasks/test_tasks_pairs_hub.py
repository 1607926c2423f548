"""The adapters of inference, similarity and classification on the hub: configs, splits, columns, labels by name."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.adapters import with_counts
from xrete.dataset import Dataset
from xrete.sources import Hub
from xrete.tasks.multieurlex import CONCEPTS

MakeSnapshot = Callable[..., Path]


README = """---
configs:
- config_name: {config}
  data_files:
  - split: {split}
    path: data.jsonl
dataset_info:
- config_name: {config}
  features:
{features}
---
"""


def feature(name: str, kind: str | Sequence[str]) -> str:
    if isinstance(kind, str):
        return f"  - name: {name}\n    dtype: {kind}"
    names = "\n".join(f"          '{number}': {label}" for number, label in enumerate(kind))
    return f"  - name: {name}\n    dtype:\n      class_label:\n        names:\n{names}"


HUB: list[tuple[str, str, str, str, str, Mapping[str, Any], Sequence[Mapping[str, Any]], Any]] = [
    (
        "xnli", "sw", "dev", "sw", "validation",
        {"premise": "string", "hypothesis": "string", "label": ("entailment", "neutral", "contradiction")},
        [{"premise": "p", "hypothesis": "h", "label": label} for label in (2, -1, 0)],
        ["contradiction", "entailment"],
    ),
    (
        "xnli", "sw", "dev", "sw", "validation",  # a copy whose ids are in another order
        {"premise": "string", "hypothesis": "string", "label": ("contradiction", "entailment", "neutral")},
        [{"premise": "p", "hypothesis": "h", "label": label} for label in (2, -1, 0)], ["neutral", "contradiction"],
    ),
    (
        "pawsx", "de", "test", "de", "test",
        {"id": "int32", "sentence1": "string", "sentence2": "string", "label": ("0", "1")},
        [{"id": 7, "sentence1": "a", "sentence2": "b", "label": label} for label in (1, 0)], ["1", "0"],
    ),
    (
        "multists", "en-es", "test", "es-en", "test",
        {"sentence1": "string", "sentence2": "string", "score": "float64"},
        [{"sentence1": "a", "sentence2": "b", "score": score} for score in (0.5, 5)], [0.5, 5],
    ),
    (
        "xcopa", "ht", "val", "ht", "validation",
        dict.fromkeys(("premise", "choice1", "choice2", "question"), "string") | {"label": "int32"},
        [{"premise": "p", "choice1": "a", "choice2": "b", "question": "cause", "label": x} for x in (1, 0)], [1, 0],
    ),
    (
        "multiarc", "de", "dev", "de", "validation", {"text": "string", "label": "int64"},
        [{"text": "t", "label": label} for label in (0, 4)], ["1", "5"],
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "language", "split", "config", "theirs", "features", "rows", "gold"), HUB, ids=[row[0] for row in HUB]
)
def test_the_hub(
    name: str,
    language: str,
    split: str,
    config: str,
    theirs: str,
    features: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]],
    gold: Sequence[Any],
    snapshot: MakeSnapshot,
) -> None:
    found = with_counts(name)
    said = "\n".join(feature(*item) for item in features.items())
    readme = README.format(config=config, split=theirs, features=said)
    files = {"README.md": readme, "data.jsonl": "".join(f"{json.dumps(row)}\n" for row in rows)}
    snapshot(found.card.hub.repo, found.card.hub.revision, files)
    data = Dataset(found, Hub(found.card.hub), split=split, languages=[language])[language]
    assert list(data.scores if name == "multists" else data.labels) == gold
    assert data.dropped == len(rows) - len(gold)


def test_the_hubs_laws_have_lists_of_labels(snapshot: MakeSnapshot) -> None:
    found = with_counts("multieurlex")
    names = "\n".join(f"            '{number}': '{name}'" for number, name in enumerate(CONCEPTS))
    labels = f"  - name: label\n    list:\n      dtype:\n        class_label:\n          names:\n{names}"
    features = "\n".join((feature("id", "string"), feature("text", "string"), labels))
    rows = [{"id": "c1", "text": "t", "label": [0, 20]}, {"id": "c2", "text": "t", "label": [3]}]
    readme = README.format(config="de", split="validation", features=features)
    files = {"README.md": readme, "data.jsonl": "".join(f"{json.dumps(row)}\n" for row in rows)}
    snapshot(found.card.hub.repo, found.card.hub.revision, files)
    data = Dataset(found, Hub(found.card.hub), split="dev", languages=["de"])["de"]
    assert data.labels == [["100149", "100155"], ["100147"]]
