"""The record: everything about one model on one task under one protocol, in one JSON file.

Keys are a contract with users (`docs/read-a-record.md`). The model classes below are that contract, checked on
writing and on reading. What was asked, what it ran on and what came out stand apart from each other.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError

from xrete.errors import DataError, NewerRecordError, RecordError
from xrete.files import file_digest, parse_json, read_text, write_text

if TYPE_CHECKING:
    import pandas as pd

SCHEMA = "xrete/record/1"

Interval = tuple[float, float]
Status = Literal["complete", "partial", "failed"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelPart(_Part):
    """Which model it was. `params` counts weights; `prefix` is put before every sentence.

    But for queries and documents that the model reads differently: `prompts` has what is put before those.

    `training` is how XRETE trained it, where its checkpoint says so; `xrete.reporting.ablation` names its keys.
    """

    name: str
    revision: str
    params: int | None
    dim: int | None
    pooling: str
    prefix: str
    prompts: dict[str, str] = {}
    max_length: int | None
    training: dict[str, Any] | None = None


class Fingerprint(_Part):
    """Digests over a fixed probe in many languages (`xrete.encoding.embedder.PROBE`).

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
    rows of a language that its known data errors make useless. `languages` are digests of what each one was scored
    on, where none of it is shared, so that records of unequal sets of languages can be compared on the common ones.
    """

    source: Literal["dir", "hub", "mini"]
    revision: str | None
    fingerprint: str
    split: str
    limit: int | None
    dropped: dict[str, int] = {}
    languages: dict[str, str] = {}


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
    """What this run took. Sentences (of a chat model: questions) found in the cache cost nothing, counted apart.

    `sentences_per_second` is the speed of an encoder while it encodes, without reading data, scoring and intervals.
    `truncated` counts sentences that were longer than what the model reads, once for each side of each language
    that they stand on; None where the model does not say. `price` is that of all `answers`, whenever they were paid
    for, at the prices of a million tokens that the user named.
    """

    seconds: float
    sentences: int
    sentences_cached: int
    sentences_per_second: float | None
    truncated: int | None
    peak_memory_bytes: int
    price: float | None = None


class Answers(_Part):
    """What the answers of a chat model in one language took, whenever they were paid for.

    `unread` ones could not be read and count as wrong; `models` says how many came from what the endpoint called
    itself; tokens are as the endpoint counted them.
    """

    unread: int
    tokens_in: int
    tokens_out: int
    models: dict[str, int]


class TrainingRun(_Part):
    """One run of fine-tuning: its score on the task, and what each stage came to."""

    seed: int
    score: float | None
    stages: tuple[dict[str, Any], ...]


class ProbePart(_Part):
    """What a probe was trained on: languages, with commas, and the split of the task.

    Where that is the split that is scored, each half of it was scored after training on the other.
    """

    train_languages: str
    train_split: str


class KeyPart(_Part):
    """What the key in the file's name is made of beside what the record says elsewhere.

    `train_languages` is what the user asked for ("all", "en", codes with commas), and `trained` the digest of what
    was trained on, or asked; empty where there is nothing.
    """

    train_languages: str
    trained: str


class FineTuning(_Part):
    """How the model was fine-tuned before it was scored.

    `stages` are the settings of the recipe as they were used; `train_languages` are those of all that was trained
    on, and `train_split` the split of the task that was, where the user named one; `lora` is the rank of low-rank
    adapters. The record's score is the mean over `runs`, and `spread` the standard deviation over them (of a
    sample; None of one run).
    """

    recipe: str
    stages: tuple[dict[str, Any], ...]
    train_languages: str
    train_split: str | None = None
    lora: int | None
    runs: tuple[TrainingRun, ...]
    spread: float | None


class Record(BaseModel):
    """One model × task × protocol × data. See the module's docstring.

    `answers` are those of a chat model, by language. `key` is None in records of before there was one.

    `digest` is `record_digest` of all the rest, so that no part of a file is changed unseen; None before the record
    is saved, and in records of the first release.
    """

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
    answers: dict[str, Answers] = {}
    probe: ProbePart | None = None
    fine_tuning: FineTuning | None = None
    key: KeyPart | None = None
    notes: tuple[str, ...] = ()
    created: str
    digest: str | None = None
    _file: Path | None = PrivateAttr(None)

    def to_json(self) -> str:
        """The file's content."""
        return json.dumps(self.model_dump(mode="json", by_alias=True), ensure_ascii=False, indent=1) + "\n"

    def __eq__(self, other: object) -> bool:
        """Where a record lies is no part of what it says."""
        return isinstance(other, Record) and self.__dict__ == other.__dict__

    def located(self, file: Path) -> Record:
        """Notes where the record lies, beside its items, and returns it."""
        self._file = file
        return self

    def to_frame(self) -> pd.DataFrame:
        """Returns the outcome of every item, one row each: `language`, and the columns of the shape.

        Raises:
            RecordError: the record was not saved, it has no items, or their file is missing or is not the one that
                it was written with.
        """
        import pandas as pd

        if self._file is None:
            raise RecordError(
                f"no items of {self.model.name} on {self.task} were kept; "
                f"give a folder, as in xrete.evaluate(model, task, results=FOLDER)"
            )
        return pd.read_parquet(find_items(self._file, self)).astype({"language": str})

    def sealed(self) -> Record:
        """Returns the record with its digest."""
        return self.model_copy(update={"digest": record_digest(self.model_dump(mode="json", by_alias=True))})


def record_digest(content: Mapping[str, Any]) -> str:
    """Returns the SHA-256 of a record's JSON without the key `digest`: keys sorted, no spaces, only ASCII.

    It tells a record that was changed from one that was not, as long as whoever changed it did not take the digest
    again; against that, encode a part of the data again (`xrete verify --sample`).

    Args:
        content: The JSON as it was read: of an old record, without the keys that were added since.
    """
    rest = {key: value for key, value in content.items() if key != "digest"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


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
        return Record.model_validate_json(path.read_bytes()).located(path)  # much faster than to read JSON first
    except (OSError, ValidationError):
        content = read_content(path)
    try:
        return Record.model_validate(content).located(path)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise RecordError(f"{path} is damaged: {where}: {first['msg']}; restore it or run again") from None


def find_items(record_file: Path, record: Record) -> Path:
    """Returns the file of a record's items, which lies beside it, once it is known to be the right one.

    Raises:
        RecordError: the record has none, or the file is missing or is not the one that the record was written with.
    """
    if record.items is None:
        raise RecordError(f"{record_file} has no items ({record.status}); run it again")
    file = record_file.parent / Path(record.items.file).name
    if not file.is_file():
        raise RecordError(f"missing items of {record_file}: {file.name!r}; run it again with --force")
    if file_digest(file) != record.items.sha256:
        raise RecordError(
            f"{file} is not the file that {record_file.name} was written with; run again with --force"
        )
    return file


def read_content(path: Path) -> dict[str, Any]:
    """Reads the JSON of a record, as it was written.

    Raises:
        RecordError: missing, not JSON, or of a newer schema, which is named.
    """
    try:
        content: Any = parse_json(read_text(path, kind="record"))
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
    return dict(content)
