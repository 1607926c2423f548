"""Predictions, scored again from the written files by what XTREME's `evaluate.py` does with them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import xrete as package
from xrete import registry
from xrete.dataset import Dataset
from xrete.errors import XreteError
from xrete.evaluation.plan import RunOptions
from xrete.evaluation.run import run
from xrete.evaluation.xtreme import write_predictions
from xrete.shapes.bitext import Bitext
from xrete.shapes.metric import Items
from xrete.shapes.mining import Corpora
from xrete.shapes.ranking import Pool, Ranking
from xrete.sources import Mini


def stripped(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines()]


def share_of_equal(labels: Sequence[object], predictions: Sequence[object]) -> float:
    """The evaluator refuses files of unequal lengths."""
    assert len(labels) == len(predictions)
    return 100 * sum(one == other for one, other in zip(labels, predictions, strict=True)) / len(labels)


def accuracy(labels: str, predictions: str) -> float:
    return share_of_equal(stripped(labels), stripped(predictions))


def choice_accuracy(labels: str, predictions: str) -> float:
    sides = ([json.loads(line)["label"] for line in text.splitlines()] for text in (labels, predictions))
    return share_of_equal(*sides)


def f1_of_pairs(labels: str, predictions: str) -> float:
    gold, said = ({tuple(line.split("\t")) for line in stripped(text)} for text in (labels, predictions))
    assert all(len(pair) == 2 for pair in said)
    if not gold & said:
        return 0.0
    precision, recall = len(gold & said) / len(said), len(gold & said) / len(gold)
    return 100 * 2 * precision * recall / (precision + recall)


def mean_reciprocal_rank(labels: str, predictions: str) -> float:
    """A mention that was left out counts as missed; of more than 20 candidates the rest is not looked at."""
    gold, said = json.loads(labels), json.loads(predictions)
    total = 0.0
    for mention, (entity,) in gold.items():
        found = said.get(mention, [])[:20]
        total += 1 / (found.index(entity) + 1) if entity in found else 0
    return 100 * total / len(gold)


def lines(rows: Iterable[object]) -> str:
    return "".join(f"{row}\n" for row in rows)


def sorted_english(data: Bitext) -> str:
    """XTREME sorts the English side to hide the answers, and keeps the permutation as labels."""
    return lines(row for _, row in sorted((text.strip(), row) for row, text in enumerate(data.target)))


class Official(NamedTuple):
    """What the evaluator has for a task.

    Attributes:
        name: Of the task's folder.
        suffix: Of its files.
        languages: The evaluator's codes to ours.
        labels: The content of the label file, from the data and the number of items that are scored.
        score: Of labels and predictions.
        ours: The record's number that it is compared with; None for the headline.
    """

    name: str
    suffix: str
    languages: Mapping[str, str]
    labels: Callable[[Any, int], str]
    score: Callable[[str, str], float]
    ours: str | None = None


def codes(theirs: str, ours: str = "") -> dict[str, str]:
    return dict(zip(theirs.split(), (ours or theirs).split(), strict=True))


OFFICIAL = {
    "xnli": Official(
        "xnli", "tsv", codes("ar bg de el en es fr hi ru sw th tr ur vi zh"), lambda x, _: lines(x.labels), accuracy
    ),
    "pawsx": Official("pawsx", "tsv", codes("de en es fr ja ko zh"), lambda x, _: lines(x.labels), accuracy),
    "xcopa": Official(
        "xcopa", "jsonl", codes("et ht id it qu sw ta th tr vi zh"),
        lambda x, _: lines(json.dumps({"idx": 1, "label": label}) for label in x.labels), choice_accuracy,
    ),
    "tatoeba": Official(
        "tatoeba", "tsv",
        codes(
            "ar he vi id jv tl eu ml ta te af nl de el bn hi mr ur fa fr it "
            "pt es bg ru ja ka ko th sw zh kk tr et fi hu az lt pl uk ro",
            "ara heb vie ind jav tgl eus mal tam tel afr nld deu ell ben hin mar urd pes fra ita "
            "por spa bul rus jpn kat kor tha swh cmn kaz tur est fin hun aze lit pol ukr ron",
        ),
        lambda x, _: sorted_english(x), accuracy, "accuracy_en2xx",
    ),
    "bucc": Official(
        "bucc2018", "tsv", codes("de fr ru zh", "de-en fr-en ru-en zh-en"),
        lambda x, size: lines(f"{x.ids[0][i]}\t{x.ids[1][j]}" for i, j in x.gold[:size]), f1_of_pairs,
    ),
    "mewslix": Official(
        "mewslix", "json", codes("ar de en es fa ja pl ro ta tr uk"),
        lambda x, size: json.dumps(dict(zip(x.ids[:size], x.relevant[:size], strict=True))), mean_reciprocal_rank,
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    ("task", "limit"),
    [*((task, None) for task in OFFICIAL), ("bucc", 20), ("mewslix", 9)],  # a limit makes other corpora, same ids
)
def test_the_official_score_of_the_files_is_the_records(
    task: str, limit: int | None, new_ngrams: Callable[..., Any], model_of: Callable[..., Any], tmp_path: Path
) -> None:
    official = OFFICIAL[task]
    dataset, whole = (Dataset(registry.task(task), Mini(), limit=size) for size in (limit, None))
    record = package.evaluate(
        model_of(new_ngrams()), dataset, results=tmp_path / "results", predictions=tmp_path / "predictions"
    )
    scores = []
    for code, language in official.languages.items():
        if language in record.missing_languages:
            continue
        found = record.languages[language]
        file = tmp_path / "predictions" / "ngrams" / official.name / f"test-{code}.{official.suffix}"
        scores.append(official.score(official.labels(whole[language], found.n), file.read_text()))
        expected = found.variants[official.ours] if official.ours else found.score
        assert scores[-1] == pytest.approx(expected, rel=1e-14), language
    assert len(set(scores) - {0, 100}) > 2, scores  # or nothing was tested


def test_bucc_is_judged_by_the_ids_of_its_files() -> None:
    data = Dataset(registry.task("bucc"), Mini(), languages=["de"])["de-en"]
    assert (data.ids[0][0], data.ids[1][-1]) == ("de-000000001", "en-000000060")


SMALLEST: Mapping[str, tuple[Any, Items]] = {
    "xnli": (None, {"prediction": np.array(["neutral"])}),
    "pawsx": (None, {"prediction": np.array(["1"])}),
    "xcopa": (None, {"prediction": np.array([1])}),
    "tatoeba": (Bitext(["a"], ["b"]), {"en2xx": np.array([0])}),
    "bucc": (
        Corpora(["a", "b"], ["c"], [(0, 0)], ids=(["a-1", "a-2"], ["c-1"])),
        {"source": np.array([0, 1]), "target": np.array([0, 0]), "margin_found": np.array([False, True])},
    ),
    "mewslix": (
        Ranking(["1é"], ["?"], [["b"]], Pool(["a", "b"], ["x", "y"])),
        {f"candidate_{number}": np.array([{1: 1, 2: 0}.get(number, -1)]) for number in range(1, 21)},
    ),
}
WRITTEN = {
    "xnli": "neutral\n", "pawsx": "1\n", "xcopa": '{"label": 1}\n', "tatoeba": "0\n", "bucc": "a-2\tc-1\n",
    "mewslix": '{"1\\u00e9": ["b", "a"]}\n',
}  # fmt: skip


class Always:
    """A data set that has the same data in every language."""

    def __init__(self, task: str) -> None:
        self.card = registry.task(task).card
        self.data, self.items = SMALLEST[task]

    def __getitem__(self, language: str) -> Any:
        return self.data


@pytest.mark.parametrize("task", OFFICIAL)
def test_the_evaluator_finds_every_language_by_its_code_and_no_other(task: str, tmp_path: Path) -> None:
    """Also where two languages have one code in BCP 47: Tatoeba's "dtp" and "kzj"."""
    official = OFFICIAL[task]
    dataset: Any = Always(task)
    files = write_predictions(tmp_path, dataset, dict.fromkeys(dataset.card.languages, dataset.items))
    expected = {f"test-{code}.{official.suffix}" for code in official.languages}
    assert {file.name for file in files} == expected
    assert sorted(files) == sorted((tmp_path / official.name).iterdir())
    assert {file.read_text() for file in files} == {WRITTEN[task]}


