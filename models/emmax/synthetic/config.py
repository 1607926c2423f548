"""What a world is made of."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, model_validator

MOST_CONCEPTS = 900
"""Half of the words that a language can make."""
MOST_MEANINGS = 2**22
"""Meanings whose probabilities are held in memory, 32 MB."""


class WorldConfig(BaseModel):
    """The settings of a world; equal settings give equal worlds, sentence by sentence.

    A world of another `cognates`, `head` or `tail` alone has the same meanings, and the same words otherwise.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    seed: int = Field(0, ge=0, description="Of every random choice.")
    head: int = Field(4, ge=1, le=26, description="Languages with bitexts to the pivot: qaa, qab, ...")
    tail: int = Field(4, ge=0, le=26, description="Languages with monolingual text only: qta, qtb, ...")
    topics: int = Field(8, ge=2, description="Topics; words of one topic are never used in another.")
    roles: int = Field(6, ge=1, le=12, description="Words that say what happens, beside the word of the topic.")
    fillers: int = Field(4, ge=2, description="Concepts that a role chooses from, in each topic.")
    events: int = Field(8, ge=1, description="Events of a topic, each with a typical concept in every role.")
    variation: float = Field(0.4, ge=0, le=1, description="How often a role is filled at random.")
    zipf: float = Field(
        1.0, ge=0, description="Topics, events, function words: the k-th is drawn in proportion to k^-zipf."
    )
    cognates: float = Field(
        0.3,
        ge=0,
        le=1,
        description="Share of concepts with one form in all languages: what a pretrained encoder knows already.",
    )
    function_words: int = Field(
        8,
        ge=0,
        le=8,
        description="Words without meaning in each language, written as one with the word before them.",
    )
    held_out: float = Field(
        0.05, gt=0, lt=1, description="Share of meanings that only the held-out sentences have, and no other text."
    )

    @property
    def components(self) -> int:
        """Words with a meaning in a sentence: the topic's and one for each role."""
        return 1 + self.roles

    @property
    def concepts(self) -> int:
        """Words with a meaning in a language."""
        return self.topics * (1 + self.roles * self.fillers)

    @model_validator(mode="after")
    def _fits(self) -> WorldConfig:
        meanings = self.topics * self.fillers**self.roles
        if meanings > MOST_MEANINGS:
            raise ValueError(f"{meanings:,} meanings (topics * fillers^roles) are more than {MOST_MEANINGS:,}")
        if self.concepts > MOST_CONCEPTS:
            raise ValueError(
                f"{self.concepts:,} concepts (topics * (1 + roles * fillers)) are more than {MOST_CONCEPTS:,}"
            )
        return self
