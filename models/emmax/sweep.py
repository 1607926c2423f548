"""Several runs from one file: variants of a config, over several seeds, and a table of what came out.

    seeds = [1, 2, 3]

    [variants]
    "full" = []
    "phase 1 only" = ["em.steps=0"]
    "FCN" = ["ranks.classifier=fcn"]

Variants whose settings do not reach phase 1a share it: their runs fork from the first one's last checkpoint of it,
or from that of a run that is done already:

    phase_1 = ["checkpoints/run7"]

Every variant with a phase 2 is compared with its control, phase 1 continued for as many steps; where the file has
none, the sweep runs one, which all variants share that differ in nothing else.
"""

from __future__ import annotations

import json
import math
import shutil
import tomllib
from collections.abc import Iterable, Mapping, Sequence
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
from xrete.scores.crossed import told

from .checkpoint import leaves
from .config import Config, read
from .control import control_of, variant_of
from .folders import LOG, STATE, TRAINING, checkpoints, clear
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
        options: The config that they vary; its `out` gets a folder for each run, `corpora`, `sweep.json` with all
            scores, and `control.json` with what each variant gains over its control.

    Raises:
        UsageError: a variant's settings are wrong, which is said before the first run; or a run has no phase 1 to
            fork from, where the sweep names some.
    """
    plan = {
        variant: {
            seed: read(
                options.preset, options.config, [*options.settings, *changes, f"seed={seed}", f"watch.keep={KEPT}"]
            )
            for seed in sweep.seeds
        }
        for variant, changes in sweep.variants.items()
    }
    controls = add_controls(plan)
    for variant, seed, config in ((variant, seed, plan[variant][seed]) for variant in plan for seed in sweep.seeds):
        place = options.out / slug(variant, seed)
        if options.fresh:
            clear(place)
        if not checkpoints(place):
            siblings = [options.out / slug(other, seed) for other in plan]
            if not _fork(config, place, [*sweep.phase_1, *siblings]) and sweep.phase_1:
                raise UsageError(_no_phase_1(variant, seed, config, sweep.phase_1))
        with suppress(RunAwayError):  # which it has said; its scores up to there are in the table
            pretrain(config, place, corpora=options.out / "corpora")
    scores = collect(plan, options.out)
    gains = compare(controls, sweep.seeds, options.out)
    for name, values in (("sweep.json", scores), ("control.json", gains)):
        write_text(options.out / name, json.dumps(values, indent=1, ensure_ascii=False) + "\n")
    Console().print(table(scores))
    if gains:
        Console().print(gain_table(gains))


def add_controls(plan: dict[str, dict[int, Config]]) -> dict[str, str]:
    """Adds the controls that a plan lacks; returns the control's name of each variant that has a phase 2.

    Args:
        plan: For each variant, its config by seed.
    """
    names = {variant_of(next(iter(configs.values()))): variant for variant, configs in plan.items()}
    controls = {}
    for variant, configs in list(plan.items()):
        first = next(iter(configs.values()))
        if not first.em.steps or first.em.objective == "contrast":
            continue
        key = variant_of(control_of(first))
        if key not in names:
            number = sum(name.startswith("control") for name in plan)
            names[key] = f"control {number + 1}" if number else "control"
            plan[names[key]] = {seed: control_of(config) for seed, config in configs.items()}
        controls[variant] = names[key]
    return controls


def slug(variant: str, seed: int) -> str:
    """Returns the folder's name of one run."""
    return f"{''.join(c if c.isalnum() else '-' for c in variant.lower()).strip('-')}-{seed}"


def collect(plan: Mapping[str, Iterable[int]], folder: Path) -> dict[str, list[list[dict[str, Any]]]]:
    """Returns each variant's scores: for each seed, what was scored on the way.

    Args:
        plan: The seeds of each variant.
        folder: The sweep's.
    """
    return {
        variant: [
            parse_json(read_text(checkpoints(folder / slug(variant, seed))[-1] / STATE))["scores"] for seed in seeds
        ]
        for variant, seeds in plan.items()
    }


def compare(controls: Mapping[str, str], seeds: Sequence[int], folder: Path) -> dict[str, dict[str, Any]]:
    """Returns what each variant gains over its control in the end, for each task and group by seed and language.

    `stopped` are the seeds of runs that the guard of phase 2 stopped before their end: their last scores count.
    """
    gains: dict[str, dict[str, Any]] = {}
    for variant, control in controls.items():
        pairs = [[_last_score(folder / slug(name, seed)) for name in (variant, control)] for seed in seeds]
        if any(score is None for pair in pairs for score in pair):
            continue
        ends = [(own["languages"], other["languages"]) for own, other in pairs]
        for task, groups in pairs[0][0]["members"].items():
            for group, codes in groups.items():
                rows = [[own[task][code] - other[task][code] for code in codes] for own, other in ends]
                gains.setdefault(variant, {})[f"{task} {group}"] = {
                    "control": control, "languages": codes, "seeds": [*seeds], "differences": rows,
                    "stopped": [seed for seed in seeds if _was_stopped(folder / slug(variant, seed))],
                }  # fmt: skip
    return gains


def gain_table(gains: Mapping[str, Mapping[str, Any]]) -> Table:
    """Shows what each variant gains over its control, with the interval over languages and seeds."""
    names = list(dict.fromkeys(name for groups in gains.values() for name in groups))
    result = Table("phase 2 against phase 1 continued", "control", *names)
    for variant, groups in gains.items():
        cells = [told(np.array(groups[name]["differences"])) for name in names]
        first = groups[names[0]]
        seeds = ", ".join(map(str, first["stopped"]))
        mark = f"\nstopped by its guard with seed {seeds}" if seeds else ""
        result.add_row(f"{variant}{mark}", first["control"], *cells)
    return result


def _was_stopped(run: Path) -> bool:
    """Returns whether the guard of phase 2 stopped a run before its end."""
    return bool(parse_json(read_text(checkpoints(run)[-1] / "model" / TRAINING)).get("stopped"))


def _last_score(run: Path) -> Any:
    """Returns the last score in a run's log, None where nothing was scored."""
    lines = (parse_json(line) for line in read_text(run / LOG).splitlines())
    return next((entry for entry in reversed([*lines]) if entry["event"] == "score"), None)


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