@pytest.mark.parametrize("task", ["flores", "lareqa"])
def test_a_task_that_the_evaluator_does_not_read_writes_nothing(
    task: str, new_ngrams: Callable[..., Any], model_of: Callable[..., Any], tmp_path: Path
) -> None:
    dataset = Dataset(registry.task(task), Mini(), languages=["de"])
    package.evaluate(model_of(new_ngrams()), dataset, results=tmp_path / "results", predictions=tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("task", ["bucc", "mewslix"])
def test_items_are_enough_for_predictions(
    task: str, new_ngrams: Callable[..., Any], model_of: Callable[..., Any], tmp_path: Path
) -> None:
    """A record that is complete needs its model no more."""
    model, dataset = model_of(new_ngrams()), Dataset(registry.task(task), Mini())

    def load() -> Any:
        raise AssertionError("the model was loaded")

    run(model.identity, lambda: model, dataset, RunOptions(results=tmp_path / "results"))
    again = RunOptions(results=tmp_path / "results", predictions=tmp_path / "out")
    run(model.identity, load, dataset, again)
    assert len(list((tmp_path / "out" / "ngrams" / OFFICIAL[task].name).iterdir())) == len(dataset.languages)


def test_predictions_that_cannot_be_written_are_an_error_with_a_name(tmp_path: Path) -> None:
    (tmp_path / "xnli").write_text("a file, not a folder")
    dataset: Any = Always("xnli")
    with pytest.raises(XreteError, match=r"cannot write .*test-en\.tsv: "):
        write_predictions(tmp_path, dataset, {"en": dataset.items})


def test_the_command_line_writes_predictions(xrete: Callable[..., Any], tmp_path: Path) -> None:
    done = xrete(
        "run", "--model", "use-m3", "--task", "tatoeba", "--data", "mini", "--languages", "de,fr",
        "--results", tmp_path / "results", "--predictions", tmp_path / "out",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    files = sorted((tmp_path / "out" / "use-m3" / "tatoeba").iterdir())
    assert [file.name for file in files] == ["test-de.tsv", "test-fr.tsv"]
