"""What the stages of recipes train on: every layout, whole and damaged; and the jobs that are made of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.adapters import with_counts
from xrete import registry
from xrete.dataset import Dataset
from xrete.errors import DataError, UsageError
from xrete.files import digest
from xrete.protocols import Settings, Tuning, fine_tune
from xrete.shapes.choice import SHAPE as CHOICE
from xrete.shapes.choice import Alternatives, Choices
from xrete.shapes.ranking import Ranking
from xrete.sources import Folder, Hub, HubData, Mini
from xrete.task import Task
from xrete.tasks import lareqa as lareqa_module
from xrete.tasks import mewslix as mewslix_module
from xrete.tasks.stages.choice import COPA, SIQA
from xrete.tasks.stages.nli import ENGLISH, ENGLISH_SPANISH, SNLI, SPANISH
from xrete.tasks.stages.squad import SQUAD, sentences
from xrete.tasks.stages.sts import SCORED, STS_B, StsBenchmark
from xrete.tasks.stages.wikipedia import WIKIPEDIA
from xrete.training.finetune.job import Job

MakeSnapshot = Callable[..., Path]
Files = dict[str, str]

STAGES = (SNLI, STS_B, SIQA, COPA, SQUAD, WIKIPEDIA, ENGLISH, SPANISH, ENGLISH_SPANISH)
PUBLISHED = {stage.card.name: dict(stage.card.counts) for stage in STAGES}
NLI = ("neutral", "contradiction", "entailment")


@pytest.fixture(autouse=True)
def _small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """The files made here are small; the counts of the cards are tested by themselves."""
    for stage in STAGES:
        for split in PUBLISHED[stage.card.name]:
            monkeypatch.delitem(stage.card.counts, split)
    monkeypatch.setitem(lareqa_module.CANDIDATES, "de", 1)
    monkeypatch.setattr(mewslix_module, "ENTITIES", 2)


def lines(rows: Sequence[object]) -> str:
    return "".join(f"{row if isinstance(row, str) else json.dumps(row, ensure_ascii=False)}\n" for row in rows)


def tsv(*cells: object) -> str:
    return "\t".join(map(str, cells))


def snli(path: str) -> Callable[[int], Files]:
    def row(x: int) -> Mapping[str, Any]:
        label = "-" if x == 1 else NLI[x % 3]
        return {"gold_label": label, "sentence1": f'a "{x}', "sentence2": f"é {x}", "pairID": f"{x}#"}

    return lambda n: {path: lines([row(x) for x in range(n)])}


def nli_table(path: str, *header: str) -> Callable[[int], Files]:
    cells = [["a", "é", "neutral"], ["a", "é", "-"], ["b", "é", "contradictory"], ["c", '"é', "entailment"]]
    return lambda n: {path: lines([*header, *(tsv(*cells[x % 4]) for x in range(n))])}


def sts_row(x: int) -> str:
    source = "track5.en-en" if x == 1 else "MSRvid"
    origin = ("http://x", "http://y") if x == 2 else ()  # some rows have two cells more
    return tsv("main-captions", source, "2012test", f"{x:04}", f"{x % 6}.000", f'a "{x}', f"é {x}", *origin)


def sts(n: int) -> Files:
    return {"stsbenchmark/sts-dev.csv": lines([sts_row(x) for x in range(n)])}


def siqa_row(x: int, **label: Any) -> Mapping[str, Any]:
    answers = {f"answer{letter}": f"{letter} {x}" for letter in "ABC"}
    return {"context": f"é {x}.", "question": "Why?", **answers, **(label or {"correct": "ABC"[x % 3]})}


def siqa(n: int) -> Files:
    return {"siqa/socialIQa_v1.4_trn.jsonl": lines([siqa_row(x) for x in range(n)])}


def siqa_copy(n: int) -> Files:
    return {"siqa/socialIQa_v1.4_dev.jsonl": lines([siqa_row(x, label="123"[x % 3]) for x in range(n)])}


def copa(split: str) -> Callable[[int], Files]:
    def row(x: int) -> Mapping[str, Any]:
        sides = {"premise": f"é {x}.", "choice1": f"a {x}", "choice2": f"b {x}"}
        return {**sides, "question": ("cause", "effect")[x % 2], "label": x // 2 % 2, "idx": x}

    return lambda n: {f"copa/{split}.jsonl": lines([row(x) for x in range(n)])}


def squad_file(*paragraphs: Mapping[str, Any]) -> str:
    return json.dumps({"version": "1.1", "data": [{"title": "x", "paragraphs": paragraphs}]}, ensure_ascii=False)


def squad(n: int) -> Files:
    """Each paragraph has two sentences; the answer of the second paragraph reaches over both."""
    made = []
    for x in range(n):
        context = f"Café {x} is old. It stands in Rome."
        answer = "old. It" if x == 1 else ("Rome", f"Café {x}")[x % 2]
        asked = {"id": f"q{x}", "question": f"Where\nis {x}?"}
        answers = [{"answer_start": context.index(answer), "text": answer}, {"answer_start": 0, "text": "no"}]
        made.append({"context": context, "qas": [asked | {"answers": answers}]})
    return {"squad/train-v1.1.json": squad_file(*made)}


def entity(x: int) -> Mapping[str, Any]:
    spans = [{"start": 0, "end": 8}, {"start": 9, "end": 16}]
    return {"entity_id": f"Q{x}", "title": "T", "description": "Ein Fluß  lang.  ", "sentence_spans": spans}


def article(language: str = "en") -> Mapping[str, Any]:
    return {"language": language, "text": "The {é} Rhine runs. End.", "sentence_spans": [{"start": 0, "end": 19}]}


def found_mention(name: str, x: int) -> Mapping[str, Any]:
    return {"example_id": name, "entity_id": f"Q{x}", "mention_span": {"start": 8, "end": 13, "text": "Rhine"}}


def pair(x: int) -> Mapping[str, Any]:
    shared = x % 2
    return {
        "contextual_mention": {"context": article(), "mention": found_mention(f"m{x}", shared)},
        "entity": entity(shared),
    }


def wikipedia(n: int) -> Files:
    return {"mewslix/wikipedia_pairs-train.jsonl": lines([pair(x) for x in range(n)])}


def labels(data: Any) -> list[Any]:
    return list(data.labels)


def answers(data: Ranking) -> list[str]:
    return [data.pool.texts[data.pool.rows[names[0]]] for names in data.relevant]


SNLI_GOLD = (labels, ["neutral", "entailment", "neutral"], 1)
TABLE_GOLD = (labels, ["neutral", "contradiction", "entailment"], 1)
OLD = "Café {0} is old.Café {0} is old. It stands in Rome."
ROME = "It stands in Rome.Café {0} is old. It stands in Rome."


@dataclass(frozen=True)
class Layout:
    """One layout: its files, what is read of 4 items, how many are dropped, a label and a wrong one for it."""

    name: str
    stage: Any
    split: str
    files: Callable[[int], Files]
    read: Callable[[Any], list[Any]]
    expected: Sequence[Any]
    dropped: int
    right: str
    wrong: str

    def open(self, root: Path) -> Any:
        dataset = Dataset(self.stage, Folder(root), split=self.split)
        return dataset[dataset.languages[0]]


MT = ("premise\thypo\tlabel",)
LAYOUTS = [
    Layout("snli", SNLI, "train", snli("snli/snli_1.0_train.jsonl"), *SNLI_GOLD, "neutral", "neutrall"),
    Layout("snli unpacked", SNLI, "dev", snli("snli/snli_1.0/snli_1.0_dev.jsonl"), *SNLI_GOLD, "neutral", "x"),
    Layout("snli: XNLI-MT", SNLI, "train", nli_table("snli/multinli.train.en.tsv", *MT), *TABLE_GOLD,
           "\tneutral", "\tx"),
    Layout("snli: XTREME", SNLI, "train", nli_table("snli/train-en.tsv"), *TABLE_GOLD, "\tneutral", "\tx"),
    Layout("stsb", STS_B, "dev", sts, lambda data: list(data.aims), [0, 2 / 5, 3 / 5], 1, "2.000", "5.5"),
    Layout("siqa", SIQA, "train", siqa, labels, [0, 1, 2, 0], 0, '"correct": "A"', '"correct": "D"'),
    Layout("siqa, a copy", SIQA, "dev", siqa_copy, labels, [0, 1, 2, 0], 0, '"label": "1"', '"label": "0"'),
    Layout("copa", COPA, "train", copa("train"), labels, [0, 0, 1, 1], 0, '"label": 1', '"label": 2'),
    Layout("copa dev", COPA, "dev", copa("val"), labels, [0, 0, 1, 1], 0, '"cause"', '"because"'),
    Layout("squad", SQUAD, "train", squad, answers, [ROME.format(0), ROME.format(2), OLD.format(3)], 1, "q3", "q0"),
    Layout("wikipedia", WIKIPEDIA, "train", wikipedia, answers, ["Ein Fluß lang."] * 4, 0, '"text": "Rhine"',
           '"text": "Rhein"'),
    Layout("mnli", ENGLISH, "train", nli_table("XNLI-MT-1.0/multinli/multinli.train.en.tsv", *MT), *TABLE_GOLD,
           "\tneutral", "\tx"),
    Layout("mnli of XTREME", SPANISH, "train", nli_table("xnli/train-es.tsv"), *TABLE_GOLD, "\tneutral", "\tx"),
]  # fmt: skip
EVERY = pytest.mark.parametrize("layout", LAYOUTS, ids=[layout.name for layout in LAYOUTS])


def write(root: Path, files: Files) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return root


@EVERY
def test_it_is_read_as_it_is(layout: Layout, tmp_path: Path) -> None:
    data = layout.open(write(tmp_path, layout.files(4)))
    assert layout.read(data) == layout.expected
    dataset = Dataset(layout.stage, Folder(tmp_path), split=layout.split)
    assert sum(dataset.dropped().values()) == layout.dropped
    assert dataset.shape.size(data) == len(layout.expected)


@EVERY
def test_a_missing_file(layout: Layout, tmp_path: Path) -> None:
    with pytest.raises(DataError) as error:
        layout.open(tmp_path)
    said = str(error.value)
    assert said.startswith(
        f"no data of {layout.stage.card.name} in {tmp_path}: expected {layout.stage.card.layout}"
    )
    assert "data where" not in said, "a stage is no task that the command line knows"


@EVERY
def test_a_file_that_ends_in_the_middle_of_an_item(layout: Layout, tmp_path: Path) -> None:
    ((path, text),) = layout.files(4).items()
    *whole, last = text.rstrip("\n").split("\n")
    rest = last.partition("\t")[0] if "\t" in last else last[:-9]
    write(tmp_path, {path: "\n".join([*whole, rest])})
    with pytest.raises(DataError, match=r"line \d+: (not JSON|\d+ cells, not \d)") as error:
        layout.open(tmp_path)
    assert str(tmp_path / path) in str(error.value)
    assert "\n" not in str(error.value)


@EVERY
def test_a_wrong_label(layout: Layout, tmp_path: Path) -> None:
    ((path, text),) = layout.files(4).items()
    assert layout.right in text
    write(tmp_path, {path: text.replace(layout.right, layout.wrong)})
    with pytest.raises(DataError) as error:
        layout.open(tmp_path)
    said = str(error.value)
    assert str(tmp_path / path) in said
    assert any(x in said for x in ("of item", "occurs twice", "is not at 8:13 of its article")), said
    assert "\n" not in said


COUNTED = {"stsb": 1500, "siqa": 33410, "copa": 400, "squad": 87599, "wikipedia": 167719, "mnli": 392702}


@pytest.mark.parametrize("layout", [x for x in LAYOUTS if x.name in COUNTED], ids=lambda layout: layout.name)
def test_another_number_of_items_than_published(
    layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = layout.stage.card
    monkeypatch.setitem(card.counts, layout.split, PUBLISHED[card.name][layout.split])
    items = len(layout.expected)
    said = rf"{items} items where the published {card.name} has {COUNTED[layout.name]}; the file is truncated"
    with pytest.raises(DataError, match=said):
        layout.open(write(tmp_path, layout.files(4)))


def test_dropped_pairs_are_part_of_what_is_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(STS_B.card.counts, "dev", 4)
    assert len(Dataset(STS_B, Folder(write(tmp_path, sts(4))), split="dev")["en"]) == 3


# --- single data sets --------------------------------------------------------------------------------------------


def test_snli_is_only_taken_from_its_own_folder(tmp_path: Path) -> None:
    write(tmp_path, nli_table("xnli/train-en.tsv")(4) | nli_table("xnli/dev-en.tsv")(4))
    with pytest.raises(DataError, match="no data of snli"):
        Dataset(SNLI, Folder(tmp_path), split="train")


def test_stsb_can_keep_what_multists_scores(tmp_path: Path) -> None:
    folder = Folder(write(tmp_path, sts(4)))
    dropped, kept = (
        adapter.from_folder(folder, "en", "dev") for adapter in (STS_B, StsBenchmark(keep_scored=True))
    )
    assert (len(dropped), dropped.dropped, len(kept), kept.dropped) == (3, 1, 4, 0)
    assert list(kept.scores) == [0, 1, 2, 3]
    assert list(kept.first) == ['a "0', 'a "1', 'a "2', 'a "3'], "quotes are text"
    assert list(kept.second)[2] == "é 2", "cells after the second sentence are not read"


def test_siqa_is_a_question_in_context_with_three_answers(tmp_path: Path) -> None:
    data: Alternatives = SIQA.from_folder(Folder(write(tmp_path, siqa(4))), "en", "train")
    segments = CHOICE.segments(data)
    assert [list(second or ())[:2] for _, second in segments] == [[f"{x} 0", f"{x} 1"] for x in "ABC"]
    assert {tuple(first)[1] for first, _ in segments} == {"é 1. Why?"}
    assert CHOICE.targets(data, "choices").tolist() == [0, 1, 2, 0]


def test_items_without_a_key(tmp_path: Path) -> None:
    write(tmp_path, {"siqa/socialIQa_v1.4_trn.jsonl": lines([siqa_row(0), {"context": "a", "correct": "A"}])})
    with pytest.raises(DataError, match=r"trn\.jsonl: item 2 has no 'question'"):
        Dataset(SIQA, Folder(tmp_path), split="train")["en"]
    write(tmp_path, {"snli/snli_1.0_train.jsonl": lines([{"sentence1": "a"}])})
    with pytest.raises(DataError, match="item 1 has no 'sentence2'"):
        Dataset(SNLI, Folder(tmp_path), split="train")["en"]


def test_alternatives_in_the_shape() -> None:
    data = Alternatives(first=list("ab"), alternatives=[list("xyz"), list("uvw")], labels=[2, 0])
    taken = CHOICE.take(data, [1])
    assert isinstance(taken, Alternatives)
    assert (list(taken.first), [*map(list, taken.alternatives)], list(taken.labels)) == (["b"], [list("uvw")], [0])
    assert (CHOICE.size(data), CHOICE.size(CHOICE.take_first(data, 1))) == (2, 1)
    assert CHOICE.keys(data) == [("item 0", "a", "x", "y", "z"), ("item 1", "b", "u", "v", "w")]
    assert CHOICE.keys(taken) == CHOICE.keys(data)[1:]
    scores = CHOICE.labels(data)[:, None] == range(3)
    assert CHOICE.items(data, scores.astype(float))["prediction"].tolist() == [2, 0]
    changed = [
        replace(data, first=list("ac")),
        replace(data, labels=[1, 0]),
        replace(data, alternatives=[list("xyz"), list("uwv")]),
        Alternatives(first=list("ab"), alternatives=[list("xy"), list("zu")], labels=[1, 0]),
    ]
    assert len({digest(CHOICE.content(x)) for x in (data, *changed)}) == 5
    with pytest.raises(ValueError, match="item 2 has 2 alternatives, the first 3"):
        replace(data, alternatives=[list("xyz"), list("uv")])
    with pytest.raises(ValueError, match=r"the label of item 1 is 3, not one of 0 to 2"):
        replace(data, labels=[3, 0])


def test_two_alternatives_are_what_choices_are() -> None:
    """Both data classes give the same texts and targets where an item has two alternatives."""
    choices = Choices(
        first=["p", "q"], questions=["cause", "effect"], choice1=["a", "b"], choice2=["c", "d"], labels=[1, 0]
    )
    same = Alternatives(first=choices.prompts(), alternatives=choices.alternatives, labels=choices.labels)
    asked = ["p What was the cause?", "q What was the effect?"]
    for data in (choices, same):
        segments = [(list(first), list(second or ())) for first, second in CHOICE.segments(data)]
        assert segments == [(asked, ["a", "b"]), (asked, ["c", "d"])]
        assert CHOICE.targets(data, "choices").tolist() == [1, 0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two.", ["One.", "Two."]),
        ('He said "no." "Yes," said she.', ['He said "no."', '"Yes," said she.']),
        ("In 1999? 3 came! (Others did not.) Some did.", ["In 1999?", "3 came!", "(Others did not.)", "Some did."]),
        (
            "Mr. J. R. Jones sat in the U.S. Senate. They met.",
            ["Mr. J. R. Jones sat in the U.S. Senate.", "They met."],
        ),
        ("It is old.[note 1] It is new.[2][3] End", ["It is old.[note 1]", "It is new.[2][3]", "End"]),
        ("A version 2.0 of e.g. this. Done.\nNew. ", ["A version 2.0 of e.g. this.", "Done.", "New."]),
        ("", []),
        (" ", []),
    ],
)
def test_sentences(text: str, expected: Sequence[str]) -> None:
    assert [text[start:end] for start, end in sentences(text)] == expected


def test_squad_pairs_a_question_with_the_sentence_of_its_first_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Texts are those of LAReQA; a wrong offset drops a question; the same sentence is one candidate."""
    context = "It rains.\nIt rains. It snows in May."
    asked = [
        {"id": "a", "question": "When?", "answers": [{"answer_start": 32, "text": "May"}]},
        {"id": "b", "question": "Why?", "answers": [{"answer_start": 30, "text": "May"}]},
        {"id": "c", "question": "What?", "answers": [{"answer_start": 23, "text": "snows"}]},
    ]
    write(tmp_path, {"squad/dev-v1.1.json": squad_file({"context": context, "qas": asked})})
    data = Dataset(SQUAD, Folder(tmp_path), split="dev")["en"]
    assert (list(data.ids), data.dropped, len(data.pool)) == (["a", "c"], 1, 1)
    breaks = [[0, 9], [10, 19], [20, 36]]
    paragraph = {"context": context, "qas": asked[::2], "sentence_breaks": breaks}
    write(tmp_path, {"lareqa/xquad-r/de.json": squad_file(paragraph)})
    monkeypatch.setitem(lareqa_module.CANDIDATES, "de", 3)
    assert answers(registry.task("lareqa").from_folder(Folder(tmp_path), "de", "test")) == answers(data)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{}", r"not laid out as SQuAD v1\.1 \(KeyError: 'data'\); fetch it again"),
        (squad_file({"context": "a"}), "KeyError: 'qas'"),
        (squad_file({"context": "a", "qas": [{"id": "x", "question": "?", "answers": []}]}), "IndexError"),
        (squad_file({"context": "a", "qas": None}), "TypeError"),
        ("[", "line 1: not JSON"),
    ],
)
def test_damaged_squad_files_are_one_sentence(content: str, message: str, tmp_path: Path) -> None:
    write(tmp_path, {"squad/train-v1.1.json": content})
    with pytest.raises(DataError, match=message):
        Dataset(SQUAD, Folder(tmp_path), split="train")["en"]


