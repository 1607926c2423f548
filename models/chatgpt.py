"""Any chat model behind an OpenAI-compatible endpoint: `chatgpt:MODEL`, address and key from the environment."""

from __future__ import annotations

import json
import os
from typing import Any
from urllib.parse import urlsplit

from xrete.errors import UsageError, XreteError
from xrete.files import parse_json
from xrete.model import ChatIdentity, ChatModel, LoadOptions, ModelCard, ModelIdentity

URL = "https://api.openai.com/v1"
PARAMETERS = {"temperature": 0}
"""Of every request, unless `chatgpt:MODEL?NAME=VALUE` says otherwise."""
OURS = ("model", "messages", "stream", "n")
"""Parameters that the client sets or counts on."""


class ChatGpt:
    """The plugin."""

    card = ModelCard(
        name="chatgpt",
        title="any chat model behind an OpenAI-compatible endpoint",
        licence="the provider's terms",
        languages="the model's own",
        parameters=None,
        dimension=None,
        max_length=None,
        trained_on=None,
        citation="",
        checkpoint="required",
        own_parameters=True,
        needs="an endpoint: OPENAI_API_KEY, and OPENAI_BASE_URL where it is not OpenAI's",
        notes=(
            "answers questions and has no vectors: for the protocol 'prompt' only",
            "chatgpt:MODEL?temperature=1 sets a parameter of every request; =null leaves one out",
            "a provider may change a model without changing its name",
        ),
    )

    def identify(self, options: LoadOptions) -> ModelIdentity:
        """Names model, endpoint and parameters."""
        model, parameters = _read(options)
        settings = "".join(f", {name}={json.dumps(value)}" for name, value in sorted(parameters.items()))
        return ChatIdentity(
            name=f"{self.card.name}:{options.checkpoint}", revision=f"{model} at {_endpoint()}{settings}"
        )

    def load(self, options: LoadOptions) -> ChatModel:
        """Takes the key from the environment; nothing is sent yet."""
        from xrete.chat.client import ChatClient

        model, parameters = _read(options)
        url, key = _endpoint(), os.environ.get("OPENAI_API_KEY", "").strip() or None
        if key is None and url == URL:
            raise XreteError(
                f"{self.card.name} needs a key: put it into the environment variable OPENAI_API_KEY, or name "
                f"another endpoint in OPENAI_BASE_URL"
            )
        if key and not (key.isascii() and key.isprintable()):
            raise UsageError("OPENAI_API_KEY holds characters that no key has; copy it again")
        return ChatClient(url, key, model, parameters, options.concurrency)


def _endpoint() -> str:
    """Returns the endpoint's address, which goes into records.

    Raises:
        UsageError: it is no address, or has a part that may hold a secret.
    """
    url = os.environ.get("OPENAI_BASE_URL", "").strip().rstrip("/") or URL
    try:
        parts = urlsplit(url)
        plain = parts.hostname and parts.scheme in ("http", "https") and not ("@" in parts.netloc or parts.query)
    except ValueError:
        plain = False
    if not plain or "#" in url:
        raise UsageError(
            f"OPENAI_BASE_URL must be an address such as {URL}, without user, password or query, since it goes "
            f"into records; put the key into OPENAI_API_KEY"
        )
    return url


def _read(options: LoadOptions) -> tuple[str, dict[str, Any]]:
    """Splits "MODEL?temperature=1&reasoning_effort=low" into the name and the parameters of requests.

    Raises:
        UsageError: there is no name, or a parameter is wrong.
    """
    model, _, query = (options.checkpoint or "").partition("?")
    given: dict[str, Any] = dict(PARAMETERS)
    for setting in filter(None, query.split("&")):
        name, equals, value = setting.partition("=")
        if not name or not equals or name in OURS:
            raise UsageError(f"'{setting}' is no parameter to set; write chatgpt:MODEL?NAME=VALUE&NAME=VALUE")
        given[name] = _value(value)
    if not model:
        raise UsageError("chatgpt needs the name of a model: chatgpt:MODEL")
    return model, {name: value for name, value in given.items() if value is not None}


def _value(text: str) -> Any:
    """Reads a number, true, false or null, and takes everything else as text."""
    try:
        return parse_json(text)
    except ValueError:
        return text


MODEL = ChatGpt()
