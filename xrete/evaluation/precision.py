"""Which precision a cell is scored in where the user leaves that open (`--dtype auto`).

It is bfloat16 where the device has products for it, and where the headline score on the task's mini sample stays
what it is in float32. Both scores are kept in the cache folder: they are taken once for a model, a task and a kind
of machine.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from xrete.dataset import open_dataset
from xrete.devices import machine_kind
from xrete.errors import XreteError
from xrete.evaluation.plan import Plan, RunOptions, choose_protocol
from xrete.files import cache_root, digest, parse_json, write_text
from xrete.model import UNVERSIONED, UnopenedModel
from xrete.protocols import load_protocol

if TYPE_CHECKING:
    from xrete.dataset import Dataset
    from xrete.task import TaskCard

POINTS = 0.1
"""Most that the scores may differ, of shares and correlations from 0 to 100."""
SHARE = 0.001
"""Most that errors may differ, whose unit is their own: 0.1 % of that in float32."""

Measure = Callable[[UnopenedModel, "Dataset", RunOptions], float]
"""Returns the headline score of a model on data."""


@dataclass(frozen=True)
class Choice:
    """What was chosen.

    Attributes:
        fast: Whether it is bfloat16.
        reason: Why, to follow "since".
    """

    fast: bool
    reason: str


def choose(
    exact: UnopenedModel,
    fast: UnopenedModel,
    dataset: Dataset,
    options: RunOptions,
    device: str,
    measure: Measure | None,
) -> Choice:
    """Chooses the precision of a cell.

    Args:
        exact: The model in float32.
        fast: The model in bfloat16.
        dataset: The data of the cell.
        options: How the cell is run.
        device: Where the model runs.
        measure: Takes the scores that are not kept yet; None takes none.

    Raises:
        XreteError: the task has no such protocol, or the model fails in float32.
    """
    card = dataset.card
    protocol = choose_protocol(exact.identity, card, options.protocol)
    if load_protocol(protocol).UNIT == "steps":
        return Choice(False, "only frozen encoders are compared; --dtype bfloat16 trains in that")
    try:
        sample = open_dataset(dataset.task, "mini")
    except XreteError:
        return Choice(False, f"{card.name} has no mini sample to compare precisions on")
    trial = RunOptions(protocol=protocol, use_cache=options.use_cache, cache_limit_bytes=options.cache_limit_bytes)
    keys = [Plan.make(side.identity, sample, trial).key for side in (exact, fast)]
    path = cache_root() / "precision" / f"{digest([*keys, machine_kind(device)])[:32]}.json"
    keeps = options.use_cache and exact.identity.revision != UNVERSIONED
    scores = _kept(path) if keeps else None
    if scores is None:
        if measure is None:
            return Choice(False, "bfloat16 was not compared with it yet")
        in_float32 = measure(exact, sample, trial)
        try:
            scores = in_float32, measure(fast, sample, trial)
        except XreteError as error:
            return Choice(False, f"bfloat16 fails: {error}")
        if keeps:
            with contextlib.suppress(XreteError):  # a cache that cannot be written costs time, not the run
                write_text(path, json.dumps(scores))
    return Choice(
        _agree(card, *scores), f"its mini sample scores {scores[0]:.4g} in float32 and {scores[1]:.4g} in bfloat16"
    )


def _agree(card: TaskCard, exact: float, fast: float) -> bool:
    allowed = POINTS if card.higher_is_better else SHARE * abs(exact)
    return abs(exact - fast) <= allowed


def _kept(path: Path) -> tuple[float, float] | None:
    try:
        exact, fast = map(float, parse_json(path.read_bytes()))
    except (OSError, TypeError, ValueError):  # none, or a damaged one
        return None
    return exact, fast
