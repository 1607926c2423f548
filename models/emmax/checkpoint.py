"""Checkpoints: everything that a run is, written at once or not at all, and read again.

    state.json          progress, config, digest of the corpora, scores, which is the best, digest of the other file
    state.safetensors   weights, key encoder, queue, classifier, s_r, optimisers
    model/              the encoder as a folder of sentence-transformers, with its card

Whole tensors are saved whatever the sharding, so a run may go on with another number of processes.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)

import xrete
from xrete.errors import UsageError, XreteError
from xrete.files import atomic_folder, file_digest, parse_json, read_text, write_text
from xrete.training.team import Team

from .config import Config
from .export import write_model
from .folders import STATE, Progress, checkpoints
from .guard import Guard
from .ranks import ORDER
from .start import Start
from .state import RunState

SCHEMA = "xrete/emmax/1"
TENSORS = "state.safetensors"
WHOLE = StateDictOptions(full_state_dict=True, cpu_offload=True)
OPTIMISER = "optimiser/"
FREE = ("compute", "watch")
"""Sections that may change when a run goes on: they do not change what comes out."""


@dataclass(frozen=True)
class Restored:
    """What a checkpoint held beside the state.

    Attributes:
        scores: Of held-out retrieval so far.
        damages: Which newer checkpoints are damaged, in a sentence each.
    """

    scores: list[dict[str, Any]]
    damages: tuple[str, ...]


class Checkpoints:
    """The checkpoints of one run."""

    def __init__(self, folder: Path, config: Config, corpora: str, start: Start, team: Team) -> None:
        """Says whose they are.

        Args:
            folder: The run's.
            config: Its settings; they say how many of the newest stay. The best stays, too.
            corpora: Digest of its text.
            start: What it started from.
            team: Its processes.
        """
        self.folder = folder
        self._config = config
        self._corpora = corpora
        self._start = start
        self._team = team
        self._best: str | None = None
        self._optimisers: dict[str, dict[str, Any]] = {}

    def save(
        self, state: RunState, scores: list[dict[str, Any]], card: dict[str, Any], *, best: bool = False
    ) -> None:
        """Writes the state as it is, and removes older ones; every process calls it, the first one writes.

        Args:
            state: Of the run.
            scores: Of held-out retrieval so far.
            card: How the encoder was trained.
            best: Whether it is the best so far.

        Raises:
            XreteError: the disk is full, or not to be written on.
        """
        folder = self.folder / state.progress.name
        modules = state.modules()
        aliases = _aliases(modules)
        tensors = {
            f"{module}/{name}": torch.as_tensor(value).contiguous()
            for module in modules
            for name, value in get_model_state_dict(modules[module], options=WHOLE).items()
            if f"{module}/{name}" not in aliases
        }
        groups = {}
        for name, optimiser in state.optimisers.items():
            values: dict[str, Any] = get_optimizer_state_dict(state.trained(name), optimiser, options=WHOLE)
            groups[name] = values.get("param_groups", [])
            for weight, moments in values.get("state", {}).items():
                tensors |= {f"{OPTIMISER}{name}/{weight}/{key}": torch.as_tensor(v) for key, v in moments.items()}
        if self._team.leads:
            self._best = folder.name if best else self._best
            about = {
                "schema": SCHEMA,
                "rank_order": ORDER,
                "progress": asdict(state.progress),
                "guard": asdict(state.guard),
                "queue": {"pointer": state.queue.pointer, "valid": state.queue.valid},
                "aliases": aliases,
                "optimisers": groups,
                "config": self._config.model_dump(mode="json"),
                "corpora": self._corpora,
                "xrete": xrete.__version__,
                "torch": torch.__version__,
                "scores": scores,
                "best": self._best,
            }
            self._write(folder, tensors, about, card)
            done = [one for one in checkpoints(self.folder) if one.name <= folder.name]  # later ones are damaged
            for old in done[: -self._config.watch.keep]:
                if old.name != self._best:
                    shutil.rmtree(old)
        self._team.wait()

    def restore(self, state: RunState) -> Restored | None:
        """Puts a state where the newest checkpoint that is whole has it; None where there is no checkpoint.

        Raises:
            UsageError: the run was made with other settings, or on other text.
            XreteError: none is whole.
        """
        if self._team.leads:
            for stale in self.folder.glob(".*.part"):  # of a process that was killed while it wrote
                shutil.rmtree(stale, ignore_errors=True)
        damages: list[str] = []
        for folder in reversed(checkpoints(self.folder)):
            try:
                about, tensors = read_checkpoint(folder)
            except XreteError as damage:
                damages.append(str(damage))
                continue
            _check_settings(self.folder, about, self._config)
            if about["corpora"] != self._corpora:
                raise UsageError(f"{self.folder} holds a run on other text; use --fresh or another --out")
            self._take(state, about, tensors)
            return Restored(about["scores"], tuple(f"{damage}; going on from {folder.name}" for damage in damages))
        if damages:
            raise XreteError(f"{damages[0]}; no checkpoint there is whole, --fresh starts anew")
        return None

    def restore_optimisers(self, state: RunState) -> None:
        """Gives new optimisers what was restored, once, where the phase goes on in its middle."""
        restored, self._optimisers = self._optimisers, {}
        if state.progress.step:
            for name, values in restored.items():
                set_optimizer_state_dict(
                    state.trained(name),
                    state.optimisers[name],
                    values,
                    options=StateDictOptions(full_state_dict=True),
                )

    def _take(self, state: RunState, about: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        """Puts a state where the one is that was read."""
        for alias, name in about["aliases"].items():
            tensors[alias] = tensors[name]
        state.progress = Progress(**about["progress"])
        state.guard = Guard(**about.get("guard", {}))
        is_joint = self._config.warmup.order == "joint"
        for name, module in state.modules().items():
            if name in ("classifier", "typical") and state.begins("classifier") and not is_joint:
                continue  # still as it starts, perhaps in another shape: a sweep forks here
            start = f"{name}/"
            own = {key.removeprefix(start): value for key, value in tensors.items() if key.startswith(start)}
            set_model_state_dict(module, dict[str, Any](own), options=StateDictOptions(full_state_dict=True))
        state.queue.pointer, state.queue.valid = about["queue"]["pointer"], about["queue"]["valid"]
        self._best = about["best"]
        self._optimisers = {
            name: {"state": _nested(tensors, f"{OPTIMISER}{name}/"), "param_groups": groups}
            for name, groups in about["optimisers"].items()
        }

    def _write(self, folder: Path, tensors: dict[str, Tensor], about: dict[str, Any], card: dict[str, Any]) -> None:
        """Writes a checkpoint, at once or not at all.

        Raises:
            XreteError: it cannot be written.
        """
        prefix = "query/"
        weights = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
        with atomic_folder(folder) as aside:
            save_file(tensors, aside / TENSORS)
            write_model(aside / "model", self._start, weights, card)
            about["files"] = {TENSORS: file_digest(aside / TENSORS)}
            write_text(aside / STATE, json.dumps(about, indent=1, ensure_ascii=False) + "\n")


def read_checkpoint(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Reads a checkpoint, what it says and its tensors [...] by their names, and checks its digest.

    Raises:
        XreteError: it is damaged, or of a newer version.
    """
    try:
        state: dict[str, Any] = parse_json(read_text(folder / STATE, kind="checkpoint"))
        if state["schema"] != SCHEMA:
            raise XreteError(f"checkpoint {folder} has schema {state['schema']}, this version reads {SCHEMA}")
        file = folder / TENSORS
        if file_digest(file) != state["files"][file.name]:
            raise XreteError(f"checkpoint {folder} is damaged: {file.name} does not have the digest in state.json")
        return state, load_file(file)
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise XreteError(f"checkpoint {folder} is damaged ({type(error).__name__}: {error})") from error


