"""An OpenAI-compatible chat endpoint of this machine: it answers as it is told, and makes trouble as it is told."""

from __future__ import annotations

import itertools
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

KEY = "sk-test-4c1b9e7a2f60"
"""The only key that it takes."""
MODEL = "gpt-x"
SNAPSHOT = "gpt-x-2026-01-31"
"""What it calls the model that answers."""

TROUBLE: dict[str, tuple[int, dict[str, str], Any]] = {
    "429": (429, {"Retry-After": "0.2"}, {"error": {"message": "slow down", "code": "rate_limit_exceeded"}}),
    "429 for hours": (429, {"Retry-After": "7200"}, {"error": {"message": f"slow down, {KEY}"}}),
    "429 without a time": (429, {"Retry-After": "soon"}, {"error": "slow down"}),
    "no credit": (429, {}, {"error": {"message": f"{KEY} has no credit left", "code": "insufficient_quota"}}),
    "500": (500, {}, "<html>oops</html>"),
    "503": (503, {"Retry-After": "Fri, 31 Dec 1999 23:59:59 GMT"}, {"error": {"message": "overloaded"}}),
    "400": (400, {}, {"error": {"message": f"{KEY} may not use\n temperature 0", "code": "unsupported_value"}}),
    "refused": (400, {}, {"error": {"message": "not about this", "code": "content_filter"}}),
    "no choices": (200, {}, {"choices": []}),
    "not JSON": (200, {}, '{"choices": [{"message": {"content": "neu'),
    "null": (200, {}, None),
}
"""Status, headers and content of answers that are none."""


class Listener(ThreadingHTTPServer):
    """Keeps waiting as many connections as clients open at once: one too many is tried again a second later."""

    request_queue_size = 128


class ChatServer:
    """The endpoint.

    Attributes:
        url: What OPENAI_BASE_URL names.
        answer: Question to answer.
        trouble: Number of a request, from 0, to what befalls it: a key of TROUBLE, or one of "slow", "hang" (until
            `released`), "drop" (no answer) and "half" (half of one).
        bodies: Every request's content.
        asked: Every question that was answered, in order.
        times: When each request came, in seconds.
        tokens: Of all questions and answers that were answered: in, out.
        busiest: Most requests at once.
        hanging: Is released once for each request that hangs.
        released: Ends the hanging.
    """

    def __init__(self) -> None:
        self.answer: Callable[[str], str] = lambda question: "42"
        self.trouble: Callable[[int], str | None] = lambda number: None
        self.bodies: list[dict[str, Any]] = []
        self.asked: list[str] = []
        self.times: list[float] = []
        self.tokens = [0, 0]
        self.busiest = 0
        self.hanging = threading.Semaphore(0)
        self.released = threading.Event()
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self._busy = 0
        self._server = Listener(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with server._lock:
                    number = next(server._numbers)
                    server.bodies.append(body)
                    server.times.append(time.monotonic())
                    server._busy += 1
                    server.busiest = max(server.busiest, server._busy)
                try:
                    server._serve(self, body, server.trouble(number))
                finally:
                    with server._lock:
                        server._busy -= 1

            def log_message(self, *arguments: Any) -> None:
                pass

        return Handler

    def _serve(self, handler: BaseHTTPRequestHandler, body: dict[str, Any], trouble: str | None) -> None:
        if handler.headers.get("Authorization") != f"Bearer {KEY}":
            said = f"wrong key {handler.headers.get('Authorization')}"
            _send(handler, 401, {}, {"error": {"message": said, "code": "invalid_api_key"}})
        elif handler.path != "/v1/chat/completions" or body["model"] != MODEL:
            _send(handler, 404, {}, {"error": {"message": f"no model {body['model']}", "code": "model_not_found"}})
        elif trouble in TROUBLE:
            _send(handler, *TROUBLE[trouble])
        elif trouble == "drop":
            handler.connection.shutdown(socket.SHUT_RDWR)
            handler.close_connection = True
        else:
            if trouble == "hang":
                self.hanging.release()
                self.released.wait()
            if trouble == "slow":
                time.sleep(0.4)
            self._reply(handler, body["messages"][-1]["content"], half=trouble == "half")

    def _reply(self, handler: BaseHTTPRequestHandler, question: str, *, half: bool) -> None:
        said = self.answer(question)
        used = len(question.split()), len(said.split())
        content = {
            "object": "chat.completion",
            "model": SNAPSHOT,
            "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": said}}],
            "usage": {"prompt_tokens": used[0], "completion_tokens": used[1], "total_tokens": sum(used)},
        }
        if half:
            raw = json.dumps(content).encode()
            handler.send_response(200)
            handler.send_header("Content-Length", str(len(raw)))
            handler.end_headers()
            handler.wfile.write(raw[: len(raw) // 2])
            handler.close_connection = True
            return
        with self._lock:
            self.asked.append(question)
            self.tokens = [total + new for total, new in zip(self.tokens, used, strict=True)]
        _send(handler, 200, {}, content)


def _send(handler: BaseHTTPRequestHandler, status: int, headers: dict[str, str], content: Any) -> None:
    raw = content.encode() if isinstance(content, str) else json.dumps(content).encode()
    handler.send_response(status)
    for name, value in {**headers, "Content-Type": "application/json", "Content-Length": str(len(raw))}.items():
        handler.send_header(name, value)
    handler.end_headers()
    try:
        handler.wfile.write(raw)
    except OSError:  # the client has gone
        handler.close_connection = True


@pytest.fixture
def chat_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ChatServer]:
    """The endpoint, with the environment that leads to it."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    server = ChatServer()
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    yield server
    server.close()
