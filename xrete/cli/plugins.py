"""`xrete tasks`, `xrete models` and `xrete check`: what is registered, and whether it keeps its contract."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import typer

from xrete.cli import options
from xrete.errors import XreteError

Columns = Mapping[str, Callable[[Any], str]]
"""Heads of a list's columns, and what each shows of a card; the first one is the name."""

GAP = 2
"""Spaces between columns, and before a second line."""

Name = Annotated[str | None, typer.Argument(help="Show the whole card of this one.")]


def tasks(name: Name = None, plugin: options.Plugin = None, json_: options.Json = False) -> None:
    """List the tasks.

    Examples:
        xrete tasks
        xrete tasks tatoeba
    """
    columns: Columns = {
        "task": lambda card: card.name,
        "category": lambda card: card.category,
        "metric": lambda card: card.metric,
        "protocols": lambda card: " ".join(card.protocols),
    }
    _list("tasks", name, columns, {"languages": lambda card: str(len(card.languages))}, json_)


def models(name: Name = None, plugin: options.Plugin = None, json_: options.Json = False) -> None:
    """List the models; what one needs is on its card.

    Examples:
        xrete models
        xrete models labse --json
    """
    columns: Columns = {
        "model": lambda card: card.name,
        "parameters": lambda card: _millions(card.parameters),
        "dimension": lambda card: str(card.dimension or ""),
        "max length": lambda card: str(card.max_length or ""),
    }
    extra: Columns = {"licence": lambda card: card.licence, "needs": lambda card: card.needs}
    _list("models", name, columns, extra, json_)


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


def _list(kind: Any, name: str | None, columns: Columns, extra: Columns, json_: bool) -> None:
    from xrete import registry

    loader: Any = registry.task if kind == "tasks" else registry.model
    if name is not None:
        _card(_fields(loader(name).card), json_)
        return
    rows: list[_Row] = []
    for entry in registry.names(kind).values():
        try:
            card = loader(entry.name).card
        except XreteError as error:
            if json_:
                typer.echo(json.dumps({"name": entry.name, "error": str(error)}, ensure_ascii=False))
            rows.append(_Row({next(iter(columns)): entry.name}, str(error), "red"))
            continue
        if json_:
            typer.echo(
                json.dumps({"origin": entry.origin, **_fields(card), "name": entry.name}, ensure_ascii=False)
            )
        cells = {head: get(card) for head, get in {**columns, **extra}.items()}
        rows.append(_Row(cells | {next(iter(columns)): entry.name}, card.title))
    for entry in registry.names("families").values() if kind == "tasks" else ():
        cells = {next(iter(columns)): f"{entry.name}:NAME"}
        try:
            rows.append(_Row(cells, registry.family(entry.name).title))
        except XreteError as error:
            rows.append(_Row(cells, str(error), "red"))
    if not json_:
        _print_rows(list(columns), list(extra), rows)


@dataclass(frozen=True)
class _Row:
    """One entry of a list: its cells by the heads of their columns, and its title, or why it does not load."""

    cells: Mapping[str, str]
    title: str
    style: str = ""


def _print_rows(heads: Sequence[str], extra: Sequence[str], rows: Sequence[_Row]) -> None:
    """Prints a line for each entry where the terminal is wide enough for titles, else a second line for the title.

    Args:
        heads: Columns that are always shown.
        extra: Columns that are shown where they fit beside what goes before them.
        rows: The entries.
    """
    from rich.console import Console
    from rich.padding import Padding
    from rich.text import Text

    console = Console()
    width = {head: max(len(head), *(len(row.cells.get(head, "")) for row in rows)) for head in (*heads, *extra)}
    shown = list(heads)
    total = sum(width[head] + GAP for head in shown)
    titles_beside = total + max(len(row.title) for row in rows) <= console.width
    total += titles_beside * (max(len(row.title) for row in rows) + GAP)
    for head in extra:
        if total + width[head] <= console.width:
            shown.append(head)
            total += width[head] + GAP

    def line(cells: Mapping[str, str]) -> str:
        return "".join(cells.get(head, "").ljust(width[head] + GAP) for head in shown)

    title = "title" if titles_beside else ""
    console.print(Text((line({head: head for head in shown}) + title).rstrip(), style="bold"))
    for row in rows:
        if titles_beside:
            console.print(Text(line(row.cells)) + Text(row.title, style=row.style))
        else:
            console.print(Text(line(row.cells).rstrip()))
            console.print(Padding(Text(row.title, style=row.style or "dim"), (0, 0, 0, 2 * GAP), expand=False))


def _fields(card: Any) -> dict[str, Any]:
    """Returns a card as plain values; the data of a recipe's stage goes by its name."""
    from xrete.training.finetune.overrides import described

    recipes = {
        name: [described(stage) for stage in recipe] for name, recipe in getattr(card, "recipes", {}).items()
    }
    english = getattr(card, "english", None)
    values = asdict(card)
    values.pop("own_parameters", None)  # which tells the registry how to read a name, and a user nothing
    return (
        values
        | ({"recipes": recipes} if recipes else {})
        | ({"english": english.card.title} if english is not None else {})
    )


def _card(card: dict[str, Any], json_: bool) -> None:
    if json_:
        typer.echo(json.dumps(card, ensure_ascii=False))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2))
    for key, value in card.items():
        if value is None and key != "trained_on":  # there is none; of training data, None means unknown
            continue
        if key == "prompts":  # in quotes, since a blank at the end counts
            value = {name: f'"{prompt}"' for name, prompt in value.items()}
        if lines := list(_count_lines(value) if key == "counts" else _lines(value)):
            grid.add_row(Text(key.replace("_", " "), style="bold"), Text("\n".join(lines)))
    Console().print(grid)


def _count_lines(counts: Mapping[str, Any]) -> Iterator[str]:
    """Yields a line for each split that has a number of items for each language, and one for all others."""
    alike = {split: count for split, count in counts.items() if not isinstance(count, Mapping)}
    if alike:
        yield ", ".join(f"{split} {_count(count)}" for split, count in alike.items())
    for split, count in counts.items():
        if split not in alike:
            yield f"{split}: {_count_summary(count)}"


def _count_summary(counts: Mapping[str, Any]) -> str:
    """Says how many items the languages of a split have: what most have, and the range of the rest.

    Args:
        counts: Of each language: a number, or a tuple where several published versions differ.
    """
    (usual, times), *_ = Counter(counts.values()).most_common(1)
    languages = f"{len(counts)} language{'s' if len(counts) > 1 else ''}"
    if 2 * times < len(counts):
        return f"{languages}: {_range(list(counts.values()))}"
    fewer = [count for count in counts.values() if max(_numbers(count)) < min(_numbers(usual))]
    more = [count for count in counts.values() if min(_numbers(count)) > max(_numbers(usual))]
    rest = [
        f"{len(some)} with {word} ({_range(some)})" for word, some in (("fewer", fewer), ("more", more)) if some
    ]
    each = " each" if len(counts) > 1 else ""
    return f"{languages}: {_count(usual)}{each}" + (f", but {' and '.join(rest)}" if rest else "")


def _range(counts: Sequence[Any]) -> str:
    numbers = [number for count in counts for number in _numbers(count)]
    low, high = min(numbers), max(numbers)
    return f"{low:,} to {high:,}" if low < high else f"{low:,}"


def _count(count: Any) -> str:
    return " or ".join(f"{number:,}" for number in _numbers(count))


def _numbers(count: Any) -> tuple[int, ...]:
    return (count,) if isinstance(count, int) else tuple(count)


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
