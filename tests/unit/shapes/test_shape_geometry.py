"""The shape `geometry`: groups, what is left out, and the record that comes of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from xrete import registry
from xrete.check.plugins import check_task
from xrete.dataset import Dataset, open_dataset
from xrete.errors import DataError, UsageError
from xrete.evaluation.run import evaluate
from xrete.record import Record
from xrete.shapes.contract import JointScores, JointShape
from xrete.sources import Folder, Mini
from xrete.vectors.disk_buffer import DiskBuffer

FEW = ["eng_Latn", "deu_Latn", "swh_Latn", "fra_Latn"]


class Letters:
    """Counts characters, which is enough for vectors that differ."""

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        counts = np.array([np.bincount([ord(x) % 24 for x in text], minlength=24) for text in texts])
        return (counts + 0.1).astype(np.float32)

    def unit(self, texts: Sequence[str]) -> NDArray[np.float32]:
        rows = self.encode(texts)
        return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def geometry(languages: Sequence[str] | None = FEW, **options: Any) -> Dataset:
    return Dataset(registry.task("flores-geometry"), Mini(), languages=languages, **options)


def joint(dataset: Dataset, model: Letters | None = None) -> JointScores:
    assert isinstance(dataset.shape, JointShape)
    return dataset.shape.joint(dataset, (model or Letters()).unit)


@pytest.fixture(scope="module")
def record() -> Record:
    return evaluate(Letters(), geometry())


def test_the_score_is_the_mean_of_the_languages(record: Record) -> None:
    assert record.status == "complete"
    assert record.score == pytest.approx(np.mean([score.score for score in record.languages.values()]))
    assert record.score == record.groups["all"].score
    assert record.ci95 is None
    assert not record.higher_is_better


def test_head_has_no_english_and_a_lone_language_is_no_group(record: Record) -> None:
    assert record.groups["all"].languages == tuple(sorted(FEW))
    assert record.groups["head"].languages == ("deu_Latn", "fra_Latn")
    assert len(record.groups["head"].missing) == 66
    assert "long-tail" not in record.groups
    assert len(record.groups["all"].missing) == 200


def test_every_metric_is_there_where_it_is_defined(record: Record) -> None:
    shape = geometry().shape
    assert {record.metric, *record.groups["all"].variants} == set(shape.metrics)
    assert "rho_alignment" not in record.groups["head"].variants, "two languages have no rank correlation"
    assert "accuracy" in record.languages["deu_Latn"].variants
    assert "accuracy" not in record.languages["eng_Latn"].variants


def test_accuracy_is_that_of_sentence_retrieval(record: Record) -> None:
    others = [code for code in FEW if code != "eng_Latn"]
    retrieval = evaluate(Letters(), Dataset(registry.task("flores"), Mini(), languages=others))
    assert retrieval.score == pytest.approx(record.groups["all"].variants["accuracy"])


def test_every_language_is_encoded_once_and_truncation_is_counted() -> None:
    model = Letters()
    found = evaluate(model, geometry())
    assert found.cost.sentences == 4 * 72
    assert found.cost.truncated is None, "this model does not say"


def test_the_order_of_languages_does_not_matter() -> None:
    dataset, turned = geometry(), geometry()
    turned.languages = turned.languages[::-1]
    before, after = joint(dataset).groups["all"], joint(turned).groups["all"]
    assert after == pytest.approx(before, rel=1e-7)


def test_without_english_nothing_is_compared_with_it() -> None:
    found = joint(geometry(["deu_Latn", "swh_Latn", "fra_Latn"]))
    assert {"kl", "ch", "pr", "mean_cosine"} <= found.groups["all"].keys()
    assert not {"alignment", "hubness", "accuracy", "rho_kl"} & found.groups["all"].keys()


def test_few_sentences_have_no_covariance_of_components() -> None:
    assert "kl_pca_16" in joint(geometry()).groups["all"]
    assert "kl_pca_16" not in joint(geometry(limit=63)).groups["all"]


def test_one_language_cannot_be_compared() -> None:
    with pytest.raises(UsageError, match="flores-geometry compares languages, and there is only deu_Latn"):
        joint(geometry(["deu_Latn"]))


def test_an_infinite_index_is_left_out_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    class Oracle:
        def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
            return np.eye(72, dtype=np.float32)[: len(texts)]

    found = evaluate(Oracle(), geometry())
    assert "ch" not in found.groups["all"].variants
    assert "all: ch is infinite and left out" in found.notes
    assert found.score == pytest.approx(0.0, abs=1e-12)
    assert "inf" not in found.to_json().lower().replace("infinite", "")


class Unequal(Dataset):
    """One language is shorter than the other."""

    def __getitem__(self, language: str) -> Any:
        return super().__getitem__(language)[: 1000 if language == "deu_Latn" else None]


def test_languages_of_unequal_length_are_an_error(tmp_path: Path) -> None:
    folder = tmp_path / "flores200_dataset" / "devtest"
    folder.mkdir(parents=True)
    for language, count in (("eng_Latn", 1012), ("deu_Latn", 1012)):
        (folder / f"{language}.devtest").write_text("".join(f"{language} {row}\n" for row in range(count)))
    dataset = open_dataset(registry.task("flores-geometry"), tmp_path)
    assert isinstance(dataset.source, Folder)
    assert dataset.languages == ("deu_Latn", "eng_Latn")
    with pytest.raises(DataError, match="deu_Latn has 1000 sentences and eng_Latn 1012"):
        joint(Unequal(registry.task("flores-geometry"), dataset.source))
    (folder / "deu_Latn.devtest").write_text("one\ntwo\n")
    with pytest.raises(DataError, match="2 items where the published flores-geometry has 1012"):
        open_dataset(registry.task("flores-geometry"), tmp_path)["deu_Latn"]


def test_the_task_is_certified() -> None:
    findings = list(check_task("flores-geometry"))
    together = [finding for finding in findings if finding.rule.startswith("all languages")]
    assert [finding.rule.split()[3] for finding in together] == ["constant", "random", "oracle", "shuffled-oracle"]
    assert all(finding.passed for finding in findings), [finding for finding in findings if not finding.passed]


def test_the_certificates_find_a_wrong_scorer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xrete.vectors.geometry.PartitionSums.ratio", property(lambda sums: math.exp(-2)))
    failed = [finding for finding in check_task("flores-geometry") if not finding.passed]
    assert len(failed) == 2
    assert "pr 0.135335, theory says [0.367878, 0.36788]" in failed[0].detail


def test_vectors_on_disk_come_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XRETE_CACHE", str(tmp_path / "cache"))
    blocks = [np.random.default_rng(seed).standard_normal((5, 3)).astype(np.float32) for seed in range(3)]
    with DiskBuffer() as spool:
        for block in blocks:
            spool.append(block)
        for number in (2, 0, 1):
            assert (spool[number] == blocks[number]).all()
    assert not list((tmp_path / "cache").iterdir()), "nothing is left behind"
