"""`xrete run`: scores every model on every task."""

from __future__ import annotations

import json
import math
import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

import typer

from xrete.cli import options
from xrete.errors import UsageError, XreteError, unknown_name

if TYPE_CHECKING:
    from xrete.dataset import Dataset
    from xrete.evaluation import RunOptions
    from xrete.record import Record
    from xrete.registry import ModelRequest

Ready = TypeVar("Ready")
Dtype = Literal["float32", "bfloat16", "float16"]


def run(
    model: Annotated[list[str], typer.Option("--model", help="NAME or NAME:CHECKPOINT; repeatable, commas too.")],
    task: Annotated[list[str], typer.Option("--task", help="A task, a category, or all; repeatable, commas too.")],
    data: options.Data = "auto",
    languages: options.Languages = None,
    protocol: Annotated[str | None, typer.Option("--protocol", help="Else the task's first one.")] = None,
    split: options.Split = None,
    results: Annotated[Path, typer.Option("--results", help="Folder for records.")] = Path("results/local"),
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:1, mps.")] = "auto",
    dtype: Annotated[Dtype, typer.Option("--dtype", help="Precision of transformers.")] = "float32",
    batch_tokens: Annotated[
        int | None, typer.Option("--batch-tokens", min=1, help="Padded tokens in a batch.")
    ] = None,
    limit: options.Limit = None,
    force: Annotated[bool, typer.Option("--force", help="Score again what is complete.")] = False,
    train_languages: Annotated[
        str, typer.Option("--train-languages", help="What probes train on: all, en, or codes with commas.")
    ] = "all",
    seed: Annotated[int, typer.Option("--seed", help="For the bootstrap and everything else that is random.")] = 42,
    no_cache: Annotated[
        bool, typer.Option("--no-cache", help="Neither use nor keep embeddings and answers on disk.")
    ] = False,
    cache_limit: Annotated[
        float, typer.Option("--cache-limit", min=0, help="Gigabytes of embeddings on disk.")
    ] = 20.0,
    predictions: Annotated[
        Path | None, typer.Option("--predictions", help="Folder for predictions in XTREME's submission layout.")
    ] = None,
    concurrency: Annotated[
        int, typer.Option("--concurrency", min=1, help="Questions at once to a chat model.")
    ] = 8,
    price: Annotated[
        str | None, typer.Option("--price", help="Of a million tokens in and out, for estimates: 0.15,0.60.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done, and estimate it; run nothing.")
    ] = False,
    plugin: options.Plugin = None,
    json_: options.Json = False,
) -> None:
    """Score every model on every task.

    Finished work is never done twice: the same command goes on where it was stopped.

    Examples:
        xrete run --model me5-small --task tatoeba --data mini
        xrete run --model use-m3,me5-small --task retrieval --data DIR --languages sw,de
        xrete run --model xlmr:FOLDER --task all --data hub --device cuda --dtype bfloat16
        xrete run --model chatgpt:MODEL --task xnli --protocol prompt --limit 100 --dry-run
    """
    if _is_worker():
        return
    from xrete import registry
    from xrete.dataset import open_dataset
    from xrete.evaluation import RunOptions

    def find(name: str) -> ModelRequest:
        return registry.request_model(
            name, device=device, dtype=dtype, batch_tokens=batch_tokens, concurrency=concurrency
        )

    def read(name: str) -> Dataset:
        return open_dataset(registry.task(name), data, split=split, languages=wanted, limit=limit)

    failures: list[XreteError] = []
    wanted = options.split_commas("--languages", [languages]) if languages else None
    tasks = options.chosen_tasks(task)
    requests = _prepare(options.split_commas("--model", model), find, failures)
    datasets = _prepare(tasks, read, failures) if requests else []
    _check_protocol(protocol, datasets)
    settings = RunOptions(
        protocol=protocol,
        results=results,
        force=force,
        seed=seed,
        train_languages=train_languages,
        use_cache=not no_cache,
        cache_limit_bytes=int(cache_limit * 2**30),
        predictions=predictions,
        command=shlex.join(["xrete", *sys.argv[1:]]),
        price=_prices(price),
    )
    _warn(datasets)
    cells = [(request, dataset) for request in requests for dataset in datasets]
    if dry_run:
        failures += _say_plan(cells, settings, json_)
    else:
        failures += [error for cell in cells if (error := _cell(*cell, settings, json_))]
        _warn(datasets)
    if failures:
        raise typer.Exit(max(error.exit_code for error in failures))


def _prepare(names: list[str], make: Callable[[str], Ready], failures: list[XreteError]) -> list[Ready]:
    """Makes what can be made; what cannot be had is said, and the others go on. Wrong usage ends the command."""
    from xrete.cli import output

    ready = []
    for name in names:
        try:
            ready.append(make(name))
        except UsageError:
            raise
        except XreteError as error:
            output.say(error, name)
            failures.append(error)
    return ready


