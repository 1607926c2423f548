"""MTEB (Muennighoff et al. 2023): any of its text tasks whose type has a shape here, as `mteb:NAME`.

MTEB says what a task is and reads its data, with `load_data`, from the hub at the revision that it pins. Shapes and
protocols are XRETE's; the notes of each card say where they differ from MTEB's own. This module needs the package
mteb only once a task is asked for.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

from xrete.errors import DataError, UsageError, XreteError, unknown_name
from xrete.shapes.bitext import Bitext
from xrete.shapes.classification import Labelled
from xrete.shapes.multilabel import MultiLabelled
from xrete.shapes.ranking import Pool, Ranking
from xrete.shapes.similarity import ScoredPairs
from xrete.sources import Folder, Hub, HubData
from xrete.task import Task, TaskCard

if TYPE_CHECKING:
    from mteb import AbsTask


@dataclass(frozen=True, kw_only=True)
class TaskType:
    """How tasks of one of MTEB's types are scored here.

    Attributes:
        shape: The shape.
        category: The category.
        protocol: The protocol.
        metrics: MTEB's main scores that the shape has too, with the shape's names. The first one is the metric of
            tasks that have another main score.
        notes: Where MTEB's own scores differ.
        read: Makes the shape's data of MTEB's task, with its data loaded, for a subset and a split.
    """

    shape: str
    category: str
    protocol: str
    metrics: Mapping[str, str]
    notes: tuple[str, ...]
    read: Callable[[AbsTask, str, str], Any]


class Mteb:
    """The family."""

    title = "any text task of MTEB whose type has a shape here (package mteb; the hub)"

    def task(self, member: str) -> Task:
        """Returns MTEB's task of that name.

        Raises:
            UsageError: there is none, or it is none that can be scored here.
            XreteError: the package mteb is missing.
        """
        try:
            import mteb
        except ImportError:
            raise XreteError(
                f"mteb:{member} needs the package mteb, which is not installed; run pip install 'xrete[mteb]'"
            ) from None
        try:
            official = mteb.get_task(member)
        except KeyError:
            known = [task.metadata.name for task in mteb.get_tasks(exclude_superseded=False)]
            raise unknown_name("task of MTEB", member, known, "see mteb.get_tasks()") from None
        return as_task(official)


class MtebTask:
    """One of MTEB's tasks.

    Attributes:
        card: Its card. Languages are MTEB's subsets; the one subset of other tasks is named after its language.
    """

    def __init__(self, task: AbsTask) -> None:
        self._task = task
        self._loaded: AbsTask | None = None
        self._type = _type(task)
        self._subsets = _subsets(task)
        self.card = _card(task, self._type, tuple(self._subsets))

    def files(self, language: str, split: str) -> Sequence[str]:
        """There are none."""
        return ()

    def from_folder(self, folder: Folder, language: str, split: str) -> Any:
        """Refuses: what MTEB makes of the hub's files is its own."""
        raise UsageError(f"{self.card.name} is read from the hub by MTEB; leave out --data")

    def from_hub(self, hub: Hub, language: str, split: str) -> Any:
        """Has MTEB read one language, from the pinned revision.

        Raises:
            XreteError: MTEB cannot get it.
            DataError: it is not there, or the shape cannot hold it.
        """
        subset = self._subsets[language]
        return self._type.read(self._load(subset), subset, split)

    def _load(self, subset: str) -> AbsTask:
        """Returns MTEB's task with this subset loaded: alone, or with all where they share a table or classes."""
        together = self._type.protocol == "probe" or self._task.fast_loading or _is_parallel(self._task)
        wanted = list(self._subsets.values()) if together else [subset]
        if self._loaded is None or self._loaded.hf_subsets != wanted:
            import datasets

            datasets.disable_progress_bars()
            task = copy.deepcopy(self._task)  # its random numbers must not depend on what was loaded before
            task.hf_subsets = wanted
            try:
                task.load_data()
            except Exception as error:  # MTEB, datasets and the hub raise many kinds; all mean the same here
                data, reason = task.metadata.dataset, str(error).partition("\n")[0]
                raise XreteError(
                    f"MTEB cannot get {data['path']} at {data['revision'][:8]} for {self.card.name}: "
                    f"{type(error).__name__}: {reason}"
                ) from error
            self._loaded = task
        return self._loaded


def as_task(task: AbsTask) -> Task:
    """Makes a task of MTEB one of XRETE's; also one that is not in MTEB's registry.

    Raises:
        UsageError: its type has no shape here, it reads more than text, or its data are not pinned.
    """
    return MtebTask(task)


