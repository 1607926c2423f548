"""distiluse: a student of the multilingual Universal Sentence Encoder; mean over tokens, dense layer with tanh."""

from xrete.model import ModelCard

from .sentence_transformer import SentenceTransformerModel

MODEL = SentenceTransformerModel(
    card=ModelCard(
        name="distiluse-base-multilingual-cased-v2",
        title="DistilBERT, taught by the multilingual Universal Sentence Encoder",
        licence="Apache-2.0",
        languages="50+",
        parameters=135_127_808,
        dimension=512,
        max_length=128,
        trained_on=("tatoeba",),
        citation="Reimers and Gurevych 2020, Making Monolingual Sentence Embeddings Multilingual, EMNLP",
        checkpoint="optional",
        needs="the hub once, or distiluse-base-multilingual-cased-v2:FOLDER with a modules.json",
        notes=("Tatoeba's translations are among the student's parallel corpora; use-m3's card is its teacher's",),
    ),
    repo="sentence-transformers/distiluse-base-multilingual-cased-v2",
    revision="bfe45d0732ca50787611c0fe107ba278c7f3f889",
)
