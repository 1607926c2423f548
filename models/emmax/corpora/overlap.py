"""Which test sentences are in the training text: the measured overlap that a checkpoint's card states.

Two texts are the same here when their letters and digits are, in NFKC and case folded: spaces, punctuation, accents
written as marks, and case do not count. So the overlap is rather stated too high than too low.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from xrete import registry
from xrete.dataset import Dataset, open_dataset
from xrete.errors import UsageError, XreteError
from xrete.lazy import NDArray, np

from .digests import bare, contains, text_digests
from .prepared import Prepared


@dataclass(frozen=True)
class TestSet:
    """What is scored of a task.

    Attributes:
        task: Its name.
        split: The split that is scored.
        languages: Digests of the different texts of each language, sorted.
    """

    __test__ = False  # no test for pytest

    task: str
    split: str
    languages: Mapping[str, NDArray[np.int64]]


def test_sets(data: str) -> tuple[list[TestSet], dict[str, str]]:
    """Reads the test set of every registered task that is there.

    Args:
        data: "mini", or a folder.

    Returns:
        The test sets, and why each other task has none.
    """
    sets, skipped = [], {}
    for name in registry.names("tasks"):
        try:
            dataset = open_dataset(registry.task(name), data)
            sets.append(TestSet(name, dataset.split, dict(_languages(dataset))))
        except XreteError as error:
            skipped[name] = str(error)
    return sets, skipped


def test_digests(sources: Sequence[str]) -> NDArray[np.int64]:
    """Returns the sorted digests of all test texts of several sources, int64 [texts].

    Raises:
        UsageError: a source has no task's data.
    """
    known = []
    for data in sources:
        sets, _ = test_sets(data)
        if not sets:
            raise UsageError(f"data.filters.test_sets: no task's data in {data}; name mini, or a data folder")
        known += [digests for test_set in sets for digests in test_set.languages.values()]
    return np.unique(np.concatenate([np.empty(0, np.int64), *known]))


def overlap(prepared: Prepared, data: str = "mini") -> dict[str, Any]:
    """Counts the test texts that are found in the training text, of whatever language.

    Args:
        prepared: The training text.
        data: The test data: "mini", or a folder.

    Returns:
        JSON: `data`; `tasks`, with for each its `split` and `languages`, for each `texts` (different ones that are
        scored; both sides of bitexts, queries and candidates, premises and hypotheses) and `found` (those in the
        training text); the sums of both over languages, and over tasks; and `skipped` tasks with the reason.
    """
    sets, skipped = test_sets(data)
    wanted = np.unique(np.concatenate([np.empty(0, np.int64), *chain(*(x.languages.values() for x in sets))]))
    seen = np.zeros(len(wanted), dtype=bool)
    for corpus in chain(prepared.parallel.values(), prepared.monolingual.values()):
        for columns in corpus.batches():
            for texts in columns:
                digests = text_digests(map(bare, texts))
                seen[np.searchsorted(wanted, digests[contains(wanted, digests)])] = True
    leaked = wanted[seen]
    tasks = {}
    for test_set in sets:
        languages = {
            language: {"texts": len(digests), "found": int(contains(leaked, digests).sum())}
            for language, digests in test_set.languages.items()
        }
        tasks[test_set.task] = {"split": test_set.split, "languages": languages, **_sums(languages.values())}
    return {"data": data, **_sums(tasks.values()), "tasks": tasks, "skipped": skipped}


def _sums(counts: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    counts = list(counts)
    return {key: sum(count[key] for count in counts) for key in ("texts", "found")}


def _languages(dataset: Dataset) -> Iterator[tuple[str, NDArray[np.int64]]]:
    """Yields the digests of each language's texts."""
    known: dict[int, NDArray[np.int64]] = {}  # the dataset holds its columns, so that their ids stay theirs
    for language in dataset.languages:
        columns = text_columns(dataset[language])
        for column in columns:
            if id(column) not in known:  # candidates of a ranking may be those of all languages
                known[id(column)] = np.unique(text_digests(filter(None, map(bare, column))))
        yield language, np.unique(np.concatenate([known[id(column)] for column in columns]))


def text_columns(data: Any) -> list[Sequence[str]]:
    """Returns the texts of one language's data, without labels and names. Shapes have no method for that."""
    from xrete.shapes.bitext import Bitext
    from xrete.shapes.choice import Choices
    from xrete.shapes.mining import Corpora
    from xrete.shapes.ranking import Ranking
    from xrete.shapes.texts import Texts

    match data:
        case Bitext():
            return [data.source, data.target]
        case Corpora():
            return [data.source, data.target, *(text_columns(data.tuning) if data.tuning else [])]
        case Ranking():
            return [data.queries, data.pool.texts]
        case Choices():
            return [data.first, data.choice1, data.choice2]
        case Texts():
            return [data.first] if data.second is None else [data.first, data.second]
        case list() | tuple():  # geometry
            return [data]
    raise TypeError(f"no texts are known of {type(data).__name__}")
