"""Checkpoints: everything that a run is, written at once or not at all, and found again.

    state.json          progress, config, digest of the corpora, scores, which is the best, digest of the other file
    state.safetensors   weights, key encoder, queue, classifier, s_r, optimisers
    model/              the encoder as a folder of sentence-transformers, with its card

Whole tensors are saved whatever the sharding, so a run may go on with another number of processes.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
from xrete.files import file_digest, read_text, write_error, write_text

from .config import Config
from .export import write_model
from .folders import STATE, Progress, checkpoints
from .ranks import ORDER

if TYPE_CHECKING:
    from .training import Training

SCHEMA = "xrete/emmax/1"
TENSORS = "state.safetensors"
WHOLE = StateDictOptions(full_state_dict=True, cpu_offload=True)
OPTIMISER = "optimiser/"
FREE = ("compute", "watch")
"""Sections that may change when a run goes on: they do not change what comes out."""


class Checkpoints:
    """The checkpoints of one run."""

    def __init__(self, folder: Path, keep: int) -> None:
        """Names the run's folder.

        Args:
            folder: The run's.
            keep: How many of the newest stay; the best stays, too.
        """
        self.folder = folder
        self._keep = keep
        self._best: str | None = None
        self._optimisers: dict[str, dict[str, Any]] = {}

    def save(self, run: Training, *, best: bool = False) -> None:
        """Writes the run as it is, and removes older ones; every process calls it, the first one writes.

        Args:
            run: The run.
            best: Whether it is the best so far.

        Raises:
            XreteError: the disk is full, or not to be written on.
        """
        folder = self.folder / run.progress.name
        modules = run.modules()
        aliases = _aliases(modules)
        tensors = {
            f"{module}/{name}": torch.as_tensor(value).contiguous()
            for module in modules
            for name, value in get_model_state_dict(modules[module], options=WHOLE).items()
            if f"{module}/{name}" not in aliases
        }
        groups = {}
        for name, optimiser in run.optimisers.items():
            found: dict[str, Any] = get_optimizer_state_dict(_trained(run, name), optimiser, options=WHOLE)
            groups[name] = found.get("param_groups", [])
            for weight, values in found.get("state", {}).items():
                tensors |= {f"{OPTIMISER}{name}/{weight}/{key}": torch.as_tensor(v) for key, v in values.items()}
        if run.team.leads:
            self._best = folder.name if best else self._best
            state = {
                "schema": SCHEMA,
                "rank_order": ORDER,
                "progress": asdict(run.progress),
                "queue": {"pointer": run.queue.pointer, "valid": run.queue.valid},
                "aliases": aliases,
                "optimisers": groups,
                "config": run.config.model_dump(mode="json"),
                "corpora": run.corpora,
                "xrete": xrete.__version__,
                "torch": torch.__version__,
                "scores": run.watch.scores,
                "best": self._best,
            }
            self._write(folder, run, tensors, state)
            done = [one for one in checkpoints(self.folder) if one.name <= folder.name]  # later ones are damaged
            for old in done[: -self._keep]:
                if old.name != self._best:
                    shutil.rmtree(old)
        run.team.wait()

    def restore(self, run: Training) -> bool:
        """Takes the state of the newest checkpoint that is whole; says which are not.

        Returns:
            Whether there is a checkpoint.

        Raises:
            UsageError: the run was made with other settings, or on other text.
            XreteError: none is whole.
        """
        damages = []
        for folder in reversed(checkpoints(self.folder)):
            try:
                state, tensors = _read(folder)
            except XreteError as damage:
                damages.append(str(damage))
                continue
            _check_settings(self.folder, state, run.config)
            if state["corpora"] != run.corpora:
                raise UsageError(f"{self.folder} holds a run on other text; use --fresh or another --out")
            self._take(run, state, tensors)
            for found in damages:
                run.watch.warn(f"{found}; going on from {folder.name}")
            return True
        if damages:
            raise XreteError(f"{damages[0]}; no checkpoint there is whole, --fresh starts anew")
        return False

    def _take(self, run: Training, state: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        """Puts a run into the state that was read."""
        for alias, name in state["aliases"].items():
            tensors[alias] = tensors[name]
        run.progress = Progress(**state["progress"])
        for name, module in run.modules().items():
            if name in ("classifier", "typical") and run.begins("classifier") and not run.is_joint:
                continue  # still as it starts, perhaps in another shape: a sweep forks here
            start = f"{name}/"
            own = {key.removeprefix(start): value for key, value in tensors.items() if key.startswith(start)}
            set_model_state_dict(module, dict[str, Any](own), options=StateDictOptions(full_state_dict=True))
        run.queue.pointer, run.queue.valid = state["queue"]["pointer"], state["queue"]["valid"]
        run.watch.rewind(run.progress, state["scores"])
        self._best = state["best"]
        self._optimisers = {
            name: {"state": _nested(tensors, f"{OPTIMISER}{name}/"), "param_groups": groups}
            for name, groups in state["optimisers"].items()
        }

    def restore_optimisers(self, run: Training) -> None:
        """Gives new optimisers the restored state, once, where the phase goes on in its middle."""
        restored, self._optimisers = self._optimisers, {}
        if run.progress.step:
            for name, state in restored.items():
                optimiser = run.optimisers[name]
                set_optimizer_state_dict(
                    _trained(run, name), optimiser, state, options=StateDictOptions(full_state_dict=True)
                )

    def _write(self, folder: Path, run: Training, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
        """Writes into a folder aside, which becomes the checkpoint once all is on the disk.

        Raises:
            XreteError: it cannot be written; nothing of it stays.
        """
        aside = self.folder / ".part"
        prefix = "query/"
        weights = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
        try:
            shutil.rmtree(aside, ignore_errors=True)  # of a run that was killed
            aside.mkdir(parents=True)
            save_file(tensors, aside / TENSORS)
            write_model(aside / "model", run.start, weights, run.watch.card(run))
            state["files"] = {TENSORS: file_digest(aside / TENSORS)}
            write_text(aside / STATE, json.dumps(state, indent=1, ensure_ascii=False) + "\n")
            shutil.rmtree(folder, ignore_errors=True)  # a damaged one
            aside.rename(folder)
        except OSError as error:
            raise write_error(folder, error) from error
        except SafetensorError as error:
            raise write_error(folder, OSError(str(error))) from error
        finally:
            shutil.rmtree(aside, ignore_errors=True)


def _trained(run: Training, name: str) -> nn.Module:
    return run.query if name == "encoder" else run.classifier


def _read(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Reads a checkpoint and checks its digest.

    Raises:
        XreteError: it is damaged, or of a newer version.
    """
    try:
        state: dict[str, Any] = json.loads(read_text(folder / STATE, kind="checkpoint"))
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
    found: dict[str, Any] = {}
    for key, value in values.items():
        found |= leaves(value, f"{path}{key}.") if isinstance(value, dict) else {f"{path}{key}": value}
    return found


def _aliases(modules: Mapping[str, nn.Module]) -> dict[str, str]:
    """Returns the other names of weights that have several (tied ones), and the name that they are saved by."""
    first: dict[int, str] = {}
    aliases = {}
    for module, found in modules.items():
        for name, weight in found.named_parameters(remove_duplicate=False):
            full = f"{module}/{name}"
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
