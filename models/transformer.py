"""What all plain transformer models share: reading the settings of a folder, opening it in the engine."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xrete.errors import DataError, XreteError
from xrete.model import SENTENCE, Encoder, LoadOptions, ModelCard, ModelIdentity
from xrete.quiet import quiet

from .weights import Place, base_of, find, settings

if TYPE_CHECKING:
    from xrete.encoding.transformer import TransformerEncoder


POOLER = re.compile(r"\bpooler\.")
"""A pooler's weights, which nothing needs where states are pooled."""
NEVER = re.compile(r"(?!)")


@dataclass(frozen=True, kw_only=True)
class EncodingRecipe:
    """How sentences become vectors.

    Attributes:
        pooling: One of the engine's.
        prefix: Text put before every sentence that `prompts` have nothing for.
        prompts: As `ModelIdentity.prompts`.
        max_length: Most tokens read of a text, or None.
        dimension: How many of the numbers of a vector are kept, the first ones; None keeps all.
    """

    pooling: str
    prefix: str = ""
    prompts: Mapping[str, str] = field(default_factory=dict)
    max_length: int | None = None
    dimension: int | None = None


@dataclass(frozen=True, kw_only=True)
class TransformerModel:
    """The plugin of one pretrained transformer: pinned on the hub, or in a folder that the user names.

    Attributes:
        card: What it is.
        repo: Hub repository of its weights, or None where there are no public ones.
        revision: The commit.
        pooling: One of the engine's.
    """

    card: ModelCard
    repo: str | None = None
    revision: str | None = None
    pooling: str

    def identify(self, options: LoadOptions) -> ModelIdentity:
        """Names the commit, or the digest of the user's folder."""
        place = self._find(options, weights=False)
        return identity(self.card, options, place.revision, self._recipe(place))

    def load(self, options: LoadOptions) -> Encoder:
        """Opens the weights in the engine."""
        place = self._find(options, weights=True)
        return load(place.folder, self._recipe(place), options)

    def _find(self, options: LoadOptions, *, weights: bool) -> Place:
        return find(self.card.name, options.checkpoint, self.repo, self.revision, weights=weights)

    def _recipe(self, place: Place) -> EncodingRecipe:
        recipe = EncodingRecipe(pooling=self.pooling, max_length=max_length(place.folder))
        return with_card_prompts(recipe, self.card)


def with_card_prompts(recipe: EncodingRecipe, card: ModelCard) -> EncodingRecipe:
    """Returns a recipe with the prompts of a card, where that has any."""
    prompts = {key: prompt for key, prompt in card.prompts.items() if key != SENTENCE}
    return replace(recipe, prefix=card.prompts.get(SENTENCE, ""), prompts=prompts) if card.prompts else recipe


def identity(card: ModelCard, options: LoadOptions, revision: str, recipe: EncodingRecipe) -> ModelIdentity:
    """Says which vectors the files of `revision`, read by `recipe`, give."""
    whole = ModelIdentity(
        name=f"{card.name}:{options.checkpoint}" if options.checkpoint else card.name,
        revision=revision,
        pooling=recipe.pooling,
        prefix=recipe.prefix,
        prompts=recipe.prompts,
        max_length=recipe.max_length,
        dtype=options.dtype,
    )
    return whole.shortened(recipe.dimension) if recipe.dimension else whole


def load(folder: Path, recipe: EncodingRecipe, options: LoadOptions) -> Encoder:
    """Opens a transformers folder on this process, or on every process of a launch."""
    from xrete.encoding.workers import open_encoder

    return open_encoder(partial(open_transformer, folder, recipe, options))


def open_transformer(folder: Path, recipe: EncodingRecipe, options: LoadOptions) -> TransformerEncoder:
    """Loads a transformers folder into the engine. No code of the folder runs.

    Raises:
        XreteError: the weights do not fit the config, or the tokenizer is not the model's.
    """
    from xrete.devices import pick_dtype
    from xrete.encoding.transformer import TransformerEncoder

    from .tokenizer import load_tokenizer

    with quiet():
        model = load_model(folder, pick_dtype(options.dtype), pooler=recipe.pooling == "pooler")
        tokenizer = load_tokenizer(_tokenizer_folder(folder), model.config)
    return TransformerEncoder(
        model,
        tokenizer,
        pooling=recipe.pooling,
        prefix=recipe.prefix,
        max_length=recipe.max_length,
        device=options.device,
        dtype=options.dtype,
        batch_tokens=options.batch_tokens,
    )


def load_model(folder: Path, dtype: Any, *, pooler: bool = False) -> Any:
    """Loads weights, and refuses a folder that lacks some: transformers would draw those at random.

    Adapters are added to the weights of the model that they go on top of: what is returned is a plain model.
    """
    base = base_of(folder, weights=True)
    whole = base.folder if base else folder
    try:
        model, report = kind_of(whole).from_pretrained(
            whole, dtype=dtype, trust_remote_code=False, weights_only=True, output_loading_info=True
        )
    except Exception as error:  # transformers, safetensors and pickle each raise their own
        raise XreteError(f"{folder}: the model does not load: {first_sentence(error)}") from error
    refuse_missing(whole, model, report, NEVER if pooler else POOLER)
    if base:
        model = _with_adapter(model, folder)
    return model.get_encoder() if model.config.is_encoder_decoder and hasattr(model, "decoder") else model


