"""Data sets of the hub, or folders of parquet or JSON files, as rows; streamed, so that nothing is held."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from xrete.errors import DataError, XreteError

from .rows import Row


def columns(
    repo: str, revision: str | None, config: str | None, split: str, names: Sequence[str], *, by_line: bool
) -> Iterator[Row]:
    """Yields columns of a data set. No code of a repository ever runs: `datasets` reads parquet, JSON and CSV only.

    Args:
        repo: Repository, or folder.
        revision: Commit of the repository.
        config: Its configuration; None where there is one only.
        split: Its split.
        names: The columns; "translation.de" is the key "de" of the column "translation".
        by_line: Whether each line of a text is a sentence.

    Raises:
        DataError: it has no such configuration, split or column.
        XreteError: it cannot be had.
    """
    import datasets

    datasets.disable_progress_bars()
    where = f"{repo}, {config or 'default'}/{split}"
    try:
        rows = datasets.load_dataset(repo, config, split=split, revision=revision, streaming=True)
        for number, row in enumerate(rows, start=1):
            texts = [_value(row, name, where) for name in names]
            if not all(isinstance(text, str) for text in texts):
                yield Row(number, (), "not a text")
            elif by_line:
                yield from (Row(number, (line,)) for line in texts[0].split("\n"))
            else:
                yield Row(number, tuple(texts))
    except XreteError:
        raise
    except Exception as error:
        # Whatever went wrong (no such configuration, a damaged file, no network), the user's choice is the same.
        raise XreteError(
            f"cannot read data set {where} ({type(error).__name__}: {error}); fetch it again, or give a folder of "
            f"parquet or JSON files as its repo"
        ) from error


def _value(row: dict[str, Any], name: str, where: str) -> Any:
    value: Any = row
    for key in name.split("."):
        if not isinstance(value, dict) or key not in value:
            raise DataError(f"{where} has no column {name!r} among {', '.join(row)}")
        value = value[key]
    return value
