"""Sources: lines are split on line feeds only, damage is named, and the hub runs no code and needs no network."""

from __future__ import annotations

import gzip
import io
import json
import lzma
import os
import re
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from importlib.resources import files as package_files
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from xrete.errors import DataError, XreteError
from xrete.sources import Folder, Hub, HubData, Mini

MakeSnapshot = Callable[..., Path]

REVISION = "69e8f12da6e31d59addadda9a9c8a2e601a0e282"
LINE = st.text(st.characters(codec="utf-8", exclude_characters="\n\0\ufeff"), min_size=1).map(
    lambda line: f"{line}."
)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


@given(lines=st.lists(LINE, min_size=1), last=st.booleans())
@example(lines=["one\u2028still one", "two\x85still two", "three\fstill\vthree", "four\rstill four"], last=True)
@example(lines=["\rmacs", " . ", "a\ufeffmark", "x\x1c\x1d\x1e"], last=False)
def test_lines_are_split_on_line_feeds_only(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], last: bool
) -> None:
    folder = Folder(tmp_path_factory.getbasetemp())
    (folder.root / "lines").write_bytes(("\n".join(lines) + "\n" * last).encode())
    assert folder.lines("lines") == lines


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"", r"/file is empty; fetch it again$"),
        (b"\n", r"/file, line 1: empty line; fetch"),
        (b"one\n\nthree\n", r"/file, line 2: empty line; fetch"),
        (b"one\ntwo\n\n", r"/file, line 3: empty line; fetch"),
        (b"one\r\n\r\ntwo\r\n", r"/file, line 2: empty line; fetch"),
        ("one\n \u00a0\u3000\n".encode(), r"/file, line 2: empty line; fetch"),
        ("one\ntwo\n\u200b\u200d\n".encode(), r"/file, line 3: empty line; fetch"),
        (b"one\ntw\xf6\n", r"/file, line 2: not UTF-8 \(byte 6\)"),
        (b"one\ntwo\nth\0ree\n", r"/file, line 3: a NUL byte in the text; fetch"),
    ],
)
def test_damaged_lines_are_named(folder: Folder, raw: bytes, says: str) -> None:
    (folder.root / "file").write_bytes(raw)
    with pytest.raises(DataError, match=says):
        folder.lines("file")


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_line_ends_and_byte_order_marks_are_no_text(folder: Folder, mark: str, end: str) -> None:
    """Of every reader: what a task reads does not depend on the editor that saved its files."""

    def write(*lines: str) -> None:
        (folder.root / "file").write_bytes((mark + "".join(line + end for line in lines)).encode())

    write("one", "two\rthree")
    assert folder.lines("file") == ["one", "two\rthree"]
    write("a\tb", "c\td")
    assert folder.rows("file", 2) == [["a", "b"], ["c", "d"]]
    assert folder.table("file", ("b", "a")) == [["d"], ["c"]]
    write('{"a": 1}', '{"a": 2}')
    assert folder.json_lines("file") == [{"a": 1}, {"a": 2}]
    write("[1,", "2]")
    assert folder.json("file") == [1, 2]


def test_tasks_read_files_through_the_folder_alone() -> None:
    """So that all of them have its rules."""
    tasks = Path(str(package_files("xrete.tasks")))
    opened = re.compile(r"\bopen\(|\.read_text\(|\.read_bytes\(|\.splitlines\(")
    assert [file.name for file in tasks.rglob("*.py") if opened.search(file.read_text("utf-8"))] == ["rows.py"]
    assert len(opened.findall((tasks / "rows.py").read_text("utf-8"))) == 1  # of a text that was read


PACKERS: dict[str, Callable[[bytes], bytes]] = {".gz": gzip.compress, ".xz": lzma.compress}


@pytest.mark.parametrize("ending", PACKERS)
def test_compressed_files_are_read_as_they_are(folder: Folder, ending: str) -> None:
    text, file = '{"a": "x"}\n{"a": "y\u2028"}\n', folder.root / f"file{ending}"
    file.write_bytes(PACKERS[ending](text.encode()))
    assert (folder.has("file"), folder.locate("file")) == (True, file)
    assert folder.lines("file") == text.split("\n")[:2]
    assert folder.json_lines("file") == [{"a": "x"}, {"a": "y\u2028"}]
    (folder.root / "file").write_text("plain\n")  # what is not compressed comes first
    assert folder.lines("file") == ["plain"]


