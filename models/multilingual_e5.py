"""multilingual-e5: mean over tokens, unit length; its authors say before each text whether it asks or answers."""

from xrete.model import ModelCard

from .instructions import instructed
from .sentence_transformer import SentenceTransformerModel

PROMPTS = {"sentence": "query: ", "document": "passage: "}
TRAINED_ON = ("lareqa", "xnli")
CITATION = "Wang et al. 2024, Multilingual E5 Text Embeddings, arXiv 2402.05672"
TRAINING = "trained on SQuAD (LAReQA's English training data), SNLI and MNLI (XNLI's), and mined bitext"

SMALL = SentenceTransformerModel(
    card=ModelCard(
        name="multilingual-e5-small",
        title="multilingual-e5-small, as its authors published it",
        licence="MIT",
        languages="100, those of XLM-R",
        parameters=117_653_760,
        dimension=384,
        max_length=512,
        trained_on=TRAINED_ON,
        citation=CITATION,
        checkpoint="optional",
        needs="the hub once, or multilingual-e5-small:FOLDER with a modules.json",
        prompts=PROMPTS,
        notes=(TRAINING, "me5-small is another model: these weights in 4 bits"),
    ),
    repo="intfloat/multilingual-e5-small",
    revision="fd1525a9fd15316a2d503bf26ab031a61d056e98",
)
BASE = SentenceTransformerModel(
    card=ModelCard(
        name="multilingual-e5-base",
        title="multilingual-e5-base",
        licence="MIT",
        languages="100, those of XLM-R",
        parameters=278_043_648,
        dimension=768,
        max_length=512,
        trained_on=TRAINED_ON,
        citation=CITATION,
        checkpoint="optional",
        needs="the hub once, or multilingual-e5-base:FOLDER with a modules.json",
        prompts=PROMPTS,
        notes=(TRAINING,),
    ),
    repo="intfloat/multilingual-e5-base",
    revision="d13f1b27baf31030b7fd040960d60d909913633f",
)
LARGE = SentenceTransformerModel(
    card=ModelCard(
        name="multilingual-e5-large",
        title="multilingual-e5-large",
        licence="MIT",
        languages="100, those of XLM-R",
        parameters=559_890_432,
        dimension=1024,
        max_length=512,
        trained_on=TRAINED_ON,
        citation=CITATION,
        checkpoint="optional",
        needs="the hub once, or multilingual-e5-large:FOLDER with a modules.json",
        prompts=PROMPTS,
        notes=(TRAINING,),
    ),
    repo="intfloat/multilingual-e5-large",
    revision="ab10c1a7f42e74530fe7ae5be82e6d4f11a719eb",
)
LARGE_INSTRUCT = SentenceTransformerModel(
    card=ModelCard(
        name="multilingual-e5-large-instruct",
        title="multilingual-e5-large-instruct, told the task in words",
        licence="MIT",
        languages="100, those of XLM-R",
        parameters=559_890_432,
        dimension=1024,
        max_length=512,
        trained_on=TRAINED_ON,
        citation=CITATION,
        checkpoint="optional",
        needs="the hub once, or multilingual-e5-large-instruct:FOLDER with a modules.json",
        prompts=instructed("Instruct: {}\nQuery: "),
        notes=(TRAINING, "and on synthetic instructions of a language model"),
    ),
    repo="intfloat/multilingual-e5-large-instruct",
    revision="baa7be480a7de1539afce709c8f13f833a510e0a",
)
