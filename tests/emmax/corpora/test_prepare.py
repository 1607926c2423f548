"""Preparation: what is kept, what is dropped and said of it, and that a corpus is there in full or not at all."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tracemalloc
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xrete.errors import DataError, UsageError, XreteError
from xrete.models.emmax.corpora import DataConfig, Prepared, Progress, prepare
from xrete.models.emmax.corpora.digests import Seen, bare, text_digests
from xrete.models.emmax.corpora.filters import Filters, Judge, clean


def text_source(folder: Path, **settings: Any) -> dict[str, Any]:
    return {"monolingual": [{"kind": "text", "path": f"{folder}/{{language}}.txt"}], **settings}


def write(path: Path, lines: Sequence[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), "utf-8")


def run(folder: Path, **settings: Any) -> Prepared:
    return prepare(DataConfig.model_validate(settings), folder / "prepared")


def all_rows(prepared: Prepared, name: str) -> list[tuple[str, ...]]:
    corpus = prepared.parallel[name] if "-" in name else prepared.monolingual[name]
    rows: list[tuple[str, ...]] = corpus.rows(np.arange(len(corpus)))
    return rows


def test_everything_is_kept_in_order_and_counted(tmp_path: Path) -> None:
    write(
        tmp_path / "sw.txt",
        ["  habari   ya\tasubuhi ", "", "paka na panya", "habari ya asubuhi", "12 + 34 = 46", "ab"],
    )
    (tmp_path / "de.txt").write_bytes(b"Guten Morgen\nkaputt \xff\nGute Nacht\x00!\nein \xef\xbf\xbd Zeichen\n")
    prepared = run(tmp_path, **text_source(tmp_path))
    assert all_rows(prepared, "sw") == [("habari ya asubuhi",), ("paka na panya",)]
    assert all_rows(prepared, "de") == [("Guten Morgen",)]
    swahili, german = (prepared.monolingual[x].report for x in ("sw", "de"))
    assert (swahili.read, swahili.kept, swahili.characters) == (6, 2, 30)
    assert {reason: (d.count, d.first) for reason, d in swahili.dropped.items()} == {
        "empty": (1, [f"{tmp_path}/sw.txt, line 2"]),
        "duplicate": (1, [f"{tmp_path}/sw.txt, line 4"]),
        "few letters": (1, [f"{tmp_path}/sw.txt, line 5"]),
        "too short": (1, [f"{tmp_path}/sw.txt, line 6"]),
    }
    assert {reason: d.count for reason, d in german.dropped.items()} == {"not UTF-8": 1, "broken characters": 2}


def test_pairs(tmp_path: Path) -> None:
    write(
        tmp_path / "x.tsv",
        [
            "Good morning\tGuten Morgen",
            "Good night\tGute Nacht",
            "Good morning\tGuten Tag",  # another translation is another pair
            "Good morning\tGuten  Morgen",
            "Taxi now\ttaxi NOW",
            "Yes indeed\tJawohl, und das ist mein voller Ernst, wie du weißt",
            "one cell",
            "\tleer",
        ],
    )
    write(tmp_path / "y.tsv", ["Gute Nacht\tGood night", "Auf Wiedersehen\tGoodbye"])
    sources = [
        {"kind": "tsv", "path": f"{tmp_path}/x.tsv", "pairs": ["en-de"]},
        {"kind": "tsv", "path": f"{tmp_path}/y.tsv", "pairs": ["de-en"]},
    ]
    prepared = run(tmp_path, parallel=sources, bitexts_as_monolingual=True)
    assert all_rows(prepared, "de-en") == [
        ("Guten Morgen", "Good morning"), ("Gute Nacht", "Good night"), ("Guten Tag", "Good morning"),
        ("Auf Wiedersehen", "Goodbye"),
    ]  # fmt: skip
    report = prepared.parallel["de-en"].report
    assert {reason: d.count for reason, d in report.dropped.items()} == {
        "duplicate": 2, "copy": 1, "unequal lengths": 1, "wrong number of cells": 1, "empty": 1
    }  # fmt: skip
    assert all_rows(prepared, "en") == [("Good morning",), ("Good night",), ("Goodbye",)]
    assert len(prepared.monolingual["de"]) == 4
    assert run(tmp_path, parallel=sources).monolingual == {}


def test_the_first_sentences_are_kept_up_to_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["xrete.models.emmax.corpora.prepare"], "BATCH", 7)
    lines = [f"sentence number {n // 2}" for n in range(100)]
    write(tmp_path / "en.txt", lines)
    for limit in (1, 6, 7, 20, 1_000):
        prepared = run(tmp_path, **text_source(tmp_path, max_sentences=limit))
        assert [text for (text,) in all_rows(prepared, "en")] == list(dict.fromkeys(lines))[:limit]


@given(st.lists(st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(0, 9), min_size=1), max_size=8))
def test_seen_agrees_with_a_set(batches: list[list[int]]) -> None:
    seen, known = Seen(), set[int]()
    for batch in batches:
        expected = []
        for number in batch:
            expected.append(number not in known)
            known.add(number)
        assert seen.add(np.array(batch, dtype=np.int64)).tolist() == expected


def test_digests_are_those_of_blake2b() -> None:
    texts = ["", "ä", "a longer text", "ä"]
    expected = [hashlib.blake2b(text.encode(), digest_size=8).digest() for text in texts]
    assert text_digests(texts).tolist() == [int.from_bytes(raw, "little", signed=True) for raw in expected]


@given(st.text())
def test_clean_text_has_single_spaces_only(text: str) -> None:
    assert clean(text) == clean(clean(text))
    assert not {"\t", "\n", "\r"} & set(clean(text))
    assert "".join(clean(text).split()) == "".join(text.split())


def test_bare_text() -> None:
    assert bare("Ｈéllo, „Wörld“ - Straße №1!") == bare("héllo wörld STRASSE no 1") == "héllowörldstrasseno1"


def slow_verdict(filters: Filters, texts: tuple[str, ...]) -> str:
    """The filters again, a character at a time."""

    def length(text: str) -> int:
        return sum(2 if unicodedata.east_asian_width(x) in "WF" else 1 for x in text)

    def letters(text: str) -> float:
        visible = [x for x in text if unicodedata.category(x)[0] != "Z"]
        return sum(unicodedata.category(x)[0] in "LM" for x in visible) / max(1, len(visible))

    lengths = [length(text) for text in texts]
    if not all(lengths):
        return "empty"
    if any(unicodedata.category(x) in ("Cc", "Cs") or x == "\ufffd" for text in texts for x in text):
        return "broken characters"
    if min(lengths) < filters.minimum_length:
        return "too short"
    if max(lengths) > filters.maximum_length:
        return "too long"
    if min(map(letters, texts)) < filters.minimum_letters:
        return "few letters"
    if max(lengths) > filters.maximum_ratio * min(lengths):
        return "unequal lengths"
    if len(texts) == 2 and texts[0].casefold() == texts[1].casefold():
        return "copy"
    return ""


TEXT = st.text(st.characters(max_codepoint=0x3FFFF) | st.sampled_from("abcäßकी中あ1.,! "), max_size=12).map(clean)


@given(st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=6))
def test_verdicts_agree_with_a_plain_loop(rows: list[tuple[str, str]]) -> None:
    filters = Filters(minimum_length=2, maximum_length=14, maximum_ratio=2.0)
    columns = [list(column) for column in zip(*rows, strict=True)]
    assert Judge(filters)(columns, ("en", "de")).tolist() == [slow_verdict(filters, row) for row in rows]
    assert Judge(filters)(columns[:1], ("en",)).tolist() == [slow_verdict(filters, row[:1]) for row in rows]


def test_lengths_of_wide_scripts_count_twice() -> None:
    judge = Judge(Filters(minimum_length=8))
    assert judge([["请输入网址", "请输入网"]], ("zh",)).tolist() == ["", ""]
    assert judge([["please enter the address!!!!!!"], ["请输入网址"]], ("en", "zh")).tolist() == [""]
    assert Judge(Filters())([["हिन्दी में लिखी हुई बात"]], ("hi",)).tolist() == [""]


def test_other_language() -> None:
    pytest.importorskip("py3langid")
    judge = Judge(Filters(other_language=0.9))
    texts = ["Das ist ein ganz normaler deutscher Satz.", "This is a perfectly ordinary English sentence."]
    assert judge([texts], ("de",)).tolist() == ["", "other language"]
    assert judge([texts], ("qaa",)).tolist() == ["", ""]  # a language that py3langid does not know
    assert judge([texts, texts[::-1]], ("de", "en")).tolist() == ["", "other language"]


def test_other_language_without_its_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "py3langid.langid", None)
    with pytest.raises(UsageError, match=r"xrete\[corpora\]"):
        Judge(Filters(other_language=0.9))


def test_a_corpus_that_is_all_bad(tmp_path: Path) -> None:
    (tmp_path / "de.txt").write_bytes(b"\xff\n\xfe\n\n")
    with pytest.raises(
        DataError, match=r"none of the 3 rows of de .*not UTF-8 2 \(.*de\.txt, line 1\); empty 1 \(.*line 3\)"
    ):
        run(tmp_path, **text_source(tmp_path))
    assert [file.suffix for file in (tmp_path / "prepared").rglob("*") if file.is_file()] in ([], [".lock"])


def test_an_empty_corpus(tmp_path: Path) -> None:
    (tmp_path / "de.txt").touch()
    with pytest.raises(DataError, match=r"nothing in .*de\.txt: there is no text of de"):
        run(tmp_path, **text_source(tmp_path))


def test_nothing_to_train_on(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"give data\.parallel or data\.monolingual a source"):
        run(tmp_path)


def test_it_is_prepared_once_and_again_when_something_changes(tmp_path: Path) -> None:
    write(tmp_path / "de.txt", ["Guten Morgen", "Gute Nacht"])
    write(tmp_path / "sw.txt", ["habari ya asubuhi"])
    seen: list[Progress] = []

    def prepared(**settings: Any) -> tuple[Prepared, list[str]]:
        seen.clear()
        config = DataConfig.model_validate(text_source(tmp_path, **settings))
        return prepare(config, tmp_path / "prepared", seen.append), [progress.corpus for progress in seen]

    first, made = prepared()
    assert made == ["monolingual/de", "monolingual/sw"]
    assert (seen[0].number, seen[0].total, seen[0].read, seen[0].kept) == (1, 2, 2, 2)
    assert seen[0].rate == pytest.approx(2 / seen[0].seconds)
    again, made = prepared()
    assert (again, made) == (first, [])
    assert prepared(filters={"minimum_length": 5})[1] == ["monolingual/de", "monolingual/sw"]
    assert prepared(max_sentences=1)[1] == ["monolingual/de", "monolingual/sw"]
    assert prepared(parallel_exponent=1.0)[1] == []
    write(tmp_path / "de.txt", ["Guten Abend", "Gute Nacht"])
    changed, made = prepared()
    assert made == ["monolingual/de"]
    assert changed.digest != first.digest
    assert changed.monolingual["sw"] == first.monolingual["sw"]


def test_the_digest_says_what_the_text_is(tmp_path: Path) -> None:
    digests = []
    for number, lines in enumerate([["Guten Tag", "Hallo"], ["Guten  Tag", "", "Hallo"], ["Hallo", "Guten Tag"]]):
        write(tmp_path / str(number) / "de.txt", lines)
        digests.append(run(tmp_path, **text_source(tmp_path / str(number))).digest)
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize("damage", ["cut", "no report", "report"])
def test_a_damaged_corpus_is_made_again(tmp_path: Path, damage: str) -> None:
    write(tmp_path / "de.txt", ["Guten Morgen", "Gute Nacht"])
    corpus = run(tmp_path, **text_source(tmp_path)).monolingual["de"]
    whole = corpus.path.read_bytes()
    if damage == "cut":
        corpus.path.write_bytes(whole[:-10])
    elif damage == "no report":
        corpus.path.with_suffix(".json").unlink()
    else:
        corpus.path.with_suffix(".json").write_text("{")
    assert all_rows(run(tmp_path, **text_source(tmp_path)), "de") == [("Guten Morgen",), ("Gute Nacht",)]
    assert corpus.path.read_bytes() == whole


def test_rows_that_cannot_be_mapped(tmp_path: Path) -> None:
    write(tmp_path / "de.txt", ["Guten Morgen"])
    corpus = run(tmp_path, **text_source(tmp_path)).monolingual["de"]
    corpus.path.write_bytes(b"x" * corpus.report.bytes)
    with pytest.raises(DataError, match=r"is damaged .* delete it and run again"):
        corpus.rows(np.arange(1))


SCRIPT = """
import sys
from pathlib import Path
from xrete.models.emmax.corpora import DataConfig, prepare
folder = Path(sys.argv[1])
config = {"monolingual": [{"kind": "text", "path": f"{folder}/{{language}}.txt"}]}
def say(progress):
    print(progress.corpus, progress.read, flush=True)
