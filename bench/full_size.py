"""Tasks at their full size, from files of random words with planted answers, through the command as users type it.

    python bench/full_size.py mewslix
    python bench/full_size.py bucc --kill 600 --limit 1500
    python bench/full_size.py multieurlex

Each makes its files below --out, if they are not there, and runs `xrete run` on them with a static encoder: a
table of word vectors, in which both languages' words for one thing lie close together. So encoding takes next to no
time, and the right answers are known. With --kill the command is killed after so many seconds and given again, as
often as it takes; with --limit what is not done after so many seconds in all is given up. The line at the end has
wall and processor time, and the peak of memory beyond the vectors.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xrete.tasks import bucc, mewslix, multieurlex

WORDS = 30_000
DIMENSION = 64
SENTENCE, DESCRIPTION, DOCUMENT = 14, 24, 512
"""Words of a sentence of BUCC, of an entity's description, of a law."""
RUSSIAN = 460_853
"""Lines of the Russian side of BUCC's training part."""
LAWS = {"train": 55_000, "dev": 5_000, "test": 5_000}

Words = NDArray[np.int64]


def words(language: str, rows: Words) -> Iterator[str]:
    """Yields a text for each row of word numbers [n, words]."""
    for row in rows:
        yield " ".join(f"{language}{number}" for number in row)


def draw(random: np.random.Generator, n: int, length: int) -> Words:
    """Draws word numbers [n, length]; the frequent ones come first, as in text."""
    return np.asarray(WORDS * random.random((n, length)) ** 2, np.int64)


def translated(random: np.random.Generator, rows: Words) -> Words:
    """Returns rows [n, words] with a quarter of their words changed."""
    return np.where(random.random(rows.shape) < 0.25, draw(random, *rows.shape), rows)


