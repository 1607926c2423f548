"""The leaderboard page in a real browser: what was measured here, beside what the paper published."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from xrete.record import Record
from xrete.reporting import page as pages
from xrete.reporting.collect import Entry, Narrowed, read_entries
from xrete.reporting.page.content import content
from xrete.reporting.tables.views import Request, build
from xrete.reporting.text import plain

pytestmark = pytest.mark.slow

MakeRecord = Callable[..., Record]
MakeEntries = Callable[[Iterable[Record]], list[Entry]]
Open = Callable[..., Any]

MEASURED = Path(__file__).parents[2] / "results" / "measured"
DESKTOP = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}
SECONDS = 1.0
"""Most processor time that the page may take for what a person does, with 5,000 records."""


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of the published records, with the paper's rows."""
    folder = tmp_path_factory.mktemp("real")
    list(pages.write(read_entries([MEASURED])[0], Request(with_paper=True), folder, [MEASURED]))
    return folder


@pytest.fixture(scope="module")
def entries(make_record: MakeRecord, make_entries: MakeEntries) -> list[Entry]:
    """Five models of four sizes on four tasks, one of them on other data, one failed."""
    records = []
    for name, skill, parameters in (
        ("alpha", 90, 20_000_000),
        ("beta", 70, 300_000_000),
        ("gamma", 50, 700_000_000),
        ("delta", 40, 3_000_000_000),
    ):
        scores = {"deu": skill, "rus": skill - 10, "swh": skill - 20, "ukr": skill - 30}
        groups = {"head": ["deu", "rus"], "long-tail": ["swh", "ukr"]}
        made = [
            make_record(name, "tatoeba", scores, groups=groups, missing=["fra"], n=200),
            make_record(name, "xnli", {"de": skill, "sw": skill - 5}, protocol="probe", n=200),
            make_record(name, "multiarc", {"de": 1 - skill / 100}, metric="mae", higher_is_better=False, n=200),
            make_record(
                name, "flores-geometry", {"deu_Latn": 1 / skill, "swh_Latn": 0.1}, metric="kl",
                higher_is_better=False, variants={"ch": skill, "pr": 0.01},
            ),
        ]  # fmt: skip
        records += [_with_parameters(record, parameters) for record in made]
    records.append(make_record("epsilon", "tatoeba", {"deu": 99.0}, missing=["fra", "rus", "swh", "ukr"], n=200))
    records.append(make_record("epsilon", "xnli", protocol="probe", status="failed", error="no memory"))
    saved = make_entries(records)
    return [
        Entry(x.file, x.record.model_copy(update={"shape": "geometry", "items": None}), None)
        if x.record.task == "flores-geometry"
        else x
        for x in saved
    ]


def _with_parameters(record: Record, parameters: int) -> Record:
    model = record.model.model_copy(update={"params": parameters})
    cost = record.cost.model_copy(update={"sentences_per_second": 1e9 / parameters})
    return record.model_copy(update={"model": model, "cost": cost})


