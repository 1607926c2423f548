"""`xrete report` on thousands of records: whole processes, against plain `json.load` of the same files.

    python bench/reports.py
    python bench/reports.py --reference mteb
    python bench/reports.py --records 1000 --items --rounds 1 --formats table html

The records are those of `results/measured` under other names, with numbers made up around them; `--items` gives
each one items too, drawn at random from those of the two measured models, so that there are ranks to compute. Every
variant is a process of its own that writes into a new folder, and the variants take turns within every round, so
that a changing load of the machine hits all of them. The table gives each variant's best round, and the median of
the rounds' ratios to `json.load`. With items the first report of all, of which nothing is kept in the cache yet, is
timed apart.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from xrete.record import GroupScore, LanguageScore, Record, read_record
from xrete.store import Outcome, Slot, find_records, read_items

MEASURED = Path(__file__).parents[1] / "results" / "measured"
FORMATS = ("table", "markdown", "csv", "latex", "json", "parquet", "html", "hub")
JSON_LOAD = """
import json, pathlib, sys
records = [json.loads(path.read_bytes()) for path in pathlib.Path(sys.argv[1]).rglob("*.json")]
"""

Items = Mapping[str, Mapping[str, NDArray[Any]]]


@dataclass(frozen=True)
class Cost:
    """What a process took: seconds that passed, seconds of the processor, peak memory in MB."""

    seconds: float
    cpu: float
    megabytes: float


def make_records(folder: Path, count: int, with_items: bool) -> None:
    """Writes records of as many models as it takes, each on every task."""
    dice, random_ = random.Random(0), np.random.default_rng(0)
    by_task: dict[str, list[Path]] = {}
    for path in find_records(MEASURED):
        by_task.setdefault(read_record(path).task, []).append(path)
    templates = [(read_record(paths[0]), _items(paths)) for paths in by_task.values()]
    for number in range(count):
        model, (template, items) = number // len(templates), templates[number % len(templates)]
        record = _made(template, f"org/model-{model:04}", dice)
        slot = Slot(folder, record.model.name, record.task, record.protocol, "dir", f"{number:012x}")
        slot.save(record, _outcomes(items, random_) if with_items else {})


def _items(paths: Sequence[Path]) -> list[Items]:
    records = [(path, read_record(path)) for path in paths]
    return [read_items(path, record) for path, record in records if record.items]


def _made(template: Record, name: str, dice: random.Random) -> Record:
    shift = dice.gauss(0, 4)

    def moved(part: Any) -> Any:
        by = shift + (dice.gauss(0, 2) if isinstance(part, LanguageScore) else 0)
        ends = part.ci95 and tuple(end + by for end in part.ci95)
        return part.model_copy(update={"score": part.score + by, "ci95": ends})

    languages: dict[str, LanguageScore] = {code: moved(x) for code, x in template.languages.items()}
    groups: dict[str, GroupScore] = {code: moved(x) for code, x in template.groups.items()}
    named = {"name": name, "revision": "made", "params": dice.randrange(10**7, 10**10)}
    model = template.model.model_copy(update=named)
    total = groups["all"]
    update = {"score": total.score, "ci95": total.ci95, "languages": languages, "groups": groups}
    return template.model_copy(update=update | {"model": model, "items": None})


def _outcomes(items: Sequence[Items], random_: np.random.Generator) -> dict[str, Outcome]:
    """Draws each item's outcome from one of the measured models."""
    made = {}
    share = random_.random()
    for language, columns in items[0].items() if items else ():
        chosen = random_.random(len(next(iter(columns.values())))) < share
        mixed = {name: np.where(chosen, x, items[1][language][name]) for name, x in columns.items()}
        made[language] = Outcome(mixed, None)
    return made


def process(arguments: Sequence[str], environment: Mapping[str, str]) -> Cost:
    """Runs Python with these arguments to its end, compiled before, as an installed package is."""
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    start = time.perf_counter()
    child = subprocess.Popen(
        [sys.executable, *arguments], env={**inherited, **environment},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"failed: python {' '.join(arguments)}")
    return Cost(time.perf_counter() - start, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


def main() -> None:
    """Makes records, times the reports and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=5000)
    parser.add_argument("--items", action="store_true", help="records with items, so that ranks are computed")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--formats", nargs="+", default=FORMATS)
    parser.add_argument("--reference", help="published numbers beside the records, as of xrete report")
    given = parser.parse_args()
    console = Console(width=110)
    with tempfile.TemporaryDirectory() as temporary:
        folder, out = Path(temporary) / "results", Path(temporary) / "out"
        environment = {"XRETE_CACHE": f"{temporary}/cache"}
        make_records(folder, given.records, given.items)
        megabytes = sum(path.stat().st_size for path in find_records(folder)) / 1e6
        reference = ["--reference", given.reference] if given.reference else []

        def variants(turn: str) -> dict[str, list[str]]:
            report = ["-m", "xrete", "report", str(folder), *reference]
            return {"json.load": ["-c", JSON_LOAD, str(folder)]} | {
                name: [*report, "--format", name, "--out", str(out / turn / name)] for name in given.formats
            }

        first = process(variants("first")[given.formats[0]], environment) if given.items else None
        rounds = []
        for turn in range(given.rounds):
            rounds.append({name: process(x, environment) for name, x in variants(str(turn)).items()})
            console.print(f"load {os.getloadavg()[0]:.1f}", style="dim")
    beside = f" beside {given.reference}" if given.reference else ""
    title = f"{given.records:,} records{' with items' if given.items else ''}{beside}, {megabytes:,.0f} MB of JSON"
    table = Table(title=f"{title}, {given.rounds} rounds")
    for column in ("process", "seconds", "of CPU", "records a second", "peak MB", "times json.load (CPU)"):
        table.add_column(column, justify="left" if column == "process" else "right")
    for name in rounds[0]:
        best = min((each[name] for each in rounds), key=lambda cost: cost.seconds)
        ratio = statistics.median(each[name].cpu / each["json.load"].cpu for each in rounds)
        label = name if name == "json.load" else f"xrete report --format {name}"
        _row(table, label, best, given.records, f"{ratio:.1f}")
    if first:
        _row(table, f"the first --format {given.formats[0]}", first, given.records, "")
    console.print(table)


def _row(table: Table, label: str, cost: Cost, records: int, ratio: str) -> None:
    numbers = (f"{cost.seconds:.2f}", f"{cost.cpu:.2f}", f"{records / cost.seconds:,.0f}", f"{cost.megabytes:,.0f}")
    table.add_row(label, *numbers, ratio)


if __name__ == "__main__":
    main()
