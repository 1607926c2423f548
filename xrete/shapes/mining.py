"""Bitext mining: find the translation pairs hidden in two corpora."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from xrete.lazy import NDArray, np
from xrete.shapes.contract import Data, Encode
from xrete.shapes.metric import Items, Metric
from xrete.shapes.texts import check_texts
from xrete.vectors.margin import NEIGHBOURHOOD, Mined, Scoring, best_threshold, mine, reach
from xrete.vectors.search import device_of, nearest_both, on_search_of

SCORINGS: tuple[Scoring, ...] = ("margin", "cosine")


@dataclass(frozen=True)
class Corpora:
    """Two monolingual corpora and the pairs hidden in them.

    Attributes:
        source: Sentences of the language.
        target: Sentences of English.
        gold: Rows (source, target) that translate each other, counted from 0.
        tuning: Another sample of the same kind, which the threshold is tuned on; None where there is none, and the
            threshold is tuned on the gold that is scored.
        ids: Names of the sentences of both sides, where they have some; they decide no score.

    Raises:
        ValueError: a sentence is no text, no gold, a gold pair twice, one that points past the end of its corpus,
            or not as many names as sentences.
    """

    source: Sequence[str]
    target: Sequence[str]
    gold: Sequence[tuple[int, int]]
    tuning: Corpora | None = None
    ids: tuple[Sequence[str], Sequence[str]] | None = None

    def __post_init__(self) -> None:
        check_texts("source", self.source)
        check_texts("target", self.target)
        if not self.gold:
            raise ValueError("no gold pairs")
        if len(set(self.gold)) < len(self.gold):
            raise ValueError("a gold pair occurs twice")
        for i, j in self.gold:
            if not (0 <= i < len(self.source) and 0 <= j < len(self.target)):
                raise ValueError(
                    f"gold pair of lines {i + 1} and {j + 1}, but the sides have {len(self.source)} and "
                    f"{len(self.target)} lines"
                )
        if self.ids and tuple(map(len, self.ids)) != (len(self.source), len(self.target)):
            raise ValueError(
                f"{' and '.join(str(len(side)) for side in self.ids)} names of the {len(self.source)} and "
                f"{len(self.target)} sentences of the sides"
            )


def _share(of: str, among: str) -> Metric:
    """The percentage of rows of one column that are rows of another; 0 where there are none."""

    def statistic(items: Items) -> float:
        return 100.0 * float((items[of] & items[among]).sum()) / max(1, int(items[of].sum()))

    return Metric(statistic)


def _f1(mined: NDArray[np.bool_], gold: NDArray[np.bool_]) -> float:
    return 200.0 * float((mined & gold).sum()) / max(1, int(mined.sum() + gold.sum()))


def _tuned(scoring: Scoring) -> Metric:
    return Metric(lambda items: _f1(items[f"{scoring}_found"], items["gold"]))


def _oracle(scoring: Scoring) -> Metric:
    """F1 at the threshold that is best for the gold that is scored."""

    def statistic(items: Items) -> float:
        listed = ~np.isnan(items[scoring])
        scores, gold = items[scoring][listed], items["gold"]
        threshold = best_threshold(scores, gold[listed], int(gold.sum()))
        return _f1(np.nan_to_num(items[scoring], nan=-np.inf) >= threshold, gold)

    return Metric(statistic)


class BitextMining:
    """Scores F1 of the pairs above a threshold, as XTREME scores BUCC.

    Items: one row for each pair that is gold or that a threshold may let in. `source` and `target`: its rows in
    the corpora; `gold`: whether it is a gold pair; `margin` and `cosine`: its score, NaN where it was not mined or
    lies below all that matters; `margin_found` and `cosine_found`: whether it is above the threshold that was
    tuned. Rows are in the order of mining, so that ties fall as they fell.

    A sentence that occurs more than once on its side is never predicted; its gold pairs count as missed.
    """

    name = "mining"
    metrics: Mapping[str, Metric] = {
        "f1": _tuned("margin"),
        "precision": _share("margin_found", "gold"),
        "recall": _share("gold", "margin_found"),
        "f1_oracle": _oracle("margin"),
        "f1_cosine": _tuned("cosine"),
        "f1_cosine_oracle": _oracle("cosine"),
    }

    def size(self, data: Corpora) -> int:
        """Number of gold pairs."""
        return len(data.gold)

    def take_first(self, data: Corpora, limit: int) -> Corpora:
        """The first `limit` gold pairs, in corpora of their sentences and the first `limit` others of each side."""
        gold = data.gold[:limit]
        source, i = _part(data.source, [i for i, _ in data.gold], limit)
        target, j = _part(data.target, [j for _, j in data.gold], limit)
        tuning = self.take_first(data.tuning, limit) if data.tuning else None
        ids = ([data.ids[0][row] for row in i], [data.ids[1][row] for row in j]) if data.ids else None
        return Corpora(source, target, [(i[x], j[y]) for x, y in gold], tuning, ids)

    def content(self, data: Corpora) -> Iterable[str]:
        """Both corpora and the gold, and those that the threshold is tuned on."""
        yield from map(str, (len(data.source), len(data.target), len(data.gold), data.tuning is not None))
        yield from data.source
        yield from data.target
        yield from (f"{i} {j}" for i, j in data.gold)
        if data.tuning:
            yield from self.content(data.tuning)

    def count_texts(self, data: Corpora) -> int:
        """Sentences of both sides, and of those that the threshold is tuned on."""
        return len(data.source) + len(data.target) + (self.count_texts(data.tuning) if data.tuning else 0)

    def notes(self, dataset: Data) -> tuple[str, ...]:
        """Names the languages whose threshold was tuned on the gold that is scored."""
        alone = [language for language in dataset.languages if dataset[language].tuning is None]
        if not alone:
            return ()
        names = ", ".join(alone)
        return (f"no sample to tune a threshold on for {names}: it was tuned on the gold pairs that are scored",)

    def zero_shot(self, dataset: Data, encode: Encode, languages: Sequence[str]) -> Iterator[tuple[str, Items]]:
        """Yields each language's pairs."""
        for language in languages:
            data: Corpora = dataset[language]
            tuned = _mine(data.tuning, encode).thresholds() if data.tuning else None
            mined = _mine(data, encode)
            yield language, mined.items(tuned or mined.thresholds())

    def paired(self, models: Sequence[Items]) -> list[Items]:
        """Gives every model a row for each pair of any; one that it has not let in is neither gold nor found."""
        keys = [np.stack([items["source"], items["target"]], axis=1) for items in models]
        pairs, places = np.unique(np.concatenate(keys), axis=0, return_inverse=True)
        ends = np.cumsum([len(key) for key in keys])[:-1]
        together: list[Items] = []
        for items, rows in zip(models, np.split(places, ends), strict=True):
            columns: dict[str, NDArray[Any]] = {"source": pairs[:, 0], "target": pairs[:, 1]}
            for name in items.keys() - columns.keys():
                absent = np.nan if items[name].dtype.kind == "f" else False
                columns[name] = np.full(len(pairs), absent, dtype=items[name].dtype)
                columns[name][rows] = items[name]
            together.append(columns)
        return together


