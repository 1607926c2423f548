"""Students of English paraphrase models, in the way of `sbert`: mean over tokens."""

from xrete.model import ModelCard

from .sentence_transformer import SentenceTransformerModel

CITATION = "Reimers and Gurevych 2020, Making Monolingual Sentence Embeddings Multilingual, EMNLP"
NOTES = (
    "Tatoeba's translations are among the student's parallel corpora",
    "its English teacher was trained on SNLI and MNLI (XNLI's English training data), not on STS data",
)

MPNET = SentenceTransformerModel(
    card=ModelCard(
        name="paraphrase-multilingual-mpnet-base-v2",
        title="XLM-R base, taught by paraphrase-mpnet-base-v2",
        licence="Apache-2.0",
        languages="50+",
        parameters=278_043_648,
        dimension=768,
        max_length=128,
        trained_on=("tatoeba", "xnli"),
        citation=CITATION,
        checkpoint="optional",
        needs="the hub once, or paraphrase-multilingual-mpnet-base-v2:FOLDER with a modules.json",
        notes=NOTES,
    ),
    repo="sentence-transformers/paraphrase-multilingual-mpnet-base-v2",
    revision="79f2382ceacceacdf38563d7c5d16b9ff8d725d6",
)
MINILM = SentenceTransformerModel(
    card=ModelCard(
        name="paraphrase-multilingual-minilm-l12-v2",
        title="multilingual MiniLM, taught by paraphrase-MiniLM-L12-v2",
        licence="Apache-2.0",
        languages="50+",
        parameters=117_653_760,
        dimension=384,
        max_length=128,
        trained_on=("tatoeba", "xnli"),
        citation=CITATION,
        checkpoint="optional",
        needs="the hub once, or paraphrase-multilingual-minilm-l12-v2:FOLDER with a modules.json",
        notes=NOTES,
    ),
    repo="sentence-transformers/paraphrase-multilingual-MiniLM-L12-v2",
    revision="bf3bf13ab40c3157080a7ab344c831b9ad18b5eb",
)
