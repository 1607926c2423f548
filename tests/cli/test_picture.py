"""`xrete picture` as users type it, with a plugin's model that needs no time."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

pytest.importorskip("matplotlib")

from xrete import registry
from xrete.cli.picture import picture
from xrete.errors import UsageError, XreteError
from xrete.reporting import pictures
from xrete.vectors.projection import choose

PLUGIN = """
import numpy as np
from xrete.model import ModelCard, ModelIdentity


class Letters:
    card = ModelCard(
        name="letters", title="Counts letters", licence="CC0 1.0", languages="any", parameters=None, dimension=24,
        max_length=None, trained_on=(), citation="none",
    )

    def identify(self, options):
        return ModelIdentity(name="letters", revision="1", pooling="counts")

    def load(self, options):
        return self

    def encode(self, texts):
        counts = [np.bincount([ord(x) % 24 for x in text], minlength=24) + 0.1 for text in texts]
        return np.array(counts, dtype=np.float32)


MODELS = {"letters": Letters()}
"""
NAMES = ("languages-tsne", "languages-pca", "meanings-tsne", "meanings-pca", "isotropy")

app = typer.Typer(add_completion=False)
app.command()(picture)
run = CliRunner()


@pytest.fixture(scope="module")
def arguments(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    plugin = tmp_path_factory.mktemp("plugin") / "letters.py"
    plugin.write_text(PLUGIN)
    few = ["--languages", "en,de,sw", "--limit", "24", "--sentences", "12"]
    return ["--model", "letters", "--data", "mini", "--plugin", str(plugin), "--no-cache", *few]


@pytest.fixture(scope="module")
def out(arguments: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    done = run.invoke(app, [*arguments, "--out", str(folder)])
    assert done.exit_code == 0, done.output
    return folder


def test_every_picture_is_there_twice(out: Path) -> None:
    assert {path.name for path in out.iterdir()} == {
        "picture.json",
        *(f"{name}.{suffix}" for name in NAMES for suffix in ("svg", "png")),
    }
    for name in NAMES:
        assert (out / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert "<svg" in (out / f"{name}.svg").read_text("utf-8")


def test_the_numbers_stand_beside(out: Path) -> None:
    content = json.loads((out / "picture.json").read_text("utf-8"))
    codes = {"deu_Latn", "eng_Latn", "swh_Latn"}
    assert content["schema"] == "xrete/picture/1"
    assert content["data"] == {"source": "mini", "split": "test", "limit": 24}
    assert {"kl", "ch", "pr"} <= content["all"].keys()
    for plane in ("tsne", "pca"):
        assert content[plane].keys() == codes
        assert all(len(points) == 12 and len(points[0]) == 2 for points in content[plane].values())
    assert len(content["sentences"]) == 12
    assert set(content["highlighted"]) <= {sentence["row"] for sentence in content["sentences"]}
    assert content["languages"].keys() == codes
    assert sum(content["spectrum"]) == pytest.approx(1.0, abs=1e-3)


def test_the_same_seed_draws_the_same(arguments: list[str], out: Path, tmp_path: Path) -> None:
    done = run.invoke(app, [*arguments, "--out", str(tmp_path), "--json"])
    assert [json.loads(line)["file"] for line in done.stdout.splitlines()][-1] == str(tmp_path / "picture.json")
    for name in ("picture.json", "languages-tsne.svg", "isotropy.png"):
        assert (tmp_path / name).read_bytes() == (out / name).read_bytes()


def test_words_stay_out_of_pictures_that_are_shared(arguments: list[str], out: Path, tmp_path: Path) -> None:
    assert run.invoke(app, [*arguments, "--out", str(tmp_path), "--no-text"]).exit_code == 0
    shared, whole = (json.loads((folder / "picture.json").read_text("utf-8")) for folder in (tmp_path, out))
    assert [x["text"] for x in shared["sentences"]] == [f"sentence {x['row'] + 1}" for x in whole["sentences"]]
    assert {**shared, "sentences": None} == {**whole, "sentences": None}, "the same picture"


def test_a_task_without_geometry_is_wrong_usage(arguments: list[str], tmp_path: Path) -> None:
    done = run.invoke(app, [*arguments, "--task", "tatoeba", "--out", str(tmp_path)])
    assert isinstance(done.exception, UsageError)
    assert "flores-geometry" in str(done.exception)


def test_without_matplotlib_the_error_says_what_to_install(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    folder = tmp_path / "pictures"
    done = run.invoke(app, [*arguments, "--out", str(folder)])
    assert isinstance(done.exception, XreteError)
    assert "pip install 'xrete[pictures]'" in str(done.exception)
    assert not folder.exists()


def test_languages_are_told_apart_by_colour_and_shape() -> None:
    assert pictures.MOST_LANGUAGES == 28
    assert len(set(pictures.COLOURS)) == pictures.MOST_SENTENCES == 7


def test_a_sample_is_drawn_once_and_keeps_what_it_must() -> None:
    drawn = choose(50, 10, seed=1, keep=[49])
    assert len(set(drawn)) == 10
    assert drawn == sorted(drawn) == choose(50, 10, seed=1, keep=[49])
    assert 49 in drawn
    assert choose(5, 10, seed=1) == [0, 1, 2, 3, 4]
    assert registry.task("flores-geometry").card.name == "flores-geometry"
