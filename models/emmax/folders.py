"""Where runs and their checkpoints lie; light, since naming a model must not load torch.

checkpoints/RUN/1-encoder-0002000/    a checkpoint: state.json, state.safetensors and model/, the encoder
checkpoints/RUN/log.jsonl             all that was measured
checkpoints/RUN/config.toml           all settings
checkpoints/RUN/corpora/              the prepared text, and the tokenizer of an encoder from random weights
"""

from __future__ import annotations

import shutil
from contextlib import suppress
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from xrete.errors import DataError, UsageError
from xrete.files import parse_json, read_text

from ..weights import named_folder

PHASES = ("mlm", "encoder", "classifier", "em")
"""0, for encoders from random weights; then 1a, 1b and 2 of the paper. A joint warm-up has no 1b."""
RUNS = Path("checkpoints")
"""Where runs lie, below the working folder."""
STATE, LOG, SETTINGS = "state.json", "log.jsonl", "config.toml"
"""Files of checkpoints, and of runs."""
TRAINING = "training.json"
"""How an encoder was trained, beside its weights."""
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
        return f"{PHASES.index(self.phase)}-{self.phase}-{self.step:07d}"


def checkpoints(run: Path) -> list[Path]:
    """Returns the checkpoints in a run's folder, the oldest first."""
    return sorted(path.parent for path in run.glob(f"[0-9]-*/{STATE}"))


def best_of(run: Path) -> str | None:
    """Returns the name of a run's best checkpoint by held-out retrieval, as the newest that can be read says."""
    for folder in reversed(checkpoints(run)):
        with suppress(DataError, ValueError, KeyError):
            name = parse_json(read_text(folder / STATE))["best"]
            return name if name and (run / name).is_dir() else None
    return None


def clear(run: Path) -> None:
    """Throws a run away, but for its prepared corpora."""
    for folder in [*checkpoints(run), run / "tensorboard"]:
        shutil.rmtree(folder, ignore_errors=True)
    for name in (LOG, SETTINGS):
        (run / name).unlink(missing_ok=True)


def find_encoder(checkpoint: str | None) -> Path:
    """Returns the folder of an encoder.

    Args:
        checkpoint: A run, whose best or else newest checkpoint is taken, a checkpoint, or an exported folder;
            "embedded"; None takes the run below `RUNS` that was written to last, or else the embedded encoder.

    Raises:
        UsageError: there is none where the user says.
    """
    if checkpoint is None:
        states = sorted(RUNS.glob(f"*/[0-9]-*/{STATE}"), key=lambda path: path.stat().st_mtime)
        return find_encoder(str(states[-1].parents[1])) if states else EMBEDDED
    folder = EMBEDDED if checkpoint == "embedded" else named_folder(checkpoint)
    if saved := checkpoints(folder):
        folder = folder / (best_of(folder) or saved[-1].name)
    for place in (folder, folder / "model"):
        if (place / "modules.json").is_file():
            return place
    raise UsageError(
        f"emmax:{checkpoint}: no checkpoint there; name the folder of a run, a checkpoint or an exported model"
    )
