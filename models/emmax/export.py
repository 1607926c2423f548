"""The encoder as a folder of sentence-transformers: what XRETE scores and `SentenceTransformer` loads."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors.torch import save_file
from torch import Tensor

from xrete.files import write_text

from ..transformer import quiet
from .runs import TRAINING

if TYPE_CHECKING:
    from .encoder import Start


def write_model(folder: Path, start: Start, weights: dict[str, Tensor], card: dict[str, Any]) -> None:
    """Writes the folder.

    Args:
        folder: Does not exist yet.
        start: What the run started from: its tokenizer, and its modules, whose own weights are not read.
        weights: Whole weights of the query encoder, by the names of `Query`.
        card: How it was trained.
    """
    encoder = start.query.encoder
    dimension = encoder.dimension
    prefix = "encoder.transformer."
    state = {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}
    tokenizer = copy.deepcopy(start.tokenizer)
    tokenizer.model_max_length = start.max_length
    with quiet():
        encoder.transformer.save_pretrained(folder, state_dict=state)
        tokenizer.save_pretrained(folder)
    modules = [("Transformer", ""), ("Pooling", "1_Pooling")]
    _json(folder / "sentence_bert_config.json", {"max_seq_length": start.max_length, "do_lower_case": False})
    mode = "mean" if encoder.pooling == "mean" else "cls"
    flags = {f"pooling_mode_{kind}": kind.startswith(mode) for kind in ("cls_token", "mean_tokens", "max_tokens")}
    _json(folder / "1_Pooling" / "config.json", {"word_embedding_dimension": dimension, **flags})
    if encoder.pooling == "pooler_dense":
        modules += _write_dense(folder, weights, dimension)
    modules.append(("Normalize", f"{len(modules)}_Normalize"))
    (folder / modules[-1][1]).mkdir()
    _json(
        folder / "modules.json",
        [
            {"idx": place, "name": str(place), "path": path, "type": f"sentence_transformers.models.{kind}"}
            for place, (kind, path) in enumerate(modules)
        ],
    )
    _json(folder / TRAINING, card)
    write_text(folder / "README.md", _readme(card))


def _write_dense(folder: Path, weights: dict[str, Tensor], dimension: int) -> list[tuple[str, str]]:
    """Writes the pooler and the linear layer after it, which follow the first token's state."""
    layers = [("encoder.transformer.pooler.dense", "activation.Tanh"), ("encoder.dense", "linear.Identity")]
    modules = []
    for place, (name, activation) in enumerate(layers, start=2):
        path = f"{place}_Dense"
        shape = {"in_features": dimension, "out_features": dimension, "bias": True}
        _json(folder / path / "config.json", {**shape, "activation_function": f"torch.nn.modules.{activation}"})
        linear = {f"linear.{key}": weights[f"{name}.{key}"] for key in ("weight", "bias")}
        save_file(linear, folder / path / "model.safetensors")
        modules.append(("Dense", path))
    return modules


def _json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


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


def _overlap(found: dict[str, Any] | None) -> Iterator[str]:
    if found is None:
        yield "not looked for"
        return
    yield f"all of {found['data']}: {found['found']:,} of {found['texts']:,}"
    for task, counts in found["tasks"].items():
        yield f"{task}: {counts['found']:,} of {counts['texts']:,}"
