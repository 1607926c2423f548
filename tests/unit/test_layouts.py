"""Folders as people have them: each gives the vectors of its own library, or one sentence that says what is wrong.

Most are layouts in which a wrapper silently gave other vectors, here or elsewhere. Run as a script, this writes the
table of docs/encoders.md::

    python tests/unit/test_layouts.py
"""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import numpy as np
import peft
import pytest
import torch
import transformers
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Dense, Normalize, Router, Transformer
from sentence_transformers.sentence_transformer.modules import (
    LSTM,
    LayerNorm,
    Pooling,
    StaticEmbedding,
    WordEmbeddings,
)
from sentence_transformers.sentence_transformer.modules.tokenizer import WhitespaceTokenizer
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers

from xrete import evaluate, load_model, load_task, registry
from xrete.encoding.export import export
from xrete.errors import DataError, UsageError, XreteError
from xrete.model import Role, wrap
from xrete.models.weights import folder_digest

BEGIN, END = "<!-- measured: python tests/unit/test_layouts.py -->", "<!-- measured, end -->"
PAGE = Path(__file__).parents[2] / "docs" / "encoders.md"
TEXTS = [
    "",
    "The cat sleeps on the warm roof.",
    "Die Katze schläft auf dem warmen Dach, und der Hund bellt im Garten.",
    "Кошка спит на тёплой крыше.",
    "القطة تنام على السطح الدافئ.",
    "החתול ישן על הגג החם.",
    "猫在温暖的屋顶上睡觉。",
    "बिल्ली गर्म छत पर सो रही है।",
    "  padded with blanks  ",
    "trailing no-break space\u00a0",
    "two\nlines\r\n",
    "zero\u200bwidth",
    "combining e\u0301 and a\u0308",
    "🎉🎉 party",
    "ﬁne ½ ｆｕｌｌ",
    "x",
    "a very long sentence about cats, roofs and gardens " * 40,
]
WIDTH = 32

Build = Callable[[Path], Path]


@cache
def tokenizer() -> Any:
    """A Unigram tokenizer of the texts, numbered as XLM-R's; two trainings give two."""
    core = Tokenizer(models.Unigram())
    core.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=180, special_tokens=["<s>", "<pad>", "</s>", "<unk>"], unk_token="<unk>", show_progress=False
    )
    core.train_from_iterator(TEXTS, trainer)
    core.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    backend: Any = transformers.PreTrainedTokenizerFast
    special = {"bos": "<s>", "eos": "</s>", "cls": "<s>", "sep": "</s>", "pad": "<pad>", "unk": "<unk>"}
    return backend(
        tokenizer_object=core, model_max_length=62, **{f"{name}_token": piece for name, piece in special.items()}
    )


def edit(path: Path, **values: Any) -> None:
    """Changes keys of a JSON file; those that become None are left out."""
    content = {**(json.loads(path.read_text("utf-8")) if path.is_file() else {}), **values}
    path.write_text(json.dumps({key: value for key, value in content.items() if value is not None}), "utf-8")


def change_weights(file: Path, leave_out: str = "nothing") -> None:
    """Adds to every weight but those that are left out."""
    weights = load_file(file)
    save_file({x: y + 0.01 for x, y in weights.items() if leave_out not in x}, file, metadata={"format": "pt"})


def transformer(folder: Path, seed: int = 0) -> Path:
    """XLM-R, tiny and random, as `save_pretrained` writes it."""
    torch.manual_seed(seed)
    config = transformers.XLMRobertaConfig(
        vocab_size=200, hidden_size=WIDTH, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64,
        max_position_embeddings=66,
    )  # fmt: skip
    model: Any = transformers.XLMRobertaModel(config)
    model.save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


def saved(folder: Path, *modules: Any, limit: int | None = 40, start: Path | None = None, **options: Any) -> Path:
    """Modules after a transformer, as sentence-transformers saves them."""
    first = Transformer(str(start or transformer(folder / "plain")), max_seq_length=limit)
    SentenceTransformer(modules=[first, *modules], device="cpu", **options).save(str(folder / "st"))
    return folder / "st"


def with_settings(**values: Any) -> Build:
    def build(folder: Path) -> Path:
        place = saved(folder, Pooling(WIDTH, "mean"))
        edit(place / "sentence_bert_config.json", **values)
        return place

    return build


def chat_template(folder: Path) -> Path:
    start = transformer(folder / "plain")
    template = "{% for m in messages %}<s>{{ m['role'] }}: {{ m['content'] }}</s>{% endfor %}"
    (start / "chat_template.jinja").write_text(template, "utf-8")
    return saved(folder, Pooling(WIDTH, "mean"), start=start)


