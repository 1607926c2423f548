"""Published numbers: what is read of MTEB's files in all their forms, what ships, and the intervals."""

from __future__ import annotations

import csv
import json
import lzma
import subprocess
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import integrate, stats

from xrete import registry
from xrete.errors import DataError
from xrete.published import paper, result_files, store
from xrete.published.mteb import Reading, describe_left_out
from xrete.published.numbers import PublishedNumber, current
from xrete.scores import analytic

Run = Callable[..., subprocess.CompletedProcess[str]]

HOSTILE = "evil\x1b[31m/[bold]<script>alert(1)</script>=cmd|'/C calc'!A0\u202e"


def new_form(**values: float) -> dict[str, Any]:
    """A result of Tatoeba since version 1.11: accuracies by language."""
    rows = [{"hf_subset": f"{x}-eng", "accuracy": v, "f1": v / 2, "main_score": v / 2} for x, v in values.items()]
    return {
        "task_name": "Tatoeba",
        "mteb_version": "1.36.32",
        "dataset_revision": "69e8f12",
        "scores": {"test": rows},
    }


def save(folder: Path, content: object, name: str = "Tatoeba.json") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / name
    file.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
    return file


def only(reading: Reading) -> PublishedNumber:
    (number,) = reading.numbers.values()
    return number


# --- Intervals ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("count", "n"), [(0, 104), (1, 104), (337, 390), (999, 1000), (1000, 1000)])
def test_intervals_of_counts_are_scipys(count: int, n: int) -> None:
    exact = stats.binomtest(count, n).proportion_ci(0.95, method="exact")
    assert analytic.interval("accuracy", 100 * count / n, n) == pytest.approx((100 * exact.low, 100 * exact.high))


def test_intervals_of_correlations_are_fishers() -> None:
    random = np.random.default_rng(3)
    x = random.normal(size=250)
    measured = stats.pearsonr(x, x + random.normal(size=250))
    low, high = measured.confidence_interval(0.95)
    assert analytic.interval("pearson", 100 * measured.statistic, 250) == pytest.approx((100 * low, 100 * high))
    wider = analytic.interval("spearman", 100 * measured.statistic, 250)
    assert wider is not None
    assert wider[0] < 100 * low < 100 * high < wider[1]


def test_what_no_interval_follows_from() -> None:
    assert analytic.interval("f1", 80.0, 1000) is None
    assert analytic.interval("accuracy", 80.0, None) is None
    assert analytic.interval("pearson", 80.0, 3) is None


def test_intervals_of_means() -> None:
    values, parts = [80.0, 60.0], [(76.0, 83.0), (57.0, 64.0)]
    assert analytic.of_mean(values, parts, together=False) == (70 - 5 / 2, 70 + 5 / 2)  # 3, 4 and 5
    assert analytic.of_mean(values, parts, together=True) == (66.5, 73.5)
    assert analytic.of_mean(values, [parts[0], None], together=False) is None


@pytest.mark.parametrize("models", [2, 3, 10, 184])
def test_critical_values_are_those_of_the_studentised_range(models: int) -> None:
    expected = stats.studentized_range.ppf(0.95, models, 1e6) / np.sqrt(2)
    assert analytic.critical(models) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("models", [2, 50, 1300, 100_000])
def test_critical_values_of_many_models_leave_five_percent(models: int) -> None:
    """By adaptive integration: the chance that all of so many normal numbers lie within the range."""
    width = analytic.critical(models) * np.sqrt(2)

    def density(lowest: float) -> float:
        return float(
            models * stats.norm.pdf(lowest) * np.diff(stats.norm.cdf([lowest, lowest + width]))[0] ** (models - 1)
        )

    chance, _ = integrate.quad(density, -8, 8, epsabs=1e-10, limit=200, points=[-width / 2])
    assert chance == pytest.approx(0.95, abs=1e-7)


def test_one_model_has_nobody_to_differ_from() -> None:
    assert analytic.criticals(np.array([1, 2])).tolist() == [0.0, pytest.approx(1.959964, abs=1e-6)]


def test_no_pair_of_equal_models_is_told_apart_more_often_than_once_in_twenty() -> None:
    random, errors = np.random.default_rng(5), np.array([0.5, 1.0, 1.0, 2.0, 4.0])
    values = 50 + random.normal(size=(2000, 5)) * errors
    wrong = [
        analytic.significantly_better(x, [(y - 1.96 * e, y + 1.96 * e) for y, e in zip(x, errors, strict=True)])
        for x in values
    ]
    assert 0.02 < np.mean([x.any() for x in wrong]) <= 0.055


