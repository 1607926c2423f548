"""What the protocols of frozen encoders share: an encoder with its cache, and no training to speak of."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any

from xrete.encoding.cache import Cache, DiskCache, NoCache
from xrete.encoding.embedder import Embedder, take_probe
from xrete.files import cache_root
from xrete.model import UNVERSIONED, LoadedModel, ModelIdentity
from xrete.protocols import Opening, Settings
from xrete.record import FineTuning, ProbePart
from xrete.shapes.metric import Items

if TYPE_CHECKING:
    from xrete.dataset import Dataset


def open_model(model: LoadedModel, opening: Opening, stack: ExitStack) -> Embedder:
    """Opens an encoder with its cache, or those of its roles."""
    embedder = Embedder.of(model, partial(_open_cache, opening, stack), opening.progress)
    embedder.on_search = opening.on_search
    embedder.probe = take_probe(model.encoder)
    return embedder


def trained_on(dataset: Dataset, settings: Settings) -> ProbePart | None:
    """Is None: no head is trained."""
    return None


def fine_tuning(dataset: Dataset, settings: Settings, model: Any, items: Mapping[str, Items]) -> FineTuning | None:
    """Is None: the model stays as it is."""
    return None


def _open_cache(opening: Opening, stack: ExitStack, identity: ModelIdentity) -> Cache:
    """Opens a model's cache; objects without a revision have none, since their vectors may change."""
    if not opening.use_cache or identity.revision == UNVERSIONED:
        return NoCache()
    try:
        folder = cache_root() / "embeddings"
        return stack.enter_context(DiskCache(folder, identity.digest, opening.cache_limit_bytes))
    except (OSError, sqlite3.Error):
        return NoCache()  # a read-only home or a full disk costs time, not the run