def early(folder: Path) -> Path:
    """The transformer in a folder of its own, its settings under its own name."""
    place, old = saved(folder, Pooling(WIDTH, "mean")), folder / "early"
    inner = old / "0_Transformer"
    shutil.copytree(place, inner)
    shutil.move(inner / "1_Pooling", old / "1_Pooling")
    shutil.move(inner / "modules.json", old / "modules.json")
    content = json.loads((old / "modules.json").read_text())
    content[0]["path"] = "0_Transformer"
    (old / "modules.json").write_text(json.dumps(content))
    (inner / "sentence_bert_config.json").unlink()
    edit(inner / "sentence_xlm-roberta_config.json", max_seq_length=9, do_lower_case=False)
    return old


def routed(folder: Path, **options: Any) -> Path:
    routes: dict[str, Any] = {
        name: [Transformer(str(transformer(folder / name, seed)), max_seq_length=40), Pooling(WIDTH, "mean")]
        for seed, name in enumerate(("query_modules", "document_modules"))
    }
    router = Router.for_query_document(**routes, default_route="document")
    SentenceTransformer(modules=[router], device="cpu", **options).save(str(folder / "st"))
    return folder / "st"


def static(*modules: Any) -> Build:
    def build(folder: Path) -> Path:
        torch.manual_seed(0)
        words = StaticEmbedding(tokenizer(), embedding_dim=16)
        SentenceTransformer(modules=[words, *modules], device="cpu").save(str(folder / "st"))
        return folder / "st"

    return build


def words(folder: Path) -> Path:
    """Vectors of words and an LSTM, which read texts without a transformer."""
    torch.manual_seed(0)
    known = sorted({word.lower() for text in TEXTS for word in text.split()})
    vectors = np.random.default_rng(0).normal(size=(len(known), 16))
    table = WordEmbeddings(WhitespaceTokenizer(known, stop_words=[]), vectors)
    SentenceTransformer(modules=[table, LSTM(16, 8), Pooling(16, "max")], device="cpu").save(str(folder / "st"))
    return folder / "st"


def dense_before_pooling(folder: Path) -> Path:
    torch.manual_seed(1)
    states: dict[str, Any] = {"module_input_name": "token_embeddings", "module_output_name": "token_embeddings"}
    return saved(folder, Dense(WIDTH, 16, **states), Pooling(16, "mean"))


def lora(folder: Path) -> Path:
    """Adapters in sentence-transformers' layout, on top of a folder."""
    model = SentenceTransformer(
        modules=[Transformer(str(transformer(folder / "base")), max_seq_length=40), Pooling(WIDTH, "mean")],
        device="cpu",
    )
    torch.manual_seed(2)
    model.add_adapter(peft.LoraConfig(r=4, target_modules=["query", "value"], init_lora_weights=False))
    model.save(str(folder / "st"))
    return folder / "st"


def cased_down(folder: Path) -> Path:
    place = saved(folder, Pooling(WIDTH, "mean"))
    edit(place / "sentence_bert_config.json", do_lower_case=True)
    return place


def of(kind: str, **settings: Any) -> Build:
    """An encoder of another architecture, mean pooled."""

    def build(folder: Path) -> Path:
        return saved(folder, Pooling(WIDTH, "mean"), start=other(kind, folder / "plain", **settings))

    return build


SIZES: dict[str, dict[str, Any]] = {
    "T5": {"d_model": WIDTH, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4, "vocab_size": 200},
    "Canine": {
        "hidden_size": WIDTH, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64,
        "max_position_embeddings": 128, "num_hash_buckets": 128,
    },
    "DistilBert": {"vocab_size": 200, "dim": WIDTH, "n_layers": 2, "n_heads": 4, "hidden_dim": 64},
    "ModernBert": {
        "vocab_size": 200, "hidden_size": WIDTH, "num_hidden_layers": 2, "num_attention_heads": 4,
        "intermediate_size": 64, "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2, "cls_token_id": 0,
        "sep_token_id": 2,
    },
}  # fmt: skip
for name in ("MT5", "UMT5"):
    SIZES[name] = SIZES["T5"]


def other(kind: str, folder: Path, model_class: str = "Model", **settings: Any) -> Path:
    """An encoder of another architecture as `save_pretrained` writes it."""
    torch.manual_seed(0)
    model: Any = getattr(transformers, f"{kind}{model_class}")
    config = getattr(transformers, f"{kind}Config")
    model(config(**(SIZES[kind] | settings))).save_pretrained(folder)
    characters: Any = transformers.CanineTokenizer
    (characters() if kind == "Canine" else tokenizer()).save_pretrained(folder)
    return folder