def test_wikipedia_pairs_are_written_as_mewslix_is(tmp_path: Path) -> None:
    write(tmp_path, wikipedia(3))
    data = Dataset(WIKIPEDIA, Folder(tmp_path), split="train")["en"]
    assert list(data.queries) == ["Rhine: The (é) { Rhine } runs."] * 3
    assert list(data.relevant) == [["Q0"], ["Q1"], ["Q0"]]
    assert len(data.pool) == 2
    mewslix(tmp_path)
    scored = registry.task("mewslix").from_folder(Folder(tmp_path), "de", "test")
    assert (scored.queries[0], scored.pool.texts[0]) == (data.queries[0], data.pool.texts[0])


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({}, r"line 2: not a pair of Mewsli-X \('contextual_mention'\)"),
        ({**pair(1), "entity": {"entity_id": "Q1"}}, r"line 2: not a pair of Mewsli-X \('description'\)"),
        ({**pair(1), "entity": None}, "line 2: not a pair of Mewsli-X"),
    ],
)
def test_damaged_pairs_are_one_sentence(row: Mapping[str, Any], message: str, tmp_path: Path) -> None:
    write(tmp_path, {"mewslix/wikipedia_pairs-train.jsonl": lines([pair(0), row])})
    with pytest.raises(DataError, match=message):
        Dataset(WIKIPEDIA, Folder(tmp_path), split="train")["en"]


