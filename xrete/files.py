"""Files: atomic writes, strict reading, digests. Every file that XRETE writes goes through here."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import secrets
import shutil
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

import filelock
import platformdirs

from xrete.errors import DataError, XreteError

TEMPORARY = ".tmp"
"""How files end that are being written."""
UNWRITABLE = (errno.EACCES, errno.EDQUOT, errno.ENOSPC, errno.EROFS)
"""What a disk answers that is full or not for writing."""
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
"""What a file system answers that has no locks."""
BYTE_ORDER_MARK = "\ufeff"


@contextlib.contextmanager
def atomic_writer(path: Path, *, synced: bool = True) -> Iterator[IO[bytes]]:
    """Opens a temporary file that replaces `path` when the block ends without an error, as `atomic_path` says.

    Args:
        path: The file.
        synced: As of `atomic_path`.

    Raises:
        XreteError: the folder cannot be written or the disk is full; the sentence names the file.
    """
    with _replacing(path, synced) as (handle, _), open(handle, "wb", closefd=False) as file:
        yield file


@contextlib.contextmanager
def atomic_path(path: Path, *, synced: bool = True) -> Iterator[Path]:
    """Names a temporary file, for libraries that write by name; it replaces `path` when the block ends well.

    A reader sees the old file or the new one, never a part: the bytes are synced before the rename, and the
    folder after it. On any error, and on Ctrl-C, the temporary file is removed and `path` is untouched.

    Args:
        path: The file.
        synced: Whether it is to outlive a power cut. What is made again from files that stay need not, and
            syncing thousands of files takes seconds.

    Raises:
        XreteError: the folder cannot be written or the disk is full; the sentence names the file.
    """
    with _replacing(path, synced) as (_, temporary):
        yield temporary


@contextlib.contextmanager
def _replacing(path: Path, synced: bool) -> Iterator[tuple[int, Path]]:
    """Opens the temporary file of `atomic_path`, and gives its handle and name."""
    try:
        handle, temporary = _temporary(path)
    except OSError as error:
        raise write_error(path, error) from error
    try:
        with _written(path):
            try:
                yield handle, temporary
                if synced:
                    _sync(temporary)
                temporary.replace(path)
            finally:
                os.close(handle)
            if synced:
                _sync(path.parent)
    except BaseException:
        with contextlib.suppress(OSError):  # a disk that is read-only now: what went wrong is said already
            temporary.unlink(missing_ok=True)
        raise


def _temporary(path: Path) -> tuple[int, Path]:
    """Makes the temporary file of `path`, locked as long as it is open: a killed process holds no locks."""
    while True:
        # Not by `tempfile`, whose files are private: results are for everybody whom the umask lets.
        temporary = path.with_name(f".{path.name}.{secrets.token_urlsafe(6)}{TEMPORARY}")
        try:
            handle = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        except FileNotFoundError:
            path.parent.mkdir(parents=True, exist_ok=True)
            continue
        with contextlib.suppress(OSError):  # a file system without locks, on which nothing is ever abandoned
            fcntl.flock(handle, fcntl.LOCK_EX)
        if os.fstat(handle).st_nlink:
            return handle, temporary
        os.close(handle)  # taken for an abandoned one before it was locked


def remove_abandoned(folder: Path) -> None:
    """Removes the temporary files that killed processes have left in a folder; those of living ones stay."""
    for file in folder.glob(f".*.????????{TEMPORARY}"):
        with contextlib.suppress(OSError):  # somebody else's, removed meanwhile, or on a file system without locks
            handle = os.open(file, os.O_RDWR | os.O_NOFOLLOW)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                file.unlink()
            finally:
                os.close(handle)


@contextlib.contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Gives a new folder beside `path` to write into, which takes its place when the block ends without an error.

    On any error, and on Ctrl-C, the new folder is removed and `path` is untouched; so is what a killed one left.

    Raises:
        XreteError: the folder cannot be written or the disk is full; the sentence names it.
    """
    aside = path.with_name(f".{path.name}.part")
    try:
        with _written(path):
            shutil.rmtree(aside, ignore_errors=True)
            aside.mkdir(parents=True)
            yield aside
            shutil.rmtree(path, ignore_errors=True)
            aside.rename(path)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


@contextlib.contextmanager
def _written(path: Path) -> Iterator[None]:
    """Says of any error of a file why `path` could not be written."""
    try:
        yield
    except OSError as error:
        raise write_error(path, error) from error
    except Exception as error:
        # What libraries in Rust raise for any error of a file: their own class, or none at all.
        if type(error).__name__ != "SafetensorError" and "(os error " not in str(error):
            raise
        raise write_error(path, OSError(str(error))) from error


