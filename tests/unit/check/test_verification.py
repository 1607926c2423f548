"""Verification: what was measured passes, for ever; what was changed is caught and named."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from xrete import registry
from xrete.check.records import CHECKS, Case, Finding, open_case, run_check, verify
from xrete.check.sample import Models, Sample, check_fingerprint, differing
from xrete.evaluation.plan import RunOptions
from xrete.evaluation.run import run
from xrete.files import file_digest
from xrete.record import read_record, record_digest
from xrete.shapes import load_shape
from xrete.store import find_records

ROOT = Path(__file__).parents[3]
GOLDEN = sorted(find_records(ROOT / "tests" / "golden" / "records"))
PUBLISHED = sorted(find_records(ROOT / "results" / "measured"))
PLUGIN = ROOT / "tests" / "plugins" / "two_models.py"

Change = Callable[[dict[str, Any]], object]


def score(
    results: Path,
    model: str = "words",
    task: str = "tatoeba",
    languages: str = "de fr sw",
    limit: int | None = None,
    **options: Any,
) -> Path:
    """Scores one of the two models on a part of the mini sample; returns its record."""
    registry.add_plugin_file(PLUGIN)
    request = registry.request_model(model)
    dataset = registry.load_task(task, "mini", languages=languages.split(), limit=limit)
    known = set(find_records(results))
    run(request.identity, request.load, dataset, RunOptions(results=results, **options))
    (path,) = set(find_records(results)) - known
    return path


def case_of(path: Path) -> Case:
    found = open_case(path)
    assert isinstance(found, Case)
    return found


def states(findings: list[Finding]) -> dict[str, str]:
    return {finding.check: finding.state for finding in findings}


def wrong(findings: list[Finding]) -> dict[str, str]:
    return {finding.check: finding.sentence for finding in findings if finding.state == "wrong"}


def change(path: Path, how: Change, *, sealed: bool) -> list[Finding]:
    """Changes a record's JSON, takes its digest again if `sealed`, and verifies it."""
    content = json.loads(path.read_text("utf-8"))
    how(content)
    if sealed:
        content["digest"] = record_digest(content)
    path.write_text(json.dumps(content), "utf-8")
    return verify(case_of(path))


