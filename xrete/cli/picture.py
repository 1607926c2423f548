"""`xrete picture`: pictures of a model's space, and the numbers behind them."""

from __future__ import annotations

import json
import math
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xrete.cli import options
from xrete.errors import UsageError

if TYPE_CHECKING:
    from xrete.dataset import Dataset
    from xrete.encoding.embedder import Embedder
    from xrete.model import ModelIdentity
    from xrete.registry import ModelRequest
    from xrete.shapes.contract import JointScores
    from xrete.vectors.projection import Projection, Sample

SCHEMA = "xrete/picture/1"


def picture(
    model: Annotated[str, typer.Option("--model", help="NAME or NAME:CHECKPOINT.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for the pictures.")],
    task: Annotated[str, typer.Option("--task", help="A task of shape geometry.")] = "flores-geometry",
    data: options.Data = "auto",
    languages: options.Languages = None,
    split: options.Split = None,
    limit: options.Limit = None,
    sentences: Annotated[int, typer.Option("--sentences", min=3, help="Most sentences in a picture.")] = 60,
    most: Annotated[
        int,
        typer.Option(
            "--most-languages",
            min=2,
            max=28,
            help="Most languages to draw at random; English is always among them.",
        ),
    ] = 20,
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:1, mps.")] = "auto",
    seed: Annotated[int, typer.Option("--seed", help="For the sample and for t-SNE.")] = 42,
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Neither read nor keep embeddings on disk.")] = False,
    no_text: Annotated[
        bool,
        typer.Option("--no-text", help="Show numbers in place of sentences, which may not be shared."),
    ] = False,
    plugin: options.Plugin = None,
    json_: options.Json = False,
) -> None:
    """Draw a model's space as in the paper's Figure 2.

    Writes t-SNE and PCA coloured by language and by meaning, and an isotropy view, each as SVG and PNG, and
    picture.json with coordinates, languages, sentences and kl, ch and pr of the languages drawn.

    Examples:
        xrete picture --model me5-small --data mini --out pictures
        xrete picture --model labse --data DIR --languages en,de,sw,yo,ta --out pictures
    """
    from xrete import registry
    from xrete.cli import output
    from xrete.dataset import open_dataset
    from xrete.encoding.embedder import Embedder
    from xrete.reporting import pictures
    from xrete.store import PICTURE
    from xrete.vectors.projection import project

    pictures.check_installed()
    _check_shape(task)
    request = registry.request_model(model, device=device)
    wanted = options.split_commas("--languages", [languages]) if languages else None
    whole = open_dataset(registry.task(task), data, split=split, languages=wanted, limit=limit)
    dataset = _narrowed(whole, most, seed)
    if dataset.source.kind == "mini":
        output.warn_mini([dataset.card.name], dataset.fallback)
    with ExitStack() as stack:
        embedder = Embedder(request.load().encoder, _cache(request.identity, no_cache, stack))
        scores = _measured(request, dataset, embedder)
        sample = _sampled(dataset, embedder, sentences, seed, no_text)
    projection = project(sample, seed)
    highlighted = _highlighted(sample, seed)
    files = pictures.draw(
        projection,
        scores.groups["all"],
        {language: values["kl"] for language, values in scores.languages.items()},
        highlighted,
        _subtitle(request, dataset, sample),
        out,
    )
    files.append(out / PICTURE)
    content = _content(request, dataset, projection, highlighted, seed) | _numbers(scores)
    _write_json(files[-1], content)
    for file in files:
        typer.echo(json.dumps({"file": str(file)}) if json_ else f"wrote {file}")


def _check_shape(task: str) -> None:
    from xrete import registry
    from xrete.shapes import load_shape
    from xrete.shapes.contract import JointShape

    if not isinstance(load_shape(registry.task(task).card.shape), JointShape):
        raise UsageError(f"{task} has no geometry to draw; use --task flores-geometry")


def _narrowed(dataset: Dataset, most: int, seed: int) -> Dataset:
    """Draws languages where there are more than fit; English stays, because the others are compared with it."""
    from xrete.dataset import Dataset
    from xrete.shapes.geometry import english_of
    from xrete.vectors.projection import choose

    english = english_of(dataset.languages)
    keep = [] if english is None else [dataset.languages.index(english)]
    chosen = choose(len(dataset.languages), most, seed, keep)
    return Dataset(
        dataset.task,
        dataset.source,
        split=dataset.split,
        languages=[dataset.languages[number] for number in chosen],
        limit=dataset.limit,
        fallback=dataset.fallback,
    )


