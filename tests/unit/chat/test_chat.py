"""The client of chat endpoints, against a server that is slow, busy or broken, and the cache of answers."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import pytest

from xrete import registry
from xrete.chat import client as chat
from xrete.chat.answers import IN_MEMORY, AnswerCache, Asker, answers_file
from xrete.chat.client import ChatClient
from xrete.errors import UsageError, XreteError
from xrete.model import ChatIdentity, ChatModel, Reply

Server = Any

MODEL = "gpt-x"
SNAPSHOT = "gpt-x-2026-01-31"
QUESTIONS = [f"question {number}" for number in range(12)]


@pytest.fixture(autouse=True)
def _in_haste(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat, "FIRST_WAIT_SECONDS", 0.01)
    monkeypatch.setattr(chat, "LONGEST_WAIT_SECONDS", 0.02)


def client_of(server: Server, model: str = MODEL, key: str | None = None, concurrency: int = 4) -> ChatClient:
    return ChatClient(server.url, key or os.environ["OPENAI_API_KEY"], model, {"temperature": 0}, concurrency)


def ask(client: ChatClient, questions: Sequence[str] = QUESTIONS) -> dict[str, Reply]:
    replies: dict[str, Reply] = {}
    client.ask(questions, replies.__setitem__)
    return replies


def echo(question: str) -> str:
    return f"answer to {question}"


# --- asking -------------------------------------------------------------------------------------------------


def test_every_question_is_answered_once(chat_server: Server) -> None:
    chat_server.answer = echo
    replies = ask(client_of(chat_server))
    assert replies == {question: Reply(echo(question), SNAPSHOT, 2, 4) for question in QUESTIONS}
    assert sorted(chat_server.asked) == sorted(QUESTIONS)
    assert chat_server.bodies[0] == {
        "model": MODEL,
        "messages": [{"role": "user", "content": chat_server.bodies[0]["messages"][0]["content"]}],
        "temperature": 0,
    }


def test_no_more_at_once_than_allowed(chat_server: Server) -> None:
    chat_server.trouble = lambda number: "slow"
    ask(client_of(chat_server, concurrency=3), QUESTIONS[:6])
    assert chat_server.busiest == 3


def test_replies_are_handed_over_as_they_come(chat_server: Server) -> None:
    def trouble(number: int) -> str | None:
        if number == len(QUESTIONS) - 1:
            chat_server.released.set()
        return "hang" if number == 0 else None

    chat_server.trouble = trouble
    kept = list(ask(client_of(chat_server, concurrency=2)))
    assert sorted(kept) == sorted(QUESTIONS)
    assert set(QUESTIONS[:2]) & set(kept[-2:])  # one waited, while all the rest was asked beside it


@pytest.mark.parametrize(
    "trouble",
    ["429", "429 without a time", "500", "503", "no choices", "not JSON", "null", "drop", "half", "slow"],
)
def test_passing_trouble_costs_time_only(
    chat_server: Server, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    if trouble == "slow":
        monkeypatch.setattr(chat, "TIMEOUT_SECONDS", 0.1)
    chat_server.answer = echo
    chat_server.trouble = lambda number: trouble if number in (0, 2, 3) else None
    replies = ask(client_of(chat_server))
    assert {question: reply.text for question, reply in replies.items()} == {x: echo(x) for x in QUESTIONS}
    assert len(chat_server.bodies) == len(QUESTIONS) + 3


def test_the_endpoint_says_how_long_to_wait(chat_server: Server) -> None:
    chat_server.trouble = lambda number: "429" if number == 0 else None
    ask(client_of(chat_server), QUESTIONS[:1])
    first, second = chat_server.times
    assert 0.2 <= second - first < 2


@pytest.mark.parametrize("date", [True, False])
def test_the_time_may_be_a_date(date: bool) -> None:
    import email.utils

    import httpx2

    text = email.utils.formatdate(time.time() + 90, usegmt=True) if date else "90"
    assert chat.asked_seconds(httpx2.Response(429, headers={"Retry-After": text})) == pytest.approx(90, abs=2)
    assert chat.asked_seconds(httpx2.Response(429, headers={"Retry-After": "-5"})) == 0
    assert chat.asked_seconds(httpx2.Response(429)) == 0


def test_waits_double_up_to_a_limit_and_are_not_equal(chat_server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr(chat, "FIRST_WAIT_SECONDS", 1.0)
    monkeypatch.setattr(chat, "LONGEST_WAIT_SECONDS", 20.0)
    monkeypatch.setattr("asyncio.sleep", sleep)
    chat_server.trouble = lambda number: "500"
    with pytest.raises(XreteError):
        ask(client_of(chat_server), QUESTIONS[:1])
    for wait, most in zip(waits, (1, 2, 4, 8, 16, 20, 20), strict=True):
        assert most / 2 <= wait <= most
    assert len({wait / most for wait, most in zip(waits, (1, 2, 4, 8, 16, 20, 20), strict=True)}) == 7


@pytest.mark.parametrize(
    ("trouble", "attempts", "sentence"),
    [
        ("500", chat.ATTEMPTS, "gave no answer in 8 attempts, at last: HTTP 500 <html>oops</html>; run the same"),
        ("drop", chat.ATTEMPTS, "gave no answer in 8 attempts, at last: RemoteProtocolError"),
        ("not JSON", chat.ATTEMPTS, "at last: not the JSON of an answer"),
        ("429 for hours", 1, r"asks to wait 7,200 s \(HTTP 429 slow down, \[key\]\); run the same command then"),
        ("no credit", 1, r"refuses gpt-x \(HTTP 429\): \[key\] has no credit left; nothing more was asked"),
        ("400", 1, r"refuses gpt-x \(HTTP 400\): \[key\] may not use temperature 0; nothing more was asked"),
    ],
)
def test_lasting_trouble_is_one_sentence(chat_server: Server, trouble: str, attempts: int, sentence: str) -> None:
    chat_server.trouble = lambda number: trouble
    with pytest.raises(XreteError, match=sentence) as caught:
        ask(client_of(chat_server), QUESTIONS[:1])
    assert os.environ["OPENAI_API_KEY"] not in str(caught.value)
    assert str(caught.value).startswith(chat_server.url)
    assert len(chat_server.bodies) == attempts


def test_a_wrong_key_is_not_repeated(chat_server: Server) -> None:
    wrong = "sk-wrong-123456"
    with pytest.raises(XreteError, match=r"refuses the key \(HTTP 401\); set OPENAI_API_KEY to one that") as caught:
        ask(client_of(chat_server, key=wrong))
    assert wrong not in str(caught.value)
    assert len(chat_server.bodies) <= 4  # what was on its way


def test_a_wrong_model_and_a_wrong_address(chat_server: Server) -> None:
    with pytest.raises(XreteError, match="no model gpt-y; check the model's name and OPENAI_BASE_URL"):
        ask(client_of(chat_server, model="gpt-y"))
    chat_server.url = f"{chat_server.url}/v2"
    with pytest.raises(XreteError, match="HTTP 404"):
        ask(client_of(chat_server))


def test_nobody_there(chat_server: Server) -> None:
    chat_server.url = "http://127.0.0.1:9/v1"
    with pytest.raises(XreteError, match="gave no answer in 8 attempts, at last: ConnectError"):
        ask(client_of(chat_server), QUESTIONS[:1])


def test_what_was_answered_before_an_error_was_handed_over(chat_server: Server) -> None:
    chat_server.trouble = lambda number: "400" if number == 5 else None
    kept: dict[str, Reply] = {}
    with pytest.raises(XreteError, match="HTTP 400"):
        client_of(chat_server, concurrency=1).ask(QUESTIONS, kept.__setitem__)
    assert list(kept) == QUESTIONS[:5]


def test_ctrl_c_is_no_trouble_to_wait_for(chat_server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    async def hang(*request: Any, **options: Any) -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError as error:
            raise httpx2.ReadError("closed") from error

    monkeypatch.setattr(httpx2.AsyncClient, "post", hang)
    timers = [threading.Timer(wait, os.kill, (os.getpid(), signal.SIGINT)) for wait in (0.3, 20)]
    for timer in timers:
        timer.start()
    started = time.monotonic()
    try:
        with pytest.raises(KeyboardInterrupt):
            ask(client_of(chat_server))
    finally:
        timers[1].cancel()
    assert time.monotonic() - started < 15, "only a second Ctrl-C ended it"


def test_a_refused_question_has_no_answer_and_the_others_go_on(chat_server: Server) -> None:
    chat_server.trouble = lambda number: "refused" if number == 5 else None
    replies = ask(client_of(chat_server, concurrency=1))
    assert replies.pop(QUESTIONS[5]) == Reply("", MODEL, 0, 0)
    assert {reply.text for reply in replies.values()} == {"42"}


def test_an_answer_may_be_empty_and_tokens_uncounted() -> None:
    import httpx2

    content = {"choices": [{"message": {"content": None, "refusal": "no"}}]}
    assert chat.reply_of(httpx2.Response(200, json=content)) == Reply("", "", 0, 0)


def test_a_chat_model_has_no_vectors(chat_server: Server) -> None:
    client = client_of(chat_server)
    assert isinstance(client, ChatModel)
    with pytest.raises(UsageError, match="gpt-x is a chat model, which has no vectors; run it with the protocol"):
        client.encode(["a"])


# --- the plugin ---------------------------------------------------------------------------------------------


def test_what_decides_the_answers_is_the_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)  # identities need none
    identity = registry.request_model("chatgpt:gpt-x").identity
    assert isinstance(identity, ChatIdentity)
    assert identity.name == "chatgpt:gpt-x"
    assert identity.revision == "gpt-x at https://api.openai.com/v1, temperature=0"
    monkeypatch.setenv("OPENAI_BASE_URL", "http://localhost:8000/v1/")
    name = "chatgpt:org/model:free?temperature=null&top_p=0.5&reasoning_effort=low"
    identity = registry.request_model(name).identity
    assert identity.name == name
    assert identity.revision == 'org/model:free at http://localhost:8000/v1, reasoning_effort="low", top_p=0.5'


def test_parameters_are_sent(chat_server: Server) -> None:
    model = registry.load_model(f"chatgpt:{MODEL}?temperature=1&max_tokens=5").encoder
    assert isinstance(model, ChatModel)
    model.ask(["what?"], lambda question, reply: None)
    (body,) = chat_server.bodies
    assert (body["temperature"], body["max_tokens"]) == (1, 5)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("chatgpt", "model 'chatgpt' needs a checkpoint: chatgpt:CHECKPOINT"),
        ("chatgpt:?temperature=1", "chatgpt needs the name of a model: chatgpt:MODEL"),
        ("chatgpt:m?temperature", "'temperature' is no parameter to set"),
        ("chatgpt:m?n=3", "'n=3' is no parameter to set"),
    ],
)
def test_wrong_names(name: str, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        registry.request_model(name)


@pytest.mark.parametrize(
    "url",
    [
        "api.example.org/v1",
        "ftp://h/v1",
        "https://me:secret@h/v1",
        "https://h/v1?key=secret",
        "https://h/#secret",
        "http://[::1",
    ],
)
def test_an_address_that_may_hold_a_secret_is_refused_and_not_repeated(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", url)
    with pytest.raises(UsageError, match="OPENAI_BASE_URL must be an address such as") as caught:
        registry.request_model("chatgpt:m")
    assert "secret" not in str(caught.value)


def test_keys(monkeypatch: pytest.MonkeyPatch, chat_server: Server) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", f" {os.environ['OPENAI_API_KEY']}\n")  # as copied
    model = registry.load_model(f"chatgpt:{MODEL}").encoder
    assert isinstance(model, ChatModel)
    model.ask(["what?"], lambda question, reply: None)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-1\nsk-2")
    with pytest.raises(UsageError, match="holds characters that no key has; copy it again") as caught:
        registry.load_model("chatgpt:m")
    assert "sk-1" not in str(caught.value)
    monkeypatch.delenv("OPENAI_API_KEY")
    registry.load_model("chatgpt:m")  # an endpoint of one's own may want none
    monkeypatch.delenv("OPENAI_BASE_URL")
    with pytest.raises(XreteError, match="put it into the environment variable OPENAI_API_KEY, or name another"):
        registry.load_model("chatgpt:m")


# --- the cache ----------------------------------------------------------------------------------------------


def identity(revision: str = "m at u") -> ChatIdentity:
    return ChatIdentity(name="chatgpt:m", revision=revision)


class Counting:
    """Answers with the number of the question."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def encode(self, texts: Sequence[str], /) -> Any:
        raise AssertionError

    def ask(self, questions: Sequence[str], keep: Callable[[str, Reply], None], /) -> None:
        for question in questions:
            self.asked.append(question)
            keep(question, Reply(str(len(self.asked)), "m-1", 10, 1))


