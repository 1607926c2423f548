"""A task's data as one run sees it: a source, a split, the languages that are there, and those that are not."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Collection, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from xrete.errors import DataError, HubError, UsageError, XreteError, unknown_name
from xrete.files import cache_root, digest
from xrete.languages import same_language
from xrete.shapes import load_shape
from xrete.shapes.contract import Shape, dropped_rows, shares_candidates
from xrete.sources import Folder, Hub, Mini, Source
from xrete.sources.folder import COMPRESSED
from xrete.task import HubTask, MiniTask, Task, TaskCard, layouts

MINI_SPLIT = "test"
"""The split of the mini sample that is scored; some tasks have "train" too."""


def cached_data() -> Path:
    """The folder that `--data auto` looks into first; laid out like any other data folder."""
    return cache_root() / "data"


class MiniSampleWarning(UserWarning):
    """Data was not available, and the mini sample stands in for it: its scores say nothing about a model."""


class Dataset:
    """The rows of one task from one source, read on demand, a language at a time.

    Attributes:
        task: The adapter.
        card: Its card.
        shape: Its shape.
        source: Where the rows come from.
        split: The split that is scored.
        languages: Languages that are scored, in the card's order.
        missing: Languages that were asked for and are not in the source.
        limit: Only the first so many items of each language, or None.
        fallback: Why `auto` took the mini sample, or None.
    """

    def __init__(
        self,
        task: Task,
        source: Source,
        *,
        split: str | None = None,
        languages: Collection[str] | None = None,
        limit: int | None = None,
        fallback: str | None = None,
    ) -> None:
        self.task = task
        self.card: TaskCard = task.card
        self.shape: Shape = load_shape(self.card.shape)
        self.source = source
        self.limit = limit
        self.fallback = fallback
        known = (*self.card.splits, *self.card.training)
        if split is not None and split not in known and not isinstance(source, Mini):
            raise unknown_name(f"split of {self.card.name}", split, self.card.splits, ", ".join(self.card.splits))
        wanted = self.card.languages if languages is None else _select(self.card, languages)
        self.split, available = self._choose_split(split, wanted)
        self.languages = tuple(language for language in wanted if language in available)
        self.missing = tuple(language for language in wanted if language not in available)
        self._data: dict[str, Any] = {}
        if not self.languages:
            raise self._no_data(wanted)

    def __getitem__(self, language: str) -> Any:
        """Returns the shape's data of one language, checked against the card.

        Raises:
            DataError: a file is missing, damaged or has not the number of items that the card says.
        """
        if language not in self._data:
            data = self._read(language)
            if self.limit is not None:
                data = self.shape.take_first(data, self.limit)
            self._data[language] = data
        return self._data[language]

    @property
    def revision(self) -> str | None:
        """Commit of the hub repository; None for files, whose content is in the fingerprint."""
        return self.source.data.revision if isinstance(self.source, Hub) else None

    def strangers(self) -> tuple[str, ...]:
        """Names files, below the folder, that are laid out as the task's but are of no language that it knows."""
        if not isinstance(self.source, Folder):
            return ()
        return _strangers(self.task, self.source, self.split)

    def dropped(self) -> dict[str, int]:
        """Counts the rows that an adapter left out for a known data error, by language."""
        counts = {language: dropped_rows(self[language]) for language in self.languages}
        return {language: count for language, count in counts.items() if count}

    @cached_property
    def digests(self) -> dict[str, str]:
        """Digests of every text and label that is scored, by language."""
        return {language: digest(self.shape.content(self[language])) for language in self.languages}

    def fingerprint(self) -> str:
        """One digest of all languages."""
        return digest(part for pair in self.digests.items() for part in pair)

    def scored_apart(self) -> bool:
        """Returns whether a language's outcomes depend on its own data only, not on a pool that languages share."""
        return not any(shares_candidates(self[language]) for language in self.languages)

    def _read(self, language: str) -> Any:
        if isinstance(self.source, Mini):
            return read_mini(self.task, language, self.split)
        try:
            if isinstance(self.source, Folder):
                data = self.task.from_folder(self.source, language, self.split)
            else:
                assert isinstance(self.task, HubTask)  # `_hub` has made sure
                data = self.task.from_hub(self.source, language, self.split)
        except ValueError as error:  # rows that cannot be the shape's data
            raise DataError(f"{self._where(language)}: {error}; fetch it again") from error
        counted = not (isinstance(self.source, Folder) and self.source.own)
        expected = self.card.expected(language, self.split) if counted else ()
        size = self.shape.size(data)
        whole = size + dropped_rows(data)  # rows with a known error are part of what is published
        if not size or (expected and not {size, whole} & set(expected)):
            published = f" where the published {self.card.name} has {' or '.join(map(str, expected))}"
            raise DataError(
                f"{self._where(language)}: {size} items{published if expected else ''}; the file is truncated or "
                f"of another version: fetch it again"
            )
        return data

    def _choose_split(self, split: str | None, wanted: Sequence[str]) -> tuple[str, set[str]]:
        """Takes the asked split, else the first one of the card that the source holds."""
        if isinstance(self.source, Mini):
            name = split or MINI_SPLIT
            return name, {x for x in wanted if read_mini(self.task, x, name) is not None}
        if isinstance(self.source, Hub):
            held = self.source.data
            splits = held.splits or dict.fromkeys((*self.card.splits, *self.card.training), ())
            name = split or next(iter(splits))
            return name, set(splits[name] or wanted) if name in splits else set()
        for candidate in [split] if split else self.card.splits:
            complete = {x for x in wanted if self._complete(x, candidate)}
            if complete:
                return candidate, complete
        return split or self.card.splits[0], set()

    def _complete(self, language: str, split: str) -> bool:
        """Returns whether a folder has the language; some of its files without the others is an error."""
        assert isinstance(self.source, Folder)
        files = self._files(language, split)
        absent = [file for file in files if not self.source.has(file)]
        if absent and len(absent) < len(files) and not self._has_smaller_split(language, split):
            present = next(file for file in files if file not in absent)
            raise DataError(
                f"missing data file: {self.source.root / absent[0]} ({present} is there, and {self.card.name} "
                f"needs both); fetch the folder again"
            )
        return not absent

    def _has_smaller_split(self, language: str, split: str) -> bool:
        """Returns whether the files that are there make up another split (dev without devtest, say)."""
        assert isinstance(self.source, Folder)
        others = (other for other in self.card.splits if other != split)
        return any(all(map(self.source.has, self._files(language, other))) for other in others)

    def _files(self, language: str, split: str) -> Sequence[str]:
        """Names the files of the layout that the folder has."""
        assert isinstance(self.source, Folder)
        return self.source.choose(layouts(self.task, language, split))

    def _where(self, language: str) -> str:
        if isinstance(self.source, Folder):
            return ", ".join(str(self.source.locate(file)) for file in self._files(language, self.split))
        return f"the hub's {self.card.hub.repo}" if self.card.hub else "the source"

    def _no_data(self, wanted: Sequence[str]) -> XreteError:
        if isinstance(self.source, Mini):
            return DataError(
                f"the mini sample of {self.card.name} has none of {', '.join(wanted[:5])}; leave out --languages"
            )
        if isinstance(self.source, Hub):
            held = self.source.data
            has = ", ".join(held.splits)
            return DataError(
                f"{held.repo} on the hub has no {self.split} of {self.card.name} in {', '.join(wanted[:5])}; it "
                f"has {has}; use --data DIR with {self.card.layout}"
            )
        if not self.source.root.is_dir():
            return DataError(f"missing data folder: {self.source.root}; name a folder with {self.card.layout}")
        example = self.source.root / self.task.files(wanted[0], self.split)[0]
        # What has nothing to score only serves another task's recipe, and no command knows it.
        more = f"; 'xrete data where {self.card.name}' says more" if self.card.splits else ""
        return DataError(
            f"no data of {self.card.name} in {self.source.root}: expected {self.card.layout} "
            f"(for example {example}){more}"
        )


