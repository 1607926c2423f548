"""The hub: pinned data set repositories, of which only data is read."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from xrete.errors import DataError, XreteError


@dataclass(frozen=True, kw_only=True)
class HubData:
    """A data set repository on the hub, pinned: an unpinned source cannot be written down."""

    repo: str
    revision: str


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


def _named(feature: Any, values: list[Any]) -> list[Any]:
    """Gives class labels, or lists of them, by name: ids differ between copies of the same data."""
    from datasets import ClassLabel, List

    if isinstance(feature, ClassLabel):
        return [None if value is None or value < 0 else feature.int2str(value) for value in values]
    if isinstance(feature, List) and isinstance(feature.feature, ClassLabel):
        return [None if value is None else _named(feature.feature, value) for value in values]
    return values
