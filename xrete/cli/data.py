"""`xrete data`: where a task's data is, getting it, and checking it."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Annotated

import typer

from xrete.cli import options
from xrete.errors import DataError, HubError

if TYPE_CHECKING:
    from xrete.dataset import Dataset
    from xrete.sources import Hub
    from xrete.sources.hub import Fetched

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
        files = [file.stat().st_size for file in Hub(card.hub).local().values()]
        state = f"{len(files)} files, {sum(files):,} bytes on this machine" if files else "not fetched"
        typer.echo(f"hub:     {card.hub.repo} at {card.hub.revision} ({state})")


@app.command()
def fetch(
    task: TaskName,
    split: options.Split = None,
    languages: options.Languages = None,
    plugin: options.Plugin = None,
    json_: options.Json = False,
) -> None:
    """Download a task's pinned data from the hub: the files of the languages that are named, and no others.

    A download that was stopped goes on where it was. Every file has the size and the digest that the hub says, and
    every language the number of items that was published.

    Examples:
        xrete data fetch tatoeba --languages sw,de
    """
    from xrete import registry
    from xrete.dataset import Dataset, open_dataset
    from xrete.sources import Hub
    from xrete.sources.hub import Fetched

    adapter = registry.task(task)
    wanted = options.split_commas("--languages", [languages]) if languages else None
    dataset = open_dataset(adapter, "hub", split=split, languages=wanted)
    hub, every = dataset.source, Fetched()
    assert isinstance(hub, Hub)
    for language in dataset.languages:
        hub.fetched = Fetched()
        _ = Dataset(adapter, hub, split=dataset.split, languages=[language])[language]
        every.add(hub.fetched)
        _say_fetched(task, language, hub.fetched, json_)
    if not json_:
        typer.echo(f"{task}, {dataset.split}, {len(dataset.languages)} languages: {every}")


def _say_fetched(task: str, language: str, fetched: Fetched, json_: bool) -> None:
    if json_:
        files = {path: file.size for path, file in fetched.files.items()}
        typer.echo(json.dumps({"task": task, "language": language, "files": files, "new": sorted(fetched.new)}))
    else:
        typer.echo(f"{language}: {fetched}")


@app.command()
def verify(
    task: TaskName,
    data: options.Data = "auto",
    split: options.Split = None,
    languages: options.Languages = None,
    plugin: options.Plugin = None,
    json_: options.Json = False,
) -> None:
    """Read every language of a task that is on this machine and check it against the card; nothing is fetched.

    Examples:
        xrete data verify tatoeba --data DIR
    """
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    from xrete import registry
    from xrete.cli import output
    from xrete.dataset import open_dataset
    from xrete.sources import Hub

    wanted = options.split_commas("--languages", [languages]) if languages else None
    dataset = open_dataset(registry.task(task), data, split=split, languages=wanted)
    if dataset.fallback:
        output.warn_mini([task], dataset.fallback)
    sizes, absent = _sizes(dataset)
    hub = _check_files(dataset.source) if isinstance(dataset.source, Hub) else ""
    if json_:
        result = {"task": task, "split": dataset.split, "languages": sizes, "missing": dataset.missing}
        result |= {"unknown": dataset.strangers(), "not_fetched": absent}
        fingerprint = None if absent else dataset.fingerprint()
        typer.echo(json.dumps({**result, "fingerprint": fingerprint}, ensure_ascii=False))
        return
    typer.echo(
        f"{task}, {dataset.split}: {len(sizes)} of {len(sizes) + len(absent) + len(dataset.missing)} languages, "
        f"{sum(sizes.values()):,} items{'' if dataset.source.kind == 'mini' else ', as published'}"
    )
    for what, names in (
        ("missing", dataset.missing),
        ("not fetched", absent),
        (f"of no language of {task}, not read", dataset.strangers()),
    ):
        if names:
            typer.echo(f"{what}: {' '.join(names)}")
    if hub:
        typer.echo(hub)


def _sizes(dataset: Dataset) -> tuple[dict[str, int], list[str]]:
    """Reads every language that is on this machine; returns their numbers of items, and the others.

    Raises:
        HubError: there is none.
    """
    sizes, absent, reason = {}, [], None
    for language in dataset.languages:
        try:
            sizes[language] = dataset.shape.size(dataset[language])
        except HubError as error:
            absent.append(language)
            reason = error
    if reason and not sizes:
        raise reason
    return sizes, absent


def _check_files(hub: Hub) -> str:
    """Holds every file of a repository that is on this machine against what the hub said; returns what is there.

    Raises:
        DataError: a file is another one.
    """
    from xrete.sources.hub import mismatch

    files = hub.local()
    for path, file in files.items():
        if wrong := mismatch(file, hub.listing[path]):
            raise DataError(f"{file}: {wrong}; remove it and fetch it again")
    size = sum(file.stat().st_size for file in files.values())
    return f"hub: {len(files)} of {len(hub.listing)} files of {hub.data.repo}, {size:,} bytes, on this machine"
