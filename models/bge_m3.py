"""bge-m3: its dense vectors, the first token's state at unit length."""

from xrete.model import ModelCard

from .sentence_transformer import SentenceTransformerModel

MODEL = SentenceTransformerModel(
    card=ModelCard(
        name="bge-m3",
        title="BGE-M3, dense vectors",
        licence="MIT",
        languages="more than 100",
        parameters=567_754_752,
        dimension=1024,
        max_length=8192,
        trained_on=("flores", "flores-geometry", "lareqa", "pawsx", "tatoeba", "xnli"),
        citation="Chen et al. 2024, M3-Embedding, Findings of ACL",
        checkpoint="optional",
        needs="the hub once, or bge-m3:FOLDER with a modules.json",
        notes=(
            "its authors name xP3, which holds FLORES-200 (devtest too), Tatoeba and PAWS-X, as pretraining pairs",
            "fine-tuned on SQuAD (LAReQA's English training data), SNLI and MNLI (XNLI's), among others",
            "its sparse and multi-vector outputs are not used",
            "the pinned commit holds a pickled weight file, read with weights_only",
        ),
    ),
    repo="BAAI/bge-m3",
    revision="5617a9f61b028005a4858fdac845db406aefb181",
)
