"""How `xrete run` goes through the cells of a sweep, here or on Ray, and reports each."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from xrete.cli import output
from xrete.errors import XreteError
from xrete.evaluation import ray
from xrete.evaluation.forecast import Forecast, forecast
from xrete.evaluation.plan import Plan
from xrete.evaluation.precision import choose
from xrete.evaluation.run import headline, score
from xrete.evaluation.sweep import Cell, Cells, Failure, Sweep
from xrete.model import UnopenedModel
from xrete.record import Record

if TYPE_CHECKING:
    from xrete.dataset import Dataset
    from xrete.evaluation.plan import RunOptions
    from xrete.model import LoadedModel
    from xrete.registry import ModelRequest


class Report:
    """Reports each cell as soon as it has ended, and at the end once more what failed.

    Attributes:
        print: Prints a line on standard output.
    """

    def __init__(self, sweep: Sweep, json_: bool) -> None:
        self.print: Callable[[str], None] = typer.echo
        self._json = json_
        self._total = len(sweep.cells) + len(sweep.failures)
        self._failures: list[Failure] = []
        self._advised = False
        for sentence in sweep.left_out:
            typer.echo(f"left out: {sentence}", err=True)
        for failure in sweep.failures:
            self._keep(failure)

    @property
    def shows_plan(self) -> bool:
        """Whether there is more to do than one thing, and somebody who reads what."""
        return self._total > 1 and not self._json

    def done(self, record: Record) -> None:
        """Prints a record, as a line of JSON or as a summary."""
        if self._json:
            self.print(json.dumps(record.model_dump(mode="json", by_alias=True), ensure_ascii=False))
        else:
            self.print(_summary(record))

    @contextmanager
    def attempt(self, cell: Cell) -> Iterator[None]:
        """Has a cell fail with what is raised inside, so that the others go on."""
        try:
            yield
        except XreteError as error:
            self.failed(cell, error)
        except Exception as error:  # a plugin may raise anything
            reason = XreteError(f"{type(error).__name__}: {error}; run again with --debug for the traceback")
            reason.__cause__ = error
            self.failed(cell, reason)

    def failed(self, cell: Cell, error: XreteError) -> None:
        """Says that a cell failed, and why."""
        output.say(error, cell.title)
        self._keep(Failure(cell, error))

    def loader(self, request: ModelRequest) -> Callable[[], LoadedModel]:
        """Returns what loads a model, and says, once, that another precision is faster where it is."""

        def load() -> LoadedModel:
            model = request.load()
            if not (self._advised or request.fast) and _has_slower_products(model):
                self._advised = True
                output.advise_bfloat16()
            return model

        return load

    def end(self) -> None:
        """Lists what failed.

        Raises:
            Exit: something failed.
        """
        if not self._failures:
            return
        if self.shows_plan:
            typer.echo(f"failed: {len(self._failures)} of {self._total}", err=True)
            for failure in self._failures:
                typer.echo(f"  {failure.cell.title}: {failure.error}", err=True)
        raise typer.Exit(max(failure.error.exit_code for failure in self._failures))

    def _keep(self, failure: Failure) -> None:
        self._failures.append(failure)
        if self._json:
            self.print(failure.to_json())


def _has_slower_products(model: LoadedModel) -> bool:
    """Returns whether a transformer runs in float32 on a device that has faster products in bfloat16."""
    from xrete.devices import native_dtype
    from xrete.encoding.transformer import TransformerEncoder

    encoder = getattr(model.encoder, "own", model.encoder)  # this process's, where several share the work
    return (
        isinstance(encoder, TransformerEncoder)
        and model.identity.dtype == "float32"
        and native_dtype(encoder.device) != "float32"
    )


def in_chosen_precision(cells: Cells, settings: RunOptions, report: Report, *, measures: bool) -> Cells:
    """Chooses the precision of each cell where the user left that open, and says which and why.

    Args:
        cells: The cells.
        settings: How they are run.
        report: Has a cell fail whose model does.
        measures: Whether scores that nobody took yet are taken.
    """
    chosen: dict[Cell, tuple[ModelRequest, Dataset]] = {}
    for cell, (request, dataset) in cells.items():
        if request.fast is None:
            chosen[cell] = request, dataset
            continue
        with report.attempt(cell):
            exact, fast = (UnopenedModel(side.identity, side.load) for side in (request, request.fast))
            options = replace(settings, protocol=cell.protocol)
            device = request.options.device
            choice = choose(exact, fast, dataset, options, device, headline if measures else None)
            taken = request.fast if choice.fast else request
            typer.echo(f"precision: {cell.title}: {taken.identity.dtype}, since {choice.reason}", err=True)
            chosen[cell] = taken, dataset
    return chosen


def plan(cells: Cells, settings: RunOptions, report: Report) -> dict[Cell, Plan]:
    """Plans each cell, once; one that cannot run fails now."""
    plans: dict[Cell, Plan] = {}
    for cell, (request, dataset) in cells.items():
        with report.attempt(cell):
            plans[cell] = _plan(cell, request, dataset, settings)
    return plans


def _plan(cell: Cell, request: ModelRequest, dataset: Dataset, settings: RunOptions) -> Plan:
    return Plan.make(request.identity, dataset, replace(settings, protocol=cell.protocol))


def estimate(plans: Mapping[Cell, Plan], report: Report) -> dict[Cell, Forecast]:
    """Estimates each planned cell; one whose data to train on is absent fails now."""
    rows: dict[Cell, Forecast] = {}
    for cell, planned in plans.items():
        with report.attempt(cell):
            rows[cell] = forecast(planned)
    return rows


def print_plan(rows: Mapping[Cell, Forecast], *, json_: bool, dry_run: bool) -> None:
    """Prints the plan: what is asked for on standard output, what comes before a run on standard error."""
    if json_:
        for row in rows.values():
            typer.echo(json.dumps(asdict(row), ensure_ascii=False))
    elif rows:  # every cell may have failed
        output.print_plan(list(rows.values()), error=not dry_run)


def run_here(cells: Cells, plans: Mapping[Cell, Plan], settings: RunOptions, report: Report) -> None:
    """Scores one cell after the other in this process; what was not planned to be shown is planned in its turn."""
    for cell, (request, dataset) in cells.items():
        with report.attempt(cell):
            planned = plans.get(cell) or _plan(cell, request, dataset, settings)
            frozen = planned.module.UNIT != "steps"
            report.done(_score(cell.title, planned, report.loader(request) if frozen else request.load))


def run_on_ray(context: typer.Context, cells: Cells, results: Path, gpus: int | None, report: Report) -> None:
    """Has every cell scored by this command, for it alone, as a job on a Ray cluster."""
    jobs = {cell: arguments_for(context, cell) for cell in cells}
    with output.jobs(len(jobs)) as board:
        report.print = board.print
        for event in ray.run(jobs, results, gpus):
            if isinstance(event, ray.Started):
                board.started(event.cell.title, event.node)
                continue
            if output.debug():
                typer.echo(event.log, err=True, nl=False)
            board.ended(event.cell.title, failed=event.error is not None)
            if event.error:
                report.failed(event.cell, event.error)
            else:
                report.done(Record.model_validate_json(event.line))


def arguments_for(context: typer.Context, cell: Cell) -> list[str]:
    """Returns the arguments of this command for one cell, with every option that is not left to its default."""
    own = {
        "model": [cell.model], "task": [cell.task], "protocol": cell.protocol, "on": "here", "gpus": None,
        "json_": True,
    }  # fmt: skip
    words = ["run"]
    for option in context.command.params:
        value = {**context.params, **own}.get(option.name or "")
        if value is True:
            words.append(option.opts[0])
        elif value not in (None, False) and value != option.default:
            values = value if isinstance(value, list | tuple) else [value]
            words += [word for part in values for word in (option.opts[0], str(part))]
    return [*words, "--debug"] if output.debug() else words


def _score(title: str, planned: Plan, load: Callable[[], LoadedModel]) -> Record:
    """Scores one planned cell, and shows how far it is."""
    unit = planned.module.UNIT
    if unit == "steps":
        with output.steps(title) as watch:
            return score(planned.watched(watch=watch), load)
    row = forecast(planned)
    if row.tokens_in is not None:
        output.say_estimate(title, row)
    with output.sentences(title, row.texts, unit) as shown:
        return score(planned.watched(progress=shown, on_search=shown.searched), load)


def _summary(record: Record) -> str:
    """One line: who, what, score with interval, groups, coverage."""
    assert record.score is not None
    if record.ci95:
        low, high = record.ci95
        digits, total = 1, f"{record.score:.2f} [{low:.2f}, {high:.2f}]"
    else:  # numbers of all languages together, whose unit is their own
        digits, total = 4, f"{record.score:.4f}"
    groups = "  ".join(f"{name} {group.score:.{digits}f}" for name, group in record.groups.items() if name != "all")
    missing = len(record.missing_languages)
    languages = (
        f"{len(record.languages)} of {len(record.languages) + missing}" if missing else str(len(record.languages))
    )
    mini = "  (mini sample)" if record.data.source == "mini" else ""
    unread = sum(answers.unread for answers in record.answers.values())
    wrong = f"  ({unread:,} answers could not be read and count as wrong)" if unread else ""
    if record.fine_tuning and (spread := record.fine_tuning.spread) is not None:
        total += f" ± {spread:.2f} over {len(record.fine_tuning.runs)} runs"
    return (
        f"{record.model.name}  {record.task}  {record.metric} {total}  "
        f"{groups}  {languages} languages, {record.data.split}{mini}{wrong}"
    )
