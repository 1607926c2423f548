"""MTEB in both directions: its evaluation of our models, and our evaluation of its tasks, on the same data.

The tasks are MTEB's own, with all that they say of themselves; what they would load from the hub is made here.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import xrete
from xrete import registry
from xrete.check.plugins import check_plugin
from xrete.dataset import open_dataset
from xrete.errors import DataError, UsageError, XreteError
from xrete.model import LoadedModel
from xrete.record import Record
from xrete.sources import Mini
from xrete.tasks.mteb import TYPES, as_task

Run = Callable[..., subprocess.CompletedProcess[str]]
Patch = Callable[[str, Callable[[Sequence[str]], Any]], str]
ModelOf = Callable[..., LoadedModel]

pytestmark = pytest.mark.skipif(find_spec("mteb") is None, reason="mteb comes with the extra 'mteb'")


@pytest.fixture(scope="module", autouse=True)
def _no_progress_bars() -> Iterator[None]:
    import datasets

    datasets.disable_progress_bars()
    yield
    datasets.enable_progress_bars()


@pytest.fixture
def ngrams(new_ngrams: Callable[..., Any], model_of: ModelOf) -> LoadedModel:
    return model_of(new_ngrams())


@pytest.fixture
def patch(monkeypatch: pytest.MonkeyPatch) -> Patch:
    """Gives a task of MTEB other data: a function of the subsets that are asked for."""
    import mteb

    def give(name: str, data: Callable[[Sequence[str]], Any]) -> str:
        def load_data(self: Any, num_proc: int | None = None, **options: Any) -> None:
            self.dataset = data(self.hf_subsets)
            self.data_loaded = True

        monkeypatch.setattr(type(mteb.get_task(name)), "load_data", load_data)
        return name

    return give


def rows(**columns: Sequence[Any]) -> Any:
    from datasets import Dataset as Rows

    return Rows.from_dict(columns)


@cache
def sentences(language: str) -> list[str]:
    """The 72 sentences of the mini sample."""
    return Mini().table("parallel.tsv")[language]


def theirs(model: LoadedModel, name: str, subset: str = "default") -> Mapping[str, Any]:
    """Returns what MTEB's own evaluation finds."""
    import mteb

    from xrete.interop.mteb import as_encoder

    task = mteb.get_task(name, hf_subsets=[subset])
    found = mteb.evaluate(as_encoder(model), task, cache=None, show_progress_bar=False)
    scores: Mapping[str, Any] = found.task_results[0].scores["test"][0]
    return scores


def ours(model: LoadedModel, name: str, **options: Any) -> Record:
    return xrete.evaluate(model, xrete.load_task(f"mteb:{name}", **options), use_cache=False)


def metrics(record: Record, language: str) -> dict[str, float]:
    """Returns every metric, 0 to 1 as MTEB has them."""
    score = record.languages[language]
    return {name: value / 100 for name, value in {record.metric: score.score, **score.variants}.items()}


# --- our models, evaluated by MTEB --------------------------------------------------------------------------


@pytest.mark.slow
def test_our_models_run_every_type_of_text_task(ngrams: LoadedModel) -> None:
    import mteb

    from xrete.interop.mteb import as_encoder

    results = mteb.mock_run(as_encoder(ngrams))
    assert {name: result.exception for name, result in results.items() if hasattr(result, "exception")} == {}
    assert sum(result is not None for _, result in results.items()) > 20


def test_vectors_are_the_models_own(ngrams: LoadedModel) -> None:
    from mteb.models import EncoderProtocol
    from torch.utils.data import DataLoader

    from xrete.interop.mteb import as_encoder

    encoder = as_encoder(ngrams)
    texts = sentences("deu_Latn")
    batches: Any = DataLoader(rows(text=texts), batch_size=7)
    vectors = encoder.encode(batches, task_metadata=None, hf_split="test", hf_subset="default", batch_size=7)
    assert isinstance(encoder, EncoderProtocol)
    assert vectors.dtype == np.float32
    np.testing.assert_array_equal(vectors, ngrams.encode(texts))
    assert (
        np.ptp(np.linalg.norm(vectors, axis=1)) > 1
    )  # not scaled to unit length, which MTEB does where it matters
    np.testing.assert_allclose(np.diag(encoder.similarity(vectors, 2 * vectors)), 1, atol=1e-6)


