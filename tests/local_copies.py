"""Local copies of the layouts of named models: tiny and random, laid out as in the hub's repositories.

A copy is as wide as the model's card says, so that `xrete check` can hold it against the card. It has a layer or
two, and it knows the characters of the probe. Run as a script, this writes a table of docs/encoders.md::

    python tests/local_copies.py
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from numpy.typing import NDArray
from safetensors.torch import save_file
from sentence_transformers import SentenceTransformer
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from xrete import load_model, registry
from xrete.encoding.embedder import PROBE
from xrete.model import ROLES, Role

PAGE = Path(__file__).parents[1] / "docs" / "encoders.md"
BEGIN, END = "<!-- measured: python tests/local_copies.py -->", "<!-- measured, named models, end -->"
LIMIT = 160
"""Tokens that a copy reads of a text: of characters, of which an instruction has a hundred."""
POSITIONS = LIMIT + 2
"""Rows of XLM-R's table of positions, two of which are never used."""
CHARACTERS = sorted({character for text in PROBE for character in text})
MODES = ("cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens", "lasttoken")
MODULES = "sentence_transformers.models."

MakeTokenizer = Callable[[], Any]


def xlmr_tokenizer() -> Any:
    """<s> pieces </s>, pieces of XLM-R's numbering."""
    pieces = ["<s>", "<pad>", "</s>", "<unk>", "▁", *CHARACTERS]
    core = Tokenizer(models.Unigram([(piece, -5.0) for piece in pieces], unk_id=3))
    core.pre_tokenizer = pre_tokenizers.Metaspace()
    core.decoder = decoders.Metaspace()
    core.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return wrapped(
        core,
        bos_token="<s>",
        cls_token="<s>",
        eos_token="</s>",
        sep_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
    )


def bert_tokenizer(*, lower: bool = False) -> Any:
    """[CLS] word pieces [SEP], cased or not."""
    characters = sorted({x for x in "".join(CHARACTERS + [x.lower() for x in CHARACTERS]) if not x.isspace()})
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *characters, *(f"##{x}" for x in characters)]
    core = Tokenizer(models.WordPiece({piece: index for index, piece in enumerate(pieces)}, unk_token="[UNK]"))
    core.normalizer = normalizers.BertNormalizer(lowercase=lower, strip_accents=lower)
    core.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    core.decoder = decoders.WordPiece()
    core.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return wrapped(core, cls_token="[CLS]", sep_token="[SEP]", pad_token="[PAD]", unk_token="[UNK]")


def gemma_tokenizer() -> Any:
    """<bos> pieces <eos>, with blanks written as ▁ and nothing put before the text."""
    pieces = ["<pad>", "<eos>", "<bos>", "<unk>", "▁", "\n", *CHARACTERS]
    core = Tokenizer(models.Unigram([(piece, -5.0) for piece in pieces], unk_id=3))
    core.normalizer = normalizers.Replace(" ", "▁")
    core.post_processor = processors.TemplateProcessing(
        single="<bos> $A <eos>", special_tokens=[("<bos>", 2), ("<eos>", 1)]
    )
    return wrapped(core, bos_token="<bos>", eos_token="<eos>", pad_token="<pad>", unk_token="<unk>")


