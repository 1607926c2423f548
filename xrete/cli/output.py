"""What users see while they wait, and warnings that nobody overlooks. All of it goes to standard error."""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from xrete.embedder import Progress as OnProgress
from xrete.errors import XreteError

PLAIN_SECONDS = 30.0
"""Where nobody watches a terminal, a line is printed this often."""

console = Console(stderr=True)


def say(error: XreteError, title: str | None = None) -> None:
    """Says in one sentence what went wrong, after the traceback if the user asked for it with --debug."""
    if "--debug" in sys.argv[1:]:
        traceback.print_exception(error)
    typer.echo(f"error: {f'{title}: ' if title else ''}{error}", err=True)


@contextmanager
def sentences(title: str, total: int) -> Iterator[OnProgress]:
    """Shows how many sentences are done, at which rate, and the time left.

    Args:
        title: What is being done.
        total: Number of sentences.

    Yields:
        A function to be called with the number of sentences just encoded, and just found in the cache.
    """
    if console.is_terminal:
        with _bar(title, total) as step:
            yield step
    else:
        yield _lines(title, total)


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
def _bar(title: str, total: int) -> Iterator[OnProgress]:
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
            progress.update(bar, advance=new + cached, rate=f"{rate:,.0f} sentences/s" if encoded else "from cache")

        yield step


def _lines(title: str, total: int) -> OnProgress:
    started = last = time.perf_counter()
    done = encoded = 0

    def step(new: int, cached: int) -> None:
        nonlocal last, done, encoded
        done, encoded, now = done + new + cached, encoded + new, time.perf_counter()
        if now - last >= PLAIN_SECONDS and encoded:
            last, rate = now, encoded / (now - started)
            left = (total - done) / rate
            console.print(
                f"{title}: {done:,} of {total:,} sentences, {rate:,.0f}/s, about {left / 60:,.0f} min left",
                markup=False, highlight=False,
            )  # fmt: skip

    return step
