"""The formats: golden tables, and names that try to break out."""

from __future__ import annotations

import csv
import io
import json
import os
import random
import re
import shutil
import subprocess
import sys
import unicodedata
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from xrete.record import Record
from xrete.reporting.collect import Entry
from xrete.reporting.formats.csv_json import safe_cell, to_csv, to_json, write_parquet
from xrete.reporting.formats.latex import to_latex
from xrete.reporting.formats.markdown import escape, to_markdown
from xrete.reporting.formats.terminal import print_table, to_text
from xrete.reporting.leaderboard import Leaderboard
from xrete.reporting.tables.views import Request, build
from xrete.reporting.text import plain

MakeRecord = Callable[..., Record]
MakeEntries = Callable[[Iterable[Record]], list[Entry]]

GOLDEN = Path(__file__).parents[2] / "golden"
UPDATE = "XRETE_UPDATE_GOLDEN"

HOSTILE = [
    '<script>alert("1")</script><img src=x onerror=alert(1)>',
    "a|b||c\\|d",
    '=HYPERLINK("https://example.org")',
    "+1+1",
    "-2+3",
    "@SUM(A1)",
    "\t=1+1",
    "\r=1+1",
    "two\nlines\r\nthree\u2028four",
    "[red]rich[/red] [link=file:///etc]x[/link] :warning:",
    "**bold** [x](javascript:alert(1)) `code` ~~gone~~ $x$",
    "\x1b[31mred\x1b]0;title\x07\x9b31m",
    "\u202egnp.exe\u2066\u200f",
    "x" * 300,
    "quo\"te's",
]


def board(entries: list[Entry], **options: Any) -> Leaderboard:
    return build(entries, Request(**options))


@pytest.fixture(scope="module")
def records(make_record: MakeRecord, make_entries: MakeEntries) -> list[Entry]:
    """A small results folder with everything that makes a table hard."""
    dice = random.Random(7)
    head, tail = ["cmn", "deu", "fra", "swh"], ["ast", "kab", "yid"]
    groups = {"head": head, "long-tail": tail}

    def scores(codes: list[str], middle: float) -> dict[str, float]:
        return {code: round(min(100.0, max(0.2, dice.gauss(middle, 12))), 1) for code in codes}

    made = [
        make_record(model, "tatoeba", scores(head + tail, middle), missing=["ang"], groups=groups)
        for model, middle in (("labse", 83.0), ("me5-small", 66.0), ("use-m3", 48.0))
    ]
    made += [
        make_record("xlmr", "tatoeba", scores([*head, "ang"], 57.0), missing=tail, groups=groups),
        make_record(
            "labse", "flores", status="failed", error="NaN for sentence 17 of amh_Ethi; use --dtype float32"
        ),
        make_record("me5-small", "flores", scores(["swh_Latn", "deu_Latn"], 70.0), split="dev+devtest"),
        make_record("use-m3", "flores", scores(["swh_Latn", "deu_Latn"], 40.0), split="dev+devtest"),
        make_record("me5-small", "xnli", scores(["de", "sw"], 70.0), protocol="probe"),
        make_record("xlmr", "xnli", scores(["de", "sw"], 80.0), protocol="fine-tune"),
        make_record("xlmr", "multiarc", {"de": 0.482}, metric="mae", higher_is_better=False, protocol="fine-tune"),
        make_record("use-m3", "multiarc", {"de": 0.6}, limit=100, metric="mae", protocol="fine-tune"),
        make_record("me5-small", "tatoeba", source="mini"),
    ]
    return make_entries(made)


def test_protocols_that_are_asked_for_stand_side_by_side(
    make_record: MakeRecord, make_entries: MakeEntries
) -> None:
    made = [
        make_record("xlmr", "qe", {"ro-en": value}, protocol=name)
        for name, value in (("zero-shot", 50.0), ("probe", 60.0))
    ]
    entries = make_entries(made)

    def columns(*protocols: str) -> list[str]:
        return [column.lines[1] for column in board(entries, protocols=protocols).columns]

    assert columns() == ["probe"]
    assert columns("zero-shot") == ["zero-shot"]
    assert columns("zero-shot", "probe") == ["probe", "zero-shot"]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("main", {}),
        ("main-paper", {"with_paper": True, "intervals": True}),
        ("zero-shot", {"table": "zero-shot"}),
        ("long-tail-paper", {"table": "long-tail", "with_paper": True}),
        ("per-language", {"table": "per-language", "tasks": ("tatoeba",)}),
        ("mini", {"kind": "mini"}),
    ],
)
def test_golden_tables(records: list[Entry], name: str, options: dict[str, Any]) -> None:
    """Set XRETE_UPDATE_GOLDEN=1 to write the files again, and read the difference before it is kept."""
    made = board(records, **options)
    written = {"txt": to_text(made, width=100), "md": to_markdown(made), "tex": to_latex(made)}
    for file, text in ((f"{name}.{suffix}", text) for suffix, text in written.items()):
        if os.environ.get(UPDATE):
            (GOLDEN / file).write_text(text, "utf-8")
        assert text == (GOLDEN / file).read_text("utf-8"), file