def _append(steps: list[tuple[int, int]], asked: int, cached: int) -> None:
    steps.append((asked, cached))


def number(text: str) -> int | None:
    return int(text) if text != "2" else None


def test_nothing_is_asked_twice(tmp_path: Path) -> None:
    model, file = Counting(), tmp_path / "folder" / "answers.sqlite"
    for known in (0, 3):
        with AnswerCache(file, identity()) as cache:
            steps: list[tuple[int, int]] = []
            asker = Asker(model, cache, partial(_append, steps))
            assert asker(["a", "b", "a", "c"], number) == [1, None, 1, 3]
            assert (asker.encoded, asker.cached) == (3 - known, 1 + known)
            assert tuple(map(sum, zip(*steps, strict=True))) == (3 - known, 1 + known)
            taken = asker.take()
            assert (taken.unread, taken.tokens_in, taken.tokens_out, taken.models) == (1, 30, 3, {"m-1": 3})
            assert asker.take().tokens_in == 0
    assert model.asked == ["a", "b", "c"]
    with AnswerCache(file, identity("m at u, temperature=1")) as cache:
        assert cache.get(["a", "b"]) == {}


def test_what_was_answered_before_a_stop_is_kept(tmp_path: Path) -> None:
    class Stopped(Counting):
        def ask(self, questions: Sequence[str], keep: Callable[[str, Reply], None], /) -> None:
            super().ask(questions[:2], keep)
            raise KeyboardInterrupt

    with AnswerCache(tmp_path / "a", identity()) as cache, pytest.raises(KeyboardInterrupt):
        Asker(Stopped(), cache)(["a", "b", "c"], number)
    with AnswerCache(tmp_path / "a", identity()) as cache:
        assert set(cache.get(["a", "b", "c"])) == {"a", "b"}


