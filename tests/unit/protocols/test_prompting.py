"""The protocol `prompt`: all eight tasks against an endpoint of this machine; what it says, keeps and costs."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xrete import registry
from xrete.chat import client as chat
from xrete.chat.answers import answers_file
from xrete.check.certificates import theory_of
from xrete.check.certificates.contract import KnownAnswers
from xrete.check.certificates.protocols import MUTE
from xrete.dataset import Dataset
from xrete.evaluation.forecast import forecast
from xrete.evaluation.plan import Plan, RunOptions
from xrete.files import cache_root
from xrete.protocols import Settings, prompt
from xrete.protocols.prompt import ANSWER_TOKENS, estimate_tokens
from xrete.record import Record, read_record
from xrete.shapes import classification, load_shape
from xrete.shapes.classification import Labelled, macro_f1
from xrete.shapes.contract import PromptShape
from xrete.shapes.multilabel import MultiLabelled
from xrete.shapes.similarity import ScoredPairs
from xrete.sources import Mini
from xrete.store import find_records, read_items
from xrete.task import TaskCard

Server = Any
Run = Callable[..., subprocess.CompletedProcess[str]]

MODEL = "chatgpt:gpt-x"
TASKS = ("xnli", "americasnli", "multists", "qe", "xcopa", "multieurlex", "multiarc", "pawsx")
SNAPSHOT = "gpt-x-2026-01-31"


@pytest.fixture(autouse=True)
def _in_haste(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat, "FIRST_WAIT_SECONDS", 0.01)
    monkeypatch.setattr(chat, "LONGEST_WAIT_SECONDS", 0.02)


def mini(task: str, languages: int = 2, limit: int | None = 8) -> Dataset:
    card = registry.task(task).card
    there = Dataset(registry.task(task), Mini()).languages
    return Dataset(registry.task(card.name), Mini(), languages=there[:languages], limit=limit)


def known(dataset: Dataset, language: str) -> dict[str, KnownAnswers]:
    assert isinstance(dataset.shape, PromptShape)
    assert dataset.card.prompt is not None
    found = theory_of(dataset.shape).prompt(dataset.shape, dataset[language], dataset.card.prompt.answer)
    return {answers.name: answers for answers in found}


def book(dataset: Dataset, name: str = "oracle") -> dict[str, str]:
    """What is asked about a data set, with the known answers of that name."""
    assert dataset.card.prompt is not None
    write = dataset.card.prompt.answer.write
    said: dict[str, str] = {}
    for language in dataset.languages:
        answers = known(dataset, language)[name].answers
        for question, answer in zip(prompt.questions(dataset, language), answers, strict=True):
            said[question] = MUTE if answer is None else write(answer)
    return said


def arguments(dataset: Dataset, results: Path, *more: object) -> list[object]:
    languages = ",".join(dataset.languages)
    limit = ["--limit", dataset.limit] if dataset.limit else []
    task = ["--task", dataset.card.name, "--data", "mini", "--languages", languages, *limit]
    return ["run", "--model", MODEL, *task, "--results", results, *more]


def only_record(results: Path) -> tuple[Path, Record]:
    (path,) = find_records(results)
    return path, read_record(path)


def essence(record: Record) -> dict[str, Any]:
    content = record.model_dump(mode="json", by_alias=True)
    volatile = ("code", "cost", "created", "command", "digest")
    return {key: value for key, value in content.items() if key not in volatile}


def totals(record: Record) -> tuple[int, int, int]:
    answers = record.answers.values()
    return sum(x.unread for x in answers), sum(x.tokens_in for x in answers), sum(x.tokens_out for x in answers)


# --- all eight tasks ----------------------------------------------------------------------------------------


def test_the_papers_eight_tasks_and_no_others_have_prompts() -> None:
    cards = [registry.task(name).card for name in registry.names("tasks")]
    assert {card.name for card in cards if "prompt" in card.protocols} == set(TASKS)
    assert all((card.prompt is not None) == (card.name in TASKS) for card in cards)


@pytest.mark.parametrize("task", TASKS)
def test_the_right_answers_score_best_and_everything_is_accounted_for(
    xrete: Run, chat_server: Server, results: Path, task: str
) -> None:
    dataset = mini(task)
    said = book(dataset)
    chat_server.answer = said.__getitem__
    done = xrete(*arguments(dataset, results, "--protocol", "prompt", "--price", "2,10", "--json"))
    assert done.returncode == 0, done.stderr
    path, record = only_record(results)
    assert json.loads(done.stdout) == record.model_dump(mode="json", by_alias=True)
    assert record.score == pytest.approx(100 if record.higher_is_better else 0, abs=1e-9)
    assert (record.status, record.protocol, record.model.name) == ("complete", "prompt", MODEL)
    assert record.model.revision == f"gpt-x at {chat_server.url}, temperature=0"
    assert (record.fingerprint, record.model.dim, record.environment.device) == (None, None, "remote")

    assert sorted(chat_server.asked) == sorted(said)  # each of them once
    assert record.cost.sentences == len(said) == 16
    assert record.cost.sentences_cached == 0
    assert totals(record) == (0, *chat_server.tokens)
    assert set(record.answers) == set(record.languages)
    assert all(answers.models == {SNAPSHOT: 8} for answers in record.answers.values())
    tokens_in, tokens_out = chat_server.tokens
    assert record.cost.price == pytest.approx((2 * tokens_in + 10 * tokens_out) / 1e6)
    assert {"gold", "prediction"} == set(read_items(path, record)[dataset.languages[0]]) or task == "multieurlex"
    assert dataset.card.prompt is not None
    assert repr(dataset.card.prompt.template) in " ".join(record.notes)

    before = path.read_bytes()
    assert xrete(*arguments(dataset, results)).returncode == 0  # the record is there
    assert path.read_bytes() == before
    assert xrete(*arguments(dataset, results, "--force")).returncode == 0  # every answer is there
    again = read_record(path)
    assert essence(again) == essence(record)
    assert (again.cost.sentences, again.cost.sentences_cached, again.cost.price) == (0, 16, None)
    assert len(chat_server.bodies) == 16


@pytest.mark.parametrize("task", TASKS)
def test_other_known_answers_score_what_theory_says(
    xrete: Run, chat_server: Server, results: Path, task: str
) -> None:
    """The first class, number or topic for everything in one language; in the other, nothing that can be read."""
    dataset = mini(task)
    names = dict(zip(dataset.languages, ("constant", "mute"), strict=True))
    said: dict[str, str] = {}
    for language, name in names.items():
        said |= {question: book(dataset, name)[question] for question in prompt.questions(dataset, language)}
    chat_server.answer = said.__getitem__
    done = xrete(*arguments(dataset, results, "--protocol", "prompt"))
    assert done.returncode == 0, done.stderr
    record = only_record(results)[1]
    for language, score in record.languages.items():
        expected = known(dataset, language)[names[language]]
        values = {record.metric: score.score, **score.variants}
        assert values[expected.metric or record.metric] == pytest.approx(expected.score, abs=1e-9)
        assert record.answers[language].unread == (8 if names[language] == "mute" else 0)
    assert "8 answers could not be read and count as wrong" in done.stdout


STYLES = (
    "{}", "**{}**", "Answer: {}.", "{}\n\nThis is my answer.", "<think>1, 2, yes, no or trade?</think>\n{}",
    "Let me see.\n\n**Final answer:** {}",
)  # fmt: skip


@pytest.mark.parametrize("task", TASKS)
def test_wordy_answers_are_read_too(xrete: Run, chat_server: Server, results: Path, task: str) -> None:
    dataset = mini(task, languages=1)
    said = {
        question: STYLES[row % 6].format(answer) for row, (question, answer) in enumerate(book(dataset).items())
    }
    chat_server.answer = said.__getitem__
    assert xrete(*arguments(dataset, results, "--protocol", "prompt")).returncode == 0
    record = only_record(results)[1]
    assert totals(record)[0] == 0
    assert record.score == pytest.approx(100 if record.higher_is_better else 0, abs=1e-9)


def test_nonsense_is_counted_and_wrong(xrete: Run, chat_server: Server, results: Path) -> None:
    dataset = mini("xnli", limit=None)
    said = book(dataset)
    lost = {
        language: prompt.questions(dataset, language)[:count]
        for language, count in zip(dataset.languages, (3, 0), strict=True)
    }
    nonsense = iter(("Bananas!", "neutral? contradiction?", ""))
    said |= {question: next(nonsense) for questions in lost.values() for question in questions}
    chat_server.answer = said.__getitem__
    done = xrete(*arguments(dataset, results, "--protocol", "prompt"))
    assert "(3 answers could not be read and count as wrong)" in done.stdout
    path, record = only_record(results)
    first, second = dataset.languages
    size = dataset.shape.size(dataset[first])
    assert record.languages[first].score == pytest.approx(100 * (size - 3) / size)
    assert record.languages[second].score == 100
    assert {language: answers.unread for language, answers in record.answers.items()} == {first: 3, second: 0}
    assert "prompt: an answer that cannot be read counts as none of the classes" in record.notes
    assert read_items(path, record)[first]["prediction"].tolist().count(classification.NO_CLASS) == 3


def test_a_long_law_is_cut(chat_server: Server) -> None:
    dataset = mini("multieurlex")
    assert dataset.card.prompt is not None
    shown = dataset.card.prompt.fill({"first": "a" * 1999 + "bc"})
    assert shown.endswith("ab")
    assert "prompt: of longer texts, the first 2,000 characters are shown" in prompt.notes(dataset, Settings())


def test_a_question_that_is_asked_twice_is_paid_once(chat_server: Server, results: Path) -> None:
    data = Labelled(first=["a", "b", "a"], labels=["yes", "no", "yes"], classes=("no", "yes"))
    dataset = Dataset(Toy(data), Mini())
    chat_server.answer = lambda question: "yes"
    record = evaluate_chat(dataset)
    assert len(chat_server.asked) == 2
    assert totals(record) == (0, *chat_server.tokens)
    assert (record.cost.sentences, record.cost.sentences_cached) == (2, 1)
    assert record.score == pytest.approx(200 / 3)


class Toy:
    """A task of somebody else, with a prompt of its own."""

    def __init__(self, data: Labelled, **changes: Any) -> None:
        from xrete.prompts import OneOf, Prompt

        self.data = data
        settings: dict[str, Any] = {
            "protocols": ("prompt",),
            "prompt": Prompt(template="Is it {first}?", answer=OneOf({"yes": "yes", "no": "no"})),
        }
        self.card = TaskCard(
            name="toy", title="Toy", shape="classification", category="classification", metric="accuracy",
            languages=("en",), splits=("test",), counts={}, licence="none", citation="none", layout="none",
            **settings | changes,
        )  # fmt: skip

    def files(self, language: str, split: str) -> list[str]:
        return ["none"]

    def from_folder(self, folder: object, language: str, split: str) -> None:
        return None

    def from_mini(self, mini: Mini, language: str, split: str) -> Labelled | None:
        return self.data


def evaluate_chat(dataset: Dataset, **options: Any) -> Record:
    import xrete

    return xrete.evaluate(registry.load_model(MODEL), dataset, **options)


def test_other_words_make_another_record(chat_server: Server, results: Path) -> None:
    from xrete.prompts import OneOf, Prompt

    data = Labelled(first=["a"], labels=["yes"], classes=("no", "yes"))
    answers = OneOf({"yes": "yes", "no": "no"})
    for words in ("Is it {first}?", "Can it be {first}?"):
        dataset = Dataset(Toy(data, prompt=Prompt(template=words, answer=answers)), Mini())
        for languages in ("all", "en"):  # nothing is trained, so this decides nothing
            evaluate_chat(dataset, results=results, train_languages=languages)
    assert len(list(find_records(results))) == 2
    assert len(chat_server.asked) == 2


# --- how what cannot be read counts -------------------------------------------------------------------------


def test_no_class_is_no_class_of_its_own() -> None:
    """One answer of a thousand that cannot be read must not cost a third of the mean over classes."""
    gold, prediction = np.array(["a", "b", "b"]), np.array(["a", "b", classification.NO_CLASS])
    assert macro_f1(gold, prediction) == pytest.approx((1 + 2 / 3) / 2)
    assert macro_f1(gold, np.array([classification.NO_CLASS] * 3)) == 0


def test_stars_that_cannot_be_read_are_the_farthest() -> None:
    data = Labelled(first=list("abcde"), labels=list("12345"), classes=tuple("12345"))
    items = classification.ORDINAL.answered(data, [None, None, None, None, 4.0])
    assert items["prediction"].tolist() == [5, 5, 1, 1, 4]
    assert items["gold"].tolist() == [1, 2, 3, 4, 5]


def test_a_choice_that_cannot_be_read_is_neither() -> None:
    dataset = mini("xcopa", languages=1)
    assert isinstance(dataset.shape, PromptShape)
    items = dataset.shape.answered(dataset[dataset.languages[0]], [1, 2.0, None, None, None, None, None, None])
    assert items["prediction"].tolist() == [0, 1, -1, -1, -1, -1, -1, -1]


def test_similarities_that_cannot_be_read_stand_at_the_wrong_end() -> None:
    shape = load_shape("similarity")
    assert isinstance(shape, PromptShape)
    data = ScoredPairs(first=list("abcd"), second=list("abcd"), scores=[0.0, 1.0, 4.0, 5.0])
    items = shape.answered(data, [None, 2.0, None, 3.5])
    assert items["prediction"].tolist() == [3.5, 2.0, 2.0, 3.5]
    assert shape.answered(data, [None] * 4)["prediction"].tolist() == [0.0] * 4
    right, half = ([0.0, 1.0, 4.0, 5.0], [0.0, None, None, 5.0])
    better, worse = (shape.metrics["pearson"].statistic(shape.answered(data, x)) for x in (right, half))
    assert better > worse


def test_topics_count_in_the_order_in_which_they_are_named() -> None:
    shape = load_shape("multilabel")
    assert isinstance(shape, PromptShape)
    classes = ("a", "b", "c", "d")
    data = MultiLabelled(first=list("12345"), labels=[["a", "d"]] * 5, classes=classes)
    items = shape.answered(data, [("d", "a", "b"), ("b", "d", "a"), ("d",), (), None])
    assert items["r_precision"].tolist() == [1.0, 0.5, 0.5, 0.0, 0.0]  # what is not named is never found
    assert items["predicted"].tolist() == [3, 3, 1, 0, 0]
    assert items["hits"].tolist() == [2, 2, 1, 0, 0]


# --- interrupted and failing runs ---------------------------------------------------------------------------


def start(command: Sequence[object], folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "xrete", *map(str, command)],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


@pytest.mark.parametrize("kill", [signal.SIGINT, signal.SIGKILL])
def test_a_stopped_run_goes_on_and_pays_nothing_twice(
    xrete: Run,
    chat_server: Server,
    results: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kill: signal.Signals,
) -> None:
    dataset = mini("xnli", languages=3, limit=None)
    said = book(dataset)
    # Some wrong, some nonsense, so that records can differ.
    said |= {question: "neutral" if row % 3 else "?" for row, question in enumerate(list(said)[::4])}
    chat_server.answer = said.__getitem__
    stop_at = 37  # in the second of three languages
    chat_server.trouble = lambda number: "hang" if number >= stop_at else None
    command = arguments(dataset, results, "--protocol", "prompt", "--concurrency", 3)
    process = start(command, tmp_path)
    try:
        for _ in range(3):  # all hang, so what else was answered has been received
            assert chat_server.hanging.acquire(timeout=60), process.communicate()
        process.send_signal(kill)
        stdout, stderr = process.communicate(timeout=60)
    finally:
        process.kill()
    assert stdout == ""
    if kill == signal.SIGINT:
        assert process.returncode == 130
        assert stderr.endswith("stopped; run the same command again to go on\n")
        assert only_record(results)[1].status == "partial"
        assert list(only_record(results)[1].answers) == list(dataset.languages[:1])
    before = len(chat_server.asked)
    assert before == stop_at

    chat_server.trouble = lambda number: None
    done = xrete(*command)
    assert done.returncode == 0, done.stderr
    path, record = only_record(results)
    assert record.status == "complete"
    assert sorted(chat_server.asked) == sorted(said)  # each of them was answered once
    assert record.cost.sentences == len(said) - before

    monkeypatch.setenv("XRETE_CACHE", str(tmp_path / "other-cache"))
    unbroken = tmp_path / "unbroken"
    assert xrete(*arguments(dataset, unbroken, "--protocol", "prompt")).returncode == 0
    expected_path, expected = only_record(unbroken)
    assert essence(record) == essence(expected)
    assert 0 < (record.score or 0) < 100
    items, expected_items = (p.with_name(f"{p.stem}.items.parquet") for p in (path, expected_path))
    assert items.read_bytes() == expected_items.read_bytes()


def test_a_run_that_an_endpoint_ends_goes_on_later(xrete: Run, chat_server: Server, results: Path) -> None:
    dataset = mini("pawsx")
    said = book(dataset)
    chat_server.answer = said.__getitem__
    chat_server.trouble = lambda number: "500" if number >= 10 else None
    done = xrete(*arguments(dataset, results, "--protocol", "prompt"))
    assert done.returncode == 1
    assert "gave no answer in 8 attempts" in done.stderr
    record = only_record(results)[1]
    assert record.status == "failed"
    assert record.error is not None
    assert "run the same command again to go on" in record.error
    chat_server.trouble = lambda number: None
    assert xrete(*arguments(dataset, results, "--protocol", "prompt")).returncode == 0
    assert sorted(chat_server.asked) == sorted(said)
    assert only_record(results)[1].score == 100


def files_below(*folders: Path) -> Iterator[Path]:
    return (path for folder in folders for path in folder.rglob("*") if path.is_file())


def test_the_key_is_written_nowhere(
    xrete: Run, chat_server: Server, results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not in records, caches, or what is said; whether it is right, refused, or repeated by the endpoint."""
    dataset, key = mini("xnli", languages=1), os.environ["OPENAI_API_KEY"]
    chat_server.answer = lambda question: "neutral"
    said = ""
    for trouble in ("no credit", "400", "429 for hours", None):
        chat_server.trouble = lambda number, x=trouble: x
        done = xrete("--debug", *arguments(dataset, results, "--protocol", "prompt"))
        assert (done.returncode == 0) == (trouble is None)
        said += done.stdout + done.stderr
    monkeypatch.setenv("OPENAI_API_KEY", f"{key}-wrong")
    done = xrete("--debug", *arguments(mini("qe"), results, "--protocol", "prompt"))
    assert "refuses the key" in done.stderr
    said += done.stdout + done.stderr
    assert "Traceback" in said
    assert key not in said
    assert len(list(find_records(results))) == 2
    paths = list(files_below(tmp_path, cache_root()))
    assert answers_file() in paths
    assert any(path.suffix == ".parquet" for path in paths)
    assert [path for path in paths if key.encode() in path.read_bytes()] == []
    assert any(b"neutral" in path.read_bytes() for path in paths if path.name.startswith("answers.sqlite"))


