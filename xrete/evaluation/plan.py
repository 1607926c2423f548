"""One cell of a leaderboard, planned: how it is run, by which protocol, and the key that its record goes by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from xrete.encoding.cache import DEFAULT_LIMIT_BYTES
from xrete.encoding.embedder import Progress
from xrete.errors import UsageError
from xrete.files import digest
from xrete.model import LoadedModel, ModelIdentity
from xrete.protocols import Opening, ProtocolModule, Settings, Tuning, load_protocol
from xrete.shapes.contract import roles_of
from xrete.store import Outcome, Slot
from xrete.training.finetune.job import StepWatch
from xrete.vectors.resume import OnSearch

if TYPE_CHECKING:
    from xrete.dataset import Dataset
    from xrete.task import TaskCard


ReadModel = TypeVar("ReadModel", ModelIdentity, LoadedModel)


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """How to run, beyond model and task.

    Attributes:
        protocol: One of the task's protocols; None takes its first.
        results: Folder for records; None keeps nothing on disk.
        force: Score again what is already complete.
        seed: For every random choice: the bootstrap, probes, fine-tuning.
        train_languages: Languages that a protocol with training trains on: "all", "en", or codes with commas.
        train_split: Split of the task that such a protocol trains on; None: its own choice.
        train_data: "hub", or a folder of upstream files that it trains on; None: the source of what is scored.
        tuning: How a model is fine-tuned.
        use_cache: Keep and use embeddings and answers on disk.
        cache_limit_bytes: Most bytes of all cached embeddings.
        command: What the user typed, for the record.
        price: Of a million tokens in and out, for what a chat model costs; None where nobody knows.
        progress: Told how many texts were encoded and found in the cache.
        on_search: Told how many of all vectors a long search has gone through.
        watch: Told of every step of fine-tuning.
        predictions: Folder for predictions in XTREME's layout, below the model's name; needs `results`.
    """

    protocol: str | None = None
    results: Path | None = None
    force: bool = False
    seed: int = 42
    train_languages: str = "all"
    train_split: str | None = None
    train_data: str | Path | None = None
    tuning: Tuning = field(default_factory=Tuning)
    use_cache: bool = True
    cache_limit_bytes: int = DEFAULT_LIMIT_BYTES
    command: str | None = None
    price: tuple[float, float] | None = None
    progress: Progress = lambda encoded, cached: None
    on_search: OnSearch = lambda done, total: None
    watch: StepWatch = lambda step: None
    predictions: Path | None = None


@dataclass(frozen=True)
class Plan:
    """One cell of a leaderboard, decided: what will be scored, and the key that its record goes by."""

    identity: ModelIdentity
    dataset: Dataset
    options: RunOptions
    settings: Settings
    protocol: str
    data_fingerprint: str
    trained: str
    key: str

    @staticmethod
    def make(identity: ModelIdentity, dataset: Dataset, options: RunOptions) -> Plan:
        """Reads and checks the data, and decides the key.

        Raises:
            DataError: the data is damaged.
            UsageError: the task has no such protocol, or none for such a model.
        """
        card = dataset.card
        identity = as_task_reads(identity, dataset)
        name = choose_protocol(identity, card, options.protocol)
        protocol = load_protocol(name)
        data = dataset.fingerprint()
        settings = protocol.settings(
            Settings(
                seed=options.seed,
                train_languages=options.train_languages,
                train_split=options.train_split,
                train_data=options.train_data,
                tuning=options.tuning,
            )
        )
        trained = protocol.fingerprint(dataset, settings)
        task = (card.name, name, dataset.split, data, str(dataset.limit))
        key = record_key(identity, task, settings, dataset.missing, trained)
        return Plan(identity, dataset, options, settings, name, data, trained, key)

    @property
    def module(self) -> ProtocolModule:
        """The protocol."""
        return load_protocol(self.protocol)

    def slot(self, results: Path) -> Slot:
        """Returns the place of its record in a results folder."""
        card, source = self.dataset.card, self.dataset.source
        return Slot(results, self.identity.name, card.name, self.protocol, source.kind, self.key)

    def finished(self, slot: Slot) -> dict[str, Outcome]:
        """Returns the languages that an earlier, unfinished run has done, but not those that lack a metric."""
        return {language: outcome for language, outcome in slot.load_outcomes().items() if self._holds(outcome)}

    def _holds(self, outcome: Outcome) -> bool:
        try:
            for metric in self.dataset.shape.metrics.values():
                metric.statistic(outcome.items)
        except KeyError:
            return False
        return True

    def opening(self, weights: Path) -> Opening:
        """Returns what its model is opened with."""
        return Opening(
            identity=self.identity,
            weights=weights,
            use_cache=self.options.use_cache,
            cache_limit_bytes=self.options.cache_limit_bytes,
            progress=self.options.progress,
            on_search=self.options.on_search,
            watch=self.options.watch,
        )

    def watched(
        self,
        *,
        progress: Progress | None = None,
        on_search: OnSearch | None = None,
        watch: StepWatch | None = None,
    ) -> Plan:
        """Returns the plan with somebody who is told how far it is."""
        options = self.options
        told = replace(
            options,
            progress=progress or options.progress,
            on_search=on_search or options.on_search,
            watch=watch or options.watch,
        )
        return replace(self, options=told)


def as_task_reads(model: ReadModel, dataset: Dataset) -> ReadModel:
    """Returns a model, or its identity, as it reads the texts of a task: no more than that wants, with its prompts.

    Raises:
        XreteError: the model's encoder cannot.
    """
    card = dataset.card
    return model.limited(card.max_length).for_task(card.name, card.mteb_type, roles_of(dataset.shape))


def choose_protocol(identity: ModelIdentity, card: TaskCard, asked: str | None) -> str:
    """Returns what was asked for, else the task's first protocol for models of this kind.

    Raises:
        UsageError: the task has no such protocol, or none for such a model.
    """
    if asked is not None and asked not in card.protocols:
        raise UsageError(f"{card.name} has no protocol '{asked}'; it has {', '.join(card.protocols)}")
    fitting = [name for name in card.protocols if identity.kind == load_protocol(name).KIND]
    if asked in fitting or (asked is None and fitting):
        return asked or fitting[0]
    answers = "answers in words" if identity.kind == "chat" else "gives vectors"
    reason = f"protocol '{asked}' of {card.name}" if asked else f"every protocol of {card.name}"
    wants = "vectors" if identity.kind == "chat" else "a chat model"
    help_ = f"use --protocol {' or '.join(fitting)}" if fitting else "leave the task out"
    raise UsageError(f"{identity.name} {answers}, and {reason} wants {wants}; {help_}")


def record_key(
    identity: ModelIdentity, task: Sequence[str], settings: Settings, missing: Sequence[str], trained: str = ""
) -> str:
    """Returns the digest of everything that decides a record, which is part of its file's name.

    Args:
        identity: The model.
        task: Its name, the protocol, the split, the fingerprint of the data, and the limit.
        settings: Of the protocol.
        missing: Languages that the source lacks: part of the record, though not of its scores.
        trained: Digest of what a protocol trains on, or asks.
    """
    parts = [identity.digest, *task, repr(settings), *missing, *filter(None, [trained])]
    return digest(parts)[:12]