# --- the hub -----------------------------------------------------------------------------------------------------


README = """---
configs:
- config_name: {config}
  data_files:
{files}
{features}---
"""
CLASSES = """dataset_info:
- config_name: pair-class
  features:
  - name: premise
    dtype: string
  - name: hypothesis
    dtype: string
  - name: label
    dtype:
      class_label:
        names:
          '0': entailment
          '1': neutral
          '2': contradiction
"""


@pytest.fixture
def snapshot(snapshot: MakeSnapshot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeSnapshot:
    """Several tests put unlike files into one revision of a repository, which never happens outside of tests."""
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "datasets")
    return snapshot


def hub_files(config: str, features: str = "", **splits: Sequence[Mapping[str, Any]]) -> Files:
    files = "\n".join(f"  - split: {split}\n    path: {split}.jsonl" for split in splits)
    readme = README.format(config=config, files=files, features=features)
    return {"README.md": readme} | {f"{split}.jsonl": lines(rows) for split, rows in splits.items()}


def put_on_hub(snapshot: MakeSnapshot, stage: Any, files: Files) -> Hub:
    snapshot(stage.card.hub.repo, stage.card.hub.revision, files)
    return Hub(stage.card.hub)


def test_snli_on_the_hub(snapshot: MakeSnapshot) -> None:
    rows = [{"premise": "p", "hypothesis": "h", "label": label} for label in (0, 2, -1, 1)]
    hub = put_on_hub(snapshot, SNLI, hub_files("pair-class", CLASSES, train=rows))
    data = Dataset(SNLI, hub, split="train")["en"]
    assert (list(data.labels), data.dropped) == (["entailment", "contradiction", "neutral"], 1)


