"""What the protocol is handed: trains copies of one model, keeps them on disk, and scores with them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file

from xrete.encoding.cache import NoCache
from xrete.encoding.embedder import Embedder, Probe, Progress, Side
from xrete.encoding.transformer import TransformerEncoder
from xrete.encoding.workers import SharedEncoder
from xrete.errors import UsageError, XreteError
from xrete.files import locked, remove_abandoned
from xrete.model import Role
from xrete.quiet import quiet
from xrete.shapes import load_shape
from xrete.shapes.contract import Part, TrainShape, roles_of
from xrete.training.finetune.job import Examples, Job, StageResult, StepWatch
from xrete.training.finetune.network import Network, Reader
from xrete.training.finetune.objectives import OBJECTIVES
from xrete.training.finetune.state import HEAD, TrainerFolder
from xrete.training.finetune.trainer import fine_tune, predict, take_weights


@dataclass
class Tuner:
    """Trains for one run.

    Attributes:
        encoder: The model, which stays as it is.
        folder: For trained models; those of an earlier run are used again.
        progress: Told of texts that trained models have read.
        watch: Told of every step of training.
        encoded: Texts that trained models have read.
        cached: 0: nothing is remembered of a trained model but its weights.
        truncated: None: it is not counted.
        seconds: None: training and reading are not told apart.
        probe: The fingerprint of the model that it starts from.
        chosen: What the stages of each run came to, by seed; of two halves one after the other.
    """

    encoder: TransformerEncoder | SharedEncoder
    folder: Path
    progress: Progress = lambda encoded, cached: None
    watch: StepWatch = lambda step: None
    encoded: int = 0
    cached: int = 0
    truncated: None = None
    seconds: None = None
    probe: Probe | None = None
    chosen: dict[int, list[StageResult]] = field(default_factory=dict)

    def train(self, job: Job) -> Tuned:
        """Trains, goes on with what an interrupted run has left, or opens what is done already.

        Raises:
            XreteError: the loss is not finite, or the folder cannot be written.
        """
        folder = self.folder / job.digest[:12]
        state = TrainerFolder(folder, leads=True)
        with locked(folder / ".lock", folder):
            remove_abandoned(folder)
            chosen = state.finished()
            if chosen is None:
                if isinstance(self.encoder, SharedEncoder):
                    chosen = self.encoder.everywhere(
                        partial(_train, job, folder), partial(_train, job, folder, self.watch)
                    )
                else:
                    chosen = fine_tune(self.encoder, job, folder, self.watch)
        self.chosen.setdefault(job.seed, []).extend(chosen)
        return Tuned(self, job, folder / "model")

    def take(self) -> None:
        """Is None: a transformer gives no answers."""

    def count(self, texts: int) -> None:
        """Notes texts that were read."""
        self.encoded += texts
        self.progress(texts, 0)


def _train(job: Job, folder: Path, *given: Any) -> list[StageResult]:
    """What every process of a launch runs; the encoder comes last, and before it, on the first one, who watches."""
    *watch, encoder = given
    return fine_tune(encoder, job, folder, watch[0] if watch else lambda step: None)


class Tuned:
    """A trained model.

    Attributes:
        is_encoder: It gives vectors (it is called), else scores of items (`scores`).
    """

    def __init__(self, tuner: Tuner, job: Job, folder: Path) -> None:
        """Opens the model.

        Args:
            tuner: Whose it is.
            job: What it was trained by.
            folder: Where it lies.

        Raises:
            XreteError: it is damaged.
        """
        before = tuner.encoder.own if isinstance(tuner.encoder, SharedEncoder) else tuner.encoder
        last = job.stages[-1]
        precision = next(before.model.parameters()).dtype
        try:
            with quiet():
                backbone = type(before.model).from_pretrained(folder, dtype=torch.float32)
            network = Network(backbone, before, last.stage, last.outputs, precision)
            take_weights(network, load_file(folder / HEAD))
        except Exception as error:  # transformers and safetensors each raise their own
            raise XreteError(f"{folder} is damaged ({error}); remove {folder.parent} and run again") from error
        self.is_encoder = OBJECTIVES[last.stage.objective].trains_encoder
        self._tuner = tuner
        self._objective = last.stage.objective
        self._shape = last.shape
        self._network = network.to(before.device).eval()
        self._batch_tokens = before.batch_tokens
        roles = roles_of(load_shape(last.shape))
        self._reader = Reader(before, last.stage, roles, torch.device(before.device))
        self._encoder = before.limited(max(self._reader.lengths))  # it was trained on no more
        self._encoder.model = backbone.to(before.device, precision).eval()
        self._encoder.head = network.extra
        self._encoder.on_progress = None
        sides = {role: Side(self._encoder.for_role(role), NoCache()) for role in self._encoder.prompts}
        self._embedder = Embedder(self._encoder, roles=sides)

    def for_role(self, role: Role) -> Callable[[Sequence[str]], NDArray[np.float32]]:
        """Returns what makes unit vectors, float32 [n, dimension], of texts of a role."""
        return partial(self, role=role)

    def __call__(self, texts: Sequence[str], role: Role | None = None) -> NDArray[np.float32]:
        """Returns unit vectors, float32 [texts, dimension], of texts of a role, or of none."""
        self._tuner.count(len(texts))
        return self._embedder(texts, role)

    def scores(self, part: Part) -> NDArray[np.float64]:
        """Returns what the head says of each item: [items, classes, labels or alternatives], or [items]."""
        shape = load_shape(self._shape)
        assert isinstance(shape, TrainShape)
        examples = Examples(shape, [part], self._objective)
        self._tuner.count(shape.count_texts(part.data))
        return predict(self._network, self._reader, examples, np.arange(len(examples)), self._batch_tokens)


def trainable(encoder: Any) -> TransformerEncoder | SharedEncoder:
    """Returns a model that can be fine-tuned.

    Raises:
        UsageError: it is no transformer that this machine can train.
    """
    if isinstance(encoder, TransformerEncoder | SharedEncoder):
        return encoder
    raise UsageError(
        "this model cannot be fine-tuned: it is no transformer whose weights are at hand; use --protocol probe or "
        "zero-shot"
    )
