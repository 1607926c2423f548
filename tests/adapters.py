"""Task adapters for tests of small files."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

from xrete import registry


def with_counts(name: str, counts: Mapping[str, Any] | None = None) -> Any:
    """Returns a task's adapter with other counts than the published ones; with none, files may be small."""
    adapter: Any = copy(registry.task(name))
    adapter.card = replace(adapter.card, counts=counts or {})
    return adapter


FORMS = [("\r\n", ""), ("\n", "\ufeff"), ("\r\n", "\ufeff")]
"""Ways in which editors save a text file: the ends of its lines, and the mark before them."""


def save_again(root: Path, end: str, mark: str) -> None:
    """Saves every file below a folder with other line ends, and with a byte order mark or without."""
    for file in filter(Path.is_file, root.rglob("*")):
        text = file.read_bytes().decode("utf-8").replace("\n", end)
        file.write_bytes((mark + text).encode("utf-8"))
