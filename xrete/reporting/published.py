"""What others than the paper published, as reference rows: their numbers beside ours, and whether ours agree.

A number of a language is as it was published; a mean is taken here, over the languages that a model has. Whether
one of ours reproduces it is asked over the languages of both.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from statistics import fmean

from xrete import registry
from xrete.errors import XreteError
from xrete.model import ModelPlugin, OnHub
from xrete.published.numbers import Publication, PublishedNumber, speaking
from xrete.published.paper import NUMBERS, paper_cells
from xrete.reporting.leaderboard import (
    ALL,
    NO_NUMBER,
    Evidence,
    Measure,
    Row,
    Subject,
    TableCell,
    Verdict,
)
from xrete.scores import analytic
from xrete.task import TaskCard

ROUNDING = 1e-6
Languages = dict[str, PublishedNumber]


def name_elsewhere(model: str) -> str | None:
    """Returns the name by which others' results have a model of ours: its repository on the hub, as a rule.

    Of a copy with other weights it is that of the original.
    """
    plugin = _plugin(model)
    return (plugin.card.published_as if plugin else None) or repository(model)


def repository(model: str) -> str | None:
    """Returns the repository of a model of ours, by which others' results have the same weights."""
    name, _, checkpoint = model.partition(":")
    if name == "st":
        return checkpoint or None
    plugin = _plugin(model)
    return plugin.repo if isinstance(plugin, OnHub) else None


def _plugin(model: str) -> ModelPlugin | None:
    """Returns the plugin of a model that is named without a checkpoint, where it loads here."""
    if model not in registry.names("models"):
        return None
    try:
        return registry.model(model)
    except XreteError:
        return None


