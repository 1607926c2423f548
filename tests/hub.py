"""A hub without a network: repositories in the layout of huggingface_hub's own cache, or on a server of our own."""

from __future__ import annotations

import hashlib
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

MakeSnapshot = Callable[..., Path]


@pytest.fixture
def snapshot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeSnapshot:
    """Puts files into the hub's cache as one revision of a data set; returns the folder of the revision."""
    cache = tmp_path / "hub-cache"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))

    def make(repo: str, revision: str, files: Mapping[str, str | bytes]) -> Path:
        folder = cache / f"datasets--{repo.replace('/', '--')}" / "snapshots" / revision
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        return folder

    return make


@dataclass
class HubServer:
    """A hub on this machine: it lists and sends the files of repositories, and counts what it has sent.

    Attributes:
        address: Its address.
        files: Content by repository and path; every repository has one revision, the one that is asked for.
        sent: Bytes that were sent of each path, over all requests.
    """

    address: str = ""
    files: dict[str, dict[str, bytes]] = field(default_factory=dict)
    sent: Counter[str] = field(default_factory=Counter)

    def environment(self, home: Path) -> dict[str, str | None]:
        """What a process needs to take it for the hub, with a cache of its own."""
        return {
            "HF_ENDPOINT": self.address,
            "HF_HOME": str(home),
            "HF_HUB_OFFLINE": None,
            "HF_HUB_DISABLE_XET": "1",
            "XRETE_CACHE": str(home / "xrete"),
        }

    def use(self, patch: pytest.MonkeyPatch, home: Path) -> None:
        """Makes this process take it for the hub, with a cache of its own."""
        patch.setattr("huggingface_hub.constants.ENDPOINT", self.address)
        template = f"{self.address}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        patch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
        patch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(home / "hub"))
        patch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
        patch.setenv("XRETE_CACHE", str(home / "xrete"))

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """Answers one request for a listing or a file."""
        kind, _, rest = request.path.lstrip("/").partition("/")
        repo = next((x for x in self.files if rest.startswith((f"{x}/", f"datasets/{x}/"))), None)
        if repo is None:
            request.send_error(404)
        elif kind == "api" and "/revision/" in rest:
            revision = rest.partition("/revision/")[2].partition("?")[0]
            self._listing(request, repo, revision)
        elif kind == "datasets" and "/resolve/" in rest:
            revision, _, path = rest.partition("/resolve/")[2].partition("/")
            self._file(request, revision, path, self.files[repo][path])
        else:
            request.send_error(404)

    def _listing(self, request: BaseHTTPRequestHandler, repo: str, revision: str) -> None:
        siblings: list[dict[str, Any]] = []
        for path, content in self.files[repo].items():
            entry: dict[str, Any] = {"rfilename": path, "size": len(content), "blobId": git_digest(content)}
            if path.endswith((".parquet", ".gz")):
                sha = hashlib.sha256(content).hexdigest()
                entry["lfs"] = {"sha256": sha, "size": len(content), "pointerSize": 130}
            siblings.append(entry)
        body = json.dumps({"id": repo, "sha": revision, "siblings": siblings}).encode()
        request.send_response(200)
        request.send_header("Content-Type", "application/json")
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    def _file(self, request: BaseHTTPRequestHandler, revision: str, path: str, content: bytes) -> None:
        start = int((request.headers.get("Range") or "bytes=0-")[6:].partition("-")[0])
        is_lfs = path.endswith((".parquet", ".gz"))
        request.send_response(206 if start else 200)
        request.send_header("ETag", f'"{hashlib.sha256(content).hexdigest() if is_lfs else git_digest(content)}"')
        request.send_header("X-Repo-Commit", revision)
        request.send_header("Content-Length", str(len(content) - start))
        if start:
            request.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        request.end_headers()
        if request.command == "GET":
            self.sent[path] += len(content) - start  # before whoever asked for it can look
            request.wfile.write(content[start:])


def git_digest(content: bytes) -> str:
    """The name that git gives a content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


@pytest.fixture
def hub_server() -> Iterator[HubServer]:
    """A hub on this machine, without repositories at first."""
    hub = HubServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # else a body waits 40 ms for the client to have noticed its headers

        def do_GET(self) -> None:
            hub.answer(self)

        def do_HEAD(self) -> None:
            hub.answer(self)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.address = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield hub
    server.shutdown()
    server.server_close()
