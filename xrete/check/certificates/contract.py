"""What a certificate is: a model whose score follows from theory, and so tests the scorer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from xrete.shapes.contract import Encode, Model


@dataclass(frozen=True)
class Certificate:
    """A model whose score on some data is known from theory, to certify the scorer.

    Attributes:
        name: Which one: constant, random, oracle or shuffled-oracle.
        encode: The model.
        low, high: What its score must lie in; equal where theory gives one number.
        metric: The metric that theory speaks of; None is the task's headline metric.
    """

    name: str
    encode: Model
    low: float
    high: float
    metric: str | None = None


@dataclass(frozen=True)
class KnownAnswers:
    """Answers of a chat model whose score on some data is known from theory.

    Attributes:
        name: Which ones: oracle (the right ones), constant (always the first that is allowed) or mute (none).
        answers: For each item an answer in the terms of the prompt, or None.
        score: What they score.
        metric: The metric that theory speaks of; None is the task's headline metric.
    """

    name: str
    answers: Sequence[Any]
    score: float
    metric: str | None = None


@dataclass(frozen=True)
class JointCertificate:
    """A model whose values over all languages of some data are known from theory.

    Attributes:
        name: Which one: constant, random, oracle or shuffled-oracle.
        encode: The model; called with the texts of one language at a time.
        bounds: What metrics of the group "all" must lie in, lowest and highest; they may be infinite.
    """

    name: str
    encode: Encode
    bounds: Mapping[str, tuple[float, float]]


def _none(*_: Any) -> Iterable[Any]:
    return ()


@dataclass(frozen=True)
class Theory:
    """What theory knows of a shape's scores; a part that is left out has no certificates.

    Attributes:
        zero_shot: (shape, data) to models whose score without training is known.
        probe: (shape, data, training data) to models whose score is known for a head that was trained on that.
        prompt: (shape, data, the prompt's answer) to answers of a chat model whose score is known.
        joint: (shape, dataset) to models whose values over all languages are known.
    """

    zero_shot: Callable[[Any, Any], Iterable[Certificate]] = _none
    probe: Callable[[Any, Any, Sequence[Any]], Iterable[Certificate]] = _none
    prompt: Callable[[Any, Any, Any], Iterable[KnownAnswers]] = _none
    joint: Callable[[Any, Any], Iterable[JointCertificate]] = _none


@runtime_checkable
class CertifiedShape(Protocol):
    """A shape that brings its own certificates, as one from outside XRETE does, and so stays one file."""

    def theory(self) -> Theory:
        """Returns what theory knows of its scores."""
        ...


def vectors_by_key(keys: Mapping[str, int], dimension: int = 64, seed: int = 0) -> Encode:
    """Makes a model that gives texts of one key the same random unit vector, and other texts another.

    Args:
        keys: Texts to keys.
        dimension: Of the vectors. At 64, two of a few thousand random vectors are never as close as equal ones.
        seed: For the vectors.
    """
    table = np.random.default_rng(seed).standard_normal((max(keys.values()) + 1, dimension)).astype(np.float32)
    table /= np.linalg.norm(table, axis=1, keepdims=True)
    return lambda texts: table[[keys[text] for text in texts]]
