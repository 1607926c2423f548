"""The hub's repositories of all fourteen tasks in their layouts, with few sentences, all of our own."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from xrete import registry
from xrete.tasks.flores import ENGLISH
from xrete.tasks.lareqa import sentence_breaks
from xrete.tasks.multieurlex import CONCEPTS
from xrete.tasks.multists import SWAPPED
from xrete.tasks.qe import TRAINED

Files = dict[str, bytes]
Rows = Mapping[str, Sequence[Any]]

WORDS = "river stone morning letter garden window winter bridge candle market silver harbour".split()
SIZE = 12
"""Items of each language and split."""
NLI = ("entailment", "neutral", "contradiction")
SPLITS = ("train", "validation", "test")


def sentence(language: str, row: int, part: str = "") -> str:
    """A sentence of our own; equal numbers share words in all languages, equal parts and languages too."""
    return " ".join(filter(None, (WORDS[row % 12], WORDS[(row * 5 + 3) % 12], f"number{row}", language, part)))


def parquet(rows: Rows, labels: Mapping[str, Sequence[str]] | None = None) -> bytes:
    """A parquet file as `datasets` writes it, with the names of class labels in its schema."""
    features = {name: {"names": list(names), "_type": "ClassLabel"} for name, names in (labels or {}).items()}
    table = pa.table(dict(rows)).replace_schema_metadata(
        {"huggingface": json.dumps({"info": {"features": features}})}
    )
    file = io.BytesIO()
    pq.write_table(table, file)
    return file.getvalue()


def json_lines(rows: Iterable[Mapping[str, Any]]) -> bytes:
    return "".join(f"{json.dumps(row)}\n" for row in rows).encode()


def card(files: Mapping[str, Mapping[str, str]]) -> bytes:
    """A repository's card: for each config, the pattern of each split."""
    lines = ["---", "configs:"]
    for config, splits in files.items():
        lines += [f"- config_name: {config}", "  data_files:"]
        lines += [line for split, path in splits.items() for line in (f"  - split: {split}", f"    path: {path}")]
    return "\n".join([*lines, "---", ""]).encode()


def by_config(configs: Iterable[str], splits: Sequence[str], rows: Any, **labels: Sequence[str]) -> Files:
    """CONFIG/SPLIT-00000-of-00001.parquet, the usual layout; `rows` gives those of a config and split."""
    configs = list(configs)
    files = {"README.md": card({x: {split: f"{x}/{split}-*" for split in splits} for x in configs})}
    for config in configs:
        for split in splits:
            files[f"{config}/{split}-00000-of-00001.parquet"] = parquet(rows(config, split), labels)
    return files


def gzipped(configs: Iterable[str], rows: Any) -> Files:
    """test/CONFIG.jsonl.gz."""
    paths = {config: f"test/{config}.jsonl.gz" for config in configs}
    files = {path: gzip.compress(json_lines(rows(config)), mtime=0) for config, path in paths.items()}
    return {"README.md": card({config: {"test": path} for config, path in paths.items()}), **files}


def entailment(language: str, split: str) -> Rows:
    numbers = range(SIZE)
    return {
        "premise": [sentence(language, row, split) for row in numbers],
        "hypothesis": [sentence(language, row + row % 3, NLI[row % 3]) for row in numbers],
        "label": [row % 3 for row in numbers],
    }


def paraphrases(language: str, split: str) -> Rows:
    rows = entailment(language, split)
    return {
        "id": list(range(1, SIZE + 1)),
        "sentence1": rows["premise"],
        "sentence2": rows["hypothesis"],
        "label": [row % 2 for row in range(SIZE)],
    }


def causes(language: str, split: str) -> Rows:
    return {
        "premise": [sentence(language, row, split) for row in range(SIZE)],
        "choice1": [sentence(language, row, "first") for row in range(SIZE)],
        "choice2": [sentence(language, row + 1, "second") for row in range(SIZE)],
        "question": ["cause" if row % 2 else "effect" for row in range(SIZE)],
        "label": [row % 2 for row in range(SIZE)],
        "idx": list(range(SIZE)),
    }


def judged(pair: str, split: str) -> Rows:
    first, second = pair.split("-")
    blank = pair == "ru-en" and split == "test"
    return {
        "segid": list(range(SIZE)),
        "translation": [
            {first: sentence(first, row), second: sentence(second, row + row % 4)} for row in range(SIZE)
        ],
        "mean": [-10_000.0 if blank else 60.0 + row for row in range(SIZE)],
        "z_mean": [-10_000.0 if blank else row / 10 - 0.5 for row in range(SIZE)],
    }


def laws(language: str, split: str) -> Rows:
    return {
        "id": [f"law{row}" for row in range(2 * SIZE)],
        "text": [sentence(language, row, split) for row in range(2 * SIZE)],
        "label": [[row % len(CONCEPTS), (row + 3) % len(CONCEPTS)] for row in range(2 * SIZE)],
    }


def reviews(language: str, split: str) -> Rows:
    return {
        "id": [f"{language}{row}" for row in range(SIZE)],
        "text": [f"{WORDS[row % 5]}\n\n{sentence(language, row, split)}" for row in range(SIZE)],
        "label": [row % 5 for row in range(SIZE)],
    }