def open_dataset(
    task: Task,
    data: str | Path = "auto",
    *,
    split: str | None = None,
    languages: Collection[str] | None = None,
    limit: int | None = None,
) -> Dataset:
    """Opens a task's data.

    Args:
        task: The adapter.
        data: "auto", "hub", "mini" or a folder. `auto` takes the cache folder, else the hub, else the mini
            sample where there is one; the data set's `fallback` then says why. `hub` never falls back.
        split: One of the card's splits; None takes the first one that is there.
        languages: Codes to keep; None keeps all. "sw" finds "swh" and "swh_Latn".
        limit: Keep only the first so many items of each language.

    Raises:
        DataError: the data is not there or is damaged.
        UsageError: unknown split or language, or a hub was asked of a task that has none.
    """
    options: dict[str, Any] = {"split": split, "languages": languages, "limit": limit}
    if data == "mini":
        return Dataset(task, Mini(), **options)
    if data == "hub":
        return Dataset(task, _hub(task), **options)
    if data != "auto":
        return Dataset(task, Folder(Path(data)), **options)
    cache = Folder(cached_data())
    card = task.card
    paths = (files for split in card.splits for x in card.languages for files in layouts(task, x, split))
    if any(cache.has(file) for files in paths for file in files):
        return Dataset(task, cache, **options)
    if card.hub is not None and not isinstance(task, MiniTask):  # there is nothing to fall back on
        return Dataset(task, _hub(task), **options)
    try:
        hub = _hub(task)
    except UsageError as error:
        return Dataset(task, Mini(), fallback=str(error), **options)
    dataset = Dataset(task, hub, **options)
    try:
        with contextlib.suppress(DataError):  # which whoever reads it gets
            _ = dataset[dataset.languages[0]]  # so that the source is chosen before anything is scored
    except HubError as error:
        return Dataset(task, Mini(), fallback=str(error), **options)
    return dataset


