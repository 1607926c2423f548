"""Several runs from one file: variants of a config, over several seeds, and a table of what came out.

    seeds = [1, 2, 3]

    [variants]
    "full" = []
    "phase 1 only" = ["em.steps=0"]
    "FCN" = ["ranks.classifier=fcn"]

Variants whose settings do not reach phase 1a share it: their runs fork from the first one's last checkpoint of it,
or from that of a run that is done already:

    phase_1 = ["checkpoints/run7"]
"""

from __future__ import annotations

import json
import math
import shutil
import tomllib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from rich.console import Console
from rich.table import Table
from scipy import stats

from xrete.errors import UsageError
from xrete.files import atomic_folder, parse_json, parse_toml, read_text, write_text
from xrete.model import PretrainOptions

from .checkpoint import leaves
from .config import Config, read
from .folders import STATE, checkpoints, clear
from .guard import RunAwayError
from .pretrain import pretrain

LATER = (
    "ranks.", "em.", "loss.low", "loss.high", "loss.ranking", "loss.rank_weight", "loss.average",
    "loss.self_positive", "warmup.classifier_steps", "optimisation.classifier_rate",
)  # fmt: skip
"""Settings that phases 0 and 1a of a sequential run do not read."""
KEPT = 100
"""Checkpoints kept of each run: those between phases are what others fork from, and what studies look at."""
LEVEL = 0.95
"""Of the intervals over seeds (Student's t)."""


class Sweep(BaseModel):
    """A sweep file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    seeds: Annotated[tuple[int, ...], Field(min_length=1)] = (42,)
    phase_1: tuple[Path, ...] = ()
    variants: Annotated[dict[str, tuple[str, ...]], Field(min_length=1)]


def load(file: Path) -> Sweep:
    """Reads a sweep file.

    Raises:
        UsageError: it is missing, no TOML, or has other keys.
    """
    try:
        return Sweep.model_validate(parse_toml(read_text(file, kind="sweep file")))
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{file} is not TOML: {error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        raise UsageError(f"{file}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None


def run(sweep: Sweep, options: PretrainOptions) -> None:
    """Makes every run that is not done yet, one after the other, and shows the table.

    Args:
        sweep: The variants.
        options: The config that they vary; its `out` gets a folder for each run, `corpora`, and `sweep.json` with
            all scores.

    Raises:
        UsageError: a variant's settings are wrong, which is said before the first run; or a run has no phase 1 to
            fork from, where the sweep names some.
    """
    plan = {
        (variant, seed): read(
            options.preset, options.config, [*options.settings, *changes, f"seed={seed}", f"watch.keep={KEPT}"]
        )
        for variant, changes in sweep.variants.items()
        for seed in sweep.seeds
    }
    for (variant, seed), config in plan.items():
        place = options.out / slug(variant, seed)
        if options.fresh:
            clear(place)
        if not checkpoints(place):
            siblings = [options.out / slug(other, seed) for other in sweep.variants]
            if not _fork(config, place, [*sweep.phase_1, *siblings]) and sweep.phase_1:
                raise UsageError(_no_phase_1(variant, seed, config, sweep.phase_1))
        with suppress(RunAwayError):  # which it has said; its scores up to there are in the table
            pretrain(config, place, corpora=options.out / "corpora")
    scores = collect(sweep, options.out)
    write_text(options.out / "sweep.json", json.dumps(scores, indent=1, ensure_ascii=False) + "\n")
    Console().print(table(scores))


def slug(variant: str, seed: int) -> str:
    """Returns the folder's name of one run."""
    return f"{''.join(c if c.isalnum() else '-' for c in variant.lower()).strip('-')}-{seed}"


def collect(sweep: Sweep, folder: Path) -> dict[str, list[list[dict[str, Any]]]]:
    """Returns each variant's scores: for each seed, what was scored on the way."""
    return {
        variant: [
            parse_json(read_text(checkpoints(folder / slug(variant, seed))[-1] / STATE))["scores"]
            for seed in sweep.seeds
        ]
        for variant in sweep.variants
    }


