"""HICTL: XLM-R trained on with hierarchical contrastive learning."""

from xrete.model import ModelCard

from .transformer import TransformerModel

MODEL = TransformerModel(
    card=ModelCard(
        name="hictl",
        title="HICTL (no public weights)",
        licence="not stated",
        languages="unknown",
        parameters=None,
        dimension=None,
        max_length=None,
        trained_on=None,
        citation="Wei et al. 2021, On Learning Universal Representations Across Languages, ICLR",
        checkpoint="required",
        needs="hictl:FOLDER; no public weights are known",
        notes=("the paper's numbers are in 'xrete report --reference paper'",),
    ),
    pooling="cls",
)
