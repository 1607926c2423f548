"""Protocols: how a model is put to a task. Each is a function from data and embeddings to items, by language."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Protocol

from xrete.errors import unknown_name
from xrete.shapes import Encode, Items

if TYPE_CHECKING:
    from xrete.dataset import Dataset

PROTOCOLS: dict[str, str] = {
    "zero-shot": "xrete.protocols.zero_shot:outcomes",
}


class Outcomes(Protocol):
    """The contract of a protocol."""

    def __call__(
        self, dataset: Dataset, encode: Encode, languages: Sequence[str], seed: int, /
    ) -> Iterator[tuple[str, Items]]:
        """Yields the items of each of `languages` as soon as they are there."""
        ...


def load_protocol(name: str) -> Outcomes:
    """Returns the protocol of that name.

    Raises:
        UsageError: there is none.
    """
    if name not in PROTOCOLS:
        raise unknown_name("protocol", name, PROTOCOLS, ", ".join(PROTOCOLS))
    module, _, attribute = PROTOCOLS[name].partition(":")
    protocol: Outcomes = getattr(import_module(module), attribute)
    return protocol
