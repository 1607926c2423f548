"""A real run: EMMA-X from random weights on real text, and its checkpoints scored on the data at hand.

It ends when its time is over, wherever it is, and what it has by then is scored. Without the text it trains on the
message catalogues that the preset `mini` reads, and says so.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from on_gpu.given import Given
from on_gpu.machine import describe

SCORING = 0.25
"""Share of the time that is kept for scoring."""
ARCHIVE = "records.tar.gz"
SHAPE = (
    "encoder.scratch.layers=6", "encoder.scratch.width=384", "encoder.scratch.heads=6",
    "encoder.scratch.feed_forward=1536", "encoder.scratch.vocabulary=16000", "encoder.max_length=64",
    "warmup.encoder_steps=2500", "warmup.classifier_steps=150", "em.steps=600", "optimisation.batch=1024",
    "optimisation.encoder_rate=3e-4", "em.encoder_rate=5e-5", "compute.dtype=bfloat16", "compute.attention=packed",
    "watch.data=mini", "watch.score_every=500", "watch.save_every=500", "watch.log_every=50",
)  # fmt: skip
TOY = (
    "warmup.mlm_steps=0", "warmup.encoder_steps=4", "warmup.classifier_steps=2", "em.steps=2",
    "optimisation.batch=32", "encoder.scratch.layers=1", "encoder.scratch.width=32", "encoder.scratch.heads=2",
    "encoder.scratch.vocabulary=6000", "watch.log_every=1", "watch.score_every=0", "watch.tasks=[]",
    "ranks.start_pairs=64", "ranks.typical_start=linear", "data.max_sentences=60",
)  # fmt: skip


def main(given: Given) -> None:
    """Trains, scores and packs."""
    describe(given)
    with tempfile.TemporaryDirectory() as name:
        run, results = Path(name) / "run", Path(name) / "results"
        text = settings(given)
        command = [sys.executable, "-m", "xrete", "pretrain", "emmax", "--out", str(run), *text]
        ended = within(command, (1 - SCORING) * given.left)
        try:
            summary = last_of(run / "log.jsonl")
            given.record(
                "trained", ended=ended, on="the corpus" if "--preset" not in text else "the mini preset", **summary
            )
            records = score(given, run, results)
        finally:
            pack(given, Path(name))
    if not records:
        raise SystemExit(1)  # nothing came of it, which the command then says


def settings(given: Given) -> list[str]:
    """Returns the options of the run."""
    chosen = ["--set", f"compute.device={given.where}"]
    for setting in TOY if given.toy else SHAPE:
        chosen += ["--set", setting]
    if given.toy or not given.corpus.is_dir():
        return ["--preset", "mini", *chosen]
    bitexts, text = given.corpus / "bitext", given.corpus / "mono"
    chosen += ["--set", f'data.parallel=[{{kind="tsv", path="{bitexts}/{{source}}-{{target}}.tsv.xz"}}]']
    chosen += ["--set", f'data.monolingual=[{{kind="text", path="{text}/{{language}}.txt.xz"}}]']
    return [*chosen, "--set", "data.parallel_exponent=0.3", "--set", "data.monolingual_exponent=0.3"]


def within(command: list[str], seconds: float) -> str:
    """Runs a command, and asks it to end when its time is over; returns how it ended."""
    process = subprocess.Popen(command)
    try:
        code = process.wait(seconds)
        return "done" if code == 0 else f"exit code {code}"
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGTERM)  # a run saves its state and ends
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
        return f"stopped after {seconds:.0f} s"


def last_of(log: Path) -> dict[str, object]:
    """Returns the last step, and the last scores of held-out retrieval, of a run's log."""
    lines = [json.loads(line) for line in log.read_text("utf-8").splitlines()] if log.is_file() else []
    steps = [x for x in lines if "tokens_per_second" in x]
    wanted = ("phase", "step", "sentences_per_second", "tokens_per_second", "mfu")
    last = {key: steps[-1][key] for key in wanted if steps and key in steps[-1]}
    return last | {"log_lines": len(lines)}


def score(given: Given, run: Path, results: Path) -> int:
    """Scores the best checkpoint; a row for each record. Returns how many there are."""
    data = given.data if given.data.is_dir() and not given.toy else "mini"
    command = [
        sys.executable,
        "-m",
        "xrete",
        "run",
        "--model",
        f"emmax:{run}",
        "--data",
        str(data),
        "--device",
        given.where,
    ]
    command += ["--task", "tatoeba,flores", "--results", str(results)]
    ended = within(command, max(5.0, given.left - 5))
    files = sorted(results.rglob("*.json"))
    for file in files:
        record = json.loads(file.read_text("utf-8"))
        groups = {name: values["score"] for name, values in record["groups"].items()}
        given.record(f"scored: {record['task']}", score=record["score"], **groups, status=record["status"])
    if ended != "done":
        given.record("scored", ended=ended)
    return len(files)


def pack(given: Given, folder: Path) -> None:
    """Packs the log, the config, pictures and records; no weights."""
    with tarfile.open(given.out / ARCHIVE, "w:gz") as archive:
        for file in sorted(folder.rglob("*")):
            inside = file.relative_to(folder)
            small = (
                file.suffix in (".jsonl", ".toml", ".json", ".parquet", ".svg") and "corpora" not in inside.parts
            )
            if file.is_file() and small and "model" not in inside.parts:
                archive.add(file, str(inside))
