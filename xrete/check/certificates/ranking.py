"""What models without knowledge, or with all of it, score at ranking."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from xrete.check.certificates.contract import Certificate, Theory
from xrete.shapes.contract import Encode
from xrete.shapes.ranking import Ranking, RankingShape

DEPTH = 20
DRAWS = 20_000
"""Random rankings of all queries. One more lies outside all of them with probability 2 / (DRAWS + 1)."""


def _zero_shot(shape: RankingShape, data: Ranking) -> Iterator[Certificate]:
    """Yields models whose MAP@20 over the candidates of one language is known.

    Queries, and the candidates that are right for one of them, make clusters. Constant: the first candidates rank
    first. Oracle: clusters have axes of their own, so a cluster's candidates rank first for its queries, in their
    order. Shuffled oracle: each query points away from its own cluster and to the next one, so its candidates
    rank last.

    Random: candidates have axes of their own and queries point anywhere, so all products are independent, and
    each query ranks the candidates in an order of its own, all orders being equally likely. Scores of that law are
    drawn; the model's score is one more draw, and lies outside of all of them with the probability said above.
    """
    texts = list(dict.fromkeys(data.pool.texts))
    clusters = _clusters(data)
    right = [np.array([data.pool.rows[name] for name in names]) for names in data.relevant]
    constant = _score([rows + 1 for rows in right])
    yield Certificate("constant", _constant, constant, constant)
    draws = _random_scores([len(rows) for rows in right], len(data.pool))
    yield Certificate("random", _anywhere(data.queries, texts), draws.min(), draws.max())
    own = _own_clusters(data, clusters)
    first = [np.searchsorted(mine, rows) + 1 for rows, mine in zip(right, own, strict=True)]
    oracle = _score(first)
    yield Certificate("oracle", _on_axes(data, clusters, away=False), oracle, oracle)
    others = [len(data.pool) - len(mine) for mine in own]
    last = _score([ranks + skipped for ranks, skipped in zip(first, others, strict=True)])
    yield Certificate("shuffled-oracle", _on_axes(data, clusters, away=True), last, last)


def _score(ranks: Sequence[NDArray[np.int64]]) -> float:
    """MAP@20 in percent, written as its definition says: a loop over ranks."""
    total = 0.0
    for right in ranks:
        hits, sum_of_precisions = 0, 0.0
        for rank in range(1, DEPTH + 1):
            if rank in right:
                hits += 1
                sum_of_precisions += hits / rank
        total += sum_of_precisions / min(len(right), DEPTH)
    return 100 * total / len(ranks)


def _random_scores(right: Sequence[int], candidates: int) -> NDArray[np.float64]:
    """Draws MAP@20 of rankings where all orders are equally likely [DRAWS]; `right` candidates for each query."""
    chance = np.random.default_rng(0)
    total = np.zeros(DRAWS)
    depth = min(DEPTH, candidates)
    for count in right:
        hits = np.zeros(DRAWS)
        left = np.full(DRAWS, float(count))
        for rank in range(1, depth + 1):  # drawing without replacement, a rank at a time
            hit = chance.random(DRAWS) * (candidates - rank + 1) < left
            left -= hit
            hits += hit
            total += hit * hits / rank / min(count, DEPTH)
    return np.asarray(100 * total / len(right))


def _clusters(data: Ranking) -> dict[str, int]:
    """Numbers the clusters: texts of queries and of their right candidates, joined where they share a text."""
    root: dict[str, str] = {}

    def find(text: str) -> str:
        while root.setdefault(text, text) != text:
            text = root[text]
        return text

    for query, names in zip(data.queries, data.relevant, strict=True):
        for name in names:
            root[find(data.pool.texts[data.pool.rows[name]])] = find(query)
    numbers: dict[str, int] = {}
    return {text: numbers.setdefault(find(text), len(numbers)) for text in list(root)}


def _own_clusters(data: Ranking, clusters: Mapping[str, int]) -> list[NDArray[np.int64]]:
    """Returns the rows of the candidates that are in each query's cluster, ascending."""
    members: dict[int, list[int]] = {}
    for row, text in enumerate(data.pool.texts):
        if text in clusters:
            members.setdefault(clusters[text], []).append(row)
    return [np.array(members[clusters[query]]) for query in data.queries]


def _constant(texts: Sequence[str]) -> NDArray[np.float32]:
    return np.full((len(texts), 4), 0.5, np.float32)


def _anywhere(queries: Sequence[str], candidates: Sequence[str]) -> Encode:
    """Gives each candidate an axis, and each query a direction with independent normal coordinates."""
    axes = {text: number for number, text in enumerate(candidates)}
    alone = {text: number for number, text in enumerate(dict.fromkeys(queries))}
    table = np.random.default_rng(1).standard_normal((len(alone), len(axes))).astype(np.float32)
    table /= np.linalg.norm(table, axis=1, keepdims=True)
    eye = np.eye(len(axes), dtype=np.float32)
    return lambda texts: np.stack([eye[axes[x]] if x in axes else table[alone[x]] for x in texts])


def _on_axes(data: Ranking, clusters: Mapping[str, int], *, away: bool) -> Encode:
    """Makes the oracle: an axis for each cluster, and one for the candidates that are never right."""
    count = max(clusters.values()) + 1
    eye = np.eye(count + 1, dtype=np.float32)
    vectors = {text: eye[clusters.get(text, count)] for text in data.pool.texts}
    for query in data.queries:
        own = eye[clusters[query]]
        vectors[query] = (eye[(clusters[query] + 1) % count] - own) / np.float32(2**0.5) if away else own
    return lambda texts: np.stack([vectors[text] for text in texts])


THEORY = Theory(zero_shot=_zero_shot)
