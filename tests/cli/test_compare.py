"""`xrete compare` as users type it."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from xrete import registry
from xrete.evaluation.plan import RunOptions
from xrete.evaluation.run import run
from xrete.record import read_record, write_record

Xrete = Callable[..., Any]

PLUGIN = Path(__file__).parents[1] / "plugins" / "two_models.py"
MEASURED = Path(__file__).parents[2] / "results" / "measured"
TUNED = MEASURED.with_name("fine-tuned")
MODELS = ("words", "other-words")


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of two models on parts of the mini sample; only the first one has bucc."""
    results = tmp_path_factory.mktemp("scored") / "results"
    registry.add_plugin_file(PLUGIN)
    for task, languages in (("tatoeba", ["de", "fr", "sw"]), ("flores", ["de", "sw"]), ("bucc", ["de-en"])):
        dataset = registry.load_task(task, "mini", languages=languages)
        for name in MODELS if task != "bucc" else MODELS[:1]:
            model = registry.request_model(name)
            run(model.identity, model.load, dataset, RunOptions(results=results))
    return results


@pytest.fixture
def results(scored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of them, in the folder where commands run."""
    shutil.copytree(scored, tmp_path / "results")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "results"


def record_of(results: Path, model: str, task: str) -> Path:
    (path,) = (results / model).glob(f"{task}.*.json")
    return path


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_a_table_of_tasks(xrete: Xrete, results: Path) -> None:
    done = xrete("compare", *MODELS)
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert lines[0] == "words (A) and other-words (B)"
    assert lines[2].split() == "task protocol metric A B A − B 95 % interval p better won".split()
    assert [line.split()[0] for line in lines if " zero-shot " in line and "[" in line] == ["flores", "tatoeba"]
    assert "Not compared: bucc, zero-shot: other-words: not run." in done.stdout
    assert "9,999 permutations of items" in done.stdout
    assert all(len(line) <= 100 for line in lines)


def test_one_task_shows_its_languages(xrete: Xrete, results: Path) -> None:
    done = xrete("compare", *MODELS, "--task", "tatoeba")
    assert "words (A) and other-words (B): tatoeba per language" in done.stdout
    codes = [line.split()[0] for line in done.stdout.splitlines() if line.startswith(("deu", "fra", "swh"))]
    assert codes == ["deu", "fra", "swh"]
    assert "Swahili" in done.stdout


def test_formats_say_the_same(xrete: Xrete, results: Path) -> None:
    found = json.loads(xrete("compare", *MODELS, "--format", "json").stdout)
    assert (found["schema"], found["first"], found["second"]) == ("xrete/comparison/1", *MODELS)
    table = rows(xrete("compare", *MODELS, "--format", "csv").stdout)
    markdown = xrete("compare", *MODELS, "--format", "markdown").stdout
    for task in found["tasks"]:
        for language, numbers in (("", task), *task["languages"].items()):
            (row,) = (x for x in table if (x["task"], x["language"]) == (task["task"], language))
            assert float(row["difference"]) == numbers["difference"]
            assert [float(row["ci_low"]), float(row["ci_high"])] == numbers["ci95"]
            assert float(row["p_holm"]) == numbers["p_holm"]
            assert row["better"] == (numbers["better"] or "")
        assert f"| {task['task']} | zero-shot | accuracy ↑ | {task['first_score']:.4f} " in markdown
    (missing,) = (x for x in table if x["task"] == "bucc")
    assert missing["missing"] == found["missing"][0]["reason"] == "other-words: not run"
    assert found["tasks"][0]["method"].endswith("drawn for all languages together")


def test_the_same_command_gives_the_same_bytes(xrete: Xrete, results: Path, tmp_path: Path) -> None:
    first = xrete("compare", *MODELS, "--format", "json").stdout
    done = xrete("compare", *MODELS, "--format", "json", "--out", tmp_path / "x.json")
    assert done.stdout == ""
    assert done.stderr == f"wrote {tmp_path / 'x.json'}\n"
    assert (tmp_path / "x.json").read_text("utf-8") == first


def test_files_are_compared_where_they_lie(xrete: Xrete, results: Path) -> None:
    files = [record_of(results, model, "tatoeba") for model in MODELS]
    by_file = xrete("compare", *files, "--format", "csv", "--results", "nowhere")
    assert by_file.returncode == 0
    assert by_file.stdout == xrete("compare", *MODELS, "--task", "tatoeba", "--format", "csv").stdout
    mixed = xrete("compare", files[0], MODELS[1], "--format", "csv")
    assert [x["missing"] for x in rows(mixed.stdout) if x["task"] == "flores"] == ["words: not run"]


def test_two_records_of_one_model_are_told_apart_by_their_files(
    xrete: Xrete, results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = record_of(results, "words", "tatoeba")
    copy = results / "elsewhere" / "again.json"
    copy.parent.mkdir()
    for file in (path, path.with_suffix(".items.parquet")):
        shutil.copy(file, copy.with_name(file.name if file.suffix == ".parquet" else copy.name))
    names = [str(file.relative_to(results)) for file in (path, copy)]
    monkeypatch.chdir(results)
    found = json.loads(xrete("compare", *names, "--format", "json").stdout)
    assert [found["first"], found["second"]] == [f"words ({name})" for name in names]


def test_another_metric(xrete: Xrete, results: Path) -> None:
    found = json.loads(xrete("compare", *MODELS, "--metric", "accuracy_en2xx", "--format", "json").stdout)
    assert {task["metric"] for task in found["tasks"]} == {"accuracy_en2xx"}
    assert {task["higher_is_better"] for task in found["tasks"]} == {True}


def test_published_records(xrete: Xrete) -> None:
    done = xrete("compare", "me5-small", "use-m3", "--results", MEASURED, "--format", "json")
    found = {task["task"]: task for task in json.loads(done.stdout)["tasks"]}
    assert {"flores", "tatoeba", "lareqa", "multists", "qe", "xnli", "americasnli", "pawsx", "xcopa"} <= set(found)
    assert {name: found[name]["better"] for name in ("flores", "tatoeba", "lareqa")} == {
        "flores": "first",
        "tatoeba": "first",
        "lareqa": "second",
    }
    assert found["flores"]["languages"]["arb_Arab"]["better"] == "second"
    assert found["flores"]["p_holm"] < 0.01


def test_two_files_may_be_of_different_protocols(xrete: Xrete) -> None:
    tuned, probed = (
        next((TUNED / "me5-small").glob(f"qe.{protocol}.*.json")) for protocol in ("fine-tune", "probe")
    )
    found = json.loads(xrete("compare", tuned, probed, "--format", "json").stdout)
    (task,) = found["tasks"]
    assert (task["task"], task["protocol"]) == ("qe", "fine-tune / probe")
    scores = [read_record(path).score for path in (tuned, probed)]
    assert [task["first_score"], task["second_score"]] == pytest.approx(scores)
    assert task["better"] == "first"
    names = ("me5-small (epochs=2)", "me5-small", "--task", "qe", "--results", TUNED, "--results", MEASURED)
    done = xrete("compare", *names)
    assert done.returncode == 1
    assert done.stderr.endswith("To compare two protocols, name two record files.\n")


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["word", "other-words"], 2, "unknown model 'word'; did you mean words"),
        (
            ["words", "other-words", "--task", "bucc"],
            1,
            "words and other-words cannot be compared. bucc, zero-shot: other",
        ),
        (["words", "other-words", "--task", "xnli"], 2, "unknown task 'xnli'"),
        (
            ["words", "other-words", "--metric", "magic"],
            1,
            "cannot be compared. bucc, zero-shot: words: its record holds no",
        ),
        (
            ["words", "other-words", "--data", "real"],
            1,
            "no real records here, but 5 mini ones: --data mini shows them",
        ),
        (["words", "none.json"], 1, "missing record: none.json"),
        (["words", "other-words", "--results", "nowhere"], 1, "missing results folder: nowhere"),
    ],
)
def test_what_cannot_be_compared_is_said(
    xrete: Xrete, results: Path, arguments: list[str], code: int, says: str
) -> None:
    done = xrete("compare", *arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.startswith("error: ")
    assert says in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_model_of_several_revisions_is_named_whole(xrete: Xrete, results: Path) -> None:
    path = record_of(results, "words", "tatoeba")
    record = read_record(path)
    newer = record.model_copy(update={"model": record.model.model_copy(update={"revision": "2"})})
    write_record(path.with_name("newer.json"), newer)
    done = xrete("compare", *MODELS)
    assert done.returncode == 2
    assert "'words' stands for 2 models here: name one of 'words (1)', 'words (2)', or a record file" in done.stderr
    assert xrete("compare", "words (1)", "words (2)", "--task", "tatoeba").returncode == 0


@pytest.mark.parametrize("name", ["<b>x</b>", "a|b", "=1+1", "a\nb", "\x1b[31mred", "‮evil", "x" * 300])
def test_hostile_names_are_harmless(xrete: Xrete, results: Path, name: str) -> None:
    path = record_of(results, "words", "tatoeba")
    record = read_record(path)
    hostile = record.model_copy(update={"model": record.model.model_copy(update={"name": name})})
    write_record(path.with_name("hostile.json"), hostile)
    arguments = ["compare", path.with_name("hostile.json"), "other-words", "--task", "tatoeba"]
    text = xrete(*arguments).stdout
    assert text.isprintable() or set(text) - {"\n"} == {x for x in text if x.isprintable()}
    assert all(len(line) <= 140 for line in text.splitlines())
    markdown = xrete(*arguments, "--format", "markdown").stdout
    assert "<b>" not in markdown
    assert {line.count(" | ") for line in markdown.splitlines() if line.startswith("| tatoeba")} == {9}
    assert not any(row["first"].startswith("=") for row in rows(xrete(*arguments, "--format", "csv").stdout))
    assert json.loads(xrete(*arguments, "--format", "json").stdout)["first"] == name
    failed = xrete(*arguments[:3], "--task", "xnli").stderr
    assert failed.startswith("error: ")
    assert failed[:-1].isprintable()
