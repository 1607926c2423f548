"""All models with their scores in single languages, measured here or published: columns for the page's script.

The script answers the questions of `xrete recommend` with them, by the same rules. The overall orders are computed
here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from xrete import languages, registry
from xrete.lazy import np
from xrete.published.numbers import Publication
from xrete.reporting.answer.families import nearest
from xrete.reporting.answer.purposes import PURPOSES, Overall, Purpose, headline, overall_order
from xrete.reporting.answer.recommend import PERMISSIVE
from xrete.reporting.answer.scores import MEASURED, Facts, Known, KnownScore, Who
from xrete.reporting.tables.marks import usual_digits
from xrete.reporting.text import plain
from xrete.scores.analytic import criticals

NAME_LIMIT = 80
PLACES = 6
"""Decimals of a number: enough for the last digit of any mean that is shown."""

_UNKNOWN = (None, None, None)

Board = tuple[str, str, str | None, str]
"""Task, protocol, split and metric: models of one board in one language are compared."""


def content(known: Known, publications: Sequence[Publication]) -> dict[str, Any] | None:
    """Arranges what is known as columns.

    Args:
        known: The scores and facts.
        publications: Where published ones are from.

    Returns:
        JSON values; None where no model has a score by the headline metric of a task with a purpose.
    """
    scores = headline(known.scores)
    if not scores:
        return None
    models = sorted({(score.source, score.model) for score in scores})
    places = {who: place for place, who in enumerate(models)}
    boards: dict[Board, list[KnownScore]] = defaultdict(list)
    for score in scores:
        cell = score.cell
        boards[cell.task, cell.protocol, cell.split, score.metric].append(score)
    keys = sorted(boards, key=lambda board: tuple(map(str, board)))
    by_purpose = {purpose: headline(scores, purpose) for purpose in PURPOSES}
    asked = _askable(scores)
    return {
        "sources": {x.source: plain(x.version, NAME_LIMIT) for x in publications},
        "purposes": PURPOSES,
        "permissive": sorted(PERMISSIVE),
        "critical": criticals(np.arange(1, len(models) + 1)).round(9).tolist(),
        "models": _models([known.facts.get(who, Facts(model=who[1], source=who[0])) for who in models], places),
        "boards": [_board(key, boards[key]) for key in keys],
        "scores": [row for place, key in enumerate(keys) for row in _rows(place, boards[key], places)],
        "orders": {
            "all": _order(overall_order(scores), places),
            **{purpose: _order(overall_order(own, purpose), places) for purpose, own in by_purpose.items()},
        },
        "asked": asked,
        "missing": {
            purpose: [_missing(own, purpose, asked, measured) for measured in (False, True)]
            for purpose, own in by_purpose.items()
        },
    }


def languages_of(known: Mapping[str, Any]) -> set[str]:
    """Returns the codes of the languages that `content` has scores of."""
    return {code for board in known["boards"] for code in board["languages"]}


def _models(facts: Sequence[Facts], places: Mapping[Who, int]) -> dict[str, list[Any]]:
    """Returns one column for each fact; twins are the places of those who published the same weights."""
    by_name: dict[str, list[int]] = defaultdict(list)
    for (source, model), place in places.items():
        if source != MEASURED:
            by_name[model].append(place)
    return {
        "source": [x.source for x in facts],
        "name": [plain(x.model, NAME_LIMIT) for x in facts],
        "parameters": [x.parameters for x in facts],
        "dimension": [x.dimension for x in facts],
        "tokens": [x.max_tokens for x in facts],
        "licence": [x.licence and plain(x.licence, NAME_LIMIT) for x in facts],
        "open": [x.open_weights for x in facts],
        "trained": [None if x.trained_on is None else sorted(x.trained_on) for x in facts],
        "speed": [x.speed and [round(x.speed[0], 1), plain(x.speed[1], NAME_LIMIT)] for x in facts],
        "twins": [by_name.get(x.same_as or "", []) for x in facts],
    }


def _board(key: Board, scores: Sequence[KnownScore]) -> dict[str, Any]:
    task, protocol, split, metric = key
    items = {score.cell.language: score.n for score in scores}
    codes = sorted(items)
    return {
        "task": task,
        "protocol": plain(protocol, NAME_LIMIT),
        "split": split and plain(split, NAME_LIMIT),
        "metric": metric,
        "higher": scores[0].higher_is_better,
        "digits": usual_digits(max(abs(score.score) for score in scores)),
        "together": registry.task(task).card.parallel,
        "expected": len(registry.task(task).card.languages),
        "groups": registry.task(task).card.groups,
        "languages": codes,
        "items": [items[code] for code in codes],
    }


def _rows(board: int, scores: Sequence[KnownScore], places: Mapping[Who, int]) -> Iterator[list[Any]]:
    """Yields model, board, scores, lower and upper ends, in the order of the board's languages."""
    codes = sorted({score.cell.language for score in scores})
    by_model: dict[int, dict[str, tuple[float | None, ...]]] = defaultdict(dict)
    for score in scores:
        own = by_model[places[score.source, score.model]]
        own[score.cell.language] = score.score, score.low, score.high
    models = sorted(by_model)
    lines = rounded([[by_model[place].get(code, _UNKNOWN) for code in codes] for place in models])
    for place, line in zip(models, lines, strict=True):
        yield [place, board, *zip(*line, strict=True)]


def rounded(values: Sequence[Any], places: int = PLACES) -> list[Any]:
    """Returns numbers for JSON, in the lists that they came in; None for what is unknown or not finite."""
    numbers = np.array(values, dtype=np.float64)  # None is not-a-number
    known = numbers.round(places).astype(object)
    known[~np.isfinite(numbers)] = None
    return list(known.tolist())


def _order(overall: Overall, places: Mapping[Who, int]) -> dict[str, Any]:
    rows = [
        [
            places[who],
            *(round(x, PLACES) for x in (place.win_rate, *place.ci95)),
            *(place.standing.best, place.standing.worst, place.standing.group, place.borda, place.cells),
        ]
        for who, place in zip(overall.models, overall.order.places, strict=True)
        if place is not None
    ]
    return {"cells": overall.order.cells, "drawn": overall.order.drawn, "places": rows}


def _askable(scores: Iterable[KnownScore]) -> list[str]:
    """Returns the languages that somebody may ask for: those of any task with a purpose."""
    tasks = {task for own in PURPOSES.values() for task in own} & set(registry.names("tasks"))
    codes = {code for task in tasks for code in registry.task(task).card.languages}
    codes |= {score.cell.language for score in scores}
    return sorted({languages.standard(part) for code in codes for part in code.split("-")})


def _missing(
    scores: Sequence[KnownScore], purpose: Purpose, asked: Sequence[str], measured: bool
) -> dict[str, Any]:
    """Returns, for languages without a score for a purpose, the nearest that have one, and tasks that have it.

    A pair of languages is a score of both, and of one alone only where the other is English.
    """
    own = {x.cell.language for x in scores if not measured or x.source == MEASURED}
    alone = _alone(own)
    parts = {languages.standard(part) for language in own for part in language.split("-")}
    tasks = {task: _alone(registry.task(task).card.languages) for task in PURPOSES[purpose]}
    return {
        code: [nearest(code, parts), [task for task, has in tasks.items() if code in has]]
        for code in asked
        if code not in alone
    }


def _alone(codes: Iterable[str]) -> set[str]:
    """Returns the languages that some codes of languages or pairs have alone, or beside English."""
    pairs = {frozenset(map(languages.standard, code.split("-"))) for code in codes}
    return {code for pair in pairs for code in pair if pair <= {code, "en"}}
