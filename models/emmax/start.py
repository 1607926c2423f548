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
from ..weights import find_any, snapshot
from .config import Compute, EncoderConfig, Scratch
from .encoder import Query, SentenceEncoder
from .tokens import Layout, layout_of, pick_attention

CPU = torch.device("cpu")
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
    changes: dict[str, Any] = {}
    if config.dropout != "own":
        changes["hidden_dropout_prob"] = config.dropout
    if config.attention_dropout != "own":
        changes["attention_probs_dropout_prob"] = config.attention_dropout
    if config.start:
        folder, source = _find(config)
        make = partial(_load, folder, changes)
        transformer = make("AutoModel")
        tokenizer = load_tokenizer(folder, transformer.config)
        limit = min(config.max_length, max_length(folder) or config.max_length)
    else:
        make = partial(_draw, config.scratch, tokenizer, changes, config.max_length)
        transformer, limit, source = make("AutoModel"), config.max_length, "random weights"
    head = None
    if mlm:
        model = make("AutoModelForMaskedLM")
        setattr(model, model.base_model_prefix, transformer)
        model.tie_weights()
        head = model.lm_head if hasattr(model, "lm_head") else model.cls
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
    return place.folder, f"{config.start} ({place.revision})"


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
