"""A published number, what is known of its model, and which of several numbers speaks for a model."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from xrete import registry
from xrete.scores import analytic

UNPAIRED = "its source gives no outcome of each sentence: there is nothing to pair"
"""Why published numbers are in no paired test."""


class PublishedNumber(NamedTuple):
    """One number that somebody else measured and published.

    Attributes:
        source: Who published it: "mteb", "paper".
        model: The model, as the source names it.
        revision: The model's revision, where the source says one.
        task: The task here that it is the same as.
        protocol: The protocol here.
        metric: The metric here.
        language: The language, in the task's spelling; None of a mean.
        group: The group that it is a mean over; None of a language.
        value: The number, in XRETE's unit (shares 0 to 100, correlations times 100).
        n: Sentences or pairs that it rests on; None where nobody says it.
        split: The split that was scored.
        data_revision: The revision of the data.
        evaluator: The version of what measured it.
    """

    source: str
    model: str
    revision: str | None
    task: str
    protocol: str
    metric: str
    language: str | None
    group: str | None
    value: float
    n: int | None
    split: str | None
    data_revision: str | None
    evaluator: str | None

    @property
    def ci95(self) -> tuple[float, float] | None:
        """The 95 % interval, by `xrete.scores.analytic.interval`; None where none follows."""
        return analytic.interval(self.metric, self.value, self.n)


class ModelFacts(NamedTuple):
    """What a source says of a revision of a model; None where it says nothing.

    Attributes:
        model: The model.
        revision: Its revision.
        parameters: Number of weights.
        dimension: Length of its vectors.
        max_tokens: Tokens that it reads.
        licence: Its licence, in the source's spelling.
        open_weights: Whether its weights can be had.
        instructions: Whether it was told what the task is.
        released: ISO date.
        reference: Where it is described.
        languages: Codes of the languages that it is made for, with blanks.
        trained_on: Names of the data sets that it was trained on, as the source names them, with blanks.
    """

    model: str
    revision: str | None
    parameters: int | None = None
    dimension: int | None = None
    max_tokens: int | None = None
    licence: str | None = None
    open_weights: bool | None = None
    instructions: bool | None = None
    released: str | None = None
    reference: str | None = None
    languages: str | None = None
    trained_on: str | None = None


@dataclass(frozen=True, kw_only=True)
class Publication:
    """Everything that one source published.

    Attributes:
        source: Its short name.
        version: Its version, such as a commit; empty where nobody says it.
        licence: The licence of the numbers.
        command: What made it.
        numbers: The numbers.
        facts: What it says of its models, by model and revision.
    """

    source: str
    version: str
    licence: str
    command: str
    numbers: tuple[PublishedNumber, ...]
    facts: Mapping[tuple[str, str | None], ModelFacts] = field(default_factory=dict)


def expected(task: str, language: str, split: str) -> int | None:
    """Returns how many items a language of a task has, where its card says one number."""
    counts = registry.task(task).card.expected(language, split)
    return counts[0] if len(counts) == 1 else None


def speaking(publications: Iterable[Publication]) -> list[PublishedNumber]:
    """Returns the numbers of languages that speak for the models of one source, as `current` chooses them.

    Args:
        publications: Of the source; of a number that several have, the last one's counts.
    """
    numbers = {
        (x.model, x.revision, x.task, x.protocol, x.metric, x.language, x.split): x
        for publication in publications
        for x in publication.numbers
        if x.language
    }
    return current(numbers.values())


def current(numbers: Iterable[PublishedNumber]) -> list[PublishedNumber]:
    """Keeps, for each model on each task, the revision and split that speak for it.

    They are those with the most numbers; of these the ones that the newest evaluator measured. Means over groups
    stay with their languages.
    """
    by_model: dict[tuple[str, ...], dict[tuple[str, str], list[PublishedNumber]]]
    by_model = defaultdict(lambda: defaultdict(list))
    for number in numbers:
        key = (number.source, number.model, number.task, number.protocol)
        by_model[key][number.revision or "", number.split or ""].append(number)
    return [number for versions in by_model.values() for number in max(versions.values(), key=_precedence)]


def _precedence(numbers: list[PublishedNumber]) -> tuple[int, tuple[int, ...], str]:
    newest = max(_release(evaluator) for evaluator in {number.evaluator for number in numbers})
    return len(numbers), newest, numbers[0].revision or ""


def _release(version: str | None) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", version or "")))
