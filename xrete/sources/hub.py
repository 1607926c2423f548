"""The hub: pinned data set repositories, of which only those data files are fetched that are needed.

What a revision holds (names, sizes, digests) is asked for once and kept, and each file is held against it. Files
are parquet or JSON; no code of a repository ever runs, and none is fetched.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock

from xrete.errors import DataError, HubError, XreteError
from xrete.files import UNWRITABLE, cache_root, parse_json, write_error, write_text
from xrete.sources.archive import unpack
from xrete.sources.folder import Folder, json_row

CARD = "README.md"
"""Which file says what belongs to which config."""
JSON_ENDINGS = (".jsonl", ".json", ".jsonl.gz", ".json.gz")
READABLE = (".parquet", *JSON_ENDINGS)


@dataclass(frozen=True, kw_only=True)
class HubData:
    """A data set repository on the hub, pinned: an unpinned source cannot be written down.

    Attributes:
        repo: Its name.
        revision: The commit.
        splits: Splits of the task that it holds, the one first that is scored, with the languages of each (empty:
            all of the task); empty where it holds all splits.
    """

    repo: str
    revision: str
    splits: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class HubFile:
    """A file of a revision.

    Attributes:
        path: Below the repository.
        size: In bytes.
        digest: SHA-256 of its bytes, or for small files git's SHA-1 of them; None where nobody knows.
    """

    path: str
    size: int
    digest: str | None = None


@dataclass
class Fetched:
    """What was read through one `Hub`.

    Attributes:
        files: By path.
        new: Paths of those that were not on this machine.
    """

    files: dict[str, HubFile] = field(default_factory=dict)
    new: set[str] = field(default_factory=set)

    def add(self, other: Fetched) -> None:
        """Counts what was read through another one, or at another time, too."""
        self.files |= other.files
        self.new |= other.new

    def __str__(self) -> str:
        size = sum(file.size for file in self.files.values())
        new = sum(self.files[path].size for path in self.new)
        return f"{len(self.files)} files, {size:,} bytes, of which {new:,} were fetched now"


class Hub:
    """A pinned data set repository, read as parquet or JSON.

    Attributes:
        data: Which one.
        fetched: The files that were read, and which of them had to be fetched.
    """

    kind: Literal["hub"] = "hub"

    def __init__(self, data: HubData) -> None:
        self.data = data
        self.fetched = Fetched()

    @cached_property
    def listing(self) -> Mapping[str, HubFile]:
        """The files of the revision by path: as the hub said once, else those that are on this machine.

        Raises:
            HubError: it was never asked for, none is on this machine, and the hub cannot be reached.
        """
        index = self._root.with_name(f"{self.data.revision}.json")
        try:
            files = [HubFile(**row) for row in parse_json(index.read_text("utf-8"))]
        except (OSError, ValueError, TypeError):  # never written, or damaged: asked for again
            pass
        else:
            return {file.path: file for file in files}
        try:
            files = self._ask()
        except Exception as error:
            # Whatever went wrong on the way (name resolution, proxy, time-out, a refused login), the user's choice
            # is the same.
            files = self._on_this_machine()
            if not files:
                raise self._out_of_reach(error) from error
        else:
            write_text(index, json.dumps([vars(file) for file in files], indent=0) + "\n")
        return {file.path: file for file in files}

    def columns(self, config: str, split: str, names: tuple[str, ...]) -> list[list[Any]]:
        """Reads columns `names` of one config and split. Class labels come as their names, -1 (unknown) as None.

        Raises:
            DataError: no such config, split or column at this revision, or a file is damaged.
            HubError: a file is not on this machine and the hub cannot be reached.
        """
        paths = self.paths(config, split)
        columns: list[list[Any]] = [[] for _ in names]
        for path in paths:
            file = self.file(path)
            try:
                parts, labels = _parquet(file, names) if path.endswith(".parquet") else _json(file, names)
            except (OSError, ValueError, EOFError, DataError) as error:  # pyarrow's errors are kinds of these
                raise DataError(
                    f"{self.data.repo}, {config}/{split} is damaged at {file}: {error}; fetch it again"
                ) from error
            except KeyError as error:
                raise DataError(f"{self.data.repo}, {config}/{split}: no column {error}") from None
            labels = {**self._labels(config), **labels}
            for column, part, name in zip(columns, parts, names, strict=True):
                column.extend(_named(value, labels[name]) for value in part) if name in labels else column.extend(
                    part
                )
        return columns

    def unpack(self, archive: str, members: Mapping[str, str]) -> Folder:
        """Unpacks files of a gzipped tar archive, of any folder in it, once.

        Args:
            archive: Its path in the repository.
            members: Names of the files, by the paths that they get below the folder.

        Returns:
            The folder, which holds them.

        Raises:
            DataError: the archive is damaged or lacks a file.
            HubError: as `columns`.
        """
        root = self._root / f"{archive}.unpacked"
        wanted = {name: root / path for path, name in members.items() if not (root / path).is_file()}
        if not wanted:
            return Folder(root)
        if absent := unpack(self.file(archive), wanted):
            raise DataError(f"{self.data.repo}, {archive}: no file {absent[0]}")
        return Folder(root)

    def paths(self, config: str, split: str) -> list[str]:
        """Returns the paths of one config and split, as the repository's card says, else by their names.

        Raises:
            DataError: there are none, or they are neither parquet nor JSON.
            HubError: as `columns`.
        """
        if self._configs:
            patterns = self._patterns(config, split)
            paths = sorted(path for path in self.listing if any(fnmatchcase(path, pattern) for pattern in patterns))
        else:  # as the hub itself guesses: "CONFIG/SPLIT-00000-of-00001.parquet", or without a folder
            start = "" if config == "default" else f"{config}/"
            word = re.compile(rf"(^|[^A-Za-z0-9]){re.escape(split)}([^A-Za-z0-9]|$)")
            paths = sorted(x for x in self.listing if x.startswith(start) and word.search(x.removeprefix(start)))
        if not paths:
            raise DataError(f"{self.data.repo} has no config {config!r} with split {split!r}")
        if other := [path for path in paths if not path.endswith(READABLE)]:
            raise DataError(f"{self.data.repo}: {other[0]} is neither parquet nor JSON, which alone are read")
        return paths

    def file(self, path: str) -> Path:
        """Returns one file of the revision; fetched on first use, then there without a network.

        A fetch that was stopped goes on where it was. What is fetched has the size and the digest that the hub
        said.

        Raises:
            DataError: there is no such file, or it is not what the hub said.
            HubError: it is not on this machine and the hub cannot be reached.
        """
        if path not in self.listing:
            raise DataError(f"{self.data.repo} has no file {path} at {self.data.revision[:8]}")
        listed = self.listing[path]
        local = self._cached(path)
        if local is None:
            local = self._fetch(listed)
            self.fetched.new.add(path)
        elif (size := local.stat().st_size) != listed.size:
            raise DataError(f"{local}: {size:,} bytes, not {listed.size:,}; remove it and fetch it again")
        self.fetched.files[path] = listed
        return local

    def local(self) -> dict[str, Path]:
        """Returns the files of the revision that are on this machine, by path; no hub is asked."""
        try:
            known = self.listing
        except HubError:
            return {}
        return {path: file for path in known if (file := self._cached(path)) is not None}

    def _ask(self) -> list[HubFile]:
        """Asks the hub what the revision holds."""
        import huggingface_hub

        info = huggingface_hub.HfApi().dataset_info(
            self.data.repo, revision=self.data.revision, timeout=10, files_metadata=True
        )
        return [
            HubFile(x.rfilename, x.size or 0, x.lfs.sha256 if x.lfs else x.blob_id)
            for x in info.siblings or ()
            if not x.rfilename.startswith("/") and ".." not in x.rfilename.split("/")
        ]

    def _on_this_machine(self) -> list[HubFile]:
        """Lists what other programs have fetched of the revision."""
        from huggingface_hub import constants

        folder = Path(constants.HF_HUB_CACHE) / f"datasets--{self.data.repo.replace('/', '--')}"
        root = folder / "snapshots" / self.data.revision
        return [
            HubFile(file.relative_to(root).as_posix(), file.stat().st_size)
            for file in sorted(root.rglob("*"))
            if file.is_file()
        ]

    @property
    def _root(self) -> Path:
        """The folder of what was fetched of the revision; what the hub says of it lies beside."""
        return cache_root() / "hub" / self.data.repo.replace("/", "--") / self.data.revision

    def _cached(self, path: str) -> Path | None:
        """Returns a file that is on this machine, fetched by us or by another program."""
        from huggingface_hub import try_to_load_from_cache

        if (own := self._root / path).is_file():
            return own
        place = try_to_load_from_cache(self.data.repo, path, revision=self.data.revision, repo_type="dataset")
        return Path(place) if isinstance(place, str) else None

    def _fetch(self, listed: HubFile) -> Path:
        """Fetches a file, or the rest of it, which the hub's own library would not; it has its name once whole."""
        from huggingface_hub import hf_hub_url
        from huggingface_hub.file_download import http_get
        from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

        file = self._root / listed.path
        part = file.with_name(f"{file.name}.part")
        url = hf_hub_url(self.data.repo, listed.path, repo_type="dataset", revision=self.data.revision)
        headers = {
            **build_hf_headers(),
            "Accept-Encoding": "identity",
        }  # a part of a compressed answer is of no use
        try:
            part.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(file.with_name(f".{file.name}.lock")):
                if file.is_file():  # another process was faster
                    return file
                with part.open("ab") as stream:
                    if stream.tell() > listed.size:
                        stream.truncate(0)
                    http_get(url, stream, headers=headers, resume_size=stream.tell(), expected_size=listed.size)
                wrong = mismatch(part, listed)
                part.unlink() if wrong else part.replace(file)
        except Exception as error:  # as in `listing`
            if isinstance(error, OSError) and error.errno in UNWRITABLE:
                raise write_error(file, error) from error
            raise self._out_of_reach(error) from error
        if wrong:
            raise DataError(f"{self.data.repo}, {listed.path}: {wrong}; fetch it again")
        return file

    def _out_of_reach(self, error: Exception) -> XreteError:
        return HubError(
            f"cannot get data set {self.data.repo} at {self.data.revision[:8]} from the hub "
            f"({type(error).__name__}); use --data DIR with the upstream files, or --data mini"
        )

    @cached_property
    def _card(self) -> Mapping[str, Any]:
        """What stands above the text of the repository's card."""
        if CARD not in self.listing:
            return {}
        from huggingface_hub import metadata_load

        try:
            return metadata_load(self.file(CARD)) or {}
        except (OSError, ValueError) as error:
            raise DataError(f"{self.data.repo}: its {CARD} cannot be read ({error})") from error

    @property
    def _configs(self) -> Sequence[Mapping[str, Any]]:
        return [config for config in self._card.get("configs") or () if config.get("data_files")]

    def _patterns(self, config: str, split: str) -> list[str]:
        """Returns which paths the card says are of a config and split."""
        for entry in self._configs:
            if entry.get("config_name", "default") == config:
                files = entry["data_files"]
                rows = files if isinstance(files, list) else [files]
                rows = [row if isinstance(row, dict) else {"split": "train", "path": row} for row in rows]
                of_split = [row["path"] for row in rows if row.get("split", "train") == split]
                return [path for paths in of_split for path in ([paths] if isinstance(paths, str) else paths)]
        return []

    def _labels(self, config: str) -> dict[str, list[str]]:
        """Returns the names of the class labels of a config's columns, as the card has them."""
        infos = self._card.get("dataset_info") or []
        for info in infos if isinstance(infos, list) else [infos]:
            if info.get("config_name", config) == config:
                features = info.get("features") or []
                return {x["name"]: names for x in features if (names := _class_names(x))}
        return {}


