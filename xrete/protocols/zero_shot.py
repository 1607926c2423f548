"""Zero-shot: frozen embeddings and cosine; everything else is the shape's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from xrete.protocols import Settings
from xrete.shapes import Encode, Items, ZeroShotShape

if TYPE_CHECKING:
    from xrete.dataset import Dataset


def outcomes(
    dataset: Dataset, encode: Encode, languages: Sequence[str], settings: Settings
) -> Iterator[tuple[str, Items]]:
    """Yields each language's items; nothing here is random."""
    assert isinstance(dataset.shape, ZeroShotShape)  # `xrete check` holds cards to it
    return dataset.shape.zero_shot(dataset, encode, languages)


def notes(dataset: Dataset, settings: Settings) -> tuple[str, ...]:
    """Has nothing to say."""
    return ()