@pytest.fixture(scope="module")
def made(entries: list[Entry], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    list(pages.write(entries, Request(), folder, []))
    return folder


def rows(page: Any) -> dict[str, list[str]]:
    """The models in the order of the table, and what their cells say."""
    found: list[tuple[str, list[str]]] = page.eval_on_selector_all(
        ".board tbody:not(.paper) tr",
        """rows => rows.map(row => [
            row.querySelector("th bdi").textContent,
            [...row.querySelectorAll("td:not(.size)")].map(x => (x.querySelector(".value") ?? x).textContent),
        ])""",
    )
    return dict(found)


def address(page: Any) -> Mapping[str, list[str]]:
    return parse_qs(page.url.partition("#")[2])


def choose(page: Any, label: str, value: str) -> None:
    page.get_by_label(label, exact=True).first.select_option(value)


def test_the_page_says_what_the_table_says(real: Path, open_page: Open) -> None:
    page = open_page(real)
    board = build(read_entries([MEASURED])[0], Request(with_paper=True))
    shown = {
        (row.labels[0], *column.lines): f"{cell.value:.{cell.digits}f}"
        for row in board.rows
        for column, cell in zip(board.columns, row.cells, strict=True)
        if row.section == "measured" and cell.value is not None
    }
    columns = [text.split("\n") for text in page.locator(".board thead th").all_inner_texts()[2:]]
    found = {
        (model, *column): value
        for model, values in rows(page).items()
        for column, value in zip(columns, values, strict=True)
        if value[0].isdigit()
    }
    assert found.items() >= shown.items()
    marks = sorted(f"{cell.value:.{cell.digits}f}" for cell in board.cells if cell.mark == "best")
    assert marks
    assert sorted(page.locator(".best .value").all_inner_texts()) == marks
    assert "56/112" in page.locator(".board").inner_text()
    assert page.locator(".paper").get_by_text("LaBSE", exact=True).count() == 1
    assert page.locator("#summary").inner_text().startswith("3 models · ")


def test_a_published_number_says_what_became_of_it(real: Path, open_page: Open) -> None:
    page = open_page(real)
    cell = page.get_by_role("button", name=re.compile(r"^published: LaBSE, tatoeba, zero-shot, accuracy: 83.6"))
    assert cell.inner_text().split() == ["83.6", "○"]
    cell.click()
    dialog = page.get_by_role("dialog")
    assert dialog.get_by_role("heading", level=2).inner_text() == "LaBSE"
    assert "xrete run --model labse --task tatoeba --protocol zero-shot --data hub" in dialog.inner_text()
    page.keyboard.press("Escape")
    assert not dialog.is_visible()
    assert "✕ cannot be reproduced." in page.locator(".legend").inner_text()


def test_a_heading_sorts_and_says_so(made: Path, open_page: Open) -> None:
    page = open_page(made)
    assert list(rows(page)) == ["alpha", "beta", "delta", "epsilon", "gamma"], (
        "the data order nothing by themselves"
    )
    heading = page.locator('.board th[scope="col"]', has_text="tatoeba")
    heading.get_by_role("button").click()
    assert list(rows(page)) == ["alpha", "beta", "gamma", "delta", "epsilon"]
    assert heading.get_attribute("aria-sort") == "descending"
    assert page.locator("tr.apart").inner_text().startswith("epsilon")
    assert "not in this order" in page.locator("tr.apart").inner_text()
    heading.get_by_role("button").click()
    assert heading.get_attribute("aria-sort") == "ascending"
    assert list(rows(page)) == ["delta", "gamma", "beta", "alpha", "epsilon"], "other data stand apart either way"
    page.locator('.board th[scope="col"]', has_text="multiarc").get_by_role("button").click()
    assert next(iter(rows(page))) == "alpha", "the lowest error first"
    page.locator('.board th[scope="col"]', has_text="Size").get_by_role("button").click()
    assert list(rows(page)) == ["alpha", "beta", "gamma", "delta", "epsilon"]


@pytest.mark.parametrize(
    ("label", "value", "models", "columns"),
    [
        ("Category", "inference", 5, ["xnli"]),
        ("Task", "multiarc", 4, ["multiarc"]),
        ("Protocol", "probe", 5, ["xnli"]),
        ("Model size", "500M to 2B", 1, ["tatoeba", "xnli", "multiarc"]),
        ("Script", "Cyrl", 4, ["tatoeba"]),
        ("Language", "sw", 4, ["xnli", "tatoeba"]),
        ("Resource class", "head", 4, ["tatoeba"]),
    ],
)
def test_filters(made: Path, open_page: Open, label: str, value: str, models: int, columns: list[str]) -> None:
    page = open_page(made)
    choose(page, label, value)
    shown = rows(page)
    numbers = {model: values for model, values in shown.items() if any(x[0].isdigit() for x in values)}
    assert len(numbers) in (models, models - 1)
    tasks = page.locator(".board thead .task").all_inner_texts()[2:]
    assert set(columns) <= set(tasks)
    again = open_page(made, hash_="#" + page.url.partition("#")[2])
    assert rows(again) == shown, "a link keeps the filters"
    page.get_by_role("button", name="Reset").click()
    assert address(page) == {}
    assert len(rows(page)) == 5


def test_a_mean_over_languages_that_are_picked(made: Path, open_page: Open) -> None:
    page = open_page(made, hash_="#script=Cyrl&task=tatoeba")
    assert rows(page)["alpha"] == ["70.0"], "the mean of rus and ukr"
    assert page.locator(".board tbody tr").first.locator(".cover").inner_text() == "2/2"
    assert page.locator(".rank").count() == 0, "ranks are of whole groups"
    page = open_page(made, hash_="#language=sw&task=tatoeba")
    assert rows(page)["beta"] == ["50.0"]
    page = open_page(made, hash_="#group=long-tail&task=tatoeba")
    assert rows(page)["alpha"] == ["65.0"]
    assert page.locator(".best .value").all_inner_texts() == ["65.0"]
    page = open_page(made, hash_="#task=flores-geometry&script=Latn")
    assert "–" in rows(page)["alpha"][0], "geometry of several languages is no mean"


def test_the_model_search(made: Path, open_page: Open) -> None:
    page = open_page(made)
    page.get_by_label("Model", exact=True).fill("LPH")
    page.wait_for_url(re.compile("find=LPH"))
    assert list(rows(page)) == ["alpha"]
    assert page.get_by_role("status").inner_text().startswith("1 model of 5")
    page.get_by_label("Model", exact=True).fill("nobody")
    page.wait_for_url(re.compile("find=nobody"))
    assert "Nothing passes these filters." in page.locator("#board").inner_text()


def test_a_cell_opens_its_languages_and_the_keyboard_gets_there(made: Path, open_page: Open) -> None:
    page = open_page(made, hash_="#task=tatoeba&task=xnli")
    page.locator('.board th[scope="col"] button').last.focus()
    page.keyboard.press("Tab")
    label = "document.activeElement.getAttribute('aria-label')"
    assert page.evaluate(label).startswith("alpha, xnli, probe, accuracy: 87.5")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    assert page.evaluate(label).startswith("beta, tatoeba, zero-shot, accuracy: 55.0, 95 % interval")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('.board')") is None, "one stop for the whole table"
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    assert dialog.get_by_role("heading", level=2).inner_text() == "beta"
    assert dialog.locator("tbody th bdi").all_inner_texts() == ["German", "Russian", "Swahili", "Ukrainian"]
    assert dialog.locator("tbody .value").all_inner_texts() == ["70.0", "60.0", "50.0", "40.0"]
    dialog.get_by_label("Order").select_option("script")
    assert dialog.locator("tbody th bdi").all_inner_texts() == ["Russian", "Ukrainian", "German", "Swahili"]
    dialog.get_by_text("1 language missing").click()
    assert "French" in dialog.inner_text()
    again = open_page(made, hash_="#" + page.url.partition("#")[2])
    assert again.get_by_role("dialog").get_by_role("heading", level=2).inner_text() == "beta"
    page.keyboard.press("Escape")
    assert not dialog.is_visible()
    assert page.evaluate(label).startswith("beta, tatoeba")
    assert "view" not in address(page)


def test_models_that_were_fine_tuned_are_told_apart(
    make_tuned: MakeRecord,
    make_entries: MakeEntries,
    open_page: Open,
    violations: Callable[..., Any],
    tmp_path: Path,
) -> None:
    """Also on a phone, by the end of their names; and bars of correlations below zero stay on their track.

    The other ways of fine-tuning a model are folded below it.
    """
    scores = {"en-de": 40.0, "ro-en": -30.0}
    name = "somebody/a-model-with-a-long-name"
    entries = make_entries(
        [
            make_tuned(name, "qe", scores, seeds=(1, 2)),
            make_tuned(name, "qe", scores, recipe_name="cross"),
            make_tuned(name, "qe", {"en-de": 5.0, "ro-en": -60.0}, lora=16),
        ]
    )
    list(pages.write(entries, Request(), tmp_path, []))
    page = open_page(tmp_path, viewport=PHONE, is_mobile=True, has_touch=True)
    names = page.locator(".board tbody th bdi")
    assert names.all_inner_texts() == [name]
    fold = page.get_by_role("button", name="2 more ways of fine-tuning")
    fold.click()
    assert fold.get_attribute("aria-expanded") == "true"
    assert names.all_inner_texts() == [name, f"{name} (LoRA 16)", f"{name} (recipe cross)"]
    assert all(x.evaluate("x => x.scrollHeight <= x.clientHeight + 2") for x in names.all()), "nothing is cut off"
    assert "σ 0.5" in page.locator("td > button").first.inner_text()
    page.locator("td > button").first.click()
    dialog = page.get_by_role("dialog")
    assert "fine-tuned by recipe siamese on all languages, seeds 1, 2" in dialog.inner_text()
    assert "seed 1: 5.00, seed 2: 6.00" in dialog.inner_text()
    outside = """tracks => tracks.flatMap((track) => [...track.children].filter((mark) =>
        mark.getBoundingClientRect().left < track.getBoundingClientRect().left - 5)).length"""
    assert dialog.locator(".track").evaluate_all(outside) == 0
    assert violations(page) == []


def test_why_a_number_is_missing(made: Path, open_page: Open) -> None:
    page = open_page(made)
    cell = page.get_by_role("row", name="epsilon").locator("td.none", has_text="failed")
    assert cell.get_attribute("title") == "failed: no memory"


def test_the_heat_map_and_the_charts(made: Path, open_page: Open) -> None:
    page = open_page(made, hash_="#task=tatoeba&task=flores-geometry")
    page.locator("#languages").scroll_into_view_if_needed()
    heat = page.locator(".heat")
    heat.wait_for()
    assert heat.locator("thead th").all_inner_texts() == ["deu", "rus", "swh", "ukr"]
    assert heat.locator("tbody tr").first.locator("td").all_inner_texts() == ["90", "80", "70", "60"]
    assert heat.locator("td.absent").count() == 3, "epsilon has one language"
    page.locator("#charts").scroll_into_view_if_needed()
    page.wait_for_selector("#geometry h3")
    assert page.locator("#speed circle").count() == 5
    assert page.locator("#speed circle.apart").count() == 1
    assert page.locator("#size circle").count() == 4
    assert "Not shown: 1 model of which this is not known." in page.locator("#size").inner_text()
    assert page.locator("#geometry circle").count() == 4
    page.locator("#size summary").click()
    assert page.locator("#size tbody tr").count() == 4
    page.locator("#geometry").get_by_label("Geometry", exact=True).select_option(label="ch ↑")
    assert "flores-geometry ch ↑" in page.locator("#geometry").inner_text()


def test_what_is_not_known_is_said(open_page: Open, tmp_path: Path) -> None:
    """These published records took every vector from the cache."""
    cached = [MEASURED / "me5-small", MEASURED / "use-m3"]
    list(pages.write(read_entries(cached)[0], Request(with_paper=True), tmp_path, cached))
    page = open_page(tmp_path)
    page.locator("#charts").scroll_into_view_if_needed()
    page.wait_for_selector("#geometry h3")
    assert page.locator("#speed svg").count() == 0
    assert "xrete run --no-cache --force" in page.locator("#speed").inner_text()
    assert page.locator("#size circle").count() == 1
    assert "Not shown: 1 model of which this is not known." in page.locator("#size").inner_text()


def test_the_published_pictures_are_shown(real: Path, open_page: Open) -> None:
    page = open_page(real)
    titles = page.locator("#spaces h3").all_inner_texts()
    models, kinds = ("me5-small", "use-m3"), ("by language", "by meaning")
    assert titles == [f"{model} {kind}" for model in models for kind in kinds]
    assert page.locator("#spaces article").first.locator("svg path.mark").count() >= 20 * 60


def test_pictures_of_spaces(
    make_record: MakeRecord, make_entries: MakeEntries, open_page: Open, tmp_path: Path
) -> None:
    points = {"deu_Latn": [[0, 0], [1, 1], [2, 0]], "swh_Latn": [[0, 1], [1, 0], [2, 2]]}
    (tmp_path / "space").mkdir()
    (tmp_path / "space" / "picture.json").write_text(
        json.dumps(
            {
                "schema": "xrete/picture/1", "model": {"name": "a", "revision": "1.0"}, "task": "flores-geometry",
                "data": {"source": "dir", "split": "devtest", "limit": None}, "highlighted": [7],
                "sentences": [{"row": row, "text": text} for row, text in ((3, "1"), (7, "<b>Two.</b>"), (9, "x"))],
                "isolation": {"deu_Latn": 0.25, "swh_Latn": 1.0}, "tsne": points,
            }
        ),
        "utf-8",
    )  # fmt: skip
    list(pages.write(make_entries([make_record("a"), make_record("b")]), Request(), tmp_path, [tmp_path]))
    page = open_page(tmp_path)
    assert page.locator("#spaces article").count() == 2
    languages, meanings = page.locator("#spaces article").all()
    assert languages.locator(".keys li").all_inner_texts() == ["Swahili (Latin)\n1.00", "German\n0.25"]
    assert languages.locator(".space-body > svg path").count() == 6
    assert meanings.locator(".keys li").all_inner_texts() == ["<b>Two.</b>"]


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("which", ["real", "made"])
def test_axe_finds_nothing(
    request: pytest.FixtureRequest, open_page: Open, violations: Callable[..., Any], which: str,
    viewport: dict[str, int], scheme: str,
) -> None:  # fmt: skip
    folder = request.getfixturevalue(which)
    page = open_page(folder, viewport=viewport, color_scheme=scheme, bypass_csp=True)
    for section in ("languages", "charts"):
        page.locator(f"#{section}").scroll_into_view_if_needed()
    page.wait_for_selector("#geometry h3")
    faults = violations(page, scheme)
    page.locator("td > button").first.click()
    faults += violations(page, scheme, within="dialog[open]")
    assert faults == []


@pytest.mark.parametrize("which", ["real", "made"])
def test_a_phone_scrolls_in_one_direction(request: pytest.FixtureRequest, open_page: Open, which: str) -> None:
    page = open_page(request.getfixturevalue(which), viewport=PHONE, is_mobile=True, has_touch=True)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert not page.locator("#controls").is_visible(), "filters are folded away"
    page.locator("#filters summary").click()
    assert page.locator("#controls").is_visible()


def test_themes_and_print(made: Path, open_page: Open) -> None:
    page = open_page(made, color_scheme="light")
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    page.get_by_role("button", name="Theme: system").click()
    page.get_by_role("button", name="Theme: light").click()
    dark = page.evaluate(ground)
    assert dark != light
    page.emulate_media(media="print")
    assert page.evaluate(ground) == "rgb(255, 255, 255)", "paper is white"
    assert not page.locator("#controls").is_visible()
    assert page.locator(".board").is_visible()


HOSTILE = [
    '<script>alert("1")</script><img src=x onerror=alert(1)>',
    "</script><script>alert(2)</script><!--",
    "a|b||c\\|d&amp;&lt;",
    '=HYPERLINK("https://example.org")',
    "two\nlines\r\nthree\u2028four",
    "\u202egnp.exe\u2066\u200f",
    "x" * 300,
    "quo\"te's `${alert(3)}`",
    "javascript:alert(4)",
]


def test_hostile_names(make_record: MakeRecord, make_entries: MakeEntries, open_page: Open, tmp_path: Path) -> None:
    records = [make_record(name, n=20) for name in HOSTILE]
    records.append(make_record("sane", status="failed", error=HOSTILE[1]))
    records.append(make_record("other", HOSTILE[0], n=20))
    entries = [
        *make_entries(records),
        Entry("x.json", make_record("third", metric=HOSTILE[1], protocol=HOSTILE[0])),
    ]
    list(pages.write(entries, Request(), tmp_path, []))
    page = open_page(tmp_path)
    labels = set(rows(page))
    assert labels >= {plain(name, 80) for name in HOSTILE}
    assert page.locator("script").count() == 2
    assert page.locator("img").count() == 0
    for name in ("languages", "charts"):
        page.locator(f"#{name}").scroll_into_view_if_needed()
    first = page.locator("td > button").first
    first.click()
    assert page.get_by_role("dialog").is_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.fixture(scope="module")
def many(make_record: MakeRecord, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """5,000 records: 500 models on ten tasks of 60 languages."""
    dice = random.Random(3)
    codes = [a + b for a in "abcdefghij" for b in "klmnop"]
    template = make_record(scores=dict.fromkeys(codes, 50.0), groups={"head": codes[:20], "long-tail": codes[20:]})
    entries = []
    for number in range(500):
        model = template.model.model_copy(update={"name": f"org/model-{number:03}", "params": 10**7 * (1 + number)})
        for task in range(10):
            skill = dice.uniform(20, 90)
            languages = {
                code: score.model_copy(update={"score": min(100.0, max(0.0, dice.gauss(skill, 8)))})
                for code, score in template.languages.items()
            }
            groups = {name: x.model_copy(update={"score": skill}) for name, x in template.groups.items()}
            update = {"model": model, "task": f"task-{task}", "languages": languages, "groups": groups}
            entries.append(Entry(f"{number}/{task}.json", template.model_copy(update=update)))
    folder = tmp_path_factory.mktemp("many")
    text = pages.to_html(content(Narrowed(tuple(entries), "real", ()), [], with_paper=False))
    (folder / "index.html").write_text(text, "utf-8")
    return folder


def test_five_thousand_records_do_not_slow_a_person_down(
    many: Path, open_page: Open, processor_seconds: Callable[[Any, Callable[[], Any]], float]
) -> None:
    page = open_page(many)
    assert page.locator(".board tbody tr").count() == 60
    taken = {
        "sort": processor_seconds(page, lambda: page.locator('.board th[scope="col"] button').nth(3).click()),
        "group": processor_seconds(page, lambda: choose(page, "Resource class", "head")),
        "task": processor_seconds(page, lambda: choose(page, "Task", "task-3")),
        "search": processor_seconds(page, lambda: page.get_by_label("Model", exact=True).fill("-49")),
        "more": processor_seconds(page, lambda: page.goto(page.url.partition("#")[0] + "#sort=size")),
        "open": processor_seconds(page, lambda: page.locator("td > button").first.click()),
    }
    assert max(taken.values()) < SECONDS, taken


def test_nothing_in_the_page_names_another_place(real: Path) -> None:
    text = (real / "index.html").read_text("utf-8")
    shell = re.sub(r'<script type="application/json".*?</script>', "", text, flags=re.DOTALL)
    assert set(re.findall(r"https?://[^\s\"']+", shell)) == {"http://www.w3.org/2000/svg"}, "a name, not an address"
    assert not re.search(r"@import|url\(|<link(?! rel=\"icon\" href=\"data:,\")", shell)
