"""A protocol and a shape from outside: one file each and one line in a table, and nothing else is touched."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

import xrete
from xrete import registry
from xrete.check.plugins import check_plugin
from xrete.evaluation.forecast import forecast
from xrete.evaluation.plan import Plan, RunOptions
from xrete.evaluation.run import score
from xrete.protocols import PROTOCOLS
from xrete.record import read_record
from xrete.shapes import SHAPES

SHAPE = '''
"""Order: a list of texts; what is scored is how often the next one is the nearest."""

from xrete.lazy import np
from xrete.shapes.metric import Metric


class Order:
    name = "order"
    metrics = {"follows": Metric.mean_of(lambda items: 100.0 * items["follows"])}

    def size(self, data):
        return len(data) - 1

    def take_first(self, data, limit):
        return data[: limit + 1]

    def content(self, data):
        return data

    def count_texts(self, data):
        return len(data)

    def nearest(self, vectors):
        scores = vectors @ vectors.T
        np.fill_diagonal(scores, -np.inf)
        return {"follows": scores[:-1].argmax(axis=1) == np.arange(1, len(vectors))}


SHAPE = Order()
'''
PROTOCOL = '''
"""Shout: frozen embeddings of texts in capital letters."""

import numpy as np

from xrete.check.certificates.contract import Certificate
from xrete.protocols import Settings, Work
from xrete.protocols.frozen import fine_tuning, open_model, trained_on

KIND = "encoder"
UNIT = "sentences"
SELF_CONTAINED = False
NEEDS = None


def fits(shape):
    return shape.name == "order"


def certificates(dataset, language, settings):
    """Every text is as near to all others, so the first of them is taken: only the second text comes next."""
    count = len(dataset[language]) - 1
    yield Certificate("constant", lambda texts: np.ones((len(texts), 1), np.float32), 100 / count, 100 / count)


def settings(asked):
    return Settings(seed=asked.seed)


def outcomes(dataset, encode, languages, settings):
    for language in languages:
        yield language, dataset.shape.nearest(encode([text.upper() for text in dataset[language]]))


def joint(dataset, model):
    return None


def work(dataset, languages, settings, opening):
    return Work(texts=sum(dataset.shape.count_texts(dataset[language]) for language in languages))


def fingerprint(dataset, settings):
    return "in capitals"


def notes(dataset, settings):
    return ("shout: in capital letters",)
'''
PLUGIN = """
from pathlib import Path

from xrete.task import TaskCard


class Counting:
    card = TaskCard(
        name="counting", title="What comes next", shape="order", category="retrieval", metric="follows",
        languages=("de", "sw"), splits=("test",), counts={}, licence="CC0-1.0", citation="none",
        layout="counting/{language}.txt", protocols=("shout",),
    )

    def files(self, language, split):
        return [f"counting/{language}.txt"]

    def from_folder(self, folder, language, split):
        return folder.lines(f"counting/{language}.txt")

    def from_mini(self, mini, language, split):
        return {"de": "eins zwei drei vier", "sw": "moja mbili tatu nne"}[language].split()


TASKS = {"counting": Counting()}
"""


@pytest.fixture
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a task's plugin and data, and modules of a protocol and a shape with their line each."""
    for name, text in (("order_shape", SHAPE), ("shout_protocol", PROTOCOL)):
        (tmp_path / f"{name}.py").write_text(text, "utf-8")
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(SHAPES, "order", "order_shape:SHAPE")
    monkeypatch.setitem(PROTOCOLS, "shout", "shout_protocol")
    (tmp_path / "counting").mkdir()
    for language, words in (("de", "eins zwei drei vier"), ("sw", "moja mbili tatu nne")):
        (tmp_path / "counting" / f"{language}.txt").write_text(words.replace(" ", "\n") + "\n", "utf-8")
    (tmp_path / "plugin.py").write_text(PLUGIN, "utf-8")
    return tmp_path


def test_they_go_from_data_to_a_record(outside: Path, new_ngrams: Any, model_of: Any) -> None:
    registry.add_plugin_file(outside / "plugin.py")
    dataset = xrete.load_task("counting", outside)
    encoder = new_ngrams()
    model = model_of(encoder)
    plan = Plan.make(model.identity, dataset, RunOptions(results=outside / "results"))
    assert plan.protocol == "shout"
    assert forecast(plan).texts == 8
    record = score(plan, lambda: model)
    assert record.status == "complete"
    assert (record.task, record.shape, record.protocol, record.metric) == ("counting", "order", "shout", "follows")
    assert {code: part.n for code, part in record.languages.items()} == {"de": 3, "sw": 3}
    assert "EINS" in encoder.encoded
    assert "shout: in capital letters" in record.notes
    (file,) = (outside / "results").rglob("*.json")
    assert read_record(file).score == record.score
    assert f".shout.dir.{plan.key}" in file.name


def test_they_are_held_to_the_contract(outside: Path) -> None:
    registry.add_plugin_file(outside / "plugin.py")
    findings = check_plugin("counting")
    assert [finding for finding in findings if not finding.passed] == []
    rules = [finding.rule for finding in findings]
    assert "the shape is one for the protocol 'shout'" in rules
    assert rules.count("de: the constant model scores what theory says") == 1


def test_they_go_through_the_commands(outside: Path) -> None:
    from typer.testing import CliRunner

    from xrete.cli.app import app

    results = outside / "results"
    runner = CliRunner()
    common = ["--plugin", str(outside / "plugin.py")]
    scored = runner.invoke(
        app,
        [
            "run",
            "--model",
            "emmax:embedded",
            "--task",
            "counting",
            "--data",
            str(outside),
            "--results",
            str(results),
            *common,
        ],
    )
    assert scored.exit_code == 0, scored.output
    shown = runner.invoke(app, ["report", str(results), "--format", "markdown"])
    assert shown.exit_code == 0, shown.output
    assert "counting<br>shout<br>follows" in shown.output
    verified = runner.invoke(app, ["verify", str(results)])
    assert verified.exit_code == 0, verified.output