def table(scores: Mapping[str, Sequence[Sequence[Mapping[str, Any]]]]) -> Table:
    """Shows each variant after phase 1 and at its end: means over seeds, with their intervals."""
    ends = [entry for runs in scores.values() for run in runs for entry in run[-1:]]  # none where no task is scored
    names = sorted({cell for entry in ends for cell in _cells(entry)})
    result = Table("variant", *(f"{task} {group}\nphase 1 → end" for task, group in names))
    for variant, runs in scores.items():
        row = []
        for task, group in names:
            first = [_cells(_after_phase_1(run))[task, group] for run in runs]
            last = [_cells(run[-1])[task, group] for run in runs]
            row.append(f"{np.mean(first):.1f} → {np.mean(last):.1f} ({interval(np.subtract(last, first))})")
        result.add_row(variant, *row)
    return result


def interval(values: Sequence[float] | np.ndarray[Any, Any]) -> str:
    """Writes the mean of differences [seeds] with its interval over seeds, or alone where there is one seed."""
    array = np.asarray(values, dtype=float)
    if len(array) < 2:
        return f"{array.mean():+.1f}"
    margin = stats.t.ppf(0.5 + LEVEL / 2, len(array) - 1) * array.std(ddof=1) / math.sqrt(len(array))
    return f"{array.mean():+.1f} ± {margin:.1f}"


def _cells(entry: Mapping[str, Any]) -> dict[tuple[str, str], float]:
    return {(task, group): value for task, groups in entry["tasks"].items() for group, value in groups.items()}


def _after_phase_1(run: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    return [entry for entry in run if entry["phase"] != "em"][-1]


def _fork(config: Config, place: Path, others: Sequence[Path]) -> bool:
    """Starts a run from another's last checkpoint of phase 1a, where both are the same up to there.

    Another that was better by then comes along, since it may stay the best.

    Returns:
        Whether there is one.
    """
    name = _end_of_phase_1a(config)
    if config.warmup.order == "joint":
        return False
    settings = config.model_dump(mode="json")
    for other in [other for other in others if (other / name).is_dir()]:
        last = parse_json(read_text(other / name / STATE))
        if _early(last["config"]) == _early(settings):
            shutil.rmtree(place, ignore_errors=True)
            for kept in {last["best"] or name, name}:
                if not (other / kept).is_dir():
                    continue  # another became the best later
                with atomic_folder(place / kept) as aside:
                    shutil.copytree(other / kept, aside, dirs_exist_ok=True)
                    state = parse_json(read_text(aside / STATE)) | {"config": settings}
                    write_text(aside / STATE, json.dumps(state, indent=1, ensure_ascii=False) + "\n")
            return True
    return False


def _end_of_phase_1a(config: Config) -> str:
    """Returns the name of the checkpoint that runs fork from."""
    return f"1-encoder-{config.warmup.encoder_steps:07d}"


def _no_phase_1(variant: str, seed: int, config: Config, runs: Sequence[Path]) -> str:
    """Says why a variant cannot begin where the runs that the sweep file names end."""
    if config.warmup.order == "joint":
        return f"variant '{variant}': a joint warm-up has no phase 1a that runs could share; leave phase_1 out"
    name, mine = _end_of_phase_1a(config), _early(config.model_dump(mode="json"))
    for run in runs:
        if (run / name / STATE).is_file():
            theirs = _early(parse_json(read_text(run / name / STATE))["config"])
            key = next(key for key in sorted({*mine, *theirs}) if mine.get(key) != theirs.get(key))
            return (
                f"variant '{variant}', seed {seed}: {run} was made with {key} = {theirs.get(key)!r}, not "
                f"{mine.get(key)!r}; name a run with the same settings of phase 1a under phase_1, or leave that out"
            )
    return (
        f"variant '{variant}', seed {seed}: none of phase_1 ({', '.join(map(str, runs))}) has a checkpoint {name}; "
        "name a run whose phase 1a is done"
    )


def _early(config: dict[str, Any]) -> dict[str, Any]:
    """Returns the settings that phases 0 and 1a read."""
    return {
        key: value for key, value in leaves(config).items() if not key.startswith((*LATER, "watch.", "compute."))
    }