@pytest.mark.parametrize("ending", PACKERS)
def test_a_damaged_compressed_file_is_named(folder: Folder, ending: str) -> None:
    """Cut off, of another kind, and with a changed byte in the middle."""
    file = folder.root / f"file{ending}"
    whole = PACKERS[ending](b"".join(b'{"a": %d}\n' % number for number in range(1000)))
    middle = len(whole) // 2
    changed = whole[:middle] + bytes([whole[middle] ^ 255]) + whole[middle + 1 :]
    says = rf"/file\{ending}( is damaged \(.*\); fetch it again$|, line \d+: not )"
    for raw in (whole[:middle], b"no such format", changed):
        file.write_bytes(raw)
        for read in (folder.lines, folder.json_lines):
            with pytest.raises(DataError, match=says):
                read("file")


def test_a_compressed_file_does_not_fill_the_memory(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xrete.sources.folder.MOST_BYTES", 1000)
    (folder.root / "file.gz").write_bytes(gzip.compress(b"x\n" * 1000))
    with pytest.raises(DataError, match=r"/file\.gz holds more than .* of text, which no task has; fetch it again"):
        folder.lines("file")


def test_nul_bytes_in_json_are_named(folder: Folder) -> None:
    """Escaped ones, which JSON allows; a text that only speaks of them is fine."""
    spoken = json.dumps({"a": ["\\u0000"]})
    for value in ({"a": "x\0"}, {"a": ["b", {"c": "\0"}]}, {"\0": 1}):
        (folder.root / "lines").write_text(f"{spoken}\n{json.dumps(value)}\n")
        with pytest.raises(DataError, match=r"/lines, line 2: a NUL byte in the text"):
            folder.json_lines("lines")
        (folder.root / "whole").write_text(f"[{spoken},\n\n{json.dumps(value)}]")
        with pytest.raises(DataError, match=r"/whole, line [13]: a NUL byte in the text"):
            folder.json("whole")
    (folder.root / "lines").write_text(f"{spoken}\n")
    assert folder.json_lines("lines") == [folder.json("lines")] == [{"a": ["\\u0000"]}]


def test_missing_files_are_named(folder: Folder) -> None:
    (folder.root / "sub").mkdir()
    assert not folder.has("none")
    assert not folder.has("sub")
    with pytest.raises(DataError, match=r"^missing data file: .*/none$"):
        folder.lines("none")
    with pytest.raises(DataError, match=r"^missing data file: .*/none$"):
        folder.json("none")


@given(
    rows=st.lists(
        st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\n\t\0\ufeff")), min_size=2, max_size=2),
        min_size=1,
    ).map(lambda rows: [["seen", *row[:1], f"{row[1]}."] for row in rows])
)
def test_cells_are_what_stands_between_tabs(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]]
) -> None:
    """Quotes and backslashes are text; an empty cell is a cell."""
    folder = Folder(tmp_path_factory.getbasetemp())
    (folder.root / "rows").write_bytes("".join("\t".join(row) + "\n" for row in rows).encode())
    assert folder.rows("rows", 3) == rows
    assert folder.rows("rows", 3, header=True) == rows[1:]


def test_rows_of_another_width_are_named(folder: Folder) -> None:
    (folder.root / "rows").write_text('a\tb\n"c\td"\ne\tf\tg\n')
    with pytest.raises(DataError, match=r"/rows, line 3: 3 cells, not 2$"):
        folder.rows("rows", 2)


def test_json_is_read_and_its_errors_are_named(folder: Folder) -> None:
    (folder.root / "good").write_text('{"a": [1, "\u2028"]}', "utf-8")
    (folder.root / "bad").write_text('{"a": 1,\n "b": }')
    assert folder.json("good") == {"a": [1, "\u2028"]}
    with pytest.raises(DataError, match=r"/bad, line 2: not JSON \(Expecting value\)"):
        folder.json("bad")


