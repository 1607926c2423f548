"""`xrete verify`: are records what was measured?"""

from __future__ import annotations

import json
import os
import re
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xrete.cli import options
from xrete.errors import UsageError, XreteError

if TYPE_CHECKING:
    from xrete.check.records import Finding
    from xrete.check.sample import Models, Sample


def verify(
    records: Annotated[list[Path], typer.Argument(metavar="RECORD...", help="Records, or folders of records.")],
    sample: Annotated[
        str | None, typer.Option("--sample", help="Encodes this share of the items again, as in 2%.")
    ] = None,
    data: options.Data = "auto",
    seed: Annotated[
        int | None, typer.Option("--seed", help="Seed of the sample; default: a new one each time.")
    ] = None,
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:1, mps.")] = "auto",
    plugin: options.Plugin = None,
    json_: options.Json = False,
) -> None:
    """Check that records are what was measured: nothing changed, and every number what the items give.

    Fingerprints are compared where the model is on this machine. Exit code 1 if any record is wrong.

    Examples:
        xrete verify results/measured
        xrete verify RECORD.json --sample 2% --data DIR
    """
    share = None if sample is None else _share(sample)
    if share is None:
        os.environ.setdefault("HF_HUB_OFFLINE", "1")  # nothing is downloaded just to compare fingerprints
    from xrete.check.sample import Models, Sample

    models = Models(device)
    again = Sample(models, data, share, secrets.randbits(32) if seed is None else seed) if share else None
    paths = list(_paths(records))
    wrong = sum(not _report(path, _findings(path, models, again), json_) for path in paths)
    if not json_:
        typer.echo(f"{len(paths)} record{'s' if len(paths) > 1 else ''} verified, {wrong or 'none'} wrong")
    if wrong:
        raise typer.Exit(1)


def _share(text: str) -> float:
    """Reads "2%" or "0.5%"."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)%", text.strip())
    if not match or not 0 < float(match[1]) <= 100:
        raise UsageError(
            f"--sample '{text}' is not a share of the items; give a percentage above 0, as in --sample 2%"
        )
    return float(match[1]) / 100


def _paths(records: Iterable[Path]) -> Iterator[Path]:
    from xrete.store import find_records

    for path in records:
        if path.is_dir():
            files = list(find_records(path))
            if not files:
                raise XreteError(f"no records below {path}; name a record or a results folder")
            yield from files
        elif path.suffix != ".parquet":  # items, which a pattern finds too, are checked with their record
            yield path


def _findings(path: Path, models: Models, again: Sample | None) -> list[Finding]:
    from xrete.check.records import Finding, open_case, run_check, verify
    from xrete.check.sample import check_fingerprint

    case = open_case(path)
    if isinstance(case, Finding):
        return [case]
    findings = verify(case)
    findings.append(run_check("fingerprint", lambda case: check_fingerprint(case, models), case))
    if again:
        findings.append(again.check(case))
    return findings


def _report(path: Path, findings: list[Finding], json_: bool) -> bool:
    """Prints what was found of one record, and says whether it is right."""
    from xrete.reporting.text import plain

    is_right = all(finding.state != "wrong" for finding in findings)
    if json_:
        rows = [asdict(finding) for finding in findings]
        typer.echo(json.dumps({"record": str(path), "right": is_right, "findings": rows}, ensure_ascii=False))
        return is_right
    done = ", ".join(finding.check for finding in findings if finding.state == "right")
    typer.echo(f"{'right' if is_right else 'WRONG'}  {plain(str(path))}{done and f': {done}'}")
    for finding in findings:
        if finding.sentence:
            state = "" if finding.state == "right" else f"{finding.state}: "
            typer.echo(f"       {finding.check} {state}{plain(finding.sentence)}")
    return is_right
