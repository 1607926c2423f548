"""MTEB's result files in all their forms: a clone of its results, one file, what `mteb.evaluate` wrote, tables."""

from __future__ import annotations

import csv
import json
import lzma
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from xrete.errors import DataError
from xrete.files import parse_json, read_text
from xrete.published.mteb import NOT_THE_SAME, SAME, Reading, Result
from xrete.published.numbers import ModelFacts

META = "model_meta.json"
"""What MTEB's library puts beside results: the model's name, revision and facts."""

SCORES, MODELS = "scores.csv.xz", "models.csv.xz"
"""Tables of many results: one row a number (0 to 1), and one row a revision of a model."""

LARGEST = 64 * 2**20
"""Bytes of a result file; MTEB's largest have 5 MiB."""

_OF_A_RESULT = "model revision task split subset mteb_version dataset_revision".split()
_OLD_KEYS = {"mteb_dataset_name", "mteb_version", "dataset_revision", "hf_subsets", "task_name"}
_NO_LICENCE = {"", "not specified", "other", "unknown"}


def read(path: Path) -> Reading:
    """Reads results of MTEB.

    Args:
        path: A folder in MTEB's layout (MODEL/REVISION/TASK.json, anywhere below it), one result file, or a folder
            with the tables `scores.csv.xz` and `models.csv.xz`.

    Raises:
        DataError: it is missing or holds no result of MTEB.
    """
    reading = Reading()
    if path.is_file():
        _read_file(path, reading, named=False)
    elif (path / SCORES).is_file():
        _read_tables(path, reading)
    elif path.is_dir():
        _read_folder(path, reading)
    else:
        raise DataError(f"missing: {path}; name a clone of MTEB's results, a folder of them, or one result file")
    if not reading.numbers and not reading.left_out:
        why = f" ({reading.problems[0]})" if reading.problems else ""
        known = ", ".join(f"{task}.json" for task in SAME)
        raise DataError(f"no result of MTEB in {path}{why}; expected MODEL/REVISION/ with {known}")
    return reading


def commit_of(path: Path) -> str:
    """Returns the commit of the clone that a path lies in, read from its files; empty where it is in none."""
    for folder in (path, *path.resolve().parents):
        head = folder / ".git" / "HEAD"
        if head.is_file():
            text = read_text(head).strip()
            ref = head.parent / text.removeprefix("ref: ")
            return (read_text(ref).strip() if ref.is_file() else "") if text.startswith("ref: ") else text
    return ""


def _read_folder(path: Path, reading: Reading) -> None:
    """Reads files that are named like a task; experiments are variants of a model's run and none of its numbers."""
    for file in sorted(path.rglob("*.json")):
        if file.stem in SAME.keys() | NOT_THE_SAME.keys() and "experiments" not in file.relative_to(path).parts:
            _read_file(file, reading, named=len(file.relative_to(path).parts) >= 3)


def _read_file(file: Path, reading: Reading, *, named: bool) -> None:
    """Reads one file; what is wrong with it becomes a sentence.

    Args:
        file: The file.
        reading: Where its numbers go.
        named: Whether its folders may be taken for model and revision whatever their names are.
    """
    try:
        content = _json(file)
        if "task_results" in content or "model_results" in content:
            _read_models(file, content, reading)
            return
        task = _text(content, "task_name") or _text(content, "mteb_dataset_name") or file.stem
        if task not in SAME:
            reading.leave_out(task, file.parent.parent.name)
            return
        model, revision = _owner(file, reading, named=named)
        reading.add(_results(content, task, model, revision))
    except (DataError, ValueError) as error:
        reading.problems.append(f"{file}: {str(error).removeprefix(f'{file}: ')}; left out")


def _json(file: Path) -> dict[str, Any]:
    if file.stat().st_size > LARGEST:
        raise DataError(f"{file.stat().st_size:,} bytes, which no result file has")
    try:
        content = parse_json(read_text(file))
    except json.JSONDecodeError as error:
        raise DataError(f"not JSON at line {error.lineno}: {error.msg}") from None
    if not isinstance(content, dict):
        raise DataError("no result of MTEB: it is no JSON object")
    return content


def _read_models(file: Path, content: Mapping[str, Any], reading: Reading) -> None:
    """Reads what `ModelResult.to_disk` or `BenchmarkResults.to_disk` wrote: results that name their model."""
    models = content.get("model_results", [content])
    for model in models if isinstance(models, list) else []:
        name = _text(model, "model_name") if isinstance(model, dict) else None
        if name is None:
            raise DataError("no result of MTEB: a model has no model_name")
        revision = _text(model, "model_revision")
        if isinstance(meta := model.get("model_meta"), dict):
            reading.facts[name, revision] = _facts(meta, name, revision)
        for part in model.get("task_results") or []:
            task = _text(part, "task_name") if isinstance(part, dict) else None
            if task is None:
                raise DataError("no result of MTEB: a task has no task_name")
            if task in SAME:
                reading.add(_results(part, task, name, revision))
            else:
                reading.leave_out(task, name)


