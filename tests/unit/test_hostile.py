"""Inputs that mean harm, against every reader: one clear sentence, exit code 1 or 2, no code run, no file outside.

A case writes its files into a folder and returns the arguments of `xrete`; commands run in that folder.
`docs/security.md` says what is promised.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import lzma
import os
import pickle
import re
import shutil
import struct
import subprocess
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from xrete.files import cache_root
from xrete.tasks.stages.wikipedia import ARCHIVE, HUB

Arguments = list[str]
Case = Callable[[Path], Arguments]
Run = Callable[..., subprocess.CompletedProcess[str]]

GOLDEN = Path(__file__).parents[1] / "golden" / "record-v1.json"
CASES: dict[str, Case] = {}
CANARY = "canary"
"""A file that only a case's own code would make."""
CODE = f"import pathlib; pathlib.Path({CANARY!r}).touch()\n"
DEEP = "[" * 200_000
LONG = "9" * 50_000


def case(group: str) -> Callable[[Case], Case]:
    def keep(made: Case) -> Case:
        CASES[f"{group}: {made.__name__.replace('_', ' ')}"] = made
        return made

    return keep


def put(file: Path, content: str | bytes) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return file


class Bomb:
    """Makes the canary when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return exec, (CODE,)


# --- records --------------------------------------------------------------------------------------------------


def record(folder: Path, **changes: Any) -> Path:
    """Puts the golden record with changes, of which "a.b" leads into a part."""
    content = json.loads(GOLDEN.read_text("utf-8"))
    for path, value in changes.items():
        *parts, last = path.split("__")
        place = content
        for part in parts:
            place = place[part]
        place[last] = value
    return put(folder / "results" / "m" / "tatoeba.zero-shot.dir.0123456789ab.json", json.dumps(content))


def report(folder: Path) -> Arguments:
    return ["report", "results"]


def bad_record(name: str, content: str | bytes) -> None:
    def made(folder: Path) -> Arguments:
        put(folder / "results" / "m" / "x.json", content)
        return ["report", "results"]

    CASES[f"record: {name}"] = made


bad_record("empty", "")
bad_record("a JSON depth bomb", DEEP)
bad_record("a depth bomb of objects", '{"schema":' * 100_000)
bad_record("a number of 50,000 digits", f'{{"schema": "xrete/record/1", "score": {LONG}}}')
bad_record("UTF-16", GOLDEN.read_text("utf-8").encode("utf-16"))
bad_record("half a character", b'{"schema": "\xe2\x82')
bad_record("a list", "[1, 2]")
bad_record("a schema that is none", '{"schema": {"$ref": "#"}}')
bad_record("a newer schema with escape sequences", '{"schema": "\\u001b[2Jxrete/record/9"}')
bad_record("a pickle", pickle.dumps(Bomb()))
bad_record("only zeros", b"\0" * 100_000)


@case("record")
def scores_that_are_no_numbers(folder: Path) -> Arguments:
    record(folder, score="$(touch canary)")
    return ["report", "results"]


@case("record")
def a_link_in_a_circle(folder: Path) -> Arguments:
    (folder / "results").mkdir()
    (folder / "results" / "x.json").symlink_to("x.json")
    return ["report", "results"]


@case("record")
def a_folder_of_that_name(folder: Path) -> Arguments:
    (folder / "results" / "x.json").mkdir(parents=True)
    return ["report", "results"]


@case("record")
def a_pipe_of_that_name(folder: Path) -> Arguments:
    (folder / "results").mkdir()
    os.mkfifo(folder / "results" / "x.json")
    return ["report", "results"]


@case("record")
def items_of_another_folder(folder: Path) -> Arguments:
    shutil.copy(put(folder / "secret.parquet", "secret"), folder.parent / "secret.parquet")
    record(folder, items={"file": "../../secret.parquet", "sha256": "0" * 64, "rows": 1})
    return ["verify", "results"]


def with_items(folder: Path, content: bytes) -> Arguments:
    name = "tatoeba.zero-shot.dir.0123456789ab.items.parquet"
    put(folder / "results" / "m" / name, content)
    record(folder, items={"file": name, "sha256": hashlib.sha256(content).hexdigest(), "rows": 3})
    return ["verify", "results"]


@case("items")
def no_parquet(folder: Path) -> Arguments:
    return with_items(folder, b"PAR1" + b"\xff" * 100 + b"PAR1")


@case("items")
def parquet_with_other_columns(folder: Path) -> Arguments:
    sink = io.BytesIO()
    pq.write_table(pa.table({"x": [1]}), sink)
    return with_items(folder, sink.getvalue())


@case("items")
def parquet_that_no_scorer_knows(folder: Path) -> Arguments:
    sink = io.BytesIO()
    pq.write_table(pa.table({"language": ["de"] * 3, "x": [1, 2, 3]}), sink)
    return with_items(folder, sink.getvalue())


@case("items")
def parquet_of_languages_alone(folder: Path) -> Arguments:
    sink = io.BytesIO()
    pq.write_table(pa.table({"language": ["de"] * 3}), sink)
    return with_items(folder, sink.getvalue())


@case("items")
def parquet_of_forty_million_rows(folder: Path) -> Arguments:
    sink = io.BytesIO()
    block = pa.record_batch({"language": pa.array(["de"] * 1_000_000).dictionary_encode()})
    with pq.ParquetWriter(sink, block.schema, compression="zstd") as writer:
        for _ in range(40):  # 20 kilobytes
            writer.write_batch(block)
    return with_items(folder, sink.getvalue())


@case("record")
def compared_with_a_missing_one(folder: Path) -> Arguments:
    record(folder)
    return ["compare", "m", "../../etc/passwd", "--results", "results"]


# --- data files -----------------------------------------------------------------------------------------------


def run(task: str, *more: str) -> Arguments:
    return ["run", "--model", "me5-small", "--task", task, "--data", "data", "--results", "out", *more]


def tatoeba(folder: Path, content: str | bytes, ending: str = "") -> Arguments:
    for side in ("swg", "eng"):
        put(folder / "data" / "tatoeba" / "v1" / f"tatoeba.swg-eng.{side}{ending}", content)
    return run("tatoeba")


@case("text")
def mixed_encodings(folder: Path) -> Arguments:
    return tatoeba(folder, "Grüß Gott\n".encode() + "Grüß Gott\n".encode("latin-1"))


@case("text")
def utf_16(folder: Path) -> Arguments:
    return tatoeba(folder, ("Ein Satz.\n" * 112).encode("utf-16"))


@case("text")
def nul_bytes(folder: Path) -> Arguments:
    return tatoeba(folder, "Ein\0Satz.\n" * 112)


@case("text")
def invisible_lines(folder: Path) -> Arguments:
    return tatoeba(folder, "\u200b\u2060\n" * 112)


@case("text")
def surrogates(folder: Path) -> Arguments:
    return tatoeba(folder, b"\xed\xa0\x80\n" * 112)


@case("text")
def a_torn_gzip(folder: Path) -> Arguments:
    return tatoeba(folder, gzip.compress(b"Ein Satz.\n" * 10_000)[:-20], ".gz")


@case("text")
def a_gzip_that_is_none(folder: Path) -> Arguments:
    return tatoeba(folder, b"\x1f\x8b\x08\x00not gzip", ".gz")


@case("text")
def an_xz_bomb(folder: Path) -> Arguments:
    """64 MiB of zeros in ten kilobytes."""
    return tatoeba(folder, lzma.compress(bytes(2**26)), ".xz")


@case("text")
def an_xz_with_a_changed_byte(folder: Path) -> Arguments:
    raw = bytearray(lzma.compress(b"Ein Satz.\n" * 112))
    raw[30] ^= 255
    return tatoeba(folder, bytes(raw), ".xz")


@case("text")
def a_link_in_a_circle_as_data(folder: Path) -> Arguments:
    place = folder / "data" / "tatoeba" / "v1" / "tatoeba.swg-eng.swg"
    place.parent.mkdir(parents=True)
    place.symlink_to(place.name)
    return run("tatoeba")


@case("text")
def a_pipe_as_data(folder: Path) -> Arguments:
    place = folder / "data" / "tatoeba" / "v1" / "tatoeba.swg-eng.swg"
    place.parent.mkdir(parents=True)
    os.mkfifo(place)
    return run("tatoeba")


def json_lines(name: str, task: str, file: str, line: str) -> None:
    def made(folder: Path) -> Arguments:
        put(folder / "data" / file, line + "\n")
        if task == "mewslix":
            put(folder / "data" / "mewslix" / "candidate_set_entities.jsonl", "{}\n")
        return run(task, *(["--languages", "de"] if task == "mewslix" else []))

    CASES[f"JSON: {name}"] = made


XCOPA = "xcopa/data/et/test.et.jsonl"
MEWSLIX = "mewslix/wikinews_mentions-test.jsonl"
json_lines("a depth bomb", "xcopa", XCOPA, DEEP)
json_lines("a NUL below many levels", "xcopa", XCOPA, '{"a":' + "[" * 900 + '"\\u0000"' + "]" * 900 + "}")
json_lines("a number of 50,000 digits", "xcopa", XCOPA, f'{{"premise": {LONG}}}')
json_lines("keys that are missing", "xcopa", XCOPA, '{"premise": "x"}')
json_lines(
    "lists for texts", "xcopa", XCOPA, '{"premise": [], "question": 1, "choice1": {}, "choice2": 2, "label": "x"}'
)
json_lines(
    "half a surrogate",
    "xcopa",
    XCOPA,
    '{"premise": "\\ud800", "question": "cause", "choice1": "a", "choice2": "b", "label": 0}',
)
json_lines("a null where an object is", "mewslix", MEWSLIX, '{"context": null, "mentions": null}')
json_lines(
    "spans at infinity",
    "mewslix",
    MEWSLIX,
    json.dumps(
        {
            "context": {"language": "de", "text": "x", "sentence_spans": [{"start": -1e308, "end": 1e999}]},
            "mentions": [
                {"example_id": "1", "mention_span": {"start": 0, "end": 1, "text": "x"}, "entity_id": "Q1"}
            ],
        }
    ),
)
json_lines(
    "spans that are texts",
    "mewslix",
    MEWSLIX,
    json.dumps(
        {
            "context": {"language": "de", "text": "x", "sentence_spans": "abc"},
            "mentions": [
                {"example_id": "1", "mention_span": {"start": "0", "end": "1", "text": "x"}, "entity_id": "Q1"}
            ],
        }
    ),
)
json_lines(
    "concepts that are numbers",
    "multieurlex",
    "multieurlex/test.jsonl",
    '{"celex_id": 1, "text": 2, "eurovoc_concepts": 3}',
)


@case("JSON")
def a_squad_file_that_is_a_bomb(folder: Path) -> Arguments:
    put(folder / "data" / "lareqa" / "xquad-r" / "de.json", DEEP)
    return run("lareqa", "--languages", "de")


@case("table")
def cells_that_do_not_fit(folder: Path) -> Arguments:
    put(folder / "data" / "xnli" / "XNLI-1.0" / "xnli.test.tsv", "language\tgold_label\nde\n")
    return run("xnli")


@case("table")
def scores_that_are_none(folder: Path) -> Arguments:
    put(folder / "data" / "sts2017" / "STS.input.track5.en-en.txt", "a\tb\n")
    put(folder / "data" / "sts2017" / "STS.gs.track5.en-en.txt", "nan\n")
    return run("multists", "--languages", "en-en")


@case("table")
def ids_that_occur_twice(folder: Path) -> Arguments:
    for side in ("de", "en", "gold"):
        put(folder / "data" / "bucc2018" / "de-en" / f"de-en.training.{side}", "de-1\tx\nde-1\ty\n")
    return run("bucc", "--languages", "de-en")


# --- archives -------------------------------------------------------------------------------------------------

MENTIONS, CANDIDATES = "wikinews_mentions-test.jsonl", "candidate_set_entities.jsonl"


def mewslix(raw: bytes) -> Arguments:
    """Puts an archive where a fetch of Mewsli-X would, with a listing that fits it."""
    root = cache_root() / "hub" / HUB.repo.replace("/", "--")
    put(root / HUB.revision / ARCHIVE, raw)
    put(root / f"{HUB.revision}.json", json.dumps([{"path": ARCHIVE, "size": len(raw)}]))
    return [
        "run",
        "--model",
        "me5-small",
        "--task",
        "mewslix",
        "--languages",
        "de",
        "--data",
        "hub",
        "--results",
        "out",
    ]


def entry(name: str, content: bytes = b"", **fields: Any) -> bytes:
    """A member of a tar archive, as its header says, which may lie."""
    header = tarfile.TarInfo(name)
    header.size = len(content)
    for field, value in fields.items():
        setattr(header, field, value)
    return header.tobuf(tarfile.GNU_FORMAT) + content + bytes(-len(content) % 512)


def archive(name: str, *members: bytes) -> None:
    def made(folder: Path) -> Arguments:
        return mewslix(gzip.compress(b"".join(members) + bytes(1024), 1))

    CASES[f"archive: {name}"] = made


def both(**fields: Any) -> list[bytes]:
    """The two files of the task as members of another kind."""
    return [entry(name, **fields) for name in (MENTIONS, CANDIDATES)]


PAX = tarfile.XHDTYPE
archive("paths that climb", *(entry(f"../../../{name}", b"{}\n") for name in (MENTIONS, CANDIDATES)))
archive("paths from the root", *(entry(f"/tmp/{name}", b"{}\n") for name in (MENTIONS, CANDIDATES)))
archive("links to a file", *both(type=tarfile.SYMTYPE, linkname="/etc/passwd"))
archive("hard links to a file", *both(type=tarfile.LNKTYPE, linkname="/etc/passwd"))
archive("devices", *both(type=tarfile.CHRTYPE, devmajor=1, devminor=5))
archive("pipes", *both(type=tarfile.FIFOTYPE))
archive("a folder of that name", *both(type=tarfile.DIRTYPE))
archive("a bomb of zeros", entry(MENTIONS, bytes(2**26)))
archive("a member of a terabyte", entry(MENTIONS, size=2**40))
archive("a member of less than nothing", entry(MENTIONS, size=-(2**40)))
archive("a name of 64 MiB", entry("x", b"a" * 2**26, type=tarfile.GNUTYPE_LONGNAME), entry(MENTIONS))
archive("attributes of 64 MiB", entry("x", b"a" * 2**26, type=PAX), entry(MENTIONS))
archive("a chain of attributes", *[entry("x", b"6 a=b\n", type=PAX)] * 950, entry(MENTIONS))
archive("a size that is a word", entry("x", b"24 GNU.sparse.size=many\n", type=PAX), entry(MENTIONS, b"{}\n"))
archive("a map of holes that is a word", entry("x", b"22 GNU.sparse.map=a,b\n", type=PAX), entry(MENTIONS, b"{}\n"))
archive("a file of holes", entry(MENTIONS, type=tarfile.GNUTYPE_SPARSE))
archive("thousands of members", *[entry("x")] * 5_000)


@case("archive")
def a_torn_archive(folder: Path) -> Arguments:
    return mewslix(gzip.compress(entry(MENTIONS, os.urandom(2**16)))[:-2_000])


@case("archive")
def no_archive(folder: Path) -> Arguments:
    return mewslix(b"\x1f\x8b\x08\x00not gzip")


# --- models ---------------------------------------------------------------------------------------------------


def model(folder: Path, files: dict[str, str | bytes], kind: str = "hf") -> Arguments:
    for name, content in files.items():
        put(folder / "model" / name, content)
    return ["run", "--model", f"{kind}:model", "--task", "tatoeba", "--data", "mini", "--results", "out"]


CONFIG = json.dumps(
    {
        "model_type": "xlm-roberta", "architectures": ["XLMRobertaModel"], "hidden_size": 16,
        "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32, "vocab_size": 100,
        "max_position_embeddings": 40,
    }
)  # fmt: skip
MODULES = json.dumps([{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}])


@case("model")
def a_config_that_is_a_bomb(folder: Path) -> Arguments:
    return model(folder, {"config.json": DEEP})


@case("model")
def a_config_that_is_a_list(folder: Path) -> Arguments:
    return model(folder, {"config.json": "[]"})


@case("model")
def code_in_the_folder(folder: Path) -> Arguments:
    config = json.dumps({"model_type": "evil", "auto_map": {"AutoConfig": "evil.Evil", "AutoModel": "evil.Evil"}})
    return model(folder, {"config.json": config, "evil.py": CODE + "class Evil: pass\n"})


@case("model")
def code_of_a_module(folder: Path) -> Arguments:
    modules = json.dumps([{"idx": 0, "name": "0", "path": "", "type": "evil.Evil"}])
    return model(
        folder, {"modules.json": modules, "config.json": CONFIG, "evil.py": CODE + "class Evil: pass\n"}, "st"
    )


@case("model")
def a_class_of_the_standard_library(folder: Path) -> Arguments:
    modules = json.dumps([{"idx": 0, "name": "0", "path": "", "type": "subprocess.Popen"}])
    return model(folder, {"modules.json": modules, "config.json": CONFIG}, "st")


@case("model")
def modules_elsewhere(folder: Path) -> Arguments:
    modules = json.dumps(
        [{"idx": 0, "name": "0", "path": "../../etc", "type": "sentence_transformers.models.Transformer"}]
    )
    return model(folder, {"modules.json": modules}, "st")


@case("model")
def modules_that_are_numbers(folder: Path) -> Arguments:
    return model(folder, {"modules.json": '[{"type": 1, "path": 2}]'}, "st")


@case("model")
def an_activation_that_is_a_command(folder: Path) -> Arguments:
    dense = json.dumps({"in_features": 16, "out_features": 16, "bias": True, "activation_function": "os.abort"})
    modules = json.dumps([{"idx": 0, "name": "0", "path": "1_Dense", "type": "sentence_transformers.models.Dense"}])
    return model(folder, {"modules.json": modules, "1_Dense/config.json": dense, "config.json": CONFIG}, "st")


@case("model")
def weights_that_are_a_pickle(folder: Path) -> Arguments:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(Bomb()))
        archive.writestr("archive/version", "3\n")
    return model(folder, {"config.json": CONFIG, "pytorch_model.bin": sink.getvalue()})


@case("model")
def weights_that_are_an_old_pickle(folder: Path) -> Arguments:
    return model(folder, {"config.json": CONFIG, "pytorch_model.bin": pickle.dumps(Bomb(), 2)})


@case("model")
def a_zip_with_paths_outside(folder: Path) -> Arguments:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        archive.writestr("../../outside", "x")
    return model(folder, {"config.json": CONFIG, "pytorch_model.bin": sink.getvalue()})


@case("model")
def a_safetensors_header_of_exabytes(folder: Path) -> Arguments:
    return model(folder, {"config.json": CONFIG, "model.safetensors": struct.pack("<Q", 2**62) + b"{}"})


@case("model")
def safetensors_with_offsets_that_lie(folder: Path) -> Arguments:
    header = json.dumps({"x": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}}).encode()
    return model(folder, {"config.json": CONFIG, "model.safetensors": struct.pack("<Q", len(header)) + header})


@case("model")
def a_vocabulary_of_a_billion(folder: Path) -> Arguments:
    config = CONFIG.replace('"vocab_size": 100', '"vocab_size": -5')
    return model(folder, {"config.json": config, "model.safetensors": struct.pack("<Q", 2) + b"{}"})


@case("model")
def a_length_that_is_a_text(folder: Path) -> Arguments:
    config = CONFIG.replace('"max_position_embeddings": 40', '"max_position_embeddings": "many"')
    return model(folder, {"config.json": config})


@case("model")
def an_index_that_leads_outside(folder: Path) -> Arguments:
    index = json.dumps({"metadata": {}, "weight_map": {"x": "../../../etc/passwd"}})
    return model(folder, {"config.json": CONFIG, "model.safetensors.index.json": index})


@case("model")
def a_checkpoint_of_a_bomb(folder: Path) -> Arguments:
    put(folder / "run" / "1-encoder-0000001" / "state.json", DEEP)
    return ["run", "--model", "emmax:run", "--task", "tatoeba", "--data", "mini", "--results", "out"]


@case("model")
def a_checkpoint_whose_best_is_outside(folder: Path) -> Arguments:
    put(folder / "run" / "1-encoder-0000001" / "state.json", '{"best": "../../../etc"}')
    return ["run", "--model", "emmax:run", "--task", "tatoeba", "--data", "mini", "--results", "out"]


@case("model")
def a_name_with_a_command(folder: Path) -> Arguments:
    return ["run", "--model", f"hf:$(touch {CANARY})", "--task", "tatoeba", "--data", "mini", "--results", "out"]


# --- configs and corpora --------------------------------------------------------------------------------------


def pretrain(folder: Path, config: str) -> Arguments:
    put(folder / "config.toml", config)
    return ["pretrain", "emmax", "--config", "config.toml", "--out", "run"]


@case("config")
def a_toml_depth_bomb(folder: Path) -> Arguments:
    return pretrain(folder, "x = " + DEEP)


@case("config")
def keys_of_many_parts(folder: Path) -> Arguments:
    return pretrain(folder, ".".join(["a"] * 20_000) + " = 1")


@case("config")
def numbers_beyond_all_measure(folder: Path) -> Arguments:
    return pretrain(folder, f"[em]\nsteps = {LONG}\n")


@case("config")
def a_sweep_file_of_dates(folder: Path) -> Arguments:
    put(folder / "sweep.toml", "seeds = [1979-05-27]\n[variants]\nx = 1\n")
    return ["pretrain", "emmax", "--sweep", "sweep.toml", "--out", "run"]


def corpus(folder: Path, kind: str, file: str, content: str | bytes) -> Arguments:
    put(folder / file, content)
    source = f'[[data.parallel]]\nkind = "{kind}"\npath = "{file}"\npairs = ["en-de"]\n'
    return pretrain(folder, source)


@case("corpus")
def billion_laughs(folder: Path) -> Arguments:
    entities = "".join(f'<!ENTITY l{n + 1} "{f"&l{n};" * 10}">' for n in range(9))
    text = f'<?xml version="1.0"?><!DOCTYPE tmx [<!ENTITY l0 "lol">{entities}]><tmx><body>&l9;</body></tmx>'
    return corpus(folder, "tmx", "x.tmx", text)


@case("corpus")
def an_entity_of_a_file(folder: Path) -> Arguments:
    text = '<?xml version="1.0"?><!DOCTYPE tmx [<!ENTITY x SYSTEM "file:///etc/passwd">]><tmx>&x;</tmx>'
    return corpus(folder, "tmx", "x.tmx", text)


@case("corpus")
def a_depth_bomb_of_xml(folder: Path) -> Arguments:
    return corpus(folder, "tmx", "x.tmx", "<tmx>" + "<a>" * 500_000)


@case("corpus")
def a_torn_xz(folder: Path) -> Arguments:
    return corpus(folder, "tsv", "x.tsv.xz", lzma.compress(b"a sentence\tein Satz\n" * 5_000)[:-30])


@case("corpus")
def one_line_of_gigabytes(folder: Path) -> Arguments:
    return corpus(folder, "tsv", "x.tsv.gz", gzip.compress(bytes(2**27)))


@case("corpus")
def folders_that_climb(folder: Path) -> Arguments:
    return pretrain(folder, '[[data.monolingual]]\nkind = "text"\npath = "../../{language}/passwd"\n')


# --- plugins, names, imports ----------------------------------------------------------------------------------


@case("plugin")
def a_file_that_raises(folder: Path) -> Arguments:
    put(folder / "p.py", "raise RuntimeError('\\x1b[2J no')\n")
    return ["tasks", "--plugin", "p.py"]


@case("plugin")
def a_file_that_ends_the_process(folder: Path) -> Arguments:
    put(folder / "p.py", "raise SystemExit('bye')\n")
    return ["tasks", "--plugin", "p.py"]


@case("plugin")
def no_python(folder: Path) -> Arguments:
    put(folder / "p.sh", f"touch {CANARY}\n")
    return ["tasks", "--plugin", "p.sh"]


@case("plugin")
def tables_that_are_none(folder: Path) -> Arguments:
    put(folder / "p.py", "TASKS = [1, 2]\n")
    return ["tasks", "--plugin", "p.py"]


@case("plugin")
def names_that_climb(folder: Path) -> Arguments:
    put(folder / "p.py", "MODELS = {'../../outside': object()}\n")
    return ["run", "--plugin", "p.py", "--model", "../../outside", "--task", "tatoeba", "--data", "mini"]


@case("plugin")
def targets_that_are_commands(folder: Path) -> Arguments:
    put(folder / "p.py", "TASKS = {'x': 'os:abort'}\n")
    return ["run", "--plugin", "p.py", "--model", "me5-small", "--task", "x", "--data", "mini"]


@case("import")
def a_result_file_of_a_bomb(folder: Path) -> Arguments:
    put(folder / "a__b" / "1" / "Tatoeba.json", DEEP)
    return ["import", "mteb", "a__b"]


@case("import")
def scores_of_infinity(folder: Path) -> Arguments:
    content = {"task_name": "STS17", "scores": {"test": [{"hf_subset": "en-de", "cosine_spearman": 1e999}]}}
    put(folder / "a__b" / "1" / "STS17.json", json.dumps(content))
    return ["import", "mteb", "a__b"]


@case("picture")
def a_picture_of_a_bomb(folder: Path) -> Arguments:
    record(folder)
    put(folder / "results" / "m" / "picture.json", DEEP)
    return ["report", "results", "--format", "html", "--out", "page"]


# --- the test -------------------------------------------------------------------------------------------------

FALLBACK = re.compile(r"run again with --debug for the traceback")
"""What is said of an error that nobody foresaw."""


def snapshot(folder: Path, but: Path) -> set[Path]:
    return {
        path for path in folder.rglob("*") if but not in (path, *path.parents) and "xrete-cache" not in path.parts
    }


@pytest.mark.parametrize("name", CASES)
def test_one_sentence_and_nothing_else(
    name: str, xrete: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    monkeypatch.chdir(inside)
    arguments = CASES[name](inside)
    before = snapshot(tmp_path, inside)
    done = xrete(*arguments)
    assert done.returncode in (1, 2), (done.stdout, done.stderr)
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    spoken = errors or [line for line in done.stdout.splitlines() if "wrong" in line]
    assert spoken, (done.stdout, done.stderr)
    assert not FALLBACK.search(done.stderr), done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    assert all(len(line) < 1_000 for line in done.stderr.splitlines()), done.stderr[:3_000]
    assert not (inside / CANARY).exists(), "its code was run"
    assert snapshot(tmp_path, inside) == before, "a file outside"
    if "out" in arguments:
        assert not [*inside.glob("out/**/*.json")] or name.startswith("model"), "a record of what was refused"


def test_there_are_as_many_as_the_page_says() -> None:
    page = (Path(__file__).parents[2] / "docs" / "security.md").read_text("utf-8")
    print(len(CASES))
    assert f"{len(CASES)} hostile inputs" in page
