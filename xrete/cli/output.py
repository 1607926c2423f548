"""What users see while they wait, and warnings that nobody overlooks. All of it goes to standard error."""

from __future__ import annotations

import io
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from typing import TYPE_CHECKING, Protocol, TextIO

import typer
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from xrete.errors import XreteError

if TYPE_CHECKING:
    from xrete.evaluation.forecast import Forecast
    from xrete.training.finetune.job import StepWatch, TrainerStep

PLAIN_SECONDS = 30.0
"""Where nobody watches a terminal, a line is printed this often."""

console = Console(stderr=True)


def say(error: XreteError, title: str | None = None) -> None:
    """Says in one sentence what went wrong, after the traceback if the user asked for it with --debug."""
    if debug():
        traceback.print_exception(error)
    typer.echo(f"error: {f'{title}: ' if title else ''}{error}", err=True)


def debug() -> bool:
    """Returns whether the user wants to see what lies behind an error."""
    return "--debug" in sys.argv[1:]


class Shown(Protocol):
    """What is to be told how far a run is."""

    def __call__(self, encoded: int, cached: int, /) -> None:
        """Notes how many sentences were just encoded, and just found in the cache."""
        ...

    def searched(self, done: int, total: int, /) -> None:
        """Notes how many of all vectors a long search has gone through."""
        ...


@contextmanager
def sentences(title: str, total: int, unit: str = "sentences") -> Iterator[Shown]:
    """Shows how many sentences are done, at which rate, and the time left.

    Args:
        title: What is being done.
        total: Number of sentences.
        unit: What is counted, where it is not sentences.

    Yields:
        What is to be told of it.
    """
    if not console.is_terminal:
        yield _Lines(title, total, unit)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        yield _Bar(progress, title, total, unit)


@contextmanager
def steps(title: str) -> Iterator[StepWatch]:
    """Shows how far a training run is: steps, loss, best value on held-out data, rate and time left.

    Yields:
        A function to be called with every step.
    """
    if not console.is_terminal:
        yield _step_lines(title)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        bars: dict[str, TaskID] = {}

        def watch(step: TrainerStep) -> None:
            if step.stage not in bars or step.done == 1:
                bars[step.stage] = progress.add_task(title, total=step.total)
            text = f"{escape(title)} · {_describe_step(step)}"
            progress.update(bars[step.stage], completed=step.done, description=text)

        yield watch


def _step_lines(title: str) -> StepWatch:
    last = time.perf_counter()
    started: tuple[float, int] | None = None

    def watch(step: TrainerStep) -> None:
        nonlocal last, started
        now = time.perf_counter()
        if started is None or step.done <= started[1]:
            started = now, step.done
        elif now - last >= PLAIN_SECONDS or step.done == step.total:
            rate = (step.done - started[1]) / (now - started[0])
            left = f"{rate:.2g} steps/s, {(step.total - step.done) / rate / 60:.1f} min left"
            typer.echo(f"{title}: {step.done:,} of {step.total:,} steps, {_describe_step(step)}, {left}", err=True)
            last = now

    return watch


def _describe_step(step: TrainerStep) -> str:
    best = "" if step.best is None else f", best {step.best:.4g}"
    return f"{step.stage}: loss {step.loss:.3g}{best}"


class Board:
    """Which jobs of a sweep are done, failed and running: a bar, or a line for each event where nobody watches."""

    def __init__(self, total: int, progress: Progress | None, stdout: TextIO) -> None:
        self._total, self._progress, self._stdout = total, progress, stdout
        self._running: dict[str, str] = {}
        self._done = self._failed = 0
        self._bar = progress.add_task("", total=total, running="") if progress else None

    def started(self, title: str, node: str) -> None:
        """Notes that a job runs on a node."""
        self._running[title] = node
        self._show(f"{title}: started on {node}")

    def ended(self, title: str, *, failed: bool) -> None:
        """Notes that a job has ended, one way or the other."""
        self._running.pop(title, None)
        self._done += not failed
        self._failed += failed
        self._show(f"{title}: {'failed' if failed else 'done'}")

    def print(self, line: str) -> None:
        """Prints a line on standard output, above the bar where both are on the screen."""
        if self._progress and self._stdout.isatty():
            self._progress.console.print(line, markup=False, highlight=False, soft_wrap=True)
        else:
            typer.echo(line, file=self._stdout)

    def _show(self, news: str) -> None:
        count = f"{self._done} of {self._total} done, {self._failed} failed, {len(self._running)} running"
        if self._progress and self._bar is not None:
            running = ", ".join(f"{title} on {node}" for title, node in self._running.items())
            self._progress.update(
                self._bar, completed=self._done + self._failed, description=count, running=escape(running)
            )
        else:
            typer.echo(f"{news} ({count})", err=True)


