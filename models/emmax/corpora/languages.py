"""Language codes of corpora: those of XLM-R and CC-100."""

from __future__ import annotations

from functools import cache

import langcodes

from xrete.languages import standard

_XLMR = {"fil": "tl", "nb": "no"}
"""Languages whose code in XLM-R is not the one that BCP 47 prefers."""

_APART = {"bn_rom", "hi_rom", "my_zaw", "ta_rom", "te_rom", "ur_rom"}
"""Files of CC-100 in another script, or encoding, than the rest of the language."""


@cache
def corpus_code(code: str) -> str:
    """Returns XLM-R's code of a language: "swh" and "sw_KE" give "sw", "zh_Hant" gives "zh", "fil" gives "tl".

    A code that is no language tag (a private one) comes back as it is.
    """
    known = standard(code)
    return code if code in _APART else _XLMR.get(known, known)


@cache
def is_language(code: str) -> bool:
    """Returns whether a code, as found in a file's name, is that of a language: "README" is not."""
    return code in _APART or langcodes.tag_is_valid(code)
