"""Standings are kept: nothing is computed twice, and nothing is taken that belongs to other items."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from xrete.errors import RecordError
from xrete.files import cache_root
from xrete.record import Record
from xrete.reporting.collect import Entry
from xrete.reporting.tables import standings as module
from xrete.reporting.tables.standings import standings
from xrete.scores import comparison
from xrete.scores.comparison import Run, Standing

MakeRecord = Callable[..., Record]
MakeEntries = Callable[[Iterable[Record]], list[Entry]]


class Asked:
    """Counts how often standings are computed, and forgets what was checked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.times, self._checked, self._real = 0, module.checked_items, comparison.standings
        monkeypatch.setattr(comparison, "standings", self._count)

    def _count(self, *arguments: Any, **options: Any) -> list[Standing] | None:
        self.times += 1
        return self._real(*arguments, **options)

    def __call__(self, runs: list[Run], *, languages: tuple[str, ...] = ("deu", "swh"), up: bool = True) -> Any:
        self._checked.clear()
        return standings(runs, "accuracy", languages, higher_is_better=up)


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch) -> Asked:
    return Asked(monkeypatch)


@pytest.fixture
def runs(make_record: MakeRecord, make_entries: MakeEntries) -> list[Run]:
    scores = {"a": 60.0, "b": 80.0, "c": 80.2}
    made = [make_record(name, scores={"deu": score, "swh": score - 9}) for name, score in scores.items()]
    return [Run(entry.path, entry.record) for entry in make_entries(made) if entry.path]


def test_the_second_time_nothing_is_computed(runs: list[Run], ask: Asked) -> None:
    first = ask(runs)
    assert first == [Standing(3, 3, 2), Standing(1, 2, 1), Standing(1, 2, 1)]
    assert ask(runs) == first
    assert ask.times == 1


def test_what_decides_standings_tells_them_apart(
    runs: list[Run], ask: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask(runs)
    others = [ask(runs[:2]), ask(runs[::-1]), ask(runs, languages=("deu",)), ask(runs, up=False)]
    assert ask.times == 5
    assert others[1] == ask(runs)[::-1]
    assert others[3] != ask(runs)
    monkeypatch.setattr(module, "code_digest", lambda shape: "other code")
    ask(runs)
    assert ask.times == 6


def test_items_are_checked_though_standings_are_kept(runs: list[Run], ask: Asked) -> None:
    ask(runs)
    items = runs[0].record.items
    assert items
    file = runs[0].path.with_name(items.file)
    file.write_bytes(b"tampered")
    with pytest.raises(RecordError, match="is not the file that"):
        ask(runs)
    file.unlink()
    with pytest.raises(RecordError, match="missing items"):
        ask(runs)


@pytest.mark.parametrize("content", ["", "[[1, 1]]", "[1]", "{}", "[[1, 1, null]]", "null"])
def test_damaged_ones_are_computed_again(runs: list[Run], ask: Asked, content: str) -> None:
    first = ask(runs)
    (kept,) = (cache_root() / "standings").iterdir()
    kept.write_text(content, "utf-8")
    assert ask(runs) == first
    assert ask(runs) == first
    assert ask.times == 2


def test_a_cache_that_cannot_be_written_is_no_failure(runs: list[Run], ask: Asked) -> None:
    (cache_root() / "standings").write_text("a file where the folder should be", "utf-8")
    assert ask(runs) == ask(runs)
    assert ask.times == 2


def test_records_without_items_have_none(runs: list[Run], ask: Asked) -> None:
    bare = Run(Path("none.json"), runs[0].record.model_copy(update={"items": None}))
    assert ask([bare, *runs[1:]]) is None
    assert ask.times == 0
