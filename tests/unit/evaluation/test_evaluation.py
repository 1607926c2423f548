"""The main loop: the scores of a ten-line script, and the same record whatever interrupts it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import skew

import xrete
from xrete import registry
from xrete.dataset import Dataset
from xrete.encoding.embedder import PROBE
from xrete.errors import UsageError, XreteError
from xrete.evaluation.forecast import forecast
from xrete.evaluation.plan import Plan, RunOptions
from xrete.evaluation.run import run
from xrete.files import cache_root
from xrete.model import wrap
from xrete.record import Record, read_record
from xrete.scores import resampling
from xrete.sources import Folder, Mini
from xrete.store import Outcome, find_records, read_items

NewNgrams = Callable[..., Any]
ModelOf = Callable[..., Any]

SCRIPT = Path(__file__).parents[2] / "encoders.py"
LANGUAGES = ("deu", "fin", "fra", "jpn", "rus", "swh")
"""Those that the script scores, in the order in which it does."""


def tatoeba(*languages: str, limit: int | None = None) -> Dataset:
    return Dataset(registry.task("tatoeba"), Mini(), languages=languages or LANGUAGES, limit=limit)


def same(model: Any) -> Any:
    return model


def brute_force(encoder: Any, source: Sequence[str], target: Sequence[str]) -> tuple[float, float]:
    left, right = (np.asarray(encoder.encode(side), dtype=np.float64) for side in (source, target))
    left /= np.linalg.norm(left, axis=1, keepdims=True)
    right /= np.linalg.norm(right, axis=1, keepdims=True)
    cosines = left @ right.T
    rows = np.arange(len(source))
    forward, backward = cosines.argmax(axis=1) == rows, cosines.argmax(axis=0) == rows
    return float(100 * forward.mean()), float(100 * backward.mean())


def essence(record: Record) -> dict[str, Any]:
    """The record without what may differ between two runs that did the same; the checkout may change meanwhile."""
    content = record.model_dump(mode="json", by_alias=True)
    return {
        key: value for key, value in content.items() if key not in ("code", "cost", "created", "command", "digest")
    }


def only_record(results: Path) -> tuple[Path, Record]:
    (path,) = find_records(results)
    return path, read_record(path)


@pytest.mark.parametrize("task", ["tatoeba", "flores"])
def test_scores_are_those_of_brute_force(new_ngrams: NewNgrams, task: str) -> None:
    dataset = xrete.load_task(task, "mini")
    record = xrete.evaluate(new_ngrams(), dataset)
    table = Mini().table("parallel.tsv")
    assert len(record.languages) >= 16
    for language, found in record.languages.items():
        code = {"ara": "arb", "cmn": "zho"}.get(language, language)
        column = next(name for name in table if name.startswith(code))
        forward, backward = brute_force(new_ngrams(), table[column], table["eng_Latn"])
        assert found.score == pytest.approx(forward, abs=1e-9), language
        both = (forward + backward) / 2
        assert found.variants["accuracy_en2xx"] == pytest.approx(backward, abs=1e-9)
        assert found.variants["accuracy_both"] == pytest.approx(both, abs=1e-9)
        assert found.n == 72
        assert found.ci95 is not None
        assert found.ci95[0] <= found.score <= found.ci95[1]
    scores = [found.score for found in record.languages.values()]
    assert min(scores) < 5 < 25 < max(scores)  # or nothing was tested


def test_groups_are_unweighted_means_over_the_languages_that_are_there(new_ngrams: NewNgrams) -> None:
    dataset = xrete.load_task("tatoeba", "mini")
    record = xrete.evaluate(new_ngrams(), dataset)
    assert record.score == record.groups["all"].score
    assert record.ci95 == record.groups["all"].ci95
    for name, members in {"all": dataset.card.languages, **dataset.card.groups}.items():
        group = record.groups[name]
        present = [code for code in members if code in record.languages]
        assert group.languages == tuple(present)
        assert set(group.missing) == set(members) - set(present)
        assert group.score == pytest.approx(np.mean([record.languages[code].score for code in present]))
        assert group.variants["accuracy_en2xx"] == pytest.approx(
            np.mean([record.languages[code].variants["accuracy_en2xx"] for code in present])
        )
        assert group.ci95 is not None
        assert group.ci95[0] < group.score < group.ci95[1]
        widths = [x.ci95[1] - x.ci95[0] for code in present if (x := record.languages[code]).ci95]
        assert group.ci95[1] - group.ci95[0] < max(widths)
    assert record.missing_languages == dataset.missing
    assert record.groups["xtreme-r"].missing  # a mean over unequal sets says so


def test_a_group_without_any_language_is_left_out(new_ngrams: NewNgrams) -> None:
    record = xrete.evaluate(new_ngrams(), tatoeba("deu"))
    assert set(record.groups) == {"all", "head", "xtreme-r"}


def test_intervals_of_shared_items_are_wider_and_say_so(new_ngrams: NewNgrams) -> None:
    """FLORES has the same sentences in every language, Tatoeba has not."""
    encoder, languages = new_ngrams(), ["de", "fr", "fi", "ru", "sw"]
    shared = xrete.evaluate(encoder, xrete.load_task("flores", "mini", languages=languages))
    assert shared.interval.method == resampling.PARALLEL
    assert xrete.evaluate(encoder, tatoeba()).interval.method == resampling.STRATIFIED
    low, high = shared.groups["all"].ci95 or (0, 0)
    widths = [ci95[1] - ci95[0] for score in shared.languages.values() if (ci95 := score.ci95)]
    assert high - low > 1.1 * np.mean(widths) / np.sqrt(len(widths))  # what it would be of unequal sentences
    alone = xrete.evaluate(encoder, xrete.load_task("flores", "mini", languages=["de"]))
    assert alone.ci95 == alone.languages["deu_Latn"].ci95 == shared.languages["deu_Latn"].ci95


def test_the_record_says_what_each_language_was_scored_on(new_ngrams: NewNgrams) -> None:
    """Where languages share candidates, what one of them finds depends on the others."""
    whole, part = (xrete.evaluate(new_ngrams(), tatoeba(*x)).data.languages for x in (LANGUAGES, ("deu", "swh")))
    assert tuple(whole) == LANGUAGES
    assert part == {language: whole[language] for language in ("deu", "swh")}
    assert len(set(whole.values())) == len(LANGUAGES)
    assert xrete.evaluate(new_ngrams(), tatoeba(limit=20)).data.languages["deu"] != whole["deu"]
    lareqa = xrete.load_task("lareqa", "mini", languages=["de", "ru"])
    assert xrete.evaluate(new_ngrams(), lareqa).data.languages == {}


def test_the_record_says_what_was_done(new_ngrams: NewNgrams, model_of: ModelOf, results: Path) -> None:
    model = model_of(new_ngrams())
    options = RunOptions(results=results, command="xrete run …", seed=7)
    record = run(model.identity, lambda: model, tatoeba(limit=20), options)
    assert (record.status, record.error, record.command) == ("complete", None, "xrete run …")
    assert (record.model.name, record.model.dim, record.model.params) == ("ngrams", 256, 0)
    assert (record.data.source, record.data.limit) == ("mini", 20)
    assert record.data.fingerprint == tatoeba(limit=20).fingerprint()
    assert (record.interval.seed, record.environment.seed, record.interval.resamples) == (7, 7, 1000)
    distinct = {
        text
        for code in LANGUAGES
        for side in (tatoeba()[code].source, tatoeba()[code].target)
        for text in side[:20]
    }
    assert record.cost.sentences == len(distinct)
    assert record.cost.sentences + record.cost.sentences_cached == 2 * 20 * len(LANGUAGES)
    path, saved = only_record(results)
    assert saved == record
    for language, columns in read_items(path, record).items():
        assert record.languages[language].score == pytest.approx(100 * np.mean(columns["xx2en"] == np.arange(20)))


@pytest.mark.parametrize(
    ("task", "protocol"),
    [("tatoeba", "zero-shot"), ("lareqa", "zero-shot"), ("qe", "probe"), ("xnli", "probe"), ("xcopa", "probe")],
)
def test_a_forecast_counts_every_text_that_is_read(
    new_ngrams: NewNgrams, model_of: ModelOf, task: str, protocol: str
) -> None:
    model, dataset, options = model_of(new_ngrams()), xrete.load_task(task, "mini"), RunOptions(protocol=protocol)
    cost = run(model.identity, lambda: model, dataset, options).cost
    assert forecast(Plan.make(model.identity, dataset, options)).texts == cost.sentences + cost.sentences_cached


def test_a_second_run_does_nothing(new_ngrams: NewNgrams, model_of: ModelOf, results: Path) -> None:
    model = model_of(new_ngrams())
    first = run(model.identity, lambda: model, tatoeba(), RunOptions(results=results))

    def load() -> Any:
        raise AssertionError("the model was loaded")

    path, _ = only_record(results)
    before = path.stat()
    assert run(model.identity, load, tatoeba(), RunOptions(results=results, command="again")) == first
    assert path.stat() == before


@pytest.mark.parametrize(
    "other", [{"seed": 1}, {"languages": ("deu",)}, {"limit": 30}, {"name": "other"}, {"task": "flores"}]
)
def test_another_question_is_another_record(
    new_ngrams: NewNgrams, model_of: ModelOf, results: Path, other: dict[str, Any]
) -> None:
    for changed in ({}, other):
        model = model_of(new_ngrams(), changed.get("name", "ngrams"))
        codes = {"tatoeba": ("deu", "swh"), "flores": ("de", "sw")}[changed.get("task", "tatoeba")]
        dataset = Dataset(
            registry.task(changed.get("task", "tatoeba")),
            Mini(),
            languages=changed.get("languages", codes),
            limit=changed.get("limit"),
        )
        run(
            model.identity, partial(same, model), dataset, RunOptions(results=results, seed=changed.get("seed", 42))
        )
    assert len(list(find_records(results))) == 2


def test_force_scores_again_from_the_cache(new_ngrams: NewNgrams, model_of: ModelOf, results: Path) -> None:
    model = model_of(new_ngrams())
    first = run(model.identity, lambda: model, tatoeba(), RunOptions(results=results))
    again = model_of(new_ngrams())
    second = run(
        again.identity, lambda: again, tatoeba(), RunOptions(results=results, force=True, command="forced")
    )
    assert second.command == "forced"
    assert essence(second) == essence(first)
    assert again.encoder.encoded == []
    assert (second.cost.sentences, second.cost.sentences_cached) == (0, 2 * 72 * len(LANGUAGES))
    assert second.cost.truncated == first.cost.truncated
    assert second.cost.sentences_per_second is None
    assert only_record(results)[1] == second


def test_the_cache_can_be_switched_off(new_ngrams: NewNgrams, model_of: ModelOf, results: Path) -> None:
    counts = []
    for number in range(2):
        model = model_of(new_ngrams())
        options = RunOptions(results=results / str(number), use_cache=False)
        record = run(model.identity, partial(same, model), tatoeba("deu", "fra"), options)
        counts.append((record.cost.sentences, record.cost.sentences_cached, len(model.encoder.encoded)))
    assert counts == [(288, 0, 288)] * 2
    assert not (cache_root() / "embeddings").exists()


def test_two_tasks_share_what_is_encoded(new_ngrams: NewNgrams, model_of: ModelOf) -> None:
    """Both samples are of the same table."""
    model = model_of(new_ngrams())
    for task, language in (("tatoeba", "swh"), ("flores", "swh_Latn")):
        dataset = Dataset(registry.task(task), Mini(), languages=[language])
        run(model.identity, lambda: model, dataset, RunOptions())
    assert len(model.encoder.encoded) == len(set(model.encoder.encoded)) == 144


def test_an_unwritable_cache_costs_time_only(new_ngrams: NewNgrams, model_of: ModelOf) -> None:
    (cache_root() / "embeddings").write_text("a file where the folder should be")
    model = model_of(new_ngrams())
    assert run(model.identity, lambda: model, tatoeba("deu"), RunOptions()).status == "complete"


def test_objects_of_one_class_are_not_mistaken_for_each_other(results: Path) -> None:
    """Nobody knows whether a plain object is the one that ran before: it is scored again, from nothing."""

    class Plain:
        def __init__(self, right: bool) -> None:
            self.right = right

        def encode(self, texts: Sequence[str], /) -> NDArray[np.float32]:
            table = Mini().table("parallel.tsv")
            rows = {text: row for name in ("deu_Latn", "eng_Latn") for row, text in enumerate(table[name])}
            keys = [rows.get(text, 99) if self.right else 0 for text in texts]
            return np.eye(100, dtype=np.float32)[keys]

    scores = [xrete.evaluate(Plain(right), tatoeba("deu"), results=results).score for right in (True, False)]
    assert scores == [100.0, pytest.approx(100 / 72)]
    assert not (cache_root() / "embeddings").exists()


def test_what_has_no_encode_is_no_model() -> None:
    with pytest.raises(TypeError, match=r"a model needs encode\(list\[str\]\) -> array; object has none"):
        xrete.evaluate(object(), tatoeba("deu"))


def test_an_unknown_protocol_is_named(new_ngrams: NewNgrams) -> None:
    with pytest.raises(UsageError, match="tatoeba has no protocol 'fine-tune'; it has zero-shot"):
        xrete.evaluate(new_ngrams(), tatoeba("deu"), protocol="fine-tune")


def at(text: str, error: BaseException) -> Callable[[Sequence[str]], None]:
    def before(texts: Sequence[str]) -> None:
        if text in texts:
            raise error

    return before


RUSSIAN = "Поезд отправляется в семь часов утра."
"""In the fifth of the six languages."""


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (XreteError("out of memory; use a smaller model"), "failed", "out of memory; use a smaller model"),
        (RuntimeError("what no model should raise"), "failed", "RuntimeError: what no model should raise"),
        (KeyboardInterrupt(), "partial", None),
    ],
)
def test_a_run_that_ends_early_says_so_and_the_next_goes_on(
    new_ngrams: NewNgrams, model_of: ModelOf, results: Path, error: BaseException, status: str, said: str | None
) -> None:
    broken, whole = model_of(new_ngrams(at(RUSSIAN, error))), model_of(new_ngrams())
    with pytest.raises(type(error)):
        run(broken.identity, lambda: broken, tatoeba(), RunOptions(results=results))
    path, record = only_record(results)
    assert (record.status, record.error) == (status, said)
    assert tuple(record.languages) == LANGUAGES[:4]
    assert list(read_items(path, record)) == list(LANGUAGES[:4])
    assert {"rus", "swh"} <= set(record.groups["all"].missing)

    resumed = run(whole.identity, lambda: whole, tatoeba(), RunOptions(results=results))
    assert (resumed.status, resumed.error) == ("complete", None)
    assert set(whole.encoder.encoded) & set(broken.encoder.encoded) == set()

    unbroken = model_of(new_ngrams())
    expected = run(
        unbroken.identity, lambda: unbroken, tatoeba(), RunOptions(results=results / "x", use_cache=False)
    )
    assert essence(resumed) == essence(expected)
    assert resumed.cost.truncated == expected.cost.truncated


def test_a_run_that_fails_before_its_first_language_says_so(
    new_ngrams: NewNgrams, model_of: ModelOf, results: Path
) -> None:
    model = model_of(new_ngrams(at(tatoeba()["deu"].source[0], XreteError("no"))))
    with pytest.raises(XreteError, match=r"^no$"):
        run(model.identity, lambda: model, tatoeba(), RunOptions(results=results))
    _, record = only_record(results)
    assert (record.status, record.error, record.score, record.items) == ("failed", "no", None, None)
    assert (record.languages, record.groups) == ({}, {})


@pytest.mark.parametrize("value", [np.nan, 0.0])
def test_a_model_of_nonsense_is_said_before_anything_is_scored(results: Path, value: float) -> None:
    class Nonsense:
        def encode(self, texts: Sequence[str], /) -> NDArray[np.float32]:
            return np.full((len(texts), 4), value, np.float32)

    with pytest.raises(
        XreteError, match=f"not finite or zero for {len(PROBE)} of {len(PROBE)} sentences, the first"
    ):
        xrete.evaluate(Nonsense(), tatoeba("deu"), results=results)


def test_damaged_data_stops_a_run_before_the_model_is_loaded(
    tmp_path: Path, bitext_folder: Path, model_of: ModelOf, new_ngrams: NewNgrams
) -> None:
    file = bitext_folder / "tatoeba" / "v1" / "tatoeba.tzl-eng.tzl"
    file.write_text("\n".join(file.read_text("utf-8").split("\n")[:50]), "utf-8")
    dataset = Dataset(registry.task("tatoeba"), Folder(bitext_folder))

    def load() -> Any:
        raise AssertionError("the model was loaded")

    with pytest.raises(XreteError, match=r"tatoeba\.tzl-eng\.tzl"):
        run(model_of(new_ngrams()).identity, load, dataset, RunOptions(results=tmp_path / "none"))
    assert not (tmp_path / "none").exists()


def start(results: Path, log: Path, stop_at: str = "") -> subprocess.Popen[str]:
    """Scores the six languages in a process of its own; it says when it begins, and when it sleeps."""
    command = [sys.executable, SCRIPT, "tatoeba", results, log, stop_at]
    return subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(process: subprocess.Popen[str], word: str) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if line.strip() == word:
            return
    raise AssertionError(f"the process ended without {word!r}: {process.stderr.read() if process.stderr else ''}")


def end(process: subprocess.Popen[str]) -> None:
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors


def unbroken(results: Path, model_of: ModelOf, new_ngrams: NewNgrams) -> tuple[Path, Record]:
    """The record of a run that nothing stopped, made here, without the cache of the others."""
    model = model_of(new_ngrams())
    run(model.identity, lambda: model, tatoeba(), RunOptions(results=results, use_cache=False))
    return only_record(results)


def encoded(log: Path) -> list[str]:
    return log.read_text("utf-8").removesuffix("\n").split("\n")


ALL_TEXTS = {
    text for code in LANGUAGES for side in (tatoeba()[code].source, tatoeba()[code].target) for text in side
}


@pytest.mark.parametrize("kill", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_run_goes_on_and_does_nothing_twice(
    tmp_path: Path, results: Path, model_of: ModelOf, new_ngrams: NewNgrams, kill: signal.Signals
) -> None:
    log = tmp_path / "log"
    text = tatoeba()["jpn"].source[20]  # in the middle of a language, with some chunks of it in the cache
    first = start(results, log, stop_at=text)
    wait_for(first, "sleeping")
    first.send_signal(kill)
    first.communicate(timeout=60)
    assert first.returncode != 0
    if kill == signal.SIGKILL:
        assert list(find_records(results)) == []
    else:
        assert only_record(results)[1].status == "partial"
    (journal,) = results.rglob("*.partial")
    assert sorted(path.stem for path in journal.iterdir() if path.suffix == ".parquet") == ["deu", "fin", "fra"]

    end(start(results, log))
    path, record = only_record(results)
    expected_path, expected = unbroken(tmp_path / "unbroken", model_of, new_ngrams)
    assert essence(record) == essence(expected)
    assert path.with_name(f"{path.stem}.items.parquet").read_bytes() == (
        expected_path.with_name(f"{expected_path.stem}.items.parquet").read_bytes()
    )
    assert not journal.exists()
    assert sorted(encoded(log)) == sorted(ALL_TEXTS)  # each of them once


def test_two_runs_at_once_on_one_folder(
    tmp_path: Path, results: Path, model_of: ModelOf, new_ngrams: NewNgrams
) -> None:
    """The second waits for the first, and finds its record."""
    log = tmp_path / "log"
    both = [start(results, log) for _ in range(2)]
    for process in both:
        end(process)
    _, record = only_record(results)
    assert essence(record) == essence(unbroken(tmp_path / "unbroken", model_of, new_ngrams)[1])
    assert sorted(encoded(log)) == sorted(ALL_TEXTS)


def test_a_run_waits_for_a_sleeping_one_and_takes_over_when_it_is_killed(tmp_path: Path, results: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    sleeping = start(results, first, stop_at=tatoeba()["fin"].source[0])
    wait_for(sleeping, "sleeping")
    waiting = start(results, second)
    wait_for(waiting, "scoring")
    time.sleep(0.5)
    assert waiting.poll() is None
    assert not second.exists()
    sleeping.kill()
    sleeping.communicate(timeout=60)
    end(waiting)
    assert only_record(results)[1].status == "complete"
    assert sorted(encoded(first) + encoded(second)) == sorted(ALL_TEXTS)


def test_records_are_json_for_everybody(new_ngrams: NewNgrams, results: Path) -> None:
    """Not only for Python, which reads NaN."""
    xrete.evaluate(new_ngrams(), tatoeba("deu"), results=results)
    (path,) = find_records(results)

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    assert json.loads(path.read_text("utf-8"), parse_constant=refuse)["schema"] == "xrete/record/1"


def test_records_of_bitext_retrieval_show_what_corrections_for_hubs_give(
    new_ngrams: NewNgrams, tmp_path: Path
) -> None:
    xrete.evaluate(new_ngrams(), xrete.load_task("tatoeba", "mini"), results=tmp_path)
    path, record = only_record(tmp_path)
    for language, items in read_items(path, record).items():
        score = record.languages[language]
        right = np.arange(score.n)
        for name in ("csls", "margin"):
            assert score.variants[f"accuracy_{name}"] == pytest.approx(
                100 * np.mean(items[f"xx2en_{name}"] == right)
            )
        assert score.variants["hubness"] == pytest.approx(float(skew(items["occurrences"])))
        assert items["occurrences"].sum() >= 10 * score.n
    assert record.metric == "accuracy"


def test_a_journal_of_a_version_with_fewer_metrics_is_scored_again(new_ngrams: NewNgrams, tmp_path: Path) -> None:
    dataset = xrete.load_task("tatoeba", "mini")
    plan = Plan.make(wrap(new_ngrams()).identity, dataset, RunOptions(results=tmp_path))
    slot = plan.slot(tmp_path)
    old = Outcome({"xx2en": np.arange(72), "en2xx": np.arange(72)}, 0)
    slot.save_outcome("deu", old)
    new = Outcome(
        {**old.items, "xx2en_csls": np.arange(72), "xx2en_margin": np.arange(72), "occurrences": np.ones(72)}, 0
    )
    slot.save_outcome("fra", new)
    assert list(plan.finished(slot)) == ["fra"]
