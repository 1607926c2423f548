"""Everything that only a GPU can show, in one command: proofs, measurements against plain formulations, a real run.

    python bench/gpu.py --minutes 9 --out DIR
    python bench/gpu.py --dry-run
    python bench/gpu.py --device cpu --out DIR          (a rehearsal with toy shapes and a few proofs)

The parts run one after the other, the most valuable first, each in a process of its own with a limit of its own;
what one leaves of its time goes to those behind it. Every number is a line of `measurements.jsonl` as soon as there
is one, so that a cut at any moment loses no more than what was being measured. What a part cannot do (no memory, no
kernel, no time) it says, and goes on. Nothing comes from a network.

DIR then holds `measurements.jsonl`, `log.txt` with all that the parts printed, `summary.md`, and `records.tar.gz`
with the log, the config and the records of the real run. The exit code is 1 if a proof failed or was not tried.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from on_gpu.given import MEASUREMENTS, Given
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parent.parent
LOG, SUMMARY = "log.txt", "summary.md"
GRACE = 10.0
"""Seconds between asking a part to end and ending it."""


@dataclass(frozen=True)
class Part:
    """One part.

    Attributes:
        name: Of its module in `on_gpu`.
        title: What it shows.
        seconds: Its share of nine minutes.
        least: Seconds under which it is not begun.
    """

    name: str
    title: str
    seconds: float
    least: float


PARTS = (
    Part("proofs", "the tests marked gpu", 110, 30),
    Part("steps", "steps of phase 2, XLM-R large and a MiniLM, against the plain form", 115, 20),
    Part("encoding", "encoding, against SentenceTransformer.encode", 50, 15),
    Part("search", "exact top 20 and mining, against torch's products", 30, 10),
    Part("geometry", "geometry of 204 languages, against the plain form", 15, 5),
    Part("real_run", "EMMA-X pretrained on real text, and scored", 220, 40),
)


def main() -> int:
    """Runs the parts that are asked for; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=9.0, help="for everything")
    parser.add_argument("--out", type=Path, help="folder of the results, which is made")
    parser.add_argument("--only", nargs="+", choices=[part.name for part in PARTS], help="these parts alone")
    parser.add_argument("--device", default="auto", help="auto, cuda or cpu; on a CPU all shapes are toys")
    parser.add_argument("--corpus", type=Path, default=ROOT.parent / "shared/corpus", help="text of the real run")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data", help="data that it is scored on")
    parser.add_argument("--dry-run", action="store_true", help="say which parts, and how long, and do nothing")
    parser.add_argument("--part", help=argparse.SUPPRESS)
    parser.add_argument("--ends", type=float, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.part:
        importlib.import_module(f"on_gpu.{given.part}").main(
            Given.of(given.part, given.out, given.device, given.ends, given.corpus, given.data)
        )
        return 0
    chosen = [part for part in PARTS if not given.only or part.name in given.only]
    scale = 60 * given.minutes / sum(part.seconds for part in chosen)
    console = Console(width=110)
    if given.dry_run:
        for part in chosen:
            console.print(f"{part.name}: {part.title}, {part.seconds * scale:.0f} s", highlight=False)
        return 0
    if not given.out:
        parser.error("--out DIR is needed")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # else the part that runs would go on alone
    given.out.mkdir(parents=True, exist_ok=True)
    for name in (MEASUREMENTS, LOG, SUMMARY):
        (given.out / name).unlink(missing_ok=True)
    with tempfile.TemporaryDirectory() as home:
        environment = installed(Path(home))
        ends = time.time()
        for part in chosen:
            ends += part.seconds * scale
            began = time.time()
            said = run_part(part, given, ends, environment)
            console.print(f"{part.name}: {said}, {time.time() - began:.0f} s", highlight=False)
    rows = [json.loads(line) for line in (given.out / MEASUREMENTS).read_text("utf-8").splitlines()]
    console.print(table(rows))
    (given.out / SUMMARY).write_text(markdown(rows), "utf-8")
    return int("proofs" in {part.name for part in chosen} and not proved(rows))


def run_part(part: Part, given: argparse.Namespace, ends: float, environment: dict[str, str]) -> str:
    """Runs one part in a process of its own until it ends or its time does; returns how it ended."""
    note = Given.of(part.name, given.out, given.device, ends, given.corpus, given.data)
    if note.left < part.least:
        note.record("part", ended=f"not begun: {max(0, note.left):.0f} s left of at least {part.least:.0f}")
        return "not begun, no time left"
    command = [sys.executable, __file__, "--part", part.name, "--ends", str(ends), "--device", given.device]
    command += ["--out", str(given.out), "--corpus", str(given.corpus), "--data", str(given.data)]
    with (given.out / LOG).open("ab") as log:
        log.write(f"\n===== {part.name} =====\n".encode())
        log.flush()
        process = subprocess.Popen(
            command, stdout=log, stderr=subprocess.STDOUT, cwd=ROOT, env=environment, start_new_session=True
        )
        try:
            process.wait(note.left)
            ended = "done" if process.returncode == 0 else f"failed with exit code {process.returncode}, see {LOG}"
        except subprocess.TimeoutExpired:
            ended = "cut off, its time was over"
        finally:
            end(process)
    note.record("part", ended=ended)
    return ended


def end(process: subprocess.Popen[bytes]) -> None:
    """Ends a part and all that it started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(GRACE)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue


def installed(home: Path) -> dict[str, str]:
    """Returns the environment of the parts: one line of output at a time, no network, and XRETE's plugins found.

    A checkout that nobody installed has no entry points; a folder made of pyproject.toml then stands in for them.
    """
    paths = [str(ROOT), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    if not any(distribution.metadata["Name"] == "xrete" for distribution in metadata.distributions()):
        project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
        about = home / f"xrete-{project['version']}.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: xrete\nVersion: {project['version']}\n")
        groups = {"console_scripts": project["scripts"], **project["entry-points"]}
        lines = [
            f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in points.items()) for group, points in groups.items()
        ]
        (about / "entry_points.txt").write_text("\n".join(lines))
        paths.append(str(home))
    return os.environ | {
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONUNBUFFERED": "1",
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "true",
    }


def proved(rows: Sequence[dict[str, Any]]) -> bool:
    """Returns whether all proofs were tried and none failed."""
    proofs = [row for row in rows if row["part"] == "proofs"]
    ended = any(row["name"] == "all" for row in proofs)
    return ended and not any(row.get("outcome") == "failed" for row in proofs)


def cells(row: dict[str, Any]) -> tuple[str, str, str]:
    """Returns a row as part, name, and all its values in words."""
    hidden = ("part", "name", "at")
    values = [f"{key} {shown(value)}" for key, value in row.items() if key not in hidden and value is not None]
    return row["part"], row["name"], ", ".join(values)


def shown(value: Any) -> str:
    """Returns a value with four digits."""
    return f"{value:,.4g}" if isinstance(value, float) else str(value)


def worth_showing(row: dict[str, Any]) -> bool:
    """Returns whether a row is for the summary: all, but for proofs that passed."""
    return row.get("outcome") not in ("passed", "skipped")


def table(rows: Sequence[dict[str, Any]]) -> Table:
    """Lays the summary out for a terminal."""
    laid_out = Table("part", "what", "values", title="Measured")
    for row in filter(worth_showing, rows):
        laid_out.add_row(*cells(row))
    return laid_out


def markdown(rows: Sequence[dict[str, Any]]) -> str:
    """Lays the summary out as a table for a page."""
    lines = ["| part | what | values |", "| --- | --- | --- |"]
    lines += [
        f"| {' | '.join(cell.replace('|', '/') for cell in cells(row))} |" for row in filter(worth_showing, rows)
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
