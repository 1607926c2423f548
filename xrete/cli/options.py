"""Options that several commands share."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from xrete.errors import UsageError, XreteError


def _load_plugins(files: list[Path] | None) -> list[Path] | None:
    from xrete.registry import add_plugin_file

    for file in files or ():
        add_plugin_file(file)
    return files


def _known_device(name: str) -> str:
    """Refuses what no version of torch calls a device that XRETE uses, for models that have none too."""
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", name):
        raise UsageError(f"unknown device {name!r}; use auto, cpu, cuda, cuda:N or mps")
    return name


Plugin = Annotated[
    list[Path] | None,
    typer.Option("--plugin", callback=_load_plugins, help="A Python file with tables TASKS or MODELS; repeatable."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON lines on standard output, and nothing else there.")]
Device = Annotated[str, typer.Option("--device", callback=_known_device, help="auto, cpu, cuda, cuda:1, mps.")]
Data = Annotated[
    str, typer.Option("--data", help="auto, hub, mini, or a folder of upstream files ('xrete data where TASK').")
]
Languages = Annotated[
    str | None, typer.Option("--languages", help="Only these languages; sw,de selects swh and deu_Latn too.")
]
Split = Annotated[
    str | None, typer.Option("--split", help="One of the task's splits; default: the first one available.")
]
Limit = Annotated[
    int | None, typer.Option("--limit", min=1, help="Only the first N items of each language; kept out of reports.")
]


def model_names(values: Iterable[str]) -> list[str]:
    """Splits "a,b" as `registry.split_models`.

    Raises:
        UsageError: nothing is left.
    """
    from xrete import registry

    return registry.split_models(values) or split_commas("--model", values)


def split_commas(option: str, values: Iterable[str]) -> list[str]:
    """Splits "a,b", keeps order, and drops empty parts and what was said before.

    Raises:
        UsageError: nothing is left.
    """
    pieces = (piece.strip() for value in values for piece in value.split(","))
    parts = list(dict.fromkeys(filter(None, pieces)))
    if not parts:
        raise UsageError(f"{option} names nothing; give a name, or several with commas")
    return parts


def seeds_of(text: str) -> tuple[int, ...]:
    """Reads "42,43,44"; a seed that was said before is dropped.

    Raises:
        UsageError: a part is no whole number from 0 to 2**32 - 1, which is what every library takes.
    """
    parts = split_commas("--seed", [text])
    for part in parts:
        if not (re.fullmatch("[0-9]{1,10}", part) and int(part) < 2**32):
            raise UsageError(f"--seed wants whole numbers from 0 to 4294967295, as in 42,43,44, not '{part}'")
    return tuple(dict.fromkeys(map(int, parts)))


def chosen_tasks(asked: Iterable[str]) -> list[str]:
    """Resolves names, categories, comma lists and "all" to task names, each once, in order.

    Raises:
        UsageError: a name is neither a task nor a category.
    """
    from xrete import registry

    names: dict[str, None] = {}
    for name in split_commas("--task", asked):
        names.update(dict.fromkeys(_members(name)))
    for name in names:
        registry.task(name)  # unknown names and broken plugins are reported before anything runs
    return list(names)


def _members(name: str) -> list[str]:
    from xrete import registry

    known = registry.names("tasks")
    if name in known:
        return [name]
    broken: list[XreteError] = []
    members: list[str] = []
    for entry in known:
        try:
            if name in ("all", registry.task(entry).card.category):
                members.append(entry)
        except XreteError as error:
            broken.append(error)
    if not members:
        return [name]
    for reason in broken:
        typer.echo(f"warning: left out: {reason}", err=True)
    return members
