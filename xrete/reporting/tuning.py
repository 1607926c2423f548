"""What sets fine-tuned records apart: the recipe, its changes, languages, adapters and seeds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from xrete import registry
from xrete.errors import XreteError
from xrete.record import FineTuning, Record
from xrete.training.finetune import overrides

TRAINABLE = "with-training-data"
"""The group of languages that can be trained on, of tasks without training data in some languages."""


@dataclass(frozen=True, kw_only=True)
class Tuned:
    """How a record's model was fine-tuned.

    Attributes:
        recipe: The recipe's name.
        variant: What sets it apart from the usual way (`variant`).
        languages: That were trained on, by their codes; or "all".
        seeds: Of the training runs; the score is the mean over them.
        spread: The standard deviation of the score over them; None of one run, and of other numbers than the score.
    """

    recipe: str
    variant: str
    languages: tuple[str, ...]
    seeds: tuple[int, ...]
    spread: float | None

    @staticmethod
    def of(record: Record) -> Tuned | None:
        """Reads it; None where nothing was fine-tuned."""
        if (tuning := record.fine_tuning) is None:
            return None
        return Tuned(
            recipe=tuning.recipe,
            variant=variant(record),
            languages=tuple(tuning.train_languages.split(",")),
            seeds=tuple(run.seed for run in tuning.runs),
            spread=tuning.spread,
        )

    @property
    def sentence(self) -> str:
        """Says it in words."""
        where = f"{len(self.languages)} languages" if len(self.languages) > 1 else self.languages[0]
        where = "all languages" if where == "all" else where
        seeds = f"seed{'s' if len(self.seeds) > 1 else ''} {', '.join(map(str, self.seeds))}"
        return f"fine-tuned by recipe {self.recipe} on {where}, {seeds}"


def variant(record: Record) -> str:
    """Says what sets a record's fine-tuning apart from the usual one; equal for records that share a row of tables.

    The usual way is the task's first recipe as it stands, for all weights, on its training data in no fewer
    languages than are scored. Seeds set nothing apart.
    """
    return ", ".join(_differences(record, record.fine_tuning)) if record.fine_tuning else ""


def _differences(record: Record, tuning: FineTuning) -> Iterator[str]:
    known = _recipes(record.task)
    if not known or tuning.recipe != next(iter(known)):
        yield f"recipe {tuning.recipe}"
    yield from _changes(known.get(tuning.recipe, {}), {str(stage.get("name")): stage for stage in tuning.stages})
    if tuning.train_split is not None:
        yield f"trained on split {tuning.train_split}"
    if _is_transfer(record, tuning):
        yield f"trained on {tuning.train_languages}"
    if tuning.lora is not None:
        yield f"LoRA {tuning.lora}"


def _is_transfer(record: Record, tuning: FineTuning) -> bool:
    """Returns whether the task's own training data was used, but not that of every language that is scored."""
    if tuning.train_languages == "all" or all("data" in stage for stage in tuning.stages):
        return False
    group = record.groups.get(TRAINABLE)
    return not set(group.languages if group else record.languages) <= set(tuning.train_languages.split(","))


def _changes(usual: Mapping[str, Mapping[str, Any]], stages: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Yields what `--set` changed, as it was written there; what only one of two versions knows is none."""
    for name, settings in usual.items():
        before = f"{name}." if len(usual) > 1 else ""
        if name not in stages and settings["epochs"]:
            yield f"{before}epochs=0"
        for key, value in stages.get(name, {}).items():
            if key in settings and value != settings[key]:
                yield before + setting(key, value)


def setting(key: str, value: Any) -> str:
    """Writes a setting as `--set` takes it."""
    return f"{key}={str(value).lower() if isinstance(value, bool) else value}"


@cache
def _recipes(task: str) -> Mapping[str, Mapping[str, Mapping[str, Any]]]:
    """Returns the settings of the stages of a task's recipes, the usual one first; none if it is not installed."""
    try:
        recipes = registry.task(task).card.recipes
    except XreteError:
        return {}
    return {name: {x.name: overrides.described(x) for x in stages} for name, stages in recipes.items()}
