"""Protocols: how a model is put to a task.

Each is a module that says which models it is for, opens them, forecasts, scores and describes; nobody outside it
asks which protocol it is. A new one is one module here, which has what `ProtocolModule` says, and one line in
`PROTOCOLS`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, cast

from xrete.encoding.cache import DEFAULT_LIMIT_BYTES
from xrete.encoding.embedder import Probe, Progress
from xrete.errors import unknown_name
from xrete.model import Kind, LoadedModel, ModelIdentity
from xrete.record import Answers, FineTuning, ProbePart
from xrete.shapes.contract import JointScores, Model, Shape
from xrete.shapes.metric import Items
from xrete.training.finetune.job import StepWatch
from xrete.vectors.resume import OnSearch

if TYPE_CHECKING:
    from xrete.dataset import Dataset

PROTOCOLS: dict[str, str] = {
    "zero-shot": "xrete.protocols.zero_shot",
    "probe": "xrete.protocols.probe",
    "fine-tune": "xrete.protocols.fine_tune",
    "prompt": "xrete.protocols.prompt",
}


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """How a model is fine-tuned.

    Attributes:
        recipe: One of the task's; None: its first.
        changes: "KEY=VALUE" for every stage of the recipe, or "STAGE.KEY=VALUE".
        seeds: One training run each; the score is their mean.
        lora: Rank of low-rank adapters, which alone are then trained; None trains every weight.
    """

    recipe: str | None = None
    changes: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()
    lora: int | None = None


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a protocol may depend on beside data and model; part of a record's key.

    Attributes:
        seed: For everything that is random.
        train_languages: Languages that are trained on: "all", "en", or codes with commas; "all" where nothing is.
        train_split: Split of the task that is trained on; None: the protocol's choice.
        train_data: "hub", or a folder of upstream files to train on; None: the source of what is scored.
        tuning: Of fine-tuning.
    """

    seed: int = 42
    train_languages: str = "all"
    # What these decide is in the protocol's fingerprint.
    train_split: str | None = field(default=None, repr=False)
    train_data: str | Path | None = field(default=None, repr=False)
    tuning: Tuning = field(default=Tuning(), repr=False)


@dataclass(frozen=True, kw_only=True)
class Opening:
    """What a model is opened with.

    Attributes:
        identity: The model.
        weights: Folder for what training leaves, so that a run goes on where it was stopped.
        use_cache: Keep and use embeddings and answers on disk.
        cache_limit_bytes: Most bytes of all cached embeddings.
        progress: Told how many texts were encoded, and how many were in the cache.
        on_search: Told how many of all vectors a long search has gone through.
        watch: Told of every step of training.
    """

    identity: ModelIdentity
    weights: Path
    use_cache: bool = True
    cache_limit_bytes: int = DEFAULT_LIMIT_BYTES
    progress: Progress = lambda encoded, cached: None
    on_search: OnSearch = lambda done, total: None
    watch: StepWatch = lambda step: None


class Reader(Protocol):
    """A model that is opened for a protocol, and what it has read so far.

    Attributes:
        encoded: Texts that it has read.
        cached: Texts whose vectors or answers were in the cache.
        truncated: How many texts it read only in part; None where nobody knows.
        seconds: How long it has worked; None where that is not counted apart.
        probe: The fingerprint of an encoder; None where there is no encoder.
    """

    encoded: int
    cached: int
    truncated: int | None
    seconds: float | None
    probe: Probe | None

    def take(self) -> Answers | None:
        """Returns what its answers since the last call took; None where it gives none."""
        ...


@dataclass(frozen=True, kw_only=True)
class TrainingWork:
    """One stage of training.

    Attributes:
        stage: Its name.
        languages: Languages that it trains on.
        items: Items that it reads in an epoch.
        steps: Steps that it makes, if it does not end early.
    """

    stage: str
    languages: list[str]
    items: int
    steps: int


@dataclass(frozen=True, kw_only=True)
class Work:
    """What is still to do.

    Attributes:
        texts: Sentences to encode, or questions to answer.
        answered: How many of the questions have their answer in the cache; None for sentences.
        tokens_in, tokens_out: About what the other questions take; None for sentences.
        seeds: One training run each; empty where nothing is trained.
        training: The stages of each seed.
    """

    texts: int
    answered: int | None = None
    tokens_in: int | None = None
    tokens_out: int | None = None
    seeds: tuple[int, ...] = ()
    training: tuple[TrainingWork, ...] = ()


class ProtocolModule(Protocol):
    """The contract of a protocol's module.

    Attributes:
        KIND: Which models it is for.
        UNIT: What its progress is counted in.
        SELF_CONTAINED: Whether its `fingerprint` is empty, so that a record's key follows from the record alone.
        NEEDS: The field of a task's card that it needs and that no other protocol reads; None: there is none.
    """

    KIND: Kind
    UNIT: Literal["sentences", "questions", "steps"]
    SELF_CONTAINED: bool
    NEEDS: Literal["prompt", "recipes"] | None

    def fits(self, shape: Shape) -> bool:
        """Returns whether tasks of that shape can be scored under it."""
        ...

    def settings(self, asked: Settings) -> Settings:
        """Returns what the protocol depends on of what was asked for; the rest makes no second record."""
        ...

    def open_model(self, model: LoadedModel, opening: Opening, stack: ExitStack) -> Any:
        """Opens a model: a `Reader` that `outcomes` takes; `stack` closes what it needs.

        Raises:
            UsageError: the protocol cannot be put to such a model.
        """
        ...

    def outcomes(
        self, dataset: Dataset, model: Model, languages: Sequence[str], settings: Settings
    ) -> Iterator[tuple[str, Items]]:
        """Yields the items of each of `languages` as soon as they are known."""
        ...

    def joint(self, dataset: Dataset, model: Model) -> JointScores | None:
        """Scores all languages together, where the task's shape asks for that; else None."""
        ...

    def work(self, dataset: Dataset, languages: Sequence[str], settings: Settings, opening: Opening) -> Work:
        """Says what is to do for `languages`, before anything is encoded, asked or trained."""
        ...

    def fingerprint(self, dataset: Dataset, settings: Settings) -> str:
        """Returns a digest of what decides the scores beside data, model and settings: what is trained on or asked.

        It is part of a record's key; empty where there is nothing.
        """
        ...

    def notes(self, dataset: Dataset, settings: Settings) -> tuple[str, ...]:
        """Says what a reader of the record must know, such as what was trained on."""
        ...

    def trained_on(self, dataset: Dataset, settings: Settings) -> ProbePart | None:
        """Says what a head on frozen embeddings was trained on; None where there is none."""
        ...

    def fine_tuning(
        self, dataset: Dataset, settings: Settings, model: Any, items: Mapping[str, Items]
    ) -> FineTuning | None:
        """Says how the model was trained, and what each training run scored; None where nothing was."""
        ...


def load_protocol(name: str) -> ProtocolModule:
    """Returns the protocol of that name.

    Raises:
        UsageError: there is none.
    """
    if name not in PROTOCOLS:
        raise unknown_name("protocol", name, PROTOCOLS, ", ".join(PROTOCOLS))
    return cast(ProtocolModule, import_module(PROTOCOLS[name]))
