"""Certificates under each protocol; fine-tuning has none, as theory knows no transformer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from xrete.check.certificates import theory_of
from xrete.check.certificates.contract import Certificate
from xrete.check.certificates.encoders import codebook
from xrete.protocols import Settings, load_protocol
from xrete.protocols.material import material
from xrete.protocols.prompt import Ask, questions

if TYPE_CHECKING:
    from xrete.dataset import Dataset

MUTE = "I cannot say."
"""An answer that no prompt can read."""


def certificates(protocol: str, dataset: Dataset, language: str, settings: Settings) -> Iterable[Certificate]:
    """Returns models whose score of that language is known from theory.

    They are those that the protocol brings, else the table's.
    """
    own = load_protocol(protocol)
    if isinstance(own, CertifiedProtocol):
        return own.certificates(dataset, language, settings)
    by_protocol = {"zero-shot": _zero_shot, "probe": _probe, "prompt": _prompt}
    return by_protocol[protocol](dataset, language, settings) if protocol in by_protocol else ()


@runtime_checkable
class CertifiedProtocol(Protocol):
    """A protocol that brings its own certificates, as one from outside XRETE does, and so stays one file."""

    def certificates(self, dataset: Dataset, language: str, settings: Settings) -> Iterable[Certificate]:
        """Returns models whose score of a language is known from theory."""
        ...


def _zero_shot(dataset: Dataset, language: str, settings: Settings) -> Iterable[Certificate]:
    return theory_of(dataset.shape).zero_shot(dataset.shape, dataset[language])


def _probe(dataset: Dataset, language: str, settings: Settings) -> Iterable[Certificate]:
    """Returns the shape's; after cross-fitting, only the oracle's score does not depend on the halves."""
    trained_on = material(dataset, settings)
    training = [part.data for parts in trained_on.parts for part in parts]
    known = theory_of(dataset.shape).probe(dataset.shape, dataset[language], training)
    return (x for x in known if x.name == "oracle" or not trained_on.halves)


def _prompt(dataset: Dataset, language: str, settings: Settings) -> Iterator[Certificate]:
    """Yields models that give the shape's known answers, where no two items share a question."""
    prompt = dataset.card.prompt
    assert prompt is not None  # `xrete check` holds cards to it
    asked = questions(dataset, language)
    for known in theory_of(dataset.shape).prompt(dataset.shape, dataset[language], prompt.answer):
        replies = [MUTE if answer is None else prompt.answer.write(answer) for answer in known.answers]
        if (book := codebook(zip(asked, replies, strict=True))) is not None:
            yield Certificate(known.name, _teller(book), known.score, known.score, known.metric)


def _teller(book: dict[str, str]) -> Ask:
    """Makes a model that says what the book has."""
    return lambda asked, read: [read(book[question]) for question in asked]
