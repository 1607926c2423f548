"""A user's changes to a recipe of fine-tuning, and how a recipe is described in records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any, get_args

from xrete.errors import UsageError, unknown_name
from xrete.task import Objective, Recipe, Stage, TaskCard

_SETTABLE = {
    item.name: item.type for item in fields(Stage) if item.name not in ("name", "task")
}  # types as written: annotations are strings here
_LOWEST = {"epochs": 0, "rate": 0, "batch": 1, "max_length": 8, "max_length_second": 0, "dropout": 0, "warmup": 0}
_WORDS: dict[str, tuple[str, ...]] = {
    "objective": get_args(Objective), "decay": ("linear", "none"), "head": ("dense", "linear"),
    **{name: ("true", "false") for name, type_ in _SETTABLE.items() if type_ == "bool"},
}  # fmt: skip


def choose(card: TaskCard, name: str | None, changes: Sequence[str]) -> Recipe:
    """Returns a task's recipe with a user's changes; the first one where no name is given.

    Args:
        card: The task's.
        name: One of its recipes, or None.
        changes: "KEY=VALUE" for every stage, or "STAGE.KEY=VALUE".

    Raises:
        UsageError: there is no such recipe, stage or setting, or the value is none for it.
    """
    if name is not None and name not in card.recipes:
        raise unknown_name(f"recipe of {card.name}", name, card.recipes, ", ".join(card.recipes))
    recipe = card.recipes[name or next(iter(card.recipes))]
    for change in changes:
        recipe = _changed(recipe, change)
    for stage in recipe:
        _check_split(stage)
    kept = tuple(stage for stage in recipe if stage.epochs)
    if not kept:
        raise UsageError(f"every stage of {card.name} has 0 epochs; leave one in")
    return kept


def _check_split(stage: Stage) -> None:
    """Holds the name of a split against those that there are.

    Raises:
        UsageError: there is none of that name, or the stage has no data of its own.
    """
    if stage.task is None:
        if stage.split != "train":
            raise UsageError(f"--set {stage.name}.split={stage.split}: use --train-split {stage.split}")
        return
    known = (*stage.task.card.training, *stage.task.card.splits)
    if stage.split not in known:
        raise unknown_name(f"split of {stage.task.card.name}", stage.split, known, ", ".join(known))


def described(stage: Stage) -> dict[str, Any]:
    """Returns a stage's settings, for records."""
    left_out = ("task",) if stage.task else ("task", "split")
    named = {item.name: getattr(stage, item.name) for item in fields(stage) if item.name not in left_out}
    return named | {"data": stage.task.card.name} if stage.task else named


def _changed(recipe: Recipe, change: str) -> Recipe:
    path, equals, value = change.partition("=")
    stage, _, key = path.strip().rpartition(".")
    names = [known.name for known in recipe]
    if not equals:
        raise UsageError(f"--set {change!r}: write KEY=VALUE or STAGE.KEY=VALUE, as in epochs=3")
    if stage and stage not in names:
        raise unknown_name("stage", stage, names, ", ".join(names))
    if key not in _SETTABLE:
        raise unknown_name("setting", key, _SETTABLE, ", ".join(_SETTABLE))
    settings: Mapping[str, Any] = {key: _read(key, value.strip())}
    return tuple(replace(x, **settings) if stage in ("", x.name) else x for x in recipe)


def _read(key: str, value: str) -> Any:
    """Reads the value of a setting.

    Raises:
        UsageError: it is none.
    """
    if words := _WORDS.get(key):
        if value not in words:
            raise UsageError(f"--set {key}={value}: use one of {', '.join(words)}")
        return value == "true" if _SETTABLE[key] == "bool" else value
    if _SETTABLE[key] == "str":
        return value
    try:
        number = int(value) if _SETTABLE[key] == "int" else float(value)
    except ValueError:
        raise UsageError(f"--set {key}={value}: not a number") from None
    if not _LOWEST.get(key, 0) <= number < float("inf"):
        raise UsageError(f"--set {key}={value}: use a number of at least {_LOWEST.get(key, 0)}")
    return number