def _check_settings(folder: Path, state: dict[str, Any], config: Config) -> None:
    """Refuses to go on with another config.

    Raises:
        UsageError: a setting differs that changes what comes out.
    """
    old, new = leaves(state["config"]), leaves(config.model_dump(mode="json"))
    changed = [
        key for key in sorted({*old, *new}) if old.get(key) != new.get(key) and key.split(".")[0] not in FREE
    ]
    if changed:
        shown = "; ".join(f"{key} was {old.get(key)!r}, is {new.get(key)!r}" for key in changed[:3])
        more = f"; and {len(changed) - 3} more" if len(changed) > 3 else ""
        raise UsageError(f"{folder} holds a run with other settings ({shown}{more}); use --fresh or another --out")


def leaves(values: dict[str, Any], path: str = "") -> dict[str, Any]:
    """Returns nested settings under their full keys."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= leaves(value, f"{path}{key}.") if isinstance(value, dict) else {f"{path}{key}": value}
    return flat


def _aliases(modules: Mapping[str, nn.Module]) -> dict[str, str]:
    """Returns the other names of weights that have several (tied ones), and the name that they are saved by."""
    first: dict[int, str] = {}
    aliases = {}
    for name_of_module, module in modules.items():
        for name, weight in module.named_parameters(remove_duplicate=False):
            full = f"{name_of_module}/{name}"
            if first.setdefault(id(weight), full) != full:
                aliases[full] = first[id(weight)]
    return aliases


def _nested(tensors: dict[str, Tensor], prefix: str) -> dict[str, dict[str, Tensor]]:
    """Undoes the flat names of an optimiser's state: weight/value to weight and value."""
    nested: dict[str, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        if key.startswith(prefix):
            weight, _, name = key.removeprefix(prefix).rpartition("/")
            nested.setdefault(weight, {})[name] = value
    return nested