def test_columns_that_do_not_fit_go_below(records: list[Entry]) -> None:
    made = board(records, with_paper=True)
    for width in (60, 80, 100, 200):
        text = to_text(made, width=width)
        assert max(map(len, text.splitlines())) <= width
        for column in made.columns:
            assert column.lines[0] in text
    assert to_text(made, width=60).count("\nmodel ") > to_text(made, width=250).count("\nmodel ") == 1


def test_styles_in_a_terminal_and_signs_elsewhere(records: list[Entry]) -> None:
    made = board(records, table="zero-shot")
    file = io.StringIO()
    print_table(made, Console(file=file, width=100, force_terminal=True, color_system="standard"))
    best, second = (next(cell for cell in made.cells if cell.mark == mark) for mark in ("best", "second"))
    assert f"\x1b[1m{best.value:.1f}\x1b[0m" in file.getvalue()
    assert f"\x1b[4m{second.value:.1f}\x1b[0m" in file.getvalue()
    assert f"{best.value:.1f}*" in to_text(made)
    assert f"{second.value:.1f}°" in to_text(made)


@pytest.fixture(scope="module")
def hostile_entries(make_record: MakeRecord, make_entries: MakeEntries) -> list[Entry]:
    failing = make_record(
        "sane", "flores", status="failed", error=HOSTILE[0] + "\n" + HOSTILE[9] + HOSTILE[11] + "|"
    )
    return make_entries([failing, *(make_record(name, "flores", n=20) for name in HOSTILE)])


@pytest.fixture(scope="module")
def hostile(hostile_entries: list[Entry]) -> Leaderboard:
    return board(hostile_entries)


def is_harmless(text: str) -> bool:
    """Nothing that moves the cursor, switches direction or breaks a line where none is meant."""
    return not any(unicodedata.category(x) in ("Cc", "Cf", "Zl", "Zp") for x in text.replace("\n", ""))


def test_hostile_names_in_a_terminal(hostile: Leaderboard) -> None:
    text = to_text(hostile)
    assert is_harmless(text)
    title, table, _ = text.split("\n\n")
    assert title == "Main results"
    assert len(table.splitlines()) == 4 + 1 + len(HOSTILE), "header, and one line a model"
    assert "[red]rich[/red]" in text, "shown as it is, not as markup"
    assert max(map(len, text.splitlines())) <= 100


def test_hostile_names_in_markdown(hostile: Leaderboard) -> None:
    text = to_markdown(hostile)
    assert is_harmless(text)
    lines = text.splitlines()
    table = [line for line in lines if line.startswith("|")]
    assert len(table) == 2 + 1 + len(HOSTILE)
    assert {len(re.findall(r"(?<!\\)(?:\\\\)*\|", line)) for line in table} == {3}, "two cells a line"
    assert not re.search(r"<(?!br>|ins>|/ins>)", text)
    assert not re.search(r"(?<!\\)(?:\\\\)*[\[`]", text)


def test_hostile_names_in_csv(hostile: Leaderboard) -> None:
    text = to_csv([hostile])
    assert is_harmless(text)
    rows = list(csv.DictReader(io.StringIO(text)))
    assert len(rows) == len(text.splitlines()) - 1 == 1 + len(HOSTILE)
    starts = {value[0] for row in rows for value in row.values() if value}
    assert not starts & set("=+-@\t\r")
    assert {row["model"] for row in rows} >= {"x" * 300, "'+1+1", "'@SUM(A1)"}


def test_hostile_names_in_json(hostile: Leaderboard) -> None:
    text = to_json([hostile])
    assert text.isascii()
    assert is_harmless(text)
    assert {cell["model"] for cell in json.loads(text)["cells"]} == {"sane", *HOSTILE}, "data stays as it is"