def scored_on_hub(snapshot: MakeSnapshot, *pairs: tuple[str, str]) -> None:
    rows = [{"sentence1": first, "sentence2": second, "score": 1.0} for first, second in pairs]
    snapshot(SCORED.repo, SCORED.revision, hub_files("en-en", test=rows))


def test_stsb_on_the_hub_is_without_what_multists_scores(snapshot: MakeSnapshot) -> None:
    rows = [{"sentence1": f"a {x}", "sentence2": f"b {x}", "score": x / 4} for x in range(4)]
    hub = put_on_hub(snapshot, STS_B, hub_files("default", train=rows, validation=rows))
    scored_on_hub(snapshot, ("a 2 ", "b  2"), ("z", "z"))
    data = Dataset(STS_B, hub, split="dev")["en"]
    assert (list(data.first), data.dropped, list(data.aims or ())) == (["a 0", "a 1", "a 3"], 1, [0, 0.25, 0.75])
    assert len(Dataset(STS_B, hub, split="train")["en"]) == 4
    assert len(StsBenchmark(keep_scored=True).from_hub(hub, "en", "dev")) == 4


def test_stsb_on_the_hub_is_refused_where_nothing_of_it_is_found(snapshot: MakeSnapshot) -> None:
    rows = [{"sentence1": "a", "sentence2": "b", "score": 0.5}] * 2
    hub = put_on_hub(snapshot, STS_B, hub_files("default", validation=rows))
    scored_on_hub(snapshot, ("z", "z"))
    with pytest.raises(DataError, match="no pair of MultiSTS was found in dev, where 125 are known to be"):
        Dataset(STS_B, hub, split="dev")["en"]