def test_what_mteb_reads_of_a_model(model_of: ModelOf, new_ngrams: Callable[..., Any]) -> None:
    from xrete.interop.mteb import as_encoder, model_meta

    model = model_of(new_ngrams())
    found = model_meta(
        replace(
            model,
            card=replace(model.card, licence="CC BY-NC 4.0"),
            identity=replace(model.identity, name="st:org/name", max_length=64, dtype="bfloat16"),
            encoder=type("Encoder", (), {"encode": model.encoder.encode, "parameters": 2**20})(),
        )
    )
    assert (found.name, found.revision, found.license) == ("xrete/st:org/name", "1", "cc-by-nc-4.0")
    assert (found.embed_dim, found.max_tokens, found.n_parameters) == (256, 64, 2**20)
    assert found.memory_usage_mb == 2
    assert found.similarity_fn_name.value == "cosine"
    unstated = as_encoder(new_ngrams()).mteb_model_meta
    assert (unstated.embed_dim, unstated.license, unstated.training_datasets) == (None, None, None)


def test_mteb_keeps_results_of_the_same_vectors_only(
    patch: Patch, model_of: ModelOf, new_ngrams: Callable[..., Any], tmp_path: Path
) -> None:
    import mteb

    from xrete.interop.mteb import as_encoder

    name = patch("Tatoeba", tatoeba)
    cache = mteb.ResultCache(tmp_path)
    encoder = new_ngrams()
    model = model_of(encoder)
    other = replace(model, identity=replace(model.identity, dtype="bfloat16"))

    def encodes(candidate: Any) -> bool:
        encoder.encoded.clear()
        task = mteb.get_task(name, hf_subsets=["afr-eng"])
        mteb.evaluate(as_encoder(candidate), task, cache=cache, show_progress_bar=False)
        return bool(encoder.encoded)

    assert [encodes(x) for x in (model, model, other, other, encoder, encoder)] == [True, False] * 2 + [True, True]


# --- MTEB's tasks, evaluated here ---------------------------------------------------------------------------


def tatoeba(subsets: Sequence[str]) -> Any:
    """Two of its languages."""
    return {
        f"{code}-eng": {"test": rows(sentence1=sentences(f"{code}_Latn"), sentence2=sentences("eng_Latn"))}
        for code in ("afr", "dan")
    }


def test_bitext_mining(patch: Patch, new_ngrams: Callable[..., Any], model_of: ModelOf, tmp_path: Path) -> None:
    from xrete.store import find_records, read_items

    name, encoder = patch("Tatoeba", tatoeba), new_ngrams()
    dataset = xrete.load_task(f"mteb:{name}", languages=["afr-eng", "da"])
    assert dataset.languages == ("afr-eng", "dan-eng")
    record = xrete.evaluate(model_of(encoder), dataset, results=tmp_path, use_cache=False)
    (path,) = find_records(tmp_path)
    assert (record.task, record.metric, record.data.source) == ("mteb:Tatoeba", "accuracy", "hub")
    assert record.data.revision == "69e8f12da6e31d59addadda9a9c8a2e601a0e282"
    for language, items in read_items(path, record).items():
        expected = theirs(model_of(encoder), name, language)
        nearest = items["xx2en"]
        hits = nearest == np.arange(len(nearest))
        assert metrics(record, language)["accuracy"] == pytest.approx(expected["accuracy"], abs=1e-12)
        f1 = np.mean(hits * 2 / (1 + np.bincount(nearest, minlength=len(nearest))))  # as the card says
        assert f1 == pytest.approx(expected["f1"], abs=1e-12)
        assert 0.1 < f1 < expected["accuracy"] < 0.9


def test_bitext_mining_in_columns(patch: Patch, ngrams: LoadedModel) -> None:
    loaded: list[Sequence[str]] = []

    def ntrex(subsets: Sequence[str]) -> Any:
        loaded.append(subsets)
        return {"test": rows(**{code: sentences(code) for code in ("afr_Latn", "dan_Latn", "eng_Latn")})}

    name, pairs = patch("NTREXBitextMining", ntrex), ["afr_Latn-dan_Latn", "dan_Latn-eng_Latn"]
    record = ours(ngrams, name, languages=pairs)
    assert list(record.languages) == pairs
    assert len(loaded) == 1  # the pairs are columns of one table
    for pair in pairs:
        assert metrics(record, pair)["accuracy"] == pytest.approx(theirs(ngrams, name, pair)["accuracy"], abs=1e-12)
    same = xrete.evaluate(ngrams, xrete.load_task("flores", "mini", languages=["dan_Latn"]), use_cache=False)
    assert record.languages[pairs[1]].score == same.languages["dan_Latn"].score


