"""`xrete run`: scores every model on every task."""

from __future__ import annotations

import math
import os
import shlex
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

import typer

from xrete.cli import options
from xrete.errors import UsageError, XreteError

if TYPE_CHECKING:
    from xrete.dataset import Dataset
    from xrete.registry import ModelRequest

Ready = TypeVar("Ready")
Dtype = Literal["float32", "bfloat16", "float16"]


def run(
    context: typer.Context,
    model: Annotated[list[str], typer.Option("--model", help="NAME or NAME:CHECKPOINT; repeatable, commas too.")],
    task: Annotated[list[str], typer.Option("--task", help="A task, a category, or all; repeatable, commas too.")],
    data: options.Data = "auto",
    languages: options.Languages = None,
    protocol: Annotated[
        list[str] | None,
        typer.Option("--protocol", help="Of those that a task has, else its first one; repeatable, commas too."),
    ] = None,
    split: options.Split = None,
    results: Annotated[Path, typer.Option("--results", help="Folder for records.")] = Path("results/local"),
    device: options.Device = "auto",
    dtype: Annotated[Dtype, typer.Option("--dtype", help="Precision of transformers.")] = "float32",
    batch_tokens: Annotated[
        int | None, typer.Option("--batch-tokens", min=1, help="Padded tokens in a batch.")
    ] = None,
    limit: options.Limit = None,
    force: Annotated[bool, typer.Option("--force", help="Score again what is complete.")] = False,
    train_languages: Annotated[
        str, typer.Option("--train-languages", help="What is trained on: all, en, or codes with commas.")
    ] = "all",
    train_split: Annotated[
        str | None, typer.Option("--train-split", help="Split that is trained on; fine-tuning takes train.")
    ] = None,
    train_data: Annotated[
        str | None, typer.Option("--train-data", help="hub, or a folder of files to train on, as for --data.")
    ] = None,
    recipe: Annotated[str | None, typer.Option("--recipe", help="Of fine-tuning; else the first one.")] = None,
    changes: Annotated[
        list[str] | None, typer.Option("--set", help="Change the recipe: epochs=3, or sts.rate=1e-5; repeatable.")
    ] = None,
    lora: Annotated[
        int | None, typer.Option("--lora", min=1, help="Train only low-rank adapters of this rank.")
    ] = None,
    seed: Annotated[
        str, typer.Option("--seed", help="For all that is random; several, with commas, for runs of fine-tuning.")
    ] = "42",
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
    on: Annotated[
        Literal["here", "ray"], typer.Option("--on", help="Where: here, or on a Ray cluster (RAY_ADDRESS).")
    ] = "here",
    gpus: Annotated[
        int | None, typer.Option("--gpus", min=0, help="Of a job on Ray; else one where the cluster has any.")
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
        xrete run --model xlmr --task xnli --protocol fine-tune --train-languages en --seed 1,2,3 --data hub
        xrete run --model chatgpt:MODEL --task xnli --protocol prompt --limit 100 --dry-run
        xrete run --model labse,sbert --task all --protocol zero-shot,probe --data hub --on ray
    """
    if _is_worker():
        return
    from xrete import registry
    from xrete.cli import output, sweep
    from xrete.dataset import open_dataset
    from xrete.evaluation.plan import RunOptions
    from xrete.evaluation.sweep import check_protocols, plan_sweep
    from xrete.protocols import Tuning

    def find(name: str) -> ModelRequest:
        return registry.request_model(
            name, device=device, dtype=dtype, batch_tokens=batch_tokens, concurrency=concurrency
        )

    def read(name: str) -> Dataset:
        return open_dataset(registry.task(name), data, split=split, languages=wanted, limit=limit)

    if gpus is not None and on == "here":
        raise UsageError("--gpus is for jobs on Ray (--on ray); here, start with torchrun or accelerate launch")
    wanted = options.split_commas("--languages", [languages]) if languages else None
    protocols = options.split_commas("--protocol", protocol) if protocol else []
    seeds = options.seeds_of(seed)
    cards = [registry.task(name).card for name in options.chosen_tasks(task)]
    check_protocols(protocols, cards)
    requests = _prepare(options.split_commas("--model", model), find)
    _raise_usage(requests)
    datasets = _prepare([card.name for card in cards], read) if not _none_ready(requests) else {}
    if _none_ready(datasets):
        _raise_usage(datasets)
    for name, part in [*requests.items(), *datasets.items()]:
        if isinstance(part, XreteError):
            output.say(part, name)
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
    _warn(datasets)
    planned = plan_sweep(requests, cards, datasets, protocols)
    report, cells = sweep.Report(planned, json_), planned.cells
    shows = dry_run or report.shows_plan
    plans = sweep.plan(cells, settings, report) if shows or on == "here" else {}
    if shows:
        rows = sweep.estimate(plans, report)
        sweep.print_plan(rows, json_=json_, dry_run=dry_run)
        cells = {cell: cells[cell] for cell in rows}
        plans = {cell: plans[cell] for cell in rows}
    if not dry_run:
        if on == "ray":
            sweep.run_on_ray(context, cells, results, gpus, report)
        else:
            sweep.run_here(cells, plans, report)
        _warn(datasets)
    report.end()


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
