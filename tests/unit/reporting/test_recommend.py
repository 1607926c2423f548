"""The answer: which encoder for these languages and this purpose. The arithmetic is redone by hand."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from xrete import languages, registry
from xrete.published import store
from xrete.published.numbers import ModelFacts, Publication, PublishedNumber
from xrete.record import Record
from xrete.reporting.answer.families import branch, nearest
from xrete.reporting.answer.purposes import PURPOSES, overall_order
from xrete.reporting.answer.recommend import Answer, Question, recommend
from xrete.reporting.answer.scores import MEASURED, Known, known
from xrete.reporting.collect import Entry
from xrete.reporting.formats.recommendation import size, to_json, to_text

Run = Callable[..., subprocess.CompletedProcess[str]]
MakeRecord = Callable[..., Record]
MakeEntries = Callable[[list[Record]], list[Entry]]

ROOT = Path(__file__).parents[3]
HOSTILE = "evil\x1b[31m/[bold]<script>alert(1)</script>=cmd|'/C calc'!A0\u202e"


def published(
    scores: Mapping[str, Mapping[str, float]],
    facts: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    task: str = "tatoeba",
    metric: str = "accuracy",
    revision: str = "r",
) -> Publication:
    """What a source published: accuracies by model and language, of 1,000 sentences each."""
    numbers = [
        PublishedNumber(
            source="mteb", model=model, revision=revision, task=task, protocol="zero-shot", metric=metric,
            language=x, group=None, value=value, n=1000, split="test", data_revision="d", evaluator="2.0",
        )
        for model, own in scores.items()
        for x, value in own.items()
    ]  # fmt: skip
    known_of: dict[tuple[str, str | None], ModelFacts] = {
        (model, revision): ModelFacts(model, revision, **(facts or {}).get(model, {})) for model in scores
    }
    return Publication(source="mteb", version="c", licence="", command="", numbers=tuple(numbers), facts=known_of)


def answer(known_scores: Known, purpose: Any = "alignment", **question: Any) -> Answer:
    return recommend(known_scores, purpose, Question(**question))


# --- Short lists --------------------------------------------------------------------------------------------


def test_a_list_by_hand() -> None:
    """Three models on two languages of 1,000 sentences: means, their intervals, and who may be the best."""
    scores = {"a": {"swh": 90.0, "deu": 98.0}, "b": {"swh": 88.5, "deu": 98.5}, "c": {"swh": 60.0, "deu": 70.0}}
    (made,) = answer(known([], [published(scores)]), languages=("sw", "de")).lists
    assert (made.languages, made.n, made.paired) == (("deu", "swh"), 2000, False)
    assert [(x.facts.model, x.score) for x in made.candidates] == [("a", 94.0), ("b", 93.5), ("c", 65.0)]
    exact = [stats.binomtest(count, 1000).proportion_ci(0.95) for count in (900, 980)]
    below = np.hypot(90 - 100 * exact[0].low, 98 - 100 * exact[1].low) / 2
    above = np.hypot(100 * exact[0].high - 90, 100 * exact[1].high - 98) / 2
    assert made.candidates[0].ci95 == pytest.approx((94 - below, 94 + above))
    places = [(x.standing.best, x.standing.worst, x.standing.group) for x in made.candidates if x.standing]
    assert places == [(1, 2, 1), (1, 2, 1), (3, 3, 2)]
    assert [x.facts.model for x in made.best] == ["a", "b"]


def test_rank_intervals_hold_the_true_ranks() -> None:
    """Six models with known shares of right answers: all of a list's intervals hold, 95 % of the time or more."""
    shares = np.array([0.95, 0.93, 0.9, 0.9, 0.8, 0.5])
    random = np.random.default_rng(5)
    held = []
    for _ in range(200):
        counts = random.binomial(1000, shares)
        scores = {f"{model}": {"swh": count / 10} for model, count in enumerate(counts)}
        (made,) = answer(known([], [published(scores)])).lists
        places = {int(x.facts.model): x.standing for x in made.candidates if x.standing}
        ranks = [(1 + int((shares > own).sum()), int((shares >= own).sum())) for own in shares]
        held.append(
            all(places[x].best <= last and first <= places[x].worst for x, (first, last) in enumerate(ranks))
        )
    assert np.mean(held) >= 0.95


def test_an_import_stands_above_what_ships() -> None:
    """Of the same revision the later number counts; of several revisions the one with the most languages."""
    ships = published({"a": {"swh": 80.0, "deu": 90.0}})
    own = published({"a": {"swh": 81.0}})
    scores = {x.cell.language: x.score for x in known([], [ships, own]).scores}
    assert scores == {"swh": 81.0, "deu": 90.0}
    other = published({"a": {"swh": 81.0}}, revision="new")
    scores = {x.cell.language: x.score for x in known([], [ships, other]).scores}
    assert scores == {"swh": 80.0, "deu": 90.0}


