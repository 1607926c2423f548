"""InfoXLM large: XLM-R trained on with translation pairs and a contrastive task."""

from xrete.model import ModelCard

from .transformer import TransformerModel

MODEL = TransformerModel(
    card=ModelCard(
        name="infoxlm",
        title="InfoXLM large",
        licence="not stated",
        languages="94",
        parameters=559_890_432,
        dimension=1024,
        max_length=512,
        trained_on=None,
        citation="Chi et al. 2021, InfoXLM, NAACL",
        checkpoint="optional",
        needs="the hub once, or infoxlm:FOLDER",
        notes=(
            "its authors name monolingual and parallel corpora, parts of OPUS among them",
            "first token's state, as in EMMA-X's Table 4; the rows of its other tables are a model trained anew",
            "the pinned commit holds a pickled weight file, read with weights_only",
        ),
    ),
    repo="microsoft/infoxlm-large",
    revision="d616d637f0720deda963cebbfc630657d2b7d3ae",
    pooling="cls",
)
