"""The registry: names of tasks and models to plugins, resolved when they are asked for.

A distribution offers plugins through one entry point in the group `xrete.tasks`, `xrete.families` (of tasks) or
`xrete.models`. Its value is a table of names to "module:object" strings; loading it imports nothing but the table.
XRETE's own tables have no prefix; those of another distribution's entry point `acme` are named `acme/NAME`. A
single file given with `--plugin` may hold tables `TASKS` and `MODELS` whose values are the objects themselves.
"""

from __future__ import annotations

import copy
import importlib.util
import re
import sys
import warnings
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache, partial
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import unquote

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
        except (Exception, SystemExit) as error:  # whatever a foreign module raises, the other plugins go on
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
    except (Exception, SystemExit) as error:  # a user's file may raise anything
        raise UsageError(f"plugin file {path} does not load: {type(error).__name__}: {error}") from error
    tables: dict[PluginKind, Mapping[str, Any]] = {
        "tasks": getattr(module, "TASKS", {}),
        "models": getattr(module, "MODELS", {}),
    }
    if not all(isinstance(table, Mapping) for table in tables.values()):
        raise UsageError(f"plugin file {path}: TASKS and MODELS must be tables of names to plugins")
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


PARAMETERS = ("dim", "pooling", "prefix", "query", "document")
"""What may follow a model's name: NAME?dim=256&query=find: ."""


@dataclass(frozen=True)
class ModelRequest:
    """A model as users name it, NAME or NAME:CHECKPOINT, with the options to load it.

    Attributes:
        plugin: What loads it.
        identity: Which vectors it gives.
        options: How to load it.
        parameters: What the user typed after "?", of `PARAMETERS`.
        fast: The same in bfloat16, where the precision was left open and the device has products for that.
    """

    plugin: ModelPlugin
    identity: ModelIdentity
    options: Any
    parameters: Mapping[str, str]
    fast: ModelRequest | None = None

    def load(self) -> LoadedModel:
        """Loads weights.

        Raises:
            XreteError: they are not available.
            UsageError: the model's vectors have fewer numbers than the user asked for.
        """
        from xrete.model import LoadedModel, UnopenedModel, with_prompts

        encoder = self.plugin.load(self.options)
        if self.identity.prompts or "prefix" in self.parameters:
            encoder = with_prompts(encoder, self.identity)
        fast = UnopenedModel(self.fast.identity, self.fast.load) if self.fast else None
        model = LoadedModel(self.plugin.card, self.identity, encoder, fast)
        return _shortened(model, int(self.parameters["dim"])) if "dim" in self.parameters else model


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
        name: "labse", "xlmr:FOLDER", "st:ORG/NAME", "hf:FOLDER", … After it may come `PARAMETERS`, as in
            "st:FOLDER?dim=256&query=find: ": how many of the first numbers of a vector are kept, how token states
            become one vector, and what is put before queries, documents, and texts that nothing else is for.
        device: "auto", "cpu", "cuda", …
        dtype: "float32", "bfloat16", "float16", or "auto": float32, with bfloat16 as `fast` where the device has
            products for it.
        batch_tokens: Padded tokens in a batch; None takes the device's default.
        concurrency: Questions at once to a model behind an endpoint.

    Raises:
        UsageError: unknown name, a checkpoint that is missing or not wanted, or a parameter that is not one.
    """
    from xrete.model import LoadOptions

    if dtype == "auto":
        from xrete.devices import native_dtype

        find = partial(request_model, name, device=device, batch_tokens=batch_tokens, concurrency=concurrency)
        exact, fast = find(dtype="float32"), find(dtype=native_dtype(device))
        return exact if fast.identity == exact.identity else replace(exact, fast=fast)

    plugin = model(model_stem(name))
    stem, _, query = (name, "", "") if plugin.card.own_parameters else name.partition("?")
    plugin_name, colon, checkpoint = stem.partition(":")
    parameters = _read_parameters(query)
    wanted = plugin.card.checkpoint
    if wanted == "required" and not checkpoint:
        raise UsageError(
            f"model '{plugin_name}' needs a checkpoint: {plugin_name}:CHECKPOINT ({plugin.card.needs})"
        )
    if wanted == "none" and colon:
        raise UsageError(f"model '{plugin_name}' takes no checkpoint; write --model {plugin_name}")
    options = LoadOptions(
        checkpoint=checkpoint or None,
        pooling=parameters.get("pooling"),
        device=device,
        dtype=dtype,
        batch_tokens=batch_tokens,
        concurrency=concurrency,
    )
    identity = plugin.identify(options)
    # Filed under the name that users typed, acme/labse never as labse; a plugin may add which checkpoint it took.
    _, taken, which = identity.name.partition(f"{plugin.card.name}:")
    full = name if checkpoint or not taken else name.replace(plugin_name, f"{plugin_name}:{which}", 1)
    return ModelRequest(plugin, replace(_changed(identity, parameters, name), name=full), options, parameters)


def model_stem(name: str) -> str:
    """Returns the part of a model's name that says which plugin it is: "st" of "st:FOLDER?dim=256"."""
    return re.split("[:?]", name, maxsplit=1)[0]


