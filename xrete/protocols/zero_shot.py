"""Zero-shot: frozen embeddings and cosine; everything else is the shape's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal

from xrete.encoding.embedder import Embedder
from xrete.model import Kind
from xrete.protocols import Opening, Settings, Work
from xrete.protocols.frozen import fine_tuning as fine_tuning
from xrete.protocols.frozen import open_model as open_model
from xrete.protocols.frozen import trained_on as trained_on
from xrete.shapes.contract import Encode, JointScores, JointShape, NotedShape, PoolingShape, Shape, ZeroShotShape
from xrete.shapes.metric import Items

if TYPE_CHECKING:
    from xrete.dataset import Dataset

KIND: Kind = "encoder"
UNIT: Literal["sentences"] = "sentences"
SELF_CONTAINED = True
NEEDS = None


def fits(shape: Shape) -> bool:
    """Returns whether a shape is scored by vectors alone."""
    return isinstance(shape, ZeroShotShape | JointShape)


def settings(asked: Settings) -> Settings:
    """Returns the seed: nothing is trained."""
    return Settings(seed=asked.seed)


def outcomes(
    dataset: Dataset, encode: Encode, languages: Sequence[str], settings: Settings
) -> Iterator[tuple[str, Items]]:
    """Yields each language's items; nothing here is random."""
    assert isinstance(dataset.shape, ZeroShotShape)  # `xrete check` holds cards to it
    return dataset.shape.zero_shot(dataset, encode, languages)


def joint(dataset: Dataset, model: Embedder) -> JointScores | None:
    """Scores all languages together, where the shape does that."""
    return dataset.shape.joint(dataset, model) if isinstance(dataset.shape, JointShape) else None


def work(dataset: Dataset, languages: Sequence[str], settings: Settings, opening: Opening) -> Work:
    """Counts the texts of the languages."""
    shape, data = dataset.shape, [dataset[language] for language in languages]
    if isinstance(shape, PoolingShape):
        return Work(texts=shape.count_distinct_texts(data))
    return Work(texts=sum(map(shape.count_texts, data)))


def fingerprint(dataset: Dataset, settings: Settings) -> str:
    """Is empty: nothing is trained."""
    return ""


def notes(dataset: Dataset, settings: Settings) -> tuple[str, ...]:
    """Says what the shape has to say of the data."""
    return tuple(dataset.shape.notes(dataset)) if isinstance(dataset.shape, NotedShape) else ()
