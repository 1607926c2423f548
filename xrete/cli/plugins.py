"""`xrete tasks`, `xrete models` and `xrete check`: what is registered, and whether it keeps its contract."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Annotated, Any

import typer

from xrete.cli import options
from xrete.errors import XreteError
from xrete.training.finetune.overrides import described

Name = Annotated[str | None, typer.Argument(help="Show the whole card of this one.")]


def tasks(name: Name = None, plugin: options.Plugin = None, json_: options.Json = False) -> None:
    """List the tasks.

    Examples:
        xrete tasks
        xrete tasks tatoeba
    """
    columns = {
        "task": lambda card: card.name,
        "category": lambda card: card.category,
        "metric": lambda card: card.metric,
        "languages": lambda card: len(card.languages),
        "protocols": lambda card: ", ".join(card.protocols),
        "title": lambda card: card.title,
    }
    _list("tasks", name, columns, json_)


def models(name: Name = None, plugin: options.Plugin = None, json_: options.Json = False) -> None:
    """List the models.

    Examples:
        xrete models
        xrete models labse --json
    """
    columns = {
        "model": lambda card: card.name,
        "parameters": lambda card: _millions(card.parameters),
        "dimension": lambda card: card.dimension or "",
        "max length": lambda card: card.max_length or "",
        "licence": lambda card: card.licence,
        "needs": lambda card: card.needs,
        "title": lambda card: card.title,
    }
    _list("models", name, columns, json_)


def check(
    name: Annotated[str, typer.Argument(help="A task or a model; a model may have a checkpoint.")],
    plugin: options.Plugin = None,
    json_: options.Json = False,
) -> None:
    """Run the contract suite on one task or model, for its author.

    Examples:
        xrete check tatoeba
        xrete check mytask --plugin mytask.py
    """
    from xrete.check.plugins import check_plugin

    findings = check_plugin(name)
    for finding in findings:
        if json_:
            typer.echo(json.dumps(asdict(finding), ensure_ascii=False))
        else:
            typer.echo(
                f"{'ok  ' if finding.passed else 'FAIL'}  {finding.rule}{finding.detail and f': {finding.detail}'}"
            )
    if not all(finding.passed for finding in findings):
        raise typer.Exit(1)


def _list(kind: Any, name: str | None, columns: dict[str, Any], json_: bool) -> None:
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from xrete import registry

    known = registry.names(kind)
    loader: Any = registry.task if kind == "tasks" else registry.model
    if name is not None:
        _card(_fields(loader(name).card), json_)
        return
    table = Table(*columns, box=box.SIMPLE_HEAD, pad_edge=False)
    for entry in known.values():
        try:
            card = loader(entry.name).card
        except XreteError as error:
            if json_:
                typer.echo(json.dumps({"name": entry.name, "error": str(error)}, ensure_ascii=False))
            table.add_row(escape(entry.name), *[""] * (len(columns) - 2), f"[red]{escape(str(error))}[/red]")
            continue
        if json_:
            typer.echo(
                json.dumps({"origin": entry.origin, **_fields(card), "name": entry.name}, ensure_ascii=False)
            )
        table.add_row(escape(entry.name), *(escape(str(get(card))) for get in list(columns.values())[1:]))
    for entry in registry.names("families").values() if kind == "tasks" else ():
        try:
            title = escape(registry.family(entry.name).title)
        except XreteError as error:
            title = f"[red]{escape(str(error))}[/red]"
        table.add_row(f"{escape(entry.name)}:NAME", *[""] * (len(columns) - 2), title)
    if not json_:
        Console().print(table)


def _fields(card: Any) -> dict[str, Any]:
    """Returns a card as plain values; the data of a recipe's stage goes by its name."""
    recipes = {
        name: [described(stage) for stage in recipe] for name, recipe in getattr(card, "recipes", {}).items()
    }
    return asdict(card) | ({"recipes": recipes} if recipes else {})


def _card(card: dict[str, Any], json_: bool) -> None:
    if json_:
        typer.echo(json.dumps(card, ensure_ascii=False))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2))
    for key, value in card.items():
        if lines := list(_lines(value)):
            grid.add_row(Text(key.replace("_", " "), style="bold"), Text("\n".join(lines)))
    Console().print(grid)


def _lines(value: Any) -> Iterator[str]:
    """Yields a value as lines to read: what is nested stands below its name, two spaces further in."""
    if not value and isinstance(value, dict):
        return
    if isinstance(value, dict) and all(isinstance(item, int) for item in value.values()):
        yield ", ".join(f"{key} {_plain(item)}" for key, item in value.items())
    elif isinstance(value, dict):
        for key, item in value.items():
            lines = list(_lines(item))
            if len(lines) == 1 and not _nested(item):
                yield f"{key}: {lines[0]}"
            else:
                yield key
                yield from (f"  {line}" for line in lines)
    elif _nested(value):
        for item in value:
            yield ", ".join(f"{key} {_plain(inner)}" for key, inner in item.items())
    elif isinstance(value, list | tuple) and any(" " in str(item) for item in value):  # sentences, not codes
        yield from map(str, value)
    else:
        yield from _plain(value).splitlines()


def _nested(value: Any) -> bool:
    return isinstance(value, list | tuple) and any(isinstance(item, dict) for item in value)


def _plain(value: Any) -> str:
    if isinstance(value, list | tuple):
        return " ".join(map(str, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "unknown" if value is None else str(value)


def _millions(parameters: int | None) -> str:
    return f"{parameters / 1e6:,.0f} M" if parameters else ""
