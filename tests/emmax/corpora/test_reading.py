"""Readers: every format, whole and damaged, gives its rows and says where the bad ones are."""

from __future__ import annotations

import bz2
import gettext
import gzip
import io
import json
import lzma
import struct
import sys
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from xrete.errors import DataError, UsageError, XreteError
from xrete.models.emmax.corpora import DataConfig
from xrete.models.emmax.corpora.catalogues import plain
from xrete.models.emmax.corpora.config import MonolingualSource, ParallelSource
from xrete.models.emmax.corpora.languages import corpus_code
from xrete.models.emmax.corpora.reading import LIMIT, sentences
from xrete.models.emmax.corpora.sources import Source, parts_by_corpus

PAGE = Path(__file__).parents[3] / "docs" / "large-corpora.md"

Rows = list[tuple[int, tuple[str, ...], str]]


def source(kind: str, **settings: Any) -> Source:
    union: Any = (
        ParallelSource if "pairs" in settings or kind in ("moses", "tsv", "tmx", "gettext") else MonolingualSource
    )
    return parsed(union, kind, **settings)


def parsed(union: Any, kind: str, **settings: Any) -> Source:
    found: Source = TypeAdapter(union).validate_python({"kind": kind, **settings})
    return found


def rows(kind: str, **settings: Any) -> dict[str, Rows]:
    """What a source gives, by language or pair."""
    found: dict[str, Rows] = {}
    for languages, parts in parts_by_corpus([source(kind, **settings)]).items():
        found["-".join(languages)] = [tuple(row) for part in parts for row in part.read()]
    return found


def zstd() -> Any:
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        zstd = pytest.importorskip("backports.zstd")
    return zstd


@pytest.mark.parametrize("suffix", ["", ".gz", ".bz2", ".xz", ".zst"])
def test_text_in_every_compression(tmp_path: Path, suffix: str) -> None:
    compress: dict[str, Callable[[bytes], bytes]] = {
        "": bytes, ".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress
    }  # fmt: skip
    text = "habari ya asubuhi\n\nkaka na dada\x0bzangu\u2028wote\n".encode()
    raw = compress[suffix](text) if suffix in compress else zstd().compress(text)
    (tmp_path / f"swh.txt{suffix}").write_bytes(raw)
    expected = {
        "sw": [(1, ("habari ya asubuhi",), ""), (2, ("",), ""), (3, ("kaka na dada\x0bzangu\u2028wote",), "")]
    }
    assert rows("text", path=f"{tmp_path}/{{language}}.txt{suffix}") == expected
    assert rows("text", path=f"{tmp_path}/swh.txt{suffix}", languages=["sw"]) == expected
    if suffix:
        (tmp_path / f"swh.txt{suffix}").write_bytes(raw[:-4])
        with pytest.raises(DataError, match=r"swh\.txt.* cannot be read .*fetch it again"):
            rows("text", path=f"{tmp_path}/swh.txt{suffix}", languages=["sw"])


def test_zst_without_its_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sw.zst").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "compression" if sys.version_info >= (3, 14) else "backports", None)
    with pytest.raises(UsageError, match=r"xrete\[corpora\]"):
        rows("text", path=f"{tmp_path}/{{language}}.zst")


def test_bad_lines_are_named_and_do_not_shift_the_others(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"\xef\xbb\xbfone\ntw\xffo\n" + b"x" * (LIMIT + 1) + b"\nfour")
    assert [tuple(row) for row in sentences(tmp_path / "a")] == [
        (1, ("one",), ""), (2, (), "not UTF-8"), (3, (), "line over 1 MiB"), (4, ("four",), "")
    ]  # fmt: skip


@pytest.mark.parametrize("length", [LIMIT - 1, LIMIT, LIMIT + 1, 3 * LIMIT])
@pytest.mark.parametrize("end", [b"", b"\n", b"\nlast"])
def test_the_longest_line(tmp_path: Path, length: int, end: bytes) -> None:
    (tmp_path / "a").write_bytes(b"x" * length + end)
    first, *rest = sentences(tmp_path / "a")
    assert first.problem == ("" if length <= LIMIT else "line over 1 MiB")
    assert [row.texts for row in rest] == ([("last",)] if end == b"\nlast" else [])


