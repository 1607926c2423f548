"""XLM-R: large, the model that EMMA-X starts from in the paper, and base, from which its published code starts."""

from xrete.model import ModelCard

from .transformer import TransformerModel

MODEL = TransformerModel(
    card=ModelCard(
        name="xlmr",
        title="XLM-RoBERTa large",
        licence="MIT",
        languages="100",
        parameters=559_890_432,
        dimension=1024,
        max_length=512,
        trained_on=(),
        citation="Conneau et al. 2020, Unsupervised Cross-lingual Representation Learning at Scale, ACL",
        checkpoint="optional",
        needs="the hub once, or xlmr:FOLDER",
        notes=(
            "a masked language model on CommonCrawl text: its authors state no sentence vector",
            "first token's state, as in EMMA-X's Table 4; the rows of its other tables are a model trained anew",
        ),
    ),
    repo="FacebookAI/xlm-roberta-large",
    revision="c23d21b0620b635a76227c604d44e43a9f0ee389",
    pooling="cls",
)
BASE = TransformerModel(
    card=ModelCard(
        name="xlm-roberta-base",
        title="XLM-RoBERTa base",
        licence="MIT",
        languages="100",
        parameters=278_043_648,
        dimension=768,
        max_length=512,
        trained_on=(),
        citation="Conneau et al. 2020, Unsupervised Cross-lingual Representation Learning at Scale, ACL",
        checkpoint="optional",
        needs="the hub once, or xlm-roberta-base:FOLDER",
        notes=(
            "a masked language model on CommonCrawl text: its authors state no sentence vector",
            "first token's state",
        ),
    ),
    repo="FacebookAI/xlm-roberta-base",
    revision="e73636d4f797dec63c3081bb6ed5c7b0bb3f2089",
    pooling="cls",
)