def test_a_winner_is_named_where_the_data_name_one() -> None:
    far = {"a": {"swh": 95.0}, "b": {"swh": 80.0}, "c": {"swh": 79.0}}
    text = to_text([answer(known([], [published(far)]), languages=("sw",))])
    assert "The best beyond chance (95 %, unpaired, which is cautious): a." in text
    near = {"a": {"swh": 80.5}, "b": {"swh": 80.0}, "c": {"swh": 50.0}}
    facts = {"a": {"parameters": 560_000_000}, "b": {"parameters": 118_000_000}}
    text = to_text([answer(known([], [published(near, facts)]), languages=("sw",))])
    assert "No winner: 2 of 3 models may be the best" in " ".join(text.split())
    assert "The smallest of them: b (118M)." in " ".join(text.split())


def test_a_model_that_was_measured_and_published_has_one_row(
    make_record: MakeRecord, make_entries: MakeEntries
) -> None:
    """The measured row stands, ranked among three models and not four; a copy with other weights is a model."""
    names = ("labse", "st:org/b", "me5-small")
    entries = make_entries([make_record(name, scores={"deu": 98.0, "swh": 80.0}) for name in names])
    scores = {
        "sentence-transformers/LaBSE": {"deu": 97.0, "swh": 81.0},
        "org/b": {"deu": 90.0},
        "intfloat/multilingual-e5-small": {"deu": 96.0, "swh": 70.0},
    }
    everything = known(entries, [published(scores)])
    (both, *_) = answer(everything, languages=("de", "sw")).lists
    rows = {x.facts.model: x.published for x in both.candidates}
    assert rows == {
        "labse": (("mteb", 89.0),),
        "st:org/b": (),
        "me5-small": (),
        "intfloat/multilingual-e5-small": (),
    }
    (german,) = answer(everything, languages=("de",)).lists
    assert {x.facts.model: x.published for x in german.candidates if x.published} == {
        "labse": (("mteb", 97.0),), "st:org/b": (("mteb", 90.0),)
    }  # fmt: skip
    assert len(german.candidates) == 4
    assert "measured · MTEB has 97.0" in " ".join(to_text([answer(everything, languages=("de",))]).split())
    alone = answer(everything, languages=("de",), measured=True).lists[0]
    assert [x.published for x in alone.candidates] == [(), (), ()]


def test_all_models_of_a_list_have_all_its_languages() -> None:
    """Two lists: the first of the two languages that three models share, then the one that a fourth has too."""
    both = {"swh": 80.0, "deu": 90.0}
    scores = {"a": both, "b": both, "c": both | {"xho": 70.0}, "d": {"swh": 85.0}}
    first, second = answer(known([], [published(scores)]), languages=("sw", "de", "xh")).lists
    assert first.languages == ("deu", "swh")
    assert {x.facts.model for x in first.candidates} == {"a", "b", "c"}
    assert second.languages == ("xho",)
    assert {x.facts.model for x in second.candidates} == {"c"}


def test_pairs_count_where_the_other_language_is_asked_for_or_english() -> None:
    scores = {"a": {"en-de": 80.0, "en-en": 85.0, "es-es": 84.0, "ar-ar": 70.0}}
    from_source = known([], [published(scores, task="multists", metric="spearman")])
    assert answer(from_source, "similarity", languages=("de",)).lists[0].languages == ("en-de",)
    assert answer(from_source, "similarity", languages=("en",)).lists[0].languages == ("en-en",)
    assert answer(from_source, "similarity", languages=("es", "ar")).lists[0].languages == ("ar-ar", "es-es")


def test_filters_and_what_nobody_says() -> None:
    scores = {x: {"swh": 80.0} for x in ("small", "large", "unknown", "closed")}
    facts = {
        "small": {"parameters": 118_000_000, "dimension": 384, "open_weights": True, "licence": "MIT"},
        "large": {"parameters": 7_000_000_000, "dimension": 4096, "open_weights": True, "licence": "apache-2.0"},
        "closed": {"parameters": 200_000_000, "dimension": 1024, "open_weights": False, "licence": "cc-by-nc-4.0"},
    }
    from_source = known([], [published(scores, facts)])

    def left(**question: Any) -> tuple[set[str], dict[str, int]]:
        made = answer(from_source, **question)
        return {x.facts.model for own in made.lists for x in own.candidates}, dict(made.unknown)

    assert left(max_parameters=300_000_000) == ({"small", "closed"}, {"size": 1})
    assert left(licence="permissive") == ({"small", "large"}, {"licence": 1})
    assert left(licence="cc-by-nc-4.0") == ({"closed"}, {"licence": 1})
    assert left(max_dimension=384, licence="mit") == ({"small"}, {"dimension": 1})
    assert left(open_weights=True)[0] == {"small", "large"}
    assert left(max_parameters=1) == (set(), {"size": 1})
    assert left(measured=True) == (set(), {})


