"""Writes a model as a folder that sentence-transformers loads, with the vectors that XRETE gives."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xrete.errors import UsageError, XreteError
from xrete.files import atomic_folder, write_text
from xrete.model import ROLES, Role

if TYPE_CHECKING:
    from torch import Tensor

    from xrete.model import Encoder

ExportedModule = tuple[str, Callable[[Path], None]]
"""A module after the pooling: its class in sentence-transformers, and what fills its folder."""
POOLINGS = ("cls_token", "mean_tokens", "max_tokens")


def export(encoder: Encoder, folder: Path, *, dtype: str = "float32", beside: Sequence[Path] = ()) -> None:
    """Writes an encoder of the engine.

    Args:
        encoder: Of a transformer model.
        folder: A new folder.
        dtype: What the weights are stored in; sentence-transformers loads them as such.
        beside: Files that are copied into the folder.

    Raises:
        UsageError: the folder exists, or the model is not one that the engine runs.
        XreteError: it cannot be written.
    """
    from xrete.devices import pick_dtype
    from xrete.encoding.shortening import FirstNumbers
    from xrete.encoding.transformer import TransformerEncoder

    if not isinstance(encoder, TransformerEncoder):
        raise UsageError("only transformer models can be exported, on one process")
    if folder.exists():
        raise UsageError(f"{folder} exists; name a new folder")
    model = copy.deepcopy(encoder.model).cpu().to(pick_dtype(dtype))
    head = list(encoder.head.children()) if encoder.head else []
    dimensions = [module.dimension for module in head if isinstance(module, FirstNumbers)]
    parts: list[ExportedModule] = [
        (type(module).__name__, _save(module)) for module in head if not isinstance(module, FirstNumbers)
    ]
    if encoder.pooling == "pooler":
        state = model.pooler.dense.state_dict()
        parts.insert(0, ("Dense", partial(write_dense, state, activation="activation.Tanh")))
    with atomic_folder(folder) as aside:
        write_folder(
            aside,
            model,
            encoder.tokenizer,
            pooling=encoder.pooling,
            max_length=encoder.max_length,
            parts=parts,
            prefix=encoder.prefix,
            prompts=encoder.prompts,
            dimension=min(dimensions, default=None),
        )
        for file in beside:
            shutil.copy(file, aside / file.name)


def write_folder(
    folder: Path,
    transformer: Any,
    tokenizer: Any,
    *,
    pooling: str,
    max_length: int | None,
    parts: Sequence[ExportedModule],
    prefix: str = "",
    prompts: Mapping[Role, str] | None = None,
    dimension: int | None = None,
    state: dict[str, Tensor] | None = None,
) -> None:
    """Writes the layout of sentence-transformers.

    Args:
        folder: Does not exist yet.
        transformer: A transformers model.
        tokenizer: Its tokenizer.
        pooling: "cls", "mean", or "pooler", whose layer must be the first part.
        max_length: Most tokens read of a sentence, or None.
        parts: What follows the pooling.
        prefix: Text put before every sentence.
        prompts: Text put before queries or documents instead.
        dimension: How many of the numbers of a vector are kept, the first ones; None keeps all.
        state: Weights to write instead of the transformer's own, each [...] as there.
    """
    tokenizer = copy.deepcopy(tokenizer)
    if max_length:
        tokenizer.model_max_length = max_length
    transformer.save_pretrained(folder, state_dict=state)
    tokenizer.save_pretrained(folder)
    mode = "mean" if pooling == "mean" else "cls"
    flags = {f"pooling_mode_{kind}": kind.startswith(mode) for kind in POOLINGS}
    width = {"word_embedding_dimension": transformer.config.hidden_size}
    modules = [("Transformer", ""), ("Pooling", "1_Pooling")]
    write_json(folder / "1_Pooling" / "config.json", {**width, **flags})
    for place, (kind, write) in enumerate(parts, start=2):
        modules.append((kind, f"{place}_{kind}"))
        (folder / modules[-1][1]).mkdir()
        write(folder / modules[-1][1])
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": max_length, "do_lower_case": False})
    if texts := _texts(prefix, prompts or {}, dimension):
        write_json(folder / "config_sentence_transformers.json", texts)
    for file in folder.rglob("*.safetensors"):  # safetensors lets nobody else read them
        file.chmod((folder / "config.json").stat().st_mode)
    write_json(
        folder / "modules.json",
        [
            {"idx": place, "name": str(place), "path": path, "type": f"sentence_transformers.models.{kind}"}
            for place, (kind, path) in enumerate(modules)
        ],
    )


def _texts(prefix: str, prompts: Mapping[Role, str], dimension: int | None) -> dict[str, Any]:
    """Returns what a folder's settings say of texts and vectors; a role without its own has `prefix`."""
    texts: dict[str, Any] = {"truncate_dim": dimension} if dimension else {}
    if prefix or prompts:
        texts["prompts"] = {"default": prefix, **{role: prompts.get(role, prefix) for role in ROLES}}
        texts["default_prompt_name"] = "default"
    return texts


def write_dense(state: dict[str, Tensor], folder: Path, *, activation: str) -> None:
    """Fills the folder of a linear layer.

    Args:
        state: Its weight [outputs, inputs] and bias [outputs].
        folder: Its folder.
        activation: What follows it, in `torch.nn.modules`.
    """
    from safetensors.torch import save_file

    rows, columns = state["weight"].shape
    shape = {"in_features": columns, "out_features": rows, "bias": True}
    write_json(folder / "config.json", {**shape, "activation_function": f"torch.nn.modules.{activation}"})
    save_file(
        {f"linear.{key}": value.float().contiguous() for key, value in state.items()}, folder / "model.safetensors"
    )


def write_nothing(folder: Path) -> None:
    """Fills the folder of a module without settings; an empty folder would get lost in git and wheels."""
    write_json(folder / "config.json", {})


def write_json(path: Path, value: Any) -> None:
    """Writes a JSON file, and its folder if it is not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def _save(module: Any) -> Callable[[Path], None]:
    """Returns what fills the folder of a module of sentence-transformers."""

    def save(folder: Path) -> None:
        try:
            module.save(str(folder))
            if not any(folder.iterdir()):
                write_nothing(folder)
        except AttributeError:
            raise XreteError(f"module {type(module).__name__} of this model cannot be exported") from None

    return save
