"""What the documents show works: Python blocks run, and commands run or at least are ones that XRETE has.

A page's blocks run in order, in one folder. A Python block with a table TASKS or MODELS is the plugin file that the
page's commands name. Commands with placeholders (DIR, FOLDER, ORG/NAME, …), with data or models that a machine
without a hub has not, and runs of real encoders over a whole sample are parsed, and their names looked up.
"""

from __future__ import annotations

import ast
import itertools
import re
import shlex
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer

from xrete import registry
from xrete.cli.app import app
from xrete.cli.options import split_commas
from xrete.record import Record, write_record

Run = Callable[..., subprocess.CompletedProcess[str]]

ROOT = Path(__file__).parents[2]
TOP = [ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
PAGES = [path for path in [*TOP, *sorted((ROOT / "docs").rglob("*.md"))] if path.is_file()]
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NEEDS = re.compile(r"\b[A-Z]{3,}\b|\bhub\b|\.\./|# needs |…|<")
PLACEHOLDERS = re.compile(r"\b(DIR|FOLDER|FILE|NAME|ORG)\b|path/to")

pytestmark = pytest.mark.skipif(not PAGES, reason="these tests were copied out of their checkout")


@dataclass(frozen=True)
class Block:
    """One fenced block."""

    language: str
    text: str

    def commands(self) -> list[str]:
        """The lines that call `xrete`, joined where they end in a backslash, without a prompt."""
        if self.language not in ("console", "bash", "sh"):
            return []
        whole = self.text.replace("\\\n", " ")
        lines = [line.strip().removeprefix("$ ") for line in whole.splitlines()]
        return [line for line in lines if line.startswith("xrete ")]


def blocks(page: Path) -> list[Block]:
    return [Block(*match.groups()) for match in FENCE.finditer(page.read_text("utf-8"))]


def arguments_of(command: str) -> list[str]:
    return shlex.split(command.partition(" # ")[0])[1:]


def named(arguments: list[str], option: str) -> list[str]:
    """Every name that is given with an option."""
    values = [value for flag, value in itertools.pairwise(arguments) if flag == option]
    return split_commas(option, values) if values else []


def parse(arguments: list[str]) -> None:
    """Has the command line parsed as `xrete` would, without running it: unknown options and values are errors."""
    command: Any = typer.main.get_command(app)
    disarm(command)
    command.main(list(arguments), "xrete", standalone_mode=False)


def disarm(command: Any) -> None:
    """Lets a command, and those below it, do nothing."""
    command.callback = lambda **options: None
    for below in getattr(command, "commands", {}).values():
        disarm(below)


def look_up(arguments: list[str]) -> None:
    """Looks up every model, task and category that is named."""
    categories = {registry.task(name).card.category for name in registry.names("tasks")} | {"all"}
    for name in named(arguments, "--task"):
        if name not in categories and not name.isupper():
            registry.task(name)
    for name in named(arguments, "--model"):
        if not name.isupper():
            registry.model(name.partition(":")[0])


def can_run(command: str) -> bool:
    """Returns whether a command needs nothing that is not here, and no minutes."""
    if NEEDS.search(command.partition("#")[0].replace("--data hub", "hub")) or "# needs " in command:
        return False
    arguments = arguments_of(command)
    slow = {name for name in named(arguments, "--model") if name in registry.names("models")}
    return not (arguments[0] == "run" and slow) and arguments[0] != "pretrain"


def save_plugins(page: Path, folder: Path) -> None:
    """Writes the page's plugin blocks under the names that its commands give to `--plugin`."""
    fenced = blocks(page)
    plugins = [
        block.text
        for block in fenced
        if block.language == "python" and re.search("^(TASKS|MODELS)", block.text, re.M)
    ]
    commands = [arguments_of(command) for block in fenced for command in block.commands()]
    names = dict.fromkeys(name for arguments in commands for name in named(arguments, "--plugin"))
    for name, text in zip(names, plugins, strict=False):
        (folder / name).write_text(text, "utf-8")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_record: Callable[..., Record]) -> Path:
    """The folder where a page's commands run: results are there to be reported."""
    for model, score in (("use-m3", 44.0), ("me5-small", 61.0)):
        record = make_record(
            model, scores={"deu": score, "swh": score - 9}, groups={"head": ["deu"], "long-tail": ["swh"]}
        )
        write_record(tmp_path / "results" / "local" / model / "tatoeba.json", record)
    (tmp_path / "results" / "measured").symlink_to(ROOT / "results" / "measured")  # the published records
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands(page: Path, folder: Path, xrete: Run) -> None:
    save_plugins(page, folder)
    for command in (command for block in blocks(page) for command in block.commands()):
        arguments = arguments_of(command)
        parse(arguments)
        look_up(arguments)
        if can_run(command):
            done = xrete(*arguments)
            assert done.returncode == 0, f"{command}\n{done.stderr}"
        registry.plugin_files.clear()
        registry.names.cache_clear()


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_blocks(page: Path, folder: Path) -> None:
    names: dict[str, Any] = {"__name__": "example"}
    for number, block in enumerate(blocks(page)):
        if block.language == "python" and not PLACEHOLDERS.search(block.text):
            exec(compile(block.text, f"{page.name}, block {number}", "exec"), names)


