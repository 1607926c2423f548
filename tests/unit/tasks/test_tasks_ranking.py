"""LAReQA, Mewsli-X and BUCC: upstream files, good and damaged, one clear sentence each; the mini samples."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.adapters import FORMS, save_again, with_counts
from xrete import registry
from xrete.check.plugins import check_plugin
from xrete.dataset import Dataset, open_dataset
from xrete.errors import DataError
from xrete.shapes.mining import Corpora
from xrete.shapes.ranking import Ranking
from xrete.sources import Folder, Hub
from xrete.task import HubTask
from xrete.tasks import TASKS
from xrete.tasks import bucc as bucc_module
from xrete.tasks import lareqa as lareqa_module
from xrete.tasks import mewslix as mewslix_module

LAREQA: Any = registry.task("lareqa")
MEWSLIX, BUCC = (registry.task(name) for name in ("mewslix", "bucc"))
PARAGRAPH = {
    "context": "Der Fluss ist lang.\nEr ist tief. Er ist tief.",
    "sentence_breaks": [[0, 19], [20, 32], [33, 45]],
    "sentences": ["Der Fluss ist lang.", "Er ist tief.", "Er ist tief."],
    "qas": [
        {"id": "a", "question": "Wie lang\nist er?", "answers": [{"answer_start": 14, "text": "lang.\nEr"}]},
        {"id": "b", "question": "Wie tief?", "answers": [{"answer_start": 27, "text": "tief"}]},
    ],
}


@pytest.fixture(autouse=True)
def _small_cards(monkeypatch: pytest.MonkeyPatch) -> None:
    """The files made here are small; the counts of the cards stay and are tested by themselves."""
    monkeypatch.setitem(lareqa_module.CANDIDATES, "de", 3)
    monkeypatch.setattr(mewslix_module, "ENTITIES", 2)
    monkeypatch.setitem(bucc_module.ENGLISH, "de-en", 3)
    sample: Any = BUCC.card.counts["dev"]
    monkeypatch.setitem(sample, "de-en", 1)


def put(root: Path, name: str, content: str | bytes) -> Folder:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return Folder(root)


def lareqa(root: Path, **change: Any) -> Folder:
    content = {"version": "1", "data": [{"title": "x", "paragraphs": [PARAGRAPH | change]}]}
    return put(root, "lareqa/xquad-r/de.json", json.dumps(content))


def test_lareqa_reads_xquad_r(tmp_path: Path) -> None:
    """An answer that straddles sentences belongs to the first; equal sentences of a paragraph are all right."""
    data: Ranking = LAREQA.from_folder(lareqa(tmp_path), "de", "test")
    context = "Der Fluss ist lang.Er ist tief. Er ist tief."
    assert list(data.ids) == ["a", "b"]
    assert list(data.queries) == ["Wie langist er?", "Wie tief?"]
    assert list(data.pool.ids) == ["de_1_0", "de_1_1", "de_1_2"]
    assert data.pool.texts[0] == f"Der Fluss ist lang.{context}"
    assert data.pool.texts[1] == data.pool.texts[2] == f"Er ist tief.{context}"
    assert list(map(list, data.relevant)) == [["de_1_0"], ["de_1_1", "de_1_2"]]
    assert data.parallel


def test_candidates_may_be_sentences_alone(tmp_path: Path) -> None:
    variant = lareqa_module.Lareqa(sentences=True)
    assert (variant.card.name, variant.card.protocols) == ("lareqa-sentences", ("zero-shot",))
    data = variant.from_folder(lareqa(tmp_path), "de", "test")
    assert list(data.pool.texts) == ["Der Fluss ist lang.", "Er ist tief.", "Er ist tief."]
    assert list(map(list, data.relevant)) == [["de_1_0"], ["de_1_1", "de_1_2"]]


def asked(start: int) -> list[dict[str, Any]]:
    return [{"id": "a", "question": "?", "answers": [{"answer_start": start, "text": "x"}]}]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"qas": asked(19)}, "the answer to question a begins at 19, outside of every sentence"),
        ({"qas": asked(99)}, "the answer to question a begins at 99, outside of every sentence"),
        ({"qas": asked(0) * 2}, "query 'a' occurs twice"),
        ({"qas": [{"id": "a", "question": "?"}]}, r"not laid out as XQuAD-R \(KeyError: 'answers'\)"),
        ({"qas": [{"id": "a", "question": "?", "answers": []}]}, "not laid out as XQuAD-R .IndexError"),
        ({"qas": [asked(0)[0] | {"question": None}]}, "not laid out as XQuAD-R .AttributeError"),
        ({"qas": [asked(0)[0] | {"id": 3}]}, "'query name' of item 1 is 3, which is no text"),
        ({"sentence_breaks": None}, "not laid out as XQuAD-R .TypeError"),
        ({"sentence_breaks": [[0, 45]]}, "1 candidate sentences where XQuAD-R has 3"),
    ],
)
def test_damaged_paragraphs_are_one_sentence(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    folder = lareqa(tmp_path, **change)
    with pytest.raises(DataError, match=rf"xquad-r/de\.json: {message}"):
        Dataset(LAREQA, folder)["de"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"data": [', "line 1: not JSON"),
        (b'{"data": "\xff"}', "line 1: not UTF-8"),
        ("[]", "not laid out as XQuAD-R"),
    ],
)
def test_damaged_lareqa_files_are_one_sentence(content: str | bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        Dataset(LAREQA, put(tmp_path, "lareqa/xquad-r/de.json", content))["de"]


def test_too_few_questions_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="2 items where the published lareqa has 1190; the file is truncated"):
        Dataset(LAREQA, lareqa(tmp_path))["de"]


TEXT = "🎉 Nachts. Die {alte} Geige  spielt\nin Köln. Ende."
START = TEXT.index("Geige")
MENTION = {
    "example_id": "de1",
    "entity_id": "Q8355",
    "mention_span": {"start": START, "end": START + 5, "text": "Geige"},
}
SPANS = [{"start": 0, "end": 9}, {"start": 10, "end": 43}, {"start": 44, "end": 49}]
ENTITY = {
    "entity_id": "Q8355",
    "title": "Violine",
    "description": "Sie hat vier Saiten. Man streicht  sie.",
    "description_language": "de",
    "description_url": "",
    "sentence_spans": [{"start": 0, "end": 20}, {"start": 21, "end": 39}],
}


def mewslix(root: Path, mention: dict[str, Any] | None = None, entities: int = 2, **context: Any) -> Folder:
    article = {"language": "de", "text": TEXT, "sentence_spans": SPANS} | context
    rows = [{"context": article, "mentions": [MENTION | (mention or {})]}]
    other = {"context": article | {"language": "en"}, "mentions": [MENTION | {"example_id": "en1"}]}
    put(root, "mewslix/wikinews_mentions-test.jsonl", "".join(json.dumps(x) + "\n" for x in [*rows, other]))
    lines = [json.dumps(ENTITY | {"entity_id": f"Q{8355 + number}"}) for number in range(entities)]
    return put(root, mewslix_module.CANDIDATES, "".join(f"{line}\n" for line in lines))


def test_mewslix_writes_texts_as_xtreme_r_does(tmp_path: Path) -> None:
    """One sentence; braces of the text become parentheses; offsets are code points; the title is not used."""
    data: Ranking = MEWSLIX.from_folder(mewslix(tmp_path), "de", "test")
    assert list(data.queries) == ["Geige: Die (alte) { Geige }  spielt in Köln."]
    assert (list(data.ids), list(map(list, data.relevant))) == (["de1"], [["Q8355"]])
    assert list(data.pool.ids) == ["Q8355", "Q8356"]
    assert data.pool.texts[0] == "Sie hat vier Saiten. Man streicht sie."
    assert not data.parallel


def test_double_spaces_are_replaced_in_one_pass(tmp_path: Path) -> None:
    """As the official code does: four spaces become two."""
    text = "a    Geige"
    span = {"start": 5, "end": 10, "text": "Geige"}
    folder = mewslix(tmp_path, {"mention_span": span}, text=text, sentence_spans=[{"start": 0, "end": 10}])
    data = MEWSLIX.from_folder(folder, "de", "test")
    assert list(data.queries) == ["Geige: a   { Geige }"]


def test_all_languages_share_one_pool(tmp_path: Path) -> None:
    folder = mewslix(tmp_path)
    german, english = (MEWSLIX.from_folder(folder, language, "test") for language in ("de", "en"))
    assert german.pool is english.pool
    assert MEWSLIX.from_folder(mewslix(tmp_path / "other"), "de", "test").pool is not german.pool


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"text": ""}, "line 1: the text of the article is missing; run Mewsli-X's get-mewsli-x.sh"),
        ({"text": f" {TEXT}"}, rf"line 1: 'Geige' is not at {START}:{START + 5} of its article; fetch"),
        ({"sentence_spans": []}, rf"line 1: no sentence holds the mention at {START}:{START + 5}; fetch"),
        ({"sentence_spans": [{"start": 0, "end": START + 2}]}, "line 1: no sentence holds the mention"),
        ({"mention": {"entity_id": "Q1"}}, "query 'de1' asks for 'Q1', which is not among the candidates"),
        ({"mention": {"mention_span": None}}, "line 1: not a mention of Mewsli-X"),
        ({"entities": 1}, "1 entities where Mewsli-X has 2; fetch the file again"),
        ({}, "1 items where the published mewslix has 1551; the file is truncated"),
    ],
)
def test_damaged_mewslix_files_are_one_sentence(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        Dataset(MEWSLIX, mewslix(tmp_path, **change), languages=["de"])["de"]


@pytest.mark.parametrize("name", ["mewslix/wikinews_mentions-test.jsonl", mewslix_module.CANDIDATES])
@pytest.mark.parametrize(
    ("line", "message"),
    [(b'{"a": \xff}\n', "line 3: not UTF-8"), (b'{"a": \n', "line 3: not JSON"), (b"[]\n", "line 3: not an? ")],
)
def test_damaged_lines_are_named(name: str, line: bytes, message: str, tmp_path: Path) -> None:
    folder = mewslix(tmp_path)
    with (tmp_path / name).open("ab") as file:
        file.write(line)
    with pytest.raises(DataError, match=message):
        MEWSLIX.from_folder(folder, "de", "test")


def test_mewslix_without_candidates_says_which_file(tmp_path: Path) -> None:
    folder = mewslix(tmp_path)
    (tmp_path / mewslix_module.CANDIDATES).unlink()
    with pytest.raises(DataError, match=r"missing data file: .*candidate_set_entities\.jsonl"):
        Dataset(MEWSLIX, folder)


def bucc(root: Path, part: str = "training", **change: str | bytes) -> Folder:
    files: dict[str, str | bytes] = {
        "de": "de-000000001\teins\nde-000000002\tzwei\u2028halb\nde-000000003\tdrei\tvier\n",
        "en": "en-000000001\tthree four\nen-000000002\tnine\nen-000000003\tone\n",
        "gold": "de-000000001\ten-000000003\nde-000000003\ten-000000001\n",
    }
    for side, content in (files | change).items():
        put(root, f"bucc2018/de-en/de-en.{part}.{side}", content)
    return Folder(root)


def test_bucc_reads_ids_as_rows(tmp_path: Path) -> None:
    data: Corpora = BUCC.from_folder(bucc(tmp_path), "de-en", "test")
    assert list(data.source) == ["eins", "zwei\u2028halb", "drei\tvier"]
    assert list(data.target) == ["three four", "nine", "one"]
    assert list(data.gold) == [(0, 2), (2, 0)]
    assert data.ids == tuple([f"{side}-00000000{number}" for number in (1, 2, 3)] for side in ("de", "en"))
    assert data.tuning is None


def test_bucc_tunes_on_the_sample(tmp_path: Path) -> None:
    bucc(tmp_path, "sample", gold="de-000000002\ten-000000002\n")
    data: Corpora = BUCC.from_folder(bucc(tmp_path), "de-en", "test")
    assert data.tuning is not None
    assert list(data.tuning.gold) == [(1, 1)]
    assert BUCC.from_folder(Folder(tmp_path), "de-en", "dev").tuning is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"gold": "de-000000009\ten-000000003\n"},
            r"gold, line 1: de-000000009 is not in bucc2018.*de, which is trun",
        ),
        ({"gold": "de-000000001\n"}, "gold, line 1: 1 cells, not 2"),
        ({"gold": ""}, "gold is empty"),
        ({"de": "de-000000001\teins\nde-000000001\tzwei\n"}, "line 2: id 'de-000000001' occurs twice; fetch"),
        ({"de": "eins\n"}, "line 1: id 'eins' has no tab and sentence after it"),
        ({"de": b"de-000000001\t\xfc\n"}, "line 1: not UTF-8"),
        ({"en": "en-000000003\tone\n"}, "1 English lines where BUCC has 3"),
        ({}, "2 items where the published bucc has 9580; the file is truncated"),
    ],
)
def test_damaged_bucc_files_are_one_sentence(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        Dataset(BUCC, bucc(tmp_path, **change))["de-en"]


def test_a_damaged_sample_is_an_error_and_not_a_missing_one(tmp_path: Path) -> None:
    folder = bucc(tmp_path)
    bucc(tmp_path, "sample", de="eins\n")
    with pytest.raises(DataError, match=r"sample\.de, line 1: id 'eins' has no tab"):
        Dataset(BUCC, folder)["de-en"]


def test_a_truncated_sample_is_an_error(tmp_path: Path) -> None:
    folder = bucc(tmp_path)
    bucc(tmp_path, "sample")
    with pytest.raises(DataError, match=r"sample\.gold: 2 gold pairs where BUCC's sample has 1; fetch it again"):
        Dataset(BUCC, folder)["de-en"]


def test_bucc_reads_the_hubs_one_row() -> None:
    class Hub:
        def columns(self, config: str, split: str, names: tuple[str, ...]) -> list[list[Any]]:
            assert (config, split, names) == ("de-en", "test", ("sentence1", "sentence2", "gold"))
            return [[["eins", "zwei"]], [["two", "three"]], [[[2, 1]]]]

    numbered = ([f"de-00000000{number}" for number in (1, 2)], [f"en-00000000{number}" for number in (1, 2)])
    bucc: Any = BUCC
    found = bucc.from_hub(Hub(), "de-en", "test")
    assert found == Corpora(["eins", "zwei"], ["two", "three"], [(1, 0)], ids=numbered)


@pytest.mark.parametrize(("end", "mark"), FORMS)
@pytest.mark.parametrize(
    ("task", "files", "languages"),
    [
        ("tatoeba", ("tatoeba/v1/tatoeba.deu-eng.deu", "tatoeba/v1/tatoeba.deu-eng.eng"), ["deu"]),
        ("flores", ("flores200_dataset/devtest/deu_Latn.devtest", "flores200_dataset/devtest/eng_Latn.devtest"),
         ["deu_Latn"]),
        ("flores-geometry", ("flores200_dataset/devtest/deu_Latn.devtest",
                             "flores200_dataset/devtest/eng_Latn.devtest"), ["deu_Latn", "eng_Latn"]),
    ],
)  # fmt: skip
def test_bitexts_are_the_same_however_an_editor_saved_them(
    task: str, files: tuple[str, ...], languages: list[str], end: str, mark: str, tmp_path: Path
) -> None:
    def fingerprint() -> str:
        return Dataset(with_counts(task), Folder(tmp_path), languages=languages).fingerprint()

    for file in files:
        put(tmp_path, file, "".join(f"{Path(file).suffix} {row} é\n" for row in range(5)))
    before = fingerprint()
    save_again(tmp_path, end, mark)
    assert fingerprint() == before


@pytest.mark.parametrize(("end", "mark"), FORMS)
@pytest.mark.parametrize(
    ("task", "make", "language"), [(LAREQA, lareqa, "de"), (MEWSLIX, mewslix, "de"), (BUCC, bucc, "de-en")]
)
def test_it_is_the_same_however_an_editor_saved_it(
    task: Any, make: Callable[[Path], Folder], language: str, end: str, mark: str, tmp_path: Path
) -> None:
    def fingerprint() -> str:
        return Dataset(with_counts(task.card.name), Folder(tmp_path), languages=[language]).fingerprint()

    make(tmp_path)
    before = fingerprint()
    save_again(tmp_path, end, mark)
    assert fingerprint() == before


@pytest.mark.parametrize("task", [LAREQA, MEWSLIX, BUCC], ids=lambda task: task.card.name)
def test_an_empty_folder_says_what_is_expected(task: Any, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"no data of {task.card.name} in .*: expected {task.card.layout[:7]}"):
        open_dataset(task, tmp_path)


@pytest.mark.parametrize("name", TASKS)
def test_every_task_is_on_the_hub_at_a_pinned_revision(name: str) -> None:
    task = registry.task(name)
    assert isinstance(task, HubTask)
    assert task.card.hub is not None
    assert re.fullmatch("[0-9a-f]{40}", task.card.hub.revision)


@pytest.mark.parametrize(
    ("task", "languages", "items"),
    [(LAREQA, "ar de en es ru zh", 31), (MEWSLIX, "ar de en es ja tr", 24), (BUCC, "de-en fr-en ru-en zh-en", 24)],
    ids=["lareqa", "mewslix", "bucc"],
)
def test_the_mini_samples_are_large_enough(task: Any, languages: str, items: int) -> None:
    dataset = open_dataset(task, "mini")
    assert " ".join(dataset.languages) == languages
    assert {dataset.shape.size(dataset[language]) for language in dataset.languages} == {items}


@pytest.mark.parametrize("name", ["lareqa", "mewslix", "bucc"])
def test_models_with_known_scores_on_the_mini_sample(name: str) -> None:
    findings = check_plugin(name)
    assert [finding for finding in findings if not finding.passed] == []
    assert sum("scores what theory says" in finding.rule for finding in findings) >= 16


def test_a_model_is_scored_on_all_three(new_ngrams: Callable[..., Any]) -> None:
    """Hashed n-grams know something, and the record says what the pool lacked."""
    import xrete

    for name, notes in (("lareqa", 1), ("mewslix", 0), ("bucc", 0)):
        record = xrete.evaluate(new_ngrams(), xrete.load_task(name, "mini"))
        assert record.score is not None
        assert 5 < record.score < 100
        assert len(record.notes) == notes


def test_the_sentence_breaks_of_xquad_r_are_those_of_its_candidates() -> None:
    """In all languages: as many paragraphs and sentences as published, in order, within their text."""
    breaks = lareqa_module.sentence_breaks()
    published = lareqa_module.CANDIDATES | {"de": 1276}
    assert {language: sum(len(row[2:]) // 2 for row in rows) for language, rows in breaks.items()} == published
    assert sum(published.values()) == 13_014
    for language, rows in breaks.items():
        assert len(rows) == 240, language
        for length, lead, *ends in rows:
            assert lead >= 0
            assert all(start < end for start, end in zip(ends[::2], ends[1::2], strict=True))
            assert ends == sorted(ends)
            assert 0 <= ends[0] < ends[-1] <= length


def test_other_paragraphs_than_those_of_xquad_r_are_refused(tmp_path: Path) -> None:
    class Other(Hub):
        def columns(self, config: str, split: str, names: tuple[str, ...]) -> list[list[Any]]:
            row = {"context": "Kurz.", "id": "a", "question": "Wer?", "answers": {"answer_start": [0]}}
            return [[row[name]] for name in names]

    with pytest.raises(ValueError, match="its paragraphs are not those of XQuAD-R"):
        LAREQA.from_hub(Other(LAREQA.card.hub), "de", "test")
