"""`xrete data` and the hub: a language fetches its own files, whole and once, and it is said what is there."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from tests.hub import HubServer
from tests.running import Run
from xrete import registry

TATOEBA = registry.task("tatoeba").card
SIZES = {"tzl": 104, "swg": 112, "csb": 253}


@pytest.fixture
def tatoeba(hub_server: HubServer) -> dict[str, bytes]:
    """The files of three languages, and code that nobody must fetch."""
    assert TATOEBA.hub is not None
    card = "---\nconfigs:\n" + "".join(
        f"- config_name: {code}-eng\n  data_files:\n  - split: test\n    path: test/{code}-eng.jsonl.gz\n"
        for code in SIZES
    )
    files = {"README.md": f"{card}---\n".encode(), "tatoeba-bitext-mining.py": b"raise RuntimeError"}
    for code, size in SIZES.items():
        rows = ({"sentence1": f"{code} {row}", "sentence2": f"English {row}"} for row in range(size))
        files[f"test/{code}-eng.jsonl.gz"] = gzip.compress("".join(f"{json.dumps(row)}\n" for row in rows).encode())
    hub_server.files[TATOEBA.hub.repo] = files
    return files


def test_a_language_fetches_its_own_files_once(
    hub_server: HubServer, tatoeba: dict[str, bytes], shell: Run, tmp_path: Path
) -> None:
    environment = hub_server.environment(tmp_path / "home")
    own = {path: len(tatoeba[path]) for path in ("README.md", "test/tzl-eng.jsonl.gz")}
    first = shell("data", "fetch", "tatoeba", "--languages", "tzl", environment=environment)
    size = f"{sum(own.values()):,}"
    assert first.stdout.splitlines() == [
        f"tzl: 2 files, {size} bytes, of which {size} were fetched now",
        f"tatoeba, test, 1 languages: 2 files, {size} bytes, of which {size} were fetched now",
    ], first.stderr
    assert dict(hub_server.sent) == own
    again = shell("data", "fetch", "tatoeba", "--languages", "tzl", "--json", environment=environment)
    assert json.loads(again.stdout) == {
        "task": "tatoeba", "language": "tzl", "files": {"test/tzl-eng.jsonl.gz": own["test/tzl-eng.jsonl.gz"]}
        | {"README.md": own["README.md"]}, "new": [],
    }  # fmt: skip
    assert dict(hub_server.sent) == own
    verified = shell(
        "data", "verify", "tatoeba", "--data", "hub", "--languages", "tzl,csb", environment=environment
    )
    assert verified.stdout.splitlines() == [
        "tatoeba, test: 1 of 2 languages, 104 items, as published",
        "not fetched: csb",
        f"hub: 2 of 5 files of {TATOEBA.hub and TATOEBA.hub.repo}, {size} bytes, on this machine",
    ], verified.stderr
    where = shell("data", "where", "tatoeba", environment=environment)
    assert f"(2 files, {size} bytes on this machine)" in where.stdout
    assert dict(hub_server.sent) == own


def test_a_fetch_that_was_cut_goes_on_where_it_was(
    hub_server: HubServer, tatoeba: dict[str, bytes], shell: Run, tmp_path: Path
) -> None:
    path = "test/csb-eng.jsonl.gz"
    environment = hub_server.environment(tmp_path / "home")
    assert shell("data", "fetch", "tatoeba", "--languages", "tzl", environment=environment).returncode == 0
    (known,) = (tmp_path / "home").rglob("tzl-eng.jsonl.gz")
    part = known.with_name("csb-eng.jsonl.gz.part")
    part.write_bytes(tatoeba[path][:500])  # as a killed process leaves it
    done = shell("data", "fetch", "tatoeba", "--languages", "csb", environment=environment)
    assert done.returncode == 0, done.stderr
    assert hub_server.sent[path] == len(tatoeba[path]) - 500
    assert known.with_name("csb-eng.jsonl.gz").read_bytes() == tatoeba[path]
    assert not part.exists()


def test_a_file_that_is_not_what_the_hub_said_is_thrown_away(
    hub_server: HubServer, tatoeba: dict[str, bytes], shell: Run, tmp_path: Path
) -> None:
    path, environment = "test/tzl-eng.jsonl.gz", hub_server.environment(tmp_path / "home")
    assert shell("data", "fetch", "tatoeba", "--languages", "swg", environment=environment).returncode == 0
    whole = tatoeba[path]
    tatoeba[path] = whole[:-1] + b"?"  # after the listing, of the same size
    done = shell("data", "fetch", "tatoeba", "--languages", "tzl", environment=environment)
    assert done.returncode == 1
    assert f"{path}: its digest is not " in done.stderr
    tatoeba[path] = whole
    assert shell("data", "fetch", "tatoeba", "--languages", "tzl", environment=environment).returncode == 0
    (file,) = (tmp_path / "home").rglob("tzl-eng.jsonl.gz")
    file.write_bytes(whole[:-1] + b"?")
    done = shell("data", "verify", "tatoeba", "--data", "hub", "--languages", "swg", environment=environment)
    assert done.returncode == 1
    assert "its digest is not " in done.stderr
    assert "remove it and fetch it again" in done.stderr