def split_models(values: Iterable[str]) -> list[str]:
    """Splits "a,b" and drops what was named before; a prompt may have blanks and commas, and keeps them.

    A comma after "?" parts models only where the name of a model follows; %2C never does.
    """
    models: list[str] = []
    for value in values:
        pieces: list[str] = []
        for piece in value.split(","):
            if pieces and "?" in pieces[-1] and model_stem(piece.strip()) not in names("models"):
                pieces[-1] += f",{piece}"
            else:
                pieces.append(piece)
        models += [piece.lstrip() if "?" in piece else piece.strip() for piece in pieces]
    return list(dict.fromkeys(filter(None, models)))


def _read_parameters(query: str) -> dict[str, str]:
    """Reads "dim=256&query=find: ".

    Raises:
        UsageError: a parameter is not one, or its value is not.
    """
    parameters: dict[str, str] = {}
    for setting in filter(None, query.split("&")):
        key, equals, value = setting.partition("=")
        if key not in PARAMETERS or not equals:
            see = f"{', '.join(PARAMETERS)}; a folder's name has %3F for ?, and a prompt %26 for &"
            raise unknown_name("parameter of a model", key, PARAMETERS, see)
        parameters[key] = unquote(value)
    if not re.fullmatch("[1-9][0-9]{0,5}", parameters.get("dim", "1")):
        raise UsageError(f"dim={parameters['dim']}: dim must be a whole number of at least 1, as in dim=256")
    return parameters


def _changed(identity: ModelIdentity, parameters: Mapping[str, str], name: str) -> ModelIdentity:
    """Returns an identity with what the user typed after the model's name.

    Raises:
        UsageError: the model gives no vectors, or pools in one way only.
    """
    if parameters and identity.kind == "chat":
        raise UsageError(f"{name} gives no vectors; leave out {', '.join(parameters)}")
    if parameters.get("pooling", identity.pooling) != identity.pooling:
        raise UsageError(f"{name}: this model's pooling is {identity.pooling}; leave out pooling")
    if {"prefix", "query", "document"} & parameters.keys():
        roles = {role: parameters[role] for role in ("query", "document") if role in parameters}
        identity = identity.prompted(parameters.get("prefix"), roles)
    return identity.shortened(int(parameters["dim"])) if "dim" in parameters else identity


def _shortened(model: LoadedModel, dimension: int) -> LoadedModel:
    """Returns a model that keeps the first `dimension` numbers of each vector, as its identity says.

    Raises:
        XreteError: its encoder cannot.
        UsageError: its vectors have fewer numbers.
    """
    from xrete.model import ShortenedEncoder

    name = model.identity.name
    if not isinstance(model.encoder, ShortenedEncoder):
        raise XreteError(f"{name}: its encoder has no method shortened(dimension), which dim= needs")
    whole = model.encoder.encode(["A sentence."]).shape[1]
    if dimension > whole:
        raise UsageError(f"{name}: the model's vectors have {whole} numbers; use a smaller dim")
    card = replace(model.card, dimension=dimension)
    return replace(model, card=card, encoder=model.encoder.shortened(dimension))


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
        dtype: "float32", "bfloat16", "float16", or "auto": vectors of float32, and `xrete.evaluate` takes bfloat16
            for tasks whose scores stay the same, where the device has products for it.
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
        see = f"run 'xrete {kind}'"
        if kind == "models" and ("/" in name or Path(name).exists()):
            see += f"; one of the hub or in a folder is called st:{name}, or hf:{name} if it is a plain transformer"
        if kind == "tasks" and "mteb" in names("families") and not name.islower():
            see += f"; one of MTEB is called mteb:{name}"
        raise unknown_name(kind.removesuffix("s"), name, known, see)
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