@contextmanager
def jobs(total: int) -> Iterator[Board]:
    """Shows how far a sweep is. What Ray prints of it in the meantime is shown with --debug only.

    Args:
        total: Number of jobs.

    Yields:
        What is to be told of them, and prints their results.
    """
    stdout = sys.stdout
    with redirect_stdout(sys.stderr if debug() else io.StringIO()):
        if not console.is_terminal:
            yield Board(total, None, stdout)
            return
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[running]}"))
        with Progress(*columns, console=console, transient=True) as progress:
            yield Board(total, progress, stdout)


def print_plan(rows: Sequence[Forecast], *, error: bool) -> None:
    """Prints what a run would do, on standard output or standard error."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    asks = any(row.tokens_in is not None for row in rows)
    for name in ("model", "task", "protocol", "to do", *(("estimated tokens", "price") if asks else ())):
        table.add_column(name, overflow="fold", no_wrap=name in ("task", "protocol", "price"))
    for row in rows:
        price = "" if row.price is None else f"{row.price:,.4f}"
        tokens = "" if row.tokens_in is None else f"{row.tokens_in:,} in, {row.tokens_out:,} out"
        cells = (escape(row.model), escape(row.task), row.protocol, _todo(row), tokens, price)
        table.add_row(*cells[: len(table.columns)])
    (console if error else Console()).print(table)


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
    stages = "".join(f"{x.stage}: {x.items:,} items, {x.steps:,} steps; " for x in row.training)
    runs = f"with each of {len(row.seeds)} seeds; then " if len(row.seeds) > 1 else "then " if stages else ""
    parts = [f"{stages}{runs}{row.texts:,} {'sentences' if row.answered is None else 'questions'}"]
    if row.finished:
        parts.append(f"in {left} of {row.languages} languages")
    if row.answered:
        parts.append(f"{row.answered:,} of them answered before")
    return ", ".join(parts)


def advise_bfloat16() -> None:
    """Says that this machine has faster products than those of float32."""
    typer.echo(
        "note: --dtype auto encodes faster here, in bfloat16 where scores stay the same: 1.7 times as many "
        "sentences a second, at a cosine of 0.9999 to float32, where docs/performance.md measured it",
        err=True,
    )


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


class _Bar:
    """A bar for what is encoded, and one for each long search."""

    def __init__(self, progress: Progress, title: str, total: int, unit: str) -> None:
        self._progress, self._title, self._unit = progress, escape(title), unit
        self._bar = progress.add_task(self._title, total=total, rate="")
        self._search: TaskID | None = None
        self._started = time.perf_counter()
        self._encoded = 0

    def __call__(self, encoded: int, cached: int, /) -> None:
        self._encoded += encoded
        rate = self._encoded / (time.perf_counter() - self._started)
        shown = f"{rate:,.0f} {self._unit}/s" if self._encoded else "from cache"
        self._progress.update(self._bar, advance=encoded + cached, rate=shown)

    def searched(self, done: int, total: int, /) -> None:
        if self._search is None:
            self._search = self._progress.add_task(f"{self._title} · search", total=total, rate="")
        self._progress.update(self._search, completed=done)
        if done >= total:
            self._progress.remove_task(self._search)
            self._search = None


class _Lines:
    """A line now and then, where nobody watches a terminal."""

    def __init__(self, title: str, total: int, unit: str) -> None:
        self._title, self._total, self._unit = title, total, unit
        self._started = self._last = time.perf_counter()
        self._done = self._encoded = 0
        self._search: tuple[float, int] | None = None  # when it was first heard of, and how far it was then

    def __call__(self, encoded: int, cached: int, /) -> None:
        self._done, self._encoded = self._done + encoded + cached, self._encoded + encoded
        # What comes from the cache comes fast, and says nothing of what does not.
        rate = self._encoded / (time.perf_counter() - self._started)
        self._say(f"{self._done:,} of {self._total:,} {self._unit}", self._total - self._done, rate)

    def searched(self, done: int, total: int, /) -> None:
        now = time.perf_counter()
        if self._search is None or done <= self._search[1]:
            self._search = now, done
            return
        rate = (done - self._search[1]) / (now - self._search[0])
        self._say(f"searched {done:,} of {total:,} {self._unit}", total - done, rate)

    def _say(self, how_far: str, rest: int, rate: float) -> None:
        now = time.perf_counter()
        if now - self._last >= PLAIN_SECONDS and rate:
            self._last = now
            left = f"{rate:,.0f}/s, about {rest / rate / 60:,.0f} min left"
            console.print(f"{self._title}: {how_far}, {left}", markup=False, highlight=False)