PROMPTS = {"query": "ask: ", "document": " tell,  ", "all": "same: "}
LAYOUTS: dict[str, Build] = {
    "cls": lambda folder: saved(folder, Pooling(WIDTH, "cls")),
    "mean, normalize": lambda folder: saved(folder, Pooling(WIDTH, "mean"), Normalize()),
    "max": lambda folder: saved(folder, Pooling(WIDTH, "max")),
    "mean, dense, layernorm": lambda folder: saved(folder, Pooling(WIDTH, "mean"), Dense(WIDTH, 16), LayerNorm(16)),
    "dense, mean": dense_before_pooling,
    "a default prompt with blanks": lambda folder: saved(
        folder, Pooling(WIDTH, "mean"), prompts={"q": " ask:  "}, default_prompt_name="q"
    ),
    "prompts of queries and documents": lambda folder: saved(folder, Pooling(WIDTH, "mean"), prompts=PROMPTS),
    "the same, and a default": lambda folder: saved(
        folder, Pooling(WIDTH, "cls"), prompts=PROMPTS, default_prompt_name="all"
    ),
    "prompts that are not pooled": lambda folder: saved(
        folder, Pooling(WIDTH, "mean", include_prompt=False), prompts=PROMPTS, default_prompt_name="all"
    ),
    "truncate_dim": lambda folder: saved(folder, Pooling(WIDTH, "mean"), Normalize(), truncate_dim=16),
    "truncate_dim, max": lambda folder: saved(folder, Pooling(WIDTH, "max"), truncate_dim=16),
    "do_lower_case": cased_down,
    "no limit of its own": lambda folder: saved(folder, Pooling(WIDTH, "mean"), limit=None),
    "processing_kwargs, max_length": with_settings(processing_kwargs={"text": {"max_length": 12}}),
    "processing_kwargs, no special tokens": with_settings(
        processing_kwargs={"text": {"add_special_tokens": False}}
    ),
    "a limit for queries alone": with_settings(query_length=9),
    "a tokenizer's limit": with_settings(max_seq_length=None, tokenizer_args={"model_max_length": 11}),
    "a chat template": chat_template,
    "the early layout": early,
    "a router": routed,
    "a router with prompts": lambda folder: routed(folder, prompts=PROMPTS, default_prompt_name="all"),
    "last token": lambda folder: saved(folder, Pooling(WIDTH, "lasttoken")),
    "cls and max, joined": lambda folder: saved(folder, Pooling(WIDTH, ("cls", "max"))),
    "words and an LSTM": words,
    "static embeddings": static(),
    "static embeddings, normalize": static(Normalize()),
    "adapters": lora,
    "DistilBERT": of("DistilBert"),
    "ModernBERT": of("ModernBert"),
    "T5": of("T5", model_class="ForConditionalGeneration"),
    "T5, its encoder alone": of("T5", model_class="EncoderModel"),
    "mT5, its encoder alone": of("MT5", model_class="EncoderModel"),
    "UMT5, its encoder alone": of("UMT5", model_class="EncoderModel"),
    "CANINE": of("Canine"),
}
ITSELF = {
    "max", "dense, mean", "truncate_dim, max", "processing_kwargs, max_length",
    "processing_kwargs, no special tokens", "a limit for queries alone", "a chat template", "a router",
    "static embeddings", "static embeddings, normalize", "CANINE", "a router with prompts", "last token",
    "cls and max, joined", "words and an LSTM", "prompts that are not pooled",
}  # fmt: skip
"""Layouts that sentence-transformers itself runs."""


SIDES: dict[str, tuple[Role | None, str]] = {
    "symmetric": (None, "encode"),
    "queries": ("query", "encode_query"),
    "documents": ("document", "encode_document"),
}


def lowest_cosines(folder: Path) -> dict[str, float]:
    """Returns the lowest cosine of a text's vector to sentence-transformers' own, for each side of `SIDES`.

    A text of which sentence-transformers gives no direction must have none here.
    """
    model = load_model(f"st:{folder}", device="cpu")
    theirs = SentenceTransformer(str(folder), device="cpu")
    lowest = {}
    for side, (role, method) in SIDES.items():
        expected = np.asarray(getattr(theirs, method)(TEXTS), dtype=np.float64)
        vectors = model.for_task("", None, ("query", "document")).for_role(role).encode(TEXTS).astype(np.float64)
        assert vectors.shape == expected.shape
        known, has_direction = (
            (norms > 0) & np.isfinite(norms) for norms in (np.linalg.norm(x, axis=1) for x in (vectors, expected))
        )
        assert known.tolist() == has_direction.tolist()
        lowest[side] = float(cosines(vectors[has_direction], expected[has_direction]).min())
    return lowest


def cosines(first: NDArray[Any], second: NDArray[Any]) -> NDArray[Any]:
    norms = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    return np.asarray((first * second).sum(axis=1) / norms)


