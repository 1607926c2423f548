"""Where task data comes from: a folder of upstream files, the hub (pinned), or the embedded mini sample."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files as package_files
from pathlib import Path
from typing import Any, Literal

from xrete.errors import DataError, XreteError
from xrete.files import BYTE_ORDER_MARK, read_text

NOTHING = re.compile("[\\s\u00ad\u200b-\u200f\u2060\ufeff]*")
"""A line in which nothing can be seen: blanks of all kinds, marks without width, soft hyphens."""


@dataclass(frozen=True, kw_only=True)
class HubData:
    """A data set repository on the hub, pinned: an unpinned source cannot be written down."""

    repo: str
    revision: str


class Folder:
    """A data folder laid out as the upstream files are published.

    Attributes:
        root: The folder.
        own: Whether a user's own files may lie in it, which have any number of items.
    """

    kind: Literal["dir"] = "dir"

    def __init__(self, root: Path, *, own: bool = False) -> None:
        self.root = root
        self.own = own

    def has(self, path: str) -> bool:
        """Returns whether the file is there."""
        return (self.root / path).is_file()

    def choose(self, layouts: Sequence[Sequence[str]]) -> Sequence[str]:
        """Returns the first of several lists of paths that is there in full, else in part, else the first one."""
        for enough in (all, any):
            for paths in layouts:
                if enough(map(self.has, paths)):
                    return paths
        return layouts[0]

    def lines(self, path: str) -> list[str]:
        """Reads the lines of a text file, split on line feeds only.

        `str.splitlines` would also split on U+2028, U+0085 and form feeds, and shift the alignment. A carriage
        return before the line feed belongs to the end of the line.

        Raises:
            DataError: missing, empty, not UTF-8, or with a line in which nothing can be seen (which would be a lost
                sentence).
        """
        file = self.root / path
        text = read_text(file, kind="data file")
        if not text:
            raise DataError(f"{file} is empty; fetch it again")
        lines = [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")]
        blank = next((number for number, line in enumerate(lines, start=1) if NOTHING.fullmatch(line)), None)
        if blank:
            raise DataError(f"{file}, line {blank}: empty line; fetch the file again")
        return lines

    def rows(self, path: str, columns: int, *, header: bool = False) -> list[list[str]]:
        """Reads a tab-separated file without quoting: a quote character is text like any other.

        Raises:
            DataError: as `lines`, or a line that has not exactly `columns` cells.
        """
        rows = [line.split("\t") for line in self.lines(path)]
        self._check_cells(path, rows, columns)
        return rows[1:] if header else rows

    def table(self, path: str, names: tuple[str, ...]) -> list[list[str]]:
        """Reads columns `names` of a tab-separated file with a header, without quoting.

        Raises:
            DataError: as `rows` (the header says how many cells), or there is no such column.
        """
        rows = [line.split("\t") for line in self.lines(path)]
        header = rows[0]
        absent = [name for name in names if name not in header]
        if absent:
            raise DataError(
                f"{self.root / path}, line 1: no column {absent[0]!r} among {', '.join(map(repr, header))}"
            )
        self._check_cells(path, rows, len(header))
        return [[row[header.index(name)] for row in rows[1:]] for name in names]

    def _check_cells(self, path: str, rows: Sequence[Sequence[str]], columns: int) -> None:
        for number, row in enumerate(rows, start=1):
            if len(row) != columns:
                raise DataError(f"{self.root / path}, line {number}: {len(row)} cells, not {columns}")

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
        return list(self.each_json_line(path))

    def each_json_line(self, path: str) -> Iterator[dict[str, Any]]:
        """Reads one JSON object a line, as `json_lines`, without holding the file in memory."""
        file, number = self.root / path, 0
        for number, line in enumerate(_raw_lines(file), start=1):
            where = f"{file}, line {number}"
            try:
                row = json.loads(line.decode("utf-8").removeprefix(BYTE_ORDER_MARK))
            except UnicodeDecodeError as error:
                raise DataError(f"{where}: not UTF-8 (byte {error.start} of it); save the file as UTF-8") from None
            except json.JSONDecodeError as error:
                raise DataError(f"{where}: not JSON ({error.msg})") from None
            if not isinstance(row, dict):
                raise DataError(f"{where}: not a JSON object")
            yield row
        if not number:
            raise DataError(f"{file} is empty; fetch it again")


def _raw_lines(file: Path) -> Iterator[bytes]:
    """Yields the lines of a file, or says why it cannot be read."""
    try:
        with file.open("rb") as lines:
            yield from lines
    except FileNotFoundError:
        raise DataError(f"missing data file: {file}") from None
    except OSError as error:
        raise DataError(f"cannot read data file {file}: {error.strerror or error}") from error


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
        """Reads columns `names` of one config and split. Class labels come as their names, -1 (unknown) as None.

        Raises:
            DataError: no such config, split or column at this revision, or a file is damaged.
        """
        import datasets

        datasets.disable_progress_bars()
        try:
            table = datasets.load_dataset(str(self.folder), config, split=split)
        except (ValueError, FileNotFoundError) as error:
            raise DataError(f"{self.data.repo} has no config {config!r} with split {split!r}: {error}") from error
        except datasets.exceptions.DatasetGenerationError as error:
            why = error.__cause__ or error
            raise DataError(f"{self.data.repo}, {config}/{split} is damaged at {self.folder}: {why}") from error
        absent = [name for name in names if name not in table.column_names]
        if absent:
            raise DataError(f"{self.data.repo}, {config}/{split}: no column {absent[0]!r}")
        return [_named(table.features[name], list(table[name])) for name in names]


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


def _named(feature: Any, values: list[Any]) -> list[Any]:
    """Gives class labels, or lists of them, by name: ids differ between copies of the same data."""
    from datasets import ClassLabel, List

    if isinstance(feature, ClassLabel):
        return [None if value is None or value < 0 else feature.int2str(value) for value in values]
    if isinstance(feature, List) and isinstance(feature.feature, ClassLabel):
        return [None if value is None else _named(feature.feature, value) for value in values]
    return values


Source = Folder | Hub | Mini
