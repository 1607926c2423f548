"""Checkpoints: everything that a run is, written at once or not at all, and found again.

    state.json          progress, config, corpora, scores, digest of the other file
    state.safetensors   weights, key encoder, queue, classifier, s_r, optimisers
    model/              the encoder as a folder of sentence-transformers, with its card

Whole tensors are saved whatever the sharding, so a run may go on with another number of processes.
"""

from __future__ import annotations

import json
import shutil
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
from .ranks import ORDER
from .runs import Progress, best_of, checkpoints

if TYPE_CHECKING:
    from .training import Training

SCHEMA = "xrete/emmax/1"
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
        self._optimisers: dict[str, dict[str, Any]] = {}

    def save(self, run: Training, *, best: bool = False) -> None:
        """Writes the run as it is, and removes older ones; every process calls it, the first one writes.

        Raises:
            XreteError: the disk is full, or not to be written on.
        """
        folder = self.folder / run.progress.name
        tensors, aliases = _flat(
            {name: get_model_state_dict(module, options=WHOLE) for name, module in run.modules().items()}
        )
        groups = {}
        for name, optimiser in run.optimisers.items():
            found: dict[str, Any] = get_optimizer_state_dict(_trained(run, name), optimiser, options=WHOLE)
            groups[name] = found.get("param_groups", [])
            for weight, values in found.get("state", {}).items():
                tensors |= {f"{OPTIMISER}{name}/{weight}/{key}": torch.as_tensor(v) for key, v in values.items()}
        if run.team.leads:
            state = {
                "schema": SCHEMA,
                "rank_order": ORDER,
                "progress": asdict(run.progress),
                "queue": {"pointer": run.queue.pointer, "valid": run.queue.valid},
                "aliases": aliases,
                "optimisers": groups,
                "config": run.config.model_dump(mode="json"),
                "xrete": xrete.__version__,
                "torch": torch.__version__,
                "scores": run.watch.scores,
            }
            try:
                self._write(folder, run, tensors, state)
                if best:
                    write_text(self.folder / "best.json", json.dumps({"checkpoint": folder.name}) + "\n")
                self._prune()
            except OSError as error:
                raise write_error(folder, error) from error
        run.team.wait()

    def restore(self, run: Training) -> bool:
        """Takes the state of the newest checkpoint that is whole; says on the way which are not.

        Raises:
            UsageError: the run was made with other settings.
        """
        for folder in reversed(checkpoints(self.folder)):
            try:
                state, tensors = _read(folder)
            except XreteError as damage:
                run.watch.warn(f"{damage}; taking the one before")
                continue
            _check_settings(self.folder, state, run.config)
            for alias, name in state["aliases"].items():
                tensors[alias] = tensors[name]
            for name, module in run.modules().items():
                own = {
                    key.removeprefix(f"{name}/"): value
                    for key, value in tensors.items()
                    if key.startswith(f"{name}/")
                }
                set_model_state_dict(module, dict[str, Any](own), options=StateDictOptions(full_state_dict=True))
            run.queue.pointer, run.queue.valid = state["queue"]["pointer"], state["queue"]["valid"]
            run.progress = Progress(**state["progress"])
            run.watch.rewind(run.progress, state["scores"])
            self._optimisers = {
                name: {"state": _nested(tensors, f"{OPTIMISER}{name}/"), "param_groups": groups}
                for name, groups in state["optimisers"].items()
            }
            return True
        return False

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
        """Writes into a folder aside, which becomes the checkpoint once all is on the disk."""
        aside = folder.with_name(f".{folder.name}.part")
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True)
        save_file(tensors, aside / "state.safetensors")
        weights = {
            name.removeprefix("query/"): value for name, value in tensors.items() if name.startswith("query/")
        }
        write_model(aside / "model", run.start, weights, run.watch.card(run))
        state["files"] = {"state.safetensors": file_digest(aside / "state.safetensors")}
        write_text(aside / "state.json", json.dumps(state, indent=1, ensure_ascii=False) + "\n")
        shutil.rmtree(folder, ignore_errors=True)
        aside.rename(folder)

    def _prune(self) -> None:
        best = best_of(self.folder)
        for folder in checkpoints(self.folder)[: -self._keep]:
            if folder.name != best:
                shutil.rmtree(folder)


def _trained(run: Training, name: str) -> nn.Module:
    return run.query if name == "encoder" else run.classifier


def _read(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Reads a checkpoint and checks its digest.

    Raises:
        XreteError: it is damaged, or of a newer version.
    """
    try:
        state: dict[str, Any] = json.loads(read_text(folder / "state.json", kind="checkpoint"))
        if state["schema"] != SCHEMA:
            raise XreteError(f"checkpoint {folder} has schema {state['schema']}, this version reads {SCHEMA}")
        file = folder / "state.safetensors"
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
    old, new = _leaves(state["config"]), _leaves(config.model_dump(mode="json"))
    changed = [
        key for key in sorted({*old, *new}) if old.get(key) != new.get(key) and key.split(".")[0] not in FREE
    ]
    if changed:
        shown = "; ".join(f"{key} was {old.get(key)!r}, is {new.get(key)!r}" for key in changed[:3])
        more = f"; and {len(changed) - 3} more" if len(changed) > 3 else ""
        raise UsageError(f"{folder} holds a run with other settings ({shown}{more}); use --fresh or another --out")


def _leaves(values: dict[str, Any], path: str = "") -> dict[str, Any]:
    leaves: dict[str, Any] = {}
    for key, value in values.items():
        leaves |= _leaves(value, f"{path}{key}.") if isinstance(value, dict) else {f"{path}{key}": value}
    return leaves


def _flat(states: dict[str, dict[str, Any]]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Names all tensors by module; those that share memory (tied weights) are kept once, with their other names."""
    tensors: dict[str, Tensor] = {}
    aliases: dict[str, str] = {}
    seen: dict[tuple[int, torch.Size], str] = {}
    for module, state in states.items():
        for name, value in state.items():
            whole = value.contiguous()
            place = (whole.data_ptr(), whole.shape)
            if whole.numel() and place in seen:
                aliases[f"{module}/{name}"] = seen[place]
            else:
                seen[place] = f"{module}/{name}"
                tensors[f"{module}/{name}"] = whole
    return tensors, aliases


def _nested(tensors: dict[str, Tensor], prefix: str) -> dict[str, dict[str, Tensor]]:
    """Undoes the flat names of an optimiser's state: weight/value to weight and value."""
    nested: dict[str, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        if key.startswith(prefix):
            weight, _, name = key.removeprefix(prefix).rpartition("/")
            nested.setdefault(weight, {})[name] = value
    return nested