def test_models_far_apart_are_told_apart_in_the_direction_of_the_metric() -> None:
    values, intervals = [90.0, 80.0, 79.0], [(88.0, 91.0), (78.0, 82.0), (76.0, 80.0)]
    assert analytic.significantly_better(values, intervals).tolist() == [
        [False, True, True],
        [False] * 3,
        [False] * 3,
    ]
    errors = analytic.significantly_better(values, intervals, higher_is_better=False)
    assert errors.tolist() == [[False] * 3, [True, False, False], [True, False, False]]


# --- What ships ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shipped() -> tuple[PublishedNumber, ...]:
    (publication,) = store.read_all()
    assert publication.version == "f4cc6c8b3"
    assert publication.command.startswith("xrete import mteb ")
    return publication.numbers


def test_the_means_of_labse(shipped: tuple[PublishedNumber, ...]) -> None:
    """Computed by an outside script from the 112 published values."""
    own = {x.language: x.value for x in shipped if (x.model, x.task) == ("sentence-transformers/LaBSE", "tatoeba")}
    groups = registry.task("tatoeba").card.groups
    assert len(own) == 112
    assert np.mean([own[x] for x in groups["head"]]) == pytest.approx(95.219, abs=5e-4)
    assert np.mean([own[x] for x in groups["long-tail"]]) == pytest.approx(77.942, abs=5e-4)


def test_what_ships_is_whole(shipped: tuple[PublishedNumber, ...]) -> None:
    languages: dict[str, dict[str, set[str | None]]] = defaultdict(lambda: defaultdict(set))
    for x in shipped:
        languages[x.task][x.model].add(x.language)
        card = registry.task(x.task).card
        assert x.language in card.languages
        assert x.split is not None
        assert x.n in card.expected(x.language, x.split)
    assert {task: len(models) for task, models in languages.items()} == {
        "tatoeba": 200,
        "multists": 270,
        "flores": 18,
    }
    assert sum(len(known) == 112 for known in languages["tatoeba"].values()) == 182


def test_the_facts_that_ship() -> None:
    (publication,) = store.read_all()
    facts = publication.facts["sentence-transformers/LaBSE", "e34fab64a3011d2176c99545a93d5cbddc9a91b7"]
    assert (facts.dimension, facts.licence, facts.open_weights) == (768, "apache-2.0", True)
    assert sum(x.trained_on is not None for x in publication.facts.values()) > 150
    assert sum(x.languages is not None for x in publication.facts.values()) > 200
    assert {x.model for x in publication.numbers} == {x.model for x in publication.facts.values()}


def test_the_paper_is_a_source() -> None:
    publication = paper.publication()
    by_language = [x for x in publication.numbers if x.task == "tatoeba" and x.language == "afr"]
    assert {x.n for x in by_language} == {1000}
    assert all(x.ci95 for x in by_language)
    assert all(x.group and x.n is None for x in publication.numbers if x.language is None)


# --- Forms of result files ----------------------------------------------------------------------------------


def test_the_new_form(tmp_path: Path) -> None:
    save(tmp_path / "results" / "org__model" / "abc", new_form(deu=0.867))
    number = only(result_files.read(tmp_path))
    assert number == PublishedNumber(
        source="mteb", model="org/model", revision="abc", task="tatoeba", protocol="zero-shot", metric="accuracy",
        language="deu", group=None, value=86.7, n=1000, split="test", data_revision="69e8f12", evaluator="1.36.32",
    )  # fmt: skip


def test_values_that_are_no_counts_are_of_other_sentences(tmp_path: Path) -> None:
    save(tmp_path / "org__model" / "abc", new_form(swh=0.8666667, deu=0.952381))
    reading = result_files.read(tmp_path)
    assert not reading.numbers
    assert describe_left_out(reading) == [
        "Tatoeba, 1 model: scored on other sentences (95.2381 % of 1000 is no count)"
    ]
    save(tmp_path / "org__model" / "abc", new_form(swh=0.866667, deu=0.952))  # 338 of 390
    assert len(result_files.read(tmp_path).numbers) == 2


def test_the_old_form(tmp_path: Path) -> None:
    scores = {
        "dataset_revision": "80dc304",
        "mteb_dataset_name": "FloresBitextMining",
        "mteb_version": "1.1.2",
        "dev": {
            "evaluation_time": 13.2,
            "eng_Latn-fra_Latn": {"accuracy": 0.3, "f1": 0.2},
            "fra_Latn-eng_Latn": {"accuracy": 691 / 997, "f1": 0.6},
        },
    }
    save(tmp_path / "results" / "model" / "no_revision_available", scores, "FloresBitextMining.json")
    reading = result_files.read(tmp_path)
    number = only(reading)
    assert (number.model, number.language, number.n, number.split) == ("model", "fra_Latn", 997, "dev")
    assert number.value == pytest.approx(69.308, abs=1e-3)
    assert describe_left_out(reading) == [
        "FloresBitextMining eng_Latn-fra_Latn, 1 model: the task here is to English"
    ]


