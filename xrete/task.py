"""The contract of a task: a card that says what it is, and ways to read its rows.

A task adapter is a plain object; nothing needs to be inherited. It turns the rows of its source into the data
type of its shape (`xrete.shapes`) and does nothing else: scoring, protocols and reports belong to the shape.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

from xrete.prompts import Prompt
from xrete.sources import Folder, Hub, HubData, Mini

Counts = int | tuple[int, ...] | Mapping[str, int | tuple[int, ...]]


Objective = Literal["classes", "labels", "choices", "score", "cosine", "cosent", "softmax", "in-batch"]
"""What is trained, as recipes and users write it.

Both texts are read together, and a head gives a score for each class, for each label apart ("labels"), for each
alternative ("choices"), or one number ("score"). Or each text is read alone, and what is trained is the cosine of
the two, the order of the cosines of a batch ("cosent"), a head on both vectors ("softmax"), or the cosines of all
first with all second texts of a batch ("in-batch"). `xrete.training.finetune.objectives` has a row for each.
"""


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
        evaluate_every: Steps between evaluations on held-out data; 0: once an epoch.
        patience: Evaluations without a new best after which the stage ends; 0: never.
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


Recipe = tuple[Stage, ...]


@dataclass(frozen=True, kw_only=True)
class TaskCard:
    """What a task is, as far as it can be said without reading its data.

    Attributes:
        name: The name users type.
        title: One line for lists.
        shape: The name of its shape, a key of `xrete.shapes.SHAPES`.
        category: The benchmark's category: inference, similarity, retrieval, classification or geometry.
        metric: The headline metric, one of the shape's.
        languages: Every language (or language pair) code of the task, in the task's own spelling.
        splits: Names of the splits that can be scored, the preferred one first. Without `--split` the first
            one that the source holds is taken.
        counts: Items expected in each language, by split: one number for all languages or one for each; a
            tuple where several published versions differ. A source that holds another number is an error.
        training: Names of the splits that are trained on and never scored.
        aliases: Other codes that a language goes by, to the card's own.
        unscored: Languages whose files are read with the others' and that have no score of their own.
        groups: Named sets of languages that get a mean of their own, beside "all".
        protocols: Names of the protocols that make sense, the default one first.
        prompt: How a chat model is asked, where the protocols have "prompt".
        recipes: How a model is fine-tuned, where the protocols have "fine-tune", by name; the default one first.
        licence: The data's licence.
        citation: Where the task comes from.
        english: English data of the same kind, which a probe is trained on with `--train-languages en` where the
            task itself has none in English.
        editions: Splits that are other test data than the first one, so that tables show them as a task of their
            own (NAME-SPLIT).
        hub: Its repository on the hub, or None where there is none that can be read without running code.
        layout: Where its upstream files lie below the data folder, for error messages and lists.
        higher_is_better: False for errors such as MAE.
        parallel: Row i of every language is the same item in translation, so that items are resampled for all
            languages together: what is hard in one is hard in the others, and a macro mean is less certain.
        max_length: Most tokens that an encoder reads of a text, which its own limit may undercut; None leaves it
            to the encoder.
        mteb_type: MTEB's type of such a task, by which models choose what they put before texts; None where MTEB
            has no such type.
        notes: Known problems of the data and how they are handled.
    """

    name: str
    title: str
    shape: str
    category: str
    metric: str
    languages: tuple[str, ...]
    splits: tuple[str, ...]
    counts: Mapping[str, Counts]
    licence: str
    citation: str
    layout: str
    training: tuple[str, ...] = ()
    aliases: Mapping[str, str] = field(default_factory=dict)
    unscored: tuple[str, ...] = ()
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    protocols: tuple[str, ...] = ("zero-shot",)
    prompt: Prompt | None = None
    recipes: Mapping[str, Recipe] = field(default_factory=dict)
    english: Task | None = field(default=None, repr=False)
    editions: tuple[str, ...] = ()
    hub: HubData | None = None
    higher_is_better: bool = True
    parallel: bool = False
    max_length: int | None = None
    mteb_type: str | None = None
    notes: tuple[str, ...] = ()

    def expected(self, language: str, split: str) -> tuple[int, ...]:
        """Returns the item counts that are right for `language` in `split`; empty where the card says none."""
        counts = self.counts.get(split, ())
        if isinstance(counts, Mapping):
            counts = counts.get(language, ())
        return (counts,) if isinstance(counts, int) else tuple(counts)


@runtime_checkable
class Task(Protocol):
    """A task adapter: what every one has."""

    @property
    def card(self) -> TaskCard:
        """What the task is."""
        ...

    def files(self, language: str, split: str) -> Sequence[str]:
        """Returns the paths, below the data folder, that hold `language` in `split`.

        A language is available when all of them exist; when only some do, the folder is damaged.
        """
        ...

    def from_folder(self, folder: Folder, language: str, split: str) -> Any:
        """Reads one language from upstream files and returns the shape's data."""
        ...


@runtime_checkable
class TaskFamily(Protocol):
    """Tasks that are too many to list: FAMILY:MEMBER names one of them, as in "mteb:STS17"."""

    @property
    def title(self) -> str:
        """One line for lists: which tasks these are."""
        ...

    def task(self, member: str) -> Task:
        """Returns one of them.

        Raises:
            UsageError: there is none of that name.
            XreteError: what it is made from is not available; the sentence says what to do.
        """
        ...


@runtime_checkable
class LayoutsTask(Task, Protocol):
    """A task whose upstream files are published, or prepared by others, in more than one layout."""

    def layouts(self, language: str, split: str) -> Sequence[Sequence[str]]:
        """Returns the paths of each layout; the first one is preferred, and is what `files` returns."""
        ...


def layouts(task: Task, language: str, split: str) -> Sequence[Sequence[str]]:
    """Returns the paths of each layout that the task reads."""
    return task.layouts(language, split) if isinstance(task, LayoutsTask) else [task.files(language, split)]


@runtime_checkable
class HubTask(Task, Protocol):
    """A task whose card names a hub repository."""

    def from_hub(self, hub: Hub, language: str, split: str) -> Any:
        """Reads one language from the card's hub repository and returns the shape's data."""
        ...


@runtime_checkable
class MiniTask(Task, Protocol):
    """A task with an embedded sample."""

    def from_mini(self, mini: Mini, language: str, split: str) -> Any:
        """Reads one language from the sample's split "test" or "train" and returns the shape's data.

        None where the sample does not have it.
        """
        ...
