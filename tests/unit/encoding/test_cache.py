"""The embedding cache: whatever happens to its files, a run goes on, and no vector is wrong."""

from __future__ import annotations

import os
import random
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from xrete.encoding.cache import DiskCache, NoCache
from xrete.encoding.embedder import Embedder
from xrete.model import Encoder

DIMENSION = 16
TEXTS = [f"sentence {number} · 文 {number}" for number in range(60)]
VECTORS = np.random.default_rng(0).standard_normal((len(TEXTS), DIMENSION)).astype(np.float32)
TRUNCATED = np.arange(len(TEXTS)) % 3 == 0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "embeddings"


def fill(folder: Path, identity: str = "model", texts: list[str] = TEXTS) -> None:
    with DiskCache(folder, identity) as cache:
        cache.put(texts, VECTORS[: len(texts)], TRUNCATED[: len(texts)])


def right(cache: DiskCache) -> int:
    """Checks that what the cache gives is what was put, to the bit, and counts it."""
    found = cache.get(TEXTS)
    for text, (vector, flag) in found.items():
        row = TEXTS.index(text)
        assert vector.dtype == np.float32
        assert vector.tobytes() == VECTORS[row].tobytes()
        assert flag is bool(TRUNCATED[row])
    return len(found)


def test_what_is_put_is_found_by_a_later_run(folder: Path) -> None:
    fill(folder, texts=TEXTS[:40])
    with DiskCache(folder, "model") as cache:
        assert set(cache.get([*TEXTS[30:50], "another"])) == set(TEXTS[30:40])
        assert right(cache) == 40
    with DiskCache(folder, "another model") as cache:
        assert cache.get(TEXTS) == {}


def test_models_that_do_not_say_what_they_truncate(folder: Path) -> None:
    with DiskCache(folder, "model") as cache:
        cache.put(TEXTS, VECTORS, None)
        assert {flag for _, flag in cache.get(TEXTS).values()} == {None}


def test_more_texts_than_one_query_takes(folder: Path) -> None:
    texts = [str(number) for number in range(2345)]
    vectors = np.arange(2345, dtype=np.float32)[:, None]
    with DiskCache(folder, "model") as cache:
        cache.put(texts, vectors, None)
        found = cache.get(texts)
    assert [float(found[text][0][0]) for text in texts] == list(range(2345))


@pytest.mark.parametrize("text", ["", "a" * 100_000, "\x00", "\ud800", "a\u0301", "\u00e1"])
def test_any_text_has_a_key_of_its_own(folder: Path, text: str) -> None:
    with DiskCache(folder, "model") as cache:
        cache.put([text, "other"], VECTORS[:2], None)
        assert cache.get([text])[text][0].tobytes() == VECTORS[0].tobytes()
        assert cache.get([f"{text}."]) == {}


def killed(tmp_path: Path) -> dict[str, bytes]:
    """The files of a run that was killed: most of the vectors are in SQLite's write-ahead log."""
    with DiskCache(tmp_path / "live", "model") as cache:
        cache.put(TEXTS[:20], VECTORS[:20], TRUNCATED[:20])
        with closing(sqlite3.connect(tmp_path / "live" / "model.sqlite")) as db:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        cache.put(TEXTS[20:], VECTORS[20:], TRUNCATED[20:])
        return {path.name: path.read_bytes() for path in (tmp_path / "live").iterdir()}


def closed(tmp_path: Path) -> dict[str, bytes]:
    """The one file of a run that ended."""
    fill(tmp_path / "closed")
    return {path.name: path.read_bytes() for path in (tmp_path / "closed").iterdir()}


Files = Callable[[Path], dict[str, bytes]]


def test_a_kill_loses_nothing_that_was_put(tmp_path: Path) -> None:
    files = killed(tmp_path)
    assert sorted(files) == ["model.sqlite", "model.sqlite-shm", "model.sqlite-wal"]
    with damaged(tmp_path, files) as cache:
        assert right(cache) == len(TEXTS)


