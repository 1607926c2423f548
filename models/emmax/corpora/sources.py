"""Sources of text, as settings: what a config file says about where corpora are."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from xrete.errors import UsageError

from .languages import corpus_code
from .patterns import Codes, fill, find, placeholders, stamp
from .rows import RawRows

PAIR = ("source", "target")
LANGUAGE = ("language",)

Code = Annotated[str, Field(pattern=r"^[A-Za-z0-9]+([_-][A-Za-z0-9]+)*$")]
"""A language's code. It becomes part of files' names."""

PairCode = Annotated[str, Field(pattern=r"^\w+-\w+$")]
"""Two codes; what follows a language's is put after "_" ("en-zh_Hant")."""


class _Source(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Parallel(_Source):
    pairs: tuple[PairCode, ...] | None = Field(
        None,
        description="Language pairs such as en-de, the source's code first. None takes every pair that there are "
        "files of, by what stands for {source} and {target} in their names.",
    )

    @property
    def _codes(self) -> list[Codes] | None:
        return None if self.pairs is None else [tuple(pair.split("-")) for pair in self.pairs]

    def _check(self, *patterns: str) -> None:
        """Checks that files' names tell the pairs apart.

        Raises:
            ValueError: two pairs would come from one file, or a file's pair would not be known.
        """
        for pattern in patterns:
            sides = placeholders(pattern) & set(PAIR)
            if self.pairs is None and len(sides) < 2:
                raise ValueError(f"list the pairs of {pattern!r}, or put {{source}} and {{target}} into it")
            if self.pairs is not None and len(self.pairs) > 1 and not sides:
                raise ValueError(f"put {{source}} or {{target}} into {pattern!r}, or give it one pair")


class MosesFiles(_Parallel):
    """Two line-aligned files for each pair."""

    kind: Literal["moses"]
    source: str = Field(
        description="File of the first language, plain, .gz, .bz2, .xz or .zst; may have {source} and {target}."
    )
    target: str = Field(description="File of the second language; its lines translate those of the first.")

    @model_validator(mode="after")
    def _known(self) -> Self:
        self._check(self.source, self.target)
        return self

    def parts(self) -> list[RawRows]:
        """Returns the pairs of files."""
        from .reading import pairs

        parts = []
        for codes, source in find(self.source, PAIR, self._codes):
            ((_, target),) = find(self.target, PAIR, [codes])
            read = partial(pairs, source, target)
            place = f"{source} and {target}, line"
            parts.append(RawRows(_languages(codes), place, ("moses", *stamp(source, target)), read))
        return parts


class TsvFiles(_Parallel):
    """A tab-separated file for each pair, without quoting."""

    kind: Literal["tsv"]
    path: str = Field(
        description="File; may be compressed, and have {source}, {target}, and * for several files of a pair."
    )
    source_column: int = Field(1, ge=1, description="Column of the first language, counted from 1.")
    target_column: int = Field(2, ge=1, description="Column of the second language.")
    header: bool = Field(False, description="Whether the first line names the columns.")

    @model_validator(mode="after")
    def _known(self) -> Self:
        self._check(self.path)
        return self

    def parts(self) -> list[RawRows]:
        """Returns the files."""
        from .reading import cells

        columns = (self.source_column, self.target_column)
        settings = ("tsv", str(columns), str(self.header))
        return [
            RawRows(
                _languages(codes),
                f"{file}, line",
                (*settings, *stamp(file)),
                partial(cells, file, columns, header=self.header),
            )
            for codes, file in find(self.path, PAIR, self._codes)
        ]


class TmxFiles(_Parallel):
    """A translation memory for each pair, or one of many languages."""

    kind: Literal["tmx"]
    path: str = Field(
        description="File; may be compressed, and have {source}, {target}, and * for several files of a pair."
    )

    @model_validator(mode="after")
    def _known(self) -> Self:
        if self.pairs is None:  # a file may have many languages, so that listed pairs need no placeholders
            self._check(self.path)
        return self

    def parts(self) -> list[RawRows]:
        """Returns each pair of each file."""
        from .tmx import units

        parts = []
        for codes, file in find(self.path, PAIR, self._codes):
            languages = _languages(codes)
            read = partial(units, file, languages)
            parts.append(RawRows(languages, f"{file}, line", ("tmx", *languages, *stamp(file)), read))
        return parts


class _Gettext(_Source):
    kind: Literal["gettext"]
    package: str = Field(description="A package with compiled catalogues, as it is imported, such as django.")
    languages: tuple[Code, ...] | None = Field(None, description="Languages to read; None takes all.")

    def _catalogues(self) -> list[tuple[str, Path]]:
        """Returns language and file of each catalogue that is asked for.

        Raises:
            UsageError: there is none of a language that is listed.
        """
        from .catalogues import catalogues

        files = [(corpus_code(code), file) for code, file in catalogues(self.package)]
        translated = {language for language, _ in files if language != "en"}
        wanted = translated if self.languages is None else set(map(corpus_code, self.languages))
        if wanted - translated:
            raise UsageError(
                f"package '{self.package}' has no translation into {', '.join(sorted(wanted - translated))}; "
                f"it has {', '.join(sorted(translated))}"
            )
        return [(language, file) for language, file in files if language in wanted]


class GettextCatalogues(_Gettext):
    """The translated messages of an installed package, from English."""

    def parts(self) -> list[RawRows]:
        """Returns the catalogues as pairs."""
        from .catalogues import messages

        return [
            RawRows(("en", language), f"{file}, message", ("gettext", *stamp(file)), partial(messages, file))
            for language, file in self._catalogues()
        ]


class GettextText(_Gettext):
    """The same messages without the English ones: text in one language, as if nobody knew what it translates."""

    def parts(self) -> list[RawRows]:
        """Returns the catalogues' translations."""
        from .catalogues import translations

        return [
            RawRows((language,), f"{file}, message", ("gettext", *stamp(file)), partial(translations, file))
            for language, file in self._catalogues()
        ]


class _Hub(_Source):
    repo: str = Field(description="Repository on the hub, or a folder of parquet or JSON files.")
    revision: str | None = Field(None, description="Commit of the repository; a repository must be pinned.")
    config: str | None = Field(
        None, description="Its configuration; may have placeholders. None takes the only one."
    )
    split: str = Field("train", description="Its split.")

    def _hub_part(self, codes: Codes, names: Sequence[str], columns: Sequence[str]) -> RawRows:
        """Returns the part of one language or pair; `names` are the placeholders of its codes.

        Raises:
            UsageError: a repository is not pinned.
        """
        from .hub import columns as read

        repo, split, *columns = (fill(text, names, codes) for text in (self.repo, self.split, *columns))
        config = None if self.config is None else fill(self.config, names, codes)
        folder = Path(repo).expanduser()
        if folder.is_dir():
            repo, version = str(folder), stamp(*sorted(file for file in folder.rglob("*") if file.is_file()))
        elif self.revision:
            version = (repo, self.revision)
        else:
            raise UsageError(
                f"data set {repo} is neither a folder nor pinned: give its source a revision (a commit)"
            )
        return RawRows(
            _languages(codes),
            f"{repo}, {config or 'default'}/{split}, row",
            ("hub", *version, str(config), split, *columns),
            partial(read, repo, self.revision, config, split, columns, by_line=len(columns) == 1),
        )


class HubPairs(_Hub, _Parallel):
    """A data set with both sides of each pair in columns; {source} and {target} stand for the codes of a pair."""

    kind: Literal["hub"]
    source_column: str = Field(
        description="Column of the first language; a dot leads into a struct: translation.{source}."
    )
    target_column: str = Field(description="Column of the second language.")

    @model_validator(mode="after")
    def _known(self) -> Self:
        if not self.pairs:
            raise ValueError("list the pairs of a data set")
        return self

    def parts(self) -> list[RawRows]:
        """Returns the pairs."""
        columns = (self.source_column, self.target_column)
        return [self._hub_part(codes, PAIR, columns) for codes in self._codes or ()]


class TextFiles(_Source):
    """Plain text, one sentence a line, as CC-100 ships it."""

    kind: Literal["text"]
    path: str = Field(
        description="File, plain, .gz, .bz2, .xz or .zst; may have {language}, and * for several of a language."
    )
    languages: tuple[Code, ...] | None = Field(
        None, description="Languages, as files' names spell them; None takes every one that {language} finds."
    )

    @model_validator(mode="after")
    def _known(self) -> Self:
        if "language" not in placeholders(self.path) and (self.languages is None or len(self.languages) != 1):
            raise ValueError(f"put {{language}} into {self.path!r}, or give it one language")
        return self

    def parts(self) -> list[RawRows]:
        """Returns the files."""
        from .reading import sentences

        wanted = None if self.languages is None else [(code,) for code in self.languages]
        return [
            RawRows(_languages(codes), f"{file}, line", ("text", *stamp(file)), partial(sentences, file))
            for codes, file in find(self.path, LANGUAGE, wanted)
        ]


class HubText(_Hub):
    """A data set of sentences, or of documents whose lines are; {language} stands for a language's code."""

    kind: Literal["hub"]
    languages: tuple[Code, ...] = Field(min_length=1, description="Languages to read.")
    column: str = Field("text", description="Column of the text; a dot leads into a struct.")

    def parts(self) -> list[RawRows]:
        """Returns the languages."""
        return [self._hub_part((code,), LANGUAGE, [self.column]) for code in self.languages]


Source = MosesFiles | TsvFiles | TmxFiles | GettextCatalogues | HubPairs | TextFiles | GettextText | HubText


def parts_by_corpus(sources: Sequence[Source]) -> dict[Codes, list[RawRows]]:
    """Returns the parts of each language or pair, in the order of the sources."""
    parts: dict[Codes, list[RawRows]] = {}
    for part in chain.from_iterable(source.parts() for source in sources):
        canonical = part.canonical()
        parts.setdefault(canonical.languages, []).append(canonical)
    return dict(sorted(parts.items()))


def _languages(codes: Codes) -> Codes:
    return tuple(map(corpus_code, codes))
