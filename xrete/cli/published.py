"""`xrete import`: numbers that others published, for tasks that are the same here."""

from __future__ import annotations

import shlex
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from xrete.published.mteb import Reading

app = typer.Typer(help="Read numbers that others published.", no_args_is_help=True)

PROBLEMS_SHOWN = 20


@app.callback()
def sources() -> None:
    """Read numbers that others published. They are never records: they say their source, and are never paired."""


@app.command()
def mteb(
    path: Annotated[
        Path,
        typer.Argument(help="A clone of MTEB's results, what mteb.evaluate wrote, one result file, or its tables."),
    ],
    out: Annotated[Path, typer.Option("--out", help="The folder for the tables of numbers.")] = Path(
        "results/mteb"
    ),
    commit: Annotated[
        str | None, typer.Option("--commit", help="Commit of the results, if PATH is not a git clone.")
    ] = None,
) -> None:
    """Read MTEB's results for Tatoeba, FLORES (to English) and STS17 (MultiSTS), whose numbers are the same here.

    What is left out is listed with the reason. An import replaces the one before in the same folder.

    Examples:
        xrete import mteb FOLDER
        xrete import mteb ORG__NAME/REVISION/Tatoeba.json --out results/mteb
    """
    from xrete.errors import DataError
    from xrete.published import result_files, store
    from xrete.reporting.text import plain

    reading = result_files.read(path)
    for sentence in reading.problems[:PROBLEMS_SHOWN]:
        typer.echo(f"warning: {plain(sentence)}", err=True)
    if (more := len(reading.problems) - PROBLEMS_SHOWN) > 0:
        typer.echo(f"warning: {more} more like these", err=True)
    _say_left_out(reading)
    if not reading.numbers:
        raise DataError(f"nothing in {path} is the same as a task here; nothing was written")
    version = commit or result_files.commit_of(path)
    store.write(out, reading.publication(version, shlex.join(["xrete", *sys.argv[1:]])))
    _say_taken(reading, out)


def _say_left_out(reading: Reading) -> None:
    from xrete.published.mteb import describe_left_out
    from xrete.reporting.text import plain

    for line in describe_left_out(reading):
        typer.echo(f"left out: {plain(line)}", err=True)


def _say_taken(reading: Reading, out: Path) -> None:
    numbers = reading.numbers.values()
    models = Counter(task for task, _ in {(number.task, number.model) for number in numbers})
    parts = ", ".join(f"{task} of {count}" for task, count in models.most_common())
    total = len({number.model for number in numbers})
    typer.echo(f"wrote {out}: {len(numbers):,} numbers of {total} models ({parts})")
