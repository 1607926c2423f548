"""(c): encoding mixed sentences with XLM-R large's and MiniLM's shapes, against `SentenceTransformer.encode`.

Weights are random: time does not depend on them. Texts are the mini sample's, joined to web-like lengths.
"""

from __future__ import annotations

import math
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers
from encoding import in_chunks, mini_sentences, shares, unit

from on_gpu.given import Given
from on_gpu.machine import describe, peak, sheet_peak
from on_gpu.steps import LARGE, SMALL, TOY, Shape
from xrete.model import LoadOptions
from xrete.models.emmax.folders import EMBEDDED
from xrete.models.transformer import EncodingRecipe, open_transformer

LENGTH = 128
SENTENCES, SLOW = 100_000, 20_000
"""Sentences that are encoded, and those of a side that takes many times as long."""
COMPARED = 256


def main(given: Given) -> None:
    """Measures both shapes."""
    describe(given)
    texts = mini_sentences(200 if given.toy else SENTENCES, random.Random(0))
    with tempfile.TemporaryDirectory() as name:
        for shape in (TOY,) if given.toy else (SMALL, LARGE):
            race(given, shape, write_model(shape, Path(name) / shape.name.replace(" ", "-")), texts)


def race(given: Given, shape: Shape, folder: Path, texts: list[str]) -> None:
    """Measures both sides in both precisions."""
    rates: dict[str, float] = {}
    vectors: dict[str, Any] = {}
    for dtype in ("float32", "bfloat16"):
        name = f"{shape.name}: sentence-transformers {dtype}"
        values = given.measure(name, lambda d=dtype: other(given, folder, texts, d), 10)
        rates[dtype] = values.get("sentences_per_second", math.nan)
    for dtype in ("float32", "bfloat16"):
        given.measure(
            f"{shape.name}: xrete {dtype}", lambda d=dtype: own(given, folder, texts, d, rates, vectors), 10
        )


def write_model(shape: Shape, folder: Path) -> Path:
    """Writes a transformer with random weights and the tokenizer of the encoder that comes with XRETE."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(EMBEDDED)
    config = transformers.XLMRobertaConfig(
        vocab_size=len(tokenizer), hidden_size=shape.width, num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads, intermediate_size=4 * shape.width, max_position_embeddings=LENGTH + 4,
        type_vocab_size=1, pad_token_id=tokenizer.pad_token_id, bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    torch.manual_seed(0)
    transformers.XLMRobertaModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def timed(given: Given, encode: Callable[[list[str]], object], texts: list[str]) -> tuple[list[str], float]:
    """Encodes as many texts as there is time for; returns them, and the seconds."""
    encode(texts[:COMPARED])
    began = given.now()
    encode(texts[:2_000])
    each = (given.now() - began) / len(texts[:2_000])
    chosen = texts if each * len(texts) < 10 else texts[:SLOW]
    began = given.now()
    encode(chosen)
    return chosen, given.now() - began


def other(given: Given, folder: Path, texts: list[str], dtype: str) -> dict[str, Any]:
    """Measures `SentenceTransformer.encode` with its defaults, but for the precision."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(folder), device=given.where, model_kwargs={"dtype": getattr(torch, dtype)})
    model.max_seq_length = LENGTH
    chosen, seconds = timed(given, lambda part: model.encode(part, show_progress_bar=False), texts)
    return {"sentences_per_second": len(chosen) / seconds, "sentences": len(chosen), "memory_gib": given.peak_gib()}


def own(
    given: Given, folder: Path, texts: list[str], dtype: str, rates: dict[str, float], vectors: dict[str, Any]
) -> dict[str, Any]:
    """Measures XRETE's engine, a chunk at a time as the harness hands them over.

    Args:
        given: The part's circumstances.
        folder: The model's.
        texts: To encode.
        dtype: The precision.
        rates: Sentences a second of sentence-transformers, by precision.
        vectors: Those of the first texts, float32 [n, d], by precision; this one's are added.
    """
    recipe = EncodingRecipe(pooling="mean", max_length=LENGTH)
    encoder = open_transformer(folder, recipe, LoadOptions(device=given.where, dtype=dtype))
    chosen, seconds = timed(given, in_chunks(encoder), texts)
    forgetful = encoder.limited(LENGTH)  # knows no tokens of the last chunk
    began = time.perf_counter()
    tokens = 0
    for at in range(0, len(chosen), encoder.chunk_size):
        tokens += sum(map(len, forgetful.token_ids(chosen[at : at + encoder.chunk_size])))
    tokenising = time.perf_counter() - began
    body = encoder.parameters - encoder.model.get_input_embeddings().weight.numel()
    rate, sheet = 2 * body * tokens / seconds, sheet_peak(given)
    vectors[dtype] = unit(encoder.encode(chosen[:COMPARED]))
    return {
        "sentences_per_second": len(chosen) / seconds,
        "sentences": len(chosen),
        "over_sentence_transformers": len(chosen) / seconds / rates[dtype],
        "over_sentence_transformers_float32": len(chosen) / seconds / rates["float32"],
        "tokens_per_second": tokens / seconds,
        "share_of_measured_peak": rate / peak(given, dtype),
        "share_of_sheet": rate / sheet if sheet else None,
        "useful_tokens": shares(encoder, chosen)["xrete"],
        "share_of_time_for_tokenising": tokenising / seconds,
        "lowest_cosine_to_float32": float(
            (vectors[dtype] * vectors.get("float32", vectors[dtype])).sum(axis=1).min()
        ),
        "memory_gib": given.peak_gib(),
    }
