"""What users see while they wait, and warnings that nobody overlooks. All of it goes to standard error."""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from xrete.embedder import Progress as OnProgress
from xrete.errors import XreteError

if TYPE_CHECKING:
    from xrete.forecast import Forecast

PLAIN_SECONDS = 30.0
"""Where nobody watches a terminal, a line is printed this often."""

console = Console(stderr=True)


def say(error: XreteError, title: str | None = None) -> None:
    """Says in one sentence what went wrong, after the traceback if the user asked for it with --debug."""
    if "--debug" in sys.argv[1:]:
        traceback.print_exception(error)
    typer.echo(f"error: {f'{title}: ' if title else ''}{error}", err=True)


@contextmanager
def sentences(title: str, total: int, unit: str = "sentences") -> Iterator[OnProgress]:
    """Shows how many sentences are done, at which rate, and the time left.

    Args:
        title: What is being done.
        total: Number of sentences.
        unit: What is counted, where it is not sentences.

    Yields:
        A function to be called with the number of sentences just encoded, and just found in the cache.
    """
    if console.is_terminal:
        with _bar(title, total, unit) as step:
            yield step
    else:
        yield _lines(title, total, unit)


def print_plan(rows: Sequence[Forecast]) -> None:
    """Prints what a run would do, on standard output."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("model", "task", "protocol", "to do", "estimated tokens", "price"):
        table.add_column(name, overflow="fold", no_wrap=name in ("task", "protocol", "price"))
    for row in rows:
        price = "" if row.price is None else f"{row.price:,.4f}"
        tokens = "" if row.tokens_in is None else f"{row.tokens_in:,} in, {row.tokens_out:,} out"
        table.add_row(escape(row.model), escape(row.task), row.protocol, _todo(row), tokens, price)
    Console().print(table)


def say_estimate(title: str, row: Forecast) -> None:
    """Says what a chat model is about to be asked, and what that costs."""
    if row.finished < row.languages:
        price = "" if row.price is None else f", at a price of {row.price:,.4f}"
        tokens = f"{row.tokens_in:,} tokens in and {row.tokens_out:,} out"
        typer.echo(f"{title}: {_todo(row)}; about {tokens}{price}", err=True)


def _todo(row: Forecast) -> str:
    left = row.languages - row.finished
    if not left:
        return "finished"
    parts = [f"{row.texts:,} {'sentences' if row.answered is None else 'questions'}"]
    if row.finished:
        parts.append(f"in {left} of {row.languages} languages")
    if row.answered:
        parts.append(f"{row.answered:,} of them answered before")
    return ", ".join(parts)


def warn_mini(tasks: list[str], reason: str | None) -> None:
    """Says that the scores are of the mini sample."""
    why = f"\n{escape(reason)}" if reason else ""
    console.print(
        Panel(
            f"[bold]MINI SAMPLE[/bold]: {escape(', '.join(tasks))} on the few sentences that come with XRETE. "
            f"The scores say that everything runs, and nothing about a model.{why}",
            border_style="yellow",
        )
    )


@contextmanager
def _bar(title: str, total: int, unit: str) -> Iterator[OnProgress]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    started = time.perf_counter()
    encoded = 0
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task(escape(title), total=total, rate="")

        def step(new: int, cached: int) -> None:
            nonlocal encoded
            encoded += new
            rate = encoded / (time.perf_counter() - started)
            progress.update(bar, advance=new + cached, rate=f"{rate:,.0f} {unit}/s" if encoded else "from cache")

        yield step


def _lines(title: str, total: int, unit: str) -> OnProgress:
    started = last = time.perf_counter()
    done = encoded = 0

    def step(new: int, cached: int) -> None:
        nonlocal last, done, encoded
        done, encoded, now = done + new + cached, encoded + new, time.perf_counter()
        if now - last >= PLAIN_SECONDS and encoded:
            last, rate = now, encoded / (now - started)
            left = (total - done) / rate
            console.print(
                f"{title}: {done:,} of {total:,} {unit}, {rate:,.0f}/s, about {left / 60:,.0f} min left",
                markup=False, highlight=False,
            )  # fmt: skip

    return step