def _check_protocol(protocol: str | None, datasets: list[Dataset]) -> None:
    for card in (dataset.card for dataset in datasets):
        if protocol is not None and protocol not in card.protocols:
            raise unknown_name(
                f"protocol of {card.name}", protocol, card.protocols, f"run 'xrete tasks {card.name}'"
            )


def _is_worker() -> bool:
    """Under torchrun, lets every process but the first serve the first one's encoder until it ends."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return False
    from xrete.launch import serve_workers

    return serve_workers()


def _prices(asked: str | None) -> tuple[float, float] | None:
    """Reads "0.15,0.60", the prices of a million tokens in and out.

    Raises:
        UsageError: it is something else.
    """
    if asked is None:
        return None
    try:
        tokens_in, tokens_out = map(float, asked.split(","))
    except ValueError:
        tokens_in = tokens_out = math.nan
    if not (0 <= tokens_in < math.inf and 0 <= tokens_out < math.inf):
        raise UsageError(f"--price wants the prices of a million tokens in and out, as in 0.15,0.60, not '{asked}'")
    return tokens_in, tokens_out


def _say_plan(cells: list[tuple[ModelRequest, Dataset]], settings: RunOptions, json_: bool) -> list[XreteError]:
    """Says what a run of the cells would do; a cell that cannot run is said and returned."""
    from dataclasses import asdict

    from xrete.cli import output
    from xrete.forecast import Forecast, forecast

    rows: list[Forecast] = []

    def plan(request: ModelRequest, dataset: Dataset) -> None:
        rows.append(forecast(request.identity, dataset, settings))

    errors = [error for cell in cells if (error := _tried(*cell, plan))]
    if json_:
        for row in rows:
            typer.echo(json.dumps(asdict(row), ensure_ascii=False))
    else:
        output.print_plan(rows)
    return errors


def _cell(request: ModelRequest, dataset: Dataset, settings: RunOptions, json_: bool) -> XreteError | None:
    """Scores one model on one task and says how it went."""
    from dataclasses import replace

    from xrete import evaluation
    from xrete.cli import output
    from xrete.forecast import forecast

    def score(request: ModelRequest, dataset: Dataset) -> None:
        if request.identity.kind == "chat":
            plan = forecast(request.identity, dataset, settings)
            output.say_estimate(_title(request, dataset), plan)
            total, unit = plan.texts, "questions"
        else:
            total, unit = sum(dataset.shape.texts(dataset[x]) for x in dataset.languages), "sentences"
        with output.sentences(_title(request, dataset), total, unit) as progress:
            record = evaluation.run(request.identity, request.load, dataset, replace(settings, progress=progress))
        if json_:
            typer.echo(json.dumps(record.model_dump(mode="json", by_alias=True), ensure_ascii=False))
        else:
            typer.echo(_summary(record))

    return _tried(request, dataset, score)


def _title(request: ModelRequest, dataset: Dataset) -> str:
    return f"{request.identity.name} · {dataset.card.name}"


def _tried(
    request: ModelRequest, dataset: Dataset, work: Callable[[ModelRequest, Dataset], None]
) -> XreteError | None:
    """Does the work of one model on one task; a failure is said and returned, and the others go on."""
    from xrete.cli import output

    title = _title(request, dataset)
    try:
        work(request, dataset)
    except XreteError as error:
        output.say(error, title)
        return error
    except Exception as error:  # a plugin may raise anything
        reason = XreteError(f"{type(error).__name__}: {error}; run again with --debug for the traceback")
        reason.__cause__ = error
        output.say(reason, title)
        return reason
    return None


def _summary(record: Record) -> str:
    """One line: who, what, score with interval, groups, coverage."""
    assert record.score is not None
    if record.ci95:
        low, high = record.ci95
        digits, total = 1, f"{record.score:.2f} [{low:.2f}, {high:.2f}]"
    else:  # numbers of all languages together, whose unit is their own
        digits, total = 4, f"{record.score:.4f}"
    groups = "  ".join(f"{name} {group.score:.{digits}f}" for name, group in record.groups.items() if name != "all")
    missing = len(record.missing_languages)
    languages = (
        f"{len(record.languages)} of {len(record.languages) + missing}" if missing else str(len(record.languages))
    )
    mini = "  (mini sample)" if record.data.source == "mini" else ""
    unread = sum(answers.unread for answers in record.answers.values())
    wrong = f"  ({unread:,} answers could not be read and count as wrong)" if unread else ""
    return (
        f"{record.model.name}  {record.task}  {record.metric} {total}  "
        f"{groups}  {languages} languages, {record.data.split}{mini}{wrong}"
    )


def _warn(datasets: list[Dataset]) -> None:
    from xrete.cli import output

    mini = [dataset for dataset in datasets if dataset.source.kind == "mini"]
    if mini:
        reason = next((dataset.fallback for dataset in mini if dataset.fallback), None)
        output.warn_mini([dataset.card.name for dataset in mini], reason)
