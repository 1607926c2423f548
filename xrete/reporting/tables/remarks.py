"""Sentences below a table that say what stands in it and what does not."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from xrete.reporting.leaderboard import TableCell
from xrete.reporting.paper import verdicts
from xrete.reporting.paper.numbers import Paper
from xrete.reporting.tables.record_index import RecordIndex

MINI_TITLE = "MINI SAMPLE"
MINI_REMARK = (
    "Measured on the small sample that ships with XRETE: it shows that everything works and says nothing about the "
    "real tasks."
)
TUNED_REMARK = (
    "Intervals, ranks and p-values of fine-tuned models are over items: "
    "they leave out how much another training seed changes."
)
PROTOCOLS = {
    "fine-tune": "the whole model is trained on the task",
    "probe": "a linear head on frozen embeddings is trained",
    "zero-shot": "nothing is trained",
    "prompt": "a chat model is asked",
}


def splits(cells: Sequence[TableCell]) -> Iterator[str]:
    """Names the splits that were scored."""
    tasks: dict[str, list[str]] = defaultdict(list)
    for cell in cells:
        if cell.evidence and cell.measure.task not in tasks[cell.evidence.split]:
            tasks[cell.evidence.split].append(cell.measure.task)
    parts = [f"{split} ({', '.join(names)})" for split, names in tasks.items()]
    if parts:
        yield f"Splits: {', '.join(parts)}." if len(parts) > 1 else f"Split: {next(iter(tasks))}."


def several(cells: Sequence[TableCell], index: RecordIndex) -> Iterator[str]:
    """Names the models that have more than one complete record of a task."""
    counts: dict[str, int] = {}
    for cell in cells:
        count = len(index.ranked(cell.subject, cell.measure))
        if cell.value is not None and count > 1:
            counts[f"{cell.subject.label} on {cell.measure.task}, {cell.measure.protocol}"] = count
    if counts:
        parts = (f"{count} of {what}" for what, count in counts.items())
        runs = "then most runs, " if any(cell.evidence and cell.evidence.tuned for cell in cells) else ""
        yield f"Several records: {'; '.join(parts)}. Shown is the one with most languages, {runs}then the newest."


def tuned(cells: Sequence[TableCell]) -> Iterator[str]:
    """Says what is not in the intervals and ranks of models that were fine-tuned."""
    if any(cell.evidence and cell.evidence.tuned for cell in cells):
        yield TUNED_REMARK


def intervals(cells: Sequence[TableCell], index: RecordIndex) -> Iterator[str]:
    """Says how the intervals were made."""
    own = (cell for cell in cells if cell.ci95 and cell.subject.origin == "measured")
    methods = sorted({index.ranked(cell.subject, cell.measure)[0].record.interval.method for cell in own})
    if any(cell.ci95 for cell in cells if cell.subject.origin != "measured"):
        methods.append("of published numbers, from their size and the number of sentences")
    if methods:
        yield f"± is half the width of the 95 % interval ({'; '.join(methods)})."


def unknown_directions(cells: Sequence[TableCell]) -> Iterator[str]:
    """Names the metrics of which nobody says what is better."""
    unknown = {cell.measure.metric for cell in cells if cell.evidence and cell.higher_is_better is None}
    if unknown:
        yield f"Nothing is marked best by {', '.join(sorted(unknown))}: the records do not say which way is better."


def unequal_columns(cells: Sequence[TableCell]) -> Iterator[str]:
    """Says that models stand side by side that were scored on different data."""
    own = (cell.evidence for cell in cells if cell.evidence and cell.evidence.record)
    data = {(evidence.split, evidence.fingerprint) for evidence in own}
    if len(data) > 1:
        yield "Models with other languages, another split or other data are not marked against each other."


def no_records(tasks: Sequence[str], index: RecordIndex) -> Iterator[str]:
    """Names the tasks of a view that nobody has scored."""
    if absent := [task for task in tasks if task not in index.tasks]:
        yield f"No records of {', '.join(absent)}."


def reference(cells: Sequence[TableCell], paper: Paper) -> Iterator[str]:
    """Says what the paper's rows are, and where it prints another unit than tables here do."""
    if published := [cell for cell in cells if cell.printed]:
        yield (
            f'"paper: …": numbers published in the EMMA-X paper (Table {paper.table}), not measured with XRETE; '
            "they are never marked best."
        )
        yield from verdicts.summary(published)
        yield from _unlike(cells)
        converted = {cell.measure.task: cell for cell in published if not cell.is_as_printed}
        for task, cell in converted.items():
            yield f"The paper prints {task} in another unit: {cell.printed} is {cell.value} here."
    else:
        yield f"The paper (Table {paper.table}) has no number for what this table shows."


def _unlike(cells: Sequence[TableCell]) -> Iterator[str]:
    """Says which numbers look like published ones and are not."""
    partial = next((cell.evidence for cell in cells if cell.evidence and cell.evidence.is_partial), None)
    if partial:
        coverage = f"({len(partial.languages)}/{partial.expected})"
        yield f"A mean over fewer languages, such as one with {coverage}, cannot be set against a published one."
    known = {cell.measure.protocol for cell in cells if cell.value is not None}
    if len(known & PROTOCOLS.keys()) > 1:
        parts = "; ".join(f"{name}: {words}" for name, words in PROTOCOLS.items() if name in known)
        yield f"Protocols: {parts}. Numbers of different ones cannot be set against each other."
