"""Named models: their cards hold, and local copies of their layouts give the vectors of their own library."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xrete import load_model, registry
from xrete.check.plugins import check_plugin
from xrete.errors import UsageError
from xrete.models import MODELS
from xrete.models.sentence_transformer import SentenceTransformerModel

pytest_plugins = ["tests.local_copies"]  # which imports much, so that no other test waits for it

LocalCopy = Callable[[str], Path]

NAMED = [name for name in MODELS if isinstance(registry.model(name), SentenceTransformerModel)]
"""Models in the layout of sentence-transformers."""
PAGE = Path(__file__).parents[3] / "docs" / "encoders.md"


@pytest.mark.parametrize("name", NAMED)
def test_a_local_copy_gives_the_vectors_of_its_library(
    name: str, local_copy: LocalCopy, lowest_cosines: Callable[[str, Path], dict[str, float]]
) -> None:
    measured = lowest_cosines(name, local_copy(name))
    assert min(measured.values()) >= 0.99999
    if PAGE.is_file():  # these tests may have been copied out of their checkout
        (row,) = (line for line in PAGE.read_text("utf-8").splitlines() if line.startswith(f"| `{name}` |"))
        written = [float(cell) for cell in row.split("|")[2:5]]
        np.testing.assert_allclose(written, list(measured.values()), atol=2e-6)


@pytest.mark.filterwarnings("ignore:.*engine does not know.*:UserWarning")
@pytest.mark.parametrize("name", NAMED)
def test_a_pinned_commit_in_the_local_cache_is_enough(
    name: str, local_copy: LocalCopy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin: Any = registry.model(name)
    place = tmp_path / "hub" / f"models--{plugin.repo.replace('/', '--')}" / "snapshots" / plugin.revision
    place.parent.mkdir(parents=True)
    local_copy(name).rename(place)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    model = load_model(name, device="cpu")
    assert (model.identity.name, model.identity.revision) == (name, plugin.revision)
    assert model.encode(["a text"]).shape == (1, plugin.card.dimension)


def test_a_model_that_wants_its_task_in_words_is_told_what_mteb_tells_it() -> None:
    mteb = pytest.importorskip("mteb")
    from mteb.abstasks.abstask import get_abstask_prompt

    model: Any = registry.model("multilingual-e5-large-instruct")
    template = mteb.get_model_meta(model.repo).loader_kwargs["instruction_template"]
    for task in ("Tatoeba", "STS17", "XNLI", "MultiEURLEXMultilabelClassification", "MassiveIntentClassification"):
        kind = mteb.get_task(task).metadata.type
        assert model.card.prompts[kind] == template.format(instruction=get_abstask_prompt(task)), task


@pytest.mark.filterwarnings("ignore:.*engine does not know.*:UserWarning")
@pytest.mark.parametrize("name", NAMED)
def test_a_local_copy_keeps_the_contract(name: str, local_copy: LocalCopy) -> None:
    findings = check_plugin(f"{name}:{local_copy(name)}")
    assert [f"{finding.rule}: {finding.detail}" for finding in findings if not finding.passed] == []


OTHERWISE = {
    ("labse", "revision"): "a later commit, whose weights are safetensors",
    ("paraphrase-multilingual-minilm-l12-v2", "revision"): "the commit of the results that MTEB publishes",
}
"""Facts in which a card differs from MTEB's registry, and why."""


@pytest.mark.parametrize("name", ["xlm-roberta-base", *NAMED])
def test_a_card_says_what_mteb_s_registry_says(name: str) -> None:
    mteb = pytest.importorskip("mteb")
    model: Any = registry.model(name)
    known = {meta.name: meta for meta in mteb.get_model_metas()}
    if model.repo not in known:
        assert name in ("sbert", "distiluse-base-multilingual-cased-v2")
        return
    meta = known[model.repo]
    assert model.card.dimension == meta.embed_dim
    assert model.card.parameters == pytest.approx(meta.n_parameters, abs=500_000)  # some are rounded
    assert model.card.licence.lower() == meta.license
    if (name, "revision") not in OTHERWISE:
        assert model.revision == meta.revision
    if prompts := meta.loader_kwargs.get("model_prompts"):
        assert {role: model.card.prompts.get(role, model.card.prompts["sentence"]) for role in prompts} == prompts
    if "XQuADRetrieval" in (meta.training_datasets or ()):
        assert "lareqa" in model.card.trained_on
    if "TatoebaBitextMining" in (meta.training_datasets or ()):
        assert "tatoeba" in model.card.trained_on


OWN_CODE = {
    "gte-multilingual-base": ("new", "Alibaba-NLP/new-impl--modeling.NewModel", "st:alibaba-nlp-community/gte-"),
    "jina-embeddings-v3": (
        "xlm-roberta", "jinaai/xlm-roberta-flash-implementation--modeling_lora.XLMRobertaLoRA", "st:jinaai/jina-",
    ),
    "snowflake-arctic-embed-m-v2.0": ("gte", "modeling_hf_alibaba_nlp_gte.GteModel", "if its authors offer one"),
    "nomic-embed-text-v2-moe": (
        "nomic_bert", "nomic-ai/nomic-bert-2048--modeling_hf_nomic_bert.NomicBertModel", "if its authors offer one",
    ),
}  # fmt: skip
"""Models that are written for code of their own: type and code that their configs name, and what to take."""


@pytest.mark.parametrize("name", OWN_CODE)
@pytest.mark.parametrize("kind", ["st", "hf"])
def test_a_model_with_code_of_its_own_is_refused(kind: str, name: str, local_copy: LocalCopy) -> None:
    model_type, code, advice = OWN_CODE[name]
    folder = local_copy("multilingual-e5-base")
    file = folder / "config.json"
    config = json.loads(file.read_text("utf-8")) | {"model_type": model_type, "auto_map": {"AutoModel": code}}
    file.write_text(json.dumps(config), "utf-8")
    with pytest.raises(UsageError, match="does not run") as raised:
        load_model(f"{kind}:{folder}", device="cpu")
    assert code in str(raised.value)
    assert advice in str(raised.value)
