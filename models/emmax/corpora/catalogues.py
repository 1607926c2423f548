"""Catalogues of translated messages (gettext) as rows: real text in a hundred languages, in any big application.

Messages are not plain sentences. Markup goes, the key of a menu (&File, _File) goes, and what a program puts in
later (%(name)s, {}) becomes an ellipsis, as long as both sides have as many.
"""

from __future__ import annotations

import gettext
import html
import re
import struct
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from xrete.errors import DataError, UsageError

from .rows import Row

_TAG = re.compile(r"</?[A-Za-z][^<>]*>")
_PLACEHOLDER = re.compile(r"%\([^()]*\)[-+#0]*[\d.]*[a-zA-Z]|%[-+#0]*[\d.]*l?[sdifguxr](?![a-zA-Z])|\{[\w.!:]*\}")
_MENU_KEY = re.compile(r"\s*\([&_]\w\)|(?<!\w)[&_](?=\w)|(?<=\w)&(?=[a-z])")

BLANK = "…"


def catalogues(package: str) -> list[tuple[str, Path]]:
    """Returns language and file of every compiled catalogue below an installed package; nothing is imported.

    Raises:
        UsageError: the package is not installed.
        DataError: it has none.
    """
    spec = find_spec(package) if package.isidentifier() else None
    if spec is None or not spec.submodule_search_locations:
        raise UsageError(f"package '{package}' is not installed, or is one module; install it, or name another")
    folders = map(Path, spec.submodule_search_locations)
    files = sorted(file for folder in folders for file in folder.glob("**/LC_MESSAGES/*.mo"))
    if not files:
        raise DataError(f"package '{package}' has no compiled catalogues (LC_MESSAGES/*.mo)")
    return [(file.parent.parent.name.partition("@")[0], file) for file in files]


def messages(path: Path) -> Iterator[Row]:
    """Yields messages with their translations, in the catalogue's order; of one with a plural, the form for 1."""
    try:
        with path.open("rb") as file:
            catalogue: Any = gettext.GNUTranslations(file)  # lists its entries in no public way
        singular = catalogue.plural(1)
    except (OSError, ArithmeticError, LookupError, RecursionError, ValueError, struct.error) as error:
        yield Row(1, (), f"damaged catalogue ({error})")  # its charset and its rule of plurals may be anything
        return
    entries = catalogue._catalog.items()
    for number, (key, translation) in enumerate(entries, start=1):
        message, form = key if isinstance(key, tuple) else (key, singular)
        message = message.rpartition("\x04")[2]  # a context comes before that character
        if message and form == singular:  # the entry without a message is the catalogue's header
            yield _row(number, message, translation)


def translations(path: Path) -> Iterator[Row]:
    """Yields the translations of `messages` alone."""
    for number, texts, problem in messages(path):
        yield Row(number, texts[1:], problem)


def plain(message: str) -> tuple[str, int]:
    """Returns a message without markup and keys of menus, and how many placeholders became ellipses."""
    text, blanks = _PLACEHOLDER.subn(BLANK, _TAG.sub(" ", message))
    return _MENU_KEY.sub("", html.unescape(text)), blanks


def _row(number: int, message: str, translation: str) -> Row:
    (source, blanks), (target, others) = plain(message), plain(translation)
    if blanks != others:
        return Row(number, (), "placeholders differ")
    return Row(number, (source, target))