def _cache(identity: ModelIdentity, without: bool, stack: ExitStack) -> Any:
    import sqlite3

    from xrete.encoding.cache import DiskCache, NoCache
    from xrete.files import cache_root
    from xrete.model import UNVERSIONED

    if without or identity.revision == UNVERSIONED:
        return NoCache()
    try:
        return stack.enter_context(DiskCache(cache_root() / "embeddings", identity.digest))
    except (OSError, sqlite3.Error):
        return NoCache()  # costs time, not the pictures


def _measured(request: ModelRequest, dataset: Dataset, embedder: Embedder) -> JointScores:
    from xrete.cli import output
    from xrete.shapes.contract import JointShape

    assert isinstance(dataset.shape, JointShape)  # `_check_shape` has made sure
    total = sum(dataset.shape.count_texts(dataset[language]) for language in dataset.languages)
    with output.sentences(f"{request.identity.name} · {dataset.card.name}", total) as progress:
        embedder.progress = progress
        return dataset.shape.joint(dataset, embedder)


def _sampled(dataset: Dataset, embedder: Embedder, sentences: int, seed: int, no_text: bool) -> Sample:
    import numpy as np

    from xrete.shapes.geometry import english_of
    from xrete.vectors.projection import Sample, choose

    caption = english_of(dataset.languages) or dataset.languages[0]
    rows = choose(len(dataset[caption]), sentences, seed)
    embedder.progress = lambda encoded, cached: None
    vectors = [embedder([dataset[language][row] for row in rows]) for language in dataset.languages]
    captions = tuple(f"sentence {row + 1}" if no_text else dataset[caption][row] for row in rows)
    return Sample(dataset.languages, tuple(rows), captions, np.stack(vectors))


def _highlighted(sample: Sample, seed: int) -> list[int]:
    from xrete.reporting.pictures import MOST_SENTENCES
    from xrete.vectors.projection import choose

    return choose(len(sample.rows), MOST_SENTENCES, seed)


def _subtitle(request: ModelRequest, dataset: Dataset, sample: Sample) -> str:
    mini = ", mini sample" if dataset.source.kind == "mini" else ""
    count = len(dataset[dataset.languages[0]])
    return (
        f"{request.identity.name} · {dataset.card.name}, {dataset.split}{mini} · "
        f"{len(sample.languages)} languages × {len(sample.rows)} of {count:,} sentences"
    )


def _content(
    request: ModelRequest, dataset: Dataset, projection: Projection, highlighted: list[int], seed: int
) -> dict[str, Any]:
    sample = projection.sample
    planes = {"tsne": projection.tsne, "pca": projection.components}
    return {
        "schema": SCHEMA,
        "model": {"name": request.identity.name, "revision": request.identity.revision},
        "task": dataset.card.name,
        "data": {"source": dataset.source.kind, "split": dataset.split, "limit": dataset.limit},
        "seed": seed,
        "sentences": [{"row": row, "text": text} for row, text in zip(sample.rows, sample.captions, strict=True)],
        "highlighted": [sample.rows[position] for position in highlighted],
        "isolation": dict(zip(sample.languages, projection.isolation.round(4).tolist(), strict=True)),
        "explained": projection.explained,
        "spectrum": [float(f"{share:.4g}") for share in projection.spectrum],
        **{
            name: dict(zip(sample.languages, points.round(4).tolist(), strict=True))
            for name, points in planes.items()
        },
    }


def _numbers(scores: JointScores) -> dict[str, Any]:
    return {"all": _finite(scores.groups["all"]), "languages": {x: _finite(v) for x, v in scores.languages.items()}}


def _finite(values: Any) -> dict[str, float | None]:
    """JSON has no infinity; null says that there is no number."""
    return {name: value if math.isfinite(value) else None for name, value in values.items()}


def _write_json(path: Path, content: dict[str, Any]) -> None:
    from xrete.files import write_text

    write_text(path, json.dumps(content, ensure_ascii=False, allow_nan=False) + "\n")