def row_of(name: str, folder: Path) -> str:
    """Returns a layout's row of the table."""
    numbers = " | ".join(f"{value:.6f}" for value in lowest_cosines(folder).values())
    return f"| {name} | {'sentence-transformers' if name in ITSELF else 'XRETE'} | {numbers} |"


@pytest.fixture(autouse=True)
def _fewer_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    """CANINE's tokenizer lists all of its characters, several times: here those up to emoji, a ninth of them."""
    monkeypatch.setattr("transformers.models.canine.tokenization_canine.UNICODE_VOCAB_SIZE", 0x20000)


@pytest.mark.filterwarnings("ignore:.*engine does not know.*:UserWarning")
@pytest.mark.parametrize("name", LAYOUTS)
def test_the_vectors_are_those_of_sentence_transformers(name: str, tmp_path: Path) -> None:
    folder = LAYOUTS[name](tmp_path)
    lowest = lowest_cosines(folder)
    assert min(lowest.values()) > 0.99999, lowest
    encoder = load_model(f"st:{folder}", device="cpu").encoder
    assert (type(encoder).__name__ == "PlainSentenceTransformer") is (name in ITSELF)
    if PAGE.is_file():  # these tests may have been copied out of their checkout
        (row,) = (line for line in PAGE.read_text("utf-8").splitlines() if line.startswith(f"| {name} |"))
        written = [float(cell) for cell in row.split("|")[3:6]]
        np.testing.assert_allclose(written, list(lowest.values()), atol=2e-6)
        assert ("sentence-transformers" in row) is (name in ITSELF)


@pytest.mark.parametrize(
    ("name", "pooling"),
    [
        ("mean, dense, layernorm", "mean, dense, layernorm"),
        ("dense, mean", "dense, mean"),
        ("truncate_dim", "mean, normalize, first 16 dimensions"),
        ("static embeddings", "mean of static embeddings"),
    ],
)
def test_the_record_names_the_steps_in_their_order(name: str, pooling: str, tmp_path: Path) -> None:
    assert registry.request_model(f"st:{LAYOUTS[name](tmp_path)}").identity.pooling == pooling


@pytest.mark.parametrize(
    ("name", "limit"),
    [
        ("processing_kwargs, max_length", 12),
        ("a tokenizer's limit", 11),
        ("the early layout", 9),
        ("no limit of its own", 62),
    ],
)
def test_the_record_says_how_much_is_read(name: str, limit: int, tmp_path: Path) -> None:
    assert registry.request_model(f"st:{LAYOUTS[name](tmp_path)}").identity.max_length == limit


def test_settings_that_the_engine_does_not_know_are_said_once(tmp_path: Path) -> None:
    folder = LAYOUTS["a chat template"](tmp_path)
    with pytest.warns(UserWarning, match=r"itself encodes, .* does not know modality_config$") as raised:
        load_model(f"st:{folder}", device="cpu").encode(TEXTS)
    assert len([warning for warning in raised if "engine" in str(warning.message)]) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        load_model(f"st:{LAYOUTS['mean, normalize'](tmp_path / 'known')}", device="cpu")


def test_no_more_is_read_than_there_are_positions_for(tmp_path: Path) -> None:
    """sentence-transformers fails at the first long text."""
    folder = with_settings(max_seq_length=600)(tmp_path)
    with pytest.warns(UserWarning, match="reads 64 tokens of a text, not 600 as its settings say"):
        model = load_model(f"st:{folder}", device="cpu")
    assert model.identity.max_length == 64
    vectors = model.encode(TEXTS)
    short = SentenceTransformer(str(folder), device="cpu").encode(TEXTS[:4])
    np.testing.assert_allclose(vectors[:4], short, atol=1e-5)
    encoder: Any = model.encoder
    assert encoder.truncated(TEXTS).tolist() == [False] * 16 + [True]


def test_a_passage_is_a_document(tmp_path: Path) -> None:
    """As sentence-transformers documents it; version 6.2 puts nothing before documents of such a folder."""
    folder = saved(tmp_path, Pooling(WIDTH, "mean"))
    edit(folder / "config_sentence_transformers.json", prompts={"query": "q: ", "passage": "p: ", "corpus": "c: "})
    assert registry.request_model(f"st:{folder}").identity.prompts == {"query": "q: ", "document": "p: "}


