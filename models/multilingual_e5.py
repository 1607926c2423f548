"""multilingual-e5: mean over tokens, unit length; its authors say before each text whether it asks or answers."""

from collections.abc import Mapping

from xrete.model import ModelCard

from .instructions import instructed
from .sentence_transformer import SentenceTransformerModel

PROMPTS = {"sentence": "query: ", "document": "passage: "}


def _model(
    size: str,
    title: str,
    parameters: int,
    dimension: int,
    revision: str,
    *notes: str,
    prompts: Mapping[str, str] = PROMPTS,
) -> SentenceTransformerModel:
    """Returns the model of a size; the sizes share all that is not said here."""
    name = f"multilingual-e5-{size}"
    return SentenceTransformerModel(
        card=ModelCard(
            name=name,
            title=f"{name}{title}",
            licence="MIT",
            languages="100, those of XLM-R",
            parameters=parameters,
            dimension=dimension,
            max_length=512,
            trained_on=("lareqa", "xnli"),
            citation="Wang et al. 2024, Multilingual E5 Text Embeddings, arXiv 2402.05672",
            checkpoint="optional",
            needs=f"the hub once, or {name}:FOLDER with a modules.json",
            prompts=prompts,
            notes=(
                "trained on SQuAD (LAReQA's English training data), SNLI and MNLI (XNLI's), and mined bitext",
                *notes,
            ),
        ),
        repo=f"intfloat/{name}",
        revision=revision,
    )


SMALL = _model(
    "small", ", as its authors published it", 117_653_760, 384, "fd1525a9fd15316a2d503bf26ab031a61d056e98",
    "me5-small is another model: these weights in 4 bits",
)  # fmt: skip
BASE = _model("base", "", 278_043_648, 768, "d13f1b27baf31030b7fd040960d60d909913633f")
LARGE = _model("large", "", 559_890_432, 1024, "ab10c1a7f42e74530fe7ae5be82e6d4f11a719eb")
LARGE_INSTRUCT = _model(
    "large-instruct", ", told the task in words", 559_890_432, 1024, "baa7be480a7de1539afce709c8f13f833a510e0a",
    "and on synthetic instructions of a language model", prompts=instructed("Instruct: {}\nQuery: "),
)  # fmt: skip
