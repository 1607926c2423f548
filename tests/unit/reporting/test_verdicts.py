"""The paper's tables beside what was measured: geometry, ablations, and what became of each published number."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from xrete.errors import XreteError
from xrete.published.paper import NUMBERS, known_obstacles, obstacles, paper_cells
from xrete.record import Record
from xrete.reporting.ablation import Setting
from xrete.reporting.collect import Entry
from xrete.reporting.formats.terminal import to_text
from xrete.reporting.leaderboard import Leaderboard, TableCell, Verdict
from xrete.reporting.paper import verdicts
from xrete.reporting.paper.numbers import TABLES, Paper
from xrete.reporting.tables.views import Request, build
from xrete.scores.crossed import crossed_margin

MakeRecord = Callable[..., Record]

HEAD = (
    "afr ara bul ben deu ell spa est eus pes fin fra heb hin hun ind ita jpn jav kat kaz kor mal mar nld por "
    "rus swh tam tel tha tgl tur urd vie cmn"
).split()
FULL = {"phases": ["encoder", "classifier", "em"], "classifier": "gmm", "ranks": 4}
TRAININGS: dict[str, dict[str, Any]] = {
    "emmax": FULL,
    "emmax-phase1": FULL | {"phases": ["encoder", "classifier"]},
    "emmax-fixed-gmm": FULL | {"train_classifier": False},
    "emmax-fcn": FULL | {"classifier": "fcn"},
    "emmax-n2": FULL | {"ranks": 2},
    "emmax-n8": FULL | {"ranks": 8},
}


def trained(record: Record, training: dict[str, Any]) -> Record:
    return record.model_copy(update={"model": record.model.model_copy(update={"training": training})})


def board(records: list[Record], **options: Any) -> Leaderboard:
    options = {"with_paper": True} | options
    return build([Entry(f"{i}.json", record) for i, record in enumerate(records)], Request(**options))


def row(made: Leaderboard, label: str) -> tuple[TableCell, ...]:
    return next(row.cells for row in made.rows if row.labels[-1] == label)


def labse(make_record: MakeRecord, head: float, **options: Any) -> Record:
    return make_record("labse", scores=dict.fromkeys(HEAD, head), groups={"head": HEAD}, **options)


def test_a_number_within_the_interval_is_reproduced(make_record: MakeRecord) -> None:
    made = board([labse(make_record, 95.0)], table="long-tail")
    cell = row(made, "paper: LaBSE")[2]
    assert (cell.value, cell.verdict and cell.verdict.status) == (95.7, "reproduced")
    assert cell.verdict
    assert cell.verdict.difference == pytest.approx(-0.7)
    assert cell.verdict.ours == "labse"
    text = to_text(made)
    assert "95.7 ≈ −0.7" in text
    assert "1 reproduced" in text
    assert "≈ reproduced:" in text


def test_a_number_beyond_it_differs(make_record: MakeRecord) -> None:
    made = board([labse(make_record, 90.0)], table="long-tail")
    verdict = row(made, "paper: LaBSE")[2].verdict
    assert verdict
    assert (verdict.status, verdict.reasons) == ("differs", ())
    assert verdict.difference == pytest.approx(-5.7)
    assert "95.7 ≠ −5.7" in to_text(made)


@pytest.mark.parametrize(("value", "status"), [(95.65, "reproduced"), (95.64, "differs"), (95.75, "reproduced")])
def test_without_an_interval_rounding_decides(make_record: MakeRecord, value: float, status: str) -> None:
    record = labse(make_record, value)
    groups = {name: group.model_copy(update={"ci95": None}) for name, group in record.groups.items()}
    made = board([record.model_copy(update={"groups": groups})], table="long-tail")
    verdict = row(made, "paper: LaBSE")[2].verdict
    assert verdict
    assert verdict.status == status


def test_a_mean_over_fewer_languages_is_not_compared_and_says_what_is_missing(make_record: MakeRecord) -> None:
    part = make_record("labse", scores=dict.fromkeys(HEAD[2:], 95.7), missing=HEAD[:2], groups={"head": HEAD})
    verdict = row(board([part], table="long-tail"), "paper: LaBSE")[2].verdict
    assert verdict
    assert (verdict.status, verdict.difference) == ("not comparable", None)
    assert verdict.reasons == ("not compared: labse is over 34 of 36 languages; missing: afr ara",)


def test_a_number_on_another_split_is_not_compared(make_record: MakeRecord) -> None:
    made = board([labse(make_record, 95.7, split="dev")], table="long-tail")
    verdict = row(made, "paper: LaBSE")[2].verdict
    assert verdict
    assert (verdict.status, verdict.difference) == ("not comparable", None)
    assert verdict.reasons == ("not compared: labse is on split dev; the benchmark's is test",)
    assert "1 measured over other languages or on another split" in to_text(made, width=200)


def test_what_nobody_can_measure_again_says_why(make_record: MakeRecord) -> None:
    made = board([make_record("other")], table="long-tail")
    emmax, sbert = row(made, "paper: EMMA-X")[2].verdict, row(made, "paper: S-BERT")[2].verdict
    assert emmax
    assert sbert
    assert emmax.status == "not reproducible"
    assert "no checkpoint was published" in emmax.reasons[0]
    assert sbert.status == "not measured"
    assert sbert.reasons == (
        "not measured here: xrete run --model sbert --task tatoeba --protocol zero-shot --data hub",
    )
    assert "Of 20 published numbers: 16 cannot be reproduced, 4 not measured here." in made.remarks


def test_an_obstacle_does_not_hide_a_number_that_is_there_all_the_same(make_record: MakeRecord) -> None:
    close = make_record("xlmr", "multists", {"en-de": 25.2}, metric="spearman")
    far = make_record("xlmr", "multists", {"en-de": 20.0}, metric="spearman")
    for record, status in ((close, "reproduced"), (far, "not reproducible")):
        verdict = row(board([record], table="zero-shot"), "paper: XLM-R")[0].verdict
        assert verdict
        assert verdict.status == status
        assert verdict.difference == pytest.approx((record.score or 0) - 25.0)


def test_of_several_models_the_closest_counts(make_record: MakeRecord) -> None:
    records = [labse(make_record, score, revision=str(score)) for score in (80.0, 91.0)]
    verdict = row(board(records, table="long-tail"), "paper: LaBSE")[2].verdict
    assert verdict
    assert verdict.ours == "labse (91.0)"
    assert verdict.difference == pytest.approx(-4.7)


def test_a_failed_run_is_the_reason(make_record: MakeRecord) -> None:
    failed = make_record("labse", status="failed", error="no memory")
    verdict = row(board([failed, make_record("other")], table="long-tail"), "paper: LaBSE")[2].verdict
    assert verdict
    assert verdict.reasons == ("not measured here: failed: no memory",)


@pytest.mark.parametrize("table", sorted(TABLES.values()))
def test_every_published_number_has_one_verdict(make_record: MakeRecord, table: int) -> None:
    paper = Paper(table, ablations=True)
    cells = [cell for subject in paper.subjects for cell in paper.cells(subject)]
    assert len(cells) == len(paper_cells(table))
    for cell in paper_cells(table):
        assert obstacles(cell) or cell.model in ("labse", "sbert"), cell


def test_every_obstacle_stands_before_something() -> None:
    reasons = {reason for table in NUMBERS for x in paper_cells(table) for reason in obstacles(x)}
    assert reasons == {reason for _, reason in known_obstacles()}


def test_the_table_of_geometry_is_the_papers(make_record: MakeRecord) -> None:
    record = make_record(
        "me5-small", "flores-geometry", {"deu_Latn": 0.4, "swh_Latn": 0.6}, metric="kl", higher_is_better=False,
        groups={"head": ["deu_Latn"], "long-tail": ["swh_Latn"]}, variants={"ch": 40.0, "pr": 0.1, "ch_raw": 1.0},
    ).model_copy(update={"shape": "geometry"})  # fmt: skip
    made = board([record], table="geometry")
    assert [column.lines[-1] for column in made.columns] == ["kl ↓", "ch ↑", "pr ↑"] * 3
    assert [column.lines[1] for column in made.columns][::3] == ["head", "long-tail", "all"]
    text = to_text(made, width=160)
    assert "paper: EMMA-X (cls)" in text
    assert "0.3603" in text
    assert "0.4000" in text, "as many decimals as the paper"
    assert "Of 36 published numbers: 36 cannot be reproduced." in made.remarks


def test_numbers_that_only_look_alike_are_named(make_record: MakeRecord) -> None:
    whole, part = make_record("a", "xnli", {"de": 60.0}, protocol="probe"), make_record("b", missing=["fra"])
    unlike = [x for x in board([whole, part]).remarks if "cannot be set against" in x]
    assert unlike[0].startswith("A mean over fewer languages, such as one with (2/3), cannot be set against ")
    assert unlike[1].startswith("Protocols: fine-tune: the whole model is trained on the task; probe: ")
    assert len(unlike) == 2
    alike = board([make_record("a", missing=[])], table="zero-shot")
    assert not any("cannot be set against" in remark for remark in alike.remarks)


@pytest.mark.parametrize("name", TRAININGS)
def test_a_setting_has_the_papers_name(make_record: MakeRecord, name: str) -> None:
    setting = Setting.of(trained(make_record("emmax:run"), TRAININGS[name]).model)
    assert setting
    assert setting.published == name


@pytest.mark.parametrize(
    "training",
    [None, {}, {"phases": "em", "classifier": "gmm", "ranks": 4}, FULL | {"ranks": "4"}, FULL | {"classifier": 1}],
)
def test_what_says_no_setting_has_none(make_record: MakeRecord, training: Any) -> None:
    record = make_record("emmax:run")
    assert Setting.of((trained(record, training) if training is not None else record).model) is None


@pytest.mark.parametrize("training", [FULL | {"ranks": 3, "phases": []}, FULL | {"classifier": "fcn", "ranks": 8}])
def test_a_setting_of_our_own_is_no_row_of_the_paper(make_record: MakeRecord, training: dict[str, Any]) -> None:
    setting = Setting.of(trained(make_record("emmax:run"), training).model)
    assert setting
    assert setting.published is None


def test_the_ablation_of_phases_is_table_5(make_record: MakeRecord) -> None:
    records = [
        trained(
            make_record(
                f"emmax:{name}",
                scores={"afr": score, "deu": 99.0},
                missing=HEAD[1:4],
                groups={"head": ["afr", "deu", *HEAD[1:4]]},
            ),
            TRAININGS[name],
        )
        for name, score in (("emmax-phase1", 86.7), ("emmax-fixed-gmm", 70.0), ("emmax", 93.9), ("emmax-fcn", 1.0))
    ]
    made = board([*records, make_record("labse")], table="ablation-phases")
    headers = [column.lines[:2] for column in made.columns]
    assert headers[:3] == [
        ("emmax:emmax", "(GMM, N = 4)"),
        ("emmax:emmax-fixed-gmm", "+ fixed GMM (GMM, N = 4)"),
        ("emmax:emmax-phase1", "+ Phase 1 (GMM, N = 4)"),
    ]
    assert [header[0] for header in headers[3:]] == ["paper: + Phase 1", "paper: + fixed GMM", "paper: EMMA-X"]
    afrikaans = next(row.cells for row in made.rows if row.labels[0] == "afr")
    assert [cell.verdict.status for cell in afrikaans if cell.verdict] == [
        "reproduced",
        "not reproducible",
        "reproduced",
    ]
    assert len([row for row in made.rows if row.section == "languages"]) == 36
    assert made.rows[-1].labels == ("mean", "head")


def test_what_phase_2_gains_is_what_it_gains_over_its_control(make_record: MakeRecord) -> None:
    """By seed and language; not over phase 1, and not over the control of other settings."""
    control = FULL | {"phases": ["encoder", "control"], "variant": "c", "control": "c"}
    own, lonely = (FULL | {"variant": name, "control": to} for name, to in (("v", "c"), ("w", "d")))
    scores = {
        "v1": (own | {"seed": 1}, 60.0, 40.0), "v2": (own | {"seed": 2}, 62.0, 43.0),
        "c1": (control | {"seed": 1}, 61.0, 38.0), "c2": (control | {"seed": 2}, 61.0, 38.0),
        "c3": (control | {"seed": 3}, 0.0, 0.0), "w1": (lonely | {"seed": 1}, 90.0, 90.0),
    }  # fmt: skip
    records = [
        trained(make_record(f"emmax:{name}", scores={"deu": de, "xho": xh}, groups={"head": ["deu"]}), training)
        for name, (training, de, xh) in scores.items()
    ]
    made = board(records, table="ablation-phases", with_paper=False)
    margin = crossed_margin(np.array([[-1.0, 2.0], [1.0, 5.0]]))
    assert [remark for remark in made.remarks if "phase 1 continued" in remark] == [
        f"(GMM, N = 4) emmax:v1 against phase 1 continued for as many steps, tatoeba: all +1.8 ± {margin:.1f} "
        "(2 languages, 2 seeds); head +0.0 ± 12.7 (1 language, 2 seeds).",
        "(GMM, N = 4) emmax:w1: what phase 2 gains is not known, since no record here is of its control, phase 1 "
        "continued for as many steps (a sweep runs it).",
    ]
    stopped = [trained(x, {**x.model.training, "stopped": True}) for x in records[:1] if x.model.training]
    marked = board([*stopped, *records[1:]], table="ablation-phases", with_paper=False).remarks
    assert any("emmax:v1 (stopped by its guard with seed 1) against phase 1" in remark for remark in marked)
    assert ("emmax:c1", "+ Phase 1 continued") in [column.lines[:2] for column in made.columns]
    strange = trained(make_record("emmax:s"), FULL | {"variant": 1, "control": None, "seed": "x"})
    assert board([strange], table="ablation-phases", with_paper=False)


def test_the_ablation_of_ranks_is_table_6(make_record: MakeRecord) -> None:
    records = [
        trained(make_record(f"emmax:{name}", "xnli", {"de": 70.0}, protocol="fine-tune"), TRAININGS[name])
        for name in TRAININGS
    ]
    made = board(
        [*records, make_record("labse", "xnli", {"de": 70.0}, protocol="fine-tune")], table="ablation-ranks"
    )
    labels = [row.labels[0] for row in made.rows]
    assert labels[:4] == [
        "(GMM, N = 4) emmax:emmax",
        "(FCN, N = 4) emmax:emmax-fcn",
        "(GMM, N = 2) emmax:emmax-n2",
        "(GMM, N = 8) emmax:emmax-n8",
    ], "without the ablations of phases, and without other models"
    assert labels[4:] == [
        "paper: (FCN, N = 4)",
        "paper: (GMM, N = 2)",
        "paper: (GMM, N = 4)",
        "paper: (GMM, N = 8)",
    ]
    assert len(made.columns) == 12
    verdict = row(made, "paper: (GMM, N = 2)")[0].verdict
    assert verdict
    assert verdict.ours == "emmax:emmax-n2"


@pytest.mark.parametrize("table", ["ablation-phases", "ablation-ranks"])
def test_an_ablation_needs_models_that_say_how_they_were_trained(make_record: MakeRecord, table: Any) -> None:
    with pytest.raises(XreteError, match=r"none is of a model that says how it was trained; train some with"):
        board([make_record("labse", missing=["afr"], groups={"head": ["deu", "afr"]})], table=table)


def test_signs_need_a_difference() -> None:
    assert [verdicts.sign(Verdict(status=x)) for x in ("reproduced", "differs")] == ["≈", "≠"]
