"""What is put before queries, documents and other texts: chosen by model, task and user, and said in records."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

import xrete
from xrete import registry
from xrete.check.records import identity_of, open_case
from xrete.check.sample import Models, Sample
from xrete.cli.app import app
from xrete.encoding.embedder import PROBE
from xrete.evaluation.plan import RunOptions
from xrete.evaluation.run import run
from xrete.model import LoadedModel, ModelCard, ModelIdentity, Role
from xrete.record import read_record
from xrete.shapes import SHAPES, load_shape
from xrete.shapes.contract import roles_of

E5 = {"document": "passage: "}


class Prompted:
    """Keeps every text that it was given as it was read."""

    device = "cpu"

    def __init__(self, prefix: str = "query: ", prompts: Mapping[Role, str] | None = None) -> None:
        self.prefix = prefix
        self.prompts = dict(prompts or {})
        self.read: list[str] = []

    def encode(self, texts: Sequence[str], /) -> NDArray[np.float32]:
        if tuple(texts) != PROBE:
            self.read += [self.prefix + text for text in texts]
        rows = [np.random.default_rng([len(text), *text.encode()[:8]]).standard_normal(8) for text in texts]
        return np.array(rows, dtype=np.float32)

    def prompted(self, prefix: str, prompts: Mapping[Role, str], /) -> Prompted:
        return self._with(prefix, prompts)

    def for_role(self, role: Role, /) -> Prompted:
        return self._with(self.prompts.get(role, self.prefix), {})

    def _with(self, prefix: str, prompts: Mapping[Role, str]) -> Prompted:
        other = Prompted(prefix, prompts)
        other.read = self.read
        return other


def identity(**prompts: str) -> ModelIdentity:
    return ModelIdentity(name="m", revision="1", pooling="mean", prefix="query: ", prompts=prompts)


@pytest.fixture
def model() -> Callable[..., LoadedModel]:
    def make(**prompts: str) -> LoadedModel:
        card = ModelCard(
            name="m", title="m", licence="MIT", languages="1", parameters=None, dimension=8, max_length=None,
            trained_on=None, citation="",
        )  # fmt: skip
        return LoadedModel(card, identity(**prompts), Prompted())

    return make


def test_only_ranking_tells_queries_from_documents() -> None:
    told = {name: roles for name in SHAPES if (roles := roles_of(load_shape(name)))}
    assert told == {"ranking": ("query", "document")}


def test_questions_and_candidates_are_read_with_prompts_of_their_own(
    model: Callable[..., LoadedModel], tmp_path: Path
) -> None:
    loaded, dataset = model(**E5), xrete.load_task("lareqa", data="mini", languages=["de"])
    record = run(loaded.identity, lambda: loaded, dataset, RunOptions(results=tmp_path, use_cache=False))
    encoder: Any = loaded.encoder
    data = dataset["de"]
    assert set(encoder.read) == {f"query: {x}" for x in data.queries} | {f"passage: {x}" for x in data.pool.texts}
    assert (record.model.prefix, record.model.prompts) == ("query: ", E5)


def test_both_sides_of_a_symmetric_task_are_read_alike(model: Callable[..., LoadedModel]) -> None:
    loaded, dataset = model(**E5), xrete.load_task("tatoeba", data="mini", languages=["de"])
    record = run(loaded.identity, lambda: loaded, dataset, RunOptions(use_cache=False))
    encoder: Any = loaded.encoder
    assert all(text.startswith("query: ") for text in encoder.read)
    assert (record.model.prefix, record.model.prompts) == ("query: ", {})


def test_prompts_that_a_task_does_not_use_change_no_key(model: Callable[..., LoadedModel]) -> None:
    """So that a model which learns to tell documents keeps its records and vectors of symmetric tasks."""
    plain, told = identity(), identity(**E5)
    assert plain.digest == "c19e490153b68081" == told.for_task("tatoeba", "BitextMining", ()).digest
    seen = told.for_task("lareqa", "Retrieval", ("query", "document"))
    assert seen.digest != plain.digest
    assert seen.for_role("query") == seen.for_role(None) == plain  # and so is the cache of its queries
    assert seen.for_role("document").digest != plain.digest


@pytest.mark.parametrize(
    ("task", "kind", "roles", "prefix", "prompts"),
    [
        ("tatoeba", "BitextMining", (), "bitext: ", {}),
        ("mteb:STS17", "STS", (), "sts17: ", {}),
        ("multists", "STS", (), "query: ", {}),
        ("xcopa", None, (), "query: ", {}),
        ("lareqa", "Retrieval", ("query", "document"), "query: ", {"query": "ask: ", "document": "passage: "}),
        ("mewslix", "Reranking", ("query", "document"), "query: ", {"query": "link: ", "document": "passage: "}),
        ("mteb:X", "InstructionRetrieval", ("query",), "query: ", {"query": "any: "}),
        ("mteb:Y", None, ("query", "document"), "query: ", {"query": "y: ", "document": "y: "}),
    ],
)
def test_the_task_goes_before_its_type_and_that_before_the_role(
    task: str, kind: str | None, roles: tuple[Role, ...], prefix: str, prompts: dict[str, str]
) -> None:
    """As MTEB chooses: https://github.com/embeddings-benchmark/mteb, `get_prompt_name`."""
    keys = {
        "BitextMining": "bitext: ", "STS17": "sts17: ", "Retrieval-query": "ask: ", "mewslix-query": "link: ",
        "query": "any: ", "document": "passage: ", "Y": "y: ",
    }  # fmt: skip
    seen = identity(**keys).for_task(task, kind, roles)
    assert (seen.prefix, seen.prompts) == (prefix, prompts)


