"""Where runs and their checkpoints lie; light, since naming a model must not load torch.

checkpoints/RUN/1-encoder-0002000/    a checkpoint: state.json, state.safetensors and model/, the encoder
checkpoints/RUN/best.json             the name of the best one, by held-out retrieval
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from xrete.errors import UsageError
from xrete.files import read_text

PHASES = ("encoder", "classifier", "em")
"""1a, 1b and 2 of the paper; a joint warm-up has no 1b."""
RUNS = Path("checkpoints")
"""Where runs lie, below the working folder."""
EMBEDDED = Path(str(files(__package__))) / "default"
"""The small encoder that comes with XRETE."""


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Attributes:
        phase: The phase that runs.
        step: How many of its steps are done.
        position: The sampler's, after the last of them.
    """

    phase: str
    step: int
    position: dict[str, int]

    @property
    def name(self) -> str:
        """Name of its checkpoint; names sort in the order of training."""
        return f"{PHASES.index(self.phase) + 1}-{self.phase}-{self.step:07d}"


def checkpoints(run: Path) -> list[Path]:
    """Returns the checkpoints in a run's folder, the oldest first."""
    return sorted(path.parent for path in run.glob("[1-9]-*/state.json"))


def best_of(run: Path) -> str | None:
    """Returns the name of a run's best checkpoint, if it has one."""
    file = run / "best.json"
    return json.loads(read_text(file))["checkpoint"] if file.is_file() else None


def find_encoder(checkpoint: str | None) -> Path:
    """Returns the folder of an encoder.

    Args:
        checkpoint: A run, whose best or else newest checkpoint is taken, a checkpoint, or an exported folder; None
            takes the run below `RUNS` that was written to last, or the embedded encoder where there is none.

    Raises:
        UsageError: there is none where the user says.
    """
    if checkpoint is None:
        states = sorted(RUNS.glob("*/[1-9]-*/state.json"), key=lambda path: path.stat().st_mtime)
        return find_encoder(str(states[-1].parents[1])) if states else EMBEDDED
    folder = Path(checkpoint).expanduser()
    if saved := checkpoints(folder):
        folder = folder / (best_of(folder) or saved[-1].name)
    for place in (folder, folder / "model"):
        if (place / "modules.json").is_file():
            return place
    raise UsageError(
        f"emmax:{checkpoint}: no checkpoint there; name the folder of a run, a checkpoint or an exported model"
    )