def test_without_a_cache_everything_is_asked_again(xrete: Run, chat_server: Server, results: Path) -> None:
    for name in ("one", "two"):
        done = xrete(*arguments(mini("xnli", languages=1), results / name, "--protocol", "prompt", "--no-cache"))
        assert done.returncode == 0
    assert len(chat_server.asked) == 16
    assert not answers_file().exists()


# --- who can be asked what ----------------------------------------------------------------------------------


def test_the_protocol_that_fits_the_model_is_taken(
    xrete: Run, chat_server: Server, fake_models: tuple[str, str], results: Path
) -> None:
    done = xrete("run", "--model", f"hash,{MODEL}", *arguments(mini("qe"), results)[3:], *fake_models)
    assert done.returncode == 0, done.stderr
    protocols = {record.model.name: record.protocol for record in map(read_record, find_records(results))}
    assert protocols == {"hash": "zero-shot", MODEL: "prompt"}


@pytest.mark.parametrize(
    ("model", "task", "protocol", "sentence"),
    [
        (
            "hash",
            "xnli",
            "prompt",
            "hash gives vectors, and protocol 'prompt' of xnli wants a chat model; use --protocol probe",
        ),
        (
            "hash",
            "qe",
            "prompt",
            "and protocol 'prompt' of qe wants a chat model; use --protocol zero-shot or probe",
        ),
        (
            MODEL,
            "xnli",
            "probe",
            "chatgpt:gpt-x answers in words, and protocol 'probe' of xnli wants vectors; use --protocol prompt",
        ),
        (MODEL, "qe", "zero-shot", "and protocol 'zero-shot' of qe wants vectors; use --protocol prompt"),
        (
            MODEL,
            "tatoeba",
            None,
            "answers in words, and every protocol of tatoeba wants vectors; leave the task out",
        ),
        (MODEL, "tatoeba", "prompt", "unknown protocol of tatoeba 'prompt' (1 known"),
    ],
)
def test_models_that_do_not_fit(
    xrete: Run, chat_server: Server, fake_models: tuple[str, str], results: Path, model: str, task: str,
    protocol: str | None, sentence: str,
) -> None:  # fmt: skip
    asked = ["--protocol", protocol] if protocol else []
    done = xrete(
        "run", "--model", model, "--task", task, "--data", "mini", "--results", results, *asked, *fake_models
    )
    assert done.returncode == 2
    assert sentence in done.stderr
    assert chat_server.bodies == []
    assert list(find_records(results)) == []