def test_similarity(patch: Patch, ngrams: LoadedModel) -> None:
    loaded: list[Sequence[str]] = []

    def sts(subsets: Sequence[str]) -> Any:
        loaded.append(subsets)
        found = {subset: Mini().rows("multists.jsonl", subset, "test") for subset in subsets}
        columns = ("sentence1", "sentence2", "score")
        return {x: {"test": rows(**{y: [z[y] for z in lines] for y in columns})} for x, lines in found.items()}

    name = patch("STS17", sts)
    record = ours(ngrams, name, languages=["en-en", "en-de"])
    assert record.metric == "spearman"
    assert len(loaded) == 1  # MTEB reads all of these subsets from one table
    for language in ("en-en", "en-de"):
        found, expected = metrics(record, language), theirs(ngrams, name, language)
        assert found["spearman"] == pytest.approx(expected["cosine_spearman"], abs=1e-6)
        assert found["pearson"] == pytest.approx(expected["cosine_pearson"], abs=1e-6)
        assert found["spearman"] != pytest.approx(found["pearson"], abs=1e-3)


def search(subsets: Sequence[str], **changes: Any) -> Any:
    """Danish queries, English documents: one or two are right, others judged wrong; four queries are not judged."""
    number = range(len(sentences("eng_Latn")))
    data = {
        "queries": rows(id=[f"q{row}" for row in number], text=sentences("dan_Latn")),
        "corpus": rows(
            id=[f"d{row}" for row in number],
            title=[f"Title {row}" if row % 3 == 0 else "" for row in number],
            text=[f" {text} " for text in sentences("eng_Latn")],
        ),
        "relevant_docs": {
            f"q{row}": {f"d{row}": 1} | {f"d{(row + 5 * step) % 72}": 1 - step % 2 for step in range(1, row % 4)}
            for row in number[4:]
        },
        "top_ranked": None,
    }
    return {"default": {"test": {**data, **changes}}}


def test_retrieval(patch: Patch, new_ngrams: Callable[..., Any], model_of: ModelOf) -> None:
    name, here, there = patch("NFCorpus", search), new_ngrams(), new_ngrams()
    record = ours(model_of(here), name)
    expected = theirs(model_of(there), name)
    assert set(here.encoded) == set(there.encoded)  # titles are joined, and queries left out, as in MTEB
    assert record.languages["eng_Latn"].n == 68
    found = metrics(record, "eng_Latn")
    for metric, key in (("ndcg@10", "ndcg_at_10"), ("recall@1", "recall_at_1"), ("recall@10", "recall_at_10")):
        assert found[metric] == pytest.approx(expected[key], abs=5.1e-6)  # MTEB rounds these to five digits
    assert found["map@20"] == pytest.approx(
        expected["map_at_20"], abs=5.1e-6
    )  # no query has more than 20 right ones
    assert found["mrr"] == pytest.approx(expected["mrr_at_100"], abs=1e-6)
    assert 0.1 < found["ndcg@10"] < 0.9


@pytest.mark.parametrize(
    ("task", "changes", "said"),
    [
        ("NFCorpus", {"top_ranked": {"q4": ["d4"]}}, "mteb:NFCorpus gives each query candidates of its own"),
        ("NFCorpus", {"queries": lambda: rows(id=["q4"], text=[["a", "b"]])}, "mteb:NFCorpus has conversations"),
        (
            "ArguAna",
            {"queries": lambda: rows(id=["d4"], text=["a"]), "relevant_docs": {"d4": {"d5": 1}}},
            "documents",
        ),
        ("NFCorpus", {"relevant_docs": {"q4": {"d4": 0}}}, "query 'q4' has no right candidate"),
    ],
)
def test_searches_of_another_kind(patch: Patch, task: str, changes: dict[str, Any], said: str) -> None:
    def data(subsets: Sequence[str]) -> Any:
        return search(subsets, **{key: value() if callable(value) else value for key, value in changes.items()})

    dataset = xrete.load_task(f"mteb:{patch(task, data)}")
    with pytest.raises(DataError, match=said):
        dataset["eng_Latn"]