@pytest.mark.filterwarnings("ignore:.*engine does not know.*:UserWarning")
@pytest.mark.parametrize(
    "name",
    [
        "mean, normalize", "a default prompt with blanks", "prompts of queries and documents",
        "the same, and a default", "a limit for queries alone", "a router with prompts", "truncate_dim",
    ],
)  # fmt: skip
def test_an_object_reads_roles_as_its_folder_does(name: str, tmp_path: Path) -> None:
    folder = LAYOUTS[name](tmp_path)
    theirs = SentenceTransformer(str(folder), device="cpu")
    tasks: dict[str, tuple[Role, ...]] = {"tatoeba": (), "lareqa": ("query", "document")}
    for task, roles in tasks.items():
        model = wrap(theirs).for_task(task, None, roles)
        own = load_model(f"st:{folder}", device="cpu").for_task(task, None, roles)
        assert model.identity.prefix == own.identity.prefix
        assert dict(own.identity.prompts).items() <= dict(model.identity.prompts).items()
        for role, method in SIDES.values():
            if role is None or role in roles:
                vectors = model.for_role(role).encode(TEXTS)
                np.testing.assert_array_equal(vectors, getattr(theirs, method)(TEXTS))


def test_an_object_scores_as_its_folder_does(tmp_path: Path) -> None:
    folder = LAYOUTS["prompts of queries and documents"](tmp_path)
    task = load_task("lareqa", "mini")
    theirs = SentenceTransformer(str(folder), device="cpu")
    record, own = evaluate(theirs, task), evaluate(load_model(f"st:{folder}", device="cpu"), task)
    assert record.score == pytest.approx(own.score)
    assert record.model.prompts == own.model.prompts
    assert (record.model.prefix, record.model.params) == (own.model.prefix, own.model.params)


def test_prompts_of_queries_and_documents_are_exported(tmp_path: Path) -> None:
    transformer(tmp_path / "model")
    model = load_model(f"hf:{tmp_path / 'model'}?prefix=a: &document=d, ", device="cpu")
    export(model.encoder, tmp_path / "out")
    theirs = SentenceTransformer(str(tmp_path / "out"), device="cpu")
    seen = model.for_task("lareqa", "Retrieval", ("query", "document"))
    methods: dict[Role | None, Any] = {
        None: theirs.encode, "query": theirs.encode_query, "document": theirs.encode_document
    }  # fmt: skip
    for role, encode in methods.items():
        np.testing.assert_allclose(seen.for_role(role).encode(TEXTS), encode(TEXTS), atol=1e-5)
    assert registry.request_model(f"st:{tmp_path / 'out'}").identity.prompts == {"document": "d, "}


# Damaged and foreign folders


def broken_list(folder: Path, modules: Any) -> Path:
    place = saved(folder, Pooling(WIDTH, "mean"))
    (place / "modules.json").write_text(json.dumps(modules))
    return place


MODULE = {"idx": 0, "name": "0", "type": "sentence_transformers.models.Transformer"}


def lacking(name: str, file: str) -> Build:
    """A layout of whose weights one is not there."""

    def build(folder: Path) -> Path:
        place = LAYOUTS[name](folder)
        change_weights(place / file, leave_out="layer.1.output.dense.weight")
        return place

    return build


def prompt_tuned(folder: Path) -> Path:
    base: Any = transformers.AutoModel.from_pretrained(transformer(folder / "base"))
    config = peft.PromptTuningConfig(task_type="FEATURE_EXTRACTION", num_virtual_tokens=3)
    peft.get_peft_model(base, config).save_pretrained(str(folder / "prompts"))
    return folder / "prompts"


def without_base(folder: Path) -> Path:
    place = lora(folder)
    edit(place / "adapter_config.json", base_model_name_or_path="/nowhere/base")
    return place


def with_code(folder: Path) -> Path:
    place = saved(folder, Pooling(WIDTH, "mean"))
    edit(place / "config.json", auto_map={"AutoModel": "modeling.Model"})
    return place


MISSING = "1 weights of XLMRobertaModel are missing, the first is encoder.layer.1.output.dense.weight"
REFUSED: dict[str, tuple[Build, type[XreteError], str]] = {
    "a module without a path": (
        lambda folder: broken_list(folder, [MODULE]), DataError, "modules.json is no list of modules with type"
    ),
    "modules that are no list": (
        lambda folder: broken_list(folder, {"0": MODULE}), DataError, "modules.json is no list of modules with"
    ),
    "an LSTM that reads a transformer": (
        lambda folder: saved(folder, LSTM(WIDTH, 16), Pooling(WIDTH, "mean")), XreteError,
        "sentence-transformers cannot encode with it: KeyError: 'sentence_lengths'",
    ),
    "weights that are missing": (lacking("cls", "model.safetensors"), XreteError, MISSING),
    "weights of a router's part that are missing": (
        lacking("a router", "query_0_Transformer/model.safetensors"), XreteError, MISSING
    ),
    "an adapter of prompts": (
        prompt_tuned, XreteError, "a PROMPT_TUNING adapter cannot be added to weights; train with LoRA"
    ),
    "an adapter whose model is not here": (
        without_base, UsageError, "is an adapter of /nowhere/base, and no such folder is here; put the model there"
    ),
    "code of the model's own": (with_code, UsageError, "names code of the model's own (modeling.Model)"),
}  # fmt: skip


