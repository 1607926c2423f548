"""A client of OpenAI-compatible chat endpoints: many questions at once, patient retries, and a clean stop."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import httpx2

from xrete.errors import UsageError, XreteError
from xrete.model import Reply

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TIMEOUT_SECONDS = 180.0
"""Of one request, answer included; models that think take minutes."""
ATTEMPTS = 8
FIRST_WAIT_SECONDS = 1.0
"""Before the second attempt; it doubles with each further one."""
LONGEST_WAIT_SECONDS = 60.0
LONGEST_ASKED_SECONDS = 600.0
"""What an endpoint asks to wait beyond this ends the run, which can go on later."""

TRANSIENT = {408, 409, 425, 429}
"""With all of 500 and above, the HTTP statuses that may be gone at the next attempt."""
NO_CREDIT = "insufficient_quota"
"""A 429 that no waiting mends."""
REFUSALS = {"content_filter", "content_policy_violation", "invalid_prompt"}
"""Error codes with which endpoints refuse one question: it has no answer, and the others go on."""


class ChatClient:
    """Asks one model.

    Args:
        url: Base address of the endpoint, as in "https://api.openai.com/v1".
        key: Sent to the endpoint, and told to nobody else; None where it wants none.
        model: Name of the model there.
        parameters: Of every request, such as temperature.
        concurrency: Requests at once.
    """

    device = "remote"

    def __init__(
        self, url: str, key: str | None, model: str, parameters: Mapping[str, Any], concurrency: int
    ) -> None:
        self._url = url
        self._key = key
        self._model = model
        self._parameters = parameters
        self._concurrency = concurrency

    def encode(self, texts: Sequence[str], /) -> NDArray[np.float32]:
        """Has no vectors [n, d].

        Raises:
            UsageError: always.
        """
        raise UsageError(f"{self._model} is a chat model, which has no vectors; run it with the protocol 'prompt'")

    def ask(self, questions: Sequence[str], keep: Callable[[str, Reply], None], /) -> None:
        """Asks distinct questions, and calls `keep` with each question and its reply as soon as that is there.

        The first error ends all requests, and so does Ctrl-C; what `keep` was called with has been answered.

        Raises:
            XreteError: the endpoint cannot be reached, refuses, or does not recover.
        """
        try:
            asyncio.run(self._ask_all(iter(questions), keep))
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None

    async def _ask_all(self, questions: Iterator[str], keep: Callable[[str, Reply], None]) -> None:
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        limits = httpx2.Limits(max_connections=self._concurrency, max_keepalive_connections=self._concurrency)
        async with (
            httpx2.AsyncClient(headers=headers, timeout=TIMEOUT_SECONDS, limits=limits) as client,
            asyncio.TaskGroup() as group,
        ):
            for _ in range(self._concurrency):
                group.create_task(self._ask_next(client, questions, keep))

    async def _ask_next(
        self, client: httpx2.AsyncClient, questions: Iterator[str], keep: Callable[[str, Reply], None]
    ) -> None:
        """Asks one question after the other, of those that all such tasks share."""
        for question in questions:
            keep(question, await self._reply(client, question))

    async def _reply(self, client: httpx2.AsyncClient, question: str) -> Reply:
        message = {"role": "user", "content": question}
        body = {"model": self._model, "messages": [message], **self._parameters}
        wait = FIRST_WAIT_SECONDS
        for attempt in range(1, ATTEMPTS + 1):
            try:
                async with asyncio.timeout(TIMEOUT_SECONDS):
                    return self._read(await client.post(f"{self._url}/chat/completions", json=body))
            except _TransientError as error:
                reason, asked = str(error), error.seconds
            except TimeoutError:
                reason, asked = f"no answer within {TIMEOUT_SECONDS:g} s", 0.0
            except httpx2.RequestError as error:
                reason, asked = f"{type(error).__name__} {error}".strip(), 0.0
            if (task := asyncio.current_task()) and task.cancelling():
                raise asyncio.CancelledError  # Ctrl-C, whatever a closing connection makes of it
            if asked > LONGEST_ASKED_SECONDS:
                raise XreteError(
                    f"{self._url} asks to wait {asked:,.0f} s ({self._hidden(reason)}); run the same command then"
                )
            if attempt < ATTEMPTS:  # never sooner than asked, and not all at once
                await asyncio.sleep(asked + wait * random.uniform(0.5, 1.0))
                wait = min(2 * wait, LONGEST_WAIT_SECONDS)
        raise XreteError(
            f"{self._url} gave no answer in {ATTEMPTS} attempts, at last: {self._hidden(reason)}; run the same "
            f"command again to go on"
        )

    def _read(self, response: httpx2.Response) -> Reply:
        """Returns the reply.

        Raises:
            _TransientError: another attempt may succeed.
            XreteError: none will.
        """
        if response.is_success:
            return reply_of(response)
        code, sentence = _problem(response)
        if code in REFUSALS:
            return Reply("", self._model, 0, 0)
        status = response.status_code
        if code != NO_CREDIT and (status in TRANSIENT or status >= 500):
            raise _TransientError(f"HTTP {status} {sentence}".strip(), asked_seconds(response))
        if status in (401, 403):  # endpoints repeat a part of the key in what they say
            raise XreteError(
                f"{self._url} refuses the key (HTTP {status}); set OPENAI_API_KEY to one that may ask {self._model}"
            )
        help_ = "check the model's name and OPENAI_BASE_URL" if status == 404 else "nothing more was asked"
        raise XreteError(f"{self._url} refuses {self._model} (HTTP {status}): {self._hidden(sentence)}; {help_}")

    def _hidden(self, text: str) -> str:
        return text.replace(self._key, "[key]") if self._key else text


class _TransientError(Exception):
    """What may be gone at the next attempt, and how many seconds the endpoint asks to wait."""

    def __init__(self, reason: str, seconds: float = 0.0) -> None:
        super().__init__(reason)
        self.seconds = seconds


def reply_of(response: httpx2.Response) -> Reply:
    """Reads a successful response; an answer may be empty, and its tokens uncounted.

    Raises:
        _TransientError: it is no answer.
    """
    try:
        content = response.json()
        text = content["choices"][0]["message"].get("content") or ""
        usage = content.get("usage") or {}
        return Reply(
            text=str(text),
            model=str(content.get("model") or ""),
            tokens_in=int(usage.get("prompt_tokens") or 0),
            tokens_out=int(usage.get("completion_tokens") or 0),
        )
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise _TransientError(f"not the JSON of an answer ({type(error).__name__})") from None


def _problem(response: httpx2.Response) -> tuple[str, str]:
    """Returns the code and the sentence of an error, as far as there are any."""
    try:
        error = response.json()["error"]
        code, sentence = (error.get("code"), error.get("message")) if isinstance(error, dict) else ("", error)
    except (ValueError, LookupError, TypeError):
        code, sentence = "", response.text
    return str(code), " ".join(str(sentence or response.reason_phrase).split())[:200]


def asked_seconds(response: httpx2.Response) -> float:
    """Returns what Retry-After asks for, in seconds or as a date; 0 where it asks for nothing that can be read."""
    asked = response.headers.get("Retry-After", "")
    try:
        return max(0.0, float(asked))
    except ValueError:
        pass
    try:
        until = parsedate_to_datetime(asked)
    except ValueError:
        return 0.0
    return max(0.0, (until.replace(tzinfo=until.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