def test_json_lines_are_read_and_their_errors_are_named(folder: Folder) -> None:
    (folder.root / "good").write_text('{"a": "x\u2028y"}\n{"a": 2}\n', "utf-8")
    (folder.root / "bad").write_text('{"a": 1}\n{"a": \n')
    (folder.root / "list").write_text('{"a": 1}\n{"a": 2}\n[3]\n')
    assert folder.json_lines("good") == [{"a": "x\u2028y"}, {"a": 2}]
    with pytest.raises(DataError, match=r"/bad, line 2: not JSON"):
        folder.json_lines("bad")
    with pytest.raises(DataError, match=r"/list, line 3: not a JSON object"):
        folder.json_lines("list")


README = """---
configs:
- config_name: sqi-eng
  data_files:
  - split: test
    path: test/sqi-eng.jsonl.gz
- config_name: fry-eng
  data_files:
  - split: test
    path: test/fry-eng.jsonl
- config_name: broken
  data_files:
  - split: test
    path: test/broken.jsonl
---
"""
PAIRS = [{"sentence1": "Përshëndetje!\u2028", "sentence2": "Hello!"}, {"sentence1": '"Po"', "sentence2": ""}]


@pytest.fixture
def hub(snapshot: MakeSnapshot) -> Hub:
    """A repository with a config in gzipped JSON lines, one in plain ones, and a broken one."""
    snapshot(
        "mteb/tatoeba-bitext-mining",
        REVISION,
        {
            "README.md": README,
            "test/sqi-eng.jsonl.gz": gzip.compress("".join(f"{json.dumps(row)}\n" for row in PAIRS).encode()),
            "test/fry-eng.jsonl": '{"sentence1": "Goeie", "sentence2": "Hello"}\n',
            "test/broken.jsonl": '{"sentence1": "a"\n',
            "tatoeba-bitext-mining.py": "raise RuntimeError('code of the repository ran')",
        },
    )
    return Hub(HubData(repo="mteb/tatoeba-bitext-mining", revision=REVISION))


def test_the_hub_is_read_from_its_cache(hub: Hub) -> None:
    assert sorted(hub.local()) == sorted(hub.listing)
    first, second = hub.columns("sqi-eng", "test", ("sentence1", "sentence2"))
    assert first == [row["sentence1"] for row in PAIRS]
    assert second == [row["sentence2"] for row in PAIRS]
    assert hub.columns("fry-eng", "test", ("sentence2", "sentence1")) == [["Hello"], ["Goeie"]]


def test_the_hub_is_read_from_parquet_in_the_default_config(snapshot: MakeSnapshot) -> None:
    files: dict[str, bytes] = {}
    for split in ("dev", "devtest"):
        table = io.BytesIO()
        pq.write_table(
            pa.table({"deu_Latn": [f"eins {split}", "zwei"], "eng_Latn": [f"one {split}", "two"]}), table
        )
        files[f"data/{split}-00000-of-00001.parquet"] = table.getvalue()
    readme = "---\nconfigs:\n- config_name: default\n  data_files:\n" + "".join(
        f"  - split: {split}\n    path: data/{split}-*\n" for split in ("dev", "devtest")
    )
    snapshot("mteb/FloresBitextMining", REVISION, {"README.md": f"{readme}---\n".encode(), **files})
    hub = Hub(HubData(repo="mteb/FloresBitextMining", revision=REVISION))
    assert hub.columns("default", "dev", ("eng_Latn", "deu_Latn")) == [["one dev", "two"], ["eins dev", "zwei"]]
    assert hub.columns("default", "devtest", ("eng_Latn",)) == [["one devtest", "two"]]


@pytest.mark.parametrize(
    ("config", "split", "column", "says"),
    [
        ("xxx-eng", "test", "sentence1", "mteb/tatoeba-bitext-mining has no config 'xxx-eng' with split 'test'"),
        ("sqi-eng", "train", "sentence1", "has no config 'sqi-eng' with split 'train'"),
        ("sqi-eng", "test", "text", "sqi-eng/test: no column 'text'"),
        ("broken", "test", "sentence1", "mteb/tatoeba-bitext-mining, broken/test is damaged at "),
    ],
)
def test_what_the_hub_has_not_is_named(hub: Hub, config: str, split: str, column: str, says: str) -> None:
    with pytest.raises(DataError, match=re.escape(says)):
        hub.columns(config, split, (column,))


def test_another_revision_is_not_the_pinned_one(hub: Hub) -> None:
    other = Hub(HubData(repo=hub.data.repo, revision="0" * 40))
    assert not other.local()
    with pytest.raises(
        XreteError, match=r"cannot get data set mteb/tatoeba-bitext-mining at 00000000 from the hub"
    ):
        _ = other.listing


