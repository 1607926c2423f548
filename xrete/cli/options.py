"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer


def _load_plugins(files: list[Path] | None) -> list[Path] | None:
    from xrete.registry import add_plugin_file

    for file in files or ():
        add_plugin_file(file)
    return files


Plugin = Annotated[
    list[Path] | None,
    typer.Option("--plugin", callback=_load_plugins, help="A Python file with tables TASKS or MODELS; repeatable."),
]
Json = Annotated[
    bool, typer.Option("--json", help="Machine-readable lines on standard output, nothing else there.")
]
Data = Annotated[
    str, typer.Option("--data", help="auto, hub, mini, or a folder of upstream files ('xrete data where TASK').")
]
Languages = Annotated[
    str | None, typer.Option("--languages", help="Only these, with commas: sw,de finds swh and deu_Latn too.")
]
Split = Annotated[
    str | None, typer.Option("--split", help="One of the task's splits; else the first that is there.")
]
Limit = Annotated[
    int | None, typer.Option("--limit", min=1, help="Only the first N items of each language; kept out of reports.")
]


def split_commas(values: Iterable[str]) -> list[str]:
    """Splits "a,b" and keeps order; empty parts are dropped."""
    return [part for value in values for part in (piece.strip() for piece in value.split(",")) if part]


def chosen_tasks(asked: Iterable[str]) -> list[str]:
    """Resolves names, categories, comma lists and "all" to task names, each once, in order.

    Raises:
        UsageError: a name is neither a task nor a category.
    """
    from xrete import registry

    names: dict[str, None] = {}
    for name in split_commas(asked):
        names.update(dict.fromkeys(_members(name)))
    for name in names:
        registry.task(name)  # unknown names and broken plugins are reported before anything runs
    return list(names)


def _members(name: str) -> list[str]:
    from xrete import registry

    known = registry.names("tasks")
    if name in known:
        return [name]
    if name == "all":
        return [entry for entry in known if not entry.endswith("/*")]
    of_category = [entry for entry in known if "/" not in entry and registry.task(entry).card.category == name]
    return of_category or [name]