def test_instructions_follow_queries_as_in_mteb(
    patch: Patch, new_ngrams: Callable[..., Any], model_of: ModelOf
) -> None:
    def data(subsets: Sequence[str]) -> Any:
        queries = rows(id=["q4", "q5"], text=["one", "two"], instruction=["go", "stay"])
        relevant = {"q4": {"d4": 1}, "q5": {"d5": 1}}
        return search(subsets, queries=queries, relevant_docs=relevant)

    name, here, there = patch("NFCorpus", data), new_ngrams(), new_ngrams()
    ours(model_of(here), name)
    theirs(model_of(there), name)
    assert set(here.encoded) == set(there.encoded) > {"one go", "two stay"}


def intents(subsets: Sequence[str]) -> Any:
    """Sentences about weather and food; the languages number the names of the classes differently."""
    from datasets import ClassLabel

    words = {"en": ("rain sun wind", "bread soup rice"), "de": ("Regen Sonne Wind", "Brot Suppe Reis")}
    names = {"en": ["weather", "food"], "de": ["food", "weather"]}
    found: dict[str, Any] = {}
    for subset in subsets:
        if subset not in words:
            continue
        texts = [
            (f"{start} {word} {number}", names[subset].index(label))
            for number in range(4)
            for start in ("about", "more", "no")
            for label, group in zip(("weather", "food"), words[subset], strict=True)
            for word in group.split()
        ]
        column = ClassLabel(names=names[subset])
        found[subset] = {
            split: rows(text=[x for x, _ in part], label=[y for _, y in part]).cast_column("label", column)
            for split, part in (("train", texts[:54]), ("test", texts[54:]), ("validation", texts[54:60]))
        }
    return found


def test_classification(patch: Patch, ngrams: LoadedModel) -> None:
    import mteb

    name = patch("MassiveIntentClassification", intents)
    dataset = open_dataset(as_task(mteb.get_task(name, hf_subsets=["en", "de"])))
    card = dataset.card
    assert (card.splits, card.training, card.protocols) == (("test", "validation"), ("train",), ("probe",))
    assert dataset["en"].classes == dataset["de"].classes == ("food", "weather")
    assert dataset["en"].labels[0] == dataset["de"].labels[0] == "weather"
    record = xrete.evaluate(ngrams, dataset, use_cache=False)
    assert record.metric == "accuracy"
    assert record.score == 100  # the words are the same; only a head that mixes up the classes would miss one
    assert any("trained on train in de, en (108 items)" in note for note in record.notes), record.notes
    assert theirs(ngrams, name, "de")["accuracy"] > 0.9


def test_scoring_what_mteb_trains_on(patch: Patch, ngrams: LoadedModel) -> None:
    """Some of MTEB's tasks sample their training texts from the split that they score."""
    name = patch("HindiDiscourseClassification", lambda _: {"train": intents(["en"])["en"]["train"]})
    record = ours(ngrams, name)
    assert record.data.split == "train"
    assert any("cross-fitted, since only train is there" in note for note in record.notes)
    assert any("halved and cross-fitted" in note for note in registry.task(f"mteb:{name}").card.notes)


def test_several_labels(patch: Patch, ngrams: LoadedModel) -> None:
    import mteb

    def topics(subsets: Sequence[str]) -> Any:
        texts = [
            f"{first} and {second} {n}" for n in range(9) for first in ("rain", "sun") for second in ("x", "y")
        ]
        labels = [[word for word in ("rain", "x") if word in text.split()] for text in texts]
        return {
            x: {"train": rows(text=texts, label=labels), "test": rows(text=texts, label=labels)} for x in subsets
        }

    task = mteb.get_task(patch("MultiEURLEXMultilabelClassification", topics), hf_subsets=["en"])
    record = xrete.evaluate(ngrams, open_dataset(as_task(task)), use_cache=False)
    assert (record.metric, list(record.languages)) == ("subset_accuracy", ["en"])
    assert record.score == 100


def test_mteb_reads_the_pinned_revision_one_subset_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[dict[str, Any]] = []

    def load_dataset(**options: Any) -> Any:
        asked.append(options)
        return {"test": rows(sentence1=["a", "b"], sentence2=["c", "d"], score=[1, 2])}

    monkeypatch.setattr("mteb.abstasks.abstask.load_dataset", load_dataset)
    dataset = xrete.load_task("mteb:SemRel24STS", languages=["mr", "ha"])
    assert asked == []  # nothing is loaded before it is read
    assert [list(dataset[x].scores) for x in dataset.languages] == [[1, 2]] * 2
    assert dataset.card.hub is not None
    expected = {"path": dataset.card.hub.repo, "revision": dataset.revision, "num_proc": None}
    assert asked == [{**expected, "name": subset} for subset in ("hau", "mar")]


