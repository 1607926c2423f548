"""`xrete run`: scores every model on every task."""

from __future__ import annotations

import math
import os
import shlex
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import typer

from xrete.cli import options
from xrete.cli import run_options as asked
from xrete.errors import UsageError, XreteError

if TYPE_CHECKING:
    from xrete.dataset import Dataset
    from xrete.evaluation.plan import Plan, RunOptions
    from xrete.evaluation.sweep import Cell, Sweep
    from xrete.registry import ModelRequest

Ready = TypeVar("Ready")


def run(
    context: typer.Context,
    model: asked.Models,
    task: asked.Tasks,
    data: options.Data = "auto",
    languages: options.Languages = None,
    protocol: asked.Protocols = None,
    split: options.Split = None,
    results: asked.Results = Path("results/local"),
    device: options.Device = "auto",
    dtype: asked.Dtype = "float32",
    batch_tokens: asked.BatchTokens = None,
    limit: options.Limit = None,
    force: asked.Force = False,
    train_languages: asked.TrainLanguages = "all",
    train_split: asked.TrainSplit = None,
    train_data: asked.TrainData = None,
    recipe: asked.RecipeName = None,
    changes: asked.Changes = None,
    lora: asked.Lora = None,
    seed: asked.Seeds = "42",
    no_cache: asked.NoCacheFlag = False,
    cache_limit: asked.CacheLimit = 20.0,
    predictions: asked.Predictions = None,
    concurrency: asked.Concurrency = 8,
    price: asked.Price = None,
    on: asked.Where = "here",
    gpus: asked.Gpus = None,
    dry_run: asked.DryRun = False,
    plugin: options.Plugin = None,
    json_: options.Json = False,
) -> None:
    """Score every model on every task.

    Finished work is never done twice: the same command goes on where it was stopped.

    Examples:
        xrete run --model me5-small --task tatoeba --data mini
        xrete run --model use-m3,me5-small --task retrieval --data DIR --languages sw,de
        xrete run --model xlmr:FOLDER --task all --data hub --device cuda --dtype bfloat16
        xrete run --model xlmr --task xnli --protocol fine-tune --train-languages en --seed 1,2,3 --data hub
        xrete run --model chatgpt:MODEL --task xnli --protocol prompt --limit 100 --dry-run
        xrete run --model labse,sbert --task all --protocol zero-shot,probe --data hub --on ray
    """
    if _is_worker():
        return
    from xrete import registry
    from xrete.evaluation.plan import RunOptions
    from xrete.evaluation.sweep import check_protocols, plan_sweep
    from xrete.protocols import Tuning

    wanted = options.split_commas("--languages", [languages]) if languages else None
    find = partial(
        registry.request_model, device=device, dtype=dtype, batch_tokens=batch_tokens, concurrency=concurrency
    )
    read = partial(_read, data=data, split=split, languages=wanted, limit=limit)
    if gpus is not None and on == "here":
        raise UsageError("--gpus is for jobs on Ray (--on ray); here, start with torchrun or accelerate launch")
    protocols = options.split_commas("--protocol", protocol) if protocol else []
    seeds = options.seeds_of(seed)
    cards = [registry.task(name).card for name in options.chosen_tasks(task)]
    check_protocols(protocols, cards)
    requests, datasets = _open(options.model_names(model), find, [card.name for card in cards], read)
    settings = RunOptions(
        results=results,
        force=force,
        seed=seeds[0],
        train_languages=train_languages,
        train_split=train_split,
        train_data=train_data,
        tuning=Tuning(recipe=recipe, changes=tuple(changes or ()), seeds=seeds, lora=lora),
        use_cache=not no_cache,
        cache_limit_bytes=int(cache_limit * 2**30),
        predictions=predictions,
        command=shlex.join(["xrete", *sys.argv[1:]]),
        price=_prices(price),
    )
    sweep = plan_sweep(requests, cards, datasets, protocols)
    _go_through(context, sweep, settings, datasets, on=on, gpus=gpus, dry_run=dry_run, json_=json_)


def _go_through(
    context: typer.Context,
    planned: Sweep,
    settings: RunOptions,
    datasets: Mapping[str, Dataset | XreteError],
    *,
    on: str,
    gpus: int | None,
    dry_run: bool,
    json_: bool,
) -> None:
    """Says what is planned, does it unless that is all, and says what failed."""
    from xrete.cli import sweep

    _warn(datasets)
    report = sweep.Report(planned, json_)
    cells = sweep.in_chosen_precision(planned.cells, settings, report, measures=on == "here" and not dry_run)
    shows = dry_run or report.shows_plan
    plans: dict[Cell, Plan] = {}
    if shows:
        plans = sweep.plan(cells, settings, report)
        rows = sweep.estimate(plans, report)
        sweep.print_plan(rows, json_=json_, dry_run=dry_run)
        cells = {cell: cells[cell] for cell in rows}
        plans = {cell: plans[cell] for cell in rows}
    if not dry_run:
        if on == "ray":
            assert settings.results is not None  # it has a default
            sweep.run_on_ray(context, cells, settings.results, gpus, report)
        else:
            sweep.run_here(cells, plans, settings, report)
        _warn(datasets)
    report.end()


def _read(name: str, **options: Any) -> Dataset:
    """Opens a task's data; that it may be the mini sample is said by `_warn`, before and after."""
    from xrete import registry
    from xrete.dataset import open_dataset

    return open_dataset(registry.task(name), **options)


def _open(
    models: Iterable[str],
    find: Callable[[str], ModelRequest],
    tasks: Iterable[str],
    read: Callable[[str], Dataset],
) -> tuple[dict[str, ModelRequest | XreteError], dict[str, Dataset | XreteError]]:
    """Finds models and reads data, and says what is not available; data only if there is a model.

    Raises:
        UsageError: a model is named wrongly, or no data can be read and the names are wrong.
    """
    from xrete.cli import output

    requests = _prepare(models, find)
    _raise_usage(requests)
    datasets = _prepare(tasks, read) if not _none_ready(requests) else {}
    if _none_ready(datasets):
        _raise_usage(datasets)
    for name, part in [*requests.items(), *datasets.items()]:
        if isinstance(part, XreteError):
            output.say(part, name)
    return requests, datasets


def _prepare(names: Iterable[str], make: Callable[[str], Ready]) -> dict[str, Ready | XreteError]:
    """Makes what can be made; what cannot is its error."""
    made: dict[str, Ready | XreteError] = {}
    for name in names:
        try:
            made[name] = make(name)
        except XreteError as error:
            made[name] = error
    return made


def _raise_usage(parts: Mapping[str, object]) -> None:
    """Raises the first error that is wrong usage, if there is one."""
    for part in parts.values():
        if isinstance(part, UsageError):
            raise part


def _none_ready(parts: Mapping[str, object]) -> bool:
    return all(isinstance(part, XreteError) for part in parts.values())


def _is_worker() -> bool:
    """Under torchrun, lets every process but the first serve the first one's encoder until it ends."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return False
    from xrete.encoding.workers import serve_workers

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


def _warn(datasets: Mapping[str, Dataset | XreteError]) -> None:
    from xrete.cli import output
    from xrete.dataset import Dataset

    ready = [dataset for dataset in datasets.values() if isinstance(dataset, Dataset)]
    mini = [dataset for dataset in ready if dataset.source.kind == "mini"]
    if mini:
        reason = next((dataset.fallback for dataset in mini if dataset.fallback), None)
        output.warn_mini([dataset.card.name for dataset in mini], reason)
