"""Prompt: every item is put to a chat model as a question in words, without examples; its answer is scored."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Literal

from xrete.chat.answers import IN_MEMORY, AnswerCache, Asker, answers_file
from xrete.files import digest
from xrete.model import ChatModel, Kind, LoadedModel
from xrete.prompts import Prompt
from xrete.protocols import Opening, Settings, Work
from xrete.record import FineTuning
from xrete.shapes.contract import PromptShape, Shape
from xrete.shapes.metric import Items

if TYPE_CHECKING:
    from xrete.dataset import Dataset

Ask = Callable[[Sequence[str], Callable[[str], Any]], Sequence[Any]]
"""Questions, and what reads an answer, to what was read of each answer, None where it cannot be read."""

KIND: Kind = "chat"
UNIT: Literal["questions"] = "questions"
SELF_CONTAINED = False
NEEDS: Literal["prompt"] = "prompt"

BYTES_PER_TOKEN = 3
"""Of UTF-8. Tokenizers of large models put more into a token in most languages: the estimate is rather too high."""
MESSAGE_TOKENS = 8
"""That the form of a chat adds to a question."""
ANSWER_TOKENS = 8
"""Of one word, number or short list. A model that thinks before it answers uses many more."""


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


def fits(shape: Shape) -> bool:
    """Returns whether a shape can be put into words."""
    return isinstance(shape, PromptShape)


def settings(asked: Settings) -> Settings:
    """Returns the seed: nothing is trained."""
    return Settings(seed=asked.seed)


def open_model(model: LoadedModel, opening: Opening, stack: ExitStack) -> Asker:
    """Opens a chat model with the answers that it gave before."""
    assert isinstance(model.encoder, ChatModel)
    cache = stack.enter_context(AnswerCache(answers_file() if opening.use_cache else IN_MEMORY, opening.identity))
    return Asker(model.encoder, cache, opening.progress)


def joint(dataset: Dataset, model: Asker) -> None:
    """Is None: items are asked about one by one."""


def work(dataset: Dataset, languages: Sequence[str], settings: Settings, opening: Opening) -> Work:
    """Counts the questions, those that are answered, and about what the others take."""
    asked = [question for language in languages for question in questions(dataset, language)]
    answered = _answered(asked, opening)
    missing = {question for question in asked if question not in answered}
    return Work(
        texts=len(asked),
        answered=sum(question in answered for question in asked),
        tokens_in=sum(map(estimate_tokens, missing)),
        tokens_out=ANSWER_TOKENS * len(missing),
    )


def estimate_tokens(question: str) -> int:
    """Returns about how many tokens a model reads with a question."""
    return MESSAGE_TOKENS + math.ceil(len(question.encode()) / BYTES_PER_TOKEN)


def trained_on(dataset: Dataset, settings: Settings) -> None:
    """Is None: a model that answers is not trained."""


def fine_tuning(
    dataset: Dataset, settings: Settings, model: Asker, items: Mapping[str, Items]
) -> FineTuning | None:
    """Is None: the model stays as it is."""
    return None


def fingerprint(dataset: Dataset, settings: Settings) -> str:
    """Returns a digest of the words in which is asked, and of what may be answered."""
    return digest([repr(dataset.card.prompt)])


def notes(dataset: Dataset, settings: Settings) -> tuple[str, ...]:
    """Says in which words was asked, what was cut, and how an answer counts that cannot be read."""
    prompt, shape = _parts(dataset)
    notes = [
        f"prompt: each item is one question, without examples: {prompt.template!r}",
        f"prompt: an answer that cannot be read counts {shape.unread}",
    ]
    if prompt.longest is not None:
        notes.append(f"prompt: of longer texts, the first {prompt.longest:,} characters are shown")
    return tuple(notes)


def _answered(asked: Sequence[str], opening: Opening) -> Collection[str]:
    """Returns the questions whose answers are in the cache."""
    if not opening.use_cache or not answers_file().exists():
        return ()
    with AnswerCache(answers_file(), opening.identity) as cache:
        return cache.get(asked)


def _parts(dataset: Dataset) -> tuple[Prompt, PromptShape]:
    prompt, shape = dataset.card.prompt, dataset.shape
    assert prompt is not None  # `xrete check` holds cards to both
    assert isinstance(shape, PromptShape)
    return prompt, shape
