"""Models in the layout of sentence-transformers: what `modules.json` says, in the engine where it can be."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xrete.errors import UsageError, XreteError
from xrete.model import (
    Encoder,
    LoadOptions,
    ModelCard,
    ModelIdentity,
    Role,
    refuse_string,
    saved_prompts,
)
from xrete.quiet import quiet

from .transformer import (
    EncodingRecipe,
    check_weights,
    first_sentence,
    identity,
    load_model,
    max_length,
    positions,
    with_card_prompts,
)
from .weights import ADAPTER, COPIES, Place, find, list_modules, settings

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
APPLIED = {
    "max_seq_length", "do_lower_case", "unpad_inputs", "model_args", "model_kwargs", "tokenizer_args",
    "processor_kwargs", "config_args", "config_kwargs",
}  # fmt: skip
"""Settings of a transformer that are applied where it is opened, and those that change no vector."""
PLAIN = {
    "transformer_task": "feature-extraction",
    "modality_config": {"text": {"method": "forward", "method_output_name": "last_hidden_state"}},
    "module_output_name": "token_embeddings",
}
"""Its other settings, with the value that says what the engine does."""
TEXTS = {
    "__version__", "default_prompt_name", "model_type", "prompts", "requirements", "similarity_fn_name",
    "truncate_dim",
}  # fmt: skip
"""Settings of a whole model that are read here, and those that change no vector."""
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
        recipe = with_card_prompts(read_modules(place.folder).recipe, self.card)
        return identity(self.card, options, place.revision, recipe)

    def load(self, options: LoadOptions) -> Encoder:
        """Opens the folder's modules."""
        return load(self._find(options, weights=True).folder, options, self.card)

    def _find(self, options: LoadOptions, *, weights: bool) -> Place:
        return find(self.card.name, options.checkpoint, self.repo, self.revision, weights=weights)


@dataclass(frozen=True)
class Modules:
    """What the settings of a folder say.

    Attributes:
        recipe: How sentences become vectors; the pooling in words.
        in_engine: Whether the engine gives the same vectors.
        notes: What a user should know of how it is run.
        transformer: Folder of the first module.
    """

    recipe: EncodingRecipe
    in_engine: bool
    notes: tuple[str, ...]
    transformer: Path


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
    places = [folder / module["path"] for module in modules]
    pooling = settings(places[kinds.index("Pooling")], "config.json") if "Pooling" in kinds else {}
    texts = settings(folder, "config_sentence_transformers.json")
    limits: dict[str, Any] = next((settings(places[0], file.name) for file in sorted(places[0].glob(LIMITS))), {})
    limit, asked = _max_length(places[0], limits), limits.get("max_seq_length") or 0
    foreign = list(_foreign(kinds, places, pooling, limits, texts))
    notes = []
    if foreign and kinds[0] != "StaticEmbedding":
        notes.append(
            f"{folder}: sentence-transformers itself encodes, which is slower, since XRETE's engine does not know "
            f"{', '.join(foreign)}"
        )
    if limit and limit < asked:
        notes.append(f"{folder} reads {limit} tokens of a text, not {asked} as its settings say")
    words = [_mode(pooling) if kind == "Pooling" else kind.lower() for kind in kinds[1:]]
    if "Pooling" not in kinds:
        words.insert(0, "mean of static embeddings" if kinds[0] == "StaticEmbedding" else kinds[0].lower())
    own_ways = limits.keys() - APPLIED - PLAIN.keys() - {"processing_kwargs"}  # query_length and its kin
    prefix, prompts = saved_prompts(
        texts.get("prompts") or {},
        texts.get("default_prompt_name"),
        tells_roles="Router" in kinds or bool(own_ways),
    )
    return Modules(
        EncodingRecipe(
            pooling=", ".join(words),
            prefix=prefix,
            prompts=prompts,
            max_length=limit,
            dimension=texts.get("truncate_dim"),
        ),
        in_engine=not foreign,
        notes=tuple(notes),
        transformer=places[0],
    )