def test_squad_on_the_hub(snapshot: MakeSnapshot, tmp_path: Path) -> None:
    content = json.loads(squad(4)["squad/train-v1.1.json"])
    rows = []
    for paragraph in content["data"][0]["paragraphs"]:
        (asked,) = paragraph["qas"]
        found = {key: [answer[key] for answer in asked["answers"]] for key in ("text", "answer_start")}
        rows.append({"id": asked["id"], "question": asked["question"], "context": paragraph["context"],
                     "answers": found})  # fmt: skip
    hub = put_on_hub(snapshot, SQUAD, hub_files("plain_text", validation=rows))
    published = Dataset(SQUAD, Folder(write(tmp_path, squad(4))), split="train")["en"]
    copied = Dataset(SQUAD, hub, split="dev")["en"]
    assert answers(copied) == answers(published)
    assert (copied.ids, copied.dropped) == (published.ids, published.dropped)


# --- jobs --------------------------------------------------------------------------------------------------------


def mewslix(root: Path) -> None:
    row = {"context": article("de"), "mentions": [found_mention("d1", 0)]}
    entities = lines([entity(x) for x in range(2)])
    write(root, {"mewslix/wikinews_mentions-test.jsonl": lines([row]), mewslix_module.CANDIDATES: entities})


def multists(root: Path) -> None:
    write(root, {"sts2017/STS2017-extended/STS.en-en.txt": lines([tsv("a", "b", x) for x in range(3)])})
    write(root, snli("snli/snli_1.0_train.jsonl")(9) | sts(6))
    write(root, {"stsbenchmark/sts-train.csv": lines([sts_row(x) for x in (0, 3, 4, 5, 6)])})


