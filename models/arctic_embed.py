"""Arctic-Embed 2.0 large: first token's state at unit length; "query: " goes before what asks."""

from xrete.model import ModelCard

from .sentence_transformer import SentenceTransformerModel

MODEL = SentenceTransformerModel(
    card=ModelCard(
        name="snowflake-arctic-embed-l-v2.0",
        title="Arctic-Embed 2.0 large",
        licence="Apache-2.0",
        languages="74",
        parameters=567_754_752,
        dimension=1024,
        max_length=8192,
        trained_on=None,
        citation="Yu et al. 2024, Arctic-Embed 2.0, arXiv 2412.04506",
        checkpoint="optional",
        needs="the hub once, or snowflake-arctic-embed-l-v2.0:FOLDER with a modules.json",
        prompts={"query": "query: "},
        notes=("its authors name MIRACL, NQ, HotpotQA and FEVER, and web data that they do not list",),
    ),
    repo="Snowflake/snowflake-arctic-embed-l-v2.0",
    revision="edc2df7b6c25794b340229ca082e7c78782e6374",
)
