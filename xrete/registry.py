"""The registry: names of tasks and models to plugins, resolved when they are asked for.

A distribution offers plugins through one entry point in the group `xrete.tasks`, `xrete.families` (of tasks) or
`xrete.models`. Its value is a table of names to "module:object" strings; loading it imports nothing but the table.
XRETE's own tables have no prefix; those of another distribution's entry point `acme` are named `acme/NAME`. A
single file given with `--plugin` may hold tables `TASKS` and `MODELS` whose values are the objects themselves.
"""

from __future__ import annotations

import copy
import importlib.util
import sys
import warnings
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from xrete.errors import UsageError, XreteError, unknown_name

if TYPE_CHECKING:
    from xrete.dataset import Dataset
    from xrete.model import LoadedModel, ModelIdentity, ModelPlugin
    from xrete.task import Task, TaskFamily

PluginKind = Literal["tasks", "families", "models"]
OWN = "xrete"


@dataclass(frozen=True)
class PluginEntry:
    """One name.

    Attributes:
        name: What users type.
        origin: The distribution or file that it comes from, for errors and lists.
        target: "module:object", or the object itself.
        broken: Why the table itself could not be loaded, or None.
    """

    name: str
    origin: str
    target: Any
    broken: str | None = None

    def load(self) -> Any:
        """Imports the plugin.

        Raises:
            XreteError: it cannot be imported; the sentence says where it comes from and why.
        """
        if self.broken:
            raise XreteError(f"plugin '{self.name}' from {self.origin} does not load: {self.broken}")
        if not isinstance(self.target, str):
            return self.target
        module, _, attribute = self.target.partition(":")
        try:
            return getattr(import_module(module), attribute)
        except Exception as error:  # whatever a foreign module raises, the other plugins go on
            reason = f"{type(error).__name__}: {error}"
            raise XreteError(f"plugin '{self.name}' from {self.origin} does not load: {reason}") from error


plugin_files: dict[Path, Mapping[PluginKind, Mapping[str, Any]]] = {}
"""The tables of files that `--plugin` named; `names` reads them once."""


