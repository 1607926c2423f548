"""What models are told that want their task in words: by its type as MTEB says it, for queries as they say it."""

from __future__ import annotations

SIMILAR = "Retrieve semantically similar text."
INSTRUCTIONS = {
    "sentence": SIMILAR,
    "BitextMining": "Retrieve parallel sentences.",
    "STS": SIMILAR,
    "PairClassification": "Retrieve text that are semantically similar to the given text.",
    "Classification": "Classify user passages.",
    "MultilabelClassification": "Classify user passages.",
    "query": "Given a web search query, retrieve relevant passages that answer the query",
}
"""By the keys of `ModelCard.prompts`. Documents go without."""


def instructed(template: str) -> dict[str, str]:
    """Returns the prompts of a model that reads an instruction in a template, with its place as {}."""
    return {key: template.format(words) for key, words in INSTRUCTIONS.items()} | {"document": ""}
