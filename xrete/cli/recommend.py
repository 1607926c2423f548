"""`xrete recommend`: which encoder for these languages and this purpose."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from xrete.cli import options
from xrete.cli.report import DEFAULT_RESULTS
from xrete.errors import UsageError

if TYPE_CHECKING:
    from xrete.reporting.answer.scores import Known

Purpose = Literal["search", "alignment", "similarity", "understanding"]
UNITS = {"": 1, "k": 10**3, "m": 10**6, "b": 10**9}


def recommend(
    purpose: Annotated[
        Purpose | None, typer.Option("--for", help="What the encoder is for.", show_default="all four")
    ] = None,
    languages: Annotated[
        str | None, typer.Option("--languages", help="Codes with commas, as in sw,yo.", show_default="all")
    ] = None,
    max_parameters: Annotated[
        str | None, typer.Option("--max-parameters", help="Most weights, as in 300M or 1.5B.")
    ] = None,
    max_dimension: Annotated[int | None, typer.Option("--max-dimension", min=1, help="Longest vectors.")] = None,
    licence: Annotated[
        str | None, typer.Option("--licence", help="permissive, or a name such as apache-2.0.")
    ] = None,
    open_weights: Annotated[
        bool, typer.Option("--open-weights", help="Only models whose weights can be had.")
    ] = False,
    measured: Annotated[bool, typer.Option("--measured", help="Only what was measured here.")] = False,
    results: Annotated[
        list[Path] | None,
        typer.Option("--results", help="A folder of records and imports; repeatable.", show_default="results"),
    ] = None,
    plugin: options.Plugin = None,
    json_: options.Json = False,
) -> None:
    """Say which encoder to use for some languages and a purpose, with the evidence and its limits.

    From records, what MTEB published, and what was imported.
    The tasks: search, LAReQA and Mewsli-X; alignment, Tatoeba, FLORES and BUCC;
    similarity, MultiSTS and QE; understanding, the others.

    Examples:
        xrete recommend --languages sw,yo --for alignment
        xrete recommend --languages de --max-parameters 300M --licence permissive
        xrete recommend --for search --measured --json
    """
    from xrete.reporting.answer.purposes import PURPOSES
    from xrete.reporting.answer.recommend import Question
    from xrete.reporting.answer.recommend import recommend as answer
    from xrete.reporting.formats import recommendation

    question = Question(
        languages=_codes(languages),
        max_parameters=None if max_parameters is None else _count(max_parameters),
        max_dimension=max_dimension,
        licence=licence,
        open_weights=open_weights,
        measured=measured,
    )
    known = _known(results)
    answers = [answer(known, name, question) for name in ([purpose] if purpose else PURPOSES)]
    typer.echo(recommendation.to_json(answers) if json_ else recommendation.to_text(answers), nl=False)


def _known(results: list[Path] | None) -> Known:
    """Reads records, where there are any, and everything that is published."""
    from xrete.published import store
    from xrete.reporting.answer.scores import known
    from xrete.reporting.collect import find_entries
    from xrete.reporting.text import plain

    folders = results or [folder for folder in (DEFAULT_RESULTS,) if folder.is_dir()]
    entries, unreadable = find_entries(folders)
    for sentence in unreadable:
        typer.echo(f"warning: left out: {plain(sentence)}", err=True)
    return known(entries, store.read_all(folders))


def _codes(text: str | None) -> tuple[str, ...]:
    from langcodes import Language
    from langcodes.tag_parser import LanguageTagError

    if text is None:
        return ()
    codes = options.split_commas("--languages", [text])
    for code in codes:
        try:
            is_valid = Language.get(code.replace("_", "-")).is_valid()
        except LanguageTagError:
            is_valid = False
        if not is_valid:
            raise UsageError(f"--languages: '{code}' is no language code; write codes as in sw,yo")
    return tuple(codes)


def _count(text: str) -> int:
    """Reads "300M", "1.5B" or "118000000"."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([kmb]?)", text.strip().casefold())
    if not match:
        raise UsageError(f"--max-parameters wants a number of weights, as in 300M or 1.5B, not '{text}'")
    return round(float(match[1]) * UNITS[match[2]])
