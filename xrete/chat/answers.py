"""Questions to answers for the harness: each is asked once, and its reply is kept, however the run ends.

Unlike embeddings, answers cost money and are never thrown away: where they cannot be kept, nothing is asked.
"""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from xrete.encoding.embedder import Progress
from xrete.errors import XreteError
from xrete.files import cache_root, digest, parse_json
from xrete.model import ChatModel, ModelIdentity, Reply
from xrete.record import Answers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

Value = TypeVar("Value")

IN_MEMORY = Path(":memory:")
"""Keeps answers for one run only (`--no-cache`)."""


def answers_file() -> Path:
    """The file of all answers of all models."""
    return cache_root() / "answers.sqlite"


class AnswerCache:
    """The replies of one chat model.

    Args:
        file: A SQLite file, shared by all models and by runs at the same time.
        identity: The model; its revision names model, endpoint and parameters, which together with the question
            are the key.

    Raises:
        XreteError: the file cannot be opened.
    """

    def __init__(self, file: Path, identity: ModelIdentity) -> None:
        self._file = file
        self._revision = identity.revision
        with self._explained():
            if file != IN_MEMORY:
                file.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(file, timeout=60, isolation_level=None)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")  # a power cut may lose the last answers, never the file
            self._db.execute(
                "CREATE TABLE IF NOT EXISTS answers (key BLOB PRIMARY KEY, reply TEXT, checksum INT) WITHOUT ROWID"
            )

    def get(self, questions: Sequence[str]) -> dict[str, Reply]:
        """Returns the replies that are there; a damaged one is not."""
        replies = {}
        with self._explained():
            for question in questions:
                key = self._key(question)
                row = self._db.execute("SELECT reply, checksum FROM answers WHERE key = ?", (key,)).fetchone()
                if row and row[1] == _checksum(key, row[0]):
                    replies[question] = Reply(*parse_json(row[0]))
        return replies

    def put(self, question: str, reply: Reply) -> None:
        """Keeps a reply.

        Raises:
            XreteError: it cannot be written.
        """
        key, text = self._key(question), json.dumps(astuple(reply), ensure_ascii=True)
        with self._explained():
            self._db.execute("INSERT OR REPLACE INTO answers VALUES (?, ?, ?)", (key, text, _checksum(key, text)))

    def __enter__(self) -> AnswerCache:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._db.close()

    def _key(self, question: str) -> bytes:
        return bytes.fromhex(digest([self._revision, question]))

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise XreteError(
                f"cannot keep answers in {self._file}: {error}; mend or move the file, name another folder in the "
                f"environment variable XRETE_CACHE, or keep none with --no-cache"
            ) from error


@dataclass
class Asker:
    """Asks for one run.

    Attributes:
        model: The chat model.
        cache: Where its replies are kept.
        progress: Told of every reply.
        encoded: Questions put to the endpoint so far.
        cached: Questions whose reply was there, or that came a second time in one call, so far.
        truncated: None: an endpoint does not say what it could not read.
        seconds: None: waiting is not working.
        probe: None: there are no vectors.
    """

    model: ChatModel
    cache: AnswerCache
    progress: Progress = lambda encoded, cached: None
    encoded: int = 0
    cached: int = 0
    truncated: None = None
    seconds: None = None
    probe: None = None
    _counts: Counter[str] = field(default_factory=Counter)
    _models: Counter[str] = field(default_factory=Counter)

    def __call__(self, questions: Sequence[str], read: Callable[[str], Value | None]) -> list[Value | None]:
        """Returns what `read` makes of the answer to each question, None where it cannot be read."""
        distinct = list(dict.fromkeys(questions))
        replies = self.cache.get(distinct)
        self._count(0, len(questions) - len(distinct) + len(replies))

        def keep(question: str, reply: Reply) -> None:
            self.cache.put(question, reply)
            replies[question] = reply
            self._count(1, 0)

        if missing := [question for question in distinct if question not in replies]:
            self.model.ask(missing, keep)
        values = [read(replies[question].text) for question in questions]
        self._counts["unread"] += sum(value is None for value in values)
        for reply in replies.values():
            self._counts["tokens_in"] += reply.tokens_in
            self._counts["tokens_out"] += reply.tokens_out
            self._models[reply.model] += 1
        return values

    def take(self) -> Answers:
        """Returns what the answers since the last call took, whenever they were paid for."""
        taken = Answers(
            **{name: self._counts[name] for name in ("unread", "tokens_in", "tokens_out")}, models=self._models
        )
        self._counts.clear()
        self._models.clear()
        return taken

    def _count(self, asked: int, cached: int) -> None:
        self.encoded += asked
        self.cached += cached
        self.progress(asked, cached)


def price_of(prices: tuple[float, float], tokens_in: int, tokens_out: int) -> float:
    """Returns what tokens cost.

    Args:
        prices: Of a million tokens in and out.
        tokens_in: Number of tokens in questions.
        tokens_out: Number of tokens in answers.
    """
    return (prices[0] * tokens_in + prices[1] * tokens_out) / 1e6


def _checksum(key: bytes, reply: str) -> int:
    return zlib.crc32(reply.encode(), zlib.crc32(key))
