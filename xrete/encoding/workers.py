"""Several processes, one encoder: `torchrun` and `accelerate launch` start one process a GPU.

The first process runs the harness. The others call `serve_workers`, hold a copy of whatever model the first one
opens, encode their share of every chunk, and train on their share of every batch. Texts and vectors travel over the
CPU (gloo): next to the transformer that costs nothing, and the workers may wait for hours while the first process
scores, which NCCL does not allow.
"""

from __future__ import annotations

import atexit
import copy
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xrete.encoding.transformer import TransformerEncoder
from xrete.errors import XreteError
from xrete.model import Role, refuse_string

Build = Callable[[], TransformerEncoder]
"""Opens a model; sent to the workers, so a `functools.partial` of a function that can be imported, no closure."""

PATIENCE = timedelta(seconds=20)
"""How long processes wait for each other at the end of what they do together, which is the same for all."""
FOREVER = timedelta(days=30)
"""The first process may score for hours while the others have nothing to do."""

Work = Callable[[TransformerEncoder], Any]
"""What a process does with its copy of the model."""


def open_encoder(build: Build) -> TransformerEncoder | SharedEncoder:
    """Opens a model on this process, or on every process of the launch after `serve_workers`."""
    return build() if _team is None else SharedEncoder(build, _team)


def serve_workers() -> bool:
    """Joins the processes of a launch; every process calls it once, before anything else.

    Returns:
        False on the first process, and where there is only one: go on. True on the others, once the first has
        ended (well or with an exception): there is nothing left to do.
    """
    global _team
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return False
    import torch.distributed.nn  # before there is a group, to which defaults of its functions would hold on
    from accelerate import PartialState
    from torch import distributed

    state = PartialState(cpu=not torch.cuda.is_available())  # also gives this process its own GPU
    patient, impatient = (distributed.new_group(backend="gloo", timeout=timeout) for timeout in (FOREVER, PATIENCE))
    team = WorkerTeam(patient, impatient, state.process_index)
    if state.is_main_process:
        _team = team
        atexit.register(team.leave)
        return False
    _serve(team)
    team.end()
    return True


def _serve(team: WorkerTeam) -> None:
    """Does what the first process asks for, until it leaves."""
    encoder = None
    while request := team.tell(None):
        build, work, together = request
        try:
            encoder = build() if build else encoder
            answer: Any = work(encoder)
        except Exception as error:  # the first process raises it for the user
            answer = error
        if together and not team.meet():
            print(f"error: process {team.rank}: {answer}", file=sys.stderr, flush=True)
            os._exit(1)  # the launcher ends the others; to end connections would wait for them
        team.collect(answer)


class WorkerTeam:
    """The processes of one launch, joined over the CPU; the first one leads.

    Attributes:
        rank: This process's number; the first one's is 0.
        size: How many there are.
        holds: What opened the model that every worker holds, as the first process knows it.
        is_broken: Whether a process waits in the middle of something for one that has failed.
    """

    def __init__(self, group: Any, impatient: Any, rank: int) -> None:
        self._group = group
        self._impatient = impatient
        self.rank = rank
        self.size: int = group.size()
        self.holds: Build | None = None
        self.is_broken = False

    def tell(self, message: Any) -> Any:
        """Sends the first process's message to all; returns it everywhere."""
        from torch import distributed

        box = [message]
        distributed.broadcast_object_list(box, src=0, group=self._group)
        return box[0]

    def collect(self, part: Any) -> list[Any]:
        """Brings every process's part to the first; the others get an empty list."""
        from torch import distributed

        parts: list[Any] | None = [None] * self.size if self.rank == 0 else None
        distributed.gather_object(part, parts, dst=0, group=self._group)
        return parts or []

    def meet(self) -> bool:
        """Waits for the others at the end of what all do together; returns whether they came.

        Where one has failed alone, the others wait for it in the middle of that, where no message reaches them.
        """
        from torch import distributed

        try:
            distributed.barrier(self._impatient)
        except RuntimeError:  # they did not come, or have ended
            self.is_broken = True
        return not self.is_broken

    def leave(self) -> None:
        """Lets the workers go; the first process does this when it ends."""
        if self.is_broken:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(1)  # the launcher ends the others; to end connections would wait for them
        self.tell(None)
        self.end()

    def end(self) -> None:
        """Ends this process's connections.

        Their threads end with the last reference to them. One that outlives the interpreter, and lets go of a
        message then, aborts the process.
        """
        from torch import distributed

        distributed.destroy_process_group()
        self._group = self._impatient = None


_team: WorkerTeam | None = None