def test_a_picture_of_a_chat_model_is_refused(xrete: Run, chat_server: Server, tmp_path: Path) -> None:
    done = xrete("picture", "--model", MODEL, "--data", "mini", "--out", tmp_path / "pictures")
    assert done.returncode == 2
    assert "gpt-x is a chat model, which has no vectors" in done.stderr


# --- before a run -------------------------------------------------------------------------------------------


def plans(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def snapshot(*folders: Path) -> Mapping[Path, bytes]:
    return {path: path.read_bytes() for path in files_below(*folders)}


def test_a_dry_run_says_what_would_be_done_and_does_nothing(
    xrete: Run,
    chat_server: Server,
    fake_models: tuple[str, str],
    results: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "140")
    dataset = mini("qe")
    command = [
        "run", "--model", f"hash,{MODEL}", *arguments(dataset, results, *fake_models, "--price", "2,10")[3:],
    ]  # fmt: skip
    encoder, asked = plans(xrete(*command, "--dry-run", "--json"))
    questions = [question for language in dataset.languages for question in prompt.questions(dataset, language)]
    common = {
        "task": "qe", "source": "mini", "split": "test", "languages": 2, "finished": 0, "seeds": [], "training": [],
    }  # fmt: skip
    assert encoder == common | {
        "model": "hash", "protocol": "zero-shot", "texts": 32, "answered": None, "tokens_in": None,
        "tokens_out": None, "price": None,
    }  # fmt: skip
    tokens = sum(map(estimate_tokens, questions)), 16 * ANSWER_TOKENS
    assert asked == common | {
        "model": MODEL, "protocol": "prompt", "texts": 16, "answered": 0, "tokens_in": tokens[0],
        "tokens_out": tokens[1], "price": pytest.approx((2 * tokens[0] + 10 * tokens[1]) / 1e6),
    }  # fmt: skip
    assert (chat_server.bodies, snapshot(results, cache_root())) == ([], {})

    done = xrete(*command)
    assert done.returncode == 0
    price = f"{asked['price']:.4f}"
    said = (
        f"{MODEL} · qe: 16 questions; about {tokens[0]:,} tokens in and {tokens[1]:,} out, at a price of {price}\n"
    )
    assert said in done.stderr
    before = snapshot(results)
    assert [plan["finished"] for plan in plans(xrete(*command, "--dry-run", "--json"))] == [2, 2]
    (again,) = plans(xrete(*command, "--model", MODEL, "--dry-run", "--json", "--force"))[1:]
    assert (again["finished"], again["texts"], again["answered"], again["tokens_in"]) == (0, 16, 16, 0)
    assert snapshot(results) == before
    table = xrete(*command, "--dry-run").stdout
    assert table.count("finished") == 2
    assert len(chat_server.bodies) == 16


def test_a_dry_run_knows_what_an_unfinished_run_has_done(
    xrete: Run, chat_server: Server, results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "140")
    dataset = mini("xnli")
    chat_server.trouble = lambda number: "400" if number >= 11 else None
    assert xrete(*arguments(dataset, results, "--concurrency", 1)).returncode == 1
    (plan,) = plans(xrete(*arguments(dataset, results, "--dry-run", "--json", "--protocol", "prompt")))
    assert (plan["languages"], plan["finished"], plan["texts"], plan["answered"]) == (2, 1, 8, 3)
    table = xrete(*arguments(dataset, results, "--dry-run", "--protocol", "prompt")).stdout
    assert re.search(rf"{MODEL} +xnli +prompt +8 questions, in 1 of 2 languages, 3 of them answered before", table)
    assert f" {plan['tokens_in']:,} in, {5 * ANSWER_TOKENS} out" in table


def test_a_dry_run_says_what_cannot_run(
    xrete: Run, chat_server: Server, results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "140")
    done = xrete(
        "run", "--model", MODEL, "--task", "qe,tatoeba", "--data", "mini", "--results", results, "--dry-run"
    )
    assert done.returncode == 2
    assert "every protocol of tatoeba wants vectors" in done.stderr
    assert done.stdout.count(MODEL) == 1


def test_a_dry_run_needs_no_key(xrete: Run, monkeypatch: pytest.MonkeyPatch, results: Path) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    assert plans(xrete(*arguments(mini("qe"), results, "--dry-run", "--json")))[0]["texts"] == 16
    done = xrete(*arguments(mini("qe"), results))
    assert done.returncode == 1
    assert "chatgpt needs a key: put it into the environment variable OPENAI_API_KEY" in done.stderr


@pytest.mark.parametrize("price", ["1", "a,b", "1,2,3", "-1,2", "nan,1", ""])
def test_a_wrong_price(xrete: Run, chat_server: Server, results: Path, price: str) -> None:
    done = xrete(*arguments(mini("qe"), results, "--price", price))
    assert done.returncode == 2
    assert "--price wants the prices of a million tokens in and out, as in 0.15,0.60" in done.stderr


def test_tokens_are_estimated_from_bytes() -> None:
    assert [estimate_tokens(text) - estimate_tokens("") for text in ("a", "abc", "abcd", "水", "水水")] == [
        1,
        1,
        2,
        1,
        2,
    ]


def test_a_forecast_without_results_knows_only_the_cache(chat_server: Server) -> None:
    dataset = mini("xnli", languages=1)
    request = registry.request_model(MODEL)
    assert forecast(Plan.make(request.identity, dataset, RunOptions())).answered == 0
    evaluate_chat(dataset)
    found = forecast(Plan.make(request.identity, dataset, RunOptions(price=(1, 1))))
    assert (found.answered, found.finished, found.tokens_in, found.price) == (8, 0, 0, 0)
    assert forecast(Plan.make(request.identity, dataset, RunOptions(use_cache=False))).answered == 0


# --- reports and documents ----------------------------------------------------------------------------------


def test_reports_show_it_beside_the_papers_row(xrete: Run, chat_server: Server, results: Path) -> None:
    dataset = mini("pawsx", limit=None)
    chat_server.answer = book(dataset).__getitem__
    assert xrete(*arguments(dataset, results, "--protocol", "prompt")).returncode == 0
    done = xrete("report", results, "--format", "csv", "--data", "mini")
    assert done.returncode == 0, done.stderr
    assert "prompt" in done.stdout
    assert MODEL in done.stdout


def test_the_commands_of_the_page_work(
    xrete: Run, chat_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = Path(__file__).parents[3] / "docs" / "prompting.md"
    if not page.is_file():
        pytest.skip("these tests were copied out of their checkout")
    monkeypatch.chdir(tmp_path)
    commands = re.findall(r"^xrete (run .*--data mini.*)$", page.read_text("utf-8"), re.MULTILINE)
    assert len(commands) >= 2
    for command in commands:
        done = xrete(*command.replace("MODEL", "gpt-x").split())
        assert done.returncode == 0, f"{command}\n{done.stderr}"
    assert chat_server.asked
