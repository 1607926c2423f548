"""What a run starts from: the encoder of a folder or a hub repository, or one of random weights."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
import transformers

from xrete.errors import UsageError, XreteError
from xrete.quiet import quiet

from ..tokenizer import load_tokenizer
from ..transformer import first_sentence, max_length, refuse_missing
from ..weights import ADAPTER, find_any, settings, snapshot
from .config import Compute, EncoderConfig, Scratch
from .encoder import Query, SentenceEncoder
from .tokens import Layout, layout_of, pick_attention

CPU = torch.device("cpu")
DROPOUTS = {
    "dropout": ("hidden_dropout_prob", "dropout", "mlp_dropout", "embedding_dropout"),
    "attention_dropout": ("attention_probs_dropout_prob", "attention_dropout"),
}
"""What kinds of encoders call dropout of states, and of attention."""
MAY_BE_NEW = re.compile(r"^lm_head\.|^cls\.|\bpooler\.")
"""Weights that an encoder may lack, by name: those of a head, and of a pooler."""


@dataclass(frozen=True)
class Start:
    """What a run starts from.

    Attributes:
        query: The encoder and its head.
        tokenizer: A transformers tokenizer.
        layout: How sentences are laid out for the encoder.
        source: What it is, for the card.
        max_length: Most tokens read of a sentence.
    """

    query: Query
    tokenizer: Any
    layout: Layout
    source: str
    max_length: int


def open_start(
    config: EncoderConfig,
    compute: Compute,
    *,
    mlm: bool,
    device: torch.device = CPU,
    tokenizer: Any = None,
) -> Start:
    """Opens the encoder that the config names, or draws one of the shape that it gives.

    Args:
        config: The encoder's settings.
        compute: How it runs.
        mlm: Whether a head of masked language modelling is needed; one that the folder lacks starts at random.
        device: Where it will run; it is opened on the CPU.
        tokenizer: For random weights, of `read_tokenizer`; a folder has its own.

    Raises:
        UsageError: there is no such folder, or the encoder does not run or pool in that way.
        XreteError: it does not load, or lacks weights.
    """
    if config.start:
        folder, source = _find(config)
        make = partial(_load, folder, _dropouts(config, _open_config(folder)))
        transformer = make("AutoModel")
        tokenizer = load_tokenizer(folder, transformer.config)
        limit = min(config.max_length, max_length(folder) or config.max_length)
    else:
        changes = _dropouts(config, transformers.XLMRobertaConfig())
        make = partial(_draw, config.scratch, tokenizer, changes, config.max_length)
        transformer, limit, source = make("AutoModel"), config.max_length, "random weights"
    head = None
    if mlm:
        model = make("AutoModelForMaskedLM")
        setattr(model, model.base_model_prefix, transformer)
        model.tie_weights()
        head = getattr(model, "lm_head", None) or getattr(model, "cls", None)
        if head is None:
            raise UsageError(
                f"{source} is of type {transformer.config.model_type}, whose head of masked language modelling is "
                "not known here; use --set mlm.weight=0 --set warmup.mlm_steps=0"
            )
    if config.pooling != "pooler_dense":
        transformer.pooler = None  # nothing would train it, and processes would wait for its gradients
    elif not hasattr(getattr(transformer, "pooler", None), "dense"):
        raise UsageError(
            f"encoder.pooling = 'pooler_dense' needs an encoder with BERT's pooler, and {source} has none; "
            "use 'cls' or 'mean'"
        )
    with quiet():  # encoders that have one way only say so
        transformer.set_attn_implementation(pick_attention(compute, transformer.config.model_type, device))
    encoder = SentenceEncoder(transformer, config.pooling, getattr(torch, compute.dtype))
    return Start(Query(encoder, head), tokenizer, layout_of(transformer, tokenizer), source, limit)


def _find(config: EncoderConfig) -> tuple[Path, str]:
    """Returns the folder of the encoder to start from, and what it is."""
    if config.revision:
        return snapshot(config.start, config.revision, weights=True), f"{config.start} ({config.revision})"
    place = find_any("encoder.start", config.start, weights=True)
    if settings(place.folder, ADAPTER):
        raise UsageError(
            f"encoder.start = {config.start}: an adapter is no whole encoder; add it to its model with 'xrete "
            f"export hf:{config.start} FOLDER', and start from FOLDER"
        )
    return place.folder, f"{config.start} ({place.revision})"


def _open_config(folder: Path) -> Any:
    """Reads what kind of encoder a folder holds.

    Raises:
        XreteError: it does not say, or its vectors would depend on how sentences are padded.
    """
    try:
        config = transformers.AutoConfig.from_pretrained(folder, trust_remote_code=False)
    except Exception as error:  # transformers raises many kinds
        raise XreteError(f"{folder}: the encoder does not load: {first_sentence(error)}") from error
    if hasattr(config, "downsampling_rate"):
        raise UsageError(
            f"{folder}: an encoder of type {config.model_type} cannot be trained here, since its vectors depend on "
            "padding; start from another one"
        )
    return config


def _dropouts(config: EncoderConfig, kind: Any) -> dict[str, Any]:
    """Returns the settings of dropout under the names that this kind of encoder has for them.

    Args:
        config: What is asked for.
        kind: The encoder's transformers config.

    Raises:
        UsageError: it has none.
    """
    changes: dict[str, Any] = {}
    for key, names in DROPOUTS.items():
        value = getattr(config, key)
        known = [name for name in names if hasattr(kind, name)]
        if value != "own" and not known:
            raise UsageError(
                f"an encoder of type {kind.model_type} has no {key} to set; use --set encoder.{key}=own"
            )
        changes |= dict.fromkeys(known, value) if value != "own" else {}
    return changes


def _load(folder: Path, changes: dict[str, Any], kind: str) -> Any:
    """Loads a model of a class of transformers from a folder. No code of the folder runs.

    Raises:
        XreteError: it does not load, or lacks weights, which transformers would draw at random; only a head or a
            pooler may.
    """
    with quiet():
        try:
            model, report = getattr(transformers, kind).from_pretrained(
                folder,
                dtype=torch.float32,
                trust_remote_code=False,
                weights_only=True,
                output_loading_info=True,
                attn_implementation="eager",  # whatever the folder asks for; `open_start` sets what is wanted
                **changes,
            )
        except Exception as error:  # transformers, safetensors and pickle each raise their own
            raise XreteError(f"{folder}: the encoder does not load: {first_sentence(error)}") from error
    refuse_missing(folder, model, report, MAY_BE_NEW)
    return model


def _draw(scratch: Scratch, tokenizer: Any, changes: dict[str, Any], length: int, kind: str) -> Any:
    """Draws the weights of an XLM-R of the shape that the config gives."""
    config = transformers.XLMRobertaConfig(
        vocab_size=len(tokenizer),
        hidden_size=scratch.width,
        num_hidden_layers=scratch.layers,
        num_attention_heads=scratch.heads,
        intermediate_size=scratch.feed_forward,
        max_position_embeddings=length + tokenizer.pad_token_id + 1,
        type_vocab_size=1,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        **changes,
    )
    with quiet():
        return getattr(transformers, kind).from_config(config)