def _with_adapter(model: Any, folder: Path) -> Any:
    """Adds the adapters in a folder to a model's weights.

    Raises:
        XreteError: they are of a kind that cannot be added, are not the model's, or peft is missing.
    """
    try:
        import peft
    except ImportError:
        raise XreteError(
            f"{folder} is an adapter, which needs the package peft: pip install 'xrete[lora]'"
        ) from None
    try:
        with warnings.catch_warnings(action="ignore"):
            config = peft.PeftConfig.from_pretrained(str(folder))
            adapted: Any = peft.PeftModel(model, config)
            report = adapted.load_adapter(str(folder), "default")
    except Exception as error:  # peft, safetensors and pickle each raise their own
        raise XreteError(f"{folder}: the adapter does not load: {first_sentence(error)}") from error
    if config.is_prompt_learning:
        kind = str(getattr(config.peft_type, "value", config.peft_type))
        raise XreteError(f"{folder}: a {kind} adapter cannot be added to weights; train with LoRA")
    if lost := [*report.missing_keys, *report.unexpected_keys]:
        raise XreteError(
            f"{folder}: the adapter does not fit {type(model).__name__}, {lost[0]} is on one side only; "
            "name the folder of an adapter for the encoder itself"
        )
    return adapted.merge_and_unload()


def _tokenizer_folder(folder: Path) -> Path:
    """Returns where a model's tokenizer is: adapters may leave it to the model that they go on top of."""
    base = base_of(folder)
    return base.folder if base and not (folder / "tokenizer_config.json").is_file() else folder


def kind_of(folder: Path) -> Any:
    """Returns the class that loads a folder: of T5's kin the encoder, which may come without a decoder."""
    import transformers

    kind = settings(folder, "config.json").get("model_type")
    return transformers.AutoModelForTextEncoding if kind in ("t5", "mt5", "umt5") else transformers.AutoModel


def refuse_missing(folder: Path, model: Any, report: dict[str, Any], spare: re.Pattern[str]) -> None:
    """Refuses a folder that lacks weights, which transformers would draw at random, other ones at each start.

    Args:
        folder: The model's.
        model: What was loaded from it.
        report: What `from_pretrained` says with `output_loading_info`.
        spare: Names of weights that nothing needs, or that are trained anew.

    Raises:
        XreteError: others are missing.
    """
    missing = [name for name in sorted(report["missing_keys"]) if not spare.search(name)]
    if missing:
        raise XreteError(
            f"{folder}: {len(missing)} weights of {type(model).__name__} are missing, the first is {missing[0]}; "
            "fetch the model again or name another folder"
        )


def check_weights(folder: Path) -> None:
    """Holds the weights of a folder that another library will load against what its config asks for.

    Nothing is read but the names of weights.

    Raises:
        XreteError: some are missing.
    """
    try:
        with quiet():
            model, report = kind_of(folder).from_pretrained(
                folder, trust_remote_code=False, weights_only=True, output_loading_info=True, device_map="meta"
            )
    except Exception:  # what cannot be opened so is for the other library to open, or to refuse
        return
    refuse_missing(folder, model, report, POOLER)


def first_sentence(error: Exception) -> str:
    """Returns the first sentence of an error, on one line: libraries go on with advice that is not ours."""
    return " ".join(str(error).split()).split(". ")[0]


def max_length(folder: Path) -> int | None:
    """Returns how many tokens the model in a folder reads, special tokens included; None where it says no limit."""
    limit = _number(_tokenizer_folder(folder), "tokenizer_config.json", "model_max_length")
    limits = [value for value in (positions(folder), limit) if value and value < 10**9]  # 10**30 stands for none
    return min(limits, default=None)


def positions(folder: Path) -> int | None:
    """Returns how many tokens the model in a folder has positions for; None where it says no number.

    RoBERTa's kin number positions from the padding id on, so the first rows of their table are never used.
    """
    base = base_of(folder)
    place = base.folder if base else folder
    rows = _number(place, "config.json", "max_position_embeddings")
    kind = str(settings(place, "config.json").get("model_type", ""))
    if rows and any(kin in kind for kin in ("roberta", "camembert", "mpnet", "xmod")):
        padding = _number(place, "config.json", "pad_token_id")
        rows -= (1 if padding is None else padding) + 1
    return rows if rows and rows > 0 else None


def _number(folder: Path, name: str, key: str) -> int | None:
    """Returns a whole number of a folder's settings; None where there is none.

    Raises:
        DataError: it is something else.
    """
    value = settings(folder, name).get(key)
    if value is None or (isinstance(value, int | float) and float(value).is_integer()):
        return None if value is None else int(value)
    raise DataError(f"{folder / name}: {key} is {value!r}, not a whole number; fetch the model again")
