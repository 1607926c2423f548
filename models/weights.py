"""Where a model's files are: a folder that the user names, the local hub cache, or the hub at a pinned commit."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from xrete.errors import DataError, UsageError, XreteError
from xrete.files import digest, file_digest, parse_json, read_text

MODULES = "modules.json"
"""What sentence-transformers lists a model's modules in."""
SETTINGS = ("*config*.json", MODULES)
FILES = ("*.json", "*.txt", "*.model", "*.safetensors", "*.jinja", "*/pytorch_model.bin")
"""Everything that decides vectors. The last pattern is for the small layers of sentence-transformers folders."""
ADAPTER = "adapter_config.json"
"""What peft writes beside weights that go on top of those of another model."""
HUB_ID = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?")
COPIES = ("onnx", "openvino")
"""Folders with the same weights for engines that are not used here."""
PICKLED = ("pytorch_model*.bin", "adapter_model.bin")
"""Taken only where a repository has no safetensors; read with `weights_only=True`."""
NATIVE_COPIES = {
    "Alibaba-NLP/new-impl": "st:alibaba-nlp-community/gte-multilingual-base is gte-multilingual-base",
    "jinaai/xlm-roberta-flash-implementation": "st:jinaai/jina-embeddings-v3-hf is jina-embeddings-v3",
}
"""Repositories of code that models name, and which model has a copy for transformers' own classes, and where."""


@dataclass(frozen=True)
class Place:
    """A folder with a model's files; `local` where the user named it, else a snapshot of the hub."""

    folder: Path
    local: bool

    @property
    def revision(self) -> str:
        """The commit, or a digest of the user's files; of adapters also that of the model that they are for."""
        if self.local:
            return folder_digest(self.folder)
        return " on ".join([self.folder.name, *_base_revisions(self.folder)])


def find(name: str, checkpoint: str | None, repo: str | None, revision: str | None, *, weights: bool) -> Place:
    """Finds the files of a model that has a name of its own.

    Args:
        name: The model's.
        checkpoint: A folder that the user named, or None.
        repo: Where its weights are on the hub, or None where there are no public ones.
        revision: The commit.
        weights: Whether all files are needed, or the settings only.

    Raises:
        UsageError: there is no such folder, or the model needs one and none was named.
        XreteError: the hub cannot be reached.
    """
    if checkpoint is not None:
        return _runnable(Place(_folder(name, checkpoint), local=True))
    if repo is None:
        raise UsageError(f"{name} has no public weights; give yours: {name}:FOLDER")
    return _runnable(Place(snapshot(repo, revision, weights=weights), local=False))


def find_any(name: str, checkpoint: str | None, *, weights: bool) -> Place:
    """Finds the files of any model: `checkpoint` is a folder, or an id of the hub, whose newest commit is taken.

    Raises:
        UsageError: it is neither.
        XreteError: the hub cannot be reached.
    """
    if checkpoint is None:
        raise UsageError(f"{name} needs a model: {name}:ORG/NAME or {name}:FOLDER")
    if Path(checkpoint).expanduser().is_dir() or not HUB_ID.fullmatch(checkpoint):
        return _runnable(Place(_folder(name, checkpoint), local=True))
    return _runnable(Place(snapshot(checkpoint, None, weights=weights), local=False))


def _runnable(place: Place) -> Place:
    """Refuses a model that is written for code of its own, which is never run.

    transformers takes a class of its own for the same model type, where there is one. That reads such a config only
    in part: the vectors would be others, and nothing would say so.

    Raises:
        UsageError: it is one.
    """
    first = next(iter(list_modules(place.folder)), {"path": ""})
    for folder in {place.folder, place.folder / first["path"]}:
        own = settings(folder, "config.json").get("auto_map")
        if isinstance(own, dict) and "AutoModel" in own:
            code = str(own["AutoModel"])
            copy = NATIVE_COPIES.get(code.partition("--")[0], "if its authors offer one")
            raise UsageError(
                f"{folder / 'config.json'} names code of the model's own ({code}), which XRETE does not run; "
                f"take a copy for transformers' own classes, {copy}"
            )
    return place


def _folder(name: str, checkpoint: str) -> Path:
    folder = named_folder(checkpoint)
    if not folder.is_dir():
        raise UsageError(f"{name}:{checkpoint}: no such folder; name one that holds config.json and the weights")
    if not any((folder / file).is_file() for file in ("config.json", MODULES, ADAPTER)):
        raise UsageError(f"{name}:{checkpoint}: the folder has no config.json; name one that save_pretrained wrote")
    return folder


def named_folder(checkpoint: str) -> Path:
    """Returns the folder that a user named: as typed, else with %2C for a comma, %3F for ? and %26 for &."""
    folder = Path(checkpoint).expanduser()
    return folder if folder.exists() else Path(unquote(checkpoint)).expanduser()


