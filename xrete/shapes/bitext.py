"""Bitext retrieval: find each sentence's translation among all sentences of the other language."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from xrete.lazy import NDArray, np
from xrete.shapes.contract import Data, Encode
from xrete.shapes.metric import Items, Metric
from xrete.shapes.texts import check_texts
from xrete.vectors.hubness import corrected_nearest, occurrences, skewness
from xrete.vectors.search import mutual_nearest


@dataclass(frozen=True)
class Bitext:
    """Line-aligned sentences: `source[i]` and `target[i]` translate each other.

    Raises:
        ValueError: the sides have unequal lengths, or a sentence is no text; the data set says where.
    """

    source: Sequence[str]
    target: Sequence[str]

    def __post_init__(self) -> None:
        if len(self.source) != len(self.target):
            raise ValueError(f"{len(self.source)} sentences on one side and {len(self.target)} on the other")
        check_texts("source", self.source)
        check_texts("target", self.target)


def _nearest_is_right(*columns: str) -> Metric:
    """Accuracy in percent, the nearest neighbour of row i is row i; of two directions the mean, as in LASER."""

    def per_item(items: Items) -> NDArray[np.float64]:
        return np.asarray(np.mean([100.0 * (items[x] == np.arange(len(items[x]))) for x in columns], axis=0))

    return Metric.mean_of(per_item)


def _hubness(items: Items) -> float:
    skew = skewness(items["occurrences"])
    return 0.0 if math.isnan(skew) else skew  # all are neighbours equally often, so none is a hub


class BitextRetrieval:
    """Scores by cosine, both directions in one pass.

    Items: `xx2en`, `en2xx`: for row i, the index of the nearest sentence on the other side. Candidates are
    the language's own file only; the lowest index wins a tie. `xx2en_csls`, `xx2en_margin`: the index where the
    cosine is corrected for hubs, never the headline. `occurrences`: how many sentences of the language have English
    sentence i among their 10 nearest; `hubness` is the skewness of these numbers.
    """

    name = "bitext"
    metrics: Mapping[str, Metric] = {
        "accuracy": _nearest_is_right("xx2en"),
        "accuracy_en2xx": _nearest_is_right("en2xx"),
        "accuracy_both": _nearest_is_right("xx2en", "en2xx"),
        "accuracy_csls": _nearest_is_right("xx2en_csls"),
        "accuracy_margin": _nearest_is_right("xx2en_margin"),
        "hubness": Metric(_hubness),
    }

    def size(self, data: Bitext) -> int:
        """Number of sentence pairs."""
        return len(data.source)

    def take_first(self, data: Bitext, limit: int) -> Bitext:
        """The first `limit` pairs; they are the candidates too."""
        return Bitext(data.source[:limit], data.target[:limit])

    def content(self, data: Bitext) -> Iterable[str]:
        """Both sides, in order."""
        yield from data.source
        yield from data.target

    def count_texts(self, data: Bitext) -> int:
        """Sentences of both sides."""
        return len(data.source) + len(data.target)

    def zero_shot(self, dataset: Data, encode: Encode, languages: Sequence[str]) -> Iterator[tuple[str, Items]]:
        """Yields each language's nearest neighbours."""
        for language in languages:
            data: Bitext = dataset[language]
            source, target = encode(data.source), encode(data.target)
            forward, backward = mutual_nearest(source, target)
            corrected = corrected_nearest(source, target)
            yield (
                language,
                {
                    "xx2en": forward,
                    "en2xx": backward,
                    "xx2en_csls": corrected.csls,
                    "xx2en_margin": corrected.margin,
                    "occurrences": occurrences(source, target),
                },
            )


SHAPE = BitextRetrieval()
