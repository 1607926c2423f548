"""The status of the paper's numbers: each published one beside the closest that was measured here."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from xrete import registry
from xrete.published.paper import PaperCell, obstacles
from xrete.reporting.leaderboard import NOT_RUN, NOT_SCORED, Measure, Row, Status, TableCell, Verdict
from xrete.reporting.paper.numbers import Paper

ROUNDING = 1e-9
WORDS: dict[Status, str] = {
    "reproduced": "reproduced",
    "differs": "differ",
    "not reproducible": "cannot be reproduced",
    "not comparable": "measured over other languages or on another split",
    "not measured": "not measured here",
}

_Rivals = Mapping[tuple[str, Measure], Sequence[TableCell]]


def judged(rows: Sequence[Row], paper: Paper) -> tuple[Row, ...]:
    """Fills in the verdicts of the published numbers; their reasons become notes.

    A published number is reproduced where it lies within the 95 % interval of the one measured here, up to the
    rounding of its last printed place. Only numbers over all languages of the benchmark's split are compared; of
    several models the closest counts.
    """
    rivals = defaultdict(list)
    for cell in (cell for row in rows for cell in row.cells):
        if cell.subject.origin == "measured" and cell.subject.published:
            rivals[cell.subject.published, cell.measure].append(cell)
    lines = (tuple(_with_verdict(cell, paper, rivals) for cell in row.cells) for row in rows)
    return tuple(replace(row, cells=cells) for row, cells in zip(rows, lines, strict=True))


def summary(cells: Sequence[TableCell]) -> Iterator[str]:
    """Counts the verdicts and explains their signs."""
    counts = Counter(cell.verdict.status for cell in cells if cell.verdict)
    if not counts:
        return
    parts = (f"{counts[status]} {words}" for status, words in WORDS.items() if counts[status])
    total = counts.total()
    yield f"Of {total} published number{'s' if total > 1 else ''}: {', '.join(parts)}."
    if counts["reproduced"]:
        yield (
            "≈ reproduced: the published number lies within the 95 % interval of ours, up to its rounding; "
            "the difference is ours less the published one."
        )
    if any(cell.verdict and cell.verdict.difference is not None and sign(cell.verdict) == "≠" for cell in cells):
        yield "≠ differs: ours less the published number."


def sign(verdict: Verdict) -> str:
    """Returns the sign of a verdict that has a difference."""
    return "≈" if verdict.status == "reproduced" else "≠"


def _with_verdict(cell: TableCell, paper: Paper, rivals: _Rivals) -> TableCell:
    published = paper.published(cell)
    if published is None or cell.value is None:
        return cell
    verdict = _verdict(published, rivals.get((published.model, cell.measure), ()))
    return replace(cell, verdict=verdict, notes=(*cell.notes, *verdict.reasons))


def _verdict(published: PaperCell, ours: Sequence[TableCell]) -> Verdict:
    whole = [cell for cell in ours if cell.evidence and _what_sets_apart(cell) is None]
    known = tuple(f"cannot be reproduced: {reason}" for reason in obstacles(published))
    if whole:
        equal = [cell for cell in whole if _is_within(cell, published)]
        closest = min(equal or whole, key=lambda cell: abs(_difference(cell, published)))
        status: Status = "reproduced" if equal else "not reproducible" if known else "differs"
        return Verdict(
            status=status,
            difference=_difference(closest, published),
            ours=closest.subject.label,
            reasons=() if equal else known,
        )
    if known:
        return Verdict(status="not reproducible", reasons=known)
    if part := next((cell for cell in ours if cell.evidence), None):
        reason = f"not compared: {part.subject.label} is {_what_sets_apart(part)}"
        return Verdict(status="not comparable", ours=part.subject.label, reasons=(reason,))
    return Verdict(status="not measured", reasons=(_how_to_measure(published, ours),))


def _difference(cell: TableCell, published: PaperCell) -> float:
    return (cell.value or 0.0) - published.value


def _is_within(cell: TableCell, published: PaperCell) -> bool:
    value = cell.value or 0.0
    low, high = cell.ci95 or (value, value)
    slack = published.half_unit + ROUNDING
    return low - slack <= published.value <= high + slack


def _what_sets_apart(cell: TableCell) -> str | None:
    """Says why a measured number is no measurement of the published one: both must be over the whole task."""
    assert cell.evidence is not None
    evidence, task = cell.evidence, cell.measure.task
    if evidence.is_partial:
        missing = " ".join(evidence.missing)
        return f"over {len(evidence.languages)} of {evidence.expected} languages; missing: {missing}"
    if task in registry.names("tasks") and evidence.split != (scored := registry.task(task).card.splits[0]):
        return f"on split {evidence.split}; the benchmark's is {scored}"
    return None


def _how_to_measure(published: PaperCell, ours: Sequence[TableCell]) -> str:
    reasons = [cell.reason for cell in ours if cell.reason not in (None, NOT_RUN, NOT_SCORED)]
    if reasons:
        return f"not measured here: {reasons[0]}"
    command = f"xrete run --model {published.model} --task {published.task} --protocol {published.protocol}"
    return f"not measured here: {command} --data hub"