# --- names and errors ---------------------------------------------------------------------------------------


@pytest.mark.slow
def test_every_text_task_of_these_types_has_a_card() -> None:
    """Over a thousand tasks; the few that are refused say why."""
    import mteb

    from xrete.check.plugins import check_card

    refused, seen = [], 0
    for task in mteb.get_tasks(task_types=list(TYPES), modalities=["text"], exclude_superseded=False):
        try:
            card = as_task(task).card
        except UsageError as error:
            refused.append(str(error))
            continue
        seen += 1
        assert [finding for finding in check_card(card) if not finding.passed] == [], card.name
    assert seen > 900
    assert len(refused) < 20
    assert all("made of other tasks" in x or "no full commit" in x or "of text alone" in x for x in refused), (
        refused
    )


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("mteb", "'mteb' is a family of tasks; name one of them: mteb:NAME"),
        ("mteb:STS71", r"unknown task of MTEB 'STS71'; did you mean STS17 .*\(\d+ known: see mteb.get_tasks\(\)\)"),
        (
            "mteb:XNLI",
            "mteb:XNLI is of MTEB's type PairClassification, which no shape here scores; these types work:",
        ),
        ("mteb:MindSmallReranking", "of MTEB's type Reranking, which no shape here scores"),
        ("mteb:ROxfordEasyI2IRetrieval", "of MTEB's type Any2AnyRetrieval, which no shape"),
        ("mteb:CQADupstackRetrieval", "is made of other tasks; run these: mteb:CQADupstackAndroidRetrieval, mteb:"),
        ("mteb:PublicHealthQA", "mteb:PublicHealthQA is pinned by MTEB to 'main', which is no full commit"),
    ],
)
def test_names_that_cannot_be_run(name: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        registry.task(name)


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mteb", None)
    with pytest.raises(XreteError, match=r"mteb:STS17 needs the package mteb.*pip install 'xrete\[mteb\]'"):
        registry.task("mteb:STS17")


def test_without_the_hub(xrete: Run, fake_models: tuple[str, str], tmp_path: Path) -> None:
    """No sample stands in for the data."""
    run = ("run", "--model", "hash", "--task", "mteb:STS17", "--results", tmp_path, *fake_models)
    done = xrete(*run)
    assert done.returncode == 1
    assert "MTEB cannot get mteb/sts17-crosslingual-sts at faeb7627 for mteb:STS17: ConnectionError" in done.stderr
    done = xrete(*run, "--data", tmp_path)
    assert done.returncode == 2
    assert "mteb:STS17 is read from the hub by MTEB; leave out --data" in done.stderr


def test_the_command_line(patch: Patch, xrete: Run, fake_models: tuple[str, str], tmp_path: Path) -> None:
    name = f"mteb:{patch('Tatoeba', tatoeba)}"
    done = xrete(
        "run", "--model", "hash", "--task", f"tatoeba,{name}", "--languages", "afr,dan", "--results", tmp_path,
        *fake_models,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    ours_, theirs_ = done.stdout.splitlines()
    assert theirs_.startswith("hash  mteb:Tatoeba  accuracy ")
    assert "2 of 112 languages, test" not in theirs_
    assert "(mini sample)" in ours_
    assert "mini" not in theirs_
    report = xrete("report", tmp_path, "--format", "csv")
    assert "mteb:Tatoeba" in report.stdout
    assert all(finding.passed for finding in check_plugin(name))
    where = xrete("data", "where", name)
    assert "mteb/tatoeba-bitext-mining at 69e8f12da6e31d59addadda9a9c8a2e601a0e282 (not fetched)" in where.stdout


def test_it_is_listed_and_in_no_group(xrete: Run) -> None:
    from xrete.cli.options import chosen_tasks

    assert "mteb:NAME" in xrete("tasks").stdout
    assert not any(name.startswith("mteb") for name in chosen_tasks(["all", "retrieval", "similarity"]))


@pytest.mark.parametrize("arguments", [["tasks"], ["tasks", "tatoeba"], ["run", "--help"]])
def test_mteb_is_imported_for_its_tasks_alone(arguments: list[str]) -> None:
    program = (
        "import sys; from xrete.cli.app import main; sys.argv = ['xrete', *sys.argv[1:]]\n"
        "try: main()\n"
        "finally: assert 'mteb' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, check=True, timeout=60)
