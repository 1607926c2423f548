"""LaBSE: first token, dense layer with tanh, unit length."""

from xrete.model import ModelCard

from .sentence_transformer import SentenceTransformerModel

MODEL = SentenceTransformerModel(
    card=ModelCard(
        name="labse",
        title="LaBSE, language-agnostic BERT sentence embedding",
        licence="Apache-2.0",
        languages="109",
        parameters=470_926_848,
        dimension=768,
        max_length=256,
        trained_on=None,
        citation="Feng et al. 2022, Language-agnostic BERT Sentence Embedding, ACL",
        checkpoint="optional",
        needs="the hub once, or labse:FOLDER with a modules.json",
        notes=("trained on translation pairs mined from the web; its authors name no data set of them",),
    ),
    repo="sentence-transformers/LaBSE",
    revision="836121a0533e5664b21c7aacc5d22951f2b8b25b",
)