@pytest.mark.parametrize("path", PUBLISHED, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_published_records_are_right(path: Path) -> None:
    found = states(verify(case_of(path)))
    assert set(found.values()) <= {"right", "unchecked"}
    assert found["file name"] == "right"


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_old_records_are_right_for_ever(path: Path) -> None:
    """Never change the golden files: whoever cannot verify them has broken every record of their time."""
    found = states(verify(case_of(path)))
    old = "first-release" in path.parts
    assert found == {"schema": "right", **dict.fromkeys(CHECKS, "right"), "digest": "unchecked" if old else "right"}


def test_there_are_golden_records_of_every_time() -> None:
    assert {path.relative_to(ROOT / "tests" / "golden" / "records").parts[0] for path in GOLDEN} == {
        "first-release",
        "with-digest",
    }


@pytest.mark.parametrize(
    ("task", "protocol"),
    [
        ("tatoeba", "zero-shot"),
        ("flores", "zero-shot"),
        ("bucc", "zero-shot"),
        ("multists", "zero-shot"),
        ("lareqa", "zero-shot"),
        ("multieurlex", "probe"),
    ],
)
def test_every_shape_is_verified(results: Path, task: str, protocol: str) -> None:
    registry.add_plugin_file(PLUGIN)
    languages = " ".join(registry.load_task(task, "mini").languages[:3])
    path = score(results, task=task, languages=languages, protocol=protocol)
    case = case_of(path)
    assert states(verify(case)) == dict.fromkeys(("schema", *CHECKS), "right")
    found = Sample(Models("cpu"), "auto", 1.0, 0).check(case)
    assert found.state == "right", found.sentence
    assert found.sentence.endswith(": 0 outcomes differ")


@pytest.fixture(scope="module")
def probed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A probe of English that was trained on German and French."""
    return score(
        tmp_path_factory.mktemp("probed"), task="xnli", languages="en", protocol="probe", train_languages="de,fr"
    )


def test_a_probe_says_what_it_was_trained_on_and_its_key_follows(probed: Path) -> None:
    case = case_of(probed)
    assert case.record.probe is not None
    assert (case.record.probe.train_languages, case.record.probe.train_split) == ("de,fr", "train")
    assert case.record.key is not None
    assert case.record.key.train_languages == "de,fr"
    assert states(verify(case)) == dict.fromkeys(("schema", *CHECKS), "right")
    found = Sample(Models("cpu"), "auto", 1.0, 0).check(case)
    assert found.state == "right", found.sentence


@pytest.mark.parametrize(
    "how",
    [
        lambda content: content["key"].update(train_languages="all"),
        lambda content: content["key"].update(trained="0" * 64),
        lambda content: content["environment"].update(seed=43),
    ],
)
def test_a_probe_with_other_settings_is_caught(probed: Path, how: Change, tmp_path: Path) -> None:
    for file in probed.parent.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    found = change(tmp_path / probed.name, how, sealed=True)
    assert "that of another model, other data or other settings" in wrong(found)["file name"]


def test_a_probe_without_a_key_is_taken_at_its_name(probed: Path, tmp_path: Path) -> None:
    """As records were that are older."""
    folder = tmp_path / probed.parent.name
    folder.mkdir()
    for file in probed.parent.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())

    def age(content: dict[str, Any]) -> None:
        del content["key"], content["probe"]

    assert not wrong(change(folder / probed.name, age, sealed=True))


def test_what_has_no_items_says_so(results: Path) -> None:
    case = case_of(score(results, task="flores-geometry"))
    found = states(verify(case))
    assert (found["digest"], found["file name"], found["means"]) == ("right", "right", "right")
    assert (found["items"], found["scores"], found["intervals"]) == ("unchecked", "unchecked", "unchecked")
    assert Sample(Models(), "auto", 1.0, 0).check(case).state == "unchecked"


def test_a_language_of_one_item_has_no_interval(results: Path) -> None:
    """Records of the first release gave it one, and are right all the same."""
    path = score(results, languages="de", limit=1)
    record = case_of(path).record
    assert [x.ci95 for x in (record, record.languages["deu"], record.groups["all"])] == [None] * 3
    assert not wrong(verify(case_of(path)))
    old = (put("languages", "deu", "ci95", value=[0.0, 0.0]), put("groups", "all", "ci95", value=[0.0, 0.0]))
    assert not wrong(change(path, lambda x: [how(x) for how in (*old, put("ci95", value=[0.0, 0.0]))], sealed=True))


def put(*places: str | int, value: Any) -> Change:
    """Sets a value deep in a record."""

    def how(content: Any) -> None:
        for place in places[:-1]:
            content = content[place]
        assert content[places[-1]] != value
        content[places[-1]] = value

    return how


CHANGES = {
    "score": (put("score", value=99.0), "means", "score is 99.0"),
    "interval of the score": (put("ci95", value=[98.0, 99.0]), "means", "score is "),
    "score of a language": (put("languages", "deu", "score", value=99.0), "scores", "languages.deu.score is 99.0"),
    "variant of a language": (
        put("languages", "deu", "variants", "accuracy_en2xx", value=99.0),
        "scores",
        "languages.deu.variants.accuracy_en2xx is 99.0",
    ),
    "interval of a language": (
        put("languages", "fra", "ci95", value=[98.0, 99.0]),
        "intervals",
        "languages.fra.ci95 is [98, 99], its items give [",
    ),
    "items of a language": (put("languages", "swh", "n", value=1000), "items", "languages.swh.n is 1000"),
    "score of a group": (put("groups", "head", "score", value=99.0), "means", "groups.head.score is 99.0"),
    "variant of a group": (
        put("groups", "head", "variants", "accuracy_en2xx", value=99.0),
        "means",
        "groups.head.variants.accuracy_en2xx is 99.0",
    ),
    "interval of a group": (
        put("groups", "head", "ci95", value=[1.0, 2.0]),
        "intervals",
        "groups.head.ci95 is [1, 2]",
    ),
    "members of a group": (put("groups", "head", "languages", value=["deu"]), "means", "groups.head.score is "),
    "absent members of a group": (
        put("groups", "head", "languages", value=["xyz"]),
        "means",
        "groups.head is taken over xyz",
    ),
    "metric": (put("metric", value="accuracy_en2xx"), "scores", "languages.deu.score is "),
    "unknown metric": (
        put("metric", value="magic"),
        "scores",
        "metric is 'magic', which shape bitext does not have",
    ),
    "shape": (put("shape", value="magic"), "scores", "unknown shape 'magic'"),
    "model": (put("model", "name", value="other-words"), "file name", "other-words"),
    "revision": (put("model", "revision", value="2"), "file name", "that of another model"),
    "prefix": (put("model", "prefix", value="query: "), "file name", "that of another model"),
    "precision": (put("environment", "dtype", value="float16"), "file name", "that of another model"),
    "seed": (put("environment", "seed", value=43), "file name", "other settings"),
    "task": (put("task", value="flores"), "file name", "flores.zero-shot.mini."),
    "data": (put("data", "fingerprint", value="0" * 64), "file name", "other data"),
    "source": (put("data", "source", value="dir"), "file name", "tatoeba.zero-shot.dir."),
    "method": (put("interval", "method", value="drawn by hand"), "intervals", "unchecked"),
    "resamples": (put("interval", "resamples", value=10), "intervals", "interval.resamples is 10"),
    "digest of the items": (put("items", "sha256", value="0" * 64), "items", "is not the file that"),
    "file of the items": (put("items", "file", value="none.parquet"), "items", "missing items of"),
    "number of items": (put("items", "rows", value=7), "items", "items.rows is 7, "),
    "no items": (put("items", value=None), "items", "has no items"),
    "a language less": (lambda content: content["languages"].pop("fra"), "items", "languages and"),
}


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A record that nobody has changed."""
    return score(tmp_path_factory.mktemp("measured"))


@pytest.fixture
def path(measured: Path, tmp_path: Path) -> Path:
    """A copy of it, with its items."""
    for file in measured.parent.iterdir():
        if file.is_file():
            (tmp_path / "words" / file.name).parent.mkdir(exist_ok=True)
            (tmp_path / "words" / file.name).write_bytes(file.read_bytes())
    return tmp_path / "words" / measured.name


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_caught_and_named(path: Path, name: str) -> None:
    """Whoever also takes the digest again is caught by the items or the file's name."""
    how, check, says = CHANGES[name]
    found = {finding.check: finding for finding in change(path, how, sealed=True)}
    assert found["digest"].state == "right"
    if says == "unchecked":
        assert found[check].state == "unchecked"
    else:
        assert found[check].state == "wrong"
        assert says in found[check].sentence


@pytest.mark.parametrize(
    ("shift", "spread", "says"), [(1, None, "runs have the scores"), (0, 2.0, "spread is 2.0")]
)
def test_made_up_runs_of_fine_tuning_are_caught(path: Path, shift: float, spread: float | None, says: str) -> None:
    def tune(content: dict[str, Any]) -> None:
        runs = [{"seed": 1, "score": content["score"] + shift, "stages": []}]
        tuning = {"recipe": "x", "stages": [], "train_languages": "all", "lora": None, "runs": runs}
        content["fine_tuning"] = tuning | {"spread": spread}

    assert says in wrong(change(path, tune, sealed=True))["scores"]


@pytest.mark.parametrize("name", [*CHANGES, "command", "device", "seconds", "fingerprint", "created"])
def test_any_change_at_all_breaks_the_digest(path: Path, name: str) -> None:
    others: dict[str, Change] = {
        "command": put("command", value="xrete run --model better"),
        "device": put("environment", "device", value="cuda"),
        "seconds": put("cost", "seconds", value=0.1),
        "fingerprint": put("fingerprint", "embeddings", value="0" * 64),
        "created": put("created", value="2020-01-01T00:00:00+00:00"),
    }
    how = others[name] if name in others else CHANGES[name][0]
    found = wrong(change(path, how, sealed=False))
    assert found["digest"].startswith("the record was changed after it was written: digest is ")


def test_the_order_of_keys_and_the_indentation_are_no_change(path: Path) -> None:
    content = json.loads(path.read_text("utf-8"))
    path.write_text(json.dumps(dict(reversed(content.items())), indent=4), "utf-8")
    assert not wrong(verify(case_of(path)))


def items_of(path: Path) -> Path:
    items = read_record(path).items
    assert items
    return path.with_name(items.file)


def change_items(path: Path) -> None:
    """Makes every answer in one language right, in the items and nowhere else."""
    file = items_of(path)
    table = pq.read_table(file)
    columns = {name: table[name].to_pylist() for name in table.column_names}
    rows = [row for row, language in enumerate(columns["language"]) if language == "swh"]
    for place, row in enumerate(rows):
        columns["xx2en"][row] = place
    pq.write_table(table.from_pydict(columns, schema=table.schema), file)


def test_a_changed_item_is_caught(path: Path) -> None:
    change_items(path)
    assert "is not the file that" in wrong(verify(case_of(path)))["items"]


def test_a_changed_item_with_its_digest_is_caught_by_the_scores(path: Path) -> None:
    change_items(path)
    file = items_of(path)
    found = wrong(change(path, put("items", "sha256", value=file_digest(file)), sealed=True))
    assert found.keys() == {"scores", "intervals"}
    assert found["scores"].startswith("languages.swh.score is ")


@pytest.fixture
def forged(results: Path) -> Path:
    """A record of one model under the name of the other, right in every way that a file can be."""
    path = score(results, "other-words")
    found = change(path, put("model", "name", value="words"), sealed=True)
    name = re.search(r"would be (.+)$", wrong(found)["file name"])
    assert name
    path = path.rename(path.with_name(name[1]))
    assert not wrong(verify(case_of(path)))
    return path


def test_another_model_under_the_name_is_caught_by_the_fingerprint(forged: Path) -> None:
    models = Models("cpu")
    found = run_check("fingerprint", lambda case: check_fingerprint(case, models), case_of(forged))
    assert found.state == "wrong"
    assert (
        found.sentence
        == "fingerprint.embeddings is not that of words: the record is of another model or of other vectors"
    )


def test_another_model_with_the_fingerprint_is_caught_by_encoding_again(forged: Path) -> None:
    models = Models("cpu")
    _, probe = models.load(read_record(forged))
    assert not wrong(
        change(forged, put("fingerprint", value=probe.fingerprint.model_dump(mode="json")), sealed=True)
    )
    case = case_of(forged)
    assert run_check("fingerprint", lambda case: check_fingerprint(case, models), case).state == "right"
    found = Sample(models, "auto", 0.02, 0).check(case)
    assert found.state == "wrong"
    assert re.fullmatch(r"\w{3}: \d+ of \d+ outcomes are not those that words gives", found.sentence)


def test_a_model_that_is_the_one_has_its_fingerprint(path: Path) -> None:
    registry.add_plugin_file(PLUGIN)
    assert list(check_fingerprint(case_of(path), Models("cpu"))) == []


@pytest.mark.parametrize(
    ("how", "says"),
    [
        (put("model", "name", value="nobody"), "the model is not at hand: unknown model 'nobody'"),
        (
            put("model", "revision", value="2"),
            "the model is not at hand: words here has revision '1', the record '2'",
        ),
        (put("fingerprint", value=None), "the record has no fingerprint"),
    ],
)
def test_a_model_that_is_not_at_hand_is_not_checked(path: Path, how: Change, says: str) -> None:
    registry.add_plugin_file(PLUGIN)
    change(path, how, sealed=True)
    models = Models("cpu")
    found = run_check("fingerprint", lambda case: check_fingerprint(case, models), case_of(path))
    assert found.state == "unchecked"
    assert found.sentence.startswith(says)


@pytest.mark.parametrize(
    ("how", "says"),
    [
        (put("model", "name", value="nobody"), "unknown model 'nobody'"),
        (
            put("data", "fingerprint", value="0" * 64),
            "data.fingerprint is 000000000000…, that of tatoeba in mini is",
        ),
        (
            put("environment", "seed", value=43),
            "the file's name was made from other data to train on or other settings",
        ),
    ],
)
def test_what_cannot_be_encoded_again_is_wrong(path: Path, how: Change, says: str) -> None:
    """It was asked for, so a record that escapes it has not passed."""
    registry.add_plugin_file(PLUGIN)
    change(path, how, sealed=True)
    found = Sample(Models("cpu"), "auto", 0.02, 0).check(case_of(path))
    assert found.state == "wrong"
    assert found.sentence.startswith(says)


@pytest.mark.parametrize(("share", "languages"), [(0.01, 1), (0.5, 2), (1.0, 3)])
def test_a_sample_is_as_many_languages_as_it_takes(path: Path, share: float, languages: int) -> None:
    registry.add_plugin_file(PLUGIN)
    said = {Sample(Models("cpu"), "auto", share, seed).check(case_of(path)).sentence for seed in range(4)}
    chosen = {re.sub(r".*\((.*);.*", r"\1", sentence) for sentence in said}
    assert {sentence.count(",") + 1 for sentence in chosen} == {languages}
    assert len(chosen) > 1  # the seed decides which


def test_outcomes_may_differ_by_rounding_only() -> None:
    shape = load_shape("similarity")
    recorded = {"gold": np.arange(4.0), "prediction": np.array([0.1, 0.2, np.nan, 0.4])}
    assert differing(shape, recorded, recorded) == 0
    assert differing(shape, recorded, recorded | {"prediction": recorded["prediction"] + 1e-5}) == 0
    assert differing(shape, recorded, recorded | {"prediction": recorded["prediction"] + 1e-2}) == 3
    assert differing(shape, recorded, {name: column[:3] for name, column in recorded.items()}) == 4


def test_what_is_no_record_is_a_finding(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("{")
    found = open_case(tmp_path / "x.json")
    assert isinstance(found, Finding)
    assert (found.check, found.state) == ("schema", "wrong")
    assert "not JSON" in found.sentence


def test_a_sample_leaves_out_columns_that_the_record_s_version_had_not() -> None:
    old = {"xx2en": np.array([0, 1, 2]), "en2xx": np.array([0, 1, 1])}
    new = {**old, "xx2en_csls": np.array([0, 1, 2])}
    assert differing(load_shape("bitext"), old, new) == 0
    assert differing(load_shape("bitext"), old, {**new, "en2xx": np.array([0, 1, 2])}) == 1
    assert differing(load_shape("bitext"), new, old) == 3, "a column that is no longer there"
