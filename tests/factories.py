"""Records for tests, as fixtures: `make_record` and `make_tuned` build one, `results` is a folder for them."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from xrete import registry
from xrete.record import FineTuning, Record, TrainingRun, write_record
from xrete.reporting.collect import Entry
from xrete.store import Outcome, Slot
from xrete.training.finetune import overrides

MakeRecord = Callable[..., Record]
MakeEntries = Callable[[Iterable[Record]], list[Entry]]
SaveRecord = Callable[..., Path]

HASH = "5d41402abc4b2a76b9719d911017c592"


def record(
    model: str = "use-m3",
    task: str = "tatoeba",
    scores: Mapping[str, float] | None = None,
    *,
    missing: Sequence[str] = (),
    groups: Mapping[str, Sequence[str]] | None = None,
    variants: Mapping[str, float] | None = None,
    protocol: str = "zero-shot",
    metric: str = "accuracy",
    higher_is_better: bool = True,
    status: str = "complete",
    error: str | None = None,
    revision: str = "1.0",
    source: str = "dir",
    fingerprint: str | None = None,
    split: str = "test",
    limit: int | None = None,
    n: int = 1000,
    created: str = "2026-05-01T12:00:00+00:00",
) -> Record:
    """Builds a record whose means follow from `scores`; `variants` are offsets from the headline metric."""
    scores = {} if scores is None and status != "complete" else scores or {"deu": 90.0, "swh": 60.0}
    variants = variants or {}
    languages = {code: _language(score, n, variants) for code, score in scores.items()}
    members = {"all": [*scores, *missing], **(groups or {})}
    means = {name: _group(codes, scores, variants) for name, codes in members.items()}
    found = {name: mean for name, mean in means.items() if mean["languages"]}
    total = found.get("all", {"score": None, "ci95": None})
    return Record.model_validate(
        {
            "status": status,
            "error": error,
            "command": f"xrete run --model {model} --task {task}",
            "model": {
                "name": model,
                "revision": revision,
                "params": None,
                "dim": 512,
                "pooling": "mean",
                "prefix": "",
                "max_length": 256,
            },
            "fingerprint": None,
            "task": task,
            "shape": "bitext",
            "protocol": protocol,
            "metric": metric,
            "higher_is_better": higher_is_better,
            "score": total["score"],
            "ci95": total["ci95"],
            "languages": languages,
            "groups": found,
            "missing_languages": missing,
            "data": {
                "source": source,
                "revision": None,
                # As in real records: other languages or another source make another fingerprint.
                "fingerprint": fingerprint or f"{'-'.join(sorted(scores))}:{split}:{source == 'mini'}",
                "split": split,
                "limit": limit,
            },
            "code": {"version": "0.1.0", "commit": None, "dirty": None},
            "environment": {
                "python": "3.11",
                "platform": "linux",
                "versions": {},
                "device": "cpu",
                "dtype": "float32",
                "processes": 1,
                "seed": 0,
            },
            "items": None,
            "interval": {"method": "percentile bootstrap over items", "resamples": 1000, "seed": 0},
            "cost": {
                "seconds": 1.0,
                "sentences": 10,
                "sentences_cached": 0,
                "sentences_per_second": 10.0,
                "truncated": 0,
                "peak_memory_bytes": 1,
            },
            "created": created,
        }
    )


def _language(score: float, n: int, variants: Mapping[str, float]) -> dict[str, Any]:
    return {"score": score, "n": n, "ci95": _interval(score), "variants": _shift(score, variants)}


def _group(codes: Sequence[str], scores: Mapping[str, float], variants: Mapping[str, float]) -> dict[str, Any]:
    present = [code for code in codes if code in scores]
    score = sum(scores[code] for code in present) / max(1, len(present))
    return {
        "score": score,
        "ci95": _interval(score),
        "languages": present,
        "missing": [code for code in codes if code not in scores],
        "variants": _shift(score, variants),
    }


def _interval(score: float) -> tuple[float, float]:
    return (score - 1.5, score + 1.3) if score > 5 else (score * 0.9, score * 1.1)


def _shift(score: float, variants: Mapping[str, float]) -> dict[str, float]:
    return {name: score + offset for name, offset in variants.items()}


def tuned(
    model: str = "xlmr",
    task: str = "xnli",
    scores: Mapping[str, float] | None = None,
    *,
    recipe_name: str | None = None,
    changes: Sequence[str] = (),
    seeds: Sequence[int] = (1,),
    train_languages: str = "all",
    train_split: str | None = None,
    lora: int | None = None,
    **options: Any,
) -> Record:
    """Builds a record of fine-tuning, with one run for each seed; `changes` are those of `--set`.

    A task that is not installed has the recipes of `xnli`.
    """
    made = record(model, task, scores or {"de": 70.0, "en": 90.0}, protocol="fine-tune", n=100, **options)
    card = registry.task(task if task in registry.names("tasks") else "xnli").card
    runs = [TrainingRun(seed=seed, score=(made.score or 0) + place, stages=()) for place, seed in enumerate(seeds)]
    tuning = FineTuning(
        recipe=recipe_name or next(iter(card.recipes)),
        stages=tuple(map(overrides.described, overrides.choose(card, recipe_name, changes))),
        train_languages=train_languages,
        train_split=train_split,
        lora=lora,
        runs=tuple(runs),
        spread=0.5 if len(seeds) > 1 else None,
    )
    return made.model_copy(update={"fine_tuning": tuning})


def entry(results: Path, made: Record) -> Entry:
    """Saves a record with items that have its scores.

    Of two models the better one has right all that the other one has. Items are those of the shapes that records of
    tests have: `bitext` for shares, `ordinal` for mean absolute errors.
    """
    slot = Slot(results, made.model.name, made.task, made.protocol, made.data.source, f"{_count(results):012x}")
    if made.status != "complete":
        write_record(slot.record_file, made)
    else:
        shape = "ordinal" if made.metric == "mae" else "bitext"
        outcomes = {x: Outcome(_items(shape, score.score, score.n), None) for x, score in made.languages.items()}
        made = slot.save(made.model_copy(update={"shape": shape}), outcomes)
    return Entry(slot.record_file.relative_to(results).as_posix(), made, slot.record_file)


def _count(results: Path) -> int:
    return len(list(results.rglob("*.json")))


def _items(shape: str, score: float, n: int) -> dict[str, NDArray[Any]]:
    rows = np.arange(n)
    if shape == "ordinal":
        return {"gold": np.full(n, 1), "prediction": np.where(rows < round(n * score), 2, 1)}
    return {"xx2en": np.where(rows < round(n * score / 100), rows, n), "en2xx": rows}


@pytest.fixture(scope="session")
def make_entries(tmp_path_factory: pytest.TempPathFactory) -> MakeEntries:
    """Saves records with items that have their scores."""

    def make(records: Iterable[Record]) -> list[Entry]:
        folder = tmp_path_factory.mktemp("entries")
        return [entry(folder, made) for made in records]

    return make


@pytest.fixture
def save_entry(results: Path) -> Callable[[Record], Entry]:
    """Saves a record with items that have its scores into the results folder."""
    return functools.partial(entry, results)


@pytest.fixture(scope="session")
def make_record() -> MakeRecord:
    """The factory."""
    return record


@pytest.fixture(scope="session")
def make_tuned() -> MakeRecord:
    """The factory of records of fine-tuning."""
    return tuned


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """An empty results folder."""
    folder = tmp_path / "results"
    folder.mkdir()
    return folder


@pytest.fixture
def save_record(results: Path) -> SaveRecord:
    """Builds a record and writes it into the results folder; takes what the factory takes."""
    numbers = itertools.count()

    def save(*arguments: Any, **options: Any) -> Path:
        path = results / f"model-{next(numbers):03}" / "record.json"
        write_record(path, record(*arguments, **options))
        return path

    return save
