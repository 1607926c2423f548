"""Models' spaces in the plane, as `xrete picture` leaves them below a results folder."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from xrete.errors import DataError
from xrete.files import parse_json, read_text
from xrete.reporting.text import plain
from xrete.store import PICTURE

NAME_LIMIT = 80
CAPTION_LIMIT = 120

Points = list[tuple[float, float]]


class _Named(BaseModel):
    name: str
    revision: str


class _Data(BaseModel):
    source: str
    split: str


class _Sentence(BaseModel):
    row: int
    text: str


class _File(BaseModel):
    """The part of the file that the page shows."""

    model_config = ConfigDict(extra="ignore")

    model: _Named
    task: str
    data: _Data
    sentences: list[_Sentence]
    highlighted: list[int]
    isolation: dict[str, float]
    tsne: dict[str, Points]


@dataclass(frozen=True)
class Picture:
    """One model's space.

    Attributes:
        model: The model's name and revision.
        task: Whose sentences they are.
        is_mini: Whether they are of the embedded sample.
        languages: The languages in it.
        content: What the page is given.
    """

    model: tuple[str, str]
    task: str
    is_mini: bool
    languages: tuple[str, ...]
    content: dict[str, Any]


def read_pictures(folders: Sequence[Path]) -> Iterator[Picture]:
    """Yields every picture below `folders`.

    Raises:
        DataError: a file is damaged.
    """
    for path in dict.fromkeys(path.resolve() for folder in folders for path in sorted(folder.rglob(PICTURE))):
        try:
            yield _picture(_File.model_validate(parse_json(read_text(path, kind="picture"))))
        except (json.JSONDecodeError, ValidationError) as error:
            raise DataError(f"{path} is damaged; draw it again with 'xrete picture' or remove it") from error


def _picture(file: _File) -> Picture:
    codes = sorted(file.tsne)
    places = {sentence.row: place for place, sentence in enumerate(file.sentences)}
    return Picture(
        model=(file.model.name, file.model.revision),
        task=file.task,
        is_mini=file.data.source == "mini",
        languages=tuple(codes),
        content={
            "model": plain(file.model.name, NAME_LIMIT),
            "task": plain(file.task, NAME_LIMIT),
            "split": plain(file.data.split, NAME_LIMIT),
            "languages": codes,
            "points": [file.tsne[code] for code in codes],
            "isolation": [file.isolation.get(code) for code in codes],
            "sentences": [
                [places[row], plain(file.sentences[places[row]].text, CAPTION_LIMIT)]
                for row in file.highlighted
                if row in places
            ],
        },
    )