def _mode(pooling: Mapping[str, Any]) -> str:
    """Names the pooling; where several are joined, all of them."""
    modes = pooling.get("pooling_mode") or [mode for key, mode in POOLING_KEYS.items() if pooling.get(key)]
    return modes if isinstance(modes, str) else "+".join(modes) or "mean"


def _foreign(
    kinds: Sequence[str],
    places: Sequence[Path],
    pooling: Mapping[str, Any],
    transformer: Mapping[str, Any],
    texts: Mapping[str, Any],
) -> Iterator[str]:
    """Names what the engine does not know, or has no such value of.

    Args:
        kinds: Of the modules.
        places: Their folders.
        pooling: Settings of the pooling.
        transformer: Settings of the transformer.
        texts: Settings of the whole.
    """
    if kinds[:2] != ["Transformer", "Pooling"] or not HEADS.issuperset(kinds[2:]):
        yield f"these modules ({', '.join(kinds)})"
        return
    if _mode(pooling) not in ("cls", "mean"):
        yield f"pooling_mode {_mode(pooling)}"
    if not pooling.get("include_prompt", True):
        yield "include_prompt"
    if "downsampling_rate" in settings(places[0], "config.json"):  # how it is padded changes vectors
        yield "how sentence-transformers pads a model of characters"
    if (places[0] / "chat_template.jinja").is_file() and "modality_config" not in transformer:
        yield "chat_template.jinja"
    yield from (x for x, value in transformer.items() if x not in APPLIED and value not in (None, {}, PLAIN.get(x)))
    yield from (x for x in texts if x not in TEXTS)
    for place in places[2:]:
        head = settings(place, "config.json")
        sides = ("module_input_name", "module_output_name")
        yield from (x for x in sides if head.get(x, "sentence_embedding") != "sentence_embedding")


def _max_length(folder: Path, transformer: Mapping[str, Any]) -> int | None:
    """Returns how many tokens of a text are read: as the settings say, but no more than there are positions for.

    Args:
        folder: The transformer's.
        transformer: Its settings.
    """
    tokens = transformer.get("processor_kwargs") or transformer.get("tokenizer_args") or {}
    asked = tokens.get("model_max_length") or transformer.get("max_seq_length") or max_length(folder)
    parts = (transformer.get("processing_kwargs") or {}).values()
    less = [part["max_length"] for part in parts if isinstance(part, dict) and part.get("max_length")]
    return min((limit for limit in (asked, positions(folder), *less) if limit), default=None)


def load(folder: Path, options: LoadOptions, card: ModelCard) -> Encoder:
    """Opens a folder of sentence-transformers: in the engine where it gives the same vectors, else as it is."""
    from xrete.encoding.workers import open_encoder

    modules = read_modules(folder)
    modules = replace(modules, recipe=with_card_prompts(modules.recipe, card))
    for note in modules.notes:
        warnings.warn(note, stacklevel=2)
    if modules.in_engine:
        return open_encoder(partial(open_in_engine, folder, modules, options))
    return PlainSentenceTransformer(folder, modules.recipe, options)


def open_in_engine(folder: Path, modules: Modules, options: LoadOptions) -> TransformerEncoder:
    """Loads a folder with sentence-transformers and hands its parts to the engine.

    Raises:
        XreteError: it does not load, or the tokenizer is not the model's.
    """
    import torch

    from xrete.devices import pick_dtype
    from xrete.encoding.transformer import TransformerEncoder

    from .tokenizer import check_tokenizer

    transformer, pooling, *rest = _open(folder, options, device="cpu")
    model, recipe = transformer.model, modules.recipe
    if (modules.transformer / ADAPTER).is_file():
        with quiet():  # with its adapters added to its weights it is faster, and can be exported and trained
            model = load_model(modules.transformer, pick_dtype(options.dtype))
    check_tokenizer(transformer.tokenizer, model.config, folder)
    encoder = TransformerEncoder(
        model,
        transformer.tokenizer,
        pooling=pooling.pooling_mode,
        head=torch.nn.Sequential(*rest) if rest else None,
        prefix=recipe.prefix,
        max_length=recipe.max_length,
        device=options.device,
        dtype=options.dtype,
        batch_tokens=options.batch_tokens,
    )
    return encoder.shortened(recipe.dimension) if recipe.dimension else encoder


