"""(e): geometry of 204 languages x 1,012 sentences x 1,024 dimensions, on the processor, against plain forms."""

from __future__ import annotations

import time
from typing import Any

from geometry import Contest, canonical_form, diagonal, isotropy

from on_gpu.given import Given
from on_gpu.machine import describe


def main(given: Given) -> None:
    """Measures the three measures; the plain side of the last at a tenth of the rows, else it takes minutes."""
    describe(given)
    languages, sentences, d = (4, 30, 16) if given.toy else (204, 1_012, 1_024)
    given.measure("KL invariance, diagonal", lambda: race(diagonal(d)))
    given.measure("Calinski-Harabasz", lambda: race(canonical_form(languages, sentences, d)), 5)
    given.measure("principal ratio", lambda: race(isotropy(max(2, languages // 10), sentences, d)), 5)


def race(contest: Contest) -> dict[str, Any]:
    """Measures both sides once, in seconds that passed."""
    seconds = {}
    for name, side in (("own", contest.own), ("plain", contest.plain)):
        began = time.perf_counter()
        side()
        seconds[name] = time.perf_counter() - began
    return {"size": contest.size, "seconds": seconds["own"], "plain_over_own": seconds["plain"] / seconds["own"]}