def test_in_memory_nothing_outlives_the_run() -> None:
    with AnswerCache(IN_MEMORY, identity()) as cache:
        Asker(Counting(), cache)(["a"], number)
        assert set(cache.get(["a"])) == {"a"}
    with AnswerCache(IN_MEMORY, identity()) as cache:
        assert cache.get(["a"]) == {}
    assert not answers_file().exists()


def test_any_text_comes_back(tmp_path: Path) -> None:
    replies = {text: Reply(text, "m", 1, 2) for text in ("", "na\u00efve \u2028 \U0001f600", "\ud800", "\x00'\"\n")}
    with AnswerCache(tmp_path / "a", identity()) as cache:
        for question, reply in replies.items():
            cache.put(question, reply)
    with AnswerCache(tmp_path / "a", identity()) as cache:
        assert cache.get(list(replies)) == replies


def test_a_damaged_answer_is_asked_again(tmp_path: Path) -> None:
    model, file = Counting(), tmp_path / "a"
    with AnswerCache(file, identity()) as cache:
        Asker(model, cache)(["a", "b"], number)
    with sqlite3.connect(file) as db:
        db.execute("UPDATE answers SET reply = replace(reply, '\"1\"', '\"7\"')")
    with AnswerCache(file, identity()) as cache:
        assert Asker(model, cache)(["a", "b"], number) == [3, None]
    assert model.asked == ["a", "b", "a"]


def test_what_cannot_be_kept_is_not_asked(tmp_path: Path) -> None:
    (tmp_path / "damaged").write_bytes(b"no database " * 100)
    (tmp_path / "file").touch()
    for file in (tmp_path / "damaged", tmp_path / "file" / "answers.sqlite"):
        with pytest.raises(
            XreteError, match=r"cannot keep answers in .*; mend or move the file, name another folder"
        ):
            AnswerCache(file, identity())
    assert (tmp_path / "damaged").read_bytes().startswith(b"no database")  # it may hold what was paid for


def test_a_full_disk_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(*file: Any, **options: Any) -> sqlite3.Connection:
        db: sqlite3.Connection = open_database(*file, **options)
        db.execute("PRAGMA max_page_count = 4")
        return db

    model, open_database = Counting(), sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", connect)
    with (
        AnswerCache(tmp_path / "a", identity()) as cache,
        pytest.raises(XreteError, match="database or disk is full"),
    ):
        Asker(model, cache)([f"{number} {'x' * 999}" for number in range(999)], lambda text: text)
    assert len(model.asked) < 999
    with AnswerCache(tmp_path / "a", identity()) as cache:
        known = cache.get(model.asked)
        assert set(known) == set(model.asked[:-1])
