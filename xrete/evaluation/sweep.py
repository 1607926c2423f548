"""A sweep: every model on every task under every protocol. Each of these cells is one job, and one record."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from xrete.errors import XreteError, unknown_name
from xrete.protocols import load_protocol

if TYPE_CHECKING:
    from xrete.dataset import Dataset
    from xrete.registry import ModelRequest
    from xrete.task import TaskCard


@dataclass(frozen=True)
class Cell:
    """One model on one task under one protocol, as the user names them.

    Attributes:
        model: The model.
        task: The task.
        protocol: The protocol; None takes the task's first one for such a model.
    """

    model: str
    task: str
    protocol: str | None

    @property
    def title(self) -> str:
        """What users see of it."""
        return " · ".join(filter(None, (self.model, self.task, self.protocol)))


Cells = Mapping[Cell, tuple["ModelRequest", "Dataset"]]
"""Cells that can be tried, with model and data."""


@dataclass(frozen=True)
class Failure:
    """A cell without a complete record, and why."""

    cell: Cell
    error: XreteError

    def to_json(self) -> str:
        """Returns one line: `status` ("failed"), `model`, `task`, `protocol` and `error`."""
        return json.dumps({"status": "failed", **asdict(self.cell), "error": str(self.error)}, ensure_ascii=False)


@dataclass
class Sweep:
    """The cells of a sweep.

    Attributes:
        cells: What can be tried, with model and data; tasks of a model follow each other.
        failures: Cells whose model or data cannot be had.
        left_out: Combinations that do not exist, a sentence each.
    """

    cells: dict[Cell, tuple[ModelRequest, Dataset]] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


def check_protocols(asked: Sequence[str], cards: Sequence[TaskCard]) -> None:
    """Makes sure that each protocol is one of some task.

    Raises:
        UsageError: a protocol is none of any.
    """
    known = {name for card in cards for name in card.protocols}
    for name in asked:
        if name not in known:
            names = ", ".join(card.name for card in cards)
            raise unknown_name(f"protocol of {names}", name, known, "run 'xrete tasks'")


def plan_sweep(
    models: Mapping[str, ModelRequest | XreteError],
    cards: Sequence[TaskCard],
    datasets: Mapping[str, Dataset | XreteError],
    protocols: Sequence[str],
) -> Sweep:
    """Decides the cells: each task is scored under every named protocol that it has and that fits the model.

    Where no cell fits, all are kept, and each will fail with its sentence.

    Args:
        models: The models, or why they cannot be had.
        cards: Of the tasks.
        datasets: Their data, or why it cannot be had; not needed where no model can be had.
        protocols: What was named; empty takes each task's first one for such a model.
    """
    sweep = Sweep()
    misfits: dict[Cell, tuple[ModelRequest, Dataset]] = {}
    left_out: dict[str, None] = {}
    for model, request in models.items():
        for card in cards:
            for protocol in protocols or (None,):
                cell = Cell(model, card.name, protocol)
                if protocol and protocol not in card.protocols:
                    has = ", ".join(card.protocols)
                    left_out[f"{card.name} has no protocol '{protocol}'; it has {has}"] = None
                elif isinstance(request, XreteError):
                    sweep.failures.append(Failure(cell, request))
                elif isinstance(data := datasets[card.name], XreteError):
                    sweep.failures.append(Failure(cell, data))
                elif protocol and request.identity.kind != load_protocol(protocol).KIND:
                    misfits[cell] = request, data
                else:
                    sweep.cells[cell] = request, data
    if sweep.cells or sweep.failures:
        left_out.update((f"{cell.title}: the protocol is not for such a model", None) for cell in misfits)
    else:
        sweep.cells = misfits
    sweep.left_out = list(left_out)
    return sweep
