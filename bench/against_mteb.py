"""The whole of `xrete run` on Tatoeba against MTEB, on the same model and the same files, as users of each would.

    python bench/against_mteb.py --model FOLDER
    python bench/against_mteb.py --model FOLDER --languages heb --rounds 1 --peers float32 auto --dtypes float32

FOLDER holds a transformer in Hugging Face's layout, whose vectors are the mean of its tokens, without a prefix.
Every run is a process of its own with empty caches, on one thread, from the start of Python to its written result;
the variants take turns within every round, and ratios are those of the least times. MTEB gets its task from its own
registry, and the sentences from the same files, since its own copy is on the hub. sentence-transformers, which MTEB
loads the model by, computes in the weights' own type unless it is told otherwise (--peers auto). Of every sentence
that a variant answers otherwise than the first one, a line says by how much the two answers differ.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

LANGUAGES = "ang cha heb kur swh tel tha wuu".split()
Answers = dict[str, list[int]]
"""For each sentence of a language, the English one that is nearest."""


def lines(data: Path, language: str, side: str) -> list[str]:
    """Reads one side of a language."""
    file = data / "tatoeba" / "v1" / f"tatoeba.{language}-eng.{side}"
    return file.read_text("utf-8").removesuffix("\n").split("\n")


def run_mteb(asked: argparse.Namespace, languages: Sequence[str]) -> None:
    """Evaluates the model by MTEB, and writes its predictions below the folder that is asked for."""
    import mteb
    from datasets import Dataset

    task = mteb.get_task("Tatoeba", hf_subsets=[f"{language}-eng" for language in languages])
    task.dataset = {
        f"{language}-eng": {
            "test": Dataset.from_dict(
                {
                    "sentence1": lines(asked.data, language, language),
                    "sentence2": lines(asked.data, language, "eng"),
                }
            )
        }
        for language in languages
    }
    task.data_loaded = True
    mteb.evaluate(loaded(asked.model, asked.peers[0]), task, cache=None, prediction_folder=asked.inside)


def mteb_answers(out: Path, languages: Sequence[str]) -> Answers:
    """Reads what MTEB predicted."""
    (file,) = out.rglob("*predictions.json")
    predictions = json.loads(file.read_text("utf-8"))
    return {
        language: [row["corpus_id"] for row in predictions[f"{language}-eng"]["test"]["sentence1-sentence2"]]
        for language in languages
    }


def xrete_answers(out: Path) -> Answers:
    """Reads the items of the record."""
    from xrete.record import read_record
    from xrete.store import find_records, read_items

    (file,) = find_records(out)
    return {language: items["xx2en"].tolist() for language, items in read_items(file, read_record(file)).items()}


def commands(asked: argparse.Namespace, languages: Sequence[str]) -> dict[str, list[str]]:
    """Names what is compared; each is a command that writes into the folder "OUT"."""
    here = [
        sys.executable, __file__, "--model", str(asked.model), "--data", str(asked.data),
        "--languages", ",".join(languages), "--inside", "OUT",
    ]  # fmt: skip
    xrete = [
        sys.executable, "-m", "xrete", "run", "--model", f"hf:{asked.model}?pooling=mean", "--task", "tatoeba",
        "--data", str(asked.data), "--languages", ",".join(languages), "--device", "cpu", "--results", "OUT",
    ]  # fmt: skip
    return {
        **{f"mteb {dtype}": [*here, "--peers", dtype] for dtype in asked.peers},
        **{f"xrete {dtype}": [*xrete, "--dtype", dtype] for dtype in asked.dtypes},
    }


def measure(command: Sequence[str], folder: Path) -> tuple[float, float]:
    """Runs a command with caches of its own below a folder; returns seconds on the clock and of the processor."""
    one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    homes = {name: str(folder / name.lower()) for name in ("XRETE_CACHE", "HF_HOME", "MTEB_CACHE")}
    offline = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    command = [str(folder / "out") if part == "OUT" else part for part in command]
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(
        command, env={**os.environ, **one, **homes, **offline}, capture_output=True, text=True, check=False
    )
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        sys.exit(done.stderr)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def accuracy(answers: Sequence[int]) -> float:
    """The percentage of rows whose nearest is the row itself."""
    return 100 * sum(row == answer for row, answer in enumerate(answers)) / len(answers)


@cache
def loaded(model: Path, dtype: str) -> Any:
    """The model as MTEB has it."""
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(model), device="cpu", model_kwargs={"dtype": dtype})


def vectors(model: Path, texts: Sequence[str]) -> NDArray[np.float64]:
    """Unit vectors [n, d] of texts in float32, one at a time, so that no padding changes their last digits."""
    encoder = loaded(model, "float32")
    rows = encoder.encode(list(texts), batch_size=1).astype(np.float64)
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def say_differences(
    asked: argparse.Namespace, name: str, ours: Answers, first: str, theirs: Answers, console: Console
) -> None:
    """Prints each sentence that two variants answer with another one, and how near both answers are to it."""
    for language, answers in ours.items():
        source, target = lines(asked.data, language, language), lines(asked.data, language, "eng")
        for row, (a, b) in enumerate(zip(answers, theirs[language], strict=True)):
            if a != b:
                asking, mine, other = vectors(asked.model, [source[row], target[a], target[b]])
                same = "the same text" if target[a] == target[b] else "other texts"
                console.print(
                    f"{name}, {language}, row {row}: {a} where {first} has {b}; {same}, "
                    f"cosines {asking @ mine:.8f} and {asking @ other:.8f}"
                )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--languages", default=",".join(LANGUAGES))
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--dtypes", nargs="+", default=["float32", "auto"], help="of xrete")
    parser.add_argument("--peers", nargs="+", default=["float32"], help="of MTEB; auto is that of the weights")
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    languages = asked.languages.split(",")
    if asked.inside:
        run_mteb(asked, languages)
        return
    least: dict[str, tuple[float, float]] = {}
    answers: dict[str, Answers] = {}
    variants = commands(asked, languages)
    first = next(iter(variants))
    for _ in range(asked.rounds):
        for name, command in variants.items():
            with tempfile.TemporaryDirectory() as folder:
                times = measure(command, Path(folder))
                out = Path(folder) / "out"
                answers[name] = mteb_answers(out, languages) if name.startswith("mteb") else xrete_answers(out)
            least[name] = tuple(map(min, zip(times, least.get(name, times), strict=True)))
    table = Table("", "seconds", "processor", "times as fast", "processor", *languages)
    for name, (wall, processor) in least.items():
        ratios = (f"{theirs / own:.2f}" for theirs, own in zip(least[first], (wall, processor), strict=True))
        scores = (f"{accuracy(answers[name][language]):.2f}" for language in languages)
        table.add_row(name, f"{wall:.1f}", f"{processor:.1f}", *ratios, *scores)
    console = Console(width=150)
    console.print(table)
    for name in list(variants)[1:]:
        say_differences(asked, name, answers[name], first, answers[first], console)


if __name__ == "__main__":
    main()
