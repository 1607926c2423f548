"""Protocols: how a model is put to a task. Each is a module that turns data and embeddings into items."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from xrete.errors import unknown_name
from xrete.model import Kind
from xrete.shapes.contract import Model
from xrete.shapes.metric import Items

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


class ProtocolModule(Protocol):
    """The contract of a protocol's module.

    Attributes:
        KIND: Which models it is for.
        TRAINS: It trains on something, so that the languages to train on matter.
    """

    KIND: Kind
    TRAINS: bool

    def outcomes(
        self, dataset: Dataset, model: Model, languages: Sequence[str], settings: Settings
    ) -> Iterator[tuple[str, Items]]:
        """Yields the items of each of `languages` as soon as they are there."""
        ...

    def fingerprint(self, dataset: Dataset, settings: Settings) -> str:
        """Returns a digest of what decides the scores beside data, model and settings: what is trained on or asked.

        It is part of a record's key; empty where there is nothing.
        """
        ...

    def notes(self, dataset: Dataset, settings: Settings) -> tuple[str, ...]:
        """Says what a reader of the record must know, such as what was trained on."""
        ...


def load_protocol(name: str) -> ProtocolModule:
    """Returns the protocol of that name.

    Raises:
        UsageError: there is none.
    """
    if name not in PROTOCOLS:
        raise unknown_name("protocol", name, PROTOCOLS, ", ".join(PROTOCOLS))
    return cast(ProtocolModule, import_module(PROTOCOLS[name]))
