"""Paths with placeholders: {language}, or {source} and {target}, stand for codes, and * for part of a name."""

from __future__ import annotations

import glob
import re
from collections.abc import Sequence
from pathlib import Path

from xrete.errors import DataError, UsageError

from .languages import is_language

Codes = tuple[str, ...]

_TOKEN = re.compile(r"(\{\w+\}|\*)")
_CODE = {"language": r"[A-Za-z0-9]+(?:[_-][A-Za-z0-9]+)*"}
"""A code in a file's name. Those of a pair have no "-", which stands between them."""


def placeholders(pattern: str) -> set[str]:
    """Returns the names in braces."""
    return {token[1:-1] for token in _TOKEN.findall(pattern) if token != "*"}


def fill(pattern: str, names: Sequence[str], codes: Codes) -> str:
    """Puts codes in the place of the placeholders `names`."""
    for name, code in zip(names, codes, strict=True):
        pattern = pattern.replace(f"{{{name}}}", code)
    return pattern


def find(pattern: str, names: Sequence[str], wanted: Sequence[Codes] | None) -> list[tuple[Codes, Path]]:
    """Finds the files of a pattern.

    Args:
        pattern: A path, relative to the working folder or absolute; ~ is the user's home.
        names: The placeholders that codes are taken from or put into.
        wanted: The codes to look for; None takes every one that there is a file for.

    Returns:
        Codes, as the file's name or `wanted` spells them, and file, in alphabetic order.

    Raises:
        DataError: there is no file, or none for one of `wanted`.
        UsageError: a file's name has something else than a code in the place of one.
    """
    pattern = str(Path(pattern).expanduser())
    if wanted is not None:
        return [(codes, file) for codes in wanted for file in sorted(_files(fill(pattern, names, codes), names))]
    regex = _regex(pattern)
    matches = []
    for file in _files(pattern, names):
        match = regex.fullmatch(str(file))
        if match:
            codes = tuple(match.group(name) for name in names)
            for code in codes:
                if not is_language(code):
                    raise UsageError(f"{file}: {code!r} is no language code; list those to read")
            matches.append((codes, file))
    if not matches:
        raise DataError(f"no file matches {pattern}")
    return sorted(matches)


def stamp(*files: Path) -> tuple[str, ...]:
    """Returns names, sizes and times of files: what changes when they do.

    Raises:
        DataError: one is not there.
    """
    parts = []
    for file in files:
        try:
            status = file.stat()
        except OSError as error:
            raise DataError(f"cannot read corpus file {file}: {error.strerror or error}") from None
        parts += [file.name, str(status.st_size), str(status.st_mtime_ns)]
    return tuple(parts)


def _files(pattern: str, names: Sequence[str]) -> list[Path]:
    wild = {f"{{{name}}}" for name in names} | {"*"}
    tokens = ["*" if token in wild else glob.escape(token) for token in _TOKEN.split(pattern)]
    # Path.glob takes no absolute pattern, and finds hidden files.
    everything = map(Path, glob.glob("".join(tokens)))  # noqa: PTH207
    existing = [file for file in everything if file.is_file()]
    if not existing:
        raise DataError(f"missing corpus file: {pattern}")
    return existing


def _regex(pattern: str) -> re.Pattern[str]:
    """Matches the files of a pattern; a placeholder that comes again stands for the same code."""
    known: set[str] = set()
    parts = []
    for token in _TOKEN.split(pattern):
        name = token[1:-1]
        if token == "*":
            parts.append("[^/]*")
        elif not _TOKEN.fullmatch(token):
            parts.append(re.escape(token))
        elif name in known:
            parts.append(f"(?P={name})")
        else:
            known.add(name)
            parts.append(f"(?P<{name}>{_CODE.get(name, '[A-Za-z0-9_]+')})")
    return re.compile("".join(parts))