def add_plugin_file(path: Path) -> None:
    """Makes the tables TASKS and MODELS of a Python file known (`--plugin FILE.py`).

    Raises:
        UsageError: the file is missing, cannot be imported, or has neither table.
    """
    if not path.is_file():
        raise UsageError(f"missing plugin file: {path}")
    spec = importlib.util.spec_from_file_location(f"xrete_plugin_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise UsageError(f"plugin file {path} is not a Python file (.py)")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # a user's file may raise anything
        raise UsageError(f"plugin file {path} does not load: {type(error).__name__}: {error}") from error
    tables: dict[PluginKind, Mapping[str, Any]] = {
        "tasks": getattr(module, "TASKS", {}),
        "models": getattr(module, "MODELS", {}),
    }
    if not any(tables.values()):
        raise UsageError(f"plugin file {path} has neither a table TASKS nor a table MODELS")
    plugin_files[path.resolve()] = tables
    names.cache_clear()


@cache
def names(kind: PluginKind) -> Mapping[str, PluginEntry]:
    """Returns every known name of a kind.

    Raises:
        XreteError: two distributions or files offer the same name; the sentence names both.
    """
    known: dict[str, PluginEntry] = {}
    for entry in [*_installed(kind), *_from_files(kind)]:
        if entry.name in known:
            raise XreteError(
                f"two plugins are called '{entry.name}': one from {known[entry.name].origin}, one from "
                f"{entry.origin}; rename or uninstall one of them"
            )
        known[entry.name] = entry
    return known


def task(name: str) -> Task:
    """Returns the task adapter of that name, NAME or FAMILY:MEMBER.

    Raises:
        UsageError: there is none.
        XreteError: its plugin does not load, or is not a task.
    """
    from xrete.task import Task, TaskCard

    stem, _, member = name.partition(":")
    if name not in names("tasks") and stem in names("families"):
        if not member:
            raise UsageError(f"'{stem}' is a family of tasks; name one of them: {stem}:NAME")
        plugin = family(stem).task(member)
    else:
        plugin = _load("tasks", name)
    if not isinstance(plugin, Task) or not isinstance(plugin.card, TaskCard):
        raise XreteError(f"plugin '{name}' is not a task: it needs card (a TaskCard), files and from_folder")
    return plugin if plugin.card.name == name else _renamed(plugin, name)


def family(name: str) -> TaskFamily:
    """Returns the family of tasks of that name.

    Args:
        name: One of `names("families")`.

    Raises:
        XreteError: its plugin does not load, or is not a family.
    """
    from xrete.task import TaskFamily

    plugin = names("families")[name].load()
    if not isinstance(plugin, TaskFamily):
        raise XreteError(f"plugin '{name}' is not a family of tasks: it needs title and task")
    return plugin


def model(name: str) -> ModelPlugin:
    """Returns the model plugin of that name (without a checkpoint).

    Raises:
        UsageError: there is none.
        XreteError: its plugin does not load, or is not a model.
    """
    from xrete.model import ModelCard, ModelPlugin

    plugin = _load("models", name)
    if not isinstance(plugin, ModelPlugin) or not isinstance(plugin.card, ModelCard):
        raise XreteError(f"plugin '{name}' is not a model: it needs card (a ModelCard), identify and load")
    return plugin


@dataclass(frozen=True)
class ModelRequest:
    """A model as users name it, NAME or NAME:CHECKPOINT, with the options to load it."""

    plugin: ModelPlugin
    identity: ModelIdentity
    options: Any

    def load(self) -> LoadedModel:
        """Loads weights.

        Raises:
            XreteError: they are not available.
        """
        from xrete.model import LoadedModel

        return LoadedModel(self.plugin.card, self.identity, self.plugin.load(self.options))


def request_model(
    name: str,
    *,
    device: str = "auto",
    dtype: str = "float32",
    batch_tokens: int | None = None,
    concurrency: int = 8,
) -> ModelRequest:
    """Finds a model and says which vectors it will give, without loading weights.

    Args:
        name: "labse", "xlmr:FOLDER", "st:ORG/NAME", "hf:FOLDER", …
        device: "auto", "cpu", "cuda", …
        dtype: "float32", "bfloat16" or "float16".
        batch_tokens: Padded tokens in a batch; None takes the device's default.
        concurrency: Questions at once to a model behind an endpoint.

    Raises:
        UsageError: unknown name, or a checkpoint that is missing or not wanted.
    """
    from xrete.model import LoadOptions

    plugin_name, colon, checkpoint = name.partition(":")
    plugin = model(plugin_name)
    wanted = plugin.card.checkpoint
    if wanted == "required" and not checkpoint:
        raise UsageError(
            f"model '{plugin_name}' needs a checkpoint: {plugin_name}:CHECKPOINT ({plugin.card.needs})"
        )
    if wanted == "none" and colon:
        raise UsageError(f"model '{plugin_name}' takes no checkpoint; write --model {plugin_name}")
    options = LoadOptions(
        checkpoint=checkpoint or None,
        device=device,
        dtype=dtype,
        batch_tokens=batch_tokens,
        concurrency=concurrency,
    )
    identity = plugin.identify(options)
    # Filed under the name that users typed, acme/labse never as labse; a plugin may add which checkpoint it took.
    _, taken, which = identity.name.partition(f"{plugin.card.name}:")
    full = name if checkpoint or not taken else f"{plugin_name}:{which}"
    return ModelRequest(plugin, replace(identity, name=full), options)


def load_model(
    name: str,
    *,
    device: str = "auto",
    dtype: str = "float32",
    batch_tokens: int | None = None,
    concurrency: int = 8,
) -> LoadedModel:
    """Loads a model by name.

    Args:
        name: As on the command line: "labse", "xlmr:FOLDER", "st:ORG/NAME", "hf:FOLDER", …
        device: "auto", "cpu", "cuda", …
        dtype: "float32", "bfloat16" or "float16".
        batch_tokens: Padded tokens in a batch; None takes the device's default.
        concurrency: Questions at once to a model behind an endpoint.

    Returns:
        The model: `encode(texts)` gives float32 [n, dimension].

    Raises:
        UsageError: unknown name, or a checkpoint that is missing or not wanted.
        XreteError: the weights are not available.
    """
    return request_model(
        name, device=device, dtype=dtype, batch_tokens=batch_tokens, concurrency=concurrency
    ).load()


def load_task(
    name: str,
    data: str | Path = "auto",
    *,
    split: str | None = None,
    languages: Collection[str] | None = None,
    limit: int | None = None,
) -> Dataset:
    """Opens a task's data by name.

    Args:
        name: As on the command line: "tatoeba", "mteb:STS17", …
        data: "auto", "hub", "mini" or a folder of upstream files. `auto` takes the cache folder, else the hub, else
            the mini sample that comes with XRETE, and then warns (`MiniSampleWarning`).
        split: One of the task's splits; None takes the first one that is available.
        languages: Codes to keep; None keeps all. "sw" finds "swh" and "swh_Latn".
        limit: Keep only the first so many items of each language.

    Returns:
        The data; `dataset[language]` reads one language.

    Raises:
        DataError: the data is missing or damaged.
        UsageError: unknown task, split or language, or a hub was asked of a task that has none.
    """
    from xrete.dataset import MiniSampleWarning, open_dataset

    dataset = open_dataset(task(name), data, split=split, languages=languages, limit=limit)
    if dataset.fallback:
        warnings.warn(
            f"{name} is scored on the mini sample, a few sentences that say nothing about a model, because: "
            f"{dataset.fallback}; data='mini' asks for the sample without this warning",
            MiniSampleWarning,
            stacklevel=2,
        )
    return dataset


def _load(kind: PluginKind, name: str) -> Any:
    known = names(kind)
    if name not in known:
        raise unknown_name(kind.removesuffix("s"), name, known, f"run 'xrete {kind}'")
    return known[name].load()


def _renamed(task: Task, name: str) -> Task:
    """Returns the task under the name that users type, so that acme/tatoeba is never filed as tatoeba."""
    renamed = copy.copy(task)
    try:
        object.__setattr__(renamed, "card", replace(task.card, name=name))  # a frozen dataclass allows no other way
    except AttributeError:
        raise XreteError(f"the card of task '{name}' says '{task.card.name}'; give it the name '{name}'") from None
    return renamed


def _installed(kind: PluginKind) -> Iterator[PluginEntry]:
    for point in entry_points(group=f"xrete.{kind}"):
        origin = point.dist.name if point.dist else point.value
        prefix = "" if origin == OWN else f"{point.name}/"
        try:
            table = point.load()
            entries = [PluginEntry(f"{prefix}{name}", origin, target) for name, target in dict(table).items()]
        except Exception as error:  # a broken table is listed with its reason and breaks nothing else
            yield PluginEntry(f"{prefix}*", origin, None, f"{point.value}: {type(error).__name__}: {error}")
        else:
            yield from entries


def _from_files(kind: PluginKind) -> Iterator[PluginEntry]:
    for path, tables in plugin_files.items():
        for name, target in tables.get(kind, {}).items():
            yield PluginEntry(name, str(path), target)
