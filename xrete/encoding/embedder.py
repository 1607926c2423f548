"""Texts to unit vectors for the harness: chunks, cache, checks and counts around a model's `encode`."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xrete.encoding.cache import Cache, NoCache
from xrete.errors import XreteError
from xrete.files import digest
from xrete.model import ROLES, Encoder, LoadedModel, ModelIdentity, Role, refuse_string
from xrete.record import Fingerprint
from xrete.vectors.resume import OnSearch

CHUNK = 1024
"""Texts handed to a model at once, and kept in the cache in one transaction."""

PROBE = (
    "The quick brown fox jumps over the lazy dog.",
    "Water boils at one hundred degrees.",
    "Das Wasser kocht bei hundert Grad.",
    "L'eau bout à cent degrés.",
    "El agua hierve a cien grados.",
    "Вода кипит при ста градусах.",
    "يغلي الماء عند مئة درجة.",
    "水は百度で沸騰する。",
    "水在一百度时沸腾。",
    "물은 백 도에서 끓는다.",
    "पानी सौ डिग्री पर उबलता है।",
    "Maji huchemka kwa nyuzi mia moja.",
    "น้ำเดือดที่หนึ่งร้อยองศา",
    "Το νερό βράζει στους εκατό βαθμούς.",
    "המים רותחים במאה מעלות.",
    "நீர் நூறு டிகிரியில் கொதிக்கும்.",
)
"""Fixed sentences in many scripts; a model's fingerprint is taken over them. Never change one."""

Progress = Callable[[int, int], None]
"""Called with the number of texts just encoded, and of texts just found in the cache."""


class Side(NamedTuple):
    """What encodes the texts of a role, and where their vectors are kept."""

    encoder: Encoder
    cache: Cache


@dataclass
class Embedder:
    """Encodes for one run.

    A chunk that is missing from the cache is encoded whole and kept whole. So a run that was killed comes back to
    the same batches, and with them to the same bits, as an unbroken one.

    Attributes:
        encoder: The model.
        cache: Where vectors are kept.
        progress: Told after every step.
        roles: What stands in for the first two where the model reads a role differently.
        on_search: Told how many of all vectors a long search has gone through.
        encoded: Texts encoded so far.
        cached: Texts found in the cache, or a second time in one call, so far.
        truncated: Texts so far that the model could not read in full, distinct ones of each call; None once it
            does not say.
        seconds: Time that the model took so far.
        probe: The model's fingerprint; None until it was taken.
    """

    encoder: Encoder
    cache: Cache = field(default_factory=NoCache)
    progress: Progress = lambda encoded, cached: None
    roles: Mapping[Role, Side] = field(default_factory=dict)
    on_search: OnSearch = lambda done, total: None
    encoded: int = 0
    cached: int = 0
    truncated: int | None = 0
    seconds: float = 0.0
    probe: Probe | None = None

    @classmethod
    def of(
        cls,
        model: LoadedModel,
        open_cache: Callable[[ModelIdentity], Cache] = lambda identity: NoCache(),
        progress: Progress = lambda encoded, cached: None,
    ) -> Embedder:
        """Opens a model as a task sees it (`LoadedModel.for_task`).

        Args:
            model: The model.
            open_cache: Opens the cache of an identity.
            progress: Told after every step.
        """
        roles = {}
        for role in [role for role in ROLES if role in model.identity.prompts]:
            side = model.for_role(role)
            roles[role] = Side(side.encoder, open_cache(side.identity))
        plain = model.for_role(None)
        return cls(plain.encoder, open_cache(plain.identity), progress, roles)

    def take(self) -> None:
        """Is None: an encoder gives no answers."""

    def for_role(self, role: Role) -> Callable[[Sequence[str]], NDArray[np.float32]]:
        """Returns what makes unit vectors, float32 [n, dimension], of texts of a role."""
        return partial(self, role=role)

    def __call__(self, texts: Sequence[str], role: Role | None = None) -> NDArray[np.float32]:
        """Returns unit vectors, float32 [len(texts), dimension].

        Args:
            texts: The texts.
            role: What they are; None in symmetric tasks.

        Raises:
            TypeError: `texts` is one string.
            XreteError: the model gave a vector that is not finite, or the wrong number of vectors.
        """
        refuse_string(texts)
        distinct = list(dict.fromkeys(texts))
        self._count(0, len(texts) - len(distinct), [])
        side = self.roles[role] if role and role in self.roles else Side(self.encoder, self.cache)
        size: int = getattr(side.encoder, "chunk_size", CHUNK)
        rows = self._chunk(distinct[:size], side)
        if len(distinct) > size:  # a place for all of them: chunks that are joined would need it twice
            first, rows = rows, np.empty((len(distinct), rows.shape[1]), np.float32)
            rows[:size] = first
            for start in range(size, len(distinct), size):
                rows[start : start + size] = self._chunk(distinct[start : start + size], side)
        if len(distinct) == len(texts):
            return rows
        index = {text: row for row, text in enumerate(distinct)}
        return np.asarray(rows[[index[text] for text in texts]])

    def _chunk(self, texts: list[str], side: Side) -> NDArray[np.float32]:
        known = side.cache.get(texts)
        self._count(0, len(known), [flag for _, flag in known.values()])
        missing = [text for text in texts if text not in known]
        if missing:
            vectors, truncated = self._encode(missing, side.encoder)
            side.cache.put(missing, vectors, truncated)
            flags = [None] * len(missing) if truncated is None else [bool(flag) for flag in truncated]
            known |= dict(zip(missing, zip(vectors, flags, strict=True), strict=True))
        return _unit(np.stack([known[text][0] for text in texts]))

    def _encode(self, texts: list[str], encoder: Encoder) -> tuple[NDArray[np.float32], NDArray[np.bool_] | None]:
        done = 0

        def on_progress(number: int) -> None:
            nonlocal done
            done += number
            self._count(number, 0, [])

        if hasattr(encoder, "on_progress"):
            encoder.on_progress = on_progress
        began = time.perf_counter()
        try:
            vectors = _checked(encoder.encode(texts), texts)
        finally:
            self.seconds += time.perf_counter() - began
        says = getattr(encoder, "truncated", None)
        truncated = np.asarray(says(texts), dtype=bool) if says else None
        self._count(len(texts) - done, 0, [None] if truncated is None else truncated.tolist())
        return vectors, truncated

    def _count(self, encoded: int, cached: int, flags: Sequence[bool | None]) -> None:
        self.encoded += encoded
        self.cached += cached
        if self.truncated is not None:
            self.truncated = None if None in flags else self.truncated + sum(map(bool, flags))
        self.progress(encoded, cached)


