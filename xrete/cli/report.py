"""`xrete report`: leaderboard tables from records."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from xrete.reporting.leaderboard import Leaderboard

DEFAULT_RESULTS = Path("results")


Format = Literal["table", "markdown", "csv", "json"]
View = Literal["main", "zero-shot", "long-tail", "per-language"]
DataKind = Literal["real", "mini"]
Reference = Literal["paper"]


def report(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(help="Results folders; every record below them counts.", show_default="results"),
    ] = None,
    results: Annotated[
        list[Path] | None, typer.Option("--results", help="The same as an option, as 'xrete run' has it.")
    ] = None,
    table: Annotated[View, typer.Option("--table", help="Which table.")] = "main",
    format_: Annotated[Format, typer.Option("--format", help="How it is written.")] = "table",
    task: Annotated[list[str] | None, typer.Option("--task", help="Only this task; may be repeated.")] = None,
    model: Annotated[list[str] | None, typer.Option("--model", help="Only this model; may be repeated.")] = None,
    metric: Annotated[
        str | None, typer.Option("--metric", help="Another metric of the records than their headline one.")
    ] = None,
    reference: Annotated[
        Reference | None, typer.Option("--reference", help="Adds the rows that the paper published.")
    ] = None,
    data: Annotated[
        DataKind | None,
        typer.Option("--data", help="Records of real data or of the mini sample; real where there are any."),
    ] = None,
    intervals: Annotated[bool, typer.Option("--intervals", help="Shows 95 % intervals in every table.")] = False,
    out: Annotated[Path | None, typer.Option("--out", help="Writes to this file.")] = None,
) -> None:
    """Leaderboard tables from records.

    Only numbers over the same languages and the same data are compared; every missing cell says why.

    Examples:
        xrete report
        xrete report --table long-tail --reference paper --format markdown
        xrete report --table per-language --task tatoeba
    """
    from xrete.reporting.collect import read_entries
    from xrete.reporting.text import plain
    from xrete.reporting.views import Request, build

    entries, unreadable = read_entries([*(folders or ()), *(results or ())] or [DEFAULT_RESULTS])
    for sentence in unreadable:
        typer.echo(f"warning: left out: {plain(sentence)}", err=True)
    request = Request(
        table=table,
        models=tuple(model or ()),
        tasks=tuple(task or ()),
        metric=metric,
        kind=data,
        with_paper=reference == "paper",
        intervals=intervals,
    )
    _write(build(entries, request), format_, out)


def _write(board: Leaderboard, format_: Format, out: Path | None) -> None:
    from rich.console import Console

    from xrete.files import write_text
    from xrete.reporting.terminal import print_table

    console = Console()
    if out is not None:
        write_text(out, _text(board, format_))
        typer.echo(f"wrote {out}", err=True)
    elif format_ == "table" and console.is_terminal:
        print_table(board, console)
    else:
        typer.echo(_text(board, format_), nl=False)


def _text(board: Leaderboard, format_: Format) -> str:
    from xrete.reporting import markdown, terminal, tidy

    if format_ == "csv":
        for remark in board.remarks:  # a CSV file has no place for them
            typer.echo(remark, err=True)
    writers = {
        "table": terminal.to_text,
        "markdown": markdown.to_markdown,
        "csv": tidy.to_csv,
        "json": tidy.to_json,
    }
    return writers[format_](board)
