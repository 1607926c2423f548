"""Qwen3-Embedding: last token's state of a causal language model, unit length; told the task in words."""

from xrete.model import ModelCard

from .instructions import instructed
from .sentence_transformer import SentenceTransformerModel

MODEL = SentenceTransformerModel(
    card=ModelCard(
        name="qwen3-embedding-0.6b",
        title="Qwen3-Embedding, 0.6 billion",
        licence="Apache-2.0",
        languages="more than 100",
        parameters=595_776_512,
        dimension=1024,
        max_length=32768,
        trained_on=("xnli",),
        citation="Zhang et al. 2025, Qwen3 Embedding, arXiv 2506.05176",
        checkpoint="optional",
        needs="the hub once, or qwen3-embedding-0.6b:FOLDER with a modules.json",
        prompts=instructed("Instruct: {}\nQuery:"),
        notes=(
            "its authors name NLI data (XNLI's English training data), question answering and retrieval, and more "
            "that they do not list",
            "and bitext that a language model wrote",
        ),
    ),
    repo="Qwen/Qwen3-Embedding-0.6B",
    revision="b22da495047858cce924d27d76261e96be6febc0",
)