def test_moses_finds_its_pairs_by_the_names_of_files(tmp_path: Path) -> None:
    texts = {"de-en.de": "eins\nzwei\n", "de-en.en": "one\ntwo\n", "en-swh.en": "cat\n", "en-swh.swh": "paka\n"}
    for name, text in {**texts, "note": "x\n"}.items():
        (tmp_path / name).write_text(text, "utf-8")
    pattern = {
        "source": f"{tmp_path}/{{source}}-{{target}}.{{source}}",
        "target": f"{tmp_path}/{{source}}-{{target}}.{{target}}",
    }
    german = [(1, ("eins", "one"), ""), (2, ("zwei", "two"), "")]
    assert rows("moses", **pattern) == {"de-en": german, "en-sw": [(1, ("cat", "paka"), "")]}
    assert rows("moses", **pattern, pairs=["de-en"]) == {"de-en": german}
    swapped = {"source": f"{tmp_path}/de-en.en", "target": f"{tmp_path}/de-en.de"}
    assert rows("moses", **swapped, pairs=["en-de"]) == {"de-en": german}


@pytest.mark.parametrize(("short", "long"), [("de", "en"), ("en", "de")])
def test_moses_of_unequal_length(tmp_path: Path, short: str, long: str) -> None:
    (tmp_path / f"x.{short}").write_text("1\n2\n", "utf-8")
    (tmp_path / f"x.{long}").write_text("1\n2\n3\n4\n", "utf-8")
    with pytest.raises(DataError, match=rf"x\.{short} has 2 lines and .*x\.{long} has 4: they are not aligned"):
        rows("moses", source=f"{tmp_path}/x.de", target=f"{tmp_path}/x.en", pairs=["de-en"])


def test_moses_bad_line_on_either_side(tmp_path: Path) -> None:
    (tmp_path / "x.de").write_bytes(b"eins\n\xff\ndrei\n")
    (tmp_path / "x.en").write_bytes(b"\xfe\ntwo\nthree\n")
    found = rows("moses", source=f"{tmp_path}/x.de", target=f"{tmp_path}/x.en", pairs=["de-en"])["de-en"]
    assert found == [(1, (), "not UTF-8"), (2, (), "not UTF-8"), (3, ("drei", "three"), "")]


