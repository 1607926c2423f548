"""Where task data comes from: a folder of upstream files, the hub (pinned), or the embedded mini sample."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cached_property
from importlib.resources import files as package_files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from xrete.errors import DataError, XreteError
from xrete.files import read_text

if TYPE_CHECKING:
    from xrete.task import HubData


class Folder:
    """A data folder laid out as the upstream files are published."""

    kind: Literal["dir"] = "dir"

    def __init__(self, root: Path) -> None:
        self.root = root

    def has(self, path: str) -> bool:
        """Says whether the file is there."""
        return (self.root / path).is_file()

    def lines(self, path: str) -> list[str]:
        """Reads the lines of a text file, split on line feeds only.

        `str.splitlines` would also split on U+2028, U+0085 and form feeds, and shift the alignment.

        Raises:
            DataError: missing, empty, not UTF-8, or with an empty line (which would be a lost sentence).
        """
        file = self.root / path
        text = read_text(file, kind="data file")
        if not text:
            raise DataError(f"{file} is empty; fetch it again")
        lines = text.removesuffix("\n").split("\n")
        if "" in lines:
            raise DataError(f"{file}, line {lines.index('') + 1}: empty line; fetch the file again")
        return lines

    def rows(self, path: str, columns: int, *, header: bool = False) -> list[list[str]]:
        """Reads a tab-separated file without quoting: a quote character is text like any other.

        Raises:
            DataError: as `lines`, or a line that has not exactly `columns` cells.
        """
        rows = [line.split("\t") for line in self.lines(path)]
        for number, row in enumerate(rows, start=1):
            if len(row) != columns:
                raise DataError(f"{self.root / path}, line {number}: {len(row)} cells, not {columns}")
        return rows[1:] if header else rows

    def json(self, path: str) -> Any:
        """Reads one JSON document.

        Raises:
            DataError: missing, not UTF-8 or not JSON; the sentence names the line.
        """
        file = self.root / path
        try:
            return json.loads(read_text(file, kind="data file"))
        except json.JSONDecodeError as error:
            raise DataError(f"{file}, line {error.lineno}: not JSON ({error.msg})") from None

    def json_lines(self, path: str) -> list[dict[str, Any]]:
        """Reads one JSON object a line.

        Raises:
            DataError: as `lines`, or a line that is not a JSON object.
        """
        rows: list[dict[str, Any]] = []
        for number, line in enumerate(self.lines(path), start=1):
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise DataError(f"{self.root / path}, line {number}: not JSON ({error.msg})") from None
            if not isinstance(row, dict):
                raise DataError(f"{self.root / path}, line {number}: not a JSON object")
            rows.append(row)
        return rows


class Hub:
    """A pinned data set repository, read as parquet or JSON: no code of the repository ever runs."""

    kind: Literal["hub"] = "hub"

    def __init__(self, data: HubData) -> None:
        self.data = data

    @cached_property
    def folder(self) -> Path:
        """The local copy of the pinned revision; downloaded on first use, then found without a network.

        Raises:
            XreteError: it is not on this machine and the hub cannot be reached.
        """
        local = self.local_folder()
        if local is not None:
            return local
        import huggingface_hub

        try:
            # Asked for first, since it fails at once without a network, where a download tries again for half a
            # minute.
            huggingface_hub.HfApi().dataset_info(self.data.repo, revision=self.data.revision, timeout=10)
            return self._snapshot(local_files_only=False)
        except Exception as error:
            # Whatever went wrong on the way (name resolution, proxy, time-out, a refused login, a full disk),
            # the user's choice is the same.
            raise XreteError(
                f"cannot get data set {self.data.repo} at {self.data.revision[:8]} from the hub "
                f"({type(error).__name__}); use --data DIR with the upstream files, or --data mini"
            ) from error

    def local_folder(self) -> Path | None:
        """Returns the copy of the pinned revision on this machine, if there is one."""
        try:
            return self._snapshot(local_files_only=True)
        except (OSError, ValueError):  # huggingface_hub raises subclasses of both
            return None

    def _snapshot(self, *, local_files_only: bool) -> Path:
        from huggingface_hub import snapshot_download

        return Path(
            snapshot_download(
                self.data.repo,
                repo_type="dataset",
                revision=self.data.revision,
                local_files_only=local_files_only,
            )
        )

    def columns(self, config: str, split: str, names: tuple[str, ...]) -> list[list[Any]]:
        """Reads columns `names` of one config and split.

        Raises:
            DataError: no such config, split or column at this revision.
        """
        import datasets

        datasets.disable_progress_bars()
        try:
            table = datasets.load_dataset(str(self.folder), config, split=split)
        except (ValueError, FileNotFoundError) as error:
            raise DataError(f"{self.data.repo} has no config {config!r} with split {split!r}: {error}") from error
        absent = [name for name in names if name not in table.column_names]
        if absent:
            raise DataError(f"{self.data.repo}, {config}/{split}: no column {absent[0]!r}")
        return [list(table[name]) for name in names]


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

    def _lines(self, name: str) -> Iterator[str]:
        return iter((self._root / name).read_text("utf-8").removesuffix("\n").split("\n"))


Source = Folder | Hub | Mini