class SharedEncoder:
    """A model held by every process of a launch; each encodes every `size`-th text of a list.

    The attributes are those of `TransformerEncoder`, `processes`, their number, and `own`, this process's model.
    """

    def __init__(self, build: Build, team: WorkerTeam) -> None:
        self._build = build
        self._team = team
        self._role: Role | None = None
        self.own = build()
        self._last: tuple[list[str], NDArray[np.float32], NDArray[np.bool_]] | None = None
        self.processes = team.size
        self.device = f"{self.own.device} x {team.size}"
        self.parameters = self.own.parameters
        self.chunk_size = self.own.chunk_size * team.size
        self.on_progress: Callable[[int], None] | None = None

    def encode(self, texts: Sequence[str], /) -> NDArray[np.float32]:
        """Returns one vector a text, float32 [len(texts), dimension], in the order of `texts`.

        Raises:
            TypeError: `texts` is one string.
        """
        refuse_string(texts)
        return self._ask(list(texts))[1]

    def limited(self, max_length: int | None, /) -> SharedEncoder:
        """Returns one that reads at most `max_length` tokens of a text; the workers open the model again."""
        return self._changed("limited", max_length)

    def prompted(self, prefix: str, prompts: Mapping[Role, str], /) -> SharedEncoder:
        """Returns one that puts `prefix` before texts, or what a role has; the workers open the model again."""
        return self._changed("prompted", prefix, dict(prompts))

    def shortened(self, dimension: int, /) -> SharedEncoder:
        """Returns one that keeps the first `dimension` numbers of each vector; the workers open the model again."""
        return self._changed("shortened", dimension)

    def for_role(self, role: Role, /) -> SharedEncoder:
        """Returns one for texts of a role, of the model that every process holds."""
        other = copy.copy(self)
        other._role, other._last, other.own = role, None, self.own.for_role(role)
        return other

    def _changed(self, method: str, *arguments: Any) -> SharedEncoder:
        """Returns one whose model was changed by a method of the engine that keeps its weights."""
        other = copy.copy(self)
        other._build = partial(_build_changed, self._build, method, arguments)
        other._last, other.own = None, getattr(self.own, method)(*arguments)
        return other

    def truncated(self, texts: Sequence[str], /) -> NDArray[np.bool_]:
        """Returns which texts are longer than what the model reads, bool [len(texts)]."""
        return self._ask(list(texts))[2]

    def token_ids(self, texts: Sequence[str], /) -> list[list[int]]:
        """Returns what the model reads of each text, prefix and special tokens included."""
        return self.own.token_ids(texts)

    def _ask(self, texts: list[str]) -> tuple[list[str], NDArray[np.float32], NDArray[np.bool_]]:
        """Has every process encode its share, or returns the last answer where it was of the same texts."""
        if self._last and self._last[0] == texts:
            return self._last
        self.own.on_progress = self.on_progress
        answers = self._run(partial(_answer, texts, self._team.size, self._role))
        vectors = np.empty((len(texts), answers[0][0].shape[1]), dtype=np.float32)
        truncated = np.empty(len(texts), dtype=bool)
        for rank, (part, flags) in enumerate(answers):
            vectors[rank :: self._team.size], truncated[rank :: self._team.size] = part, flags
        self._last = (texts, vectors, truncated)
        return self._last

    def everywhere(self, work: Work, here: Work) -> Any:
        """Has every process work with its copy of the model, together; returns what the first one got.

        Where one fails and the others wait for it in the middle of the work, the launch ends.

        Args:
            work: What the others do; sent to them, so no closure.
            here: What this process does.
        """
        return self._run(work, here, together=True)[0]

    def _run(self, work: Work, here: Work | None = None, *, together: bool = False) -> list[Any]:
        """Returns what each process got; an error of one is raised."""
        if self._team.is_broken:
            raise XreteError(
                "a process of this launch has failed and the others cannot go on; run the command again"
            )
        build = None if self._team.holds is self._build else self._build
        self._team.holds = None  # until all have answered: one that failed may hold another model than the rest
        self._team.tell((build, work, together))
        try:
            own: Any = (here or work)(self.own)
        except Exception as error:  # the workers are waiting for this process's part
            own = error
        is_whole = not together or self._team.meet()
        answers = self._team.collect(own) if is_whole else [own]
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
        self._team.holds = self._build
        return answers


def _build_changed(build: Build, method: str, arguments: Sequence[Any]) -> TransformerEncoder:
    changed: TransformerEncoder = getattr(build(), method)(*arguments)
    return changed


def _answer(
    texts: list[str], size: int, role: Role | None, encoder: TransformerEncoder
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Encodes this process's share: every `size`-th text, so that shares are alike whatever the order."""
    share = texts[int(os.environ["RANK"]) :: size]
    reader = encoder.for_role(role) if role else encoder
    return reader.encode(share), reader.truncated(share)