class PlainSentenceTransformer:
    """Any other model of sentence-transformers, run by itself; attributes as the engine's.

    It does not say which texts it truncates.
    """

    def __init__(self, folder: Path, recipe: EncodingRecipe, options: LoadOptions) -> None:
        from xrete.devices import pick_device

        self.device = str(pick_device(options.device))
        self._folder = folder
        self._model = _open(folder, options, device=self.device)
        self._is_static = type(self._model[0]).__name__ == "StaticEmbedding"  # which reads texts of any length
        self._prefix = recipe.prefix
        self._prompts: Mapping[Role, str] = {}
        self._role: Role | None = None
        own = None if self._is_static else self._model.max_seq_length
        self._limit = min((limit for limit in (own, recipe.max_length) if limit), default=own)
        self._dimension: int | None = None
        self.parameters = sum(weight.numel() for weight in self._model.parameters())

    def limited(self, max_length: int | None, /) -> PlainSentenceTransformer:
        """Returns one with the same weights that reads no more than `max_length` tokens of a text."""
        return self._changed(_limit=max_length)

    def prompted(self, prefix: str, prompts: Mapping[Role, str], /) -> PlainSentenceTransformer:
        """Returns one with the same weights that puts `prefix` before texts, or what a role has."""
        return self._changed(_prefix=prefix, _prompts=dict(prompts))

    def for_role(self, role: Role, /) -> PlainSentenceTransformer:
        """Returns one with the same weights that reads texts as `encode_query` or `encode_document` does."""
        return self._changed(_prefix=self._prompts.get(role, self._prefix), _role=role)

    def shortened(self, dimension: int, /) -> PlainSentenceTransformer:
        """Returns one with the same weights that keeps the first `dimension` numbers of each vector."""
        return self._changed(_dimension=dimension)

    def _changed(self, **attributes: Any) -> PlainSentenceTransformer:
        other = copy.copy(self)
        for name, value in attributes.items():
            setattr(other, name, value)
        return other

    def encode(self, texts: Sequence[str], /) -> NDArray[np.float32]:
        """Returns one vector a text, float32 [len(texts), dimension].

        Raises:
            TypeError: `texts` is one string.
            XreteError: the modules do not go together.
        """
        refuse_string(texts)
        more = {"batch_size": STATIC_BATCH} if self._is_static else {}
        try:
            # Only where it is another one: what is set holds for queries too, which may have a limit of their own.
            if not self._is_static and self._model.max_seq_length != self._limit:
                self._model.max_seq_length = self._limit
            vectors = self._model.encode(
                list(texts),
                prompt=self._prefix,
                task=self._role,
                show_progress_bar=False,
                convert_to_tensor=True,
                **more,
            )
        except Exception as error:  # modules raise whatever they do not find
            reason = f"{type(error).__name__}: {first_sentence(error)}"
            raise XreteError(f"{self._folder}: sentence-transformers cannot encode with it: {reason}") from error
        array: NDArray[np.float32] = vectors.float().cpu().numpy()
        return array[:, : self._dimension]


def _open(folder: Path, options: LoadOptions, *, device: str) -> Any:
    """Loads a folder with sentence-transformers; no code of the folder runs.

    Raises:
        XreteError: it does not load, or lacks weights, which transformers would draw at random.
    """
    from sentence_transformers import SentenceTransformer

    from xrete.devices import pick_dtype

    dtype = pick_dtype(options.dtype)
    for file in sorted(folder.rglob("config.json")):  # a router's transformers lie in folders below
        if file.parent.name not in COPIES and "model_type" in settings(file.parent, file.name):
            check_weights(file.parent)
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