def test_tsv(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_bytes(
        b'id\ten\tde\n1\t"one\teins\n2\ttwo\n3\tthr\xffee\tdrei\n4\tfour\tvier\textra\n'
    )
    settings = {"path": f"{tmp_path}/a.tsv", "pairs": ["en-de"], "source_column": 2, "target_column": 3}
    expected = [
        (2, ("eins", '"one'), ""),
        (3, (), "wrong number of cells"),
        (4, (), "not UTF-8"),
        (5, (), "wrong number of cells"),
    ]
    assert rows("tsv", header=True, **settings)["de-en"] == expected
    assert rows("tsv", **settings)["de-en"] == [(1, ("de", "en"), ""), *expected]
    with pytest.raises(DataError, match="line 1: 3 cells, and none in column 4"):
        rows("tsv", **(settings | {"target_column": 4}))


TMX = """<?xml version="1.0" encoding="{encoding}"?>
<!DOCTYPE tmx SYSTEM "tmx14.dtd">
<tmx version="1.4"><header srclang="en"/><body>
<tu><tuv xml:lang="EN-US"><seg>A &amp; <bpt i="1">&lt;b></bpt>bold<ept i="1">&lt;/b></ept> <hi>cat</hi></seg></tuv>
<tuv xml:lang="sv"><seg>En katt</seg></tuv><tuv xml:lang="de"><seg>Eine Katze</seg></tuv></tu>
<tu><tuv xml:lang="en"><seg>Only English</seg></tuv></tu>
<tu><tuv lang="de"><seg>Ein Hund</seg></tuv><tuv lang="en"><seg>A
dog</seg></tuv><tuv lang="en"><seg>Another dog</seg></tuv></tu>
</body></tmx>
"""


@pytest.mark.parametrize("encoding", ["UTF-8", "UTF-16"])
def test_tmx(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "a.tmx.gz").write_bytes(gzip.compress(TMX.format(encoding=encoding).encode(encoding)))
    assert rows("tmx", path=f"{tmp_path}/a.tmx.gz", pairs=["en-de", "sv-en"]) == {
        "de-en": [
            (4, ("Eine Katze", "A & bold cat"), ""),
            (6, (), "language missing"),
            (7, ("Ein Hund", "A\ndog"), ""),
        ],
        "en-sv": [(4, ("A & bold cat", "En katt"), ""), (6, (), "language missing"), (7, (), "language missing")],
    }


def test_tmx_is_read_in_pieces(tmp_path: Path) -> None:
    unit = '<tu><tuv xml:lang="en"><seg>one {0}</seg></tuv><tuv xml:lang="de"><seg>eins {0}</seg></tuv></tu>\n'
    body = "".join(unit.format(number) for number in range(5_000))
    (tmp_path / "de-en.tmx").write_text(f"<tmx><body>\n{body}</body></tmx>", "utf-8")
    found = rows("tmx", path=f"{tmp_path}/{{source}}-{{target}}.tmx")["de-en"]
    assert found == [(n + 2, (f"eins {n}", f"one {n}"), "") for n in range(5_000)]


def test_tmx_with_entities_is_refused(tmp_path: Path) -> None:
    bomb = '<!DOCTYPE tmx [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]><tmx><body><tu>&b;</tu></body></tmx>'
    (tmp_path / "a.tmx").write_text(bomb, "utf-8")
    with pytest.raises(DataError, match="declares XML entities"):
        rows("tmx", path=f"{tmp_path}/a.tmx", pairs=["en-de"])


def test_tmx_with_an_entity_that_only_its_dtd_knows(tmp_path: Path) -> None:
    """The DTD is never fetched; without the character, words would run together."""
    units = "".join(
        f'<tu>{markup}<tuv xml:lang="en"><seg>{english}</seg></tuv><tuv xml:lang="de"><seg>gut</seg></tuv></tu>\n'
        for markup, english in (("", "x&nbsp;y"), ("", "x<ph>&nbsp;</ph>y"), ("<note>&nbsp;</note>", "x &amp; y"))
    )
    text = f'<!DOCTYPE tmx SYSTEM "tmx14.dtd">\n<tmx><body>\n{units}</body></tmx>'
    (tmp_path / "a.tmx").write_text(text, "utf-8")
    assert rows("tmx", path=f"{tmp_path}/a.tmx", pairs=["en-de"]) == {
        "de-en": [(3, (), "entity &nbsp; is not known"), (4, ("gut", "xy"), ""), (5, ("gut", "x & y"), "")]
    }


def test_tmx_that_is_cut_off(tmp_path: Path) -> None:
    (tmp_path / "a.tmx").write_text("<tmx>\n<body>\n<tu>", "utf-8")
    with pytest.raises(DataError, match=r"a\.tmx, line 3: not XML"):
        rows("tmx", path=f"{tmp_path}/a.tmx", pairs=["en-de"])


def catalogue(messages: Mapping[str, str]) -> bytes:
    """A compiled catalogue, as msgfmt writes one."""
    entries = sorted((key.encode(), value.encode()) for key, value in messages.items())
    start = 28 + 16 * len(entries)
    texts, tables = b"", [b"", b""]
    for column in (0, 1):
        for entry in entries:
            tables[column] += struct.pack("<II", len(entry[column]), start + len(texts))
            texts += entry[column] + b"\0"
    header = struct.pack("<7I", 0x950412DE, 0, len(entries), 28, 28 + 8 * len(entries), 0, 0)
    return header + tables[0] + tables[1] + texts


HEADER = "Content-Type: text/plain; charset=UTF-8\nPlural-Forms: nplurals=2; plural=(n != 1);\n"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, bytes], Path]:
    """Adds a catalogue to an installed package."""
    monkeypatch.syspath_prepend(tmp_path)

    def add(language: str, content: bytes) -> Path:
        folder = tmp_path / "someapp" / "locale" / language / "LC_MESSAGES"
        folder.mkdir(parents=True)
        (tmp_path / "someapp" / "__init__.py").write_text("raise RuntimeError('imported')")
        (folder / "app.mo").write_bytes(content)
        return folder / "app.mo"

    return add


