"""A record held against its model and its data: the fingerprint, and a random part encoded again.

The part is whole languages, drawn at random, because what a sentence finds depends on every other sentence of its
language. A record that was made up passes every other check; this one it passes only where the model says the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from xrete import registry
from xrete.check.records import (
    FILE_NAME,
    Case,
    Finding,
    UncheckedError,
    identity_of,
    run_check,
    settings_of,
    task_of,
)
from xrete.dataset import Dataset, open_dataset
from xrete.encoding.embedder import Embedder, Probe, take_probe
from xrete.errors import XreteError
from xrete.evaluation.plan import record_key
from xrete.model import LoadedModel, ModelIdentity
from xrete.protocols import Settings, load_protocol
from xrete.record import Record
from xrete.shapes import load_shape
from xrete.shapes.contract import JointShape, PairableShape, Shape, roles_of
from xrete.shapes.metric import Items

SKETCH_TOLERANCE = 5e-3
"""Cosines of the probe move by less than this from machine to machine, and by more where a model was changed."""

VALUE_TOLERANCE = 1e-3
"""The same for similarities in items."""

ROW_TOLERANCE = 0.01
"""Most of a language's outcomes that may be other ones on another machine, where two candidates all but tie."""


@dataclass
class Models:
    """Models as records name them. Only the last one stays loaded: records lie in a folder for each model.

    Attributes:
        device: Where they run: "auto", "cpu", "cuda", …
    """

    device: str = "auto"
    _last: tuple[ModelIdentity, LoadedModel, Probe] | None = field(default=None, init=False)

    def load(self, record: Record) -> tuple[LoadedModel, Probe]:
        """Returns the model and what it gives for the probe.

        Raises:
            XreteError: it is not at hand, or what is at hand is another one.
            UncheckedError: it gives no vectors.
        """
        asked = identity_of(record)
        if self._last is None or self._last[0] != asked:
            self._last = None
            try:
                model = self._open(asked, record.task)
                self._last = (asked, model, take_probe(model.encoder))
            except (XreteError, UncheckedError):
                raise
            except Exception as error:  # a plugin may raise anything
                raise XreteError(f"{asked.name}: {type(error).__name__}: {error}") from error
        return self._last[1:]

    def _open(self, asked: ModelIdentity, task: str) -> LoadedModel:
        request = registry.request_model(asked.name, device=self.device, dtype=asked.dtype)
        card = registry.task(task).card
        read = card.name, card.mteb_type, roles_of(load_shape(card.shape))
        here = request.identity.limited(asked.max_length).for_task(*read)  # a task may want a model to read less
        if here.kind == "chat":
            raise UncheckedError(
                f"{asked.name} is a chat model, whose answers cost money and are not asked for again"
            )
        for name in ("revision", "pooling", "prefix", "prompts", "max_length"):
            if getattr(here, name) != getattr(asked, name):
                raise XreteError(
                    f"{asked.name} here has {name} {getattr(here, name)!r}, the record {getattr(asked, name)!r}"
                )
        return request.load().limited(asked.max_length).for_task(*read)


def check_fingerprint(case: Case, models: Models) -> Iterator[str]:
    """The model that the record names, where it is at hand, gives the tokens and vectors of its fingerprint."""
    recorded = case.record.fingerprint
    if recorded is None:
        raise UncheckedError("the record has no fingerprint")
    try:
        _, probe = models.load(case.record)
    except XreteError as error:
        raise UncheckedError(f"the model is not at hand: {error}") from error
    computed, name = probe.fingerprint, case.record.model.name
    if recorded.tokenizer != computed.tokenizer:
        yield f"fingerprint.tokenizer is not that of {name}: the record is of another model or another tokenizer"
    close = len(recorded.sketch) == len(computed.sketch) and np.allclose(
        recorded.sketch, computed.sketch, rtol=0, atol=SKETCH_TOLERANCE
    )
    if recorded.embeddings != computed.embeddings and not close:
        yield f"fingerprint.embeddings is not that of {name}: the record is of another model or of other vectors"
    if case.record.model.dim not in (None, probe.dimension):
        yield f"model.dim is {case.record.model.dim}, vectors of {name} have {probe.dimension} numbers"


