"""From sources to prepared corpora: decode, clean, filter, drop what comes twice, write Arrow."""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from filelock import Timeout

from xrete.errors import DataError, UsageError, XreteError
from xrete.files import atomic_writer, digest, locked, remove_abandoned, write_error, write_text
from xrete.lazy import NDArray, np

from .config import DataConfig
from .digests import Seen, bare, contains, text_digests
from .filters import FIT, Judge, clean
from .overlap import test_digests
from .patterns import Codes
from .prepared import Corpus, CorpusReport, Dropped, Prepared, find_corpus
from .rows import RawRows, Row
from .sources import parts_by_corpus

FORMAT = "xrete/corpus/1"
"""Raised when preparation makes something else of the same sources."""

BATCH = 8_192
"""Rows that are cleaned and judged at once."""

NAMED = 3
"""Rows whose place is said, of those that are dropped for one reason."""


@dataclass(frozen=True)
class Progress:
    """How far a corpus is.

    Attributes:
        corpus: Its name, "monolingual/sw" or "parallel/de-en".
        number, total: Which one it is, counted from 1, and how many there are of its kind.
        read: Rows read so far.
        kept: Rows kept so far.
        seconds: Since its first row.
    """

    corpus: str
    number: int
    total: int
    read: int
    kept: int
    seconds: float

    @property
    def rate(self) -> float:
        """Rows read a second."""
        return self.read / max(self.seconds, 1e-9)


OnProgress = Callable[[Progress], None]


def prepare(config: DataConfig, folder: Path, on_progress: OnProgress | None = None) -> Prepared:
    """Makes corpora ready to be drawn from, or finds those that are.

    Each is written once, under a name that is the digest of all that decides it (settings, and names, sizes and
    times of files), and is there in full or not at all: what was killed starts again with the corpus that it was
    at. Processes that prepare the same corpora in one folder share the work. Memory holds a few thousand rows and 8
    bytes for each row of one corpus.

    Args:
        config: Sources and filters.
        folder: Where prepared corpora are kept.
        on_progress: Called every few thousand rows, and at the end of each corpus.

    Raises:
        DataError: a file is missing or damaged, or nothing of a corpus can be kept.
        UsageError: there is no source, or one needs what is not installed.
        XreteError: the hub cannot be reached, or the folder cannot be written.
    """
    if not config.parallel and not config.monolingual:
        raise UsageError("there is nothing to train on: give data.parallel or data.monolingual a source")
    maker = _Maker(config, folder, on_progress or (lambda progress: None))
    parallel = maker.make("parallel", parts_by_corpus(config.parallel))
    parts = parts_by_corpus(config.monolingual)
    if config.bitexts_as_monolingual:
        for language, sides in _sides(parallel).items():
            parts.setdefault(language, []).extend(sides)
    return Prepared(parallel, maker.make("monolingual", dict(sorted(parts.items()))))


