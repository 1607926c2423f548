"""The encoder as a folder of sentence-transformers: what XRETE scores and `SentenceTransformer` loads."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from xrete.encoding.export import ExportedModule, write_dense, write_folder, write_json, write_nothing
from xrete.files import write_text
from xrete.quiet import quiet

from .folders import TRAINING

if TYPE_CHECKING:
    from .start import Start


def write_model(folder: Path, start: Start, weights: dict[str, Tensor], card: dict[str, Any]) -> None:
    """Writes the folder.

    Args:
        folder: Does not exist yet.
        start: What the run started from: its tokenizer, and its modules, whose own weights are not read.
        weights: Whole weights of the query encoder, by the names of `Query`, each of its own shape [...].
        card: How it was trained.
    """
    encoder = start.query.encoder
    parts: list[ExportedModule] = [("Normalize", write_nothing)]
    if encoder.pooling == "pooler_dense":
        layers = (("transformer.pooler.dense", "activation.Tanh"), ("dense", "linear.Identity"))
        parts = [
            ("Dense", partial(write_dense, _part(weights, name), activation=how)) for name, how in layers
        ] + parts
    with quiet():
        write_folder(
            folder,
            encoder.transformer,
            start.tokenizer,
            pooling=encoder.pooling,
            max_length=start.max_length,
            parts=parts,
            state=_part(weights, "transformer"),
        )
    write_json(folder / TRAINING, card)
    write_text(folder / "README.md", _readme(card))


def _part(weights: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    """Returns the weights of one part of the encoder, by its own names."""
    prefix = f"encoder.{name}."
    return {key.removeprefix(prefix): value for key, value in weights.items() if key.startswith(prefix)}


def _readme(card: dict[str, Any]) -> str:
    """The card as people read it."""
    lines = [
        "---",
        "library_name: sentence-transformers",
        "pipeline_tag: sentence-similarity",
        "tags: [emma-x, cross-lingual, sentence-transformers]",
        "---",
        "",
        "# EMMA-X encoder",
        "",
        f"Pretrained with `xrete pretrain emmax` {card['xrete']} (arXiv 2310.17233), from {card['start']}.",
        f"Reached: phase {card['phase']}, step {card['step']}. All settings are in `{TRAINING}`.",
        "",
        "```python",
        "from sentence_transformers import SentenceTransformer",
        "",
        'vectors = SentenceTransformer("FOLDER").encode(["A sentence.", "Ein Satz."])',
        "```",
        "",
        "## Corpora",
        "",
        *(f"- {line}" for line in _corpora(card["corpora"])),
        "",
        "## Test sentences in the corpora",
        "",
        *(f"- {line}" for line in _overlap(card["overlap"])),
        "",
    ]
    return "\n".join(lines)


def _corpora(report: dict[str, Any]) -> Iterator[str]:
    for kind, unit in (("parallel", "pairs"), ("monolingual", "sentences")):
        for name, corpus in report[kind].items():
            yield f"{kind} {name}: {corpus['kept']:,} {unit} of {corpus['read']:,} ({corpus['digest'][:16]})"


def _overlap(overlap: dict[str, Any] | None) -> Iterator[str]:
    if overlap is None:
        yield "not looked for"
        return
    yield f"all of {overlap['data']}: {overlap['found']:,} of {overlap['texts']:,}"
    for task, counts in overlap["tasks"].items():
        yield f"{task}: {counts['found']:,} of {counts['texts']:,}"