def mismatch(file: Path, listed: HubFile) -> str:
    """Says in which way a file is not the one that the hub listed; empty where it is, as far as is known."""
    size = file.stat().st_size
    if size != listed.size:
        return f"{size:,} bytes, not {listed.size:,}"
    if listed.digest is None:
        return ""
    sha = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False) if len(listed.digest) == 40 else hashlib.sha256()
    with file.open("rb") as stream:
        while part := stream.read(1 << 20):
            sha.update(part)
    return "" if sha.hexdigest() == listed.digest else f"its digest is not {listed.digest[:12]}…"


def _parquet(file: Path, names: Sequence[str]) -> tuple[list[list[Any]], dict[str, list[str]]]:
    """Reads columns of a parquet file, and the names of class labels that it carries itself."""
    import pyarrow.parquet as pq

    schema = pq.read_schema(file)
    for name in names:
        if name not in schema.names:
            raise KeyError(name)
    features = parse_json((schema.metadata or {}).get(b"huggingface", b"{}")).get("info", {}).get("features", {})
    labels = {name: texts for name in names if (texts := _class_names(features.get(name)))}
    table = pq.read_table(file, columns=list(names))
    return [table[name].to_pylist() for name in names], labels


def _json(file: Path, names: Sequence[str]) -> tuple[list[list[Any]], dict[str, list[str]]]:
    """Reads columns of JSON lines, or of one list of objects; what a row lacks is None if others have it."""
    with gzip.open(file) if file.name.endswith(".gz") else file.open("rb") as stream:
        if stream.read(1) == b"[":
            stream.seek(0)
            rows = parse_json(stream.read())
        else:
            stream.seek(0)
            rows = [json_row(line, f"{file}, line {number}") for number, line in enumerate(stream, start=1)]
    known = set().union(*rows)
    for name in names:
        if name not in known:
            raise KeyError(name)
    return [[row.get(name) for row in rows] for name in names], {}


def _class_names(feature: Any) -> list[str]:
    """Returns the names of a class label, or of a list of them, as cards and parquet files write it."""
    if not isinstance(feature, dict):
        return []
    if feature.get("_type") == "ClassLabel":
        return [str(name) for name in feature["names"]]
    label = feature.get("class_label")
    if isinstance(label, dict):
        names = label.get("names") or {}
        return [
            str(x) for x in (names if isinstance(names, list) else [names[key] for key in sorted(names, key=int)])
        ]
    inner = (feature[key] for key in ("dtype", "list", "sequence", "feature") if key in feature)
    return next(filter(None, map(_class_names, inner)), [])


def _named(value: Any, names: Sequence[str]) -> Any:
    """Gives a class label, or a list of them, by name: numbers differ between copies of the same data."""
    if isinstance(value, list):
        return [_named(one, names) for one in value]
    return None if value is None or value < 0 else names[value]