class _Maker:
    """Makes the corpora of one config in one folder."""

    def __init__(self, config: DataConfig, folder: Path, on_progress: OnProgress) -> None:
        self._filters = config.filters
        self._limit = config.max_sentences
        self._folder = folder
        self._on_progress = on_progress
        self._test_digests = test_digests(config.filters.test_sets)

    def make(self, kind: str, corpora: Mapping[Codes, Sequence[RawRows]]) -> dict[str, Corpus]:
        """Returns the corpora of one kind by name; those that another process is at are waited for, last."""
        paths = {languages: self._path(kind, languages, parts) for languages, parts in corpora.items()}
        for blocking in (False, True):
            for number, (languages, parts) in enumerate(corpora.items(), start=1):
                path = paths[languages]
                if find_corpus(path) is not None:
                    continue
                try:
                    with locked(path.with_name(f".{path.name}.lock"), path, blocking=blocking):
                        if find_corpus(path) is None:
                            name = f"{kind}/{'-'.join(languages)}"
                            self._write(path, languages, parts, partial(Progress, name, number, len(corpora)))
                except Timeout:
                    continue
                except OSError as error:
                    raise write_error(path, error) from error
        corpora_by_name = {}
        for languages, path in paths.items():
            corpus = find_corpus(path)
            if corpus is None:
                raise XreteError(f"{path} was prepared, but is gone; do not delete it during a run")
            corpora_by_name["-".join(languages)] = corpus
        return corpora_by_name

    def _path(self, kind: str, languages: Codes, parts: Sequence[RawRows]) -> Path:
        """Returns where the corpus is, named after all that decides it."""
        filters = (self._filters.model_dump_json(), digest([self._test_digests.tobytes()]), str(self._limit))
        key = digest([FORMAT, *filters, digest(languages), *(digest(part.stamp) for part in parts)])
        return self._folder / kind / f"{'-'.join(languages)}.{key[:16]}.arrow"

    def _write(
        self,
        path: Path,
        languages: Codes,
        parts: Sequence[RawRows],
        progress: Callable[[int, int, float], Progress],
    ) -> None:
        """Writes a corpus and then its report, which says that it is whole.

        Raises:
            DataError: nothing of it can be kept.
        """
        import pyarrow as pa

        remove_abandoned(path.parent)
        started = time.perf_counter()
        report = CorpusReport(languages=languages)
        content = hashlib.sha256()
        schema = pa.schema([(f"text_{side}", pa.string()) for side in range(len(languages))])
        with atomic_writer(path) as file:
            with pa.ipc.new_file(file, schema) as writer:
                for columns in self._kept(languages, parts, report):
                    arrays = [pa.array(column, pa.string()) for column in columns]
                    writer.write_batch(pa.record_batch(arrays, schema=schema))
                    # Clean texts have neither tabs nor line feeds, so that no two corpora look alike.
                    lines = ["\t".join(row) + "\n" for row in zip(*columns, strict=True)]
                    content.update("".join(lines).encode())
                    report.characters += sum(len(text) for column in columns for text in column)
                    self._on_progress(progress(report.read, report.kept, time.perf_counter() - started))
            if not report.kept:
                raise DataError(_nothing_kept(report, parts))
        report.digest, report.bytes = content.hexdigest(), path.stat().st_size
        write_text(path.with_suffix(".json"), report.model_dump_json(indent=1))

    def _kept(
        self, languages: Codes, parts: Sequence[RawRows], report: CorpusReport
    ) -> Iterator[Sequence[Sequence[str]]]:
        """Yields the columns of the rows that are kept, and counts these and the others."""
        judge, seen = Judge(self._filters), Seen()
        limit = self._limit or sys.maxsize
        for part in parts:
            rows = part.read()
            while report.kept < limit and (batch := list(islice(rows, BATCH))):
                verdicts = np.array([row.problem for row in batch], dtype=object)
                good = np.flatnonzero(verdicts == FIT)
                columns = [
                    [clean(batch[row].texts[side]) for row in good.tolist()] for side in range(len(languages))
                ]
                if len(good):
                    verdicts[good] = self._verdicts(columns, judge(columns, languages), seen)
                for row in np.flatnonzero(verdicts != FIT):
                    _drop(report, verdicts[row], part, batch[row])
                kept = np.flatnonzero(verdicts[good] == FIT)[: limit - report.kept].tolist()
                report.read += len(batch)
                report.kept += len(kept)
                yield [[column[row] for row in kept] for column in columns]

    def _verdicts(self, columns: Sequence[Sequence[str]], verdicts: NDArray[Any], seen: Seen) -> NDArray[Any]:
        """Returns verdicts that also know the test sets, and what has come before."""
        fit = np.flatnonzero(verdicts == FIT)
        if len(self._test_digests):
            sides = [text_digests(bare(column[row]) for row in fit.tolist()) for column in columns]
            tested = np.logical_or.reduce([contains(self._test_digests, digests) for digests in sides])
            verdicts[fit[tested]] = "test sentence"
            fit = fit[~tested]
        rows = text_digests("\t".join(column[row] for column in columns) for row in fit.tolist())
        verdicts[fit[~seen.add(rows)]] = "duplicate"
        return verdicts


def _sides(parallel: Mapping[str, Corpus]) -> dict[Codes, list[RawRows]]:
    """Returns the sides of prepared bitexts as monolingual text."""
    sides: dict[Codes, list[RawRows]] = {}
    for corpus in parallel.values():
        for side, language in enumerate(corpus.languages):
            stamp = ("side", corpus.report.digest, str(side))
            part = RawRows((language,), f"{corpus.path}, pair", stamp, partial(_side, corpus, side))
            sides.setdefault((language,), []).append(part)
    return sides


def _side(corpus: Corpus, side: int) -> Iterator[Row]:
    texts = (text for columns in corpus.batches() for text in columns[side])
    return (Row(number, (text,)) for number, text in enumerate(texts, start=1))


def _drop(report: CorpusReport, reason: str, part: RawRows, row: Row) -> None:
    dropped = report.dropped.setdefault(reason, Dropped())
    dropped.count += 1
    if len(dropped.first) < NAMED:
        dropped.first.append(f"{part.place} {row.number}")


def _nothing_kept(report: CorpusReport, parts: Sequence[RawRows]) -> str:
    """Says what was wrong with every row of a corpus."""
    name = "-".join(report.languages)
    if not report.read:
        return f"nothing in {parts[0].place.rpartition(',')[0]}: there is no text of {name}; fetch it again"
    reasons = sorted(report.dropped.items(), key=lambda item: -item[1].count)
    counts = "; ".join(f"{reason} {dropped.count:,} ({dropped.first[0]})" for reason, dropped in reasons)
    return (
        f"none of the {report.read:,} rows of {name} can be used: {counts}; mend the files, change data.filters, "
        f"or leave {name} out"
    )
