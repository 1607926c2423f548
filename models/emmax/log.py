"""What people see of a run: a live view or plain lines, JSON lines for programs, trackers, scores and warnings."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

import xrete
from xrete.errors import XreteError
from xrete.files import parse_json, write_text
from xrete.training.team import Team

from .alarms import Alarms
from .config import Config
from .corpora import Progress as Preparation
from .folders import LOG, PHASES
from .folders import Progress as RunProgress
from .guard import Look
from .scoring import Scores

if TYPE_CHECKING:
    from .step import Step

PEAK_FLOPS = {"H200": 989e12, "H100": 989e12, "A100": 312e12, "L40S": 362e12, "L4": 121e12, "RTX 4090": 165e12}
"""Dense bfloat16 operations a second, as the makers' sheets say, by a part of the device's name."""
PATIENCE = 10.0
"""Seconds for which nothing need be said while corpora are prepared."""
TITLES = {
    "mlm": "phase 0: masked language model",
    "encoder": "phase 1a: encoder",
    "classifier": "phase 1b: classifier",
    "em": "phase 2: EM",
}
KEYS = ("loss_encoder", "loss_classifier", "loss_mlm", "retrieved", "accuracy", "agreement")
"""What the terminal shows of a step."""


class Watch:
    """The log of a run.

    Attributes:
        scores: Scores of held-out retrieval so far: phase, step, and for each task its groups.
        corpora: What was read, kept and dropped of each corpus, for the card.
        overlap: Test sentences found in the corpora, for the card; None where nobody looked.
        console: The terminal.
        alarms: What it warns of.
    """

    def __init__(self, config: Config, team: Team, folder: Path, console: Console) -> None:
        """Opens the log and the trackers.

        Raises:
            XreteError: a tracker's package is not installed.
        """
        self.scores: list[dict[str, Any]] = []
        self.corpora: dict[str, Any] = {}
        self.overlap: dict[str, Any] | None = None
        self._config = config
        self._team = team
        self._file = folder / LOG
        self.console = console
        self.alarms = Alarms()
        self._trackers = [_tracker(name, folder, config) for name in config.watch.trackers] if team.leads else []
        self._live: tuple[Live, Progress] | None = None
        self._steps = self._first = 0
        self._sentences = self._tokens = 0
        self._since = self._began = time.perf_counter()

    def preparing(self, progress: Preparation) -> None:
        """Says how far the corpora are, every `PATIENCE` seconds."""
        if time.perf_counter() - self._since < PATIENCE:
            return
        self._since = time.perf_counter()
        self.tell(
            f"preparing {progress.corpus} ({progress.number:,} of {progress.total:,}): {progress.read:,} rows "
            f"read, {progress.kept:,} kept, {progress.rate:,.0f} rows/s"
        )

    def tell(self, text: str) -> None:
        """Says what takes its time before the first step."""
        self._say(text)

    def begin(self, phase: str, first: int, steps: int) -> None:
        """Shows a phase from now on, of which `first` of its `steps` are done."""
        self.close()
        self._first, self._steps, self._began = first, steps, time.perf_counter()
        self._reset()
        if not self.console.is_terminal:
            self._say(f"{TITLES[phase]}: {steps - first:,} steps")
        elif self._team.leads:
            columns = (TextColumn("{task.description}"), BarColumn(bar_width=None), MofNCompleteColumn())
            bar = Progress(*columns, TextColumn("{task.fields[rate]}"), TimeRemainingColumn())
            bar.add_task(TITLES[phase], total=steps, completed=first, rate="")
            self._live = (Live(bar, console=self.console, transient=True), bar)
            self._live[0].start()

    def close(self) -> None:
        """Gives the terminal back."""
        if self._live:
            self._live[0].stop()
        self._live = None

    def is_due(self, step: Step) -> bool:
        """Whether a step will be logged; the first of phase 2 is, since it shows what that starts from."""
        done = step.number + 1
        starts = step.phase == "em" and done == 1
        return starts or done % self._config.watch.log_every == 0 or done == self._steps

    def count(self, step: Step) -> None:
        """Counts a step's work towards the rate."""
        self._sentences += len(step.share.batch.texts)
        self._tokens += step.share.tokens * self._team.size

    def log(self, step: Step, parameters: int) -> None:
        """Writes a step's metrics, with the rate since the last.

        Args:
            step: The step.
            parameters: Of the transformer without its embeddings, for the share of the device's peak.
        """
        if not self._team.leads:
            return
        seconds = max(1e-9, time.perf_counter() - self._since)
        rate, tokens = self._sentences / seconds, self._tokens / seconds
        done = step.number + 1
        left = (self._steps - done) * (time.perf_counter() - self._began) / (done - self._first)
        values = {
            key: value.item() if isinstance(value, torch.Tensor) else value for key, value in step.metrics.items()
        }
        values |= {"sentences_per_second": rate, "tokens_per_second": tokens, "seconds_left": left}
        if peak := _peak(self._team):
            values["mfu"] = operations(self._config, step.phase) * parameters * tokens / (peak * self._team.size)
        self._write({"event": "step", "phase": step.phase, "step": done, **values})
        for tracker in self._trackers:
            tracker(
                {f"{step.phase}/{key}": value for key, value in values.items() if isinstance(value, float)}, done
            )
        self._show(step.phase, done, values)
        if "agreement" in values:
            for text in self.alarms.look(step.number, values):
                self.warn(f"step {done:,}: {text}")
        self._reset()

    def add_look(self, phase: str, step: int, look: Look) -> None:
        """Writes what the guard of phase 2 saw."""
        if self._team.leads:
            self._write({"event": "guard", "phase": phase, "step": step, **asdict(look)})

    def add_score(self, phase: str, step: int, scores: Scores) -> bool:
        """Adds scores of held-out retrieval, and says whether they are the best so far.

        Args:
            phase: Where the run is.
            step: And how far.
            scores: Of each task; those of "all" decide.
        """
        tasks = scores.groups
        score = _overall(tasks)
        entry = {"phase": phase, "step": step, "tasks": tasks, "score": score}
        best = all(score > old["score"] for old in self.scores if old["phase"] in PHASES)  # not that of the start
        self.scores.append(entry)
        if self._team.leads:
            self._write({"event": "score", **entry, "languages": scores.languages, "members": scores.members})
            for tracker in self._trackers:
                tracker(
                    {
                        f"score/{name}/{group}": value
                        for name, groups in tasks.items()
                        for group, value in groups.items()
                    },
                    step,
                )
            shown = "; ".join(
                f"{name} " + ", ".join(f"{group} {value:.1f}" for group, value in groups.items())
                for name, groups in tasks.items()
            )
            self._say(f"{phase} {step:,}  {shown}{self._mark(score) if best else ''}")
        if phase == "em":
            for text in self.alarms.score(score):
                self.warn(text)
        return best

    def _mark(self, score: float) -> str:
        """Returns what is said of the best checkpoint: training may have made the encoder worse than it was."""
        start = max((entry["score"] for entry in self.scores if entry["phase"] not in PHASES), default=score)
        return "  (best)" if score >= start else f"  (best checkpoint; the start had {start:.1f})"

    def is_stale(self) -> bool:
        """Whether phase 2 has had no better score for as long as the config has patience."""
        patience = self._config.watch.patience
        values = [entry["score"] for entry in self.scores if entry["phase"] == "em"]
        return bool(patience) and len(values) > patience and max(values[-patience:]) <= max(values[:-patience])

    def warn(self, text: str) -> None:
        """Says something that should not be overlooked, and writes it into the log."""
        if self._team.leads:
            self._write({"event": "warning", "text": text})
            self.console.print(f"[yellow]warning:[/yellow] {escape(text)}", highlight=False, soft_wrap=True)

    def rewind(self, progress: RunProgress, scores: list[dict[str, Any]]) -> None:
        """Forgets what was logged after the checkpoint that the run goes on from; without one, everything."""
        self.scores = scores
        if not self._team.leads or not self._file.is_file():
            return
        if not progress.step:
            self._file.unlink()
            return
        kept = list(takewhile(lambda entry: _is_done(entry, progress), _entries(self._file)))
        write_text(self._file, "".join(map(_line, kept)))
        for entry in kept:  # what was said already is not said again
            if "agreement" in entry:
                self.alarms.look(entry["step"] - 1, entry)
            if entry["event"] == "score" and entry["phase"] == "em":
                self.alarms.score(entry["score"])
        self._say(f"going on after {progress.phase} {progress.step:,}")

    def card(self, source: str, progress: RunProgress) -> dict[str, Any]:
        """What the encoder's folder says about how it was trained.

        Args:
            source: What the run started from.
            progress: How far it is.
        """
        return {
            "xrete": xrete.__version__,
            "start": source,
            "phase": progress.phase,
            "step": progress.step,
            "config": self._config.model_dump(mode="json"),
            "corpora": self.corpora,
            "overlap": self.overlap,
            "scores": self.scores,
        }

    def _show(self, phase: str, done: int, values: dict[str, Any]) -> None:
        rate = f"{values['sentences_per_second']:,.0f} sentences/s, {values['tokens_per_second']:,.0f} tokens/s"
        if "mfu" in values:
            rate += f", {values['mfu']:.0%} MFU"
        shown = {key: values[key] for key in KEYS if key in values}
        if self._live:
            live, bar = self._live
            bar.update(bar.task_ids[0], completed=done, rate=rate)
            live.update(Group(bar, _table(shown, values)))
        else:
            text = "  ".join(f"{key} {value:.4g}" for key, value in shown.items())
            self._say(
                f"{phase} {done:,} of {self._steps:,}  {text}  {rate}  {values['seconds_left'] / 60:,.1f} min left"
            )

    def _write(self, entry: dict[str, Any]) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with self._file.open("a", encoding="utf-8") as file:
            file.write(_line(entry))

    def _say(self, text: str) -> None:
        if self._team.leads:
            self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def _reset(self) -> None:
        self._sentences = self._tokens = 0
        self._since = time.perf_counter()