print(prepare(DataConfig.model_validate(config), folder / "prepared", say).digest)
"""


@pytest.mark.slow
def test_a_preparation_that_is_killed_leaves_nothing_half_written(tmp_path: Path) -> None:
    for code in ("de", "fr"):
        write(tmp_path / f"{code}.txt", [f"{code} sentence of number {n}" for n in range(30_000)])
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    for line in process.stdout:
        if line.startswith("monolingual/fr"):  # the first corpus is whole, and the second one half written
            break
    process.kill()
    process.wait()
    assert list((tmp_path / "prepared").rglob("*.tmp"))
    assert [file.name[:2] for file in (tmp_path / "prepared" / "monolingual").glob("[!.]*.json")] == ["de"]
    seen: list[Progress] = []
    prepared = prepare(DataConfig.model_validate(text_source(tmp_path)), tmp_path / "prepared", seen.append)
    assert {progress.corpus for progress in seen} == {"monolingual/fr"}
    assert len(prepared.monolingual["fr"]) == 30_000
    assert not list((tmp_path / "prepared").rglob("*.tmp"))
    unbroken = prepare(DataConfig.model_validate(text_source(tmp_path)), tmp_path / "other")
    assert unbroken.digest == prepared.digest


@pytest.mark.slow
def test_processes_do_no_work_twice(tmp_path: Path) -> None:
    for code in ("de", "fr", "sw", "ru"):
        write(tmp_path / f"{code}.txt", [f"{code} sentence of number {n}" for n in range(20_000)])
    command = [sys.executable, "-c", SCRIPT, str(tmp_path)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    outputs = [process.communicate(timeout=120)[0].split("\n")[:-1] for process in processes]
    made = [{line.split()[0] for line in output[:-1]} for output in outputs]
    assert made[0] | made[1] == {f"monolingual/{code}" for code in ("de", "fr", "sw", "ru")}
    assert not made[0] & made[1]
    assert (
        outputs[0][-1]
        == outputs[1][-1]
        == prepare(DataConfig.model_validate(text_source(tmp_path)), tmp_path / "alone").digest
    )


@pytest.mark.slow
def test_memory_does_not_grow_with_the_corpus(tmp_path: Path) -> None:
    peaks = []
    for size in (20_000, 100_000):
        write(tmp_path / str(size) / "de.txt", [f"Satz Nummer {n} {'von vielen ' * 20}" for n in range(size)])
        config = DataConfig.model_validate(text_source(tmp_path / str(size)))
        tracemalloc.start()
        prepare(config, tmp_path / "prepared")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] - peaks[0] < 80_000 * 8 * 4  # digests, and copies of them while runs are merged


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    write(tmp_path / "de.txt", ["Guten Morgen"])
    (tmp_path / "prepared").write_text("a file")
    with pytest.raises(XreteError, match="cannot write"):
        run(tmp_path, **text_source(tmp_path))