class Probe(NamedTuple):
    """What a model gave for the probe."""

    fingerprint: Fingerprint
    dimension: int


def take_probe(encoder: Encoder) -> Probe:
    """Takes the fingerprint of a model: its tokens and its vectors of the probe.

    Raises:
        XreteError: as `Embedder`.
    """
    vectors = _unit(_checked(encoder.encode(list(PROBE)), PROBE))
    cosines = vectors @ vectors[0]
    says = getattr(encoder, "token_ids", None)
    tokens = digest(" ".join(map(str, ids)) for ids in says(list(PROBE))) if says else None
    fingerprint = Fingerprint(
        tokenizer=tokens,
        embeddings=digest([vectors.round(3).tobytes()]),
        sketch=tuple(round(float(value), 4) for value in cosines),
    )
    return Probe(fingerprint, vectors.shape[1])


def _checked(returned: Any, texts: Sequence[str]) -> NDArray[np.float32]:
    """Returns what a model gave for `texts` as an array, or says what is wrong with it."""
    try:
        vectors = np.asarray(returned, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise XreteError(f"the model returned no array of numbers: {error}") from error
    if vectors.ndim != 2 or len(vectors) != len(texts):
        raise XreteError(f"the model returned shape {vectors.shape} for {len(texts)} sentences; expected [n, d]")
    bad = np.flatnonzero(~np.isfinite(vectors).all(axis=1) | ~vectors.any(axis=1))
    if len(bad):
        raise XreteError(
            f"the model's vector is not finite or zero for {len(bad)} of {len(texts)} sentences, the first one "
            f"is {texts[bad[0]]!r}; try --dtype float32"
        )
    return vectors


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scales rows to unit length; the norm is taken in float64."""
    norms = np.sqrt((vectors.astype(np.float64) ** 2).sum(axis=1, keepdims=True))
    return np.asarray(vectors / norms, dtype=np.float32)
