"""The settings of a run's text: which corpora, which sentences of them, and how often each is drawn."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from .filters import Filters
from .sources import GettextCatalogues, GettextText, HubPairs, HubText, MosesFiles, TextFiles, TmxFiles, TsvFiles

ParallelSource = Annotated[
    MosesFiles | TsvFiles | TmxFiles | GettextCatalogues | HubPairs, Field(discriminator="kind")
]
MonolingualSource = Annotated[TextFiles | GettextText | HubText, Field(discriminator="kind")]


class DataConfig(BaseModel):
    """The text: sources, filters, and shares of the languages."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    parallel: tuple[ParallelSource, ...] = Field(
        (), description="Sources of bitexts; their kinds are moses, tsv, tmx, gettext and hub."
    )
    monolingual: tuple[MonolingualSource, ...] = Field(
        (), description="Sources of text in one language; their kinds are text, gettext and hub."
    )
    bitexts_as_monolingual: bool = Field(
        False, description="Whether the sides of bitexts are monolingual text of their languages, too."
    )
    max_sentences: int | None = Field(
        None,
        ge=1,
        description="Most sentences, or pairs, kept of a language or language pair: the first. None keeps all.",
    )
    parallel_exponent: float = Field(
        0.5,
        ge=0,
        description="A bitext of n pairs is drawn in proportion to n to this power: 1 is by size, 0 all alike.",
    )
    monolingual_exponent: float = Field(
        0.3, ge=0, description="The same for the monolingual text of the languages; 0.3 is XLM-R's."
    )
    filters: Filters = Field(Filters(), description="Which sentences and pairs are left out.")

    @model_validator(mode="after")
    def _no_unused_setting(self) -> Self:
        if self.bitexts_as_monolingual and not self.parallel:
            raise ValueError("bitexts_as_monolingual is set, but there are no parallel sources")
        return self
