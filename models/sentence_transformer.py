"""Models in the layout of sentence-transformers: what `modules.json` says, in the engine where it can be."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xrete.errors import UsageError, XreteError
from xrete.model import Encoder, LoadOptions, ModelCard, ModelIdentity, refuse_string
from xrete.quiet import quiet

from .transformer import EncodingRecipe, check_weights, first_sentence, identity, max_length
from .weights import Place, find, list_modules, settings

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from xrete.encoding.transformer import TransformerEncoder

POOLING_KEYS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
"""How versions before 6 wrote the pooling mode."""
LIMITS = "sentence_*_config.json"
"""Where a transformer's folder says how much is read; early versions named the file after the kind of model."""
READ = {
    "max_seq_length": None,
    "do_lower_case": False,
    "transformer_task": "feature-extraction",
    "modality_config": {"text": {"method": "forward", "method_output_name": "last_hidden_state"}},
    "module_output_name": "token_embeddings",
    "unpad_inputs": None,
    "processing_kwargs": {},
}
"""Settings that the engine reads, or whose other values (but of those that are None here) it does not know."""
STATIC_BATCH = 4_096
"""Texts at once where there is no transformer, which takes next to no time for any."""
HEADS = {"Dense", "Dropout", "LayerNorm", "Normalize"}
"""Modules that read nothing but the pooled vector, so that the engine can apply them."""


@dataclass(frozen=True, kw_only=True)
class SentenceTransformerModel:
    """The plugin of one model of sentence-transformers: pinned on the hub, or in a folder that the user names.

    Attributes:
        card: What it is.
        repo: Hub repository of its weights.
        revision: The commit.
    """

    card: ModelCard
    repo: str
    revision: str

    def identify(self, options: LoadOptions) -> ModelIdentity:
        """Names the commit, or the digest of the user's folder."""
        place = self._find(options, weights=False)
        return identity(self.card, options, place.revision, read_modules(place.folder).recipe)

    def load(self, options: LoadOptions) -> Encoder:
        """Opens the folder's modules."""
        return load(self._find(options, weights=True).folder, options)

    def _find(self, options: LoadOptions, *, weights: bool) -> Place:
        return find(self.card.name, options.checkpoint, self.repo, self.revision, weights=weights)


@dataclass(frozen=True)
class Modules:
    """What the settings of a folder say.

    Attributes:
        recipe: How sentences become vectors; the pooling in words.
        in_engine: Whether the engine gives the same vectors.
    """

    recipe: EncodingRecipe
    in_engine: bool


def read_modules(folder: Path) -> Modules:
    """Reads the settings of a folder of sentence-transformers, without loading anything.

    Raises:
        UsageError: the folder is not one.
    """
    modules = list_modules(folder)
    if not modules:
        raise UsageError(
            f"{folder} has no modules.json; for a plain transformer use hf:FOLDER?pooling=cls (or mean)"
        )
    kinds = [module["type"].rpartition(".")[2] for module in modules]
    paths = dict(zip(kinds, (folder / module["path"] for module in modules), strict=True))
    first = folder / modules[0]["path"]
    pooling = settings(paths["Pooling"], "config.json") if "Pooling" in paths else {}
    modes = pooling.get("pooling_mode") or [mode for key, mode in POOLING_KEYS.items() if pooling.get(key)]
    mode = modes if isinstance(modes, str) else "+".join(modes)
    texts = settings(folder, "config_sentence_transformers.json")
    prefix = (texts.get("prompts") or {}).get(texts.get("default_prompt_name"), "")
    limits: dict[str, Any] = next((settings(first, file.name) for file in sorted(first.glob(LIMITS))), {})
    truncated = texts.get("truncate_dim")
    return Modules(
        EncodingRecipe(
            pooling=", ".join(
                [
                    *(mode or "none" if kind == "Pooling" else kind.lower() for kind in kinds[1:]),
                    *([f"first {truncated} dimensions"] if truncated else []),
                ]
            )
            or kinds[0].lower(),
            prefix=prefix,
            max_length=limits.get("max_seq_length") or max_length(first),
        ),
        in_engine=kinds[:2] == ["Transformer", "Pooling"]
        and mode in ("cls", "mean")
        and HEADS.issuperset(kinds[2:])
        and bool(pooling.get("include_prompt", True) or not prefix)
        and not truncated
        and all(key in READ and (READ[key] is None or value == READ[key]) for key, value in limits.items()),
    )


