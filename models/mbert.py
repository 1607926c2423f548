"""Multilingual BERT, cased."""

from xrete.model import ModelCard

from .transformer import TransformerModel

MODEL = TransformerModel(
    card=ModelCard(
        name="mbert",
        title="multilingual BERT base, cased",
        licence="Apache-2.0",
        languages="104",
        parameters=177_853_440,
        dimension=768,
        max_length=512,
        trained_on=(),
        citation="Devlin et al. 2019, BERT, NAACL",
        checkpoint="optional",
        needs="the hub once, or mbert:FOLDER",
        notes=("a masked language model on Wikipedia: its authors state no sentence vector; first token's state",),
    ),
    repo="google-bert/bert-base-multilingual-cased",
    revision="3f076fdb1ab68d5b2880cb87a0886f315b8146f8",
    pooling="cls",
)
