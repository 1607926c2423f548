"""Overlap of training text with test sets: planted test sentences are found, each in its task, and no others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from xrete import load_task, registry
from xrete.errors import UsageError
from xrete.models.emmax.corpora import DataConfig, Prepared, overlap, prepare
from xrete.models.emmax.corpora.digests import bare
from xrete.models.emmax.corpora.overlap import text_columns


def corpus(folder: Path, lines: list[str], **filters: Any) -> Prepared:
    (folder / "de.txt").write_text("".join(f"{line}\n" for line in lines), "utf-8")
    source = {"kind": "text", "path": f"{folder}/{{language}}.txt"}
    return prepare(DataConfig.model_validate({"monolingual": [source], "filters": filters}), folder / "prepared")


def test_planted_sentences_are_found(tmp_path: Path) -> None:
    mini = load_task("tatoeba", data="mini")
    language = mini.languages[0]
    planted = list(mini[language].source[:3])
    lines = [
        planted[0].upper(),
        f"  «{planted[1]}» …",
        planted[2].replace(" ", ""),
        "Dieser Satz steht in keinem Test.",
    ]
    found = overlap(corpus(tmp_path, lines))
    assert json.loads(json.dumps(found)) == found
    assert found["skipped"] == {}
    assert found["tasks"].keys() == registry.names("tasks").keys()
    tatoeba = found["tasks"]["tatoeba"]["languages"]
    assert tatoeba[language]["found"] == 3
    texts = {bare(text) for side in (mini[language].source, mini[language].target) for text in side}
    assert tatoeba[language]["texts"] == len(texts)
    for counts in found["tasks"].values():
        assert counts["texts"] == sum(x["texts"] for x in counts["languages"].values()) > 0
        assert counts["found"] == sum(x["found"] for x in counts["languages"].values())
    assert found["found"] == sum(counts["found"] for counts in found["tasks"].values())


def test_text_that_is_in_no_test(tmp_path: Path) -> None:
    found = overlap(corpus(tmp_path, ["Dieser Satz steht in keinem Test."]))
    assert found["found"] == 0 < found["texts"]


@pytest.mark.parametrize("task", sorted(registry.names("tasks")))
def test_the_texts_of_a_task_are_sentences(task: str) -> None:
    """Every text that is scored is looked at, and no label, name or number is."""
    dataset = load_task(task, data="mini")
    data = dataset[dataset.languages[0]]
    columns = text_columns(data)
    texts = {text for column in columns for text in column}
    assert len(texts) > 2
    assert all(any(x.isalpha() for x in text) for text in texts)
    content = set(dataset.shape.content(data))
    if dataset.shape.name != "ranking":  # its content has a digest in the place of the candidates
        assert texts <= content
        assert dataset.shape.count_texts(data) == sum(map(len, columns))
    left = content - texts
    assert all(sum(word.isalpha() for word in text.split()) <= 2 for text in left), left


def test_a_folder_with_one_task(tmp_path: Path) -> None:
    (tmp_path / "data" / "tatoeba" / "v1").mkdir(parents=True)
    texts = {"deu": [f"Satz {n}" for n in range(1_000)], "eng": [f"Sentence {n}" for n in range(1_000)]}
    for code, lines in texts.items():
        path = tmp_path / "data" / "tatoeba" / "v1" / f"tatoeba.deu-eng.{code}"
        path.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    found = overlap(corpus(tmp_path, ["Satz 1", "satz 7!", "Sentence 3", "Satz 1000"]), str(tmp_path / "data"))
    assert found["tasks"] == {
        "tatoeba": {"split": "test", "languages": {"deu": {"texts": 2_000, "found": 3}}, "texts": 2_000, "found": 3}
    }
    assert len(found["skipped"]) == len(registry.names("tasks")) - 1
    assert "missing" in found["skipped"]["xnli"] or "no data of xnli" in found["skipped"]["xnli"]


def test_test_sentences_are_dropped_from_training_text(tmp_path: Path) -> None:
    mini = load_task("tatoeba", data="mini")
    sentence = mini[mini.languages[0]].source[0]
    prepared = corpus(tmp_path, [f"{sentence.upper()} !", "Dieser Satz steht in keinem Test."], test_sets=["mini"])
    report = prepared.monolingual["de"].report
    assert (report.kept, report.dropped["test sentence"].count) == (1, 1)
    assert overlap(prepared)["found"] == 0
    with pytest.raises(UsageError, match="no task's data in"):
        corpus(tmp_path, ["Ein Satz"], test_sets=[str(tmp_path / "nowhere")])
