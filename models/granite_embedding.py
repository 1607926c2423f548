"""Granite-Embedding multilingual: first token's state at unit length."""

from xrete.model import ModelCard

from .sentence_transformer import SentenceTransformerModel

MODEL = SentenceTransformerModel(
    card=ModelCard(
        name="granite-embedding-278m-multilingual",
        title="Granite-Embedding, multilingual, 278 million",
        licence="Apache-2.0",
        languages="12: ar cs de en es fr it ja ko nl pt zh",
        parameters=278_043_648,
        dimension=768,
        max_length=512,
        trained_on=("lareqa",),
        citation="Awasthy et al. 2025, Granite Embedding Models, arXiv 2502.20204",
        checkpoint="optional",
        needs="the hub once, or granite-embedding-278m-multilingual:FOLDER with a modules.json",
        notes=(
            "trained on SQuAD 2.0 (LAReQA's English training data) and machine-translated bitext, among others",
        ),
    ),
    repo="ibm-granite/granite-embedding-278m-multilingual",
    revision="84e3546b88b0cb69f8078608a1df558020bcbf1f",
)