def test_without_a_network_the_hub_fails_at_once_and_says_the_way_out(tmp_path: Path) -> None:
    """In a process of its own, which is not told to stay offline and finds out."""
    script = (
        "from xrete.errors import XreteError\n"
        "from xrete.sources import Hub\n"
        "from xrete.task import HubData\n"
        "try:\n"
        f"    Hub(HubData(repo='mteb/tatoeba-bitext-mining', revision='{REVISION}')).listing\n"
        "except XreteError as error:\n"
        "    print(error)\n"
    )
    environment = {key: value for key, value in os.environ.items() if key != "HF_HUB_OFFLINE"}
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**environment, "HF_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert re.fullmatch(
        r"cannot get data set mteb/tatoeba-bitext-mining at 69e8f12d from the hub \(ConnectError\); "
        r"use --data DIR with the upstream files, or --data mini\n",
        done.stdout,
    )
    assert done.stderr == ""
    assert time.perf_counter() - started < 15  # trying again takes huggingface_hub 25 seconds


def test_the_mini_sample_is_aligned() -> None:
    table = Mini().table("parallel.tsv")
    assert len(table) >= 16
    assert {len(column) for column in table.values()} == {72}
    assert all(cell and cell == cell.strip() for column in table.values() for cell in column)
    assert all(len(set(column)) == 72 for column in table.values())


def test_the_mini_sample_reads_json_lines() -> None:
    rows = Mini().json_lines("multists.jsonl")
    assert all(isinstance(row, dict) for row in rows)
    assert len(rows) > 400


def packed(members: dict[str, bytes], *, link: str = "", comment: str = "") -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz", pax_headers={"comment": comment}) as archive:
        if link:
            entry = tarfile.TarInfo(link)
            entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"
            archive.addfile(entry)
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return file.getvalue()


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (packed({"raw/a.jsonl": b"{}\n"}), ""),
        (packed({"/etc/a.jsonl": b"{}\n", "../../b": b""}), ""),
        (packed({}, link="a.jsonl"), "raw.tar.gz: no file a.jsonl"),
        (packed({"raw/b.jsonl": b""}), "raw.tar.gz: no file a.jsonl"),
        (packed({str(number): b"" for number in range(200)}), "holds more than a task has"),
        (packed({"raw/a.jsonl": bytes(2**25)}), "holds more than a task has"),
        (packed({"raw/a.jsonl": b"{}\n"}, comment="a" * 2**21), "holds more than a task has"),
        (packed({"raw/a.jsonl": b"{}\n" * 100_000})[:150], "is damaged ("),
        (b"no archive", "is damaged ("),
    ],
    ids=[
        "plain",
        "paths outside",
        "link",
        "without it",
        "many members",
        "bomb",
        "long header",
        "cut",
        "no archive",
    ],  # bytes hold the time
)
def test_only_the_wanted_files_of_an_archive_are_unpacked(
    snapshot: MakeSnapshot, tmp_path: Path, raw: bytes, says: str
) -> None:
    """Under names of our own, whatever the archive calls them; links and damage are refused."""
    snapshot("a/b", REVISION, {"raw.tar.gz": raw})
    hub = Hub(HubData(repo="a/b", revision=REVISION))
    if says:
        with pytest.raises(DataError, match=re.escape(says)):
            hub.unpack("raw.tar.gz", {"task/a.jsonl": "a.jsonl"})
    else:
        folder = hub.unpack("raw.tar.gz", {"task/a.jsonl": "a.jsonl"})
        assert folder.json_lines("task/a.jsonl") == [{}]
        assert [file.name for file in folder.root.rglob("*") if file.is_file()] == ["a.jsonl"]


def test_a_file_that_is_neither_parquet_nor_json_is_refused(snapshot: MakeSnapshot) -> None:
    readme = "---\nconfigs:\n- config_name: x\n  data_files:\n  - split: test\n    path: x.csv\n---\n"
    snapshot("a/b", REVISION, {"README.md": readme, "x.csv": "a,b\n"})
    with pytest.raises(DataError, match=r"a/b: x\.csv is neither parquet nor JSON"):
        Hub(HubData(repo="a/b", revision=REVISION)).columns("x", "test", ("a",))