def paragraphs(language: str, split: str) -> Rows:
    """Texts as long as those of XQuAD-R, so that its sentence breaks fit, with a question on the start of each."""
    rows: dict[str, list[Any]] = {name: [] for name in ("id", "context", "question", "answers")}
    for number, (length, lead, *ends) in enumerate(sentence_breaks()[language]):
        words = (f"{WORDS[(number + place) % 12]}{place}" for place in range(length))
        context = "".join(f"{word} " for word in words)[: length - 1] + "."
        rows["id"].append(f"question{number}")
        rows["context"].append(context)
        rows["question"].append(f"{WORDS[number % 12]}0 of {language}?")
        rows["answers"].append({"text": [context[ends[0] : ends[0] + 5]], "answer_start": [ends[0] + lead]})
    return rows


def corpora(pair: str, split: str) -> Rows:
    left, right = (
        [sentence(language, row + shift) for row in range(2 * SIZE)]
        for language, shift in zip(pair.split("-"), (0, SIZE), strict=True)
    )
    gold = [[row + SIZE + 1, row + 1] for row in range(SIZE)]
    return {"sentence1": [left], "sentence2": [right], "gold": [gold]}


def mentions(languages: Iterable[str]) -> Iterator[Mapping[str, Any]]:
    for language in languages:
        for row in range(SIZE):
            name, text = f"Name{row}", f"Name{row} is {sentence(language, row)}."
            yield {
                "context": {"language": language, "text": text, "sentence_spans": [{"start": 0, "end": len(text)}]},
                "mentions": [
                    {
                        "example_id": f"{language}-{row}", "entity_id": f"Q{row}",
                        "mention_span": {"start": 0, "end": len(name), "text": name},
                    }
                ],
            }  # fmt: skip


def entities() -> Iterator[Mapping[str, Any]]:
    for row in range(2 * SIZE):
        text = f"Name{row}, {sentence('en', row)}."
        yield {"entity_id": f"Q{row}", "description": text, "sentence_spans": [{"start": 0, "end": len(text)}]}


def archive(members: Mapping[str, bytes]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as packed:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            packed.addfile(entry, io.BytesIO(content))
    return file.getvalue()


def mewslix(languages: Sequence[str]) -> Files:
    raw = {f"raw/wikinews_mentions-{split}.jsonl": json_lines(mentions(languages)) for split in ("dev", "test")}
    return {
        "README.md": card({"ar": {"test": "wikinews_mentions/ar/test.jsonl"}}),
        "process.py": b"raise RuntimeError('code of the repository ran')",
        "raw.tar.gz": archive({**raw, "raw/candidate_set_entities.jsonl": json_lines(entities())}),
        "wikinews_mentions/ar/test.jsonl": b"{}\n",
    }


def flores(languages: Sequence[str]) -> Files:
    def rows(split: str) -> Rows:
        return {
            language: [sentence("", row, split) + language[:1] for row in range(SIZE)] for language in languages
        }

    files = {f"data/{split}-00000-of-00001.parquet": parquet(rows(split)) for split in ("dev", "devtest")}
    return {"README.md": card({"default": {x: f"data/{x}-*" for x in ("dev", "devtest")}}), **files}


def pairs(language: str) -> Iterator[Mapping[str, Any]]:
    for row in range(SIZE):
        yield {"sentence1": sentence(language, row), "sentence2": sentence("eng", row), "score": row / 3}


def repositories() -> dict[str, Files]:
    """The files of every repository that a task is scored from, by its name."""
    languages = {name: registry.task(name).card.languages for name in registry.names("tasks")}
    of_task: dict[str, Files] = {
        "tatoeba": gzipped((f"{x}-eng" for x in languages["tatoeba"]), pairs),
        "flores": flores([*languages["flores"], ENGLISH]),
        "bucc": by_config(languages["bucc"], ["test"], corpora),
        "lareqa": by_config(languages["lareqa"], ["validation"], paragraphs),
        "mewslix": mewslix(languages["mewslix"]),
        "xnli": by_config(languages["xnli"], SPLITS, entailment, label=NLI),
        "americasnli": by_config(languages["americasnli"], SPLITS[1:], entailment, label=NLI),
        "pawsx": by_config(languages["pawsx"], SPLITS, paraphrases, label=("0", "1")),
        "xcopa": by_config(languages["xcopa"], SPLITS[1:], causes),
        "multists": gzipped((SWAPPED.get(x, x) for x in languages["multists"]), pairs),
        "qe": by_config(TRAINED, SPLITS, judged),
        "multieurlex": by_config(languages["multieurlex"], SPLITS, laws),
        "multiarc": by_config(languages["multiarc"], SPLITS, reviews),
    }
    repos = {name: registry.task(name).card.hub for name in of_task}
    return {hub.repo: of_task[name] for name, hub in repos.items() if hub} | {
        "aps/super_glue": by_config(["copa"], SPLITS[:2], causes, label=("choice1", "choice2"))
    }
