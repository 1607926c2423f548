"""Recommendations in words, at 80 columns, and as JSON."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from xrete import languages
from xrete.reporting.answer.recommend import Answer, Candidate, Missing, ShortList
from xrete.reporting.answer.scores import MEASURED
from xrete.reporting.formats.cells import rank
from xrete.reporting.text import plain
from xrete.version import __version__

SCHEMA = "xrete/recommendation/1"
WIDTH = 80
INDENT = " " * 8
SHOWN = 8
LANGUAGES_NAMED = 4
NAME_LIMIT = 46
LICENCE_LIMIT = 24


def to_text(answers: Sequence[Answer]) -> str:
    """Writes answers for people: the best of each list, its verdict, and what nobody has measured."""
    return "\n\n".join("\n\n".join(_blocks(answer)) for answer in answers) + "\n"


def to_json(answers: Sequence[Answer]) -> str:
    """Writes a line for each purpose, with every model of every list; only ASCII, which any terminal shows."""
    about = {"schema": SCHEMA, "version": __version__}
    return "".join(json.dumps(about | _object(answer), allow_nan=False) + "\n" for answer in answers)


def verdict(short: ShortList) -> str:
    """Says whether one model is the best beyond chance, and which is the smallest of those that may be."""
    best, all_of = short.best, len(short.candidates)
    if all_of == 1:
        return "Only one model was scored: there is nothing to choose from."
    if not best:
        return "No ranks: these scores have no intervals."
    how = "paired tests on the same sentences" if short.paired else "unpaired, which is cautious"
    if len(best) == 1:
        return f"The best beyond chance (95 %, {how}): {_name(best[0])}."
    smallest = short.smallest
    least = f" The smallest of them: {_name(smallest)} ({size(smallest.facts.parameters)})." if smallest else ""
    return f"No winner: {len(best)} of {all_of} models may be the best (95 %, {how}).{least}"


def size(parameters: int | None) -> str:
    """Writes a number of weights, such as "560M"."""
    if parameters is None:
        return "size unknown"
    for unit, name in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if parameters >= unit:
            return f"{parameters / unit:.3g}{name}"
    return str(parameters)


def _blocks(answer: Answer) -> Iterator[str]:
    title = answer.purpose.capitalize()
    if not answer.lists and not answer.missing:
        yield f"{title}: no scores of any model that was asked for."
    for short in answer.lists:
        yield "\n".join([*_heading(title, short), "", *_rows(short), "", *_wrapped(verdict(short))])
    if answer.missing:
        yield "\n".join(line for missing in answer.missing for line in _wrapped(_missing(title, missing)))
    if answer.unknown:
        parts = ", ".join(f"{count} of unknown {name}" for name, count in answer.unknown.items())
        yield "\n".join(_wrapped(f"{title}: left out, as nobody says it: {parts}."))


def _heading(title: str, short: ShortList) -> list[str]:
    count, models = len(short.languages), len(short.candidates)
    names = ", ".join(f"{languages.name(x)} ({x})" for x in short.languages[:LANGUAGES_NAMED])
    which = names if count <= LANGUAGES_NAMED else f"mean over {count} languages"
    rests = "" if short.n is None else f", {short.n:,} items"
    text = (
        f"{title} · {short.task}, {short.protocol} {short.metric} · {which}{rests} · "
        f"{models} model{'s' if models > 1 else ''}"
    )
    return [*_wrapped(text), "─" * WIDTH]


def _rows(short: ShortList) -> Iterator[str]:
    for candidate in short.candidates[:SHOWN]:
        yield from _row(candidate, short)
    if (more := len(short.candidates) - SHOWN) and more > 0:
        yield f"… {more} more (--json has all)"


def _row(candidate: Candidate, short: ShortList) -> list[str]:
    place = rank(candidate.standing) if candidate.standing else "–"
    low, high = candidate.ci95 or (None, None)
    interval = "" if low is None or high is None else f"[{low:.1f}, {high:.1f}]"
    first = f"{place:<{len(INDENT)}}{_name(candidate):<{NAME_LIMIT}} {candidate.score:>6.1f}  {interval}"
    facts = textwrap.wrap(" · ".join(_facts(candidate, short)), WIDTH - len(INDENT))
    return [first.rstrip(), *(f"{INDENT}{line}" for line in facts)]


def _facts(candidate: Candidate, short: ShortList) -> Iterator[str]:
    facts = candidate.facts
    yield size(facts.parameters)
    yield f"{facts.dimension} dim" if facts.dimension else "dim unknown"
    yield f"{facts.max_tokens} tokens" if facts.max_tokens else "tokens unknown"
    yield plain(facts.licence, LICENCE_LIMIT) if facts.licence else "licence unknown"
    if facts.open_weights is False:
        yield "closed"
    if facts.speed:
        yield f"{facts.speed[0]:.0f}/s ({plain(facts.speed[1], 8)})"
    yield "measured" if facts.source == MEASURED else f"by {facts.source.upper()}"
    for source, score in candidate.published:
        yield f"{source.upper()} has {score:.1f}"
    if facts.trained_on and short.task in facts.trained_on:
        yield "TRAINED ON IT"


def _missing(title: str, missing: Missing) -> str:
    name = f"{languages.name(missing.language)} ({missing.language})"
    relatives = ", ".join(f"{languages.name(x)} ({x})" for x in missing.relatives)
    near = (
        f"The nearest languages with scores: {relatives}." if relatives else "No relative of it has scores either."
    )
    command = (
        f"xrete run --model M --task {missing.tasks[0]} --languages {missing.language}" if missing.tasks else ""
    )
    how = f" To measure it: {command}." if command else " No task of this purpose has it."
    return f"{title}: nobody has a score in {name}. {near}{how}"


def _name(candidate: Candidate) -> str:
    return plain(candidate.facts.model, NAME_LIMIT)


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(plain(text), WIDTH, break_on_hyphens=False)


def _object(answer: Answer) -> dict[str, Any]:
    lists = [
        {
            "task": short.task,
            "protocol": short.protocol,
            "split": short.split,
            "metric": short.metric,
            "languages": list(short.languages),
            "n": short.n,
            "paired": short.paired,
            "verdict": plain(verdict(short)),
            "models": [_model(candidate, short) for candidate in short.candidates],
        }
        for short in answer.lists
    ]
    return {
        "purpose": answer.purpose,
        "lists": lists,
        "missing": [asdict(missing) for missing in answer.missing],
        "left_out_unknown": dict(answer.unknown),
    }


def _model(candidate: Candidate, short: ShortList) -> dict[str, Any]:
    facts, standing = candidate.facts, candidate.standing
    low, high = candidate.ci95 or (None, None)
    speed, device = facts.speed or (None, None)
    return {
        "model": facts.model,
        "revision": candidate.revision,
        "source": facts.source,
        "score": candidate.score,
        "low": low,
        "high": high,
        "rank_best": standing and standing.best,
        "rank_worst": standing and standing.worst,
        "tie_group": standing and standing.group,
        "parameters": facts.parameters,
        "dimension": facts.dimension,
        "max_tokens": facts.max_tokens,
        "licence": facts.licence,
        "open_weights": facts.open_weights,
        "sentences_per_second": speed,
        "device": device,
        "published": [{"source": source, "score": score} for source, score in candidate.published],
        "trained_on_this": None if facts.trained_on is None else short.task in facts.trained_on,
    }