def xcopa(root: Path) -> None:
    rows = copa("train")(6)["copa/train.jsonl"]
    write(root, {"xcopa/data/et/test.et.jsonl": rows} | siqa(9) | copa("train")(6))


def lareqa(root: Path) -> None:
    asked = {"id": "a", "question": "?", "answers": [{"answer_start": 0, "text": "Es"}]}
    paragraph = {"context": "Es ist.", "qas": [asked], "sentence_breaks": [[0, 7]]}
    files = squad(6)
    write(root, {"lareqa/xquad-r/de.json": squad_file(paragraph)} | files)
    write(root, {"squad/dev-v1.1.json": files["squad/train-v1.1.json"]})


def mewslix_with_pairs(root: Path) -> None:
    mewslix(root)
    write(root, wikipedia(5))
    write(root, {"mewslix/wikipedia_pairs-dev.jsonl": lines([pair(x) for x in range(2)])})


def americasnli(root: Path) -> None:
    header = tsv("id", "language", "premise", "hypothesis", "label")
    write(root, {"americasnli/anli_final/test/gn.tsv": lines([header, tsv(1, "gn", "p", "h", "neutral")])})
    for language in ("en", "es"):
        write(root, nli_table(f"XNLI-MT-1.0/multinli/multinli.train.{language}.tsv", *MT)(8))
        write(root, nli_table(f"xnli/dev-{language}.tsv")(4))
    header = tsv("language", "premise", "hypothesis", "label")
    rows = [tsv("Guarani", f"p {x}", f"h {x}", NLI[x % 3]) for x in range(20)]
    write(root, {"americasnli/translate_train/train/gn.tsv": lines([header, *rows])})


@dataclass(frozen=True)
class Case:
    """A task, its files, and of each stage of its recipe: name, shape, items to train on and to select by."""

    task: str
    files: Callable[[Path], None]
    stages: Sequence[tuple[str, str, int, int]]
    trained: str
    recipe: str | None = None


NLI_FILE = "XNLI-MT-1.0/multinli/multinli.train.{}.tsv"
CASES = [
    Case("multists", multists, [("nli", "classification", 8, 0), ("sts", "similarity", 5, 5)],
         "stsbenchmark/sts-train.csv"),
    Case("xcopa", xcopa, [("siqa", "choice", 9, 0), ("copa", "choice", 6, 0)], "siqa/socialIQa_v1.4_trn.jsonl"),
    Case("lareqa", lareqa, [("squad", "ranking", 5, 5)], "squad/train-v1.1.json"),
    Case("mewslix", mewslix_with_pairs, [("wikipedia", "ranking", 5, 2)], "mewslix/wikipedia_pairs-train.jsonl"),
    Case("americasnli", americasnli, [("mnli", "classification", 6, 3)], NLI_FILE.format("en"), "english"),
    Case("americasnli", americasnli, [("mnli", "classification", 6, 3)], NLI_FILE.format("es"), "spanish"),
    Case("americasnli", americasnli, [("mnli", "classification", 12, 6)], NLI_FILE.format("es"), "english+spanish"),
]  # fmt: skip
JOBS = pytest.mark.parametrize("case", CASES, ids=[f"{case.task} {case.recipe or ''}".strip() for case in CASES])


def job_of(case: Case, root: Path, *changes: str, **settings: Any) -> Job:
    dataset = Dataset(with_counts(case.task), Folder(root))
    made = fine_tune.jobs(dataset, Settings(tuning=Tuning(recipe=case.recipe, changes=changes), **settings), 42)
    (job,) = made
    return job


@JOBS
def test_jobs_are_made_of_the_files(case: Case, tmp_path: Path) -> None:
    case.files(tmp_path)
    job = job_of(case, tmp_path)
    sizes = [
        (x.stage.name, x.shape, len(x.examples), sum(part.used for part in x.dev) if x.stage.select else 0)
        for x in job.stages
    ]
    assert sizes == list(case.stages)
    for stage in job.stages:
        assert stage.outputs == (3 if stage.shape == "classification" else 1)
        texts = stage.examples.segments(np.array([0]))
        assert [len(first) for first, _ in texts] == [1] * {"siqa": 3, "copa": 2}.get(stage.stage.name, 1)


