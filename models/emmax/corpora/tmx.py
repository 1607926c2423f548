"""Translation memories (TMX 1.4) as rows.

Read with expat itself rather than through ElementTree: it tells the line of each unit, holds one unit at a time,
and lets a file that declares entities be refused, which no translation memory does and "billion laughs" files do.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from xml.parsers import expat

from xrete.errors import DataError

from .languages import corpus_code
from .patterns import Codes
from .reading import chunks
from .rows import Row

_CODES = {"bpt", "ept", "it", "ph", "ut"}
"""Elements inside a segment that hold the markup of the translated document, not text."""


def units(path: Path, languages: Codes) -> Iterator[Row]:
    """Yields the first variant of both languages of each unit, at the line where the unit starts.

    Args:
        path: The file, which may be compressed.
        languages: XLM-R's codes of source and target.

    Raises:
        DataError: it is not XML, or declares entities.
    """
    reader = _Reader(languages)
    try:
        for chunk in chunks(path):
            reader.parser.Parse(chunk)
            yield from reader.take()
        reader.parser.Parse(b"", True)
    except expat.ExpatError as error:
        raise DataError(f"{path}, line {error.lineno}: not XML ({error}); fetch the file again") from None
    except _EntityError:
        raise DataError(f"{path} declares XML entities, which could fill the memory; remove its DOCTYPE") from None


class _EntityError(Exception):
    pass


class _Reader:
    def __init__(self, languages: Codes) -> None:
        self.parser = expat.ParserCreate()
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._text
        self.parser.EntityDeclHandler = self._entity
        self.parser.SkippedEntityHandler = self._skipped
        self._languages = languages
        self._done: list[Row] = []
        self._variants: dict[str, str] = {}
        self._line = 0
        self._language = ""
        self._segment: list[str] | None = None
        self._codes = 0
        self._problems: dict[str, str] = {}

    def take(self) -> list[Row]:
        """Returns the units that have ended since the last call."""
        done, self._done = self._done, []
        return done

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if name == "tu":
            self._line, self._variants, self._problems = self.parser.CurrentLineNumber, {}, {}
        elif name == "tuv":
            self._language = corpus_code(attributes.get("xml:lang") or attributes.get("lang", ""))
        elif name == "seg":
            self._segment = []
        elif name in _CODES:
            self._codes += 1

    def _text(self, text: str) -> None:
        if self._segment is not None and not self._codes:
            self._segment.append(text)

    def _end(self, name: str) -> None:
        if name == "seg" and self._segment is not None:
            self._variants.setdefault(self._language, "".join(self._segment))
            self._segment = None
        elif name in _CODES:
            self._codes -= 1
        elif name == "tu":
            texts = tuple(self._variants[x] for x in self._languages if x in self._variants)
            problems = [self._problems[x] for x in self._languages if x in self._problems]
            problem = "language missing" if len(texts) < 2 else "".join(problems[:1])
            self._done.append(Row(self._line, () if problem else texts, problem))

    def _skipped(self, name: str, _: bool) -> None:
        """Notes what stands for text that only a file elsewhere says, which is never fetched."""
        if self._segment is not None and not self._codes:
            self._problems[self._language] = f"entity &{name}; is not known"

    def _entity(self, *_: object) -> None:
        raise _EntityError
