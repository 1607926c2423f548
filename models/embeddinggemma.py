"""EmbeddingGemma: mean over tokens of a Gemma 3 that sees both sides, two dense layers, unit length."""

from xrete.model import ModelCard

from .sentence_transformer import SentenceTransformerModel

MODEL = SentenceTransformerModel(
    card=ModelCard(
        name="embeddinggemma-300m",
        title="EmbeddingGemma",
        licence="Gemma",
        languages="more than 100",
        parameters=307_581_696,
        dimension=768,
        max_length=2048,
        trained_on=None,
        citation="Vera et al. 2025, EmbeddingGemma, arXiv 2509.20354",
        checkpoint="optional",
        needs="the hub once, with its licence accepted there, or embeddinggemma-300m:FOLDER with a modules.json",
        prompts={
            "query": "task: search result | query: ",
            "document": "title: none | text: ",
            "BitextMining": "task: search result | query: ",
            "STS": "task: sentence similarity | query: ",
            "PairClassification": "task: sentence similarity | query: ",
            "Classification": "task: classification | query: ",
            "MultilabelClassification": "task: classification | query: ",
        },
        notes=(
            "its authors do not list its training data",
            "its authors say that float16 does not hold its activations",
        ),
    ),
    repo="google/embeddinggemma-300m",
    revision="64614b0b8b64f0c6c1e52b07e4e9a4e8fe4d2da2",
)