def operations(config: Config, phase: str) -> int:
    """Returns how many operations a token takes in a step, for each parameter of the transformer.

    A forward pass takes 2 and a backward pass 4. Vectors need both and a forward pass for the keys, in phase 1b one
    forward pass alone; masked language modelling has a forward and a backward pass of its own.
    """
    vectors = {"mlm": 0, "classifier": 2}.get(phase, 8)
    hidden = phase == "mlm" or (config.mlm.weight > 0 and phase != "classifier")
    return vectors + (6 if hidden else 0)


def _line(entry: dict[str, Any]) -> str:
    return json.dumps(entry, ensure_ascii=False) + "\n"


def _entries(file: Path) -> Iterator[dict[str, Any]]:
    """Yields the lines of a log but for one that was being written when the run was killed."""
    for line in file.read_text("utf-8").splitlines():
        with suppress(ValueError):
            yield parse_json(line)


def _is_done(entry: dict[str, Any], progress: RunProgress) -> bool:
    """Whether a line of the log is of a step that is done."""
    if entry.get("phase") not in PHASES:
        return True
    return (PHASES.index(entry["phase"]), entry["step"]) <= (PHASES.index(progress.phase), progress.step)


def _overall(tasks: dict[str, dict[str, float]]) -> float:
    values = [groups["all"] for groups in tasks.values() if "all" in groups]
    return sum(values) / len(values) if values else 0.0


