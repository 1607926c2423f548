"""All tasks from the hub in one command, from copies of its layouts, and what one language fetches."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.hub import HubServer
from tests.hub_copies import SIZE, repositories
from tests.running import PLUGINS, Run
from xrete import registry
from xrete.record import Record, read_record
from xrete.store import find_records
from xrete.tasks import TASKS
from xrete.tasks.stages.choice import COPA
from xrete.tasks.stages.nli import ENGLISH

WORDS = ("--plugin", PLUGINS / "two_models.py", "--model", "words")
PARAGRAPHS = 3


@pytest.fixture
def copies(hub_server: HubServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> HubServer:
    """A hub with small copies, to which the published counts do not apply."""
    for adapter in (*map(registry.task, TASKS), COPA, ENGLISH):
        monkeypatch.setattr(adapter, "card", replace(adapter.card, counts={}))
    from xrete.tasks import lareqa

    breaks = {language: rows[:PARAGRAPHS] for language, rows in lareqa.sentence_breaks().items()}
    candidates = {language: sum(len(row[2:]) // 2 for row in rows) for language, rows in breaks.items()}
    monkeypatch.setattr("xrete.tasks.lareqa.sentence_breaks", lambda: breaks)
    monkeypatch.setattr("tests.hub_copies.sentence_breaks", lambda: breaks)
    monkeypatch.setattr("xrete.tasks.lareqa.CANDIDATES", candidates)
    monkeypatch.setattr("xrete.tasks.mewslix.ENTITIES", 2 * SIZE)
    hub_server.files |= repositories()
    hub_server.use(monkeypatch, tmp_path / "home")
    return hub_server


def records(folder: Path) -> dict[str, Record]:
    return {record.task: record for record in map(read_record, find_records(folder))}


@pytest.mark.slow
def test_every_task_runs_from_the_hub(copies: HubServer, xrete: Run, tmp_path: Path) -> None:
    done = xrete("run", *WORDS, "--task", "all", "--data", "hub", "--results", tmp_path / "results")
    assert done.returncode == 0, done.stderr
    made = records(tmp_path / "results")
    assert set(made) == set(TASKS)
    for name, record in made.items():
        card = registry.task(name).card
        assert card.hub is not None
        assert (record.status, record.data.source, record.data.revision) == ("complete", "hub", card.hub.revision)
        missing = {"qe": ("en-cs", "en-ja", "km-en", "ps-en", "ru-en")}.get(name, ())
        assert set(record.missing_languages) == set(missing)
        assert len(record.languages) == len(card.languages) - len(missing)
    assert made["qe"].data.split == "test20"
    assert not any(path.endswith(".py") for path in copies.sent)
    before = dict(copies.sent)
    assert all(count == len(content) for count, content in sizes(copies))
    again = xrete("run", *WORDS, "--task", "all", "--data", "hub", "--results", tmp_path / "other", "--dry-run")
    assert again.returncode == 0, again.stderr  # a plan reads all data, too
    assert dict(copies.sent) == before, "what is here is not fetched again"


def sizes(hub: HubServer) -> list[tuple[int, bytes]]:
    """What was sent of each file, and the files; paths that several repositories have are left out."""
    paths = [path for files in hub.files.values() for path in files]
    return [
        (hub.sent[path], content)
        for files in hub.files.values()
        for path, content in files.items()
        if hub.sent[path] and paths.count(path) == 1
    ]


@pytest.mark.slow
def test_a_language_fetches_its_own_files_of_every_task(copies: HubServer, xrete: Run) -> None:
    """Its test files, nothing else; FLORES has all languages in one file, Mewsli-X in one archive."""
    for name in TASKS:
        card = registry.task(name).card
        assert card.hub is not None
        language = (card.hub.splits.get("test20") or card.languages)[0]
        copies.sent.clear()
        done = xrete("data", "fetch", name, "--languages", language)
        assert done.returncode == 0, done.stderr
        files = copies.files[card.hub.repo]
        fetched = sum(copies.sent.values())
        if name != "flores-geometry":  # whose files are FLORES's
            assert f"{fetched:,} were fetched now" in done.stdout.splitlines()[-1]
            assert fetched == sum(len(files[path]) for path in copies.sent)
        whole = sum(map(len, files.values()))
        assert len(copies.sent) <= 3
        if name not in ("flores", "flores-geometry", "mewslix"):
            assert fetched < whole / 2


@pytest.mark.slow
def test_a_probe_of_english_alone(copies: HubServer, xrete: Run, tmp_path: Path) -> None:
    options = ("--train-languages", "en", "--data", "hub", "--results", tmp_path / "results")
    done = xrete("run", *WORDS, "--task", "americasnli,xcopa", "--protocol", "probe", *options)
    assert done.returncode == 0, done.stderr
    for name, title in (("americasnli", "MultiNLI in en"), ("xcopa", "COPA")):
        record = records(tmp_path / "results")[name]
        assert record.probe is not None
        assert (record.probe.train_languages, record.probe.train_split) == ("en", "train")
        assert any(f"probe: trained on {title}, train in en ({SIZE} items)" in note for note in record.notes)
    assert not [path for path in copies.sent if path.endswith("-00000-of-00001.parquet") and "validation" in path
                and not path.startswith(("en/", "copa/"))]  # fmt: skip


def test_test20_stands_in_a_column_of_its_own(copies: HubServer, xrete: Run, tmp_path: Path) -> None:
    done = xrete(
        "run", *WORDS, "--task", "qe", "--languages", "ro-en", "--data", "hub", "--results", tmp_path / "results"
    )
    assert done.returncode == 0, done.stderr
    table = xrete("report", tmp_path / "results", "--format", "csv")
    assert ",qe-test20," in table.stdout
    assert ",qe," not in table.stdout


def test_what_the_hub_lacks_is_refused(copies: HubServer, xrete: Run) -> None:
    done = xrete("data", "fetch", "qe", "--split", "test21")
    assert done.returncode == 1
    assert "wmt/wmt20_mlqe_task1 on the hub has no test21 of qe in " in done.stderr
    blank = xrete("data", "fetch", "qe", "--languages", "ru-en")
    assert blank.returncode == 1
    assert "has no test20 of qe in ru-en; it has test20, dev, train; use --data DIR" in blank.stderr
