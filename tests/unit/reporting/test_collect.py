"""Reading records: thousands of them in seconds, and nothing else is changed by it."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path

import pytest

from xrete.errors import XreteError
from xrete.reporting.collect import read_entries

SaveRecord = Callable[..., Path]


def test_entries_know_their_files(save_record: SaveRecord, results: Path) -> None:
    paths = [save_record("labse"), save_record("use-m3")]
    entries, unreadable = read_entries([results, results])  # each record once
    assert [entry.path for entry in entries] == paths
    assert [entry.file for entry in entries] == [str(path.relative_to(results)) for path in paths]
    assert unreadable == []


def test_links_are_the_file_that_they_lead_to(save_record: SaveRecord, results: Path) -> None:
    path = save_record("labse")
    (results / "again.json").symlink_to(path)
    (results / "gone.json").symlink_to(results / "nowhere")
    entries, (sentence,) = read_entries([results])
    assert len(entries) == 1
    assert "gone.json" in sentence


def test_garbage_is_collected_again_afterwards(save_record: SaveRecord, results: Path) -> None:
    save_record("labse")
    assert gc.isenabled()
    read_entries([results])
    assert gc.isenabled()
    with pytest.raises(XreteError, match="missing results folder"):
        read_entries([results / "nowhere"])
    assert gc.isenabled()
