"""Files: written whole or not at all, read strictly, digested without ambiguity."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xrete.errors import DataError, XreteError
from xrete.files import (
    atomic_writer,
    cache_root,
    copy_file,
    digest,
    file_digest,
    read_text,
    remove_abandoned,
    write_text,
)

ANY_TEXT = st.text(st.characters(codec="utf-8"))


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt(), SystemExit(3)])
def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "folder" / "file.txt"
    write_text(path, "old")

    def write_and_fail() -> None:
        with atomic_writer(path) as file:
            file.write(b"new")
            file.flush()
            raise error

    with pytest.raises(type(error)):
        write_and_fail()
    assert path.read_text() == "old"
    assert list(path.parent.iterdir()) == [path]


def test_an_operating_system_error_is_said_in_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "file.txt"
    says = r"^cannot write .*file\.txt: No space left.*name another folder"
    with pytest.raises(XreteError, match=says), atomic_writer(path):
        raise OSError(28, "No space left on device")
    assert list(path.parent.iterdir()) == []


def test_a_copy_is_made_again_only_where_it_differs(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "folder" / "target"
    for content, is_new in ((b"one", True), (b"one", False), (b"two", True), (b"longer", True), (b"longer", False)):
        source.write_bytes(content)
        before = target.stat().st_ino if target.exists() else None
        held = target.open("rb") if target.exists() else None  # so that its number is not given again
        copy_file(source, target)
        assert (target.read_bytes(), target.stat().st_ino != before) == (content, is_new)
        if held:
            held.close()
    assert list(target.parent.iterdir()) == [target]
    source.unlink()
    with pytest.raises(DataError, match=f"{source}"):
        copy_file(source, target)
    assert target.read_bytes() == b"longer"


def test_a_kill_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    write_text(path, "old")
    script = (
        "import sys, time, pathlib\n"
        "from xrete.files import atomic_writer\n"
        "with atomic_writer(pathlib.Path(sys.argv[1])) as file:\n"
        "    file.write(b'new' * 100_000)\n"
        "    file.flush()\n"
        "    print('written', flush=True)\n"
        "    time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script, path], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"written\n"
        process.send_signal(signal.SIGKILL)
    assert path.read_text() == "old"
    write_text(path, "new")  # what the kill left behind is in nobody's way
    assert path.read_text() == "new"
    foreign = tmp_path / ".settings.tmp"
    foreign.write_text("of another program")
    assert len(list(tmp_path.glob(".file.txt.*.tmp"))) == 1
    with atomic_writer(path) as file:
        file.write(b"newest")
        remove_abandoned(tmp_path)  # which finds the file that is being written, too
    assert path.read_text() == "newest"
    assert sorted(x for x in tmp_path.iterdir() if x.is_file()) == [foreign, path]


def test_a_full_disk_leaves_the_old_file_and_is_said(tmp_path: Path) -> None:
    """A limit on file sizes stands for the full disk: the same calls fail in the same way."""
    path = tmp_path / "folder" / "file.txt"
    write_text(path, "old")
    script = (
        "import resource, sys, pathlib\n"
        "from xrete.errors import XreteError\n"
        "from xrete.files import write_text\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try:\n"
        "    write_text(pathlib.Path(sys.argv[1]), 'x' * 5000)\n"
        "except XreteError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"cannot write {path}: File too large")
    assert path.read_text() == "old"
    assert list(path.parent.iterdir()) == [path]


def test_files_that_are_being_written_survive_any_number_of_clearings(tmp_path: Path) -> None:
    """Also in the moment between their making and their lock."""
    stop = threading.Event()

    def clear() -> None:
        while not stop.is_set():
            remove_abandoned(tmp_path)

    clearers = [threading.Thread(target=clear) for _ in range(2)]
    for clearer in clearers:
        clearer.start()
    try:
        for number in range(300):
            write_text(tmp_path / f"{number}.txt", str(number))
    finally:
        stop.set()
        for clearer in clearers:
            clearer.join()
    assert {path.name for path in tmp_path.iterdir() if path.is_file()} == {
        f"{number}.txt" for number in range(300)
    }


def test_a_reader_sees_one_version_or_the_other(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    versions = {letter * 50_000 for letter in "ab"}
    write_text(path, "a" * 50_000)
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            for text in sorted(versions):
                write_text(path, text)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        seen = {path.read_text() for _ in range(300)}
    finally:
        stop.set()
        writer.join()
    assert seen <= versions


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file where the folder should be")
    with pytest.raises(XreteError, match=r"^cannot write .*record\.json: .*name another folder, then run again$"):
        write_text(tmp_path / "taken" / "record.json", "{}")


def test_written_files_are_for_everybody_whom_the_umask_lets(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        write_text(tmp_path / "file.txt", "")
    finally:
        os.umask(old)
    assert (tmp_path / "file.txt").stat().st_mode & 0o777 == 0o640


@given(text=ANY_TEXT)
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "round-trip.txt"
    write_text(path, text)
    assert path.read_bytes() == text.encode()
    assert read_text(path) == text


@pytest.mark.parametrize(
    ("raw", "line", "byte"), [(b"\xff", 1, 0), (b"a\nb\n\xe2\x82", 3, 4), (b"\n\n\n\xc0\x80\n", 4, 3)]
)
def test_bytes_that_are_not_utf8_are_named_with_their_line(
    tmp_path: Path, raw: bytes, line: int, byte: int
) -> None:
    path = tmp_path / "file.txt"
    path.write_bytes(raw)
    with pytest.raises(DataError, match=rf"file\.txt, line {line}: not UTF-8 \(byte {byte}\)"):
        read_text(path)


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=rf"^missing record: {tmp_path}/none$"):
        read_text(tmp_path / "none", kind="record")
    with pytest.raises(DataError, match=r"^cannot read file .*: Is a directory"):
        read_text(tmp_path)


@given(left=st.lists(ANY_TEXT | st.binary()), right=st.lists(ANY_TEXT | st.binary()))
def test_digests_are_equal_for_equal_lists_only(left: list[str | bytes], right: list[str | bytes]) -> None:
    def raw(parts: list[str | bytes]) -> list[bytes]:
        return [part.encode() if isinstance(part, str) else part for part in parts]

    assert (digest(left) == digest(right)) == (raw(left) == raw(right))


@given(parts=st.lists(st.text(min_size=1), min_size=1), data=st.data())
def test_a_digest_changes_when_text_moves_to_the_next_part(parts: list[str], data: st.DataObject) -> None:
    """Where a plain hash over the joined parts stays the same."""
    row = data.draw(st.integers(0, len(parts) - 1))
    cut = data.draw(st.integers(0, len(parts[row]) - 1))
    moved = [*parts[:row], parts[row][:cut], parts[row][cut:], *parts[row + 1 :]]
    assert digest(moved) != digest(parts)


def test_digests_never_change() -> None:
    """Records hold them: sha256 over length (8 bytes, little-endian) and bytes of each part."""
    expected = hashlib.sha256(
        b"\2\0\0\0\0\0\0\0\xc3\xa9" + b"\0\0\0\0\0\0\0\0" + b"\1\0\0\0\0\0\0\0\xff"
    ).hexdigest()
    assert digest(["é", "", b"\xff"]) == expected
    assert digest(["\ud800"]) != digest(["\ud801"])  # half a surrogate pair, as broken JSON brings it


@given(raw=st.binary())
def test_the_digest_of_a_file_is_that_of_its_bytes(tmp_path_factory: pytest.TempPathFactory, raw: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "digested"
    path.write_bytes(raw)
    assert file_digest(path) == hashlib.sha256(raw).hexdigest()


def test_the_environment_moves_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XRETE_CACHE", str(tmp_path))
    assert cache_root() == tmp_path
    monkeypatch.delenv("XRETE_CACHE")
    assert cache_root().name == "xrete"