def damaged(tmp_path: Path, files: dict[str, bytes]) -> DiskCache:
    folder = tmp_path / "damaged"
    folder.mkdir(exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return DiskCache(folder, "model")


def damages(files: dict[str, bytes], count: int) -> Iterator[dict[str, bytes]]:
    """Yields copies, each with one file cut, or a few bytes of it changed; the first bytes are its header."""
    draw = random.Random(7)
    names = [name for name, content in files.items() if content]
    for number in range(count):
        name = names[number % len(names)]
        content = bytearray(files[name])
        at = number if number < 60 and number < len(content) else draw.randrange(len(content))
        if number % 4 == 3:
            del content[at:]
        else:
            for offset in range(at, min(len(content), at + draw.choice((1, 1, 1, 8, 500)))):
                content[offset] ^= draw.randrange(1, 256)
        yield {**files, name: bytes(content)}


@pytest.mark.parametrize(("make", "count"), [(closed, 120), (killed, 120)])
def test_damage_anywhere_gives_no_wrong_vector_and_stops_no_run(tmp_path: Path, make: Files, count: int) -> None:
    """And nearly always the cache mends itself at once."""
    mended = 0
    for files in damages(make(tmp_path), count):
        with damaged(tmp_path, files) as cache:
            right(cache)
            cache.put(TEXTS, VECTORS, TRUNCATED)
            mended += right(cache) == len(TEXTS)
        with DiskCache(tmp_path / "damaged", "model") as cache:
            right(cache)
    assert mended > 0.9 * count


@pytest.mark.parametrize("content", [b"", b"\0" * 5000, b"not a database at all, by its looks" * 200])
def test_a_file_that_is_no_database_is_made_again(tmp_path: Path, content: bytes) -> None:
    with damaged(tmp_path, {"model.sqlite": content}) as cache:
        assert right(cache) == 0
        cache.put(TEXTS, VECTORS, TRUNCATED)
        assert right(cache) == len(TEXTS)


def test_a_file_of_another_layout_is_made_again(folder: Path) -> None:
    folder.mkdir()
    with sqlite3.connect(folder / "model.sqlite") as db:
        db.execute("CREATE TABLE embeddings (key BLOB PRIMARY KEY, vector TEXT)")
    with DiskCache(folder, "model") as cache:
        for _ in range(2):
            cache.put(TEXTS, VECTORS, TRUNCATED)
        assert right(cache) == len(TEXTS)


def test_a_file_that_another_run_removes_stops_nobody(folder: Path) -> None:
    with DiskCache(folder, "model") as cache:
        cache.put(TEXTS[:30], VECTORS[:30], TRUNCATED[:30])
        for path in folder.iterdir():
            path.unlink()
        right(cache)
        cache.put(TEXTS, VECTORS, TRUNCATED)
        right(cache)


def used(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


def aged(folder: Path, **ages: int) -> None:
    """Fills the caches of several models with 200 kB each, last used so many seconds ago."""
    for name, age in ages.items():
        fill(folder, name)
        with DiskCache(folder, name) as cache:
            cache.put(["large"], np.ones((1, 50_000), np.float32), None)
        stamp = (folder / f"{name}.sqlite").stat().st_mtime - age
        os.utime(folder / f"{name}.sqlite", (stamp, stamp))


def test_the_least_recently_used_models_go_first(folder: Path) -> None:
    aged(folder, new=10, old=300, middle=200)
    each = (folder / "new.sqlite").stat().st_size
    with DiskCache(folder, "middle", limit_bytes=2 * each + 100_000) as cache:  # using it makes it the newest
        assert right(cache) == len(TEXTS)
    assert sorted(path.name for path in folder.iterdir()) == ["middle.sqlite", "new.sqlite"]
    with DiskCache(folder, "middle", limit_bytes=each + 100_000):
        pass
    assert [path.name for path in folder.iterdir()] == ["middle.sqlite"]


def test_a_growing_model_makes_room_for_itself(folder: Path) -> None:
    aged(folder, old=300, new=10)
    limit = used(folder) + 60_000
    draw = np.random.default_rng(3)
    with DiskCache(folder, "growing", limit_bytes=limit) as cache:
        for batch in range(30):
            texts = [f"{batch} {row}" for row in range(20)]
            cache.put(texts, draw.standard_normal((20, DIMENSION)).astype(np.float32), None)
            assert len(cache.get(texts)) == 20
            if not (folder / "old.sqlite").exists():
                break
        assert batch > 0
        assert not (folder / "old.sqlite").exists()
        assert (folder / "new.sqlite").exists()


def test_a_model_that_has_the_limit_to_itself_keeps_no_more(folder: Path) -> None:
    aged(folder, other=10)
    limit = 300_000
    draw = np.random.default_rng(3)
    with DiskCache(folder, "model", limit_bytes=limit) as cache:
        for batch in range(60):
            cache.put([f"{batch} {row}" for row in range(50)], draw.random((50, 64), dtype=np.float32), None)
        first, last = ([f"{batch} {row}" for row in range(50)] for batch in (0, 59))
        assert len(cache.get(first)) == 50
        assert len(cache.get(last)) == 0
    assert used(folder) < 1.2 * limit


def test_a_batch_that_can_never_fit_drives_nobody_out(folder: Path) -> None:
    aged(folder, other=10)
    with DiskCache(folder, "model", limit_bytes=300_000) as cache:
        cache.put(["long"], np.ones((1, 90_000), np.float32), None)
        assert cache.get(["long"]) == {}
    assert (folder / "other.sqlite").exists()


def test_what_a_killed_run_left_beside_a_model_counts_and_goes_with_it(tmp_path: Path) -> None:
    files = killed(tmp_path)
    with damaged(tmp_path, {name.replace("model", "old"): content for name, content in files.items()}):
        pass
    with DiskCache(tmp_path / "damaged", "model", limit_bytes=20_000):
        pass
    assert [path.name for path in (tmp_path / "damaged").iterdir()] == ["model.sqlite"]


WRITER = """
import sys
import numpy as np
from pathlib import Path
from xrete.encoding.cache import DiskCache

with DiskCache(Path(sys.argv[1]), "model") as cache:
    print("open", flush=True)
    sys.stdin.readline()
    for batch in range(25):
        texts = [f"{batch} {row}" for row in range(20)]
        cache.put(texts, np.full((20, 8), batch, np.float32), None)
        every = [f"{number} {row}" for number in range(25) for row in range(20)]
        for text, (vector, _) in cache.get(every).items():
            assert (vector == int(text.split()[0])).all()
"""


def test_two_processes_write_at_once(folder: Path) -> None:
    command = [sys.executable, "-c", WRITER, str(folder)]
    writers = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "open\n"
    ends = [writer.communicate("go\n", timeout=60) for writer in writers]
    assert [writer.returncode for writer in writers] == [0, 0], ends
    with DiskCache(folder, "model") as cache:
        assert len(cache.get([f"{batch} {row}" for batch in range(25) for row in range(20)])) == 500


FULL = """
import resource, sys
import numpy as np
from pathlib import Path
from xrete.encoding.cache import DiskCache

with DiskCache(Path(sys.argv[1]), "other") as other:
    other.put(["kept"], np.ones((1, 8), np.float32), None)
with DiskCache(Path(sys.argv[1]), "model") as cache:
    cache.put(["first"], np.ones((1, 8), np.float32), None)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
    for batch in range(5):
        texts = [f"{batch} {row}" for row in range(1000)]
        cache.put(texts, np.ones((1000, 256), np.float32), None)
        assert len(cache.get(texts)) in (0, 1000)
    print(len(cache.get(["first"])))
"""


def test_a_full_disk_stops_no_run_and_loses_nothing(folder: Path) -> None:
    """A limit on file sizes stands for the full disk: SQLite's writes fail in the same way."""
    done = subprocess.run([sys.executable, "-c", FULL, folder], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "1\n"), done.stderr
    for model, text in (("model", "first"), ("other", "kept")):
        with DiskCache(folder, model) as cache:
            assert list(cache.get([text])) == [text]


def test_without_a_cache_nothing_is_kept() -> None:
    cache = NoCache()
    cache.put(TEXTS, VECTORS, TRUNCATED)
    assert cache.get(TEXTS) == {}


def test_an_embedder_on_a_damaged_cache_gives_the_vectors_of_one_without(
    tmp_path: Path, new_ngrams: Callable[[], Encoder]
) -> None:
    def embed(cache: DiskCache | NoCache) -> NDArray[np.float32]:
        return Embedder(new_ngrams(), cache)(TEXTS)

    expected = embed(NoCache())
    with DiskCache(tmp_path / "good", "model") as cache:
        assert embed(cache).tobytes() == expected.tobytes()
    files = {path.name: path.read_bytes() for path in (tmp_path / "good").iterdir()}
    for copy in damages(files, 30):
        with damaged(tmp_path, copy) as cache:
            assert embed(cache).tobytes() == expected.tobytes()