def test_a_language_without_data_names_its_relatives() -> None:
    made = answer(known([], [published({"a": {"swh": 80.0, "deu": 90.0}})]), languages=("zu", "eu", "sw"))
    assert [(x.language, x.relatives) for x in made.missing] == [("zu", ("sw",)), ("eu", ())]
    text = " ".join(to_text([made]).split())
    assert "nobody has a score in Zulu (zu). The nearest languages with scores: Swahili (sw)." in text
    assert "To measure it: xrete run --model M --task flores --languages zu." in text
    assert "nobody has a score in Basque (eu). No relative of it has scores either." in text


def test_trained_on_this_data_is_said() -> None:
    facts = {"a": {"trained_on": "NQ Tatoeba"}, "b": {"trained_on": "NQ"}, "c": {}}
    made = answer(known([], [published({x: {"swh": 80.0} for x in "abc"}, facts)]))
    assert to_text([made]).count("TRAINED ON IT") == 1
    models = json.loads(to_json([made]))["lists"][0]["models"]
    assert {x["model"]: x["trained_on_this"] for x in models} == {"a": True, "b": False, "c": None}


# --- Records beside published numbers -----------------------------------------------------------------------


def test_measured_models_are_paired(make_record: MakeRecord, make_entries: MakeEntries) -> None:
    """The better model has right all that the other one has: paired, one sentence in a hundred is enough."""
    records = [make_record(name, scores={"deu": x, "swh": x}) for name, x in (("one", 80.0), ("two", 81.0))]
    own = known(make_entries(records), [published({"far": {"deu": 80.0, "swh": 80.0}})])
    (alone,) = answer(own, measured=True).lists
    assert alone.paired
    assert [(x.facts.model, x.standing and x.standing.worst) for x in alone.candidates] == [("two", 1), ("one", 2)]
    (mixed,) = answer(own).lists
    assert not mixed.paired
    assert len(mixed.best) == 3
    assert {x.facts.source for x in mixed.candidates} == {MEASURED, "mteb"}


def test_records_of_trials_and_of_the_mini_sample_are_left_out(
    make_record: MakeRecord, make_entries: MakeEntries
) -> None:
    records = [make_record("trial", limit=10), make_record("mini", source="mini"), make_record("real")]
    assert {x.model for x in known(make_entries(records), []).scores} == {"real"}


def test_all_items_right_leave_some_chance(make_record: MakeRecord) -> None:
    record = make_record("a", scores={"deu": 100.0})
    own = record.languages["deu"].model_copy(update={"ci95": (100.0, 100.0)})
    entry = Entry("a.json", record.model_copy(update={"languages": {"deu": own}}))
    (score,) = known([entry], []).scores
    assert [score.low, score.high] == pytest.approx([99.63, 100.0], abs=0.01)


# --- Purposes and families ----------------------------------------------------------------------------------


def test_every_task_but_geometry_has_one_purpose() -> None:
    named = [task for tasks in PURPOSES.values() for task in tasks]
    shapes = {name: registry.task(name).card.shape for name in registry.names("tasks")}
    assert sorted(named) == sorted(name for name, shape in shapes.items() if shape != "geometry")


def test_every_language_of_the_tasks_has_a_family() -> None:
    codes = {
        x
        for name in registry.names("tasks")
        for pair in registry.task(name).card.languages
        for x in pair.split("-")
    }
    assert len(codes) > 250
    assert [code for code in sorted(codes) if not branch(code)] == []


def test_the_nearest_share_the_longest_branch() -> None:
    assert nearest("yor_Latn", ["deu", "swh", "ibo_Latn", "hau"]) == ["ig", "sw"]
    assert nearest("dsb", ["ces", "hsb", "rus", "deu", "fin"]) == ["hsb", "cs", "ru"]
    assert nearest("eus", ["spa"]) == []


