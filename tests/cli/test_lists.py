"""`xrete tasks` and `xrete models`: lists that fit the terminal, and cards that sum up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from xrete import registry

Run = Callable[..., Any]


@pytest.mark.parametrize("kind", ["tasks", "models"])
@pytest.mark.parametrize(("columns", "lines"), [(80, 2), (120, 2), (170, 1)])
def test_an_entry_takes_two_lines_and_one_where_the_terminal_is_wide(
    xrete: Run, monkeypatch: pytest.MonkeyPatch, kind: Any, columns: int, lines: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    printed = xrete(kind).stdout.splitlines()
    entries = list(registry.names(kind)) + [f"{x}:NAME" for x in registry.names("families") if kind == "tasks"]
    assert len(printed) == 1 + lines * len(entries)
    assert [line.split()[0] for line in printed[1::lines]] == entries
    assert max(map(len, printed)) <= columns
    titles = printed[lines::lines]
    assert any("Tatoeba: sentence retrieval, 112 languages to English" in title for title in titles) == (
        kind == "tasks"
    )


def test_a_wider_terminal_shows_more(xrete: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for columns, shown in ((80, False), (120, True)):
        monkeypatch.setenv("COLUMNS", str(columns))
        assert ("languages" in xrete("tasks").stdout.splitlines()[0]) == shown


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        ("tatoeba", ["test: 112 languages: 1,000 each, but 40 with fewer (104 to 911)"]),
        ("mewslix", ["test: 11 languages: 458 to 1,567", "dev: 11 languages: 72 to 326"]),
        ("xnli", ["test 5,010, dev 2,490, train 392,702"]),
    ],
)
def test_counts_are_summed_up(xrete: Run, monkeypatch: pytest.MonkeyPatch, task: str, expected: list[str]) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    printed = [line[18:].strip() for line in xrete("tasks", task).stdout.splitlines()]
    start = printed.index(expected[0])
    assert printed[start : start + len(expected)] == expected