@JOBS
def test_training_data_decides_what_a_job_is_called(case: Case, tmp_path: Path) -> None:
    case.files(tmp_path)
    before = job_of(case, tmp_path).digest
    assert job_of(case, tmp_path).digest == before
    assert job_of(case, tmp_path, "epochs=1").digest != before
    path = tmp_path / case.trained
    text = path.read_text("utf-8")
    path.write_text(text.replace("é", "è"), "utf-8")
    assert path.read_text("utf-8") != text
    assert job_of(case, tmp_path).digest != before


@JOBS
def test_what_is_trained_on_may_lie_elsewhere(case: Case, tmp_path: Path) -> None:
    case.files(tmp_path / "whole")
    whole = job_of(case, tmp_path / "whole")
    scored = Dataset(with_counts(case.task), Folder(tmp_path / "whole"))
    (tmp_path / "scored").mkdir()
    for file in scored.task.files(scored.languages[0], "test"):
        write(tmp_path / "scored", {file: (tmp_path / "whole" / file).read_text("utf-8")})
    with pytest.raises(DataError) as error:
        job_of(case, tmp_path / "scored")
    said = str(error.value)
    first, *others = [name for name, *_ in case.stages]
    assert said.startswith(f"{case.task}, stage {first}: no data of ")
    leave = f", or leave the stage out with --set {first}.epochs=0" if others else ""
    assert said.endswith(f"; name a folder that has it with --train-data{leave}")
    apart = job_of(case, tmp_path / "scored", train_data=tmp_path / "whole")
    assert apart.digest == whole.digest


def test_own_training_data_has_any_number_of_items(tmp_path: Path) -> None:
    """Published files of another length are damaged; a user's own are not held to theirs."""
    pairs = lines([tsv("Er geht.", "Er läuft.", label) for label in NLI])
    own = write(tmp_path / "own", {"xnli/train-en.tsv": pairs, "xnli/train-sw.tsv": pairs})
    scored = write(tmp_path / "scored", {"xnli/dev-en.tsv": 830 * pairs, "xnli/train-en.tsv": pairs})
    dataset = Dataset(registry.task("xnli"), Folder(scored))
    tuning = Tuning(changes=("select=false",))
    (job,) = fine_tune.jobs(dataset, Settings(train_data=own, tuning=tuning), 42)
    assert len(job.stages[0].examples) == 6
    with pytest.raises(DataError, match=r"3 items where the published xnli has 392702; the file is truncated"):
        fine_tune.jobs(dataset, Settings(tuning=tuning), 42)


def test_stages_are_changed_by_name(tmp_path: Path) -> None:
    multists(tmp_path)
    (only,) = job_of(CASES[0], tmp_path, "nli.epochs=0", "sts.batch=2", "sts.select=false").stages
    assert (only.stage.name, only.stage.batch, only.dev) == ("sts", 2, ())
    (tmp_path / "stsbenchmark/sts-dev.csv").unlink()
    with pytest.raises(
        DataError, match=r"stage sts: no data of stsb .*, or keep the last weights with --set sts\.sel"
    ):
        job_of(CASES[0], tmp_path)


def test_what_notes_say(tmp_path: Path) -> None:
    multists(tmp_path)
    dataset = Dataset(with_counts("multists"), Folder(tmp_path))
    assert fine_tune.notes(dataset, Settings()) == (
        "fine-tune, nli: trained on SNLI, or what lies in its place (8 items, 1 left out)",
        "fine-tune, sts: trained on STS-b (5 items); best by dev (5 items, 1 left out)",
    )


def test_each_stage_is_read_from_its_own_repository(snapshot: MakeSnapshot, tmp_path: Path) -> None:
    """Not from the one of the task that is scored."""
    task = with_counts("multists")
    pairs = [{"sentence1": "a", "sentence2": "b", "score": 1.0}, {"sentence1": "c", "sentence2": "d", "score": 0.5}]
    snapshot(SCORED.repo, SCORED.revision, hub_files("en-en", test=pairs[:1]))
    nli = [{"premise": "p", "hypothesis": "h", "label": label} for label in (0, 1)]
    put_on_hub(snapshot, SNLI, hub_files("pair-class", CLASSES, train=nli))
    put_on_hub(snapshot, STS_B, hub_files("default", train=pairs, validation=pairs))
    dataset = Dataset(task, Hub(task.card.hub), languages=["en-en"])
    (job,) = fine_tune.jobs(dataset, Settings(), 42)
    assert [(len(x.examples), sum(part.used for part in x.dev)) for x in job.stages] == [(2, 0), (2, 1)]
    # The same where what is scored lies in a folder, which may even hold other training data.
    multists(tmp_path)
    scored = Dataset(task, Folder(tmp_path))
    (same,) = fine_tune.jobs(scored, Settings(train_data="hub"), 42)
    assert same.digest == job.digest
    with pytest.raises(DataError, match=r"stage copa: cannot get data set aps/super_glue .* from the hub"):
        fine_tune.jobs(Dataset(registry.task("xcopa"), Mini()), Settings(train_data="hub", tuning=COPA_ALONE), 42)