@pytest.mark.parametrize(
    "metrics",
    [
        {"cosine_spearman": 0.81, "cosine_pearson": 0.8, "main_score": 0.81},
        {"cos_sim_spearman": 0.81, "cos_sim_pearson": 0.8, "spearman": [0.81, 1e-30]},
        {"cos_sim": {"spearman": 0.81, "pearson": 0.8}, "euclidean": {"spearman": 0.7}},
    ],
)
def test_names_of_correlations(tmp_path: Path, metrics: dict[str, Any]) -> None:
    old = {"mteb_dataset_name": "STS17", "mteb_version": "0.0.2", "test": {"nl-en": metrics, "ko-ko": metrics}}
    new = {"task_name": "STS17", "scores": {"test": [{"hf_subset": x, **metrics} for x in ("nl-en", "ko-ko")]}}
    for content in (old, new):
        reading = result_files.read(save(tmp_path / "org__m" / "r", content, "STS17.json"))
        values = {(x.language, x.metric): (x.value, x.n) for x in reading.numbers.values()}
        assert values == {("en-nl", "spearman"): (81.0, 250), ("en-nl", "pearson"): (80.0, 250)}
        assert describe_left_out(reading) == ["STS17 ko-ko, 1 model: no part of MultiSTS"]


def test_a_model_says_who_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "anything" / "else"
    file = save(folder, new_form(deu=0.9))
    with pytest.raises(DataError, match=r"does not say whose it is; keep it as ORG__MODEL/REVISION/Tatoeba\.json"):
        result_files.read(file)
    meta = {
        "name": "a/b",
        "revision": "r1",
        "n_parameters": 118e6,
        "max_tokens": float("inf"),
        "embed_dim": 384,
        "license": "not specified",
        "open_weights": True,
        "training_datasets": ["Tatoeba", "NQ"],
        "languages": None,
    }
    save(folder, meta, "model_meta.json")
    reading = result_files.read(file)
    assert (only(reading).model, only(reading).revision) == ("a/b", "r1")
    facts = reading.facts["a/b", "r1"]
    assert (facts.parameters, facts.max_tokens, facts.dimension) == (118_000_000, None, 384)
    assert (facts.trained_on, facts.licence, facts.open_weights) == ("Tatoeba NQ", None, True)


def test_what_mteb_writes(tmp_path: Path) -> None:
    mteb = pytest.importorskip("mteb")
    content = new_form(deu=0.9) | {"evaluation_time": 1.0}
    content["scores"]["test"][0]["languages"] = ["deu-Latn", "eng-Latn"]
    task = mteb.TaskResult.from_dict(content)
    one = mteb.results.ModelResult(model_name="a/b", model_revision="r1", task_results=[task])
    task.to_disk(save(tmp_path / "a__b" / "r1", ""))
    one.to_disk(tmp_path / "model.json")
    mteb.BenchmarkResults(model_results=[one]).to_disk(tmp_path / "benchmark.json")
    for path in (tmp_path, tmp_path / "model.json", tmp_path / "benchmark.json"):
        number = only(result_files.read(path))
        assert (number.model, number.revision, number.language, number.value) == ("a/b", "r1", "deu", 90.0)


def test_one_revision_speaks_for_a_model(tmp_path: Path) -> None:
    save(tmp_path / "org__m" / "old", new_form(deu=0.9) | {"mteb_version": "1.9.0"})
    save(tmp_path / "org__m" / "new", new_form(deu=0.8) | {"mteb_version": "1.10.0"})
    numbers = list(result_files.read(tmp_path).numbers.values())
    assert len(numbers) == 2
    assert [x.revision for x in current(numbers)] == ["new"]
    save(tmp_path / "org__m" / "old", new_form(deu=0.9, swh=0.8) | {"mteb_version": "1.9.0"})
    assert {x.revision for x in current(result_files.read(tmp_path).numbers.values())} == {"old"}


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("{", "not JSON at line 1"),
        ("[" * 100_000, "nested too deeply"),
        ("[]", "it is no JSON object"),
        ({"task_name": "Tatoeba"}, "it has neither scores nor splits"),
        ({"task_name": "Tatoeba", "scores": {"test": [{"accuracy": 1}]}}, "split test holds something else"),
        (new_form(deu=1.2), "accuracy is 1.2, not from 0 to 1"),
        (new_form(deu=float("nan")), "accuracy is nan, not from 0 to 1"),
        (
            {"task_name": "Tatoeba", "scores": {"test": [{"hf_subset": "deu-eng", "f1": 1}]}},
            "no number for accuracy",
        ),
        ({"model_results": [{"task_results": []}]}, "a model has no model_name"),
    ],
)
def test_wrong_files_are_one_sentence(tmp_path: Path, content: object, sentence: str) -> None:
    save(tmp_path / "org__good" / "r", new_form(deu=0.9))
    save(tmp_path / "org__wrong" / "r", content)
    reading = result_files.read(tmp_path)
    assert only(reading).model == "org/good"
    (problem,) = reading.problems
    assert sentence in problem
    assert "\n" not in problem


