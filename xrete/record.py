"""The record: everything about one model on one task under one protocol, in one JSON file.

Keys are a contract with users (`docs/read-a-record.md`). The model classes below are that contract, checked on
writing and on reading. What was asked, what it ran on and what came out stand apart from each other.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from xrete.errors import DataError, NewerRecordError, RecordError
from xrete.files import read_text, write_text

SCHEMA = "xrete/record/1"

Interval = tuple[float, float]
Status = Literal["complete", "partial", "failed"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelPart(_Part):
    """Which model it was. `params` counts weights; `prefix` is put before every sentence."""

    name: str
    revision: str
    params: int | None
    dim: int | None
    pooling: str
    prefix: str
    max_length: int | None


class Fingerprint(_Part):
    """Digests over a fixed probe in many languages (`xrete.embedder.PROBE`).

    `sketch` holds cosines between the probe's sentences, rounded, so that a changed model can be told from the
    last bits of another machine; `tokenizer` is None for models that show no tokens.
    """

    tokenizer: str | None
    embeddings: str
    sketch: tuple[float, ...]


class LanguageScore(_Part):
    """One language: the headline metric, its 95 % interval (None where it has none), items, other metrics."""

    score: float
    n: int
    ci95: Interval | None
    variants: dict[str, float] = {}


class GroupScore(_Part):
    """A macro mean, and the languages that it was taken over: means over unequal sets are never compared."""

    score: float
    ci95: Interval | None
    languages: tuple[str, ...]
    missing: tuple[str, ...]
    variants: dict[str, float] = {}


class DataPart(_Part):
    """What was scored.

    `fingerprint` is over every text and label, `limit` is the `--limit` of a trial run, and `dropped` counts the
    rows of a language that its known data errors make useless.
    """

    source: Literal["dir", "hub", "mini"]
    revision: str | None
    fingerprint: str
    split: str
    limit: int | None
    dropped: dict[str, int] = {}


class CodePart(_Part):
    """Which XRETE it was; the commit is known where it runs from a checkout."""

    version: str
    commit: str | None
    dirty: bool | None


class Environment(_Part):
    """What it ran on."""

    python: str
    platform: str
    versions: dict[str, str]
    device: str
    dtype: str
    processes: int
    seed: int


class ItemsPart(_Part):
    """The outcome of every item, in a parquet file beside the record."""

    file: str
    sha256: str
    rows: int


class IntervalPart(_Part):
    """How the intervals were made."""

    method: str
    resamples: int
    seed: int


class Cost(_Part):
    """What this run took. Sentences found in the cache cost nothing and are counted apart.

    `truncated` counts sentences that were longer than what the model reads, once for each side of each language
    that they stand on; None where the model does not say.
    """

    seconds: float
    sentences: int
    sentences_cached: int
    sentences_per_second: float | None
    truncated: int | None
    peak_memory_bytes: int


class Record(BaseModel):
    """One model × task × protocol × data. See the module's docstring."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    schema_: Annotated[Literal["xrete/record/1"], Field(alias="schema")] = "xrete/record/1"
    status: Status
    error: str | None = None
    command: str
    model: ModelPart
    fingerprint: Fingerprint | None
    task: str
    shape: str
    protocol: str
    metric: str
    higher_is_better: bool
    score: float | None
    ci95: Interval | None
    languages: dict[str, LanguageScore]
    groups: dict[str, GroupScore]
    missing_languages: tuple[str, ...]
    data: DataPart
    code: CodePart
    environment: Environment
    items: ItemsPart | None
    interval: IntervalPart
    cost: Cost
    notes: tuple[str, ...] = ()
    created: str

    def to_json(self) -> str:
        """The file's content."""
        return json.dumps(self.model_dump(mode="json", by_alias=True), ensure_ascii=False, indent=1) + "\n"


def write_record(path: Path, record: Record) -> None:
    """Writes the record, atomically."""
    write_text(path, record.to_json())


def read_record(path: Path) -> Record:
    """Reads and checks a record.

    Raises:
        RecordError: missing, not JSON, of a newer schema (which is named), or with a key that is missing, unknown
            or of the wrong type (which is named).
    """
    try:
        content: Any = json.loads(read_text(path, kind="record"))
    except json.JSONDecodeError as error:
        raise RecordError(
            f"{path} is not a record: not JSON at line {error.lineno}; restore or remove it"
        ) from None
    except DataError as error:
        raise RecordError(str(error)) from None
    schema = content.get("schema") if isinstance(content, dict) else None
    if schema != SCHEMA:
        problem = NewerRecordError if isinstance(schema, str) else RecordError
        raise problem(f"{path} has schema {schema!r}; this version of XRETE reads {SCHEMA}: update XRETE")
    try:
        return Record.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise RecordError(f"{path} is damaged: {where}: {first['msg']}; restore it or run again") from None
