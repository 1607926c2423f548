"""XLM, 100 languages."""

from xrete.model import ModelCard

from .transformer import TransformerModel

MODEL = TransformerModel(
    card=ModelCard(
        name="xlm",
        title="XLM, masked language model of 100 languages",
        licence="CC BY-NC 4.0",
        languages="100",
        parameters=None,
        dimension=1280,
        max_length=512,
        trained_on=(),
        citation="Conneau and Lample 2019, Cross-lingual Language Model Pretraining, NeurIPS",
        checkpoint="optional",
        needs="the hub once, or xlm:FOLDER; package sacremoses (its tokenizer is written in Python, and slow)",
        notes=(
            "a masked language model on Wikipedia: its authors state no sentence vector; first token's state",
            "the pinned commit holds a pickled weight file, read with weights_only",
        ),
    ),
    repo="FacebookAI/xlm-mlm-100-1280",
    revision="73d3bed88b06e65b306c6b50e00503f0e8788846",
    pooling="cls",
)
