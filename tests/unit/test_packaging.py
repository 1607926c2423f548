"""The wheel: it holds every file of the source, under `xrete` and nowhere else."""

from __future__ import annotations

import configparser
import json
import os
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

import xrete
from xrete import __version__

ROOT = Path(__file__).parents[2]
FOLDERS = {"xrete": "xrete", "tasks": "xrete/tasks", "models": "xrete/models", "results": "xrete/results"}
SHIPPED = {
    *(".py", ".typed", ".toml", ".css", ".js", ".j2", ".html"),
    *(".tsv", ".jsonl", ".json", ".md", ".parquet", ".safetensors"),
}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (ROOT / "setup.py").is_file(), reason="these tests were copied out of their checkout"),
]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what the wheel is made of; building in the checkout would leave files there."""
    folder = tmp_path_factory.mktemp("source")
    ignore = shutil.ignore_patterns("__pycache__", "local", ".*", "*.egg-info")
    for name in FOLDERS:
        shutil.copytree(ROOT / name, folder / name, ignore=ignore)
    for file in ("pyproject.toml", "setup.py", "LICENSE", "README.md"):
        if (ROOT / file).exists():
            shutil.copy(ROOT / file, folder)
    (folder / "README.md").touch()  # named by pyproject.toml
    return folder


@pytest.fixture(scope="module")
def wheel_file(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    shutil.copytree(source, out / "source")
    subprocess.run(
        [
            sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index", "--no-build-isolation",
            "--disable-pip-version-check", "--wheel-dir", str(out), str(out / "source"),
        ],
        check=True, capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    (file,) = out.glob("*.whl")
    return file


@pytest.fixture(scope="module")
def wheel(wheel_file: Path) -> zipfile.ZipFile:
    return zipfile.ZipFile(wheel_file)


def test_every_file_is_in_it(source: Path, wheel: zipfile.ZipFile) -> None:
    expected = {
        f"{target}/{file.relative_to(source / name).as_posix()}"
        for name, target in FOLDERS.items()
        for file in (source / name).rglob("*")
        if file.suffix in SHIPPED
    }
    assert len(expected) > 50
    assert expected - set(wheel.namelist()) == set()


def test_nothing_lies_outside_the_package(wheel: zipfile.ZipFile) -> None:
    folders = {name.partition("/")[0] for name in wheel.namelist()}
    (metadata,) = (folder for folder in folders if folder.endswith(".dist-info"))
    assert folders == {"xrete", metadata}
    assert wheel.read(f"{metadata}/top_level.txt").decode().split() == ["xrete"]


def test_it_offers_its_plugins_as_others_do(wheel: zipfile.ZipFile) -> None:
    (file,) = (name for name in wheel.namelist() if name.endswith(".dist-info/entry_points.txt"))
    points = configparser.ConfigParser()
    points.read_string(wheel.read(file).decode())
    assert dict(points["xrete.tasks"]) == {"xrete": "xrete.tasks:TASKS"}
    assert dict(points["xrete.families"]) == {"xrete": "xrete.tasks:FAMILIES"}
    assert dict(points["xrete.models"]) == {"xrete": "xrete.models:MODELS"}
    assert dict(points["console_scripts"]) == {"xrete": "xrete.cli.app:main"}


def test_it_runs_from_the_wheel_alone(wheel: zipfile.ZipFile, tmp_path: Path) -> None:
    """Without the checkout on the path: the plugins, the mini sample and the paper's numbers are found inside."""
    wheel.extractall(tmp_path / "site")
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); import xrete; from importlib.resources import files\n"
        "assert xrete.__file__.startswith(sys.argv[1]), xrete.__file__\n"
        "assert len(list(files('xrete.results').joinpath('paper').iterdir())) > 10\n"
        "dataset = xrete.load_task('tatoeba', data='mini', languages=['de'])\n"
        "assert sys.modules['xrete.tasks.tatoeba'].__file__.startswith(sys.argv[1])\n"
        "print(dataset.shape.size(dataset['deu']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "site")],
        cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 60


def test_it_installs_in_a_clean_environment_and_scores_a_model(
    wheel_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """XRETE comes from the wheel alone; what it depends on is borrowed, since tests have no network."""
    monkeypatch.chdir(tmp_path)  # where no checkpoints/ stand in for the embedded encoder
    environment = tmp_path / "environment"
    venv.create(environment, with_pip=False, symlinks=True)
    python = environment / "bin" / "python"
    subprocess.run(
        [
            sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", "--no-index",
            "--disable-pip-version-check", str(wheel_file),
        ],
        check=True, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    (site,) = environment.glob("lib/python*/site-packages")
    # Folders that a .pth file names come last, and .pth files in them (of an editable XRETE) are not read.
    (site / "dependencies.pth").write_text("\n".join(path for path in sys.path if path.endswith("site-packages")))

    def run(*command: str) -> str:
        clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        done = subprocess.run(
            [str(environment / "bin" / command[0]), *command[1:]],
            cwd=tmp_path, env=clean, capture_output=True, text=True, timeout=200, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert run("python", "-c", "import xrete; print(xrete.__file__)").startswith(str(site))
    assert run("xrete", "--version").split() == ["xrete", __version__]
    run("xrete", "run", "--model", "emmax", "--task", "tatoeba", "--data", "mini", "--results", "results")
    (record,) = (tmp_path / "results").rglob("tatoeba.*.json")
    written = json.loads(record.read_text("utf-8"))
    assert (written["status"], written["code"]["version"]) == ("complete", __version__)
    here = xrete.evaluate(xrete.load_model("emmax"), xrete.load_task("tatoeba", "mini"))
    assert written["score"] == pytest.approx(here.score)
    assert "tatoeba" in run("xrete", "report", "results")
    assert "by MTEB" in run("xrete", "recommend", "--for", "alignment", "--languages", "sw")


def test_all_files_name_one_version(wheel_file: Path) -> None:
    assert wheel_file.name.split("-")[1] == __version__
    assert f"\nversion: {__version__}\n" in (ROOT / "CITATION.cff").read_text("utf-8")
    headings = [line for line in (ROOT / "CHANGELOG.md").read_text("utf-8").splitlines() if line.startswith("## ")]
    assert headings[0] == "## Unreleased"
    assert headings[1:] == [] or headings[1].split()[1] == __version__
