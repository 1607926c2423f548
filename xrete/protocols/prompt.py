"""Prompt: every item is put to a chat model as a question in words, without examples; its answer is scored."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from xrete.files import digest
from xrete.model import Kind
from xrete.prompts import Prompt
from xrete.protocols import Settings
from xrete.shapes.contract import PromptShape
from xrete.shapes.metric import Items

if TYPE_CHECKING:
    from xrete.dataset import Dataset

Ask = Callable[[Sequence[str], Callable[[str], Any]], Sequence[Any]]
"""Questions, and what reads an answer, to what was read of each answer, None where it cannot be read."""

KIND: Kind = "chat"
TRAINS = False


def outcomes(
    dataset: Dataset, ask: Ask, languages: Sequence[str], settings: Settings
) -> Iterator[tuple[str, Items]]:
    """Asks about every item; nothing here is random."""
    prompt, shape = _parts(dataset)
    for language in languages:
        answers = ask(questions(dataset, language), prompt.answer.read)
        yield language, shape.answered(dataset[language], answers)


def questions(dataset: Dataset, language: str) -> list[str]:
    """Returns the question about each item of a language."""
    prompt, shape = _parts(dataset)
    return [prompt.fill(fields) for fields in shape.fields(dataset[language])]


def fingerprint(dataset: Dataset, settings: Settings) -> str:
    """Returns a digest of the words in which is asked, and of what may be answered."""
    return digest([repr(dataset.card.prompt)])


def notes(dataset: Dataset, settings: Settings) -> tuple[str, ...]:
    """Says in which words was asked, what was cut, and how an answer counts that cannot be read."""
    prompt, shape = _parts(dataset)
    said = [
        f"prompt: each item is one question, without examples: {prompt.template!r}",
        f"prompt: an answer that cannot be read counts {shape.unread}",
    ]
    if prompt.longest is not None:
        said.append(f"prompt: of longer texts, the first {prompt.longest:,} characters are shown")
    return tuple(said)


def _parts(dataset: Dataset) -> tuple[Prompt, PromptShape]:
    prompt, shape = dataset.card.prompt, dataset.shape
    assert prompt is not None  # `xrete check` holds cards to both
    assert isinstance(shape, PromptShape)
    return prompt, shape