def test_the_overall_order_of_what_ships() -> None:
    """LaBSE's win rate over the others of Tatoeba, redone without the code that is tested."""
    (publication,) = store.read_all()
    scores = known([], [publication]).scores
    made = overall_order(scores, "alignment")
    assert made.order.drawn == "languages"
    by_model: dict[str, dict[str, float]] = {}
    for x in scores:
        if x.cell.task == "tatoeba":
            by_model.setdefault(x.model, {})[x.cell.language] = x.score
    whole = {model: own for model, own in by_model.items() if len(own) >= 5}
    labse = whole["sentence-transformers/LaBSE"]
    rates = [
        np.mean([(labse[x] > own[x]) + 0.5 * (labse[x] == own[x]) for x in own])
        for model, own in whole.items()
        if model != "sentence-transformers/LaBSE"
    ]
    place = made.order.places[made.models.index(("mteb", "sentence-transformers/LaBSE"))]
    assert place is not None
    assert place.win_rate == pytest.approx(np.mean(rates), abs=1e-6)
    assert place.cells == 112


# --- The command --------------------------------------------------------------------------------------------


def test_the_command_for_swahili_and_yoruba(xrete: Run) -> None:
    done = xrete(
        "recommend",
        "--languages",
        "sw,yo",
        "--for",
        "alignment",
        "--json",
        "--results",
        ROOT / "results" / "measured",
    )
    assert done.returncode == 0
    tatoeba, flores = json.loads(done.stdout)["lists"]
    assert (tatoeba["languages"], tatoeba["n"]) == (["swh"], 390)
    labse = next(x for x in tatoeba["models"] if x["model"] == "sentence-transformers/LaBSE")
    exact = stats.binomtest(341, 390).proportion_ci(0.95)
    assert (labse["score"], labse["low"], labse["high"]) == pytest.approx(
        (100 * 341 / 390, 100 * exact.low, 100 * exact.high), abs=1e-3
    )
    assert (flores["languages"], len(flores["models"])) == (["swh_Latn", "yor_Latn"], 3)
    assert flores["paired"]


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        (["--for", "similarity", "--languages", "en,de"], "multists"),
        (["--for", "search", "--measured"], "lareqa"),
        (["--for", "similarity", "--languages", "de,fr"], "closed"),
        (["--for", "alignment", "--max-parameters", "300M", "--licence", "permissive"], "tatoeba"),
        (["--languages", "yo", "--for", "similarity"], "nobody has a score in Yoruba (yo)"),
        (["--languages", "ig", "--for", "understanding"], "Swahili (sw)"),
    ],
)
def test_questions_fit_80_columns(options: list[str], shown: str, xrete: Run) -> None:
    done = xrete("recommend", *options, "--results", ROOT / "results" / "measured")
    assert done.returncode == 0
    assert shown in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--languages", "xx-foo"], "'xx-foo' is no language code"),
        (["--max-parameters", "many"], "as in 300M or 1.5B, not 'many'"),
        (["--languages", ","], "--languages names nothing"),
    ],
)
def test_wrong_questions_are_one_sentence(options: list[str], sentence: str, xrete: Run) -> None:
    done = xrete("recommend", *options)
    assert done.returncode == 2
    assert sentence in done.stderr


def test_it_works_without_results(xrete: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = xrete("recommend", "--for", "alignment", "--languages", "sw")
    assert done.returncode == 0
    assert "by MTEB" in done.stdout
    assert "measured" not in done.stdout


def test_hostile_names_are_harmless() -> None:
    made = answer(known([], [published({HOSTILE: {"swh": 80.0}, "b": {"swh": 80.0}})]))
    text, data = to_text([made]), to_json([made])
    for character in ("\x1b", "\u202e"):
        assert character not in text
        assert character not in data
    assert any(x["model"] == HOSTILE for x in json.loads(data)["lists"][0]["models"])
    assert max(map(len, text.splitlines())) <= 80


def test_json_is_a_line_for_each_purpose(xrete: Run) -> None:
    done = xrete("recommend", "--json", "--languages", "sw", "--results", ROOT / "results" / "measured")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["purpose"] for line in lines] == list(PURPOSES)
    assert {line["schema"] for line in lines} == {"xrete/recommendation/1"}


def test_published_numbers_are_in_no_paired_test(xrete: Run) -> None:
    for name in ("sentence-transformers/LaBSE", "mteb: sentence-transformers/LaBSE"):
        done = xrete("compare", name, "use-m3", "--results", ROOT / "results" / "measured")
        assert done.returncode == 2
        assert "gives no outcome of each sentence: there is nothing to pair" in done.stderr


def test_sizes() -> None:
    assert [size(x) for x in (None, 117_653_760, 7_000_000_000, 22_700, 12)] == [
        "size unknown",
        "118M",
        "7B",
        "22.7k",
        "12",
    ]


def test_names_of_languages_are_plain_words() -> None:
    assert languages.name("yo") == "Yoruba"