def refusal(name: str, folder: Path) -> XreteError:
    """Returns the error of a layout that is refused."""
    place = REFUSED[name][0](folder)
    library = "st" if (place / "modules.json").is_file() else "hf"
    try:
        load_model(f"{library}:{place}", device="cpu").encode(TEXTS)
    except XreteError as error:
        return type(error)(str(error).replace(str(place), "FOLDER"))
    raise AssertionError(f"{name} was not refused")


@pytest.mark.parametrize("name", REFUSED)
def test_a_folder_that_cannot_be_run_is_one_sentence(name: str, tmp_path: Path) -> None:
    error = refusal(name, tmp_path)
    _, kind, words = REFUSED[name]
    assert type(error) is kind
    assert words in str(error)
    assert "\n" not in str(error)
    if PAGE.is_file():
        assert f"| {name} | {error} |\n" in PAGE.read_text("utf-8")


@pytest.mark.parametrize("name", ["cls", "max", "a router", "the early layout"])
def test_missing_weights_are_never_drawn_at_random(name: str, tmp_path: Path) -> None:
    folder = LAYOUTS[name](tmp_path)
    file = sorted(folder.rglob("model.safetensors"))[-1]
    change_weights(file, leave_out="layer.1.output.dense.weight")
    with pytest.raises(
        XreteError, match=r"1 weights of XLMRobertaModel are missing, the first is encoder.layer.1.out"
    ):
        load_model(f"st:{folder}", device="cpu")
    change_weights(LAYOUTS[name](tmp_path / "pooler") / file.relative_to(folder), leave_out="pooler")
    load_model(f"st:{tmp_path / 'pooler' / folder.relative_to(tmp_path)}", device="cpu")  # nothing reads it


def test_a_config_that_is_no_object_is_named(tmp_path: Path) -> None:
    folder = transformer(tmp_path / "model")
    (folder / "config.json").write_text("[]")
    with pytest.raises(DataError, match=r"config\.json: not a JSON object; fetch the model again"):
        load_model(f"hf:{folder}", device="cpu")


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("a router", "query_0_Transformer/model.safetensors"),
        ("a router", "document_0_Transformer/model.safetensors"),
        ("the early layout", "0_Transformer/model.safetensors"),
        ("static embeddings", "0_StaticEmbedding/model.safetensors"),
        ("adapters", "adapter_model.safetensors"),
        ("adapters", "../base/model.safetensors"),
    ],
)
def test_the_revision_knows_every_file_that_decides_vectors(name: str, file: str, tmp_path: Path) -> None:
    folder = LAYOUTS[name](tmp_path)
    place = folder / file
    before = registry.request_model(f"st:{folder}").identity
    assert before == registry.request_model(f"st:{folder}").identity
    change_weights(place if place.is_file() else folder / "model.safetensors")
    assert registry.request_model(f"st:{folder}").identity.digest != before.digest


def test_a_chat_template_decides_vectors(tmp_path: Path) -> None:
    folder = LAYOUTS["a chat template"](tmp_path)
    before = folder_digest(folder)
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    assert folder_digest(folder) != before


# Adapters


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    """LoRA adapters as peft saves them, on top of a folder; their vectors are beside them."""
    base: Any = transformers.AutoModel.from_pretrained(transformer(tmp_path / "base"))
    torch.manual_seed(2)
    adapted: Any = peft.get_peft_model(
        base, peft.LoraConfig(r=4, target_modules=["query", "value"], init_lora_weights=False)
    )
    adapted.save_pretrained(tmp_path / "adapter")
    inputs = tokenizer()(TEXTS, padding=True, truncation=True, return_tensors="pt")
    with torch.no_grad():
        states = adapted.eval()(inputs["input_ids"], inputs["attention_mask"]).last_hidden_state
    np.save(tmp_path / "first.npy", states[:, 0].numpy())
    return tmp_path / "adapter"


def test_adapters_are_added_to_their_model(adapter: Path) -> None:
    model = load_model(f"hf:{adapter}?pooling=cls", device="cpu")
    np.testing.assert_allclose(model.encode(TEXTS), np.load(adapter.parent / "first.npy"), atol=1e-5)
    assert model.identity.max_length == 62
    export(model.encoder, adapter.parent / "out")
    theirs = SentenceTransformer(str(adapter.parent / "out"), device="cpu").encode(TEXTS)
    np.testing.assert_allclose(theirs, model.encode(TEXTS), atol=1e-5)


