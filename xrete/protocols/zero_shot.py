"""Zero-shot: frozen embeddings and cosine; everything else is the shape's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from xrete.model import Kind
from xrete.protocols import Settings
from xrete.shapes.contract import Encode, ZeroShotShape
from xrete.shapes.metric import Items

if TYPE_CHECKING:
    from xrete.dataset import Dataset

KIND: Kind = "encoder"
TRAINS = False


def outcomes(
    dataset: Dataset, encode: Encode, languages: Sequence[str], settings: Settings
) -> Iterator[tuple[str, Items]]:
    """Yields each language's items; nothing here is random."""
    assert isinstance(dataset.shape, ZeroShotShape)  # `xrete check` holds cards to it
    return dataset.shape.zero_shot(dataset, encode, languages)


def fingerprint(dataset: Dataset, settings: Settings) -> str:
    """Is empty: nothing is trained."""
    return ""


def notes(dataset: Dataset, settings: Settings) -> tuple[str, ...]:
    """Says what the shape has to say of the data, where it has `notes`."""
    says = getattr(dataset.shape, "notes", None)
    return tuple(says(dataset)) if says else ()