def qwen_tokenizer() -> Any:
    """Bytes, then <|endoftext|>; padded on the left."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = Tokenizer(models.BPE({byte: index for index, byte in enumerate(alphabet)}, []))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    core.add_special_tokens(["<|endoftext|>"])
    core.post_processor = processors.TemplateProcessing(
        single="$A <|endoftext|>", special_tokens=[("<|endoftext|>", len(alphabet))]
    )
    return wrapped(core, eos_token="<|endoftext|>", pad_token="<|endoftext|>", padding_side="left")


def wrapped(core: Any, **special: str) -> Any:
    backend: Any = transformers.PreTrainedTokenizerFast
    return backend(tokenizer_object=core, model_max_length=LIMIT, **special)


@dataclass(frozen=True, kw_only=True)
class Copy:
    """The layout of a repository.

    Attributes:
        kind: The transformers class of its weights; "" where there is no transformer.
        tokenizer: Makes its tokenizer.
        settings: Of its config, beside sizes.
        pooling: One of `MODES`, or "" where there is no transformer.
        dense: Sizes and activations of the dense layers after it, with a bias or not.
        unit: Whether vectors are brought to unit length.
        prompts: Those that the repository saves.
        limited: Whether `sentence_bert_config.json` says how much is read.
        pickled: Whether the weights are pickled.
    """

    kind: str
    tokenizer: MakeTokenizer
    settings: Mapping[str, Any] = field(default_factory=dict)
    pooling: str = ""
    dense: tuple[tuple[int, int, str, bool], ...] = ()
    unit: bool = False
    prompts: Mapping[str, str] = field(default_factory=dict)
    limited: bool = True
    pickled: bool = False


XLMR = {"max_position_embeddings": POSITIONS, "type_vocab_size": 1}
BERT = {"max_position_embeddings": LIMIT, "type_vocab_size": 2}
TANH, NOTHING = "torch.nn.modules.activation.Tanh", "torch.nn.modules.linear.Identity"
GEMMA_PROMPTS = {
    "query": "task: search result | query: ",
    "document": "title: none | text: ",
    "BitextMining": "task: search result | query: ",
    "STS": "task: sentence similarity | query: ",
}
QWEN_PROMPTS = {
    "query": "Instruct: Given a web search query, retrieve relevant passages that answer the query\nQuery:",
    "document": "",
}
GEMMA = {
    "head_dim": 16, "num_key_value_heads": 1, "max_position_embeddings": 2048, "sliding_window": 16,
    "use_bidirectional_attention": True, "layer_types": ["sliding_attention", "full_attention"],
    "num_hidden_layers": 2, "bos_token_id": 2, "eos_token_id": 1,
}  # fmt: skip
QWEN = {
    "head_dim": 16, "num_key_value_heads": 2, "max_position_embeddings": 32768, "bos_token_id": None,
    "eos_token_id": None,
}  # fmt: skip


def e5(kind: str, settings: Mapping[str, Any]) -> Copy:
    return Copy(kind=kind, tokenizer=xlmr_tokenizer, settings=settings, pooling="mean_tokens", unit=True)


def first_token(**options: Any) -> Copy:
    return Copy(
        kind="XLMRobertaModel", tokenizer=xlmr_tokenizer, settings=XLMR, pooling="cls_token", unit=True, **options
    )


COPIES: dict[str, Copy] = {
    "labse": Copy(
        kind="BertModel", tokenizer=bert_tokenizer, settings=BERT, pooling="cls_token", unit=True,
        dense=((768, 768, TANH, True),),
    ),
    "sbert": Copy(kind="XLMRobertaModel", tokenizer=xlmr_tokenizer, settings=XLMR, pooling="mean_tokens"),
    "multilingual-e5-small": e5("BertModel", BERT),
    "multilingual-e5-base": e5("XLMRobertaModel", XLMR),
    "multilingual-e5-large": e5("XLMRobertaModel", XLMR),
    "multilingual-e5-large-instruct": e5("XLMRobertaModel", XLMR),
    "bge-m3": first_token(pickled=True),
    "snowflake-arctic-embed-l-v2.0": first_token(prompts={"query": "query: "}),
    "granite-embedding-278m-multilingual": first_token(),
    "embeddinggemma-300m": Copy(
        kind="Gemma3TextModel", tokenizer=gemma_tokenizer, settings=GEMMA, pooling="mean_tokens", unit=True,
        dense=((768, 3072, NOTHING, False), (3072, 768, NOTHING, False)), prompts=GEMMA_PROMPTS,
    ),
    "qwen3-embedding-0.6b": Copy(
        kind="Qwen3Model", tokenizer=qwen_tokenizer, settings=QWEN, pooling="lasttoken", unit=True,
        prompts=QWEN_PROMPTS, limited=False,
    ),
    "paraphrase-multilingual-mpnet-base-v2": Copy(
        kind="XLMRobertaModel", tokenizer=xlmr_tokenizer, settings=XLMR, pooling="mean_tokens"
    ),
    "paraphrase-multilingual-minilm-l12-v2": Copy(
        kind="BertModel", tokenizer=xlmr_tokenizer, settings=BERT, pooling="mean_tokens"
    ),
    "distiluse-base-multilingual-cased-v2": Copy(
        kind="DistilBertModel", tokenizer=bert_tokenizer, settings={"max_position_embeddings": LIMIT},
        pooling="mean_tokens", dense=((768, 512, TANH, True),),
    ),
    "static-similarity-mrl-multilingual-v1": Copy(kind="", tokenizer=lambda: bert_tokenizer(lower=True)),
    "potion-multilingual-128m": Copy(kind="", tokenizer=xlmr_tokenizer, unit=True),
}  # fmt: skip
"""Every model of the registry that is laid out in a way of its own, by its name."""


@pytest.fixture
def local_copy(tmp_path: Path) -> Callable[[str], Path]:
    """Writes the local copy of a named model, and returns its folder."""
    return lambda name: write_copy(name, tmp_path / "local-copy")


def write_copy(name: str, folder: Path) -> Path:
    copy = COPIES[name]
    torch.manual_seed(len(name))
    folder.mkdir(parents=True, exist_ok=True)
    dimension = registry.model(name).card.dimension or 0
    if not copy.kind:
        write_static(copy, folder, dimension)
        return folder
    width = copy.dense[0][0] if copy.dense else dimension
    tokenizer = copy.tokenizer()
    write_transformer(copy, folder, tokenizer, width)
    tokenizer.save_pretrained(folder)
    write_modules(copy, folder, width)
    return folder


def write_transformer(copy: Copy, folder: Path, tokenizer: Any, width: int) -> None:
    kind: Any = getattr(transformers, copy.kind)
    sizes = {"hidden_size": width, "num_hidden_layers": 1, "num_attention_heads": 4, "intermediate_size": 32}
    if copy.kind == "DistilBertModel":
        sizes = {"dim": width, "n_layers": 1, "n_heads": 4, "hidden_dim": 32}
    config = kind.config_class(
        vocab_size=len(tokenizer), pad_token_id=tokenizer.pad_token_id, **(sizes | dict(copy.settings))
    )
    model = kind(config)
    if copy.pickled:
        torch.save(model.state_dict(), folder / "pytorch_model.bin")
        config.architectures = [copy.kind]
        config.save_pretrained(folder)
    else:
        model.save_pretrained(folder)


def write_modules(copy: Copy, folder: Path, width: int) -> None:
    """Writes what versions before 6 of sentence-transformers wrote beside a transformer."""
    kinds = ["Transformer", "Pooling", *("Dense" for _ in copy.dense), *(["Normalize"] if copy.unit else [])]
    paths = ["", *(f"{index}_{kind}" for index, kind in enumerate(kinds) if index)]
    write(folder / "modules.json", listed(kinds, paths))
    modes = {f"pooling_mode_{mode}": mode == copy.pooling for mode in MODES}
    write(folder / "1_Pooling" / "config.json", {"word_embedding_dimension": width, **modes})
    for (size, out, activation, bias), path in zip(copy.dense, paths[2:], strict=False):
        where = folder / path
        write(
            where / "config.json",
            {"in_features": size, "out_features": out, "bias": bias, "activation_function": activation},
        )
        layer = torch.nn.Linear(size, out, bias=bias)
        save_file(
            {f"linear.{key}": value for key, value in layer.state_dict().items()}, where / "model.safetensors"
        )
    if copy.unit:
        (folder / paths[-1]).mkdir()
    if copy.limited:
        write(folder / "sentence_bert_config.json", {"max_seq_length": LIMIT, "do_lower_case": False})
    texts = {"prompts": dict(copy.prompts), "default_prompt_name": None} if copy.prompts else {}
    write(folder / "config_sentence_transformers.json", {"__version__": {}, **texts})


def write_static(copy: Copy, folder: Path, dimension: int) -> None:
    """Writes static embeddings, laid out by sentence-transformers or by model2vec."""
    tokenizer = copy.tokenizer()
    weights = torch.randn(len(tokenizer), dimension)
    if copy.unit:
        kinds, paths, key = ["StaticEmbedding", "Normalize"], [".", "1_Normalize"], "embeddings"
        write(
            folder / "config.json", {"model_type": "model2vec", "architectures": ["StaticModel"], "normalize": True}
        )
    else:
        kinds, paths, key = ["StaticEmbedding"], ["0_StaticEmbedding"], "embedding.weight"
    for path in paths:
        (folder / path).mkdir(exist_ok=True)
    write(folder / "modules.json", listed(kinds, paths))
    write(
        folder / "config_sentence_transformers.json",
        {"__version__": {}, "prompts": {}, "default_prompt_name": None},
    )
    save_file({key: weights}, folder / paths[0] / "model.safetensors")
    tokenizer.backend_tokenizer.save(str(folder / paths[0] / "tokenizer.json"))


def listed(kinds: list[str], paths: list[str]) -> list[dict[str, Any]]:
    return [
        {"idx": index, "name": str(index), "path": path, "type": MODULES + kind}
        for index, (kind, path) in enumerate(zip(kinds, paths, strict=True))
    ]


def write(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), "utf-8")


TEXTS = [
    "The cat sleeps on the warm roof.",
    "Die Katze schläft auf dem warmen Dach, und der Hund bellt im Garten.",
    "القطة تنام على السطح الدافئ.",
    "החתול ישן על הגג החם.",
    "猫在温暖的屋顶上睡觉。",
    "",
    " ",
    "  Water boils, with blanks before and after.  ",
    "one line\nand another\n",
    "a very long text, " * 40,
]


E5 = {"symmetric": "query: ", "query": "query: ", "document": "passage: "}
PROMPTS = {
    "multilingual-e5-small": E5,
    "multilingual-e5-base": E5,
    "multilingual-e5-large": E5,
    "multilingual-e5-large-instruct": {
        "symmetric": "Instruct: Retrieve semantically similar text.\nQuery: ",
        "query": "Instruct: Given a web search query, retrieve relevant passages that answer the query\nQuery: ",
    },
    "qwen3-embedding-0.6b": {"symmetric": "Instruct: Retrieve semantically similar text.\nQuery:"},
}
"""What their authors put before texts, where the repository does not say it."""
SAVED = ("snowflake-arctic-embed-l-v2.0", "embeddinggemma-300m", "qwen3-embedding-0.6b")
"""Models whose repository says what to put before queries and documents."""


def theirs(name: str, folder: Path) -> dict[str, NDArray[np.float32]]:
    """Returns float32 [texts, dimension] of sentence-transformers for symmetric texts, queries and documents."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = SentenceTransformer(str(folder), device="cpu", model_kwargs={"dtype": torch.float32})
    prompts = PROMPTS.get(name, {})
    sides = {side: model.encode(TEXTS, prompt=prompts.get(side, "")) for side in ("symmetric", "query", "document")}
    if name in SAVED:
        sides |= {"query": model.encode_query(TEXTS), "document": model.encode_document(TEXTS)}
    return {side: np.asarray(vectors, dtype=np.float32) for side, vectors in sides.items()}