def test_adapters_that_are_not_the_models_are_refused(adapter: Path) -> None:
    weights = load_file(adapter / "adapter_model.safetensors")
    save_file(dict(list(weights.items())[1:]), adapter / "adapter_model.safetensors")
    with pytest.raises(XreteError, match=r"the adapter does not fit XLMRobertaModel, .* is on one side only"):
        load_model(f"hf:{adapter}", device="cpu")


@pytest.mark.parametrize(
    ("base", "words"),
    [
        ("/nowhere/base", "is an adapter of /nowhere/base, and no such folder"),
        ("acme/none", "adapter of acme/none: c"),
    ],
)
def test_an_adapter_without_its_model_says_so(
    adapter: Path, base: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    edit(adapter / "adapter_config.json", base_model_name_or_path=base)
    with pytest.raises(XreteError, match=words):
        load_model(f"hf:{adapter}", device="cpu")


def test_an_export_that_fails_leaves_nothing(
    adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model: Any = load_model(f"hf:{adapter}", device="cpu").encoder
    monkeypatch.setattr(model.tokenizer, "__deepcopy__", lambda memo: 1 / 0, raising=False)
    with pytest.raises(ZeroDivisionError):
        export(model, tmp_path / "out")
    assert not list(tmp_path.glob("*out*"))
    assert not list(tmp_path.glob(".*out*"))


# Plain transformers


@pytest.mark.parametrize(
    ("kind", "model_class"),
    [
        ("T5", "EncoderModel"),
        ("T5", "Model"),
        ("MT5", "EncoderModel"),
        ("UMT5", "EncoderModel"),
        ("Canine", "Model"),
    ],
)
def test_hf_loads_what_is_there(kind: str, model_class: str, tmp_path: Path) -> None:
    folder = other(kind, tmp_path / "model", model_class)
    model = load_model(f"hf:{folder}", device="cpu")
    vectors = model.encode(TEXTS)
    export(model.encoder, tmp_path / "out")
    for place in (saved(tmp_path, Pooling(WIDTH, "mean"), limit=None, start=folder), tmp_path / "out"):
        theirs = SentenceTransformer(str(place), device="cpu").encode([*TEXTS, f"{TEXTS[-1]} and longer"])
        assert cosines(vectors, theirs[:-1]).min() > 0.99999
    alone = np.concatenate([model.encode([text]) for text in TEXTS])
    np.testing.assert_allclose(alone, vectors, atol=1e-5)


def test_byt5_runs_without_its_decoder(tmp_path: Path) -> None:
    other("T5", tmp_path, "EncoderModel", vocab_size=384)
    for file in tmp_path.glob("tokenizer*"):
        file.unlink()
    bytes_: Any = transformers.ByT5Tokenizer()
    bytes_.save_pretrained(tmp_path)
    model = load_model(f"hf:{tmp_path}", device="cpu")
    whole: Any = transformers.T5EncoderModel.from_pretrained(tmp_path)
    with torch.no_grad():
        states = whole(**bytes_(TEXTS[2], return_tensors="pt")).last_hidden_state
    np.testing.assert_allclose(model.encode([TEXTS[2]]), states.mean(dim=1).numpy(), atol=1e-5)


# Shorter vectors, and names


@pytest.mark.parametrize("name", ["mean, normalize", "max", "static embeddings", "truncate_dim"])
def test_the_first_numbers_of_any_model(name: str, tmp_path: Path) -> None:
    folder = LAYOUTS[name](tmp_path)
    whole, short = (load_model(f"st:{folder}{query}", device="cpu") for query in ("", "?dim=8"))
    np.testing.assert_array_equal(short.encode(TEXTS), whole.encode(TEXTS)[:, :8])
    assert short.identity.pooling == f"{whole.identity.pooling}, first 8 dimensions"
    assert (short.identity.name, short.card.dimension) == (f"st:{folder}?dim=8", 8)
    assert short.identity.digest != whole.identity.digest


def test_shorter_vectors_are_exported_and_reach_mteb(tmp_path: Path) -> None:
    folder = LAYOUTS["truncate_dim"](tmp_path)
    short = load_model(f"hf:{tmp_path / 'plain'}?dim=8&prefix=a: ", device="cpu")
    for number, model in enumerate([load_model(f"st:{folder}", device="cpu"), short]):
        export(model.encoder, tmp_path / f"out{number}")
        theirs = SentenceTransformer(str(tmp_path / f"out{number}"), device="cpu").encode(TEXTS)
        np.testing.assert_allclose(theirs, model.encode(TEXTS), atol=1e-5)
    interop = pytest.importorskip("xrete.interop.mteb")
    encoder = interop.as_encoder(short)
    assert encoder.encode([{"text": TEXTS}]).shape == (len(TEXTS), 8)
    assert encoder.mteb_model_meta.embed_dim == 8


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("?dim=0", "dim must be a whole number of at least 1, as in dim=256"),
        ("?dim=many", "dim must be a whole number"),
        ("?dim=33", "the model's vectors have 32 numbers; use a smaller dim"),
        ("?pool=mean", "unknown parameter of a model 'pool'; did you mean pooling? (5 known: dim, pooling, prefix"),
        ("?pooling=mean", "this model's pooling is cls; leave out pooling"),
    ],
)
def test_wrong_parameters_are_one_sentence(query: str, words: str, tmp_path: Path) -> None:
    folder = LAYOUTS["cls"](tmp_path)
    with pytest.raises(UsageError) as error:
        load_model(f"st:{folder}{query}", device="cpu")
    assert words in str(error.value)