def test_hostile_names_in_latex(hostile: Leaderboard) -> None:
    text = to_latex(hostile)
    assert is_harmless(text)
    body = text.partition("\\midrule\n")[2].partition("\\bottomrule")[0].splitlines()
    assert len(body) == 1 + len(HOSTILE)
    for line in body:
        assert line.endswith(" \\\\")
        assert len(re.findall(r"(?<!\\)&", line)) == 1, "two cells a line"
        assert line[0] not in "[*", "an option of the end of the line before"
    known = {*"{}$&#%_", "textbackslash", "textasciicircum", "textasciitilde", "textless", "textgreater", "textbar"}
    known |= {"textquotedbl", "ldots", "textbf", "underline", "textsuperscript", "\\"}
    assert set(re.findall(r"\\([a-zA-Z]+|.)", "\n".join(body))) <= known


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="LaTeX is not installed")
def test_latex_takes_it(hostile: Leaderboard, tmp_path: Path) -> None:
    packages = r"\documentclass{article}\usepackage[T1]{fontenc}\usepackage{booktabs}"
    text = to_latex(hostile)
    (tmp_path / "table.tex").write_text(f"{packages}\n\\begin{{document}}\n{text}\\end{{document}}\n", "utf-8")
    command = ["pdflatex", "-no-shell-escape", "-interaction=nonstopmode", "-halt-on-error", "table.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace", check=False)
    assert done.returncode == 0, done.stdout[-2000:]


def test_numbers_are_no_formulas() -> None:
    assert [safe_cell(x) for x in ("-0.5", "+1e-3", -0.5, None)] == ["-0.5", "+1e-3", -0.5, None]
    assert [safe_cell(x) for x in ("-0.5+1", "=1", "\t1", "\r1", "a=1")] == ["'-0.5+1", "'=1", "' 1", "' 1", "a=1"]


@settings(deadline=None)
@given(st.text(), st.integers(3, 60))
def test_plain_text_is_one_harmless_line(text: str, limit: int) -> None:
    for made in (plain(text), plain(text, limit)):
        assert is_harmless(made.replace("\u200c", "").replace("\u200d", ""))
        assert "\n" not in made
    assert len(plain(text, limit)) <= limit
    assert not re.search(r"(?<!\\)(?:\\\\)*\|", escape(text))


def test_parquet_holds_the_rows_of_the_csv(hostile: Leaderboard, records: list[Entry], tmp_path: Path) -> None:
    made = board(records)
    write_parquet(tmp_path / "rows.parquet", [made])
    frame = pd.read_parquet(tmp_path / "rows.parquet")
    rows = list(csv.DictReader(io.StringIO(to_csv([made]))))
    assert list(frame.columns) == list(rows[0])
    assert [str(x) for x in frame["model"]] == [row["model"] for row in rows]
    assert frame["score"].dropna().tolist() == [float(row["score"]) for row in rows if row["score"]]
    write_parquet(tmp_path / "rows.parquet", [hostile])
    assert is_harmless("\n".join(pd.read_parquet(tmp_path / "rows.parquet")["model"]))


def test_csv_and_json_hold_what_a_number_rests_on(records: list[Entry]) -> None:
    made = board(records, with_paper=True)
    first = records[0].record
    for rows in (list(csv.DictReader(io.StringIO(to_csv([made])))), json.loads(to_json([made]))["cells"]):
        cell = next(x for x in rows if x["model"] == "labse" and x["task"] == "tatoeba" and x["score"])
        assert float(cell["score"]) == pytest.approx(first.score)
        assert float(cell["ci_low"]) == pytest.approx(first.ci95[0] if first.ci95 else None)
        assert [str(cell[name]) for name in ("n", "languages", "languages_expected")] == ["7000", "7", "8"]
        assert [cell[name] for name in ("protocol", "split", "data", "revision", "record")] == [
            "zero-shot",
            "test",
            "dir",
            "1.0",
            records[0].file,
        ]
        assert re.fullmatch(r"[0-9a-f]{12}", cell["language_set"])
        paper = next(x for x in rows if x["origin"] == "paper" and x["task"] == "multiarc" and x["score"])
        assert float(paper["printed"]) == pytest.approx(100 * float(paper["score"]))
        assert all(x["score"] not in (None, "") or x["missing"] for x in rows)
        assert {x["status"] or None for x in rows} == {None, "reproduced", "not reproducible"}


def test_no_report_imports_what_takes_a_second() -> None:
    code = (
        "import sys; from xrete.reporting import page; "
        "from xrete.reporting.formats import csv_json, hub, latex, markdown, terminal; "
        "print([name for name in ('torch', 'pandas', 'scipy.stats') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