def test_a_wrong_command_would_be_found() -> None:
    for wrong in ("run --modle x --task tatoeba", "rnu", "report --table round", "data vrfy x"):
        with pytest.raises(Exception, match=r"No such|is not one of|invalid"):
            parse(wrong.split())
    assert can_run("xrete check animals --plugin animals.py")
    assert not can_run("xrete run --model hf:FOLDER --task tatoeba")
    assert not can_run("xrete run --model use-m3 --task tatoeba --data mini")


def test_local_links_lead_somewhere() -> None:
    broken = []
    for page in PAGES:
        text = FENCE.sub("", page.read_text("utf-8"))
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
            if "://" not in target and not target.startswith("mailto:") and not (page.parent / target).exists():
                broken.append(f"{page.name}: {target}")
    assert broken == []


# --- docs/architecture.md -----------------------------------------------------------------------------------

ARCHITECTURE = ROOT / "docs" / "architecture.md"
CODE = re.compile(r"`([^`]+)`")
DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


def section(title: str) -> str:
    """The text below a heading."""
    return ARCHITECTURE.read_text("utf-8").partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def definitions(file: Path) -> set[str]:
    """The classes, functions and methods of a module, by their dotted names."""
    names: set[str] = set()
    for node in ast.parse(file.read_text("utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        if isinstance(node, ast.ClassDef):
            methods = {inner.name for inner in node.body if isinstance(inner, ast.FunctionDef)}
            names |= methods | {f"{node.name}.{method}" for method in methods}
    return names


def test_every_path_of_the_map_exists() -> None:
    paths = [code for code in CODE.findall(ARCHITECTURE.read_text("utf-8")) if "/" in code and " " not in code]
    assert len(paths) > 50
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_every_file_of_emmax_that_the_floors_name_exists() -> None:
    text = section("The floors").partition("EMMA-X is one of the models.")[2]
    names = [code for code in CODE.findall(text) if code != "models/emmax"]
    assert [name for name in names if not (ROOT / "models" / "emmax" / name).exists()] == []


@pytest.mark.parametrize(
    "title",
    ["One sentence, from its file to a cell of the leaderboard", "One batch, from the corpus to a gradient"],
)
def test_a_walk_passes_functions_that_its_files_have(title: str) -> None:
    lines = [line for line in section(title).splitlines() if re.match(r"\d\. ", line)]
    assert 8 <= len(lines) <= 9
    known: set[str] = set()
    for line in lines:
        codes = CODE.findall(line)
        known |= set().union(*(definitions(ROOT / code) for code in codes if code.endswith(".py")))
        named = [code for code in codes if DOTTED.fullmatch(code)]
        assert named
        assert [code for code in named if code not in known] == [], line
