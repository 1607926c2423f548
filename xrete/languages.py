"""Language codes: one place that knows names, scripts and which codes mean the same language."""

from __future__ import annotations

import re
from functools import cache

import langcodes
from langcodes.tag_parser import LanguageTagError


@cache
def standard(code: str) -> str:
    """Returns the BCP 47 language of a task's code: "swh", "swh_Latn" and "sw" all give "sw".

    Codes that are not language tags (a third party's own) come back unchanged.
    """
    try:
        tag = langcodes.standardize_tag(code.replace("_", "-"), macro=True)
    except LanguageTagError:
        return code
    return langcodes.Language.get(tag).language or code


def same_language(code: str, asked: str) -> bool:
    """Returns whether a task's code is the language that a user asked for.

    A pair such as "en-de" is found by either of its languages. A script or region in `asked` must be met.
    """
    parts = code.split("-") if "-" in code else [code]
    if "_" in asked or "-" in asked:
        return code.replace("_", "-") == asked.replace("_", "-")
    return any(standard(part) == standard(asked) for part in parts)


@cache
def name(code: str) -> str:
    """Returns the English name of a code, with the script where the code says one: "Tajik (Cyrillic)"."""
    if "-" in code:
        return " – ".join(name(part) for part in code.split("-"))
    try:
        full = langcodes.Language.get(code.replace("_", "-")).display_name()
        return re.sub(r" \((individual language|macrolanguage)\)", "", full)
    except LanguageTagError:
        return code


@cache
def script(code: str) -> str:
    """Returns the ISO 15924 code of the script that a language is written in, or "Zyyy" where unknown."""
    try:
        language = langcodes.Language.get(code.split("-")[0].replace("_", "-"))
        return language.script or language.maximize().script or "Zyyy"
    except LanguageTagError:
        return "Zyyy"