def test_gettext(package: Callable[[str, bytes], Path]) -> None:
    german = {
        "": HEADER,
        "Open a file": "Eine Datei öffnen",
        "menu\x04&File": "&Datei",
        "%(count)d file\x00%(count)d files": "%(count)d Datei\x00%(count)d Dateien",
        "Hello, <b>%s</b>!": "Hallo!",
    }
    package("de", catalogue(german))
    package("sr@latin", catalogue({"": HEADER, "Yes": "Da"}))
    package("en_GB", catalogue({"": HEADER, "Color": "Colour"}))
    package("sw", b"no catalogue")
    found = rows("gettext", package="someapp")
    assert set(found) == {"de-en", "en-sr", "en-sw"}
    assert found["en-sr"] == [(2, ("Yes", "Da"), "")]
    assert [texts for _, texts, problem in found["de-en"] if not problem] == [
        ("… Datei", "… file"), ("Eine Datei öffnen", "Open a file"), ("Datei", "File")
    ]  # fmt: skip
    assert [problem for *_, problem in found["de-en"] if problem] == ["placeholders differ"]
    assert found["en-sw"][0][2].startswith("damaged catalogue")
    assert rows("gettext", package="someapp", languages=["de"]).keys() == {"de-en"}
    text = parts_by_corpus([parsed(MonolingualSource, "gettext", package="someapp", languages=["de", "sr"])])
    assert {
        languages: [row.texts for part in parts for row in part.read()] for languages, parts in text.items()
    } == {
        ("de",): [("… Datei",), (), ("Eine Datei öffnen",), ("Datei",)],
        ("sr",): [("Da",)],
    }
    with pytest.raises(UsageError, match=r"no translation into fr; it has de, sr, sw"):
        rows("gettext", package="someapp", languages=["fr", "de"])


def test_catalogues_are_what_gettext_reads() -> None:
    translations = gettext.GNUTranslations(
        io.BytesIO(catalogue({"": HEADER, "Yes": "Ja", "%d x\0%d xs": "%d y\0%d ys"}))
    )
    assert (translations.gettext("Yes"), translations.ngettext("%d x", "%d xs", 1)) == ("Ja", "%d y")


def test_packages_without_catalogues() -> None:
    with pytest.raises(UsageError, match="not installed"):
        rows("gettext", package="no_such_package")
    with pytest.raises(DataError, match="no compiled catalogues"):
        rows("gettext", package="json")


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("Add %(name)s to {group!r}", ("Add … to …", 2)),
        ("%d of %1.2f, 100 % sure", ("… of …, 100 % sure", 2)),
        ("100% of %s", ("100% of …", 1)),
        ("&File, E&xit, AT&T, R & D, _Open, snake_case", ("File, Exit, AT&T, R & D, Open, snake_case", 0)),
        ("文件(&F)", ("文件", 0)),
        ("a &amp; b", ("a & b", 0)),
        ('<a href="%(link)s">Log in</a>', (" Log in ", 0)),
        ("1 < 2 and 3 > 2", ("1 < 2 and 3 > 2", 0)),
    ],
)
def test_messages_become_plain_text(message: str, expected: tuple[str, int]) -> None:
    assert plain(message) == expected


@pytest.fixture
def data_set(tmp_path: Path) -> str:
    """A folder of JSON lines, as a hub repository may be, and as datatrove writes it."""
    lines = [
        {"translation": {"en": "one", "de": "eins"}, "text": "a first line\nand a second"},
        {"translation": {"en": "two", "de": None}, "text": "third"},
    ]
    folder = tmp_path / "set"
    folder.mkdir()
    (folder / "00000.jsonl.gz").write_bytes(gzip.compress("\n".join(map(json.dumps, lines)).encode()))
    return str(folder)


def test_hub_pairs(data_set: str) -> None:
    columns = {"source_column": "translation.{source}", "target_column": "translation.{target}"}
    found = rows("hub", repo=data_set, pairs=["en-de"], **columns)
    assert found == {"de-en": [(1, ("eins", "one"), ""), (2, (), "not a text")]}