def load(folder: Path, options: LoadOptions) -> Encoder:
    """Opens a folder of sentence-transformers: in the engine where it gives the same vectors, else as it is."""
    from xrete.encoding.workers import open_encoder

    modules = read_modules(folder)
    if modules.in_engine:
        return open_encoder(partial(open_in_engine, folder, modules.recipe, options))
    return PlainSentenceTransformer(folder, options)


def open_in_engine(folder: Path, recipe: EncodingRecipe, options: LoadOptions) -> TransformerEncoder:
    """Loads a folder with sentence-transformers and hands its parts to the engine.

    Raises:
        XreteError: it does not load, or the tokenizer is not the model's.
    """
    import torch

    from xrete.encoding.transformer import TransformerEncoder

    from .tokenizer import check_tokenizer

    transformer, pooling, *rest = _open(folder, options, device="cpu")
    check_tokenizer(transformer.tokenizer, transformer.model.config.vocab_size, folder)
    return TransformerEncoder(
        transformer.model,
        transformer.tokenizer,
        pooling=pooling.pooling_mode,
        head=torch.nn.Sequential(*rest) if rest else None,
        prefix=recipe.prefix,
        max_length=recipe.max_length,
        device=options.device,
        dtype=options.dtype,
        batch_tokens=options.batch_tokens,
    )


class PlainSentenceTransformer:
    """Any other model of sentence-transformers, run by itself; attributes as the engine's.

    It does not say which texts it truncates.
    """

    def __init__(self, folder: Path, options: LoadOptions) -> None:
        from xrete.encoding.transformer import pick_device

        self.device = str(pick_device(options.device))
        self._model = _open(folder, options, device=self.device)
        self._is_static = type(self._model[0]).__name__ == "StaticEmbedding"  # which reads texts of any length
        self._max_length = None if self._is_static else self._model.max_seq_length
        self.parameters = sum(weight.numel() for weight in self._model.parameters())

    def limited(self, max_length: int | None, /) -> PlainSentenceTransformer:
        """Returns one with the same weights that reads no more than `max_length` tokens of a text."""
        other = copy.copy(self)
        other._max_length = max_length
        return other

    def encode(self, texts: Sequence[str], /) -> NDArray[np.float32]:
        """Returns one vector a text, float32 [len(texts), dimension].

        Raises:
            TypeError: `texts` is one string.
        """
        refuse_string(texts)
        more = {"batch_size": STATIC_BATCH} if self._is_static else {}
        if not self._is_static:
            self._model.max_seq_length = self._max_length
        vectors = self._model.encode(list(texts), show_progress_bar=False, convert_to_tensor=True, **more)
        array: NDArray[np.float32] = vectors.float().cpu().numpy()
        return array


def _open(folder: Path, options: LoadOptions, *, device: str) -> Any:
    """Loads a folder with sentence-transformers; no code of the folder runs."""
    from sentence_transformers import SentenceTransformer

    from xrete.encoding.transformer import pick_dtype

    dtype = pick_dtype(options.dtype)
    for module in list_modules(folder):
        if (folder / module["path"] / "config.json").is_file() and module["type"].endswith("Transformer"):
            check_weights(folder / module["path"])
    try:
        with quiet():
            return SentenceTransformer(
                str(folder),
                device=device,
                trust_remote_code=False,
                local_files_only=True,
                model_kwargs={"dtype": dtype},
            )
    except Exception as error:  # transformers, safetensors and pickle each raise their own
        raise XreteError(f"{folder}: sentence-transformers cannot load it: {first_sentence(error)}") from error
