"""The `xrete` command: its sub-commands, and how errors reach the user."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from xrete import __version__
from xrete.cli import data, doctor, plugins, published
from xrete.cli.compare import compare
from xrete.cli.export import export
from xrete.cli.picture import picture
from xrete.cli.pretrain import pretrain
from xrete.cli.recommend import recommend
from xrete.cli.report import report
from xrete.cli.run import run
from xrete.cli.verify import verify
from xrete.errors import XreteError

app = typer.Typer(
    name="xrete",
    help="Benchmark, compare and train cross-lingual sentence encoders.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(run)
app.command()(pretrain)
app.command()(report)
app.command()(recommend)
app.command()(compare)
app.command()(verify)
app.command()(picture)
app.command()(export)
app.command(name="tasks")(plugins.tasks)
app.command(name="models")(plugins.models)
app.command()(plugins.check)
app.add_typer(data.app, name="data")
app.add_typer(published.app, name="import")
app.command()(doctor.doctor)

INTERRUPTED = 130
"""Exit code that Typer makes of Ctrl-C."""


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"xrete {__version__}")
        raise typer.Exit


@app.callback(
    epilog="Examples:  xrete run --model me5-small --task tatoeba   ·   xrete report   ·   xrete tasks",
)
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error; may stand anywhere.")
    ] = False,
) -> None:
    """Benchmark, compare and train cross-lingual sentence encoders."""


def main() -> None:
    """Runs the command; an error that the user can mend becomes one sentence and an exit code."""
    arguments = sys.argv[1:]
    debug = "--debug" in arguments
    try:
        app([argument for argument in arguments if argument != "--debug"])
    except SystemExit as end:
        if end.code == INTERRUPTED and os.environ.get("RANK", "0") == "0":  # of several processes, one says so
            typer.echo("stopped; run the same command again to go on", err=True)
        raise
    except XreteError as error:
        if debug:
            raise
        _say(str(error))
        sys.exit(error.exit_code)
    except Exception as error:  # ours to mend, or a plugin's: still one sentence
        if debug:
            raise
        _say(f"{type(error).__name__}: {error}; run again with --debug for the traceback")
        sys.exit(1)


def _say(sentence: str) -> None:
    """Prints an error, which may quote what a record or a plugin calls itself, as one harmless line."""
    from xrete.reporting.text import plain

    typer.echo(f"error: {plain(sentence)}", err=True)