def test_hub_text_of_several_lines(data_set: str) -> None:
    expected = [(1, ("a first line",), ""), (1, ("and a second",), ""), (2, ("third",), "")]
    assert rows("hub", repo=data_set, languages=["en"]) == {"en": expected}


def test_hub_errors(data_set: str) -> None:
    with pytest.raises(DataError, match=r"default/train has no column 'txt' among .*text"):
        rows("hub", repo=data_set, languages=["en"], column="txt")
    with pytest.raises(XreteError, match=r"cannot read data set .*default/test"):
        rows("hub", repo=data_set, languages=["en"], split="test")
    with pytest.raises(UsageError, match="neither a folder nor pinned"):
        rows("hub", repo="someone/something", languages=["en"])
    with pytest.raises(XreteError, match="cannot read data set someone/something"):  # tests have no network
        rows("hub", repo="someone/something", revision="0" * 40, languages=["en"])


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        ("text", {"path": "a.txt"}, "put {language} into 'a.txt'"),
        ("text", {"path": "a.txt", "languages": ["de", "en"]}, "put {language} into 'a.txt'"),
        ("text", {"path": "a.txt", "languages": ["../x"]}, "pattern"),
        ("text", {"path": "a.txt", "languages": ["de"], "encoding": "latin-1"}, "Extra inputs"),
        ("moses", {"source": "a.{source}", "target": "a.{target}"}, "list the pairs of 'a.{source}'"),
        ("moses", {"source": "a", "target": "b", "pairs": ["de-en", "fr-en"]}, "give it one pair"),
        ("tsv", {"path": "a", "pairs": ["de"]}, "pattern"),
        ("tmx", {"path": "{source}.tmx"}, "list the pairs"),
        ("hub", {"repo": "a/b", "pairs": [], "source_column": "a", "target_column": "b"}, "list the pairs"),
    ],
)
def test_settings_that_cannot_work(kind: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as error:
        source(kind, **settings)
    assert message in str(error.value)


def test_files_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"missing corpus file: .*/\{language\}\.txt"):
        rows("text", path=f"{tmp_path}/{{language}}.txt")
    with pytest.raises(DataError, match=r"missing corpus file: .*/sw\.txt"):
        rows("text", path=f"{tmp_path}/{{language}}.txt", languages=["sw"])
    (tmp_path / "README.txt").write_text("x")
    with pytest.raises(UsageError, match="'README' is no language code"):
        rows("text", path=f"{tmp_path}/{{language}}.txt")


def test_a_language_in_several_files(tmp_path: Path) -> None:
    for name in ("zh-Hans.1", "zh-Hant.1", "zh-Hans.0", "qta.0"):
        (tmp_path / f"{name}.txt").write_text(f"{name}\n", "utf-8")
    found = rows("text", path=f"{tmp_path}/{{language}}.*.txt")
    assert {language: [texts[0] for _, texts, _ in part] for language, part in found.items()} == {
        "qta": ["qta.0"], "zh": ["zh-Hans.0", "zh-Hans.1", "zh-Hant.1"]
    }  # fmt: skip


CODES = (
    "af am ar as az be bg bn br bs ca cs cy da de el en eo es et eu fa fi fr fy ga gd gl gu ha he hi hr hu hy "
    "id is it ja jv ka kk km kn ko ku ky la lo lt lv mg mk ml mn mr ms mt my ne nl no om or pa pl ps pt ro ru "
    "sa sd si sk sl so sq sr su sv sw ta te th tl tr ug uk ur uz vi xh yi zh"
).split()


def test_the_codes_of_the_paper_stay_as_they_are() -> None:
    assert len(CODES) == 94
    assert [corpus_code(code) for code in CODES] == CODES
    others = {"swh": "sw", "nb": "no", "fil": "tl", "iw": "he", "zh_Hant": "zh", "pt-BR": "pt", "bn_rom": "bn_rom"}
    assert {code: corpus_code(code) for code in others} == others


@pytest.mark.skipif(not PAGE.is_file(), reason="these tests were copied out of their checkout")
def test_the_sources_that_the_page_shows() -> None:
    blocks = [part.partition("```")[0] for part in PAGE.read_text("utf-8").split("```toml\n")[1:]]
    assert blocks
    for block in blocks:
        DataConfig.model_validate(tomllib.loads(block)["data"])