def _owner(file: Path, reading: Reading, *, named: bool) -> tuple[str, str | None]:
    """Returns model and revision: of the file beside it, or of its folders MODEL/REVISION."""
    meta_file = file.parent / META
    if meta_file.is_file():
        meta = _json(meta_file)
        name, revision = _text(meta, "name"), _text(meta, "revision")
        if name:
            reading.facts[name, revision] = _facts(meta, name, revision)
            return name, revision
    folder = file.resolve().parent
    if "__" in folder.parent.name or (named and folder.parent.name):
        return folder.parent.name.replace("__", "/", 1), folder.name
    raise DataError(f"it does not say whose it is; keep it as ORG__MODEL/REVISION/{file.name}, as MTEB writes it")


def _results(content: Mapping[str, Any], task: str, model: str, revision: str | None) -> Iterator[Result]:
    """Yields the results of a file: of the form since version 1.11, or of the one before."""
    evaluator, data = _text(content, "mteb_version"), _text(content, "dataset_revision")
    scores = content.get("scores")
    splits = _new_form(scores) if isinstance(scores, dict) else _old_form(content)
    for split, subset, metrics in splits:
        yield Result(model, revision, evaluator, task, data, split, subset, _numbers(metrics))


def _new_form(scores: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    for split, rows in scores.items():
        for row in rows if isinstance(rows, list) else [rows]:
            if not isinstance(row, dict) or not isinstance(row.get("hf_subset"), str):
                raise DataError(f"split {split} holds something else than results of subsets")
            yield split, row["hf_subset"], row


def _old_form(content: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    splits = {x: part for x, part in content.items() if isinstance(part, dict) and x not in _OLD_KEYS}
    if not splits:
        raise DataError("no result of MTEB: it has neither scores nor splits")
    for split, subsets in splits.items():
        for subset, metrics in subsets.items():
            if isinstance(metrics, dict):
                yield split, subset, metrics


def _numbers(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Returns the numbers of a subset; those in a part of their own as "part.name"."""
    flat = dict(metrics)
    for part, inner in metrics.items():
        if isinstance(inner, dict):
            flat |= {f"{part}.{name}": value for name, value in inner.items()}
    return {x: float(v) for x, v in flat.items() if isinstance(v, int | float) and not isinstance(v, bool)}


def _facts(meta: Mapping[str, Any], model: str, revision: str | None) -> ModelFacts:
    return ModelFacts(
        model=model,
        revision=revision,
        parameters=_whole(meta.get("n_parameters")),
        dimension=_whole(meta.get("embed_dim")),
        max_tokens=_whole(meta.get("max_tokens")),
        licence=_licence(_text(meta, "license")),
        open_weights=_flag(meta.get("open_weights")),
        instructions=_flag(meta.get("use_instructions")),
        released=_text(meta, "release_date"),
        reference=_text(meta, "reference"),
        languages=_names(meta.get("languages")),
        trained_on=_names(meta.get("training_datasets")),
    )


def _read_tables(path: Path, reading: Reading) -> None:
    metrics: dict[tuple[str, ...], dict[str, float]] = defaultdict(dict)
    for row in _rows(path / SCORES, [*_OF_A_RESULT, "metric", "value"]):
        metrics[tuple(row[name] for name in _OF_A_RESULT)][row["metric"]] = _value(path / SCORES, row)
    reading.add(
        Result(model, revision or None, evaluator or None, task, data or None, split, subset, own)
        for (model, revision, task, split, subset, evaluator, data), own in sorted(metrics.items())
    )
    if (path / MODELS).is_file():
        for row in _rows(path / MODELS, ["model", "revision", "trained_on"]):
            model, revision = row["model"], row["revision"] or None
            meta = {**row, "training_datasets": row["trained_on"]}
            reading.facts[model, revision] = _facts(meta, model, revision)


def _value(file: Path, row: Mapping[str, str]) -> float:
    try:
        return float(row["value"])
    except (TypeError, ValueError):
        raise DataError(f"{file}: {row['value']!r} of {row['model']} is no number; make or copy it again") from None


def _rows(file: Path, columns: list[str]) -> Iterator[dict[str, str]]:
    try:
        with lzma.open(file, "rt", encoding="utf-8", newline="") as lines:
            rows = csv.DictReader(lines)
            if missing := [name for name in columns if name not in (rows.fieldnames or ())]:
                raise DataError(f"{file}: no column {missing[0]!r}; it is no table of MTEB's results")
            for row in rows:
                if None in row or None in row.values():
                    raise DataError(f"{file}, line {rows.line_num}: not as many cells as the header; copy it again")
                yield row
    except (OSError, lzma.LZMAError, EOFError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"cannot read {file}: {error}; make or copy it again") from None


def _text(content: Mapping[str, Any], key: str) -> str | None:
    value = content.get(key)
    return value.strip() or None if isinstance(value, str) else None


def _licence(name: str | None) -> str | None:
    return None if name is None or name.casefold() in _NO_LICENCE else name


def _whole(value: object) -> int | None:
    """Returns a count; None of what is none, such as an unlimited number of tokens."""
    try:
        number = float(value) if isinstance(value, str | int | float) else math.nan
    except (OverflowError, ValueError):
        return None
    return int(number) if math.isfinite(number) and 0 < number < 2**63 else None


def _flag(value: object) -> bool | None:
    return {"true": True, "false": False}.get(str(value).casefold())


def _names(value: object) -> str | None:
    """Returns names with blanks between them: of a list, of a table's keys, or of a text that has them."""
    parts = value.split() if isinstance(value, str) else value if isinstance(value, list | dict) else []
    return " ".join("_".join(str(part).split()) for part in parts) or None