COPA_ALONE = Tuning(changes=("siqa.epochs=0",))


def test_own_training_data_may_come_from_the_hub(snapshot: MakeSnapshot, tmp_path: Path) -> None:
    task = with_counts("xnli")
    rows = [{"premise": f"p {x}", "hypothesis": f"h {x}", "label": x % 3} for x in range(30)]
    features = CLASSES.replace("pair-class", "de")
    put_on_hub(snapshot, task, hub_files("de", features, train=rows, validation=rows[:6]))
    write(tmp_path, nli_table("xnli/dev-de.tsv")(8))
    dataset = Dataset(task, Folder(tmp_path), languages=["de"])
    (job,) = fine_tune.jobs(dataset, Settings(train_data="hub", train_languages="de"), 42)
    (stage,) = job.stages
    assert stage.languages == ["de"]
    assert len(stage.examples) + sum(part.used for part in stage.dev) == 30
    with pytest.raises(DataError, match=r"no 'train' to train on in .*--train-data"):
        fine_tune.jobs(dataset, Settings(train_languages="de"), 42)


def test_languages_that_no_stage_is_trained_on(tmp_path: Path) -> None:
    multists(tmp_path)
    dataset = Dataset(with_counts("multists"), Folder(tmp_path))
    (job,) = fine_tune.jobs(dataset, Settings(train_languages="en"), 42)
    assert [stage.languages for stage in job.stages] == [["en"], ["en"]]
    with pytest.raises(
        UsageError, match=r"--train-languages de: stage nli of multists trains on SNLI.*in en; leave"
    ):
        fine_tune.jobs(dataset, Settings(train_languages="de"), 42)


def test_stages_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    multists(tmp_path)
    read: list[str] = []
    from_folder = SNLI.from_folder

    def counted(folder: Folder, language: str, split: str) -> Any:
        read.append(split)
        return from_folder(folder, language, split)

    monkeypatch.setattr(SNLI, "from_folder", counted)
    settings = Settings(tuning=Tuning(seeds=(1, 2, 3)))
    dataset = Dataset(with_counts("multists"), Folder(tmp_path))
    fine_tune.fingerprint(dataset, settings)
    fine_tune.notes(dataset, settings)
    assert read == ["train"]


@pytest.mark.parametrize("source", [Mini(), Hub(HubData(repo="a/b", revision="0" * 40))], ids=["mini", "hub"])
def test_a_stage_without_a_repository_says_which_files_it_needs(source: Any) -> None:
    dataset = Dataset(registry.task("xcopa"), source)
    with pytest.raises(DataError) as error:
        fine_tune.jobs(dataset, Settings(), 42)
    files = "siqa/socialIQa_v1.4_trn.jsonl (and socialIQa_v1.4_dev.jsonl)"
    reasons = {
        "mini": f"{files} is not available with --data mini",
        "hub": "cannot get data set lighteval/siqa at ",
    }
    assert str(error.value).startswith(f"xcopa, stage siqa: {reasons[source.kind]}")
    assert str(error.value).endswith(
        "; name a folder that has it with --train-data, or leave the stage out with --set siqa.epochs=0"
    )


def test_translated_training_data_of_americasnli(tmp_path: Path) -> None:
    americasnli(tmp_path)
    dataset = Dataset(with_counts("americasnli"), Folder(tmp_path))
    (job,) = fine_tune.jobs(dataset, Settings(), 42)
    (stage,) = job.stages
    assert stage.stage.name == "train"
    assert len(stage.examples) + sum(part.used for part in stage.dev) == 20
    train: Task = with_counts("americasnli")
    data = train.from_folder(Folder(tmp_path), "gn", "train")
    assert (data.first[1], data.second[1], data.labels[1]) == ("p 1", "h 1", "contradiction")


def test_a_task_without_training_data_of_its_own_names_other_recipes(tmp_path: Path) -> None:
    americasnli(tmp_path)
    (tmp_path / "americasnli/translate_train/train/gn.tsv").unlink()
    dataset = Dataset(with_counts("americasnli"), Folder(tmp_path))
    with pytest.raises(
        DataError, match=r"no 'train' to train on .*, or .* --recipe english or spanish or english\+sp"
    ):
        fine_tune.jobs(dataset, Settings(), 42)


def test_stages_are_no_tasks_that_users_score() -> None:
    known = {name: registry.task(name) for name in registry.names("tasks")}
    for stage in STAGES:
        assert stage.card.name not in known
        assert not stage.card.splits
        assert isinstance(stage, Task)


def test_cards_name_what_stages_train_on(xrete: Callable[..., Any]) -> None:
    done = xrete("tasks", "xcopa", "--json")
    assert [stage["data"] for stage in json.loads(done.stdout)["recipes"]["xtreme"]] == ["siqa", "copa"]
    assert "object at" not in xrete("tasks", "xcopa").stdout