def _type(task: AbsTask) -> TaskType:
    """Finds how a task is scored.

    Raises:
        UsageError: it is not.
    """
    from mteb.abstasks import AbsTaskMultilabelClassification

    about, name = task.metadata, f"mteb:{task.metadata.name}"
    known = TYPES.get(about.type)
    if isinstance(task, AbsTaskMultilabelClassification):  # some call themselves Classification
        known = TYPES["MultilabelClassification"]
    if known is None:
        raise UsageError(
            f"{name} is of MTEB's type {about.type}, which no shape here scores; these types work: "
            f"{', '.join(TYPES)}"
        )
    if about.modalities != ["text"]:
        raise UsageError(f"{name} is about {' and '.join(about.modalities)}; only tasks of text alone work here")
    if task.is_aggregate:
        parts = ", ".join(f"mteb:{part.metadata.name}" for part in task.tasks)
        raise UsageError(f"{name} is made of other tasks; run these: {parts}")
    if not re.fullmatch("[0-9a-f]{40}", about.dataset["revision"]):
        raise UsageError(f"{name} is pinned by MTEB to {about.dataset['revision']!r}, which is no full commit")
    return known


def _subsets(task: AbsTask) -> dict[str, str]:
    """Returns the names of languages here, each with MTEB's subset."""
    if task.metadata.is_multilingual:
        return {subset: subset for subset in task.hf_subsets}
    codes = [code.replace("-", "_") for code in task.metadata.eval_langs]
    return {"-".join(codes) if len(codes) <= 2 else "mul": "default"}


def _card(task: AbsTask, known: TaskType, languages: tuple[str, ...]) -> TaskCard:
    about = task.metadata
    splits = sorted(task.eval_splits, key=lambda split: split != "test")
    trains = known.protocol == "probe" and task.train_split not in splits
    citation = " ".join((about.bibtex_citation or "").split()) or about.reference or "MTEB names none"
    return TaskCard(
        name=f"mteb:{about.name}",
        title=f"{about.name} of MTEB ({about.type})",
        shape=known.shape,
        category=known.category,
        metric=known.metrics.get(about.main_score, next(iter(known.metrics.values()))),
        mteb_type=about.type,
        languages=languages,
        splits=tuple(splits),
        counts={},
        training=(task.train_split,) if trains else (),
        protocols=(known.protocol,),
        licence=about.license or "not specified",
        citation=citation,
        layout="no files: MTEB reads the hub",
        hub=HubData(repo=about.dataset["path"], revision=about.dataset["revision"]),
        notes=tuple(_notes(task, known, splits, trains)),
    )


def _notes(task: AbsTask, known: TaskType, splits: Sequence[str], trains: bool) -> list[str]:
    about = task.metadata
    notes = list(known.notes)
    if about.main_score not in known.metrics:
        notes.append(f"MTEB's main score, {about.main_score}, is not computed here")
    if known.protocol == "probe" and not trains:
        notes.append("MTEB trains on samples of what it scores; here the items are halved and cross-fitted")
    if len(splits) > 1:
        notes.append(f"MTEB scores {' and '.join(splits)}; here a run scores one of them, named by --split")
    if about.superseded_by:
        notes.append(f"MTEB has a newer version: mteb:{about.superseded_by}")
    return notes


def _is_parallel(task: AbsTask) -> bool:
    """Returns whether all subsets are columns of one table."""
    return getattr(task, "parallel_subsets", False)


def _splits(task: AbsTask, subset: str) -> Mapping[str, Any]:
    """Returns the splits of a subset, where MTEB's own evaluation looks for them."""
    apart = subset in task.dataset and not _is_parallel(task)
    splits: Mapping[str, Any] = task.dataset[subset] if apart else task.dataset
    return splits


def _rows(task: AbsTask, subset: str, split: str) -> Any:
    """Returns the rows of a split.

    Raises:
        DataError: there is none of that name.
    """
    splits = _splits(task, subset)
    if split not in splits:
        raise DataError(f"mteb:{task.metadata.name} has no {split} in {subset}; leave it out with --languages")
    return splits[split]


def _bitext(task: AbsTask, subset: str, split: str) -> Bitext:
    rows = _rows(task, subset, split)
    if "gold" in getattr(rows, "column_names", rows):
        raise DataError(f"mteb:{task.metadata.name} has second sentences without a first one; try a later version")
    columns = subset.split("-") if _is_parallel(task) else ["sentence1", "sentence2"]
    return Bitext(*(list(rows[name]) for name in columns))


def _scored_pairs(task: AbsTask, subset: str, split: str) -> ScoredPairs:
    rows = _rows(task, subset, split)
    first, second = (list(rows[name]) for name in task.column_names)
    return ScoredPairs(first=first, second=second, scores=list(rows["score"]))


def _labelled(
    data: Callable[..., Labelled | MultiLabelled], task: AbsTask, subset: str, split: str
) -> Labelled | MultiLabelled:
    rows = _rows(task, subset, split)
    texts, labels = list(rows[task.input_column_name]), _names(rows, task.label_column_name)
    return data(first=texts, labels=labels, classes=_classes(task))


