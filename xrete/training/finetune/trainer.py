"""The loop of fine-tuning: one for every objective. A run that was killed goes on where it was, bit for bit."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, distributed, nn

from xrete.encoding.transformer import plan
from xrete.errors import XreteError
from xrete.shapes import load_shape
from xrete.shapes.contract import roles_of
from xrete.training.finetune.job import Examples, Job, StageJob, StageResult, StepWatch, TrainerStep
from xrete.training.finetune.network import ItemTokens, Network, Reader, open_backbone
from xrete.training.finetune.objectives import OBJECTIVES
from xrete.training.finetune.state import TrainerFolder, TrainerState
from xrete.training.optim import Schedule, decay_groups, lr_factor, seed_of
from xrete.training.team import Team

if TYPE_CHECKING:
    from xrete.encoding.transformer import TransformerEncoder

WINDOW = 64
"""Batches whose items are sorted by length among themselves, so that little is padding and order stays random."""
SAVE_EVERY = 500
"""Steps between two states on disk, where held-out data is not scored more often."""
SCHEDULES: dict[str, Schedule] = {"linear": "linear", "none": "constant"}
"""How the rate of a stage falls, by what recipes say."""
MOST_TOKENS = 8_192
"""Padded tokens whose activations are held at once: about 8 GB of XLM-R large in bfloat16."""


def fine_tune(encoder: TransformerEncoder, job: Job, folder: Path, watch: StepWatch) -> list[StageResult]:
    """Trains a copy of a model, or goes on with what the folder holds; every process of a launch calls it.

    Args:
        encoder: The model; it stays as it is.
        job: What to do.
        folder: For the states of the run; afterwards it holds the trained model.
        watch: Told of every step.

    Returns:
        What each stage came to.

    Raises:
        UsageError: the model's precision cannot be trained in.
        XreteError: a loss is not finite, or the folder cannot be written.
    """
    team = Team.join(encoder.device)
    state = TrainerFolder(folder, leads=team.leads)
    saved = state.newest()
    done: list[StageResult] = list(saved.done) if saved else []
    backbone, precision = open_backbone(encoder, job.lora)
    start = copy.copy(encoder)
    network = None
    for number, stage in enumerate(job.stages):
        if saved and saved.stage > number:
            continue
        torch.manual_seed(seed_of(job.seed, number))  # of the head's weights
        before, network = network, Network(backbone, start, stage.stage, stage.outputs, precision)
        network.to(encoder.device)
        if saved:
            take_weights(network, saved.weights)
        elif before is not None and before.head is not None and _share_a_head(job.stages[number - 1], stage):
            assert network.head is not None
            network.head.load_state_dict(before.head.state_dict())
        done.append(StageTrainer(network, start, stage, job.seed, number, team, state, watch).train(saved, done))
        saved = None
        # What exchanges the gradients of a stage stays with the weights that it was made for.
        backbone = copy.deepcopy(network.backbone) if team.size > 1 else network.backbone
        start.head = network.extra or start.head
    assert network is not None
    if team.leads:
        state.finish(network, encoder.tokenizer, done)
    team.wait()
    return done


def _share_a_head(before: StageJob, stage: StageJob) -> bool:
    """Returns whether a stage goes on with the head of the one before, as XTREME does from SIQa to COPA."""
    heads = [(job.stage.objective, job.stage.head, job.outputs) for job in (before, stage)]
    return heads[0] == heads[1]


def take_weights(network: Network, weights: dict[str, Tensor]) -> None:
    """Gives a network the weights that were trained, tensors [...] by name; it keeps the others.

    Args:
        network: Of the stage that they were trained in.
        weights: By their names, each of its own shape [...].

    Raises:
        XreteError: they are another network's.
    """
    if unknown := network.load_state_dict(weights, strict=False).unexpected_keys:
        raise XreteError(f"the saved weights have {unknown[0]}, which the network has not; run again with --force")


@dataclass
class _Best:
    value: float | None = None
    step: int = 0
    evals_since_best: int = 0
    """Evaluations on held-out data since then."""


class StageTrainer:
    """One stage of a run."""

    def __init__(
        self, network: Network, encoder: TransformerEncoder, job: StageJob, seed: int, number: int, team: Team,
        state: TrainerFolder, watch: StepWatch,
    ) -> None:  # fmt: skip
        self._network = network
        self._wrapped = team.replicate(network)
        self._job = job
        self._stage = job.stage
        self._objective = OBJECTIVES[job.stage.objective]
        self._seed = seed
        self._number = number
        self._team = team
        self._state = state
        self._watch = watch
        self._device = torch.device(encoder.device)
        self._reader = Reader(encoder, job.stage, roles_of(load_shape(job.shape)), self._device)
        # The limit of a processor is about its cache, not its memory, and small batches fill gradients often.
        on_cpu = self._device.type == "cpu"
        self._batch_tokens = MOST_TOKENS if on_cpu else min(encoder.batch_tokens, MOST_TOKENS)
        self._steps = job.steps
        self._optimiser = self._make_optimiser()
        self._best = _Best()

    def train(self, resumed: TrainerState | None, before: Sequence[StageResult]) -> StageResult:
        """Makes all steps that are not made yet, and leaves the network with the weights that are kept."""
        stage, job, step = self._stage, self._job, 0
        if resumed:
            step = resumed.step
            self._best = _Best(resumed.best, resumed.best_step, resumed.evals_since_best)
            self._state.restore_optimiser(self._optimiser, resumed)
        evaluate_every = stage.evaluate_every or job.epoch_steps
        while step < self._steps and not self._out_of_patience():
            for rows in self._batches(step):
                loss = self.step(rows, step)
                step += 1
                self._watch(TrainerStep(stage.name, step, self._steps, loss, self._shown()))
                is_due = stage.select and (step % evaluate_every == 0 or step == self._steps)
                if is_due:
                    self._evaluate(step)
                if (is_due or step % SAVE_EVERY == 0) and self._team.leads:
                    self._save(step, before)
                if self._out_of_patience():
                    break
        if stage.select:
            self._team.wait()  # the first process has written them
            take_weights(self._network, self._state.best(self._number))
        kept = self._best.step if stage.select else step
        return StageResult(stage.name, len(job.examples), step, kept, self._shown(), job.languages)

    def step(self, rows: NDArray[np.intp], step: int) -> float:
        """Makes one step on a global batch, by its rows [batch]; returns its mean loss."""
        stage, team = self._stage, self._team
        for group in self._optimiser.param_groups:
            group["lr"] = stage.rate * lr_factor(step, self._steps, SCHEDULES[stage.decay], stage.warmup)
        own = rows[team.rank :: team.size]
        self._wrapped.train()
        total = torch.zeros((), device=self._device)
        tokens = self._tokens(self._job.examples, own if len(own) else rows[:1])
        parts = self._parts(tokens, len(own))
        for number, part in enumerate(parts):
            torch.manual_seed(seed_of(self._seed, self._number, step, team.rank, number))  # dropout
            if team.size > 1:
                self._wrapped.require_backward_grad_sync = number == len(parts) - 1  # type: ignore[assignment]
            loss = self._wrapped(self._reader.pad(tokens, part), team)
            (loss * (team.size / len(rows))).backward()  # processes take the mean of their gradients
            total += loss.detach()
        mean = float(team.sum(total)) / len(rows)
        norm = nn.utils.clip_grad_norm_(self._network.parameters(), stage.clip)
        if not (math.isfinite(mean) and math.isfinite(float(norm))):
            raise XreteError(
                f"fine-tuning, stage {stage.name}, step {step + 1}: the loss is {mean:.3g} and the gradient's norm "
                f"{float(norm):.3g}; use a lower rate (--set rate=…) or --dtype float32"
            )
        self._optimiser.step()
        self._optimiser.zero_grad(set_to_none=True)
        return mean

    def _evaluate(self, step: int) -> None:
        """Scores held-out data, and keeps the weights if they are the best so far."""
        value = self._dev_value()
        self._best.evals_since_best += 1
        if self._best.value is None or value > self._best.value:
            self._best = _Best(value, step)
            if self._team.leads:
                self._state.keep_best(self._number, self._network)

    def _dev_value(self) -> float:
        """Returns the metric on held-out data, or minus the loss where items have no scores; more is better."""
        job, team = self._job, self._team
        held_out = job.held_out
        if not self._objective.scores_items:
            return -self._dev_loss(held_out)
        own = np.arange(len(held_out))[team.rank :: team.size]
        scores = predict(self._network, self._reader, held_out, own, self._batch_tokens)
        if team.size > 1:
            shares: list[Any] = [None] * team.size
            distributed.all_gather_object(shares, scores)
            scores = np.empty((len(held_out), *scores.shape[1:]))
            for rank, share in enumerate(shares):
                scores[rank :: team.size] = share
        return job.judge(scores)

    def _dev_loss(self, held_out: Examples) -> float:
        """The mean loss, in batches of training's size, the same for any number of processes."""
        alone = Team(0, 1, self._device)
        self._network.eval()
        total = 0.0
        with torch.inference_mode():
            for start in range(0, len(held_out), self._stage.batch):
                rows = np.arange(start, min(start + self._stage.batch, len(held_out)))
                batch = self._reader.pad(self._tokens(held_out, rows), range(len(rows)))
                total += float(self._network(batch, alone))
        return total / len(held_out)

    def _batches(self, step: int) -> Iterator[NDArray[np.intp]]:
        """Yields the rows of each global batch of an epoch, from a step on; items of like length come together."""
        epoch, skip = divmod(step, self._job.epoch_steps)
        random = np.random.default_rng([self._seed, self._number, epoch])
        order = random.permutation(len(self._job.examples))
        if self._stage.one_language:  # whichever of them comes first
            order = order[np.sort(np.unique(self._job.examples.names[order], return_index=True)[1])]
        lengths, size = self._job.examples.lengths, self._stage.batch
        batches: list[NDArray[np.intp]] = []
        for start in range(0, len(order), size * WINDOW):
            window = order[start : start + size * WINDOW]
            window = window[np.argsort(lengths[window], kind="stable")]
            batches += [window[i : i + size] for i in range(0, len(window), size)]
        return (batches[place] for place in random.permutation(len(batches))[skip:])

    def _parts(self, tokens: ItemTokens, count: int) -> list[list[int]]:
        """Splits a process's items so that activations fit, where the objective allows it."""
        if self._objective.whole_batch or not count:
            return [list(range(count))]
        return [part.tolist() for part in plan(tokens.lengths, self._batch_tokens)]

    def _tokens(self, examples: Examples, rows: NDArray[np.intp]) -> ItemTokens:
        return self._reader.tokenise(examples.segments(rows), examples.targets[rows])

    def _make_optimiser(self) -> torch.optim.AdamW:
        """AdamW without decay of biases and layer normalisation."""
        groups = decay_groups(self._network.parameters(), self._stage.weight_decay)
        return torch.optim.AdamW(groups, lr=self._stage.rate, eps=1e-8, fused=self._device.type in ("cpu", "cuda"))

    def _out_of_patience(self) -> bool:
        return bool(self._stage.patience) and self._best.evals_since_best >= self._stage.patience

    def _shown(self) -> float | None:
        """Returns the best value as the metric has it, or the lowest loss."""
        if self._best.value is None or (self._job.higher_is_better and self._objective.scores_items):
            return self._best.value
        return -self._best.value

    def _save(self, step: int, before: Sequence[StageResult]) -> None:
        best = self._best
        saved = TrainerState(self._number, step, best.value, best.step, best.evals_since_best, list(before))
        self._state.save(saved, self._network, self._optimiser)


def predict(
    network: Network, reader: Reader, examples: Examples, rows: NDArray[np.intp], batch_tokens: int
) -> NDArray[np.float64]:
    """Returns what a network says of the items at `rows`, in their order: [rows, scores], or [rows]."""
    network.eval()
    lengths = examples.lengths[rows]
    order = np.argsort(-lengths, kind="stable")
    scores: list[Tensor] = []
    places: list[NDArray[np.intp]] = []
    with torch.inference_mode():
        for start in range(0, len(order), WINDOW):
            window = order[start : start + WINDOW]
            chosen = rows[window]
            tokens = reader.tokenise(examples.segments(chosen), examples.targets[chosen])
            for part in plan(tokens.lengths, batch_tokens):
                scores.append(network.scores(reader.pad(tokens, part.tolist())))
                places.append(window[part])
    array = torch.cat(scores).double().cpu().numpy()
    result = np.empty_like(array)
    result[np.concatenate(places)] = array
    return result
