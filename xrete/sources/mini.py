"""The mini sample, which is part of the package."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.resources import files as package_files
from typing import Any, Literal


class Mini:
    """The embedded sample: written for this project, shipped with it, far too small for conclusions."""

    kind: Literal["mini"] = "mini"

    def __init__(self) -> None:
        self._root = package_files("xrete.tasks") / "mini"

    def table(self, name: str) -> dict[str, list[str]]:
        """Reads a tab-separated table with a header as columns."""
        header, *rows = (line.split("\t") for line in self._lines(name))
        return {column: [row[index] for row in rows] for index, column in enumerate(header)}

    def json_lines(self, name: str) -> list[dict[str, Any]]:
        """Reads one JSON object a line."""
        return [json.loads(line) for line in self._lines(name)]

    def rows(self, name: str, language: str, split: str) -> list[dict[str, Any]]:
        """Reads the JSON lines of one language and split."""
        return [row for row in self.json_lines(name) if (row["language"], row["split"]) == (language, split)]

    def _lines(self, name: str) -> Iterator[str]:
        return iter((self._root / name).read_text("utf-8").removesuffix("\n").split("\n"))