def read_mini(task: Task, language: str, split: str = MINI_SPLIT) -> Any:
    """Returns the embedded sample of one language, or None where the task or the sample has none."""
    return task.from_mini(Mini(), language, split) if isinstance(task, MiniTask) else None


_ANY = "\N{REPLACEMENT CHARACTER}"
"""Stands for the language in a path."""
_CODE = r"[A-Za-z]{2,4}(?:[-_][A-Za-z]{2,4})*"


def _strangers(task: Task, folder: Folder, split: str) -> tuple[str, ...]:
    card = task.card
    unknown: dict[str, str] = {}
    codes = (*card.languages, *card.unscored)
    known = {path for language in codes for paths in layouts(task, language, split) for path in paths}
    try:
        patterns = layouts(task, _ANY, split)
    except LookupError:  # an adapter that looks its languages up has no pattern
        return ()
    for path in (path for paths in patterns for path in paths if _ANY in path):
        first, *others = map(re.escape, path.split(_ANY))
        layout = re.compile("(?P=code)".join([f"{first}(?P<code>{_CODE}){others[0]}", *others[1:]]))
        for file in sorted(folder.root.glob(f"{path.rstrip(_ANY)}*".replace(_ANY, "*"))):
            name = file.relative_to(folder.root).as_posix()
            plain = name.removesuffix(file.suffix) if file.suffix in COMPRESSED else name
            if (match := layout.fullmatch(plain)) and plain not in known:
                unknown.setdefault(match["code"], name)
    return tuple(unknown.values())


def _hub(task: Task) -> Hub:
    if task.card.hub is None or not isinstance(task, HubTask):
        raise UsageError(
            f"{task.card.name} has no hub repository that can be read without running its code; use --data DIR "
            f"with {task.card.layout}"
        )
    return Hub(task.card.hub)


def _select(card: TaskCard, asked: Collection[str]) -> tuple[str, ...]:
    """Resolves what users type ("sw", "swh", "swh_Latn") to the card's codes, in the card's order."""
    chosen: set[str] = set()
    for code in (card.aliases.get(x, x) for x in asked):
        matches = [x for x in card.languages if x == code] or [x for x in card.languages if same_language(x, code)]
        if not matches:
            raise unknown_name(f"language of {card.name}", code, card.languages, f"run 'xrete tasks {card.name}'")
        chosen.update(matches)
    return tuple(x for x in card.languages if x in chosen)
