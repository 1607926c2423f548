"""What a record says, held against itself, its items and its file's name. No model and no data are needed.

`xrete.check.sample` holds it against the model and the data.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import stdev
from typing import Any, Literal

from xrete.errors import RecordError, XreteError
from xrete.evaluation.plan import record_key
from xrete.model import ModelIdentity
from xrete.protocols import PROTOCOLS, Settings, load_protocol
from xrete.record import GroupScore, Interval, LanguageScore, Record, read_content, read_record, record_digest
from xrete.scores import resampling
from xrete.scores.scoring import run_scores, score_items
from xrete.shapes import load_shape
from xrete.shapes.contract import JointShape, PairableShape, Shape
from xrete.shapes.metric import Items, Metric
from xrete.store import Slot, read_items

ROUNDING = 1e-9
"""Numbers computed again on another machine may differ by this, relative to their size."""

FILE_NAME = re.compile(r".+\.[^.]+\.(dir|hub|mini)\.([0-9a-f]{12})\.json")

State = Literal["right", "wrong", "unchecked"]


@dataclass(frozen=True)
class Finding:
    """What one check found.

    Attributes:
        check: Its name.
        state: Whether the record passed, failed, or could not be checked.
        sentence: What is wrong, or why it could not be checked, or what was done.
    """

    check: str
    state: State
    sentence: str = ""


class UncheckedError(Exception):
    """A check cannot be made; the message says why."""


@dataclass(frozen=True)
class Case:
    """A record to verify.

    Attributes:
        path: Its file.
        content: The file's JSON.
        record: What it says.
    """

    path: Path
    content: Mapping[str, Any]
    record: Record

    @cached_property
    def shape(self) -> Shape:
        """The shape that the record names."""
        return load_shape(self.record.shape)

    @cached_property
    def items(self) -> dict[str, Items]:
        """The outcome of every item, by language.

        Raises:
            UncheckedError: there are none, and need not be.
            RecordError: they are missing or not the ones that the record was written with.
        """
        if self.record.items is None and isinstance(self.shape, JointShape):
            raise UncheckedError(f"scores of shape {self.record.shape} are not made of items; run the task again")
        if self.record.items is None and not self.record.languages:
            raise UncheckedError(f"nothing was scored ({self.record.status})")
        return dict(read_items(self.path, self.record))

    @cached_property
    def metrics(self) -> dict[str, Metric]:
        """The metrics that the record holds, the headline one first; what another version dropped is left out."""
        known = self.shape.metrics
        if self.record.metric not in known:
            raise XreteError(f"metric is {self.record.metric!r}, which shape {self.record.shape} does not have")
        held = {name for score in self.record.languages.values() for name in score.variants}
        return {name: known[name] for name in (self.record.metric, *sorted(held)) if name in known}


def identity_of(record: Record) -> ModelIdentity:
    """Returns which model the record says it was."""
    model = record.model
    return ModelIdentity(
        name=model.name,
        revision=model.revision,
        pooling=model.pooling,
        prefix=model.prefix,
        prompts=model.prompts,
        max_length=model.max_length,
        dtype=record.environment.dtype,
    )


def task_of(record: Record) -> tuple[str, ...]:
    """Returns what the key of a record takes of its task."""
    return record.task, record.protocol, record.data.split, record.data.fingerprint, str(record.data.limit)


def settings_of(record: Record) -> Settings:
    """Returns with which settings the record says it was made."""
    return Settings(
        seed=record.environment.seed,
        train_languages=record.key.train_languages if record.key else "all",
        train_split=record.probe.train_split if record.probe else None,
    )


def open_case(path: Path) -> Case | Finding:
    """Reads a record; what cannot be read is a finding."""
    try:
        return Case(path, read_content(path), read_record(path))
    except RecordError as error:
        return Finding("schema", "wrong", str(error))


def verify(case: Case) -> list[Finding]:
    """Makes every check of this module, the schema being right."""
    return [Finding("schema", "right"), *(run_check(name, check, case) for name, check in CHECKS.items())]


def run_check(name: str, check: Callable[[Case], Iterable[str]], case: Case) -> Finding:
    """Makes one check, which yields a sentence for everything that is wrong."""
    try:
        wrong = list(check(case))
    except UncheckedError as reason:
        return Finding(name, "unchecked", str(reason))
    except XreteError as error:
        return Finding(name, "wrong", str(error))
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:  # of items that no scorer made
        kind = type(error).__name__
        return Finding(name, "wrong", f"its parts do not fit each other ({kind}: {error}); run the task again")
    if not wrong:
        return Finding(name, "right")
    more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
    return Finding(name, "wrong", f"{wrong[0]}{more}")


def _digest(case: Case) -> Iterator[str]:
    """The digest is that of the content."""
    recorded = case.record.digest
    if recorded is None:
        raise UncheckedError("it was written before records had a digest")
    computed = record_digest(case.content)
    if recorded != computed:
        digests = f"digest is {recorded[:12]}…, the rest gives {computed[:12]}…"
        yield f"the record was changed after it was written: {digests}"


def _file_name(case: Case) -> Iterator[str]:
    """The file's name, which a digest of model, data and settings is part of, is the one that the content gives.

    Records of probes and of fine-tuning that were written before they had a `key` do not say all that it takes.
    """
    record = case.record
    named = FILE_NAME.fullmatch(case.path.name)
    if not named:
        raise UncheckedError("the file was renamed; only its original name ties model, data and settings together")
    key = named[2]
    alone = record.protocol in PROTOCOLS and load_protocol(record.protocol).SELF_CONTAINED
    if record.key or alone:
        trained = record.key.trained if record.key else ""
        key = record_key(
            identity_of(record), task_of(record), settings_of(record), record.missing_languages, trained
        )
    folder = case.path.parent.parent
    slot = Slot(folder, record.model.name, record.task, record.protocol, record.data.source, key)
    if slot.record_file.name != case.path.name:
        yield (
            f"the file's name is that of another model, other data or other settings than the record's: for "
            f"{record.model.name} as the record has it, it would be {slot.record_file.name}"
        )


def _means(case: Case) -> Iterator[str]:
    """The headline is the mean over all languages, and every group is the mean over its own."""
    record = case.record
    total = record.groups.get("all")
    if total and (record.score, record.ci95) != (total.score, total.ci95):
        yield f"score is {record.score} {_bounds(record.ci95)}, groups.all says {total.score} {_bounds(total.ci95)}"
    for name, group in record.groups.items():
        absent = [language for language in group.languages if language not in record.languages]
        if absent:
            yield f"groups.{name} is taken over {absent[0]}, which is not in languages"
        elif not isinstance(case.shape, JointShape):
            yield from _differences(f"groups.{name}", group, _mean([record.languages[x] for x in group.languages]))


def _items(case: Case) -> Iterator[str]:
    """The items are those that the record was written with, of the languages and as many as it says."""
    record, items = case.record, case.items
    assert record.items is not None  # or there would be no items
    rows = {language: len(next(iter(columns.values()))) for language, columns in items.items()}
    if sum(rows.values()) != record.items.rows:
        yield f"items.rows is {record.items.rows}, {record.items.file} has {sum(rows.values())}"
    if list(items) != list(record.languages):
        other = sorted(items.keys() ^ record.languages.keys()) or list(items)
        yield f"languages and {record.items.file} are not of the same languages, or not in one order: {other[0]}"
    if not isinstance(case.shape, PairableShape):  # whose rows are not the items that it counts
        for language, score in record.languages.items():
            if score.n != rows.get(language, score.n):
                yield f"languages.{language}.n is {score.n}, its items are {rows[language]}"


def _scores(case: Case) -> Iterator[str]:
    """Every metric of every language is what its items give, and so is each run of fine-tuning."""
    for language, columns in case.items.items():
        if language in case.record.languages:
            computed = {name: metric.statistic(columns) for name, metric in case.metrics.items()}
            score = computed.pop(case.record.metric)
            yield from _differences(
                f"languages.{language}", case.record.languages[language], (score, computed), "items"
            )

    if tuning := case.record.fine_tuning:
        computed_runs = run_scores(case.metrics[case.record.metric], case.items)
        recorded = [run.score for run in tuning.runs if run.score is not None]
        spread = stdev(computed_runs) if len(computed_runs) > 1 else None
        if len(recorded) != len(computed_runs) or not all(map(_close, recorded, computed_runs)):
            yield f"fine_tuning.runs have the scores {recorded}, their items give {computed_runs}"
        elif (tuning.spread is None) != (spread is None) or not _close(tuning.spread or 0.0, spread or 0.0):
            yield f"fine_tuning.spread is {tuning.spread}, its items give {spread}"


def _intervals(case: Case) -> Iterator[str]:
    """Every interval is what its items give, by the method and the seed that the record names."""
    record = case.record
    methods = {resampling.STRATIFIED: False, resampling.PARALLEL: True}
    if record.interval.method not in methods:
        raise UncheckedError(f"interval.method is {record.interval.method!r}, which this version does not know")
    if record.interval.resamples != resampling.RESAMPLES:
        yield f"interval.resamples is {record.interval.resamples}, which no version has drawn"
    items = case.items
    groups = {x: group.languages for x, group in record.groups.items() if items.keys() >= set(group.languages)}
    computed = score_items(
        {record.metric: case.metrics[record.metric]},
        record.metric,
        items,
        groups,
        seed=record.interval.seed,
        parallel=methods[record.interval.method],
    )
    recorded: Sequence[Mapping[str, LanguageScore | GroupScore]] = (record.languages, record.groups)
    for where, parts, scores in zip(("languages", "groups"), recorded, computed, strict=True):
        for name, score in scores.items():
            if name in parts and not _close_intervals(parts[name].ci95, score.ci95):
                yield f"{where}.{name}.ci95 is {_bounds(parts[name].ci95)}, its items give {_bounds(score.ci95)}"


CHECKS: Mapping[str, Callable[[Case], Iterable[str]]] = {
    "digest": _digest,
    "file name": _file_name,
    "means": _means,
    "items": _items,
    "scores": _scores,
    "intervals": _intervals,
}


def _mean(languages: Sequence[LanguageScore]) -> tuple[float, dict[str, float]]:
    variants = set[str]().union(*(language.variants for language in languages))
    mean = sum(language.score for language in languages) / len(languages)
    return mean, {
        name: sum(language.variants[name] for language in languages) / len(languages)
        for name in variants
        if all(name in language.variants for language in languages)
    }


def _differences(
    where: str,
    recorded: LanguageScore | GroupScore,
    computed: tuple[float, Mapping[str, float]],
    source: str = "languages",
) -> Iterator[str]:
    score, variants = computed
    if not _close(recorded.score, score):
        yield f"{where}.score is {recorded.score}, its {source} give {score}"
    for name, value in recorded.variants.items():
        if name in variants and not _close(value, variants[name]):
            yield f"{where}.variants.{name} is {value}, its {source} give {variants[name]}"


def _close(recorded: float, computed: float) -> bool:
    return math.isclose(recorded, computed, rel_tol=ROUNDING, abs_tol=ROUNDING)


def _close_intervals(recorded: Interval | None, computed: Interval | None) -> bool:
    if computed is None:  # of one item, to which records of the first release gave an interval
        return True
    return recorded is not None and all(map(_close, recorded, computed))


def _bounds(interval: Interval | None) -> str:
    return "without interval" if interval is None else f"[{interval[0]:.6g}, {interval[1]:.6g}]"