@dataclass(frozen=True)
class Sample:
    """Encodes a part of a record's data again, without the cache.

    Attributes:
        models: Where models come from.
        data: As `--data`: "auto", "hub", or a folder. Records of the mini sample take the mini sample.
        share: The least share of a record's items.
        seed: Of the choice of languages.
    """

    models: Models
    data: str
    share: float
    seed: int

    def check(self, case: Case) -> Finding:
        """Returns whether the model, given the data again, gives the items' outcomes, and what was done.

        A record whose model or data are not available, or are other ones, is wrong: it was asked for.
        """
        done: list[str] = []
        finding = run_check("sample", lambda case: self._encode_again(case, done), case)
        return finding if finding.sentence else replace(finding, sentence=done[0])

    def _encode_again(self, case: Case, done: list[str]) -> Iterator[str]:
        record = case.record
        if isinstance(case.shape, JointShape):
            raise UncheckedError(
                f"scores of shape {record.shape} are of all languages together; run the task again"
            )
        if record.status != "complete":
            raise UncheckedError(f"the record is {record.status}")
        if record.fine_tuning:
            raise UncheckedError("the model was fine-tuned; train it again with the record's command")
        model, _ = self.models.load(record)
        dataset = self._open_data(record)
        settings = settings_of(record)
        self._check_settings(case, dataset, settings)
        chosen = self._choose(case)
        outcomes = load_protocol(record.protocol).outcomes(dataset, Embedder.of(model), chosen, settings)
        different = {}
        for language, items in outcomes:
            different[language] = count = differing(case.shape, case.items[language], items)
            size = len(next(iter(case.items[language].values())))
            if count > ROW_TOLERANCE * size:
                yield f"{language}: {count:,} of {size:,} outcomes are not those that {record.model.name} gives"
        part, whole = (sum(record.languages[x].n for x in of) for of in (chosen, record.languages))
        done.append(
            f"encoded {part:,} of {whole:,} items again ({', '.join(chosen)}; seed {self.seed}): "
            f"{sum(different.values()):,} outcomes differ"
        )

    def _open_data(self, record: Record) -> Dataset:
        source = "mini" if record.data.source == "mini" else self.data
        dataset = open_dataset(
            registry.task(record.task),
            source,
            split=record.data.split,
            languages=list(record.languages),
            limit=record.data.limit,
        )
        if dataset.fallback:
            raise XreteError(f"the data is not at hand: {dataset.fallback}")
        if (fingerprint := dataset.fingerprint()) != record.data.fingerprint:
            raise XreteError(
                f"data.fingerprint is {record.data.fingerprint[:12]}…, that of {record.task} in {source} is "
                f"{fingerprint[:12]}…: the record is of other data"
            )
        return dataset

    def _check_settings(self, case: Case, dataset: Dataset, settings: Settings) -> None:
        """Makes sure that the protocol is put to the model as it was, by the key in the file's name."""
        record, named = case.record, FILE_NAME.fullmatch(case.path.name)
        trained = load_protocol(record.protocol).fingerprint(dataset, settings)
        key = record_key(identity_of(record), task_of(record), settings, record.missing_languages, trained)
        if named and named[2] != key:
            raise XreteError(
                "the file's name was made from other data to train on or other settings (such as "
                "--train-languages) than are available here"
            )

    def _choose(self, case: Case) -> list[str]:
        sizes = {language: score.n for language, score in case.record.languages.items()}
        left = self.share * sum(sizes.values())
        chosen: list[str] = []
        for language in np.random.default_rng(self.seed).permutation(list(sizes)).tolist():
            if left > 0:
                chosen.append(language)
                left -= sizes[language]
        return chosen


def differing(shape: Shape, recorded: Items, computed: Items) -> int:
    """Returns in how many rows the outcomes of two runs differ, in the column that differs most.

    Columns that only the later run has are those of metrics that the record's version had not.
    """
    both: Sequence[Items] = [recorded, {name: x for name, x in computed.items() if name in recorded}]
    if isinstance(shape, PairableShape):
        both = shape.paired(both)
    first, second = both
    if {name: len(column) for name, column in first.items()} != {
        name: len(column) for name, column in second.items()
    }:
        return len(next(iter(recorded.values())))
    counts = []
    for name, column in first.items():
        if column.dtype.kind == "f":
            same = np.isclose(column, second[name], rtol=0, atol=VALUE_TOLERANCE, equal_nan=True)
        else:
            same = column == second[name]
        counts.append(int((~same).sum()))
    return max(counts)