@dataclass(frozen=True)
class _Outcome:
    """What was mined with each scoring, in rows of the corpora, and which pairs are gold."""

    mined: Mapping[Scoring, Mined]
    gold: Sequence[tuple[int, int]]

    def thresholds(self) -> dict[Scoring, float]:
        """The best threshold of each scoring for this gold."""
        return {scoring: best_threshold(*self._judged(scoring)) for scoring in SCORINGS}

    def items(self, thresholds: Mapping[Scoring, float]) -> Items:
        """See `BitextMining`."""
        places: dict[tuple[int, int], int] = {}
        listed: dict[Scoring, dict[int, float]] = {}
        for scoring in SCORINGS:
            lowest = reach(*self._judged(scoring), thresholds[scoring])
            source, target, scores = (column.tolist() for column in self.mined[scoring])
            listed[scoring] = {
                places.setdefault((i, j), len(places)): score
                for i, j, score in zip(source, target, scores, strict=True)
                if score >= lowest
            }
        gold = [places.setdefault(pair, len(places)) for pair in self.gold]
        rows = np.array(list(places), dtype=np.int32)
        items: dict[str, NDArray[Any]] = {"source": rows[:, 0], "target": rows[:, 1]}
        items["gold"] = np.zeros(len(places), dtype=bool)
        items["gold"][gold] = True
        for scoring in SCORINGS:
            column = np.full(len(places), np.nan)
            column[list(listed[scoring])] = list(listed[scoring].values())
            items[scoring] = column
            items[f"{scoring}_found"] = np.nan_to_num(column, nan=-np.inf) >= thresholds[scoring]
        return items

    def _judged(self, scoring: Scoring) -> tuple[NDArray[np.float64], NDArray[np.bool_], int]:
        """Scores of the mined pairs, which of them are gold, and the number of gold pairs."""
        known = set(self.gold)
        mined = self.mined[scoring]
        pairs = zip(mined.source.tolist(), mined.target.tolist(), strict=True)
        return mined.score, np.array([pair in known for pair in pairs], dtype=bool), len(self.gold)


def _mine(data: Corpora, encode: Encode) -> _Outcome:
    """Mines the distinct sentences of both sides, and keeps the pairs of sentences that occur once."""
    (left, left_rows), (right, right_rows) = _distinct(data.source), _distinct(data.target)
    near = nearest_both(
        encode(left), encode(right), NEIGHBOURHOOD, device=device_of(encode), on_search=on_search_of(encode)
    )
    mined: dict[Scoring, Mined] = {}
    for scoring in SCORINGS:
        pairs = mine(*near, scoring)
        source, target = left_rows[pairs.source], right_rows[pairs.target]
        once = (source >= 0) & (target >= 0)
        mined[scoring] = Mined(source[once], target[once], pairs.score[once])
    return _Outcome(mined, data.gold)


def _part(corpus: Sequence[str], gold: Sequence[int], limit: int) -> tuple[list[str], dict[int, int]]:
    """Returns the first `limit` gold sentences and others, in the order of the corpus, and their new places."""
    others = sorted(set(range(len(corpus))).difference(gold))[:limit]
    kept = sorted({*gold[:limit], *others})
    return [corpus[row] for row in kept], {row: place for place, row in enumerate(kept)}


def _distinct(corpus: Sequence[str]) -> tuple[list[str], NDArray[np.int64]]:
    """Returns the distinct sentences of a corpus, and their rows; -1 for one that occurs more than once.

    As in the official evaluation, sentences that differ in surrounding white space only are mined apart and then
    count as one that occurs more than once.
    """
    first = {text: row for row, text in reversed(list(enumerate(corpus)))}
    texts = list(dict.fromkeys(corpus))
    times = Counter(text.strip() for text in corpus)
    return texts, np.array([first[text] if times[text.strip()] == 1 else -1 for text in texts], dtype=np.int64)


SHAPE = BitextMining()
