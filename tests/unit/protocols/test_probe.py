"""The probe: what it trains on, that it never sees what it scores, that it learns, and that it is repeatable."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.preprocessing import StandardScaler

from xrete import registry
from xrete.check.certificates.protocols import certificates
from xrete.dataset import Dataset
from xrete.errors import DataError, UsageError
from xrete.evaluation.plan import Plan, RunOptions
from xrete.evaluation.run import evaluate
from xrete.model import wrap
from xrete.protocols import Settings, material, probe
from xrete.protocols.folds import split_items
from xrete.protocols.heads import fit_heads
from xrete.shapes.classification import Labelled
from xrete.sources import Mini
from xrete.task import TaskCard

CLASSES = ("no", "yes")
PROBED = ("xnli", "americasnli", "pawsx", "xcopa", "multists", "qe", "multieurlex", "multiarc")
Data = Mapping[tuple[str, str], Labelled]


class Task:
    """Classification of data in memory, offered as a mini sample, whose splits may have any name."""

    def __init__(self, data: Data) -> None:
        self.data = data
        self.card = TaskCard(
            name="toy",
            title="Toy",
            shape="classification",
            category="classification",
            metric="accuracy",
            languages=tuple(dict.fromkeys(language for language, _ in data)),
            splits=("test", "dev"),
            training=("train",),
            counts={},
            protocols=("probe",),
            licence="none",
            citation="none",
            layout="none",
        )

    def files(self, language: str, split: str) -> list[str]:
        return ["none"]

    def from_folder(self, folder: object, language: str, split: str) -> None:
        return None

    def from_mini(self, mini: Mini, language: str, split: str) -> Labelled | None:
        return self.data.get((language, split))


def seed_of(text: str) -> int:
    return zlib.crc32(text.encode())


def items(split: str, language: str, count: int, label: Callable[[int], int] | None = None) -> Labelled:
    """Item i of a split is the same in every language; its label is a coin flip that its texts do not tell."""
    label = label or (lambda row: seed_of(f"{split} {row}") % 2)
    return Labelled(
        first=[f"{language}|{split}|{row}|{label(row)}" for row in range(count)],
        labels=[CLASSES[label(row)] for row in range(count)],
        classes=CLASSES,
    )


def splits(sizes: Mapping[str, int], languages: Sequence[str] = ("de", "en", "sw")) -> Dataset:
    return Dataset(Task({(x, s): items(s, x, n) for x in languages for s, n in sizes.items()}), Mini())


def unit(rows: list[NDArray[np.float64]]) -> NDArray[np.float32]:
    vectors = np.stack(rows)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)


def memorises(texts: Sequence[str]) -> NDArray[np.float32]:
    """One vector for an item, whatever its language: whoever was trained on a translation knows the label."""
    names = (text.split("|")[1:3] for text in texts)
    return unit([np.random.default_rng(seed_of("|".join(name))).standard_normal(600) for name in names])


def reads_the_label(texts: Sequence[str]) -> NDArray[np.float32]:
    """Noise of its own for each text, beside one direction that holds the label."""
    rows = []
    for text in texts:
        noise = np.random.default_rng(seed_of(text)).standard_normal(20)
        noise[0] = 3.0 if text.endswith("1") else -3.0
        rows.append(noise)
    return unit(rows)


def score(
    dataset: Dataset, encode: Any, settings: Settings | None = None, languages: Any = None
) -> dict[str, float]:
    found = probe.outcomes(dataset, encode, languages or dataset.languages, settings or Settings())
    return {language: dataset.shape.metrics["accuracy"].statistic(columns) for language, columns in found}


def test_it_learns_what_is_linearly_separable() -> None:
    for sizes in ({"test": 200, "train": 200}, {"test": 200, "dev": 200}, {"test": 200}):
        scores = score(splits(sizes), reads_the_label)
        assert min(scores.values()) > 95, sizes


@pytest.mark.parametrize("languages", ["all", "en"])
def test_no_scored_item_was_trained_on_in_any_language(languages: str) -> None:
    """An encoder that knows every item by heart is at chance, within 99.9 %: 300 items, 3 languages in step."""
    scores = score(splits({"test": 300}), memorises, Settings(train_languages=languages))
    assert scores["de"] == scores["en"] == scores["sw"]
    assert 40 < scores["en"] < 60


def test_the_same_encoder_would_be_found_out() -> None:
    """The control: items trained on in one language are known in another."""
    data = {(x, s): items("same", x, 300) for x in ("de", "en") for s in ("test", "train")}
    assert min(score(Dataset(Task(data), Mini()), memorises).values()) > 95


def test_items_that_share_a_text_are_on_one_side() -> None:
    """Two hypotheses of one premise, whose two labels make the third known."""
    data = Labelled(
        first=[f"premise {row // 3}" for row in range(90)],
        second=[f"hypothesis {row}" for row in range(90)],
        labels=[CLASSES[row % 2] for row in range(90)],
        classes=CLASSES,
    )
    found = material.material(Dataset(Task({("en", "test"): data}), Mini()), Settings())
    halves = found.halves["en"].reshape(30, 3)
    assert (halves == halves[:, :1]).all()
    assert halves.sum() == 45
    trained = [set(part.data.first) for (part,) in found.parts]
    assert not trained[0] & trained[1]


def test_parts_share_no_key_and_are_of_one_size() -> None:
    keys = {
        "de": [(f"item {row}", f"de {row % 40}") for row in range(100)],
        "sw": [(f"item {row}", f"sw {row}") for row in range(60)],
    }
    parts = split_items(keys, 3, seed=1)
    seen: dict[str, int] = {}
    for language, rows in keys.items():
        for row, part in zip(rows, parts[language], strict=True):
            assert all(seen.setdefault(key, part) == part for key in row)
    sizes = np.bincount(np.concatenate(list(parts.values())))
    assert sizes.max() - sizes.min() <= 6
    again, other = split_items(keys, 3, seed=1), split_items(keys, 3, seed=2)
    assert all((again[x] == parts[x]).all() for x in keys)
    assert any((other[x] != parts[x]).any() for x in keys)


def notes(dataset: Dataset, settings: Settings | None = None) -> str:
    return "\n".join(probe.notes(dataset, settings or Settings()))


def test_notes_say_what_was_trained_on() -> None:
    said = notes(splits({"test": 30, "train": 40, "dev": 20}))
    assert "logistic regression on frozen embeddings, u, standardised" in said
    assert "trained on train in de, en, sw (120 items)" in said
    assert "chosen by accuracy on dev in de, en, sw (60 items)" in said
    said = notes(splits({"test": 30, "dev": 20}), Settings(train_languages="en"))
    assert "trained on dev in en (20 items)" in said
    assert "chosen by accuracy on 3-fold cross-validation, by item" in said
    said = notes(splits({"test": 30}), Settings(train_languages="sw,de"))
    assert "cross-fitted, since only test is there" in said
    assert "after training on the other half in de, sw (30 and 30 items)" in said


def test_dev_is_not_trained_on_where_it_is_scored() -> None:
    data = {(x, s): items(s, x, 40) for x in ("de", "en") for s in ("test", "dev", "train")}
    said = notes(Dataset(Task(data), Mini(), split="dev"))
    assert "trained on train in de, en (80 items)" in said
    assert "cross-validation" in said
    del data["de", "train"], data["en", "train"]
    assert "cross-fitted, since only dev is there" in notes(Dataset(Task(data), Mini(), split="dev"))


def test_large_training_data_is_drawn_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(material, "MOST_ROWS", 60)
    monkeypatch.setattr(material, "MOST_SELECTION_ROWS", 30)
    dataset = splits({"test": 10, "train": 500, "dev": 50})
    found = material.material(dataset, Settings())
    (parts,) = found.parts
    assert [len(part.data) for part in parts] == [20, 20, 20]
    assert "train in de, en, sw (60 of 1,500 items, drawn with seed 42)" in found.note
    assert "dev in de, en, sw (30 of 150 items, drawn with seed 42)" in found.selection_note
    again = material.material(splits({"test": 10, "train": 500, "dev": 50}), Settings())
    assert again.parts[0][0].data.first == parts[0].data.first
    other = material.material(dataset, Settings(seed=1))
    assert other.parts[0][0].data.first != parts[0].data.first


def test_a_language_that_is_not_there_is_no_training_data() -> None:
    data = {("de", "test"): items("test", "de", 20), ("en", "test"): items("test", "en", 20)}
    dataset = Dataset(Task(data | {("de", "train"): items("train", "de", 20)}), Mini())
    with pytest.raises(DataError, match="toy has no en to train on in train, which holds de; name some of these"):
        score(dataset, memorises, Settings(train_languages="en"))
    with pytest.raises(UsageError, match="unknown language of toy 'xx'"):
        score(dataset, memorises, Settings(train_languages="xx"))


def test_too_few_items_to_halve() -> None:
    with pytest.raises(DataError, match="toy has too few items in test to train on one half"):
        score(splits({"test": 1}), memorises)


def test_a_limit_holds_for_what_is_trained_on() -> None:
    data = {(x, s): items(s, x, 50) for x in ("de", "en") for s in ("test", "train")}
    assert "train in de, en (14 items)" in notes(Dataset(Task(data), Mini(), limit=7))


def test_the_same_settings_give_the_same_scores_and_a_part_of_them() -> None:
    dataset = splits({"test": 90})
    first = score(dataset, reads_the_label)
    probe.trained_heads.clear()
    assert score(splits({"test": 90}), reads_the_label) == first
    assert score(dataset, reads_the_label, languages=["sw"]) == {"sw": first["sw"]}
    assert score(dataset, memorises, Settings(seed=1)) != score(dataset, memorises, Settings(seed=2))


def test_the_record_says_it_and_goes_by_what_was_trained_on(tmp_path: Path) -> None:
    class Model:
        def encode(self, texts: list[str]) -> NDArray[np.float32]:
            return reads_the_label(texts)

    record = evaluate(Model(), splits({"test": 30, "train": 40}), seed=7)
    assert record.protocol == "probe"
    assert any("trained on train in de, en, sw (120 items)" in note for note in record.notes)
    model = wrap(Model())
    keys = {
        Plan.make(model.identity, splits(sizes), RunOptions(**options)).key
        for sizes in ({"test": 30}, {"test": 30, "train": 40}, {"test": 30, "train": 41})
        for options in ({}, {"train_languages": "en"}, {"seed": 1})
    }
    assert len(keys) == 9
    pairs = Dataset(registry.task("multists"), Mini(), languages=["en-en"])
    zero_shot = [RunOptions(), RunOptions(train_languages="en")]
    assert len({Plan.make(model.identity, pairs, options).key for options in zero_shot}) == 1


def test_classes_are_those_of_scikit_learn() -> None:
    random = np.random.default_rng(0)
    features = (random.standard_normal((90, 5)) * [1, 10, 0.1, 1, 1] + 3).astype(np.float32)
    labels = random.integers(0, 3, 90)
    (head,) = fit_heads("classes", features, labels, [0.1])
    standard = StandardScaler().fit(features)
    model = LogisticRegression(C=0.1).fit(standard.transform(features), labels)
    expected = model.predict_proba(standard.transform(features))
    scores = np.exp(head(features))
    np.testing.assert_allclose(scores / scores.sum(axis=1, keepdims=True), expected, atol=1e-3)
    (two,) = fit_heads("classes", features, labels % 2, [0.1])
    model = LogisticRegression(C=0.1).fit(standard.transform(features), labels % 2)
    np.testing.assert_array_equal(two(features).argmax(axis=1), model.predict(standard.transform(features)))


def test_scores_are_those_of_ridge_regression() -> None:
    random = np.random.default_rng(0)
    features = random.standard_normal((50, 4)).astype(np.float32)
    gold = features @ [1.0, 2, 0, -1] + random.standard_normal(50)
    (head,) = fit_heads("score", features, gold, [0.1])
    standard = StandardScaler().fit(features)
    expected = Ridge(alpha=10).fit(standard.transform(features), gold).predict(standard.transform(features))
    np.testing.assert_allclose(head(features), expected, atol=1e-5)


def test_labels_are_learnt_apart() -> None:
    random = np.random.default_rng(0)
    features = random.standard_normal((80, 4)).astype(np.float32)
    gold = np.stack([features[:, 0] > 0, np.ones(80, bool), np.zeros(80, bool), features[:, 1] > 0.5], axis=1)
    (head,) = fit_heads("labels", features, gold, [1.0])
    scores = head(features)
    assert np.mean((scores > 0) == gold) > 0.97
    assert np.ptp(scores[:, 1]) < 1e-9 < scores[0, 1], "all items have it: nothing to learn"
    assert np.ptp(scores[:, 2]) < 1e-9
    assert scores[0, 2] < 0, "no item has it"


def test_a_constant_model_gives_the_frequencies_and_ties_are_ties() -> None:
    features = np.full((8, 3), 0.3, dtype=np.float32)
    labels = np.array([2, 2, 2, 0, 0, 0, 1, 1])
    (head,) = fit_heads("classes", features, labels, [1.0], classes=4)
    scores = head(np.full((1, 3), 0.7, dtype=np.float32))[0]
    assert scores[0] == scores[2] > scores[1] > scores[3] == -np.inf
    (head,) = fit_heads("labels", features, np.eye(4, dtype=bool)[labels], [1.0])
    scores = head(features)[0]
    assert scores[0] == scores[2] > scores[1] > scores[3]


def test_a_class_that_is_not_trained_on_is_never_predicted() -> None:
    features = np.random.default_rng(0).standard_normal((20, 3)).astype(np.float32)
    for labels in (np.arange(20) % 2 * 2, np.full(20, 2)):
        (head,) = fit_heads("classes", features, labels, [1.0], classes=4)
        assert set(head(features).argmax(axis=1)) <= set(labels)


@pytest.mark.parametrize("name", PROBED)
def test_tasks_have_all_certificates(name: str) -> None:
    """That they hold is tested for every task with the contract."""
    dataset = Dataset(registry.task(name), Mini())
    assert len(dataset.languages) >= 6
    protocol = dataset.card.protocols[0]
    for language in dataset.languages:
        names = [x.name for x in certificates(protocol, dataset, language, Settings())]
        assert sorted(names) == ["constant", "oracle", "random", "shuffled-oracle"]