def base_of(folder: Path, *, weights: bool = False) -> Place | None:
    """Finds the model that a folder of adapters goes on top of; None where the folder is a model itself.

    Args:
        folder: The folder.
        weights: Whether all files of that model are needed, or the settings only.

    Raises:
        UsageError: it is a folder that is not on this machine.
        XreteError: it is not on this machine and cannot be fetched.
    """
    adapter = settings(folder, ADAPTER)
    if not adapter:
        return None
    name = str(adapter.get("base_model_name_or_path"))
    local = Path(name).expanduser()
    if local.is_dir():
        return _runnable(Place(local, local=True))
    if not HUB_ID.fullmatch(name):
        raise UsageError(f"{folder} is an adapter of {name}, and no such folder is here; put the model there")
    try:
        return _runnable(Place(snapshot(name, adapter.get("revision"), weights=weights), local=False))
    except XreteError as error:
        raise XreteError(f"{folder} is an adapter of {name}: {error}") from error


def folder_digest(folder: Path) -> str:
    """Returns a digest over the names and contents of the files that decide vectors.

    It reads all weights, so it is remembered as long as no file's size or time changes.
    """
    files = {path for pattern in (*FILES, *PICKLED) for path in folder.rglob(pattern) if _decides(path, folder)}
    own = _digest(folder, _state(files))
    bases = _base_revisions(folder)
    return f"sha256:{digest([*bases, own])[:16] if bases else own[:16]}"


def _base_revisions(folder: Path) -> list[str]:
    """Returns the revisions of the models that the adapters in a folder go on top of."""
    places = sorted({path.parent for path in folder.rglob(ADAPTER)})
    return list(dict.fromkeys(base.revision for place in places if (base := base_of(place))))


def _state(files: Iterable[Path]) -> tuple[tuple[Path, int, int], ...]:
    """Returns what changes when a file does: its size and time."""
    return tuple((path, path.stat().st_size, path.stat().st_mtime_ns) for path in sorted(files))


def _decides(path: Path, folder: Path) -> bool:
    """Returns whether a file may decide vectors: also below a router's folders, but not in copies for others."""
    return path.is_file() and not any(
        part in COPIES or part.startswith(".") for part in path.relative_to(folder).parts[:-1]
    )


@lru_cache(maxsize=8)
def _digest(folder: Path, state: tuple[tuple[Path, int, int], ...]) -> str:
    return digest(part for path, *_ in state for part in (str(path.relative_to(folder)), file_digest(path)))


def snapshot(repo: str, revision: str | None, *, weights: bool) -> Path:
    """Returns the local copy of a hub repository at a commit; the folder's name is the commit.

    Args:
        repo: "ORG/NAME".
        revision: The commit; None takes the newest that is on this machine, else the newest on the hub.
        weights: Fetch all that is needed to run the model, or its settings only.

    Raises:
        XreteError: it is not on this machine and cannot be fetched.
    """
    import huggingface_hub

    try:
        folder = Path(huggingface_hub.snapshot_download(repo, revision=revision, local_files_only=True))
        if not weights or has_weights(folder):
            return folder
    except (OSError, ValueError):  # not on this machine; huggingface_hub raises subclasses of both
        pass
    patterns = [*(FILES if weights else SETTINGS)]
    try:
        # Asked for first, since it fails at once without a network, where a download tries again for half a minute.
        commit = huggingface_hub.HfApi().model_info(repo, revision=revision, timeout=10).sha
        folder = Path(huggingface_hub.snapshot_download(repo, revision=commit, allow_patterns=patterns))
        if weights and not has_weights(folder):
            huggingface_hub.snapshot_download(repo, revision=commit, allow_patterns=[*PICKLED])
    except Exception as error:
        # Whatever went wrong on the way (name resolution, proxy, time-out, no such repository, a full disk), the
        # user's choice is the same.
        raise XreteError(
            f"cannot get model {repo} from the hub ({type(error).__name__}), and it is not in the local hub cache; "
            "fetch it on a machine with a network and name its folder (NAME:FOLDER, see 'xrete models')"
        ) from error
    return folder


def has_weights(folder: Path) -> bool:
    """Returns whether the transformer's weights are in the folder, or in the folder of a first module."""
    return any(
        path
        for where in (folder, *folder.glob("0_*"))
        for pattern in ("*.safetensors", *PICKLED)
        for path in where.glob(pattern)
    )


def settings(folder: Path, name: str) -> Any:
    """Reads a JSON file of a model's folder; {} where there is none.

    Raises:
        DataError: it is not JSON, or no object where it is not the list of modules.
    """
    path = folder / name
    if not path.is_file():
        return {}
    try:
        content = parse_json(read_text(path, kind="model file"))
        if name != MODULES and not isinstance(content, dict):
            raise DataError(f"{path}: not a JSON object; fetch the model again")
        return content
    except json.JSONDecodeError as error:
        raise DataError(f"{path}, line {error.lineno}: not JSON ({error.msg}); fetch the model again") from None


def list_modules(folder: Path) -> list[dict[str, str]]:
    """Reads `modules.json`; empty where there is none.

    Raises:
        DataError: it is no list of modules with a type and a path, or names a class that is not one of
            sentence-transformers, whose early versions run whatever Python code a folder names.
    """
    modules = settings(folder, MODULES)
    listed = modules if isinstance(modules, list) else [modules] if modules else []
    file = folder / MODULES
    if not all(isinstance(x, dict) and all(isinstance(x.get(k), str) for k in ("type", "path")) for x in listed):
        raise DataError(f"{file} is no list of modules with type and path; fetch the model again")
    for kind in (module["type"] for module in listed):
        if not kind.startswith("sentence_transformers."):
            raise DataError(f"{file} names {kind}: code of a model is never run; take a model without such modules")
    return listed
