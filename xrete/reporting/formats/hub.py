"""For the hub: a card with evaluation results for each model, and a results folder that a pull request can carry.

The card's metadata is the hub's `model-index`, written by `huggingface_hub`. The hub's newer `.eval_results/` files
are for data sets that are registered there as benchmarks, which those of XRETE's tasks are not.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from xrete import __version__, registry
from xrete.errors import XreteError
from xrete.files import copy_file, write_text
from xrete.published.numbers import Publication, PublishedNumber
from xrete.record import find_items
from xrete.reporting.collect import Entry
from xrete.reporting.formats.markdown import escape, to_markdown
from xrete.reporting.leaderboard import ALL, Measure, TableCell
from xrete.reporting.published import name_elsewhere
from xrete.reporting.tables import columns, views
from xrete.reporting.tables.record_index import GEOMETRY, RecordIndex
from xrete.reporting.text import NAME_LIMIT, plain
from xrete.reporting.tuning import Tuned
from xrete.store import safe_name

TASK_TYPES = {
    "bitext": "sentence-similarity",
    "mining": "sentence-similarity",
    "similarity": "sentence-similarity",
    "ranking": "text-ranking",
    "choice": "multiple-choice",
    "geometry": "feature-extraction",
}
"""The hub's names of tasks, by shape; classification of any kind is the rest."""

OTHER_TASKS = "text-classification"


def write(
    entries: Sequence[Entry], request: views.Request, folder: Path, sources: Sequence[Path]
) -> Iterator[Path]:
    """Writes `models/MODEL/README.md` and `results/MODEL/…` below a folder, and yields the files.

    Only complete records of real data, without `--limit`, are published.

    Args:
        entries: The records.
        request: Which of them, and whose published numbers are wanted in the cards' tables.
        folder: Where the files go.
        sources: Results folders; records are found by their own paths.

    Raises:
        XreteError: there is no such record.
        RecordError: a record's items are missing or are not those that it was written with.
    """
    narrowed = request.narrowed(entries, kind="real")
    kept = [x for x in narrowed.entries if x.record.status == "complete" and x.record.data.limit is None]
    if not kept:
        raise XreteError("no complete record of real data, without --limit, is here to be published")
    by_model: dict[str, list[Entry]] = defaultdict(list)
    for entry in kept:
        by_model[entry.record.model.name].append(entry)
    published = [_by_model(publication) for publication in request.publications]
    for model, own in by_model.items():
        yield from _copied(own, folder / "results" / safe_name(model))
        path = folder / "models" / safe_name(model) / "README.md"
        names = list(filter(None, dict.fromkeys((model, name_elsewhere(model)))))
        theirs = tuple(
            replace(publication, numbers=tuple(x for name in names for x in numbers.get(name, ())))
            for publication, numbers in zip(request.publications, published, strict=True)
        )
        write_text(path, card(model, own, replace(request, publications=theirs)), synced=False)
        yield path


def _by_model(publication: Publication) -> dict[str, list[PublishedNumber]]:
    """Returns the numbers of each model: a card shows those of one, and there may be hundreds of cards."""
    by_model = defaultdict(list)
    for number in publication.numbers:
        by_model[number.model].append(number)
    return by_model


def card(model: str, entries: Sequence[Entry], request: views.Request) -> str:
    """Writes the card of one model.

    Args:
        model: Its name.
        entries: Its records.
        request: Whose published numbers stand in the table.
    """
    import yaml
    from huggingface_hub import EvalResult
    from huggingface_hub.repocard_data import eval_results_to_model_index

    index = RecordIndex(entries)
    results = [EvalResult(**_result(cell, index)) for cell in _numbers(index)]
    fast = yaml.CSafeDumper if yaml.__with_libyaml__ else yaml.SafeDumper  # `to_yaml` takes ten times as long
    metadata = {"tags": ["xrete"], "model-index": eval_results_to_model_index(plain(model), results)}
    wanted = views.Request(
        models=(model,), intervals=True, with_paper=request.with_paper, publications=request.publications
    )
    board = views.build(entries, wanted)
    revisions = sorted({entry.record.model.revision for entry in entries})
    lines = [
        "---",
        yaml.dump(metadata, Dumper=fast, sort_keys=False, allow_unicode=True).strip(),
        "---",
        "",
        f"# {escape(model, NAME_LIMIT)}",
        "",
        f"Scored with XRETE {__version__}; revision {', '.join(escape(x, NAME_LIMIT) for x in revisions)}.",
        "",
        to_markdown(board),
        "The records, with the outcome of every item, are in the results folder that came with this card;",
        "`xrete verify` checks them.",
        "",
    ]
    return "\n".join(lines)


def _numbers(index: RecordIndex) -> Iterator[TableCell]:
    """Yields the mean over all languages of every task and protocol, and of geometry its three metrics."""
    for task in sorted(index.tasks, key=columns.task_order):
        for subject in index.subjects:
            for protocol in sorted(index.protocols(subject, task)[0], key=columns.protocol_order):
                is_geometry = task == columns.GEOMETRY_TASK
                for metric in GEOMETRY if is_geometry else index.metrics(task, protocol, None):
                    cell = index.cell(subject, Measure(task=task, protocol=protocol, metric=metric, group=ALL))
                    if cell.value is not None:
                        yield cell


def _result(cell: TableCell, index: RecordIndex) -> dict[str, Any]:
    """Returns the fields of the hub's `EvalResult`; a line break in a name could end the card's metadata."""
    measure, evidence = cell.measure, cell.evidence
    assert evidence is not None
    coverage = f"{len(evidence.languages)} of {evidence.expected} languages"
    protocol = f"{measure.protocol} ({cell.subject.variant})" if cell.subject.variant else measure.protocol
    return {
        "task_type": TASK_TYPES.get(index.shape(measure.task), OTHER_TASKS),
        "task_name": plain(f"{measure.task}, {protocol}"),
        **_dataset(measure.task),
        "dataset_split": plain(evidence.split),
        "dataset_revision": evidence.revision and plain(evidence.revision),
        "metric_type": plain(measure.metric),
        "metric_name": plain(f"{measure.metric}, {protocol}, mean over {coverage}"),
        "metric_value": round(cell.value or 0.0, 4),
        "metric_args": {
            "protocol": plain(measure.protocol),
            "languages": plain(" ".join(evidence.languages)),
            "items": evidence.n,
            "ci95": None if cell.ci95 is None else [round(end, 4) for end in cell.ci95],
            "higher_is_better": cell.higher_is_better,
            "data_fingerprint": plain(evidence.fingerprint),
            **(_tuning(evidence.tuned) if evidence.tuned else {}),
        },
    }


def _tuning(tuned: Tuned) -> dict[str, Any]:
    return {
        "recipe": plain(tuned.recipe),
        "changes": plain(tuned.variant),
        "seeds": list(tuned.seeds),
        "spread": None if tuned.spread is None else round(tuned.spread, 4),
    }


@cache
def _dataset(task: str) -> dict[str, str]:
    """Returns what the hub calls a task's data; looking it up checks the whole plugin, and every card asks."""
    if task not in registry.names("tasks"):
        return {"dataset_type": plain(task), "dataset_name": plain(task)}
    known = registry.task(task).card
    return {"dataset_type": known.hub.repo if known.hub else task, "dataset_name": known.title}


def _copied(entries: Sequence[Entry], folder: Path) -> Iterator[Path]:
    for entry in entries:
        if entry.path is None:
            continue
        items = [] if entry.record.items is None else [find_items(entry.path, entry.record)]
        for file in (entry.path, *items):
            path = folder / file.name
            copy_file(file, path, synced=False)
            yield path