def test_an_encoder_that_cannot_do_what_is_asked_says_so() -> None:
    class Whole:
        def encode(self, texts: list[str], /) -> NDArray[np.float32]:
            return np.ones((len(texts), 4), dtype=np.float32)

    model = wrap(Whole())
    plugin: Any = SimpleNamespace(card=model.card, load=lambda options: model.encoder)
    for parameters, words in (
        ({"dim": "2"}, r"Whole: its encoder has no method shortened\(dimension\)"),
        ({"prefix": "a"}, r"Whole has prompts, .* give it methods prompted\(prefix, prompts\) and for_role"),
    ):
        with pytest.raises(XreteError, match=words):
            registry.ModelRequest(plugin, model.identity, None, parameters).load()


@pytest.mark.parametrize(
    ("typed", "prefix"),
    [
        ("query: ", "query: "),
        (" a,  b, ", " a,  b, "),
        ("a%2C b%3F c%26 d%25 ", "a, b? c& d% "),
        ("what? ", "what? "),
        ("100% of: ", "100% of: "),
    ],
)
def test_a_prefix_arrives_as_it_is_typed(typed: str, prefix: str, tmp_path: Path) -> None:
    folder = transformer(tmp_path / "model")
    (name,) = registry.split_models([f"hf:{folder}?prefix={typed}"])
    model = load_model(name, device="cpu")
    assert model.identity.prefix == prefix
    whole = load_model(f"hf:{folder}", device="cpu")
    np.testing.assert_allclose(
        model.encode(TEXTS[:3]), whole.encode([prefix + text for text in TEXTS[:3]]), atol=1e-6
    )


@pytest.mark.parametrize("name", ["a,b", "a?b", "a&b", "a%2Cb"])
def test_a_folder_may_have_any_name(name: str, tmp_path: Path) -> None:
    transformer(tmp_path / name)
    quoted = name.replace("%", "%25").replace(",", "%2C").replace("?", "%3F").replace("&", "%26")
    (typed,) = registry.split_models([f"hf:{tmp_path}/{quoted}?pooling=cls"])
    assert load_model(typed, device="cpu").encode(["x"]).shape == (1, WIDTH)


def test_commas_part_models() -> None:
    asked = ["labse, sbert ,labse", "hf:A?prefix=a, b: &pooling=cls,me5-small", "st:o/n?dim=3,emmax:x,"]
    assert registry.split_models(asked) == [
        "labse", "sbert", "hf:A?prefix=a, b: &pooling=cls", "me5-small", "st:o/n?dim=3", "emmax:x",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["intfloat/multilingual-e5-small", "."])
def test_a_bare_model_gets_a_hint(name: str) -> None:
    with pytest.raises(UsageError, match=rf"unknown model '{name}'.* is called st:{name}, or hf:{name} if it is a"):
        registry.request_model(name)


def test_a_bare_task_of_mteb_gets_a_hint() -> None:
    with pytest.raises(UsageError, match=r"unknown task 'STS17' .*; one of MTEB is called mteb:STS17\)$"):
        registry.task("STS17")
    with pytest.raises(UsageError, match=r"unknown task 'Tatoeba'; did you mean tatoeba\? .* mteb:Tatoeba\)$"):
        registry.task("Tatoeba")


def write_table() -> None:
    """Measures all layouts, and writes their table into the page."""
    rows = ["| layout | run by | symmetric | queries | documents |", "| --- | --- | --: | --: | --: |"]
    with TemporaryDirectory() as folder, warnings.catch_warnings(action="ignore"):
        places = {name: build(Path(folder) / str(number)) for number, (name, build) in enumerate(LAYOUTS.items())}
        rows += [row_of(name, place) for name, place in places.items()]
        refused = ["| layout | what is said |", "| --- | --- |"]
        refused += [f"| {name} | {refusal(name, Path(folder) / name)} |" for name in REFUSED]
    before, begin, rest = PAGE.read_text("utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    PAGE.write_text("\n".join([f"{before}{begin}", *rows, "", *refused, f"{END}{after}"]), "utf-8")


if __name__ == "__main__":
    write_table()
