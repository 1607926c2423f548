"""`xrete report`: leaderboard tables from records."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from xrete.cli import options
from xrete.errors import UsageError

if TYPE_CHECKING:
    from xrete.published.numbers import Publication
    from xrete.reporting.collect import Entry
    from xrete.reporting.leaderboard import Leaderboard
    from xrete.reporting.tables.views import Request

DEFAULT_RESULTS = Path("results")


Format = Literal["table", "markdown", "csv", "latex", "json", "parquet", "html", "hub"]
View = Literal[
    "main", "zero-shot", "long-tail", "geometry", "ablation", "ablation-phases", "ablation-ranks", "per-language"
]
DataKind = Literal["real", "mini"]
REFERENCES = ("paper", "mteb")


def report(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(help="Results folders; all records below them are read.", show_default="results"),
    ] = None,
    results: Annotated[
        list[Path] | None,
        typer.Option("--results", help="Results folder, the same as the argument; may be repeated."),
    ] = None,
    table: Annotated[
        View | None,
        typer.Option("--table", help="Which table; 'ablation' prints both ablation tables.", show_default="main"),
    ] = None,
    format_: Annotated[
        Format,
        typer.Option("--format", help="Output format; html is a page, hub a model card for each model."),
    ] = "table",
    task: Annotated[list[str] | None, typer.Option("--task", help="Only this task; may be repeated.")] = None,
    model: Annotated[list[str] | None, typer.Option("--model", help="Only this model; may be repeated.")] = None,
    protocol: Annotated[
        list[str] | None, typer.Option("--protocol", help="Only this protocol; may be repeated.")
    ] = None,
    metric: Annotated[str | None, typer.Option("--metric", help="A metric other than the headline metric.")] = None,
    reference: Annotated[
        str | None,
        typer.Option(
            "--reference",
            help="Adds published numbers (paper, mteb or paper,mteb), and whether ours reproduce them.",
        ),
    ] = None,
    data: Annotated[
        DataKind | None,
        typer.Option("--data", help="Records of real data or of the mini sample; default: real data, if any."),
    ] = None,
    intervals: Annotated[bool, typer.Option("--intervals", help="Shows 95 % intervals in every table.")] = False,
    out: Annotated[Path | None, typer.Option("--out", help="File to write to; for html and hub, a folder.")] = None,
) -> None:
    """Leaderboards from records: tables, a page, cards for the hub.

    Only numbers over the same languages and the same data are compared; every missing cell says why.

    Examples:
        xrete report
        xrete report --protocol zero-shot --intervals
        xrete report --table long-tail --reference paper --format markdown
        xrete report --format html --reference paper,mteb --out leaderboard
        xrete report --table per-language --task tatoeba
    """
    from xrete.reporting.collect import without_collection
    from xrete.reporting.tables.views import Request

    sources = [*(folders or ()), *(results or ())] or [DEFAULT_RESULTS]
    references = _references(reference)
    request = Request(
        models=tuple(model or ()),
        tasks=tuple(task or ()),
        protocols=tuple(protocol or ()),
        metric=metric,
        kind=data,
        with_paper="paper" in references,
        publications=_publications(sources) if "mteb" in references else (),
        intervals=intervals,
    )
    with without_collection():
        _report(sources, request, table, format_, out)


def _references(text: str | None) -> list[str]:
    names = options.split_commas("--reference", [text]) if text is not None else []
    for name in names:
        if name not in REFERENCES:
            raise UsageError(f"--reference: no numbers of '{name}' here; there are {' and '.join(REFERENCES)}")
    return names


def _publications(sources: list[Path]) -> tuple[Publication, ...]:
    from xrete.published import store

    folders = (folder for folder in sources if folder.is_dir())
    return tuple(x for x in store.read_all(folders) if x.source == "mteb")


def _report(sources: list[Path], request: Request, table: View | None, format_: Format, out: Path | None) -> None:
    from xrete.reporting.collect import read_entries
    from xrete.reporting.tables.views import ABLATIONS, build
    from xrete.reporting.text import plain

    entries, unreadable = read_entries(sources)
    for sentence in unreadable:
        typer.echo(f"warning: left out: {plain(sentence)}", err=True)
    if format_ in ("html", "hub"):
        _publish(entries, request, format_, out, table, sources)
        return
    tables = ABLATIONS if table == "ablation" else (table or "main",)
    _write([build(entries, replace(request, table=name)) for name in tables], format_, out)


def _publish(
    entries: list[Entry],
    request: Request,
    format_: Format,
    out: Path | None,
    table: str | None,
    sources: list[Path],
) -> None:
    from xrete.reporting import page
    from xrete.reporting.formats import hub

    if out is None:
        raise UsageError(f"--format {format_} writes a folder: name it with --out DIR")
    if table or request.metric or request.intervals:
        raise UsageError(f"--format {format_} has every table: leave out --table, --metric and --intervals")
    write = page.write if format_ == "html" else hub.write
    files = list(write(entries, request, out, sources))
    typer.echo(f"wrote {files[0]}" if len(files) == 1 else f"{len(files):,} files are in {out}", err=True)


def _write(boards: list[Leaderboard], format_: Format, out: Path | None) -> None:
    from rich.console import Console

    from xrete.files import write_text
    from xrete.reporting.formats import csv_json
    from xrete.reporting.formats.terminal import print_table

    console = Console()
    if format_ == "parquet":
        if out is None:
            raise UsageError("--format parquet writes a file: name it with --out FILE")
        csv_json.write_parquet(out, boards)
        typer.echo(f"wrote {out}", err=True)
    elif out is not None:
        write_text(out, _text(boards, format_))
        typer.echo(f"wrote {out}", err=True)
    elif format_ == "table" and console.is_terminal:
        for board in boards:
            print_table(board, console)
    else:
        typer.echo(_text(boards, format_), nl=False)


def _text(boards: list[Leaderboard], format_: Format) -> str:
    from xrete.reporting.formats import csv_json, latex, markdown, terminal

    if format_ == "json":
        return csv_json.to_json(boards)
    if format_ == "csv":
        for remark in (remark for board in boards for remark in board.remarks):  # a CSV file has no place for them
            typer.echo(remark, err=True)
        return csv_json.to_csv(boards)
    writers = {"table": terminal.to_text, "markdown": markdown.to_markdown, "latex": latex.to_latex}
    return "\n".join(map(writers[format_], boards))