def _table(shown: dict[str, float], values: dict[str, Any]) -> RenderableType:
    """The losses, and in phase 2 a row for each rank."""
    losses = Table.grid(padding=(0, 2))
    losses.add_row(*(f"[bold]{key}[/bold] {value:.4g}" for key, value in shown.items()))
    if "ranks_encoder" not in values:
        return losses
    ranks = Table("rank", "classifier", "encoder", "mean cosine", "typical s", box=None, padding=(0, 2))
    columns = (values["ranks_classifier"], values["ranks_encoder"], values["cosine"], values["typical"])
    for rank, (theirs, ours, cosine, typical) in enumerate(zip(*columns, strict=True), start=1):
        ranks.add_row(
            str(rank), f"{theirs:.2%}", f"{ours:.2%}", "-" if cosine is None else f"{cosine:.3f}", f"{typical:.3f}"
        )
    return Group(losses, ranks)


def _peak(team: Team) -> float | None:
    if team.device.type != "cuda":
        return None
    name = torch.cuda.get_device_name(team.device)
    return next((flops for part, flops in PEAK_FLOPS.items() if part in name), None)


def _tracker(name: str, folder: Path, config: Config) -> Any:
    """Returns a function of metrics and a step.

    Raises:
        XreteError: the package is not installed.
    """
    try:
        if name == "tensorboard":
            from torch.utils.tensorboard import SummaryWriter

            writer = SummaryWriter(str(folder / "tensorboard"))

            def write(values: dict[str, float], step: int) -> None:
                for key, value in values.items():
                    writer.add_scalar(key, value, step)

            return write
        import trackio
    except ImportError as error:
        raise XreteError(f"watch.trackers: {name} needs a package: pip install 'xrete[{name}]'") from error
    trackio.init(project="xrete", name=folder.name, config=config.model_dump(mode="json"))
    return lambda values, step: trackio.log(values, step=step)
