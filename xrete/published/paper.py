"""The paper's numbers as its tables print them, why some cannot be measured again, and as one source of several."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from importlib.resources import files as package_files
from typing import Any

from xrete import registry
from xrete.published.numbers import Publication, PublishedNumber, expected
from xrete.scores.analytic import KINDS

SOURCE = "paper"
NUMBERS = (1, 2, 3, 4, 5, 6, 10, 11, 12, 14, 15, 16, 17, 18, 19)
"""Its tables that hold results."""


@dataclass(frozen=True, kw_only=True)
class PaperCell:
    """A number of the paper, as `results/paper/README.md` explains it."""

    table: int
    row: str
    model: str
    origin: str
    protocol: str
    task: str
    metric: str
    language: str | None
    group: str | None
    printed: str
    value: float
    note: str | None = None

    @property
    def half_unit(self) -> float:
        """Half a unit of the last printed place, in XRETE's unit: how far rounding may have moved the number."""
        places = len(self.printed.partition(".")[2])
        scale = self.value / float(self.printed) if float(self.printed) else 1.0
        return 0.5 * 10.0**-places * scale


@cache
def paper_cells(table: int) -> tuple[PaperCell, ...]:
    """Reads one of the paper's tables."""
    content = json.loads(_file(f"table-{table:02}.json"))
    return tuple(PaperCell(table=table, **cell) for cell in content["cells"])


def obstacles(cell: PaperCell) -> tuple[str, ...]:
    """Returns why a number cannot be measured again; empty where nothing is known to stand before it."""
    fields = asdict(cell)
    return tuple(text for wanted, text in known_obstacles() if all(fields[key] in wanted[key] for key in wanted))


@cache
def known_obstacles() -> tuple[tuple[Mapping[str, Sequence[Any]], str], ...]:
    """Returns why numbers cannot be measured again: which values of a `PaperCell`'s fields each reason is about."""
    known = []
    for obstacle in tomllib.loads(_file("obstacles.toml"))["obstacle"]:
        reason = obstacle.pop("reason")
        known.append(({key: x if isinstance(x, list) else [x] for key, x in obstacle.items()}, reason))
    return tuple(known)


def _file(name: str) -> str:
    return (package_files("xrete.results") / "paper" / name).read_text("utf-8")


def publication() -> Publication:
    """Returns its numbers as those of any other source, each once.

    A model's revision is whose it is: "literature", "reimplementation", "original" or "prompt".
    """
    numbers = dict.fromkeys(_number(cell) for table in NUMBERS for cell in paper_cells(table))
    return Publication(
        source=SOURCE, version="arXiv 2310.17233", licence="", command="", numbers=tuple(numbers), facts={}
    )


def _number(cell: PaperCell) -> PublishedNumber:
    split = registry.task(cell.task).card.splits[0]
    return PublishedNumber(
        source=SOURCE,
        model=cell.model,
        revision=cell.origin,
        task=cell.task,
        protocol=cell.protocol,
        metric=cell.metric,
        language=cell.language,
        group=None if cell.language else cell.group or "all",
        value=cell.value,
        n=expected(cell.task, cell.language, split) if cell.language and cell.metric in KINDS else None,
        split=split,
        data_revision=None,
        evaluator=None,
    )
