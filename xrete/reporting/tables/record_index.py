"""Looks numbers up in records: which record speaks for a model, what it says, or why nothing does."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from xrete.record import GroupScore, Interval, LanguageScore, ModelPart, Record
from xrete.reporting.ablation import Setting, published_name
from xrete.reporting.collect import Entry
from xrete.reporting.leaderboard import ALL, NOT_RUN, NOT_SCORED, Evidence, Measure, Subject, TableCell
from xrete.reporting.tuning import Tuned, variant

SHORT_REVISION = 8
GEOMETRY = {"kl": False, "ch": True, "pr": True}
"""Which of the three metrics of EMMA-X, Table 4, are better when they are higher."""


@dataclass(frozen=True)
class _Score:
    value: float
    ci95: Interval | None
    languages: tuple[str, ...]
    missing: tuple[str, ...]


class RecordIndex:
    """Records by model, task and protocol.

    Attributes:
        subjects: The models, by name and revision, which is printed where a name has several. What was fine-tuned
            in another way than usual is a model of its own.
        tasks: The tasks that have a record.
        groups: The groups of languages that some record has a mean of, all first, and the tasks that have it.
    """

    def __init__(self, entries: Sequence[Entry]) -> None:
        self._entries: dict[tuple[Subject, str], dict[str, list[Entry]]] = defaultdict(lambda: defaultdict(list))
        self._ranked: dict[tuple[Subject, str, str, str], list[Entry]] = {}
        self._subjects = _subjects(entry.record for entry in entries)
        self.groups = {ALL: {entry.record.task for entry in entries}}
        for entry in entries:
            for name in entry.record.groups:
                self.groups.setdefault(name, set()).add(entry.record.task)
        self._shapes = {entry.record.task: entry.record.shape for entry in entries}
        self._models = {self.subject(entry.record): entry.record.model for entry in entries}
        for entry in entries:
            subject = self.subject(entry.record)
            self._entries[subject, entry.record.task][entry.record.protocol].append(entry)
        self.subjects = sorted({key[0] for key in self._entries}, key=lambda x: (x.label.casefold(), x.label))
        self.tasks = self.groups[ALL]

    def subject(self, record: Record) -> Subject:
        """Returns whose record it is."""
        return self._subjects[_identity(record)]

    def protocols(self, subject: Subject, task: str) -> tuple[set[str], set[str]]:
        """Returns the protocols with a usable record of a model on a task, and those with any."""
        by_protocol = self._entries.get((subject, task), {})
        return {name for name, rows in by_protocol.items() if any(map(_is_usable, rows))}, set(by_protocol)

    def model(self, subject: Subject) -> ModelPart:
        """Returns what the records say of a model."""
        return self._models[subject]

    def shape(self, task: str) -> str:
        """Returns the shape of a task."""
        return self._shapes[task]

    def metrics(self, task: str, protocol: str, asked: str | None) -> list[str]:
        """Returns the asked metric if a record holds it.

        Without one, the headline metrics: one, unless the task has changed its metric.
        """
        records = [x.record for subject in self.subjects for x in self.candidates(subject, task, protocol)]
        if asked is not None:
            return [asked] if any(asked in known_metrics(record) for record in records) else []
        return sorted({record.metric for record in records})

    def candidates(self, subject: Subject, task: str, protocol: str) -> list[Entry]:
        """Returns all records of a model on a task under a protocol."""
        return self._entries.get((subject, task), {}).get(protocol, [])

    def ranked(self, subject: Subject, measure: Measure) -> list[Entry]:
        """Returns the complete, unlimited records that hold the metric.

        The first one speaks for the model: it has the most languages, of those the most runs of fine-tuning, and is
        the newest of those.
        """
        key = (subject, measure.task, measure.protocol, measure.metric)
        if key not in self._ranked:
            entries = self.candidates(subject, measure.task, measure.protocol)
            usable = [x for x in entries if _is_usable(x) and measure.metric in known_metrics(x.record)]
            self._ranked[key] = sorted(usable, key=_precedence, reverse=True)
        return self._ranked[key]

    def cell(self, subject: Subject, measure: Measure) -> TableCell:
        """Returns the number, or the reason why there is none."""
        ranked = self.ranked(subject, measure)
        if not ranked:
            entries = self.candidates(subject, measure.task, measure.protocol)
            return TableCell(subject=subject, measure=measure, reason=_why_missing(entries, measure.metric))
        entry = ranked[0]
        score = _score(entry.record, measure)
        if score is None:
            reason = NOT_SCORED if measure.language else f"no language of group {measure.group} scored"
            return TableCell(subject=subject, measure=measure, reason=reason)
        if not math.isfinite(score.value):
            return TableCell(subject=subject, measure=measure, reason="its record holds no finite number")
        tuned = Tuned.of(entry.record)
        return TableCell(
            subject=subject,
            measure=measure,
            value=score.value,
            ci95=score.ci95 if score.ci95 and all(map(math.isfinite, score.ci95)) else None,
            higher_is_better=direction(entry.record, measure.metric),
            evidence=_evidence(entry, score, measure, tuned),
            notes=(tuned.sentence,) if tuned else (),
        )


def known_metrics(record: Record) -> set[str]:
    """Returns the metrics that a record holds: the headline and the variants."""
    return {record.metric}.union(*(group.variants for group in record.groups.values()))


def direction(record: Record, metric: str) -> bool | None:
    """Returns whether higher is better; None where nobody says it.

    A record gives the direction of its headline metric only. "accuracy_en2xx" is an "accuracy" and shares it;
    of a variant that is named otherwise (an error beside an accuracy) nothing is known, but for geometry.
    """
    if record.shape == "geometry" and metric in GEOMETRY:
        return GEOMETRY[metric]
    is_known = metric == record.metric or metric.startswith(f"{record.metric}_")
    return record.higher_is_better if is_known else None


def _precedence(entry: Entry) -> tuple[int, int, str, str]:
    record = entry.record
    runs = len(record.fine_tuning.runs) if record.fine_tuning else 1
    return len(record.languages), runs, record.created, entry.file


def _is_usable(entry: Entry) -> bool:
    return entry.record.status == "complete" and entry.record.data.limit is None


def _why_missing(entries: Sequence[Entry], metric: str) -> str:
    if not entries:
        return NOT_RUN
    unfinished = [entry for entry in entries if entry.record.status != "complete"]
    record = max(unfinished or entries, key=lambda entry: entry.record.created).record
    if record.status != "complete":
        if record.status == "failed":
            return f"failed: {record.error or 'its record does not say why'}"
        return f"unfinished: {record.error}" if record.error else "unfinished"
    if all(entry.record.data.limit is not None for entry in entries):
        return f"only with --limit {record.data.limit}"
    return f"its record holds no {metric}"


def _score(record: Record, measure: Measure) -> _Score | None:
    part: LanguageScore | GroupScore | None
    languages: tuple[str, ...]
    missing: tuple[str, ...]
    if measure.language is not None:
        part = record.languages.get(measure.language)
        languages, missing = (measure.language,), ()
    else:
        part = group = record.groups.get(measure.group or ALL)
        languages, missing = (group.languages, group.missing) if group else ((), ())
    if part is None:
        return None
    is_headline = measure.metric == record.metric
    interval = part.ci95 if is_headline else None
    value = part.score if is_headline else part.variants.get(measure.metric)
    return None if value is None else _Score(value, interval, tuple(sorted(languages)), tuple(sorted(missing)))


def _evidence(entry: Entry, score: _Score, measure: Measure, tuned: Tuned | None) -> Evidence:
    record = entry.record
    if tuned and (measure.group != ALL or measure.metric != record.metric):  # a record has the spread of its score
        tuned = replace(tuned, spread=None)
    return Evidence(
        record=entry.file,
        split=record.data.split,
        source=record.data.source,
        revision=record.data.revision,
        fingerprint=record.data.fingerprint,
        languages=score.languages,
        missing=score.missing,
        n=sum(record.languages[code].n for code in score.languages if code in record.languages),
        tuned=tuned,
    )


_Identity = tuple[str, str, str]
"""Name and revision of a model, and what sets its fine-tuning apart."""


def _identity(record: Record) -> _Identity:
    return record.model.name, record.model.revision, variant(record)


def _subjects(records: Iterable[Record]) -> Mapping[_Identity, Subject]:
    parts = {_identity(record): record.model for record in records}
    labels = _labels(parts)
    return {
        key: Subject(
            model=model.name,
            revision=model.revision,
            label=labels[key],
            origin="measured",
            # The paper names one way to fine-tune: all weights, on all languages.
            published=None if key[2] else published_name(model),
            setting=Setting.of(model),
            variant=key[2],
        )
        for key, model in parts.items()
    }


def _labels(models: Collection[_Identity]) -> Mapping[_Identity, str]:
    revisions: dict[str, set[str]] = defaultdict(set)
    for name, revision, _ in models:
        revisions[name].add(revision)
    shown = {name: _shown_revisions(known) for name, known in revisions.items()}
    labels = {}
    for name, revision, tuned in models:
        additions = ", ".join(filter(None, (shown[name][revision], tuned)))
        labels[name, revision, tuned] = f"{name} ({additions})" if additions else name
    return labels


def _shown_revisions(known: Collection[str]) -> Mapping[str, str]:
    """Returns what is shown of each revision of a model: none of a lone one, its beginning where that will do."""
    if len(known) == 1:
        return dict.fromkeys(known, "")
    is_short_enough = len({revision[:SHORT_REVISION] for revision in known}) == len(known)
    return {revision: revision[:SHORT_REVISION] if is_short_enough else revision for revision in known}