def _names(rows: Any, column: str) -> list[Any]:
    """Returns the name of each item's label, or the names of its labels."""
    feature = rows.features[column]
    name = getattr(getattr(feature, "feature", feature), "int2str", str)
    return [[name(x) for x in value] if isinstance(value, list) else name(value) for value in rows[column]]


@lru_cache(maxsize=1)
def _classes(task: AbsTask) -> tuple[str, ...]:
    """Returns the names of all classes: one head is trained for all languages, so they must agree on them."""
    classes: set[str] = set()
    for splits in (_splits(task, subset) for subset in task.hf_subsets):
        for split in {task.train_split, *task.eval_splits} & set(splits):
            for names in _names(splits[split], task.label_column_name):
                classes.update(names if isinstance(names, list) else [names])
    return tuple(sorted(classes))


def _ranking(task: AbsTask, subset: str, split: str) -> Ranking:
    """Reads a search as MTEB does: queries that have judgements, among all documents of the subset.

    Raises:
        DataError: MTEB searches in a way that the shape does not.
    """
    task.convert_v1_dataset_format_to_v2(num_proc=None)
    data, name = _rows(task, subset, split), f"mteb:{task.metadata.name}"
    if data["top_ranked"] is not None:
        raise DataError(f"{name} gives each query candidates of its own; here queries share all documents")
    judged = {query: grades for query, grades in data["relevant_docs"].items() if grades}
    queries = [row for row in data["queries"] if row["id"] in judged]
    relevant = [[x for x, grade in judged[row["id"]].items() if grade > 0] for row in queries]
    pool = Pool(list(data["corpus"]["id"]), [_document(row) for row in data["corpus"]])
    if task.ignore_identical_ids and any(row["id"] in pool.rows for row in queries):
        raise DataError(f"{name} has queries among its documents, which MTEB leaves out and no shape here can")
    return Ranking([row["id"] for row in queries], [_query(row, name) for row in queries], relevant, pool)


def _document(row: Mapping[str, str]) -> str:
    """Joins title and text as MTEB does."""
    title = row.get("title")
    return (f"{title} {row['text']}" if title else row["text"]).strip()


def _query(row: Mapping[str, Any], name: str) -> str:
    """Joins a query and its instruction as MTEB does."""
    if not isinstance(row["text"], str):
        raise DataError(f"{name} has conversations for queries, which no shape here reads")
    instruction = row.get("instruction")
    return row["text"] if instruction is None else f"{row['text']} {instruction}"


TYPES = {
    "BitextMining": TaskType(
        shape="bitext",
        category="retrieval",
        protocol="zero-shot",
        metrics={"accuracy": "accuracy"},
        notes=(
            "accuracy is MTEB's: the share of first sentences whose nearest second sentence is their own; in its "
            "f1 a hit counts 2 / (1 + n), where n is the number of first sentences with this nearest one",
        ),
        read=_bitext,
    ),
    "STS": TaskType(
        shape="similarity",
        category="similarity",
        protocol="zero-shot",
        metrics={"cosine_spearman": "spearman", "cosine_pearson": "pearson", "spearman": "spearman"},
        notes=("spearman and pearson are 100 times MTEB's cosine_spearman and cosine_pearson",),
        read=_scored_pairs,
    ),
    "Retrieval": TaskType(
        shape="ranking",
        category="retrieval",
        protocol="zero-shot",
        metrics={
            "ndcg_at_10": "ndcg@10",
            "recall_at_1": "recall@1",
            "recall_at_10": "recall@10",
            "recall_at_100": "recall@100",
        },
        notes=(
            "any grade above 0 is right: ndcg@10 is MTEB's where there are no higher grades than 1",
            "map@20 divides by at most 20 right ones, MTEB's by all of them; mrr looks at 100 candidates",
        ),
        read=_ranking,
    ),
    "Classification": TaskType(
        shape="classification",
        category="classification",
        protocol="probe",
        metrics={"accuracy": "accuracy", "f1": "macro_f1"},
        notes=(
            "not comparable with MTEB's score: MTEB trains on a few texts of each label, in each language alone; "
            "here a probe is trained on up to 20,000 texts, of all languages unless told otherwise",
        ),
        read=partial(_labelled, Labelled),
    ),
    "MultilabelClassification": TaskType(
        shape="multilabel",
        category="classification",
        protocol="probe",
        metrics={"accuracy": "subset_accuracy"},
        notes=(
            "not comparable with MTEB's score: MTEB scores at most 3,000 texts, by their nearest neighbours among "
            "a few of each label, in each language alone; here a probe is trained on up to 20,000 texts, of all "
            "languages unless told otherwise",
        ),
        read=partial(_labelled, MultiLabelled),
    ),
}
"""By MTEB's names."""

FAMILY = Mteb()