def test_a_folder_without_results(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing"):
        with pytest.raises(DataError, match=str(path)):
            result_files.read(path)


def tables(folder: Path, rows: list[list[str]]) -> Path:
    header = "model revision mteb_version task dataset_revision split subset metric value".split()
    with lzma.open(folder / "scores.csv.xz", "wt", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return folder


def test_tables_of_models(tmp_path: Path) -> None:
    row = ["a/b", "external", "", "Tatoeba", "69e8f12", "test", "deu-eng"]
    tables(tmp_path, [[*row, "accuracy", "0.9"]])
    with lzma.open(tmp_path / "models.csv.xz", "wt", encoding="utf-8", newline="") as file:
        header = ["model", "revision", "n_parameters", "max_tokens", "license", "languages", "trained_on"]
        csv.writer(file).writerows([header, ["a/b", "external", "1e6", "inf", "mit", "eng-Latn", "NQ Tatoeba"]])
    facts = result_files.read(tmp_path).facts["a/b", "external"]
    assert (facts.parameters, facts.max_tokens, facts.licence) == (1_000_000, None, "mit")
    assert (facts.languages, facts.trained_on) == ("eng-Latn", "NQ Tatoeba")


def test_tables(tmp_path: Path) -> None:
    row = ["a/b", "external", "", "Tatoeba", "69e8f12", "test", "deu-eng"]
    number = only(result_files.read(tables(tmp_path, [[*row, "accuracy", "0.9"], [*row, "f1", "0.8"]])))
    assert (number.value, number.revision, number.evaluator) == (90.0, "external", None)
    for wrong, sentence in (([*row, "accuracy", "x"], "'x' of a/b is no number"), (row, "not as many cells")):
        with pytest.raises(DataError, match=sentence):
            result_files.read(tables(tmp_path, [wrong]))
    (tmp_path / "scores.csv.xz").write_bytes(b"no archive")
    with pytest.raises(DataError, match="cannot read"):
        result_files.read(tmp_path)


# --- The tables on disk, and the command --------------------------------------------------------------------


def test_a_publication_is_read_as_it_was_written(tmp_path: Path) -> None:
    save(tmp_path / "in" / "a__b" / "r", new_form(deu=0.9, swh=0.8))
    save(tmp_path / "in" / "a__b" / "r", {"name": "a/b", "revision": "r", "embed_dim": 3}, "model_meta.json")
    made = result_files.read(tmp_path / "in").publication("c0ffee", "xrete import mteb in")
    store.write(tmp_path / "out", made)
    assert store.read(tmp_path / "out") == made
    assert store.read_all([tmp_path])[-1] == made
    (tmp_path / "out" / "numbers.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match="write it again with 'xrete import mteb PATH'"):
        store.read(tmp_path / "out")


def test_the_command(tmp_path: Path, xrete: Run) -> None:
    clone = tmp_path / "clone"
    save(clone / ".git", "ref: refs/heads/main\n", "HEAD")
    save(clone / ".git" / "refs" / "heads", "0123abcd\n", "main")
    save(clone / "results" / "a__b" / "r", new_form(deu=0.9))
    save(clone / "results" / "a__b" / "r", "{", "STS17.json")
    save(clone / "results" / "a__b" / "r", {}, "BUCC.v2.json")
    done = xrete("import", "mteb", clone, "--out", tmp_path / "out")
    assert done.returncode == 0
    assert "1 numbers of 1 models (tatoeba of 1)" in done.stdout
    assert "STS17.json: not JSON at line 1: " in done.stderr
    assert "left out: BUCC.v2, 1 model: it ranks the gold pairs only" in done.stderr
    assert store.read(tmp_path / "out").version == "0123abcd"
    done = xrete("import", "mteb", tmp_path / "none")
    assert done.returncode == 1
    assert done.stderr.startswith("error: missing: ")


def test_hostile_names_are_harmless(tmp_path: Path, xrete: Run) -> None:
    folder = tmp_path / "in" / "x" / "y"
    save(folder, {"name": HOSTILE, "revision": "../../etc"}, "model_meta.json")
    save(folder, new_form(deu=2.0, swh=0.8))
    before = sorted(tmp_path.rglob("*"))
    done = xrete("import", "mteb", tmp_path / "in", "--out", tmp_path / "out")
    assert done.returncode == 0
    assert "\x1b" not in done.stdout + done.stderr
    assert "\u202e" not in done.stdout + done.stderr
    new = set(tmp_path.rglob("*")) - set(before)
    assert new == {tmp_path / "out", tmp_path / "out" / "numbers.parquet", tmp_path / "out" / "models.parquet"}
