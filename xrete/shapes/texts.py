"""What the shapes of single texts and pairs share: their columns and their features for a probe."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

from xrete.lazy import NDArray, np
from xrete.shapes.contract import Encode, Segments


@dataclass(frozen=True, kw_only=True)
class Texts:
    """One text, or a pair of texts, for each item.

    Attributes:
        first: First (or only) texts.
        second: Second texts, or None where an item has one text.
        ids: What names an item; equal ids in two languages are translations of one item. None: the row number.
        dropped: Rows that the adapter left out for a known data error.
        columns: Names of the fields that have one value for each item.
        text_columns: Names of those whose values are text.

    Raises:
        ValueError: the columns have unequal lengths, or a value is no text; the data set says where.
    """

    first: Sequence[str]
    second: Sequence[str] | None = None
    ids: Sequence[str] | None = None
    dropped: int = 0

    columns: ClassVar[tuple[str, ...]] = ("first", "second", "ids")
    text_columns: ClassVar[tuple[str, ...]] = ("first", "second", "ids")

    def __post_init__(self) -> None:
        for name in self.columns:
            column = getattr(self, name)
            if column is not None and len(column) != len(self.first):
                raise ValueError(f"{len(self.first)} texts and {len(column)} in the column {name!r}")
        for name in self.text_columns:
            check_texts(name, getattr(self, name) or ())

    def __len__(self) -> int:
        return len(self.first)

    def take(self, rows: Sequence[int]) -> Self:
        """Returns the items at `rows`; they keep their names."""
        ids = self.ids if self.ids is not None else range(len(self))
        values = {name: getattr(self, name) for name in self.columns} | {"ids": [str(name) for name in ids]}
        taken: dict[str, Any] = {name: pick(x, rows) for name, x in values.items() if x is not None}
        return replace(self, **taken)

    def keys(self) -> list[tuple[str, ...]]:
        """Returns, for each item, its name and its texts: items that share one are never trained and scored apart.

        Two hypotheses of one premise belong together too: who has seen two of its three labels knows the third.
        """
        names = [f"item {x}" for x in (self.ids if self.ids is not None else range(len(self)))]
        columns = [names, self.first] if self.second is None else [names, self.first, self.second]
        return list(zip(*columns, strict=True))

    def features(self, encode: Encode) -> NDArray[np.float32]:
        """Returns u for single texts, [u; v; |u-v|; u*v] for pairs: float32 [items, features]."""
        u = encode(self.first)
        return u if self.second is None else pair_features(u, encode(self.second))

    def segments(self) -> Segments:
        """The texts of each item, which have no alternatives."""
        return [(self.first, self.second)]

    def fields(self) -> Iterator[Mapping[str, str]]:
        """Yields the texts of each item by the name of their column, for prompts."""
        columns = {"first": self.first} if self.second is None else {"first": self.first, "second": self.second}
        return (dict(zip(columns, texts, strict=True)) for texts in zip(*columns.values(), strict=True))

    def content(self) -> Iterable[str]:
        """All texts, in order."""
        yield from self.first
        yield from self.second or ()


def check_texts(name: str, column: Iterable[object]) -> None:
    """Makes sure that a column holds text only: JSON and the hub have null, numbers, NUL and surrogates, too.

    Raises:
        ValueError: a value is no text, or holds what is no character.
    """
    for row, value in enumerate(column, start=1):
        if not isinstance(value, str):
            raise ValueError(f"{name!r} of item {row} is {value!r}, which is no text")
        if "\0" in value:
            raise ValueError(f"{name!r} of item {row} holds a NUL byte")
        try:
            value.encode()
        except UnicodeEncodeError as error:
            half = f"\\u{ord(value[error.start]):04x}"
            raise ValueError(
                f"{name!r} of item {row} holds {half}, half of a pair, which is no character"
            ) from None


def pick(column: Sequence[Any], rows: Sequence[int]) -> list[Any]:
    """Returns the values at `rows`."""
    return [column[row] for row in rows]


def pair_features(u: NDArray[np.float32], v: NDArray[np.float32]) -> NDArray[np.float32]:
    """Returns [u; v; |u-v|; u*v], float32 [pairs, 4 * dimension]."""
    return np.concatenate([u, v, np.abs(u - v), u * v], axis=1)
