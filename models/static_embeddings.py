"""Static embeddings: the mean of one vector a token, with no transformer. They read texts of any length."""

from xrete.model import ModelCard

from .sentence_transformer import SentenceTransformerModel

SIMILARITY = SentenceTransformerModel(
    card=ModelCard(
        name="static-similarity-mrl-multilingual-v1",
        title="static embeddings, trained for similarity",
        licence="Apache-2.0",
        languages="50",
        parameters=108_420_096,
        dimension=1024,
        max_length=None,
        trained_on=("tatoeba", "xnli"),
        citation="Aarsen 2025, Train 400x faster Static Embedding Models with Sentence Transformers",
        checkpoint="optional",
        needs="the hub once, or static-similarity-mrl-multilingual-v1:FOLDER with a modules.json",
        notes=("trained on Tatoeba's translations, SNLI and MNLI (XNLI's English training data), among others",),
    ),
    repo="sentence-transformers/static-similarity-mrl-multilingual-v1",
    revision="7264ea07c5365a11d7e6d87dbb6195889a13054f",
)
POTION = SentenceTransformerModel(
    card=ModelCard(
        name="potion-multilingual-128m",
        title="static embeddings, distilled from BGE-M3",
        licence="MIT",
        languages="101",
        parameters=128_090_368,
        dimension=256,
        max_length=None,
        trained_on=None,
        citation="Tulkens and van Dongen 2024, Model2Vec",
        checkpoint="optional",
        needs="the hub once, or potion-multilingual-128m:FOLDER with a modules.json",
        notes=("trained on C4 with the vectors of bge-m3; that model's card says what it had seen",),
    ),
    repo="minishlab/potion-multilingual-128M",
    revision="73908c3438cf03b6a01bcb9611d62b23d0726f08",
)