@contextlib.contextmanager
def locked(lock: Path, path: Path, *, blocking: bool = True) -> Iterator[None]:
    """Locks other processes out of `path`.

    Args:
        lock: The file of the lock; it stays.
        path: What is locked, for the sentence.
        blocking: Wait for another process that has it.

    Raises:
        filelock.Timeout: another process has it, and is not waited for.
        XreteError: the folder cannot be written, or its file system has no locks.
    """
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        held = filelock.FileLock(lock, blocking=blocking)
        held.acquire()
    except filelock.Timeout:
        raise
    except (OSError, NotImplementedError) as error:
        if isinstance(error, OSError) and error.errno not in NO_LOCKS:
            raise write_error(path, error) from error
        raise XreteError(
            f"cannot lock {path}: its file system has no locks, and without them two runs could write the same; "
            "name a folder on another disk"
        ) from error
    try:
        yield
    finally:
        held.release()


def write_text(path: Path, text: str, *, synced: bool = True) -> None:
    """Writes `text` to `path` as UTF-8, atomically; `synced` as of `atomic_path`."""
    with atomic_writer(path, synced=synced) as file:
        file.write(text.encode())


def copy_file(source: Path, target: Path, *, synced: bool = True) -> None:
    """Copies a file, atomically; a target that has the same bytes already stays as it is.

    Args:
        source: The file.
        target: Its copy.
        synced: As of `atomic_path`.

    Raises:
        DataError: the source is missing or unreadable.
        XreteError: the target cannot be written.
    """
    with reading(source):
        content = source.read_bytes()
    with contextlib.suppress(OSError):  # no target yet
        if target.stat().st_size == len(content) and target.read_bytes() == content:
            return
    with atomic_writer(target, synced=synced) as file:
        file.write(content)


def write_error(path: Path, error: OSError) -> XreteError:
    """Says in one sentence why `path` could not be written and what helps."""
    reason = error.strerror or str(error)
    return XreteError(f"cannot write {path}: {reason}; free space or name another folder, then run again")


def read_text(path: Path, *, kind: str = "file") -> str:
    """Reads a UTF-8 file; a byte order mark at its start is no text.

    Args:
        path: The file.
        kind: What the file is, for the error sentence.

    Raises:
        DataError: missing, unreadable or not UTF-8; the sentence names the file, and the line of the bad byte.
    """
    with reading(path, kind):
        raw = path.read_bytes()
    return decode(path, raw)


@contextlib.contextmanager
def reading(path: Path, kind: str = "file") -> Iterator[None]:
    """Says in one sentence why a file cannot be read.

    Raises:
        DataError: it is missing or unreadable.
    """
    try:
        yield
    except FileNotFoundError:
        raise DataError(f"missing {kind}: {path}") from None
    except OSError as error:
        raise DataError(f"cannot read {kind} {path}: {error.strerror or error}") from error


def decode(path: Path, raw: bytes) -> str:
    """Returns the text of a file's bytes; a byte order mark at its start is no text.

    Raises:
        DataError: not UTF-8; the sentence names the file, and the line of the bad byte.
    """
    try:
        return raw.decode("utf-8").removeprefix(BYTE_ORDER_MARK)
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise DataError(f"{path}, line {line}: not UTF-8 (byte {error.start}); save the file as UTF-8") from None


def parse_json(text: str | bytes) -> Any:
    """Reads JSON; a depth or a number that Python refuses is a `json.JSONDecodeError` like any other damage.

    Raises:
        json.JSONDecodeError: it is not JSON, or not to be read.
        UnicodeDecodeError: bytes are not UTF-8.
    """
    try:
        return json.loads(text)
    except (json.JSONDecodeError, UnicodeDecodeError):
        raise
    except RecursionError:
        raise json.JSONDecodeError("nested too deeply", "", 0) from None
    except ValueError:  # of a whole number with more than 4,300 digits
        raise json.JSONDecodeError("a number with thousands of digits", "", 0) from None


def parse_toml(text: str) -> dict[str, Any]:
    """Reads TOML; a depth or a number that Python refuses is a `tomllib.TOMLDecodeError` like any other damage.

    Raises:
        tomllib.TOMLDecodeError: it is not TOML, or not to be read.
    """
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        raise
    except RecursionError:
        raise tomllib.TOMLDecodeError("nested too deeply") from None
    except ValueError:
        raise tomllib.TOMLDecodeError("a number with thousands of digits") from None


def digest(parts: Iterable[str | bytes]) -> str:
    """Returns the SHA-256 over `parts`, each prefixed with its length so that no two lists look alike."""
    sha = hashlib.sha256()
    for part in parts:
        raw = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        sha.update(len(raw).to_bytes(8, "little"))
        sha.update(raw)
    return sha.hexdigest()


def file_digest(path: Path) -> str:
    """Returns the SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    """Has the disk keep what was written to a file, or which files a folder holds."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def cache_root() -> Path:
    """The folder for everything that can be made again: embeddings, unpacked models, fetched data.

    The environment variable XRETE_CACHE moves it.
    """
    return Path(os.environ.get("XRETE_CACHE") or platformdirs.user_cache_path("xrete"))
