"""Two models side by side: which of their records are compared, and what cannot be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from xrete.errors import UsageError, XreteError, unknown_name
from xrete.published import store
from xrete.published.numbers import UNPAIRED
from xrete.record import read_record
from xrete.reporting.collect import Entry, EntryKind, narrow
from xrete.reporting.leaderboard import ALL, Measure, Subject
from xrete.reporting.tables.record_index import RecordIndex, direction
from xrete.reporting.tables.remarks import TUNED_REMARK
from xrete.reporting.text import plain
from xrete.reporting.tuning import Tuned
from xrete.scores.comparison import Run, TaskDifference, compare_task, corrected_over_tasks


@dataclass(frozen=True)
class NotCompared:
    """A task that one of the models has, and why the two are not compared on it."""

    task: str
    protocol: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two models on every task that both were scored on.

    Attributes:
        first: What the first model is called.
        second: What the second is called.
        tasks: The tasks that both have, with p-values of the means corrected over them.
        missing: The other ones.
        remarks: What was left out otherwise.
    """

    first: str
    second: str
    tasks: tuple[TaskDifference, ...]
    missing: tuple[NotCompared, ...]
    remarks: tuple[str, ...]


def is_file(name: str) -> bool:
    """Returns whether a user means a record file, not a model."""
    return name.endswith(".json")


def entries_of(name: str, entries: Sequence[Entry]) -> list[Entry]:
    """Returns the records that a user means.

    Args:
        name: A record file, the name of a model, or its name and revision as reports print it.
        entries: All records there are.

    Raises:
        RecordError: the file is not a record.
        UsageError: there is no such model, its numbers are only published, or there are several revisions of it or
            ways in which it was fine-tuned.
    """
    if is_file(name):
        return [Entry(name, read_record(Path(name)), Path(name))]
    index = RecordIndex(entries)
    subjects = index.subjects
    matches = [x for x in subjects if x.label == name] or [x for x in subjects if x.model == name]
    if not matches:
        _refuse_published(name)
        known = (plain(x.label) for x in subjects)
        raise unknown_name("model", name, known, "run 'xrete report', or name a record file")
    if len(matches) > 1:
        labels = ", ".join(f"'{plain(x.label)}'" for x in matches)
        raise UsageError(f"'{name}' stands for {len(matches)} models here: name one of {labels}, or a record file")
    return [x for x in entries if index.subject(x.record) == matches[0]]


def _refuse_published(name: str) -> None:
    for publication in store.read_all():
        source = publication.source
        if name.removeprefix(f"{source}: ") in {model for model, _ in publication.facts}:
            raise UsageError(
                f"'{plain(name)}' has numbers of {source} only and cannot be compared by items: {UNPAIRED}; "
                f"'xrete recommend' and 'xrete report --reference {source}' show them"
            )


def build(
    first: Sequence[Entry],
    second: Sequence[Entry],
    *,
    tasks: Sequence[str],
    metric: str | None,
    kind: EntryKind | None,
    two_files: bool = False,
) -> Comparison:
    """Compares two models under the same protocols, or two records, whatever the protocols of these.

    Args:
        first: Records of the one, as `entries_of` returns them.
        second: Records of the other.
        tasks: Only these, or all.
        metric: Another metric than the headline ones.
        kind: Real data or the mini sample; None takes the mini sample only where there is nothing else.
        two_files: The user named one record on each side.

    Raises:
        UsageError: there is no record of a task.
        XreteError: nothing can be compared; the sentence says why.
    """
    narrowed = narrow([*first, *second], kind=kind, tasks=tasks)
    kept = set(map(id, narrowed.entries))
    sides = [
        _Side(RecordIndex([x for x in entries if id(x) in kept]), RecordIndex(entries).subjects[0])
        for entries in (first, second)
    ]
    labels = [side.subject.label for side in sides]
    if labels[0] == labels[1]:
        labels = [f"{label} ({entries[0].file})" for label, entries in zip(labels, (first, second), strict=True)]
    compared: list[TaskDifference] = []
    trained: list[str] = []
    missing: list[NotCompared] = []
    for task, protocols in _cells(narrowed.entries, two_files=two_files):
        try:
            own, other, name = _chosen(sides, labels, task, protocols, metric)
            compared.append(compare_task(_run(own), _run(other), name, direction(own.record, name)))
            trained += _trained(own, other)
        except XreteError as reason:
            missing.append(NotCompared(task, " / ".join(dict.fromkeys(protocols)), str(reason)))
    if not compared:
        told = [f"{missing[0].task}, {missing[0].protocol}: {missing[0].reason}."]
        if len({x.protocol for x in missing if x.task == missing[0].task}) > 1:
            told.append("To compare two protocols, name two record files.")
        reasons = " ".join((*told, *narrowed.remarks))
        raise XreteError(f"{labels[0]} and {labels[1]} cannot be compared. {reasons}")
    return Comparison(
        first=labels[0],
        second=labels[1],
        tasks=tuple(corrected_over_tasks(compared)),
        missing=tuple(missing),
        remarks=(*trained, *([TUNED_REMARK] if trained else ()), *narrowed.remarks),
    )


@dataclass(frozen=True)
class _Side:
    """One model, and its records of one kind of data."""

    index: RecordIndex
    subject: Subject


def _cells(entries: Sequence[Entry], *, two_files: bool) -> list[tuple[str, tuple[str, str]]]:
    """Returns the tasks that are compared, with the protocols of both sides."""
    if two_files and len({x.record.task for x in entries}) == 1 and len(entries) == 2:
        return [(entries[0].record.task, (entries[0].record.protocol, entries[1].record.protocol))]
    return [(task, (name, name)) for task, name in sorted({(x.record.task, x.record.protocol) for x in entries})]


def _chosen(
    sides: Sequence[_Side], labels: Sequence[str], task: str, protocols: tuple[str, str], metric: str | None
) -> tuple[Entry, Entry, str]:
    """Returns the records by which two models are compared on a task, of the same data if any are, and in what."""
    asked = list(zip(sides, labels, protocols, strict=True))
    chosen = metric or next(
        name for side, _, protocol in asked for name in side.index.metrics(task, protocol, None)
    )
    candidates = []
    for side, label, protocol in asked:
        measure = Measure(task=task, protocol=protocol, metric=chosen, group=ALL)
        if reason := side.index.cell(side.subject, measure).reason:
            raise XreteError(f"{label}: {reason}")
        candidates.append(side.index.ranked(side.subject, measure))
    pairs = [(a, b) for a in candidates[0] for b in candidates[1]]
    same = [(a, b) for a, b in pairs if a.record.data.fingerprint == b.record.data.fingerprint]
    return *(same or pairs)[0], chosen


def _trained(*entries: Entry) -> Iterator[str]:
    """Says how models were fine-tuned."""
    for side, entry in zip("AB", entries, strict=True):
        if tuned := Tuned.of(entry.record):
            yield f"{side} on {entry.record.task}: {tuned.sentence}."


def _run(entry: Entry) -> Run:
    assert entry.path is not None  # it was read from a file
    return Run(entry.path, entry.record)
