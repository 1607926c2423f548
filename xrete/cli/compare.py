"""`xrete compare`: two models on the same items."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from xrete.cli.report import DEFAULT_RESULTS, DataKind

Format = Literal["table", "markdown", "csv", "json"]
Contender = Annotated[str, typer.Argument(help="A model, as 'xrete report' names it, or a record file.")]


def compare(
    first: Contender,
    second: Contender,
    task: Annotated[list[str] | None, typer.Option("--task", help="Only this task; may be repeated.")] = None,
    results: Annotated[
        list[Path] | None,
        typer.Option("--results", help="A results folder; may be repeated.", show_default="results"),
    ] = None,
    metric: Annotated[str | None, typer.Option("--metric", help="A metric other than the headline metric.")] = None,
    data: Annotated[
        DataKind | None,
        typer.Option("--data", help="Records of real data or of the mini sample; default: real data, if any."),
    ] = None,
    format_: Annotated[Format, typer.Option("--format", help="How it is written.")] = "table",
    out: Annotated[Path | None, typer.Option("--out", help="Writes to this file.")] = None,
) -> None:
    """Compare two models, item by item: differences, what chance explains of them, and who wins where.

    Only languages with the same items are compared; what is left out is named. One task shows its languages too.
    Two record files of one task may be of different protocols.

    Examples:
        xrete compare me5-small use-m3
        xrete compare me5-small use-m3 --task tatoeba --format markdown
        xrete compare results/me5-small/qe.fine-tune.dir.….json results/me5-small/qe.probe.dir.….json
    """
    from rich.console import Console

    from xrete.files import write_text
    from xrete.reporting.collect import read_entries
    from xrete.reporting.formats import comparison as formats
    from xrete.reporting.tables.comparisons import build, entries_of, is_file
    from xrete.reporting.text import plain

    names = (first, second)
    two_files = all(map(is_file, names))
    entries, unreadable = ([], []) if two_files else read_entries(results or [DEFAULT_RESULTS])
    for sentence in unreadable:
        typer.echo(f"warning: left out: {plain(sentence)}", err=True)
    sides = [entries_of(name, entries) for name in names]
    comparison = build(*sides, tasks=task or (), metric=metric, kind=data, two_files=two_files)
    console = Console()
    writers = {
        "table": formats.to_text,
        "markdown": formats.to_markdown,
        "csv": formats.to_csv,
        "json": formats.to_json,
    }
    if out is not None:
        write_text(out, writers[format_](comparison))
        typer.echo(f"wrote {out}", err=True)
    elif format_ == "table" and console.is_terminal:
        formats.print_text(comparison, console)
    else:
        typer.echo(writers[format_](comparison), nl=False)
