"""XLM-R <- SBERT-paraphrases, the S-BERT of EMMA-X's tables: mean over tokens."""

from xrete.model import ModelCard

from .sentence_transformer import SentenceTransformerModel

MODEL = SentenceTransformerModel(
    card=ModelCard(
        name="sbert",
        title="S-BERT, XLM-R taught by SBERT-paraphrases",
        licence="Apache-2.0",
        languages="50+",
        parameters=278_043_648,
        dimension=768,
        max_length=128,
        trained_on=("tatoeba", "xnli"),
        citation="Reimers and Gurevych 2020, Making Monolingual Sentence Embeddings Multilingual, EMNLP",
        checkpoint="optional",
        needs="the hub once, or sbert:FOLDER with a modules.json",
        notes=(
            "Tatoeba's translations are among the student's parallel corpora",
            "its English teacher was trained on SNLI and MNLI (XNLI's English training data), not on STS data",
        ),
    ),
    repo="sentence-transformers/paraphrase-xlm-r-multilingual-v1",
    revision="8a52c6f12a14d75a83ffb2124ebabe33e2e35754",
)
