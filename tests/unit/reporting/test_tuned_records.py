"""Records of fine-tuning in reports: each way to train has its own row, and recipe, seeds and spread are seen."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from xrete import registry
from xrete.errors import UsageError
from xrete.record import Record
from xrete.reporting.collect import Entry
from xrete.reporting.formats import hub
from xrete.reporting.formats.csv_json import to_csv
from xrete.reporting.formats.markdown import to_markdown
from xrete.reporting.leaderboard import Leaderboard
from xrete.reporting.page.content import content
from xrete.reporting.tables.comparisons import build as compare
from xrete.reporting.tables.comparisons import entries_of
from xrete.reporting.tables.views import Request, build
from xrete.reporting.tuning import variant

MakeEntries = Callable[[Iterable[Record]], list[Entry]]
MakeTuned = Callable[..., Record]


def board(records: Iterable[Record], **options: Any) -> Leaderboard:
    return build([Entry(f"{i}.json", record) for i, record in enumerate(records)], Request(**options))


def labels(made: Leaderboard) -> list[str]:
    return [row.labels[0] for row in made.rows]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, ""),
        ({"seeds": (1, 2, 3)}, ""),
        ({"recipe_name": "xtreme"}, "recipe xtreme"),
        ({"changes": ("epochs=9", "select=false")}, "epochs=9, select=false"),
        ({"lora": 16}, "LoRA 16"),
        ({"train_languages": "en"}, "trained on en"),
        ({"train_split": "dev"}, "trained on split dev"),
        ({"train_languages": "de,en,fr"}, ""),
        ({"recipe_name": "xtreme", "train_languages": "en", "lora": 8}, "recipe xtreme, trained on en, LoRA 8"),
        ({"task": "multists", "train_languages": "en"}, ""),
        ({"task": "multists", "changes": ("nli.epochs=0", "sts.batch=8")}, "nli.epochs=0, sts.batch=8"),
        ({"task": "somebody/else"}, "recipe translate-train"),
    ],
)
def test_what_sets_a_record_apart_is_said(make_tuned: MakeTuned, options: dict[str, Any], said: str) -> None:
    assert variant(make_tuned(**options)) == said


def test_a_task_without_training_data_in_all_languages_is_trained_on_in_the_others(make_tuned: MakeTuned) -> None:
    groups = {"with-training-data": ["en-de"], "test-only": ["en-cs"]}
    made = make_tuned(task="qe", scores={"en-de": 50.0, "en-cs": 40.0}, groups=groups, train_languages="en-de")
    assert variant(made) == ""
    assert variant(make_tuned(task="qe", scores={"en-de": 50.0, "ro-en": 4.0}, train_languages="en-de"))


def test_records_of_other_ways_to_train_stand_in_rows_of_their_own(make_tuned: MakeTuned) -> None:
    made = board(
        [
            make_tuned(scores={"de": 60.0, "en": 60.0}, created="2026-06-01T00:00:00+00:00", lora=4),
            make_tuned(scores={"de": 70.0, "en": 70.0}),
            make_tuned(scores={"de": 80.0, "en": 80.0}, recipe_name="xtreme", revision="1.0"),
            make_tuned(task="pawsx", recipe_name="xtreme"),
        ]
    )
    assert labels(made) == ["xlmr", "xlmr (LoRA 4)", "xlmr (recipe xtreme)"]
    assert [[cell.value for cell in row.cells] for row in made.rows] == [[70.0, None], [60.0, None], [80.0, 80.0]]
    assert not any(remark.startswith("Several records") for remark in made.remarks)
    revisions = board([make_tuned(lora=4, revision="a"), make_tuned(revision="b")])
    assert labels(revisions) == ["xlmr (a, LoRA 4)", "xlmr (b)"]


def test_of_equal_ways_to_train_the_one_with_most_runs_is_shown_and_the_others_are_counted(
    make_tuned: MakeTuned,
) -> None:
    several = make_tuned(scores={"de": 60.0}, seeds=(1, 2, 3), created="2026-01-01T00:00:00+00:00")
    made = board([several, make_tuned(scores={"de": 90.0}, seeds=(4,))])
    (row,) = made.rows
    assert row.cells[0].value == 60.0
    assert any("Shown is the one with most languages, then most runs, then the newest." in x for x in made.remarks)


def test_recipe_seeds_and_spread_are_seen(make_tuned: MakeTuned) -> None:
    made = board([make_tuned(seeds=(1, 2)), make_tuned("mbert", lora=4, train_languages="en")])
    text = to_markdown(made)
    assert "80.0 σ0.5²" in text
    assert "² fine-tuned by recipe translate-train on all languages, seeds 1, 2<br>" in text
    assert "mbert (trained on en, LoRA 4)" in text
    assert "¹ fine-tuned by recipe translate-train on en, seed 1<br>" in text
    assert "they leave out how much another training seed changes" in text
    rows = list(csv.DictReader(io.StringIO(to_csv([made]))))
    kept = [(x["label"], x["recipe"], x["recipe_changes"], x["seeds"], x["spread"]) for x in rows]
    assert kept == [
        ("mbert (trained on en, LoRA 4)", "translate-train", "trained on en, LoRA 4", "1", ""),
        ("xlmr", "translate-train", "", "1 2", "0.5"),
    ]


def test_the_spread_is_that_of_the_score_alone(make_tuned: MakeTuned) -> None:
    made = board([make_tuned(seeds=(1, 2), groups={"head": ["en"]})], table="per-language", tasks=("xnli",))
    spreads = {row.labels[:2]: row.cells[0].evidence for row in made.rows}
    assert {key for key, x in spreads.items() if x and x.tuned and x.tuned.spread} == {("mean", "all")}


def test_only_the_usual_way_is_set_against_the_paper(make_tuned: MakeTuned) -> None:
    languages = dict.fromkeys(registry.task("xnli").card.languages, 75.0)
    for options, ours in (({}, "mbert"), ({"lora": 4}, None), ({"train_languages": "en"}, None)):
        made = board([make_tuned("mbert", scores=languages, **options)], with_paper=True)
        (cell,) = [x for x in made.cells if x.subject.label.startswith("paper: mBERT") and x.measure.task == "xnli"]
        assert cell.verdict
        assert cell.verdict.ours == ours


def test_ranks_and_groups_of_ties_are_there_for_programs(make_tuned: MakeTuned, make_entries: MakeEntries) -> None:
    records = [make_tuned(scores={"de": 90.0}), make_tuned(scores={"de": 20.0}, lora=4)]
    text = to_csv([build(make_entries(records), Request())])
    found = [(x["rank_best"], x["rank_worst"], x["tie_group"]) for x in csv.DictReader(io.StringIO(text))]
    assert found == [("1", "1", "1"), ("2", "2", "2")]


def test_a_protocol_can_be_asked_for(make_tuned: MakeTuned, make_record: Callable[..., Record]) -> None:
    records = [make_tuned(), make_record("xlmr", "tatoeba"), make_record("labse", "tatoeba")]
    made = board(records, protocols=("fine-tune",), with_paper=True)
    assert {cell.measure.protocol for cell in made.cells} == {"fine-tune"}
    assert {"xnli", "multists", "xcopa"} <= {cell.measure.task for cell in made.cells}
    with pytest.raises(UsageError, match="unknown protocol 'fine-tuned'; did you mean fine-tune"):
        board(records, protocols=("fine-tuned",))


def test_compare_takes_each_way_to_train_by_its_name(make_tuned: MakeTuned, make_entries: MakeEntries) -> None:
    entries = make_entries([make_tuned(), make_tuned(scores={"de": 20.0, "en": 30.0}, lora=4)])
    sides = [entries_of(name, entries) for name in ("xlmr", "xlmr (LoRA 4)")]
    found = compare(*sides, tasks=(), metric=None, kind=None)
    assert (found.first, found.second) == ("xlmr", "xlmr (LoRA 4)")
    assert (found.tasks[0].mean.first, found.tasks[0].mean.second) == (80.0, 25.0)
    with pytest.raises(
        UsageError, match=r"'xlmr' stands for 2 models here: name one of 'xlmr \(LoRA 4\)', 'xlmr \(LoRA 8\)'"
    ):
        entries_of("xlmr", make_entries([make_tuned(lora=4), make_tuned(lora=8)]))


def test_the_page_and_the_card_say_it_too(make_tuned: MakeTuned, make_entries: MakeEntries, tmp_path: Any) -> None:
    entries = make_entries([make_tuned(seeds=(1, 2)), make_tuned(lora=4)])
    known = content(Request().narrowed(entries), [], with_paper=False)
    assert [model["label"] for model in known["models"]] == ["xlmr", "xlmr (LoRA 4)"]
    run = known["runs"][known["cells"][0]["run"]]
    assert run["tuning"]["words"] == "fine-tuned by recipe translate-train on all languages, seeds 1, 2"
    assert run["tuning"]["runs"] == [[1, 80.0], [2, 81.0]]
    assert "objective=classes" in run["tuning"]["stages"][0]
    assert run["speed"] is None
    assert known["cells"][0]["groups"]["all"]["spread"] == 0.5
    json.dumps(known, allow_nan=False)
    card = hub.card("xlmr", entries, Request())
    assert "name: accuracy, fine-tune (LoRA 4), mean over 2 of 2 languages" in card
    assert "spread: 0.5" in card