def write_encoder(folder: Path) -> None:
    """Writes a static encoder for sentence-transformers, in which `a7` and `b7` are one thing in two languages."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer, models, pre_tokenizers

    random = np.random.default_rng(1)
    things = random.standard_normal((WORDS, DIMENSION))
    table = [things + 0.3 * random.standard_normal(things.shape) for _ in "ab"]
    unknown = random.standard_normal((1, DIMENSION))
    names = ["?", *(f"{language}{number}" for language in "ab" for number in range(WORDS))]
    tokenizer = Tokenizer(models.WordLevel({name: place for place, name in enumerate(names)}, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    weights = np.concatenate([unknown, *table]).astype(np.float32)
    SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_weights=weights)]).save(str(folder))


def write_bucc(folder: Path, source: int, target: int, gold: int) -> None:
    """Writes one pair of languages: `gold` lines of each side translate each other, at random places."""
    random = np.random.default_rng(2)
    folder = folder / "bucc2018" / "ru-en"
    folder.mkdir(parents=True, exist_ok=True)
    russian, english = draw(random, source, SENTENCE), draw(random, target, SENTENCE)
    left, right = (np.sort(random.permutation(n)[:gold]) for n in (source, target))
    english[right] = translated(random, russian[left])
    for code, language, rows in (("ru", "b", russian), ("en", "a", english)):
        lines = (f"{code}-{number:09d}\t{text}\n" for number, text in enumerate(words(language, rows)))
        (folder / f"ru-en.training.{code}").write_text("".join(lines), "utf-8")
    pairs = (f"ru-{i:09d}\ten-{j:09d}\n" for i, j in zip(left, right, strict=True))
    (folder / "ru-en.training.gold").write_text("".join(pairs), "utf-8")


def write_mewslix(folder: Path, entities: int, mentions: dict[str, int]) -> None:
    """Writes entities, and mentions in every language of some of them."""
    random = np.random.default_rng(3)
    folder = folder / "mewslix"
    folder.mkdir(parents=True, exist_ok=True)
    known = draw(random, entities, DESCRIPTION)
    with (folder / "candidate_set_entities.jsonl").open("w", encoding="utf-8") as file:
        for number, text in enumerate(words("a", known)):
            spans = [{"start": 0, "end": len(text)}]
            row = {"entity_id": f"Q{number}", "description": text, "sentence_spans": spans}
            file.write(json.dumps(row) + "\n")
    with (folder / "wikinews_mentions-test.jsonl").open("w", encoding="utf-8") as file:
        for language, count in mentions.items():
            asked = random.choice(entities, count, replace=False)
            for number, text in zip(asked, words("b", translated(random, known[asked])), strict=True):
                name = text.partition(" ")[0]
                context = {
                    "language": language, "text": text, "sentence_spans": [{"start": 0, "end": len(text)}],
                }  # fmt: skip
                span = {"start": 0, "end": len(name), "text": name}
                found = {"example_id": f"{language}-{number}", "mention_span": span, "entity_id": f"Q{number}"}
                file.write(json.dumps({"context": context, "mentions": [found]}) + "\n")


def write_multieurlex(folder: Path, laws: dict[str, int]) -> None:
    """Writes laws in one language; each label has words of its own, a twentieth of those of a law that has it."""
    random = np.random.default_rng(4)
    folder = folder / "multieurlex"
    folder.mkdir(parents=True, exist_ok=True)
    labels = multieurlex.CONCEPTS
    signs = draw(random, len(labels), DOCUMENT // 20)
    for split, count in laws.items():
        with (folder / f"{split}.jsonl").open("w", encoding="utf-8") as file:
            for number in range(count):
                law = draw(random, 1, DOCUMENT)
                own = np.flatnonzero(random.random(len(labels)) < 0.15)
                own = own if len(own) else np.array([number % len(labels)])
                marks = signs[own].ravel()[:DOCUMENT]
                law[0, : len(marks)] = marks
                concepts = {"level_1": [labels[label] for label in own]}
                row = {
                    "celex_id": f"{split}-{number}", "text": {"en": next(words("a", law))},
                    "eurovoc_concepts": concepts,
                }  # fmt: skip
                file.write(json.dumps(row) + "\n")


@dataclass(frozen=True)
class Measured:
    """What a command took: seconds on the clock and of the processor, bytes at the peak, and how often it began."""

    wall: float
    processor: float
    memory: int
    starts: int
    ended: bool


def measure(command: Sequence[str], environment: dict[str, str], kill: float, limit: float) -> Measured:
    """Runs a command to its end; it is killed every `kill` seconds, and given up after `limit` (0: never)."""
    began, starts = time.perf_counter(), 0
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    while True:
        starts += 1
        process = subprocess.Popen(command, env={**os.environ, **environment})
        rest = began + limit - time.perf_counter() if limit else None
        try:
            code = process.wait(min(filter(None, (kill, rest)), default=None))
            ended = True
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            code, ended = process.wait(), False
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        wall = time.perf_counter() - began
        processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        if ended or (limit and wall >= limit):
            return Measured(wall, processor, after.ru_maxrss * 1024, starts, code == 0)
        print(f"killed after {wall:,.0f} s; given again", flush=True)


def vectors(task: str) -> int:
    """Returns the bytes of the vectors that a task must hold at once."""
    texts = {
        "bucc": RUSSIAN + bucc.ENGLISH["ru-en"],
        "mewslix": sum(mewslix.TEST.values()),  # its candidates stream
        "multieurlex": sum(LAWS.values()),
    }
    return texts[task] * DIMENSION * 4


def make(task: str, folder: Path) -> None:
    """Makes the files of a task, if they are not there."""
    done = folder / f"{task}.made"
    if done.exists():
        return
    if task == "bucc":
        write_bucc(folder / "data", RUSSIAN, bucc.ENGLISH["ru-en"], bucc.TASK.card.counts["test"]["ru-en"])
    elif task == "mewslix":
        write_mewslix(folder / "data", mewslix.ENTITIES, mewslix.TEST)
    else:
        write_multieurlex(folder / "data", LAWS)
    done.touch()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=["bucc", "mewslix", "multieurlex"])
    parser.add_argument("--out", type=Path, default=Path("full-size"))
    parser.add_argument("--kill", type=float, default=0, help="seconds; 0 never")
    parser.add_argument("--limit", type=float, default=0, help="seconds; 0 none")
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    if not (asked.out / "encoder").exists():
        write_encoder(asked.out / "encoder")
    make(asked.task, asked.out)
    languages = {
        "bucc": ["--languages", "ru-en"],
        "mewslix": [],
        "multieurlex": ["--languages", "en", "--train-languages", "en"],
    }
    command = [
        sys.executable, "-m", "xrete", "run", "--model", f"st:{asked.out / 'encoder'}", "--task", asked.task,
        "--data", str(asked.out / "data"), "--results", str(asked.out / "results"), *languages[asked.task],
    ]  # fmt: skip
    one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TOKENIZERS_PARALLELISM"), "1")
    environment = {**one, "TOKENIZERS_PARALLELISM": "false", "XRETE_CACHE": str(asked.out / "cache")}
    measured = measure(command, environment, asked.kill, asked.limit)
    beyond = (measured.memory - vectors(asked.task)) / 2**30
    row: dict[str, Any] = {
        "task": asked.task,
        "ended": measured.ended,
        "starts": measured.starts,
        "wall_s": round(measured.wall),
        "processor_s": round(measured.processor),
        "peak_gib": round(measured.memory / 2**30, 2),
        "beyond_vectors_gib": round(beyond, 2),
    }
    print(json.dumps(row))


if __name__ == "__main__":
    main()
