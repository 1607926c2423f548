"""Recipes of fine-tuning: which data, which loss, how long and how fast, stage by stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Literal, get_args

from xrete.errors import UsageError, unknown_name

if TYPE_CHECKING:
    from xrete.task import Task, TaskCard

Objective = Literal["classes", "labels", "choices", "score", "cosine", "cosent", "softmax", "in-batch"]
"""What is trained.

The transformer reads both texts together, and a head on its first token gives a score for each class
(cross-entropy), for each label apart (binary cross-entropy), for each alternative (cross-entropy over them), or one
number (squared error). Or it reads each text alone, and what is trained is their cosine (squared error), the order
of the cosines of a batch (CoSENT, Huang et al. 2024), a head on [u; v; |u-v|] (cross-entropy; Sentence-BERT), or
the cosines of all first with all second texts of a batch (cross-entropy, the partner is right).
"""
ENCODERS: frozenset[str] = frozenset({"cosine", "cosent", "softmax", "in-batch"})
"""Objectives after which the model is an encoder still; it is scored as such where its task needs no head."""
WHOLE_BATCH: frozenset[str] = frozenset({"cosent", "in-batch"})
"""Objectives that hold the items of a batch against each other, so that it cannot be read in parts."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One training run of a recipe; it starts from the weights of the stage before.

    The head's too, where that stage trained one for the same objective.

    Attributes:
        name: For settings and messages.
        task: Whose training data it is; None: the task's that is scored.
        split: Which split of `task` is trained on; that of the scored task's own data is `--train-split`.
        objective: What is trained.
        epochs: Passes over the data; 0 leaves the stage out.
        one_language: A pass reads each item once, in one of its languages, drawn anew; else in all of them.
        rate: Highest learning rate.
        batch: Items in a step, over all processes. With "in-batch" also the number of candidates.
        warmup: Share of the steps in which the rate rises to the highest.
        decay: Whether it then falls to 0 along a line, or stays.
        max_length: Most tokens read of a text, or of two read together; of second texts read alone, where
            `max_length_second` says nothing else.
        max_length_second: The same for second texts that are read alone.
        head: "dense": dropout, dense, tanh, dropout, linear (RoBERTa's); "linear": dropout, linear.
        dropout: Of the head.
        weight_decay: Of all but biases and layer normalisation.
        clip: Most norm of the gradient.
        select: Keep the weights that did best on held-out data, else the last ones.
        evaluate_every: Steps between looks at held-out data; 0: once an epoch.
        patience: Looks without a new best after which the stage ends; 0: never.
    """

    name: str = "train"
    task: Task | None = field(default=None, repr=False)
    split: str = "train"
    objective: Objective
    epochs: int
    one_language: bool = False
    rate: float
    batch: int
    warmup: float = 0.0
    decay: Literal["linear", "none"] = "linear"
    max_length: int = 128
    max_length_second: int = 0
    head: Literal["dense", "linear"] = "dense"
    dropout: float = 0.1
    weight_decay: float = 0.0
    clip: float = 1.0
    select: bool = True
    evaluate_every: int = 0
    patience: int = 0

    @property
    def trains_encoder(self) -> bool:
        """Whether each text is read alone."""
        return self.objective in ENCODERS


Recipe = tuple[Stage, ...]

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
