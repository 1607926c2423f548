"""MTEB's results: which of its tasks are the same here, and what its result files say.

Its tasks are not installed for this: names, subsets and metrics are those of its result files.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from typing import NamedTuple

from xrete import registry
from xrete.published.numbers import ModelFacts, Publication, PublishedNumber, expected

SOURCE = "mteb"
LICENCE = "CC0-1.0"
WHOLE = 0.01
"""A share times its number of sentences may be this far from a count: sources round to six places."""


class Result(NamedTuple):
    """One split and subset of a result file."""

    model: str
    revision: str | None
    evaluator: str | None
    task: str
    data_revision: str | None
    split: str
    subset: str
    metrics: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class SameTask:
    """A task of MTEB whose numbers are those of a task here.

    Attributes:
        task: The task here.
        metrics: Metrics here to the names that MTEB's versions gave them.
        language: The language here of a subset; None where it is none of the task's.
        others: What the other subsets are.
        lowest: The lowest value of a metric; the highest is 1.
    """

    task: str
    metrics: Mapping[str, tuple[str, ...]]
    language: Callable[[str], str | None]
    others: str
    lowest: float = 0.0


def _tatoeba(subset: str) -> str | None:
    language, _, english = subset.partition("-")
    return language if english == "eng" and language in registry.task("tatoeba").card.languages else None


def _flores(subset: str) -> str | None:
    card = registry.task("flores").card
    language, _, english = subset.partition("-")
    language = card.aliases.get(language, language)
    return language if english == "eng_Latn" and language in card.languages else None


def _multists(subset: str) -> str | None:
    pair = sorted(subset.split("-"))
    return next((x for x in registry.task("multists").card.languages if sorted(x.split("-")) == pair), None)


def _correlation(name: str) -> tuple[str, ...]:
    return f"cosine_{name}", f"cos_sim_{name}", f"cos_sim.{name}"


SAME = {
    "Tatoeba": SameTask(
        task="tatoeba", metrics={"accuracy": ("accuracy",)}, language=_tatoeba, others="not among the 112 languages"
    ),
    "FloresBitextMining": SameTask(
        task="flores", metrics={"accuracy": ("accuracy",)}, language=_flores, others="the task here is to English"
    ),
    "STS17": SameTask(
        task="multists",
        metrics={name: _correlation(name) for name in ("spearman", "pearson")},
        language=_multists,
        others="no part of MultiSTS",
        lowest=-1.0,
    ),
}

_GOLD_ONLY = "it ranks the gold pairs only; here pairs are mined from whole corpora"
_FEW_EXAMPLES = "it trains on a few texts of each label; here a probe or the whole model is trained"
_THRESHOLD = "it sorts pairs by cosine at the best threshold; here a probe or the whole model is trained"
NOT_THE_SAME = {
    "BUCC": _GOLD_ONLY,
    "BUCC.v2": _GOLD_ONLY,
    "XNLI": _THRESHOLD,
    "XNLIV2": _THRESHOLD,
    "PawsXPairClassification": _THRESHOLD,
    "AmazonReviewsClassification": _FEW_EXAMPLES,
    "MultiEURLEXMultilabelClassification": _FEW_EXAMPLES,
}
"""Tasks of MTEB that look like ones here, and why their numbers are others."""


@dataclass
class Reading:
    """What was read: numbers, and what was left out and why.

    Attributes:
        numbers: The numbers, each once.
        facts: What is said of models, by model and revision.
        left_out: Models by what was left out and why.
        problems: Sentences about files and values that are wrong.
    """

    numbers: dict[tuple[str | None, ...], PublishedNumber] = field(default_factory=dict)
    facts: dict[tuple[str, str | None], ModelFacts] = field(default_factory=dict)
    left_out: dict[tuple[str, str], set[str]] = field(default_factory=lambda: defaultdict(set))
    problems: list[str] = field(default_factory=list)

    def add(self, results: Iterable[Result]) -> None:
        """Takes the numbers of tasks that are the same here; `results` of a model and task follow each other."""
        for (model, revision, task), group in groupby(results, key=lambda x: (x.model, x.revision, x.task)):
            self._add(model, revision, task, list(group))

    def leave_out(self, task: str, model: str) -> None:
        """Notes a result of a task that is not the same here."""
        self.left_out[task, NOT_THE_SAME.get(task, "no such task here")].add(model)

    def publication(self, version: str, command: str) -> Publication:
        """Returns all of it, in order."""
        numbers = sorted(self.numbers.values(), key=lambda x: tuple(map(str, x)))
        models = {number.model for number in numbers}
        facts = {key: self.facts[key] for key in sorted(self.facts, key=str) if key[0] in models}
        return Publication(
            source=SOURCE, version=version, licence=LICENCE, command=command, numbers=tuple(numbers), facts=facts
        )

    def _add(self, model: str, revision: str | None, task: str, results: list[Result]) -> None:
        same = SAME.get(task)
        if same is None:
            self.leave_out(task, model)
            return
        numbers = [number for result in results for number in self._numbers(same, result)]
        wrong = [x for x in numbers if x.metric == "accuracy" and x.n and not _is_count(x.value, x.n)]
        if wrong:
            reason = f"scored on other sentences ({wrong[0].value:.6g} % of {wrong[0].n} is no count)"
            self.left_out[task, reason].add(model)
            return
        self.numbers.update({_identity(number): number for number in numbers})

    def _numbers(self, same: SameTask, result: Result) -> Iterable[PublishedNumber]:
        if result.split not in _splits(same.task):
            self.left_out[result.task, f"split {result.split} is none of the task's"].add(result.model)
            return
        language = same.language(result.subset)
        if language is None:
            self.left_out[f"{result.task} {result.subset}", same.others].add(result.model)
            return
        values = {x: _first(result.metrics, names) for x, names in same.metrics.items()}
        where = f"{result.task} of {result.model}, {result.split}, {result.subset}"
        if all(value is None for value in values.values()):
            self.problems.append(f"{where}: no number for {' or '.join(values)}; left out")
        for metric, value in values.items():
            if value is None:
                continue
            if not (math.isfinite(value) and same.lowest <= value <= 1):
                self.problems.append(f"{where}: {metric} is {value}, not from {same.lowest:g} to 1; left out")
                continue
            yield PublishedNumber(
                source=SOURCE,
                model=result.model,
                revision=result.revision,
                task=same.task,
                protocol="zero-shot",
                metric=metric,
                language=language,
                group=None,
                value=round(100 * value, 9),
                n=expected(same.task, language, result.split),
                split=result.split,
                data_revision=result.data_revision,
                evaluator=result.evaluator,
            )


def describe_left_out(reading: Reading) -> list[str]:
    """Returns a line for each kind of result that was left out, the most frequent first."""
    counts = Counter({key: len(models) for key, models in reading.left_out.items()})
    return [
        f"{task}, {'1 model' if count == 1 else f'{count} models'}: {reason}"
        for (task, reason), count in counts.most_common()
    ]


def _splits(task: str) -> set[str]:
    return {part for split in registry.task(task).card.splits for part in (split, *split.split("+"))}


def _first(metrics: Mapping[str, float], names: Iterable[str]) -> float | None:
    return next((metrics[name] for name in names if name in metrics), None)


def _is_count(value: float, n: int) -> bool:
    count = value * n / 100
    return abs(count - round(count)) <= WHOLE


def _identity(number: PublishedNumber) -> tuple[str | None, ...]:
    return number.model, number.revision, number.task, number.metric, number.language, number.split
