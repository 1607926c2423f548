"""Prepared corpora: Arrow files that are mapped into memory, so that any row of any size of corpus is at hand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from xrete.errors import DataError
from xrete.files import digest
from xrete.lazy import NDArray, np


class Dropped(BaseModel):
    """Rows that were left out for one reason: how many, and where the first ones are."""

    model_config = ConfigDict(extra="forbid")

    count: int = 0
    first: list[str] = []


class CorpusReport(BaseModel):
    """What preparation found.

    Attributes:
        languages: XLM-R's codes, one or two.
        read: Rows read.
        kept: Rows kept.
        dropped: The others, by reason.
        digest: SHA-256 of the texts that were kept, in order; the same on every machine.
        characters: Characters of the texts that were kept.
        bytes: Size of the Arrow file.
    """

    model_config = ConfigDict(extra="forbid")

    languages: tuple[str, ...]
    read: int = 0
    kept: int = 0
    dropped: dict[str, Dropped] = {}
    digest: str = ""
    characters: int = 0
    bytes: int = 0


@dataclass(frozen=True)
class Corpus:
    """The sentences of a language, or the pairs of two.

    Attributes:
        path: The Arrow file: one text column for each language.
        report: What is in it.
    """

    path: Path
    report: CorpusReport

    @property
    def languages(self) -> tuple[str, ...]:
        """XLM-R's codes; those of a pair in alphabetic order."""
        return self.report.languages

    @property
    def name(self) -> str:
        """The code of a language ("sw") or of a pair ("de-en")."""
        return "-".join(self.languages)

    def __len__(self) -> int:
        return self.report.kept

    def rows(self, places: NDArray[np.int64]) -> list[tuple[str, ...]]:
        """Returns the texts at `places` [n]: one, or both sides of a pair."""
        columns, starts = self._chunks
        chunks = np.searchsorted(starts, places, side="right") - 1
        inner = places - starts[chunks]
        return [
            tuple(column.chunk(chunk)[row].as_py() for column in columns)
            for chunk, row in zip(chunks.tolist(), inner.tolist(), strict=True)
        ]

    def batches(self) -> Iterator[tuple[list[str], ...]]:
        """Yields all rows in order, a few thousand at once: the texts of each language."""
        columns, starts = self._chunks
        for chunk in range(len(starts)):
            yield tuple(column.chunk(chunk).to_pylist() for column in columns)

    @cached_property
    def _chunks(self) -> tuple[list[Any], NDArray[np.int64]]:
        """The columns, in chunks, and the row that each chunk starts with."""
        import pyarrow as pa

        try:
            table = pa.ipc.open_file(pa.memory_map(str(self.path))).read_all()
        except (OSError, pa.ArrowInvalid) as error:
            raise DataError(f"prepared corpus {self.path} is damaged ({error}); delete it and run again") from error
        sizes = [len(chunk) for chunk in table.column(0).chunks]
        return table.columns, np.cumsum([0, *sizes[:-1]])


@dataclass(frozen=True)
class Prepared:
    """All corpora of a run.

    Attributes:
        parallel: Bitexts by name ("de-en").
        monolingual: Text by language ("sw").
    """

    parallel: Mapping[str, Corpus]
    monolingual: Mapping[str, Corpus]

    @property
    def digest(self) -> str:
        """Digest of every text, the same on every machine: what a checkpoint says that it was trained on."""
        return digest(
            part
            for kind, corpora in (("parallel", self.parallel), ("monolingual", self.monolingual))
            for name, corpus in corpora.items()
            for part in (kind, name, corpus.report.digest)
        )

    def card(self) -> dict[str, Any]:
        """Returns what a checkpoint says of its text, as JSON: the report in brief, without the places of files."""
        report = self.report()
        for kind in ("parallel", "monolingual"):
            for corpus in report[kind].values():
                corpus["dropped"] = {reason: dropped["count"] for reason, dropped in corpus["dropped"].items()}
                del corpus["bytes"]
        return report

    def report(self) -> dict[str, Any]:
        """Returns what was read, kept and dropped of each corpus, as JSON."""
        return {
            "digest": self.digest,
            "parallel": {name: corpus.report.model_dump(mode="json") for name, corpus in self.parallel.items()},
            "monolingual": {
                name: corpus.report.model_dump(mode="json") for name, corpus in self.monolingual.items()
            },
        }


def find_corpus(path: Path) -> Corpus | None:
    """Returns the prepared corpus of that Arrow file, or None where it is not there in full.

    Its report is written last: where there is one of the right size, the corpus is whole.
    """
    try:
        report = CorpusReport.model_validate_json(path.with_suffix(".json").read_bytes())
        return Corpus(path, report) if path.stat().st_size == report.bytes else None
    except (OSError, ValidationError):
        return None
