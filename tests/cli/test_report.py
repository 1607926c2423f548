"""`xrete report` as users type it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from xrete.cli.report import report
from xrete.errors import UsageError, XreteError
from xrete.record import Record, write_record
from xrete.reporting.collect import Entry

MakeRecord = Callable[..., Record]
SaveRecord = Callable[..., Path]

app = typer.Typer(add_completion=False)
app.command()(report)
run = CliRunner()


@pytest.fixture(autouse=True)
def _records(
    make_record: MakeRecord,
    save_entry: Callable[[Record], Entry],
    save_record: SaveRecord,
    results: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for model, score in (("use-m3", 44.0), ("me5-small", 61.0), ("labse", 83.0)):
        groups = {"head": ["deu"], "long-tail": ["swh"]}
        scores = {"deu": score, "swh": score - 9}
        save_entry(make_record(model, scores=scores, groups=groups, variants={"accuracy_en2xx": -2.0}))
    save_record("use-m3", "flores", status="failed", error="no memory")
    monkeypatch.chdir(results.parent)


def test_the_default_folder_and_table() -> None:
    done = run.invoke(app, [])
    assert done.exit_code == 0
    assert done.stdout.startswith("Main results\n")
    assert "78.5*" in done.stdout
    assert "56.5° #2" in done.stdout
    assert "failed: no memory" in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize("arguments", [["results"], ["--results", "results"], ["results", "--results", "results"]])
def test_folders_are_arguments_or_options(arguments: list[str]) -> None:
    done = run.invoke(app, [*arguments, "--format", "csv", "--task", "tatoeba"])
    assert [row["model"] for row in csv.DictReader(io.StringIO(done.stdout))] == ["labse", "me5-small", "use-m3"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--table", "zero-shot"], "Zero-shot"),
        (["--table", "long-tail", "--reference", "paper"], "paper: EMMA-X"),
        (["--table", "per-language", "--task", "tatoeba"], "German"),
        (["--metric", "accuracy_en2xx"], "accuracy_en2xx ↑"),
        (["--intervals"], "78.5* #1 ±1.4"),
        (["--model", "labse"], "labse"),
        (["--format", "markdown"], "| labse     | **78.5** #1"),
        (["--format", "latex"], r"labse & \textbf{78.5} \#1"),
    ],
)
def test_options(arguments: list[str], expected: str) -> None:
    done = run.invoke(app, arguments)
    assert done.exit_code == 0
    assert expected in done.stdout


def test_json_and_nothing_else_on_standard_output(results: Path) -> None:
    (results / "broken.json").write_text("{")
    done = run.invoke(app, ["--format", "json"])
    assert len(json.loads(done.stdout)["cells"]) == 6
    assert (
        done.stderr
        == "warning: left out: results/broken.json is not a record: not JSON at line 1; restore or remove it\n"
    )


def test_what_a_csv_file_cannot_say_goes_to_standard_error(save_record: SaveRecord) -> None:
    save_record("labse", source="mini")
    done = run.invoke(app, ["--format", "csv"])
    assert "1 record of the mini sample left out" in done.stderr
    assert "mini" not in done.stdout


def test_out_writes_a_file(tmp_path: Path) -> None:
    out = tmp_path / "new" / "table.md"
    done = run.invoke(app, ["--format", "markdown", "--out", str(out)])
    assert (done.exit_code, done.stdout) == (0, "")
    assert out.read_text("utf-8") == run.invoke(app, ["--format", "markdown"]).stdout


@pytest.mark.parametrize(
    ("arguments", "kind", "sentence"),
    [
        (["nowhere"], XreteError, "missing results folder: nowhere; make some with 'xrete run"),
        (["--data", "mini"], XreteError, "no mini records here, but 4 real ones: --data real shows them"),
        (["--model", "me5"], UsageError, "unknown model 'me5'"),
        (["--task", "tatoba"], UsageError, "unknown task 'tatoba'; did you mean tatoeba?"),
        (["--table", "per-language"], UsageError, "name it with --task"),
        (["--metric", "f1"], UsageError, "unknown metric 'f1'"),
    ],
)
def test_errors_are_one_sentence(arguments: list[str], kind: type[XreteError], sentence: str) -> None:
    done = run.invoke(app, arguments)
    assert type(done.exception) is kind
    assert sentence in str(done.exception)
    assert "\n" not in str(done.exception)


@pytest.mark.parametrize(
    ("table", "count"), [("ablation", 2), ("ablation-phases", 1), ("ablation-ranks", 1), ("main", 1)]
)
@pytest.mark.parametrize("format_", ["table", "csv", "json"])
def test_ablation_is_both_tables(
    make_record: MakeRecord, results: Path, format_: str, table: str, count: int
) -> None:
    training = {"phases": ["encoder", "classifier", "em"], "classifier": "gmm", "ranks": 4}
    made = make_record("emmax:run", scores={"deu": 60.0}, missing=["afr"], groups={"head": ["deu", "afr"]})
    model = made.model.model_copy(update={"training": training})
    write_record(results / "emmax" / "record.json", made.model_copy(update={"model": model}))
    done = run.invoke(app, ["--table", table, "--format", format_])
    assert done.exit_code == 0
    if format_ == "table":
        assert done.stdout.count("Ablation: ") == (count if table != "main" else 0)
    elif format_ == "csv":
        assert len({row["table"] for row in csv.DictReader(io.StringIO(done.stdout))}) == count
    else:
        found = json.loads(done.stdout)
        assert len(found) == count if count > 1 else found["schema"] == "xrete/leaderboard/1"


@pytest.mark.parametrize("format_", ["html", "hub"])
def test_a_page_and_cards_go_into_a_folder(tmp_path: Path, format_: str) -> None:
    out = tmp_path / "out"
    done = run.invoke(app, ["--format", format_, "--out", str(out)])
    assert (done.exit_code, done.stdout) == (0, "")
    files = [path for path in out.rglob("*") if path.is_file()]
    said = f"wrote {files[0]}" if format_ == "html" else f"{len(files)} files are in {out}"
    assert done.stderr == f"{said}\n"
    assert any(path.name in ("index.html", "README.md") for path in files)
    for wrong in (["--format", format_], ["--format", format_, "--out", str(out), "--table", "main"]):
        assert type(run.invoke(app, wrong).exception) is UsageError


@pytest.mark.parametrize("arguments", [["--table", "round"], ["--format", "pdf"]])
def test_what_is_not_offered_is_wrong_usage(arguments: list[str]) -> None:
    assert run.invoke(app, arguments).exit_code == 2


NAME = '=<img src=x onerror=alert(1)>"|\\|\r\n[x](y)\x1b[31m\u202e' + 300 * "x"
"""All that names can do at once: HTML, quotes, pipes, a leading "=", line breaks, direction marks, length."""


@pytest.mark.parametrize("format_", ["table", "markdown", "csv", "latex", "json", "html", "hub"])
def test_a_hostile_name_is_harmless_in_every_format(
    save_entry: Callable[[Record], Entry], make_record: MakeRecord, tmp_path: Path, format_: str
) -> None:
    save_entry(make_record(NAME))
    out = tmp_path / "out"
    done = run.invoke(app, ["--format", format_, "--model", NAME, "--out", str(out)])
    assert done.exit_code == 0, done.output
    files = [path for path in out.rglob("*") if path.suffix in (".html", ".md")] if out.is_dir() else [out]
    (text,) = (path.read_text("utf-8") for path in files)
    assert all(line.isprintable() for line in text.split("\n"))
    if format_ == "csv":
        cells = [value for row in csv.DictReader(io.StringIO(text)) for value in row.values()]
        assert any("<img" in value for value in cells)
        assert not any(value.startswith("=") for value in cells)
    elif format_ == "json":
        assert {cell["model"] for cell in json.loads(text)["cells"]} == {NAME}
    elif format_ == "latex":
        assert r"=\textless{}img" in text
        assert "<" not in text
    else:
        card = text.split("---\n", 2)[2] if format_ == "hub" else text  # before it is YAML
        assert ("<img" in card) == (format_ == "table")
        assert "xxx" in card


def test_parquet_is_a_file(save_record: SaveRecord, tmp_path: Path) -> None:
    save_record("labse")
    out = tmp_path / "rows.parquet"
    done = run.invoke(app, ["--format", "parquet", "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert out.read_bytes()[:4] == b"PAR1"
    wrong = run.invoke(app, ["--format", "parquet"])
    assert isinstance(wrong.exception, UsageError)
    assert "name it with --out FILE" in str(wrong.exception)


def test_others_numbers_stand_beside_ours() -> None:
    made = run.invoke(app, ["--table", "long-tail", "--reference", "paper,mteb", "--format", "markdown"])
    assert made.exit_code == 0
    assert "mteb: sentence-transformers/LaBSE" in made.output
    assert "the paper has 95.7 for this model" in made.output
    wrong = run.invoke(app, ["--reference", "others"])
    assert isinstance(wrong.exception, UsageError)
    assert "there are paper and mteb" in str(wrong.exception)


def test_help_ends_with_commands_that_work() -> None:
    docstring = report.__doc__ or ""
    examples = [line.split()[2:] for line in docstring.splitlines() if line.strip().startswith("xrete report")]
    assert len(examples) == 5
    assert docstring.strip().splitlines()[-1].strip().startswith("xrete report")
    for example in examples:
        assert run.invoke(app, example).exit_code == 0
