"""Pictures of a run, drawn from its log: losses, held-out retrieval, typical similarities, ranks, the ladder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xrete.files import parse_json
from xrete.reporting.pictures import COLOURS, STYLE, save

from .folders import PHASES

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SIZE = (9.0, 6.0)
WIDE = (9.0, 3.6)
NAMES = {"mlm": "0", "encoder": "1a", "classifier": "1b", "em": "2"}
LogEntry = Mapping[str, Any]


def draw(log: Path, folder: Path) -> list[Path]:
    """Draws a run's curves and, where it had a phase 2, its ranks and its ladder; each as SVG and as PNG.

    Args:
        log: The run's log of JSON lines.
        folder: Where the files go.

    Returns:
        The files.

    Raises:
        XreteError: the folder cannot be written.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    entries = [parse_json(line) for line in log.read_text("utf-8").splitlines()]
    steps = [entry for entry in entries if entry["event"] == "step"]
    starts = _starts(steps)
    files: list[Path] = []
    with mpl.rc_context(STYLE):
        figure = Figure(SIZE, layout="constrained")
        losses, scores, typical, agreement = figure.subplots(2, 2).flat
        _lines(losses, "Losses", steps, starts, ("loss_encoder", "loss_classifier", "loss_mlm"))
        losses.set_yscale("log")
        _scores(scores, [entry for entry in entries if entry["event"] == "score"], starts)
        _ranks(typical, steps, starts)
        _lines(agreement, "Agreement", steps, starts, ("agreement", "accuracy", "retrieved"))
        agreement.set_ylim(0, 1.02)
        for axes in (losses, scores, typical, agreement):
            _phases(axes, starts)
        files += save(figure, folder / "curves", "Training", "")
        judged = [entry for entry in steps if "ranks_encoder" in entry]
        if judged:
            figure = Figure(WIDE, layout="constrained")
            for axes, who in zip(figure.subplots(1, 2, sharey=True).flat, ("classifier", "encoder"), strict=True):
                _of_ranks(axes, f"by the {who}", judged, f"ranks_{who}")
                axes.set_yscale("symlog", linthresh=1e-5)  # shares span orders of magnitude
                axes.set_ylim(0, 1)
            files += save(figure, folder / "ranks", "Ranks of all pairs in phase 2", "")
        asked = [entry for entry in judged if "asked_cosine" in entry]  # not where phase 2 is phase 1 continued
        if asked:
            figure = Figure(WIDE, layout="constrained")
            cosines, shares = figure.subplots(1, 2)
            _of_ranks(cosines, "cosine, and at which its term rests (dashed)", asked, "typical", "asked_cosine")
            _of_ranks(shares, "share of the softmax", asked, "share_of_rank")
            shares.set_ylim(0, 1.02)
            files += save(figure, folder / "ladder", "What phase 2 asks of each rank", "")
    return files


def _starts(steps: Sequence[LogEntry]) -> dict[str, int]:
    """Returns how many steps came before each phase, so that all of them follow each other on one axis."""
    starts, total = {}, 0
    for phase in PHASES:
        done = [entry["step"] for entry in steps if entry["phase"] == phase]
        if done:
            starts[phase] = total
            total += max(done)
    return starts


def _place(entry: LogEntry, starts: Mapping[str, int]) -> int:
    return starts.get(entry["phase"], 0) + int(entry["step"])


def _lines(
    axes: Axes, title: str, steps: Sequence[LogEntry], starts: Mapping[str, int], keys: Iterable[str]
) -> None:
    axes.set_title(title)
    for colour, key in zip(COLOURS, keys, strict=False):
        points = [(_place(entry, starts), entry[key]) for entry in steps if entry.get(key)]
        if points:
            axes.plot(*zip(*points, strict=True), color=colour, lw=1.2, label=key.removeprefix("loss_"))
    axes.legend(loc="best", fontsize=8)


def _scores(axes: Axes, scores: Sequence[LogEntry], starts: Mapping[str, int]) -> None:
    """Draws each group of each task."""
    axes.set_title("Held-out retrieval")
    groups = sorted(
        {(task, group) for entry in scores for task, scores_of in entry["tasks"].items() for group in scores_of}
    )
    for colour, (task, group) in zip(COLOURS, groups, strict=False):
        judged = [entry for entry in scores if group in entry["tasks"].get(task, {})]  # tasks may change on the way
        points = [(_place(entry, starts), entry["tasks"][task][group]) for entry in judged]
        axes.plot(*zip(*points, strict=True), color=colour, lw=1.2, marker="o", ms=3, label=f"{task} {group}")
    if groups:
        axes.legend(loc="best", fontsize=8)


def _ranks(axes: Axes, steps: Sequence[LogEntry], starts: Mapping[str, int]) -> None:
    """Draws s_r of every rank."""
    axes.set_title("Typical similarity of each rank")
    judged = [entry for entry in steps if "typical" in entry]
    for rank, values in enumerate(zip(*(entry["typical"] for entry in judged), strict=True)):
        places = [_place(entry, starts) for entry in judged]
        axes.plot(places, values, color=COLOURS[rank % len(COLOURS)], lw=1.2, label=f"rank {rank + 1}")
    if judged:
        axes.legend(loc="best", fontsize=8)


def _phases(axes: Axes, starts: Mapping[str, int]) -> None:
    """Marks where each phase begins."""
    axes.set_xlabel("step")
    for phase, start in starts.items():
        axes.axvline(start, color="#dddddd", lw=0.8, zorder=0)
        axes.annotate(
            f" {NAMES[phase]}",
            (start, 1),
            xycoords=("data", "axes fraction"),
            fontsize=8,
            color="#999999",
            va="top",
        )


def _of_ranks(axes: Axes, title: str, steps: Sequence[LogEntry], key: str, dashed: str | None = None) -> None:
    """Draws a value of each rank, and another one dashed, with gaps where no anchor had a candidate of it."""
    axes.set_title(title)
    axes.set_xlabel("step of phase 2")
    places = [entry["step"] for entry in steps]
    for name, line in ((key, "-"), (dashed, "--")):
        for rank, values in enumerate(zip(*(entry[name] for entry in steps if name), strict=True)):
            label = f"rank {rank + 1}" if name == key else None
            colour = COLOURS[rank % len(COLOURS)]
            axes.plot(places, np.array(values, dtype=np.float64), color=colour, lw=1.2, ls=line, label=label)
    axes.legend(loc="best", fontsize=8)