class Published:
    """What one source published, looked up like measured records.

    Attributes:
        source: Its short name.
        subjects: Its models, those first that were measured here too or are in the paper.
        beside: Those that were measured here too.
    """

    def __init__(
        self,
        publications: Sequence[Publication],
        *,
        measured: Iterable[Subject],
        models: Collection[str] = (),
        tasks: Collection[str] = (),
        protocols: Collection[str] = (),
        metric: str | None = None,
    ) -> None:
        """Gathers the numbers.

        Args:
            publications: Of one source; of a number that several have, the last one's counts.
            measured: The models that were measured here.
            models: Only these, by their names here or there; all where none is named.
            tasks: The same of tasks.
            protocols: The same of protocols.
            metric: In place of the headline metrics.
        """
        self.source = publications[0].source
        self._version = publications[-1].version
        self.elsewhere = {subject: name_elsewhere(subject.model) for subject in measured if not subject.variant}
        known = {own: subject for subject, own in self.elsewhere.items() if own}
        self._numbers: dict[tuple[str, str, str, str], Languages] = defaultdict(dict)
        for number in speaking(publications):
            here = known.get(number.model)
            if (
                (not models or number.model in models or (here is not None and here.model in models))
                and (not tasks or number.task in tasks)
                and (not protocols or number.protocol in protocols)
                and number.metric == (metric or _card(number.task).metric)
            ):
                key = (number.model, number.task, number.protocol, number.metric)
                self._numbers[key][number.language or ALL] = number
        names = dict.fromkeys(key[0] for key in self._numbers)
        first = _in_the_paper() | known.keys()
        ordered = sorted(names, key=lambda name: (name not in known, name not in first, name.casefold()))
        self.subjects = [self._subject(name) for name in ordered]
        self.beside = [subject for subject in self.subjects if subject.model in known]

    def _subject(self, name: str) -> Subject:
        return Subject(model=name, revision=None, label=f"{self.source}: {name}", origin="mteb", published=name)

    @property
    def pairs(self) -> Iterable[tuple[str, str]]:
        """The tasks and protocols that it has numbers of."""
        return dict.fromkeys((task, protocol) for _, task, protocol, _ in self._numbers)

    def metrics(self, task: str, protocol: str) -> Iterable[str]:
        """Returns the metrics of a column."""
        return dict.fromkeys(key[3] for key in self._numbers if key[1:3] == (task, protocol))

    def measures(self, subject: Subject) -> Iterator[Measure]:
        """Yields what a model has numbers of, without language or group."""
        keys = (key for key in self._numbers if key[0] == subject.model)
        return (Measure(task=task, protocol=protocol, metric=metric) for _, task, protocol, metric in keys)

    def languages(self) -> set[str]:
        """Returns every language that it has numbers of."""
        return {language for own in self._numbers.values() for language in own}

    def cell(self, subject: Subject, measure: Measure) -> TableCell:
        """Returns the number of a language, the mean of a group, or that there is none."""
        own = self._numbers.get((subject.model, measure.task, measure.protocol, measure.metric), {})
        wanted = [measure.language] if measure.language else _members(measure)
        scored = [own[language] for language in wanted if language in own]
        if not scored:
            return TableCell(subject=subject, measure=measure, reason=NO_NUMBER)
        value, interval = mean(scored)
        return TableCell(
            subject=subject,
            measure=measure,
            value=value,
            ci95=interval,
            higher_is_better=_card(measure.task).higher_is_better,
            evidence=_evidence(scored, wanted),
        )

    def judged(self, rows: Sequence[Row]) -> tuple[Row, ...]:
        """Fills in whether our own numbers reproduce those of the same models, over the languages of both."""
        ours = {
            (name, cell.measure): cell
            for row in rows
            for cell in row.cells
            if (name := self.elsewhere.get(cell.subject)) and cell.evidence
        }
        papers = {
            (name_elsewhere(cell.subject.published), cell.measure): cell
            for row in rows
            for cell in row.cells
            if cell.printed and cell.subject.published
        }
        lines = (tuple(self._with_verdict(cell, ours, papers) for cell in row.cells) for row in rows)
        return tuple(replace(row, cells=cells) for row, cells in zip(rows, lines, strict=True))

    def _with_verdict(
        self,
        cell: TableCell,
        ours: Mapping[tuple[str, Measure], TableCell],
        papers: Mapping[tuple[str | None, Measure], TableCell],
    ) -> TableCell:
        if cell.subject.origin != self.source or cell.value is None:
            return cell
        key = cell.subject.model, cell.measure
        if paper := papers.get(key):
            cell = replace(cell, notes=(*cell.notes, f"the paper has {paper.printed} for this model"))
        if (own := ours.get(key)) is None or own.evidence is None:
            return cell
        verdict = self._verdict(cell, own, own.evidence)
        return replace(cell, verdict=verdict, notes=(*cell.notes, *verdict.reasons))

    def _verdict(self, cell: TableCell, ours: TableCell, evidence: Evidence) -> Verdict:
        measure, label = cell.measure, ours.subject.label
        own = self._numbers[cell.subject.model, measure.task, measure.protocol, measure.metric]
        missing = [language for language in evidence.languages if language not in own]
        split = next(iter(own.values())).split
        if missing or split != evidence.split or ours.value is None:
            apart = f"on split {evidence.split}" if split != evidence.split else f"also over {' '.join(missing)}"
            return Verdict(status="not comparable", ours=label, reasons=(f"not compared: {label} is {apart}",))
        value, _ = mean([own[language] for language in evidence.languages])
        low, high = ours.ci95 or (ours.value, ours.value)
        is_within = low - ROUNDING <= value <= high + ROUNDING
        reasons: tuple[str, ...] = ()
        if cell.evidence and evidence.languages != cell.evidence.languages:
            reasons = (
                f"on the {len(evidence.languages)} languages of {label}, {self.source} has "
                f"{value:.1f}, and {label} {ours.value:.1f}",
            )
        return Verdict(
            status="reproduced" if is_within else "differs",
            difference=ours.value - value,
            ours=label,
            reasons=reasons,
        )

    def remarks(self, cells: Sequence[TableCell]) -> Iterator[str]:
        """Says whose numbers the rows are, and how many of ours reproduce them."""
        own = [cell for cell in cells if cell.subject.origin == self.source and cell.value is not None]
        if not own:
            yield f"{self.source} has no number for what this table shows."
            return
        version = f" (version {self._version})" if self._version else ""
        yield (
            f'"{self.source}: …": numbers that {self.source} publishes{version}, not measured with XRETE; '
            "means over languages are taken here; they are never marked best."
        )
        compared = [cell.verdict for cell in own if cell.verdict and cell.verdict.difference is not None]
        if compared:
            reproduced = sum(verdict.status == "reproduced" for verdict in compared)
            yield (
                f"Of {len(compared)} own number{'s' if len(compared) > 1 else ''} beside one of {self.source} for "
                f"the same model, on the same languages: {reproduced} reproduced (≈: it lies within the 95 % "
                f"interval of ours), {len(compared) - reproduced} differ (≠: ours less the published one)."
            )


def mean(numbers: Sequence[PublishedNumber]) -> tuple[float, tuple[float, float] | None]:
    """Returns the mean of numbers of one task, and its 95 % interval where one follows."""
    together = _card(numbers[0].task).parallel
    values = [x.value for x in numbers]
    return fmean(values), analytic.of_mean(values, [x.ci95 for x in numbers], together=together)


@cache
def _card(task: str) -> TaskCard:
    """Returns a task's card; looking it up checks the whole plugin, and there are thousands of cells."""
    return registry.task(task).card


@cache
def _in_the_paper() -> frozenset[str | None]:
    """Returns the names by which others' results have the paper's models; a card for each model asks for them."""
    return frozenset(name_elsewhere(cell.model) for table in NUMBERS for cell in paper_cells(table))


def _members(measure: Measure) -> Sequence[str]:
    card = _card(measure.task)
    return card.languages if measure.group == ALL else card.groups.get(measure.group or ALL, ())


def _evidence(scored: Sequence[PublishedNumber], wanted: Sequence[str]) -> Evidence:
    first = scored[0]
    languages = {x.language for x in scored if x.language}
    return Evidence(
        record=None,
        split=first.split or "",
        source=first.source,
        revision=first.data_revision,
        fingerprint="",
        languages=tuple(sorted(languages)),
        missing=tuple(sorted(set(wanted) - languages)),
        n=sum(x.n or 0 for x in scored),
    )
