"""What a run of fine-tuning leaves on disk: states to go on from, and the trained model.

state-STAGE-STEP/   weights, optimiser and progress of an unfinished run; the newest one counts
best-STAGE/         the weights that did best on held-out data so far
model/              the trained transformer, as transformers reads it, with its head beside it
tuned.json          what each stage came to; it is written last
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from xrete.errors import XreteError
from xrete.files import atomic_folder, atomic_path, parse_json, read_text, write_text
from xrete.quiet import quiet
from xrete.training.finetune.job import StageResult
from xrete.training.finetune.network import Network

WEIGHTS, OPTIMISER, PROGRESS = "network.safetensors", "optimiser.safetensors", "progress.json"
TUNED = "tuned.json"
HEAD = "head.safetensors"


@dataclass
class TrainerState:
    """Where a run stood.

    Attributes:
        stage: Number of its stage.
        step: Steps of the stage that were made.
        best, best_step, evals_since_best: Best value on held-out data, its step, and evaluations since then.
        done: What the stages before came to.
        weights: Of the network, where they were read.
        moments: Of the optimiser, likewise.
    """

    stage: int
    step: int
    best: float | None
    best_step: int
    evals_since_best: int
    done: list[StageResult]
    weights: dict[str, Tensor] = field(default_factory=dict, repr=False)
    moments: dict[str, Tensor] = field(default_factory=dict, repr=False)


class TrainerFolder:
    """The folder of one run."""

    def __init__(self, folder: Path, *, leads: bool) -> None:
        """Names the folder.

        Args:
            folder: The run's; made when it is needed.
            leads: Whether this process writes.
        """
        self.folder = folder
        self._leads = leads

    def newest(self) -> TrainerState | None:
        """Returns the newest state that is whole, or None; damaged ones are passed over."""
        for place in sorted(self.folder.glob("state-*"), reverse=True):
            try:
                progress = parse_json(read_text(place / PROGRESS))
                done = [StageResult(**stage) for stage in progress.pop("done")]
                weights, moments = load_file(place / WEIGHTS), load_file(place / OPTIMISER)
                return TrainerState(**progress, done=done, weights=weights, moments=moments)
            except (XreteError, OSError, ValueError, KeyError, TypeError, SafetensorError):
                continue
        return None

    def save(self, saved: TrainerState, network: Network, optimiser: torch.optim.Optimizer) -> None:
        """Writes a state, and removes the ones before it.

        Raises:
            XreteError: the disk is full, or not to be written on.
        """
        place = self.folder / f"state-{saved.stage:02}-{saved.step:09}"
        moments = {
            f"{number}/{name}": torch.as_tensor(value)
            for number, values in optimiser.state_dict()["state"].items()
            for name, value in values.items()
        }
        progress = {name: value for name, value in asdict(saved).items() if name not in ("weights", "moments")}

        with atomic_folder(place) as aside:
            save_file(_trained(network), aside / WEIGHTS)
            save_file(moments, aside / OPTIMISER)
            write_text(aside / PROGRESS, json.dumps(progress) + "\n")
        for old in self.folder.glob("state-*"):
            if old != place:
                shutil.rmtree(old, ignore_errors=True)

    def restore_optimiser(self, optimiser: torch.optim.Optimizer, saved: TrainerState) -> None:
        """Gives an optimiser the moments that were saved."""
        state: dict[int, dict[str, Tensor]] = {}
        for key, value in saved.moments.items():
            number, _, name = key.partition("/")
            state.setdefault(int(number), {})[name] = value
        optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})

    def keep_best(self, stage: int, network: Network) -> None:
        """Writes the best weights of a stage."""
        # A file, since no folder is replaced at once: a kill in between would lose what the state counts on.
        with atomic_path(self.folder / f"best-{stage:02}" / WEIGHTS) as file:
            save_file(_trained(network), file)

    def best(self, stage: int) -> dict[str, Tensor]:
        """Returns the best weights of a stage by their names, each of its own shape [...].

        Raises:
            XreteError: they are damaged.
        """
        file = self.folder / f"best-{stage:02}" / WEIGHTS
        try:
            return load_file(file)
        except (OSError, SafetensorError) as error:
            raise XreteError(f"{file} is damaged ({error}); remove {self.folder} and run again") from error

    def finish(self, network: Network, tokenizer: Any, done: list[StageResult]) -> None:
        """Writes the trained model, and removes what is needed no more."""
        backbone: Any = network.backbone
        if hasattr(backbone, "merge_and_unload"):
            backbone = backbone.merge_and_unload()
            network.backbone = backbone
        with atomic_folder(self.folder / "model") as aside:
            with quiet():
                backbone.save_pretrained(aside)
                tokenizer.save_pretrained(aside)
            rest = {x: y.contiguous() for x, y in network.state_dict().items() if not x.startswith("backbone.")}
            save_file(rest, aside / HEAD)

        write_text(self.folder / TUNED, json.dumps([asdict(stage) for stage in done], indent=1) + "\n")
        for old in (*self.folder.glob("state-*"), *self.folder.glob("best-*")):
            shutil.rmtree(old, ignore_errors=True)

    def finished(self) -> list[StageResult] | None:
        """Returns what each stage came to, where the run is done."""
        try:
            return [StageResult(**stage) for stage in parse_json(read_text(self.folder / TUNED))]
        except (XreteError, ValueError, TypeError):
            return None


def _trained(network: nn.Module) -> dict[str, Tensor]:
    """Returns the weights that are trained; the others are those of the model that was started from."""
    return {
        name: weight.detach().contiguous().clone()
        for name, weight in network.named_parameters()
        if weight.requires_grad
    }
