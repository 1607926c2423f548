"""Ranking: find the right ones among many candidates, for each query."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from typing import Any

from xrete.files import digest
from xrete.lazy import NDArray, np
from xrete.model import Role
from xrete.shapes.contract import Data, Encode, Segments, as_role
from xrete.shapes.metric import Items, Metric
from xrete.shapes.texts import check_texts, pick
from xrete.vectors.search import device_of, top_k

DEPTH = 100
"""Candidates of each query that are looked at."""

NAMED = 20
"""Candidates of each query that items name: as many as XTREME-R scores."""

CHUNK = 16_384
"""Candidates encoded at once: 64 MB of vectors of 1,024 numbers, forgotten after their products."""


class Pool:
    """Candidates. Languages that share them share the object, so that a million are held and digested once.

    Attributes:
        ids: Names of the candidates; at equal scores the earlier one ranks higher.
        texts: What is encoded.

    Raises:
        ValueError: the columns have unequal lengths, a name occurs twice, or a value is no text.
    """

    def __init__(self, ids: Sequence[str], texts: Sequence[str]) -> None:
        if len(ids) != len(texts):
            raise ValueError(f"{len(ids)} names of candidates and {len(texts)} texts")
        check_texts("candidate name", ids)
        check_texts("candidate", texts)
        self.ids = ids
        self.texts = texts
        if len(self.rows) < len(ids):
            again = next(name for row, name in enumerate(ids) if self.rows[name] != row)
            raise ValueError(f"candidate {again!r} occurs twice")

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def rows(self) -> Mapping[str, int]:
        """The place of each candidate."""
        return {name: row for row, name in enumerate(self.ids)}

    @cached_property
    def digest(self) -> str:
        """Digest of names and texts, in order."""
        return digest(part for pair in zip(self.ids, self.texts, strict=True) for part in pair)


@dataclass(frozen=True)
class Ranking:
    """Queries of one language.

    Attributes:
        ids: Names of the queries.
        queries: Their texts.
        relevant: For each query, names of the right candidates in `pool`, at least one.
        pool: The candidates of this language, or of all.
        parallel: The pools of all languages of a data set are one, and queries of one name ask the same in every
            language: the right candidates of one are right for all.
        dropped: Rows that the adapter left out for a known data error.

    Raises:
        ValueError: the columns have unequal lengths, a value is no text, a query has no right candidate or one
            twice, a name occurs twice, or a right candidate is not in the pool.
    """

    ids: Sequence[str]
    queries: Sequence[str]
    relevant: Sequence[Sequence[str]]
    pool: Pool
    parallel: bool = False
    dropped: int = 0

    def __post_init__(self) -> None:
        if not len(self.ids) == len(self.queries) == len(self.relevant):
            raise ValueError(
                f"{len(self.queries)} queries with {len(self.ids)} names and {len(self.relevant)} lists of answers"
            )
        check_texts("query name", self.ids)
        check_texts("query", self.queries)
        if len(set(self.ids)) < len(self.ids):
            again = next(name for row, name in enumerate(self.ids) if name in self.ids[:row])
            raise ValueError(f"query {again!r} occurs twice")
        for name, relevant in zip(self.ids, self.relevant, strict=True):
            if not relevant:
                raise ValueError(f"query {name!r} has no right candidate")
            if len(set(relevant)) < len(relevant):
                raise ValueError(f"query {name!r} names a right candidate twice")
            absent = [candidate for candidate in relevant if candidate not in self.pool.rows]
            if absent:
                raise ValueError(f"query {name!r} asks for {absent[0]!r}, which is not among the candidates")


def _ranks(items: Items) -> NDArray[np.float64]:
    """Ranks of the right candidates that were found, ascending, then inf [queries, columns]."""
    columns = [items[f"rank_{number}"] for number in range(1, sum(name.startswith("rank_") for name in items) + 1)]
    ranks = np.stack(columns, axis=1).astype(np.float64)
    return np.where(ranks > 0, ranks, np.inf)


def _average_precision(depth: int) -> Metric:
    """AP = 1 / min(R, depth) * sum of the precisions at the ranks of right candidates, down to `depth`."""

    def per_item(items: Items) -> NDArray[np.float64]:
        ranks = _ranks(items)
        precisions = np.where(ranks <= depth, np.arange(1, ranks.shape[1] + 1) / ranks, 0.0)
        return np.asarray(100.0 * precisions.sum(axis=1) / np.minimum(items["relevant"], depth))

    return Metric.mean_of(per_item)


def _reciprocal_rank(items: Items) -> NDArray[np.float64]:
    """1 / rank of the first right candidate; 0 beyond `DEPTH`."""
    return np.asarray(100.0 / _ranks(items)[:, 0])


def _recall(depth: int) -> Metric:
    """The share of the right candidates that are among the first `depth`."""
    return Metric.mean_of(
        lambda items: np.asarray(100.0 * (_ranks(items) <= depth).sum(axis=1) / items["relevant"], np.float64)
    )


def _ndcg(depth: int) -> Metric:
    """Discounted gain 1 / log2(1 + rank) of the right candidates, relative to the best order."""

    def per_item(items: Items) -> NDArray[np.float64]:
        ranks = _ranks(items)
        ideal = np.cumsum(1 / np.log2(np.arange(2, depth + 2)))
        gains = np.where(ranks <= depth, 1 / np.log2(1 + ranks), 0.0).sum(axis=1)
        return np.asarray(100.0 * gains / ideal[np.minimum(items["relevant"], depth) - 1])

    return Metric.mean_of(per_item)


class RankingShape:
    """Scores by cosine, exactly; candidates stream from the encoder and are never held.

    Items, one row for each query: `relevant`, the number R of right candidates; `rank_1`, `rank_2`, ...: their
    ranks in ascending order, 0 for those beyond the first 100; `candidate_1` to `candidate_20`: rows of the first
    candidates in the pool (of all languages, where they are parallel), best first, -1 past its end.
    """

    name = "ranking"
    roles: tuple[Role, ...] = ("query", "document")
    objectives: tuple[str, ...] = ("in-batch",)
    metrics: Mapping[str, Metric] = {
        "map@20": _average_precision(20),
        "mrr": Metric.mean_of(_reciprocal_rank),
        "recall@1": _recall(1),
        "recall@10": _recall(10),
        "recall@100": _recall(100),
        "ndcg@10": _ndcg(10),
    }

    def size(self, data: Ranking) -> int:
        """Number of queries."""
        return len(data.queries)

    def take_first(self, data: Ranking, limit: int) -> Ranking:
        """The first `limit` queries, and of the candidates their right ones and the first `limit` others."""
        relevant = {name for names in data.relevant[:limit] for name in names}
        elsewhere = {name for names in data.relevant for name in names}
        others = (name for name in data.pool.ids if name not in elsewhere)
        kept = relevant.union(islice(others, limit))
        rows = sorted(data.pool.rows[name] for name in kept)
        pool = Pool([data.pool.ids[row] for row in rows], [data.pool.texts[row] for row in rows])
        return replace(
            data, ids=data.ids[:limit], queries=data.queries[:limit], relevant=data.relevant[:limit], pool=pool
        )

    def content(self, data: Ranking) -> Iterable[str]:
        """Queries with names and answers, and the digest of the candidates, which is taken once for all."""
        for name, query, relevant in zip(data.ids, data.queries, data.relevant, strict=True):
            yield from (name, query, str(len(relevant)), *relevant)
        yield f"{data.pool.digest} {data.parallel}"

    def segments(self, data: Ranking) -> Segments:
        """A query, and the first of its right candidates."""
        rows = [data.pool.rows[names[0]] for names in data.relevant]
        return [(data.queries, [data.pool.texts[row] for row in rows])]

    def targets(self, data: Ranking, objective: str) -> NDArray[Any]:
        """Zeros [queries], which say nothing: the partner is right."""
        return np.zeros(len(data.queries))

    def keys(self, data: Ranking) -> Sequence[tuple[str, ...]]:
        """Name and text of each query, and names of its right candidates."""
        return [
            (f"query {x}", y, *names) for x, y, names in zip(data.ids, data.queries, data.relevant, strict=True)
        ]

    def take(self, data: Ranking, rows: Sequence[int]) -> Ranking:
        """Returns the queries at `rows`, with all candidates."""
        return replace(
            data, ids=pick(data.ids, rows), queries=pick(data.queries, rows), relevant=pick(data.relevant, rows)
        )

    def count_texts(self, data: Ranking) -> int:
        """Queries and candidates."""
        return len(data.queries) + len(data.pool)

    def count_distinct_texts(self, data: Sequence[Ranking]) -> int:
        """Queries of all, and candidates of each pool once."""
        pools = {id(ranking.pool): ranking.pool for ranking in data}
        return sum(len(ranking.queries) for ranking in data) + sum(map(len, pools.values()))

    def notes(self, dataset: Data) -> tuple[str, ...]:
        """Says so where the candidates of some languages are missing from a pool of all languages."""
        here, all_ = len(dataset.languages), len(dataset.card.languages)
        if here == all_ or not dataset[dataset.languages[0]].parallel:
            return ()
        return (
            f"candidates of {here} of {all_} languages: fewer candidates and fewer right ones for each query than "
            f"in the whole task, whose scores are not comparable",
        )

    def zero_shot(self, dataset: Data, encode: Encode, languages: Sequence[str]) -> Iterator[tuple[str, Items]]:
        """Searches the queries of all languages that share a pool in one pass over it."""
        data: dict[str, Ranking] = {language: dataset[language] for language in dataset.languages}
        pools = _pools(data)
        answers = _answers(data, pools)
        width = min(DEPTH, max(len(rows) for relevant in answers.values() for rows in relevant))
        for pool in {pools[language].digest: pools[language] for language in languages}.values():
            group = [language for language in languages if pools[language].digest == pool.digest]
            queries = [query for language in group for query in data[language].queries]
            vectors, read = as_role(encode, "query")(queries), as_role(encode, "document")
            blocks = (read(pool.texts[start : start + CHUNK]) for start in range(0, len(pool), CHUNK))
            candidates = top_k(vectors, blocks, DEPTH, device=device_of(encode)).indices
            for language in group:
                here, candidates = np.split(candidates, [len(data[language].queries)])
                yield language, _items(here, answers[language], width)


def _pools(data: Mapping[str, Ranking]) -> dict[str, Pool]:
    """Returns the pool of each language: its own, or the one of all languages together."""
    if not _is_parallel(data):
        return {language: ranking.pool for language, ranking in data.items()}
    parts = list({id(ranking.pool): ranking.pool for ranking in data.values()}.values())
    if len(parts) > 1:
        parts = [Pool([x for part in parts for x in part.ids], [x for part in parts for x in part.texts])]
    return dict.fromkeys(data, parts[0])


def _answers(data: Mapping[str, Ranking], pools: Mapping[str, Pool]) -> dict[str, list[list[int]]]:
    """Returns the rows of the right candidates of each query, by language."""
    if not _is_parallel(data):
        return {
            language: [[pools[language].rows[name] for name in names] for names in ranking.relevant]
            for language, ranking in data.items()
        }
    together: dict[str, set[int]] = {}
    for language, ranking in data.items():
        for query, names in zip(ranking.ids, ranking.relevant, strict=True):
            together.setdefault(query, set()).update(pools[language].rows[name] for name in names)
    return {language: [sorted(together[query]) for query in ranking.ids] for language, ranking in data.items()}


def _is_parallel(data: Mapping[str, Ranking]) -> bool:
    return next(iter(data.values())).parallel


def _items(candidates: NDArray[np.int64], answers: Sequence[Sequence[int]], width: int) -> Items:
    """Turns candidates [queries, depth], best first, into items with `width` columns of ranks."""
    ranks = np.zeros((len(answers), width), np.uint8)
    for row, right in enumerate(answers):
        places = np.flatnonzero(np.isin(candidates[row], right)) + 1
        ranks[row, : len(places)] = places
    named = np.full((len(answers), NAMED), -1, np.int32)
    named[:, : candidates.shape[1]] = candidates[:, :NAMED]
    return {
        "relevant": np.array([len(right) for right in answers], np.int32),
        **{f"rank_{number + 1}": ranks[:, number] for number in range(width)},
        **{f"candidate_{number + 1}": named[:, number] for number in range(NAMED)},
    }


SHAPE = RankingShape()
