"""The driver of a run: what every step of every phase does.

The phases themselves are in `loop`. What a step draws at random (dropout, masks, virtual examples) is a function of
(seed, phase, step, process), so a run that goes on from a checkpoint needs no generator's state.
"""

from __future__ import annotations

import contextlib
import math
import signal
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from xrete.encoding.transformer import CPU_BATCH_TOKENS, move
from xrete.errors import XreteError
from xrete.training.optim import decay_groups, lr_factor, seed_of
from xrete.training.team import Team

from .alarms import stale_keys
from .batches import Feed, Group, Grouping, Share, order_of
from .checkpoint import Checkpoints
from .config import Config
from .corpora import Batch, Prepared, Sampler
from .encoder import Masked
from .folders import Progress
from .gradient_cache import GradientCache, in_order
from .guard import PAIRS, SENTENCES, RunAwayError
from .log import Watch
from .masking import TokenMasker
from .scoring import Scorer
from .start import Start
from .state import RunState
from .step import Candidates, Step
from .tokens import Tokens

GPU_GROUP_TOKENS = 16_384
"""Padded tokens that run at once on a GPU."""


class Training:
    """The driver of a run: what its phases are made of.

    Attributes:
        config: Its settings.
        team: Its processes.
        state: What checkpoints keep of it.
        query: The encoder that is trained, and its head; this and what follows are parts of the state.
        keys: The momentum encoder.
        queue: The newest keys.
        classifier: G.
        typical: s_r.
        start: What it started from.
        watch: Where everything is logged.
        checkpoints: Where the state is saved.
        stopped: Whether the run ends after the step that is under way.
    """

    def __init__(
        self,
        config: Config,
        team: Team,
        start: Start,
        prepared: Prepared,
        checkpoints: Checkpoints,
        watch: Watch,
        scorer: Scorer,
    ) -> None:
        """Puts a run together, and goes on from the newest checkpoint if there is one."""
        self.config = config
        self.team = team
        self.start = start
        self.watch = watch
        self.checkpoints = checkpoints
        self._prepared = prepared
        self._scorer = scorer
        self.stopped = False
        self._held_out: Batch | None = None
        self._sharded = config.compute.sharding == "fsdp" and team.size > 1
        most = config.compute.group_tokens or (CPU_BATCH_TOKENS if self.on_cpu else GPU_GROUP_TOKENS)
        most = min(most, config.compute.cache_tokens or most)
        self._grouping = Grouping(start.tokenizer, start.max_length, most, even=self._sharded)
        torch.manual_seed(config.seed)
        self.state = state = RunState.draw(config, start.query, team.device)
        self.query, self.keys, self.queue = state.query, state.keys, state.queue
        self.classifier, self.typical = state.classifier, state.typical
        transformer = self.query.encoder.transformer
        if config.compute.checkpoint_activations:
            transformer.gradient_checkpointing_enable()
        if config.compute.compile:
            transformer.compile()
            self.keys.encoder.transformer.compile()
        self._module: nn.Module = self.query
        if self._sharded:
            team.shard(self.query, _layers(transformer))
            team.shard(self.keys.average, _layers(self.keys.encoder.transformer))
        embeddings = transformer.get_input_embeddings().weight.numel()
        self._parameters = sum(p.numel() for p in self.query.encoder.parameters()) - embeddings
        restored = checkpoints.restore(state)
        watch.rewind(state.progress, restored.scores if restored else [])
        for damage in restored.damages if restored else ():
            watch.warn(damage)

    # What the phases are made of, in the order of a step.

    def phase(
        self, name: str, steps: int, draw: Callable[[Sampler], Batch], trains: Sequence[str]
    ) -> Iterator[Step]:
        """Yields the steps of a phase that are not done yet; after each, logs, scores and saves as is due.

        The body of the loop over this generator is the step; what is due after it runs when the loop asks for the
        next one.

        Args:
            name: The phase's.
            steps: How many it has.
            draw: Draws a batch.
            trains: Which of "encoder" and "classifier" learn in it.

        Raises:
            KeyboardInterrupt: the user, or the scheduler, wants the run to end; the state is saved.
            RunAwayError: the guard of phase 2 stopped the run; the state is saved.
        """
        if self.state.is_past(name) or not steps:
            return
        if name == "em" and self.state.guard.has_tripped and self.config.watch.guard == "stop":
            raise RunAwayError(
                f"phase 2 ran away up to step {self.progress.step:,}, where it was stopped; change settings with "
                "--fresh or another --out, or go on as it is with --set watch.guard=warn"
            )
        first = self.progress.step if self.progress.phase == name else 0
        self.state.progress = Progress(name, first, self.progress.position)
        self.make_optimisers(name, trains)
        self.watch.begin(name, first, steps)
        if not first and name in ("encoder", "em") and (lag := stale_keys(self.config.encoder.key_momentum, steps)):
            self.watch.warn(lag)
        for number, share in enumerate(self.shares(draw, steps - first), start=first):
            self._set_rates(name, number, steps)
            step = self.make_step(name, number, share)
            yield step
            self.state.progress = Progress(name, number + 1, share.batch.position)
            self.watch.count(step)
            if self._after(step, steps):
                return

    def shares(self, draw: Callable[[Sampler], Batch], count: int) -> Feed:
        """Returns a feed of batches that goes on where the last finished step ended."""
        sampler = self.sampler()
        return Feed(lambda: draw(sampler), count, self.team, self._grouping)

    def sampler(self) -> Sampler:
        """Returns a sampler that goes on where the last finished step ended."""
        data = self.config.data
        return Sampler(
            self._prepared,
            seed=self.config.seed,
            parallel_exponent=data.parallel_exponent,
            monolingual_exponent=data.monolingual_exponent,
            position=self.progress.position or None,
        )

    def score(self, phase: str, number: int) -> bool:
        """Scores held-out retrieval; every process calls it.

        The first one works; all do the same where each holds but a part of the encoder.

        Returns:
            Whether this is the best so far.
        """
        best = False
        if self._scorer.tasks and (self.team.leads or self._sharded):
            best = self.watch.add_score(phase, number, self._scorer.score(self.encode_texts))
        return self.team.any(best)

    def guards(self, step: Step) -> bool:
        """Whether the guard of phase 2 looks at a step; the first is one, before which nothing was learned."""
        every = self.config.watch.guard_every
        return bool(every) and step.number % every == 0

    def held_out(self) -> tuple[Tensor, Tensor, Tensor]:
        """Returns held-out bitexts, then sentences: unit vectors [m, d], ids and partners' places, int64 [m]."""
        if self._held_out is None:
            self._held_out = self.sampler().held_out(PAIRS, SENTENCES)
        batch, device = self._held_out, self.team.device
        vectors = torch.from_numpy(self.encode_texts(batch.texts)).to(device)
        return vectors, move(np.array(batch.ids), device), move(batch.partners, device)

    def encode(self, step: Step) -> Tensor:
        """Returns the vectors of this process's sentences, gamma(x) of the query encoder, unit rows [b, d].

        Their gradient is carried on into the encoder by `learn`.
        """
        self.query.train()
        step.gradient_cache = GradientCache(self._module, self._micro_batches(step), step.share.order)
        return step.gradient_cache.vectors

    def hide(self, step: Step) -> None:
        """Corrupts this process's sentences, for a step that does nothing but predict the hidden tokens."""
        self.query.train()
        parts: list[tuple[list[Tokens], list[Masked]]] = [([], masked) for _, masked in self._micro_batches(step)]
        step.gradient_cache = GradientCache(self._module, parts, step.share.order[:0])

    @torch.no_grad()
    def encode_frozen(self, share: Share) -> Tensor:
        """Returns the vectors of all sentences of the global batch, without dropout and gradients, [B, d]."""
        self.query.eval()
        return self.team.gather(in_order(self.query(self._lay_out(share.groups))[0], share.order))

    @torch.no_grad()
    def encode_keys(self, step: Step) -> Tensor:
        """Moves the key encoder towards the query encoder, and returns the keys of the global batch, [B, d]."""
        self.keys.update(self.query.encoder)
        tokens = self._lay_out(step.share.groups, step.seed, "keys")
        return self.team.gather(in_order(self.keys(tokens), step.share.order))

    def candidates(self, step: Step, keys: Tensor) -> Candidates:
        """Puts the keys of the batch [B, d] and of the queue side by side, with which of them count for whom."""
        old, old_ids = self.queue.newest()
        vectors = torch.cat([keys, old])
        columns = torch.arange(len(vectors), device=keys.device)
        own = columns == step.rows.unsqueeze(1)
        allowed = ~own
        if self.config.loss.candidates == "queue":
            allowed &= columns >= len(keys)
        if self.config.loss.drop_duplicates:
            ids = torch.cat([step.ids, old_ids])
            allowed &= ids != step.ids[step.rows].unsqueeze(1)
        return Candidates(vectors, allowed, own)

    def learn(self, step: Step, *, encoder: Tensor | None = None, classifier: Tensor | None = None) -> None:
        """Takes one step of the optimisers on this process's part of the losses (Eq. 8), each a scalar.

        It goes backwards twice: from the losses to the classifier and to the sentence vectors, which are leaves
        (`GradientCache.vectors`); then from these vectors' gradients into the encoder.

        Args:
            step: The step.
            encoder: The encoder's loss, a scalar.
            classifier: The classifier's, a scalar.

        Raises:
            XreteError: a loss or a gradient is not finite; nothing was changed by this step.
        """
        losses = {
            name: loss for name, loss in (("encoder", encoder), ("classifier", classifier)) if loss is not None
        }
        if losses:
            torch.autograd.backward(list(losses.values()))
        if step.gradient_cache is not None:
            weight = 1.0 if step.phase == "mlm" else self.config.mlm.weight
            hidden = step.gradient_cache.backward(self.team, weight)
            if self._hides(step.phase):
                losses["mlm"] = hidden
        if classifier is not None:
            self.team.average_gradients(self.classifier)
        norms = {name: self.clip(self._trained(name)) for name in self.state.optimisers}
        shown = self.team.sum(torch.stack([loss.detach().to(self.team.device) for loss in losses.values()]))
        values = torch.cat([shown / self.team.size, torch.stack(list(norms.values()))]).tolist()  # the one wait
        names = [*(f"loss_{name}" for name in losses), *(f"norm_{name}" for name in norms)]
        step.metrics.update(zip(names, values, strict=True))
        wrong = [name for name, value in zip(names, values, strict=True) if not math.isfinite(value)]
        if wrong:
            raise XreteError(
                f"phase {step.phase}, step {step.number + 1}: {' and '.join(wrong)} not finite, the step was not "
                "taken; lower optimisation.encoder_rate or classifier_rate, or use compute.dtype = 'float32'"
            )
        for optimiser in self.state.optimisers.values():
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)

    # Everything else.

    @property
    def on_cpu(self) -> bool:
        """Whether this run computes on a CPU."""
        return self.team.device.type == "cpu"

    @property
    def is_joint(self) -> bool:
        """Whether phase 1 trains encoder and classifier together."""
        return self.config.warmup.order == "joint"

    @property
    def tokenizer(self) -> Any:
        """The encoder's tokenizer."""
        return self.start.tokenizer

    @property
    def progress(self) -> Progress:
        """The phase and step that come next."""
        return self.state.progress

    def begins(self, name: str) -> bool:
        """Whether a phase is still to begin: no step of it, or of a later one, is done."""
        return self.state.begins(name)

    def _trained(self, name: str) -> nn.Module:
        return self._module if name == "encoder" else self.classifier

    def make_optimisers(self, name: str, trains: Sequence[str]) -> None:
        """Makes the optimisers of a phase, or takes them from the checkpoint where it is in this phase."""
        plan = self.config.optimisation
        optimisers: dict[str, torch.optim.Optimizer] = {}
        if "encoder" in trains:
            self.query.use(vectors=name != "mlm", head=self._hides(name))
            if not self._sharded:  # anew, since processes wait for gradients of what learns
                self._module = self.team.replicate(self.query)
            groups = decay_groups(self.query.parameters(), plan.weight_decay)
            kind = torch.optim.AdamW if plan.encoder_optimiser == "adamw" else torch.optim.Adam
            if plan.encoder_optimiser == "adam":
                groups = [{"params": [parameter for group in groups for parameter in group["params"]]}]
            optimisers["encoder"] = kind(groups, lr=plan.encoder_rate, eps=plan.epsilon, fused=True)
        if "classifier" in trains:
            gaussians = [p for p in self.classifier.parameters() if p.requires_grad]
            optimisers["classifier"] = torch.optim.Adam(gaussians, lr=plan.classifier_rate)
        self.state.optimisers = optimisers
        self.checkpoints.restore_optimisers(self.state)

    def _set_rates(self, phase: str, number: int, steps: int) -> None:
        plan = self.config.optimisation
        peaks = {"encoder": plan.encoder_rate, "classifier": plan.classifier_rate}
        if phase == "em":
            own = {"encoder": self.config.em.encoder_rate, "classifier": self.config.em.classifier_rate}
            peaks |= {name: rate for name, rate in own.items() if rate is not None}
        share = lr_factor(number, steps, plan.schedule, plan.warmup)
        for name, optimiser in self.state.optimisers.items():
            for group in optimiser.param_groups:
                group["lr"] = peaks[name] * share

    def make_step(self, name: str, number: int, share: Share) -> Step:
        """Makes one process's part of a step ready: its rows, and what it draws at random."""
        device = self.team.device
        seed = seed_of(self.config.seed, name, number)
        rows = torch.arange(share.rows.start, share.rows.stop, device=device)
        return Step(
            name,
            number,
            share,
            rows,
            move(share.batch.partners[share.rows], device),
            move(np.array(share.batch.ids), device),
            torch.Generator().manual_seed(seed),
            seed_of(seed, "process", self.team.rank),
        )

    def _micro_batches(self, step: Step) -> list[tuple[list[Tokens], list[Masked]]]:
        """Splits this process's groups into parts whose activations fit: one, without `cache_tokens`."""
        groups, rows = step.share.groups, step.share.rows
        tokens, masked = self._lay_out(groups, step.seed, "queries"), []
        if self._hides(step.phase):
            shape = (len(step.share.batch.texts), self.start.max_length)
            seed = seed_of(self.config.seed, step.phase, step.number, "hidden")
            masker = TokenMasker(shape, self.tokenizer, self.start.layout, self.config.mlm, seed)
            masked = [
                masker(group, rows.start, self.team.device, seed_of(step.seed, "hidden", place))
                for place, group in enumerate(groups)
            ]
        longest = self.start.max_length if self._sharded else 0  # then all processes come to the same decision
        size = sum(len(group.ids) * max(longest, *group.lengths) for group in groups)
        if size <= (self.config.compute.cache_tokens or size):
            return [(tokens, masked)]
        return [([group], masked[place : place + 1]) for place, group in enumerate(tokens)]

    def _hides(self, phase: str) -> bool:
        """Whether a phase predicts hidden tokens."""
        return phase == "mlm" or self.config.mlm.weight > 0

    def _lay_out(self, groups: Sequence[Group], *seed: object) -> list[Tokens]:
        lay_out, device = self.start.layout, self.team.device
        return [
            lay_out(group.flat, group.lengths, device, seed_of(*seed, place)) for place, group in enumerate(groups)
        ]

    @torch.no_grad()
    def encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Encodes any sentences with the encoder as it is; unit rows [n, d]."""
        groups = self._grouping(list(texts))
        training = self.query.training
        self.query.eval()
        vectors = in_order(self.query(self._lay_out(groups))[0], order_of(groups))
        self.query.train(training)
        array: NDArray[np.float32] = vectors.cpu().numpy()
        return array

    def clip(self, module: nn.Module) -> Tensor:
        """Clips the gradient of a module; returns its norm before, a scalar."""
        norm = nn.utils.clip_grad_norm_(module.parameters(), self.config.optimisation.clip)
        whole: Tensor = norm.full_tensor() if hasattr(norm, "full_tensor") else norm  # spread by FSDP
        return whole.detach()

    def _after(self, step: Step, steps: int) -> bool:
        """Logs, scores and saves, as is due after a step; stops where somebody wants it.

        Returns:
            Whether the phase ends before its last step, since nothing gets better.
        """
        watch, done = self.config.watch, step.number + 1
        last = done == steps
        if self.watch.is_due(step):
            self.watch.log(step, self._parameters)
        stopped = self.team.any(self.stopped)
        runs_away = self._look(step)
        best = stale = False
        if last or runs_away or (watch.score_every and done % watch.score_every == 0):
            best = self.score(step.phase, done)
            stale = step.phase == "em" and self.team.any(self.watch.is_stale())
        stale |= bool(runs_away) and watch.guard == "best"
        if stale:
            self.state.progress = Progress(step.phase, steps, self.progress.position)
        ends = last or stale or stopped or bool(runs_away)
        if best or ends or done % watch.save_every == 0:
            card = self.watch.card(self.start.source, self.progress)
            if runs_away and watch.guard == "stop":
                card["stopped"] = True
            self.checkpoints.save(self.state, self.watch.scores, card, best=best)
        if runs_away and watch.guard == "stop":
            raise RunAwayError(runs_away)
        if stopped:
            raise KeyboardInterrupt
        return stale

    def _look(self, step: Step) -> str:
        """Lets the guard of phase 2 look; returns what it has to say when it trips, else nothing."""
        if step.look is None:
            return ""
        guard = self.state.guard
        before = guard.has_tripped
        guard.look(step.look)
        self.watch.add_look(step.phase, step.number + 1, step.look)
        if before or not guard.has_tripped:
            return ""
        text = f"step {step.number + 1:,}: {guard.explain(step.look, self.config.em.parallel_fraction)}"
        self.watch.warn(text)
        return text

    @contextlib.contextmanager
    def stoppable(self) -> Iterator[None]:
        """Lets Ctrl-C, and a scheduler's SIGTERM, end the run after the step that is under way.

        A second Ctrl-C ends it at once. A second SIGTERM does not: torchrun hands on what all processes have had.
        """

        def stop(number: int, frame: Any) -> None:
            if self.stopped and number == signal.SIGINT:
                raise KeyboardInterrupt
            self.stopped = True

        before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _layers(transformer: nn.Module) -> Sequence[nn.Module]:
    """Returns the layers of a transformer, if it has them where BERT has."""
    return getattr(getattr(transformer, "encoder", None), "layer", ())
