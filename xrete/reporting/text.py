"""Text that others wrote, made harmless to print."""

from __future__ import annotations

import unicodedata

NAME_LIMIT = 48
NOTE_LIMIT = 240

_UNSAFE = {"Cc", "Cf", "Cs", "Zl", "Zp"}
_JOINERS = "\u200c\u200d"  # needed to spell words of several scripts


def plain(text: str, limit: int | None = None) -> str:
    """Makes foreign text harmless to print: one line, no control, escape or direction characters.

    Args:
        text: Anything, such as a model's name or an error.
        limit: Longest length; the middle of longer text gives way to an ellipsis.
    """
    safe = text if text.isascii() and text.isprintable() else "".join(_visible(character) for character in text)
    if limit is None or len(safe) <= limit:
        return safe
    head = limit // 2
    return f"{safe[:head]}…{safe[head + 1 - limit :]}"


def _visible(character: str) -> str:
    if character in "\n\r\t":
        return " "
    if unicodedata.category(character) in _UNSAFE and character not in _JOINERS:
        return f"\\u{ord(character):04x}"
    return character
