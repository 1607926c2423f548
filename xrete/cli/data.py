"""`xrete data`: where a task's data is, getting it, and checking it."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from xrete.cli import options
from xrete.errors import UsageError

app = typer.Typer(help="Fetch, verify and locate task data.", no_args_is_help=True)
TaskName = Annotated[str, typer.Argument(help="A task.")]


@app.command()
def where(task: TaskName, plugin: options.Plugin = None) -> None:
    """Show where the data of a task is looked for, and how much of it is on this machine.

    Examples:
        xrete data where tatoeba
    """
    from xrete import registry
    from xrete.dataset import cached_data
    from xrete.sources import Folder, Hub

    adapter = registry.task(task)
    card, folder = adapter.card, Folder(cached_data())
    split = card.splits[-1]
    typer.echo(f"layout:  {card.layout}")
    if example := adapter.files(card.languages[0], split):
        complete = [x for x in card.languages if all(map(folder.has, adapter.files(x, split)))]
        typer.echo(f"example: {', '.join(example)}")
        typer.echo(f"cache:   {folder.root} ({len(complete)} of {len(card.languages)} languages)")
    if card.hub:
        state = "on this machine" if Hub(card.hub).local_folder() else "not fetched"
        typer.echo(f"hub:     {card.hub.repo} at {card.hub.revision} ({state})")


@app.command()
def fetch(task: TaskName, plugin: options.Plugin = None) -> None:
    """Download a task's pinned data from the hub.

    Examples:
        xrete data fetch tatoeba
    """
    from xrete import registry
    from xrete.sources import Hub

    card = registry.task(task).card
    if card.hub is None:
        raise UsageError(f"{task} is not on the hub; put the upstream files into a folder: {card.layout}")
    typer.echo(Hub(card.hub).folder)


@app.command()
def verify(
    task: TaskName,
    data: options.Data = "auto",
    split: options.Split = None,
    languages: options.Languages = None,
    plugin: options.Plugin = None,
    json_: options.Json = False,
) -> None:
    """Read every language of a task and check it against the card.

    Examples:
        xrete data verify tatoeba --data DIR
    """
    from xrete import registry
    from xrete.cli import output
    from xrete.dataset import open_dataset

    wanted = options.split_commas("--languages", [languages]) if languages else None
    dataset = open_dataset(registry.task(task), data, split=split, languages=wanted)
    if dataset.fallback:
        output.warn_mini([task], dataset.fallback)
    sizes = {language: dataset.shape.size(dataset[language]) for language in dataset.languages}
    if json_:
        result = {"task": task, "split": dataset.split, "languages": sizes, "missing": dataset.missing}
        result["unknown"] = dataset.strangers()
        typer.echo(json.dumps({**result, "fingerprint": dataset.fingerprint()}, ensure_ascii=False))
        return
    typer.echo(
        f"{task}, {dataset.split}: {len(sizes)} of {len(sizes) + len(dataset.missing)} languages, "
        f"{sum(sizes.values()):,} items{'' if dataset.source.kind == 'mini' else ', as published'}"
    )
    if dataset.missing:
        typer.echo(f"missing: {' '.join(dataset.missing)}")
    if strangers := dataset.strangers():
        typer.echo(f"of no language of {task}, not read: {' '.join(strangers)}")