def test_the_choice_is_that_of_mteb() -> None:
    abs_encoder = pytest.importorskip("mteb.models.abs_encoder")
    mteb = pytest.importorskip("mteb")
    keys = {"STS": "a", "STS17": "b", "BitextMining": "c", "Retrieval-query": "d", "query": "e", "document": "f"}
    for name in ("STS17", "STS22", "Tatoeba", "MIRACLRetrieval", "MIRACLReranking", "MassiveIntentClassification"):
        about = mteb.get_task(name).metadata
        for role in ("query", "document", None):
            kind = mteb.types.PromptType(role) if role else None
            theirs = abs_encoder.get_prompt_name(keys, about, kind)
            roles: Any = (role,) if role else ()
            ours = identity(**keys).for_task(name, about.type, roles).for_role(role)
            assert ours.prefix == keys.get(theirs, "query: "), (name, role)


def test_mteb_reads_queries_and_documents_with_the_models_prompts(model: Callable[..., LoadedModel]) -> None:
    mteb = pytest.importorskip("mteb")
    encoder = pytest.importorskip("xrete.interop.mteb").as_encoder(model(**E5, STS="same: "))
    batches = [{"text": ["a", "b"]}]
    for name, kind in (("STS17", None), ("MIRACLRetrieval", "query"), ("MIRACLRetrieval", "document")):
        role = mteb.types.PromptType(kind) if kind else None
        encoder.encode(batches, task_metadata=mteb.get_task(name).metadata, prompt_type=role)
    read = [f"{prompt}{text}" for prompt in ("same: ", "query: ", "passage: ") for text in "ab"]
    assert encoder.model.encoder.read == read


@pytest.mark.parametrize(
    ("typed", "prefix", "prompts"),
    [
        ("prefix=a: ", "a: ", {}),
        ("query=q, ", "own: ", {"query": "q, ", "document": "d: "}),
        ("query=q&document=", "own: ", {"query": "q", "document": ""}),
        ("prefix=&document=x%26y", "", {"document": "x&y"}),
    ],
)
def test_what_a_user_types_takes_the_place_of_the_models_own(
    typed: str, prefix: str, prompts: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Plugin:
        card = ModelCard(
            name="m", title="m", licence="MIT", languages="1", parameters=None, dimension=8, max_length=None,
            trained_on=None, citation="",
        )  # fmt: skip

        def identify(self, options: Any) -> ModelIdentity:
            own = {"document": "d: ", "STS": "s: "}
            return ModelIdentity(name="m", revision="1", pooling="mean", prefix="own: ", prompts=own)

        def load(self, options: Any) -> Prompted:
            return Prompted("own: ")

    monkeypatch.setattr(registry, "model", lambda name: Plugin())
    request = registry.request_model(f"m?{typed}")
    assert (request.identity.prefix, request.identity.prompts) == (prefix, prompts)
    loaded = request.load()
    encoder: Any = loaded.encoder
    assert (encoder.prefix, encoder.prompts, loaded.identity.name) == (prefix, prompts, f"m?{typed}")


def test_a_record_with_prompts_is_verified(
    model: Callable[..., LoadedModel], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The key in its file's name follows from it, and the sample is encoded with the same prompts."""
    loaded, dataset = model(**E5), xrete.load_task("lareqa", data="mini", languages=["de"])
    run(loaded.identity, lambda: loaded, dataset, RunOptions(results=tmp_path, use_cache=False))
    (file,) = tmp_path.rglob("*.json")
    assert json.loads(file.read_text("utf-8"))["model"]["prompts"] == E5
    seen = loaded.identity.for_task("lareqa", "Retrieval", ("query", "document"))
    assert identity_of(read_record(file)) == seen

    class Request:
        identity = loaded.identity

        def load(self) -> LoadedModel:
            return loaded

    monkeypatch.setattr(registry, "request_model", lambda *names, **options: Request())
    case = open_case(file)
    sample = Sample(models=Models(device="cpu"), data="mini", share=1.0, seed=0)
    finding = sample.check(case)  # type: ignore[arg-type]
    assert finding.state == "right", finding.sentence
    assert ": 0 outcomes differ" in finding.sentence


def test_cards_show_prompts_by_role_in_quotes(tmp_path: Path) -> None:
    plugin = tmp_path / "plugin.py"
    plugin.write_text(
        "from xrete.models.st import AnySentenceTransformer\nfrom dataclasses import replace\n"
        "prompts = {'sentence': 'query: ', 'document': 'passage: '}\n"
        "class M(AnySentenceTransformer):\n"
        "    card = replace(AnySentenceTransformer.card, prompts=prompts)\n"
        "MODELS = {'mine': M()}\n"
    )
    result = CliRunner().invoke(app, ["models", "mine", "--plugin", str(plugin)])
    assert 'sentence: "query: " ' in result.output
    assert 'document: "passage: " ' in result.output