def lowest_cosine(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    """Returns the lowest cosine of two arrays' rows, float32 [n, d]; a zero vector is like another alone."""
    norms = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    cosines = np.where(norms > 0, (first * second).sum(axis=1) / np.where(norms > 0, norms, 1), 1.0)
    assert not np.any((norms == 0) & (np.linalg.norm(first - second, axis=1) > 0))
    return float(cosines.min())


def measure(name: str, folder: Path) -> dict[str, float]:
    """Returns the lowest cosine of a text's vector to sentence-transformers' own, for each side of a task.

    Raises:
        AssertionError: vectors are not as wide as the model's card says.
    """
    with warnings.catch_warnings(action="ignore"):
        model = load_model(f"{name}:{folder}", device="cpu").for_task("", None, ROLES)
    sides: dict[str, Role | None] = {"symmetric": None, "query": "query", "document": "document"}
    ours = {side: model.for_role(role).encode(TEXTS) for side, role in sides.items()}
    assert {vectors.shape[1] for vectors in ours.values()} == {model.card.dimension}
    expected = theirs(name, folder)
    return {side: lowest_cosine(ours[side], expected[side]) for side in sides}


@pytest.fixture
def lowest_cosines() -> Callable[[str, Path], dict[str, float]]:
    """The function `measure`."""
    return measure


def write_table() -> None:
    """Measures all copies, and writes their table into the page."""
    rows = ["| model | symmetric | queries | documents |", "| --- | --: | --: | --: |"]
    with TemporaryDirectory() as folder:
        for name in COPIES:
            numbers = measure(name, write_copy(name, Path(folder) / name)).values()
            rows.append(f"| `{name}` | {' | '.join(f'{value:.6f}' for value in numbers)} |")
    before, begin, rest = PAGE.read_text("utf-8").partition(BEGIN)
    PAGE.write_text("\n".join([f"{before}{begin}", *rows, f"{END}{rest.partition(END)[2]}"]), "utf-8")


if __name__ == "__main__":
    write_table()
