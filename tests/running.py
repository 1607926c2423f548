"""Running `xrete` as users do, and folders of data for it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

Done = subprocess.CompletedProcess[str]
Run = Callable[..., Done]

PLUGINS = Path(__file__).parent / "plugins"


@pytest.fixture
def xrete(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the command in this process: fast, and errors are reported as in a shell."""
    from xrete.cli.app import main

    def run(*arguments: object) -> Done:
        command = ["xrete", *map(str, arguments)]
        monkeypatch.setattr(sys, "argv", command)
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main()
        code = end.value.code
        return Done(command, code if isinstance(code, int) else int(bool(code)), *capsys.readouterr())

    return run


@pytest.fixture
def shell(tmp_path: Path) -> Run:
    """Runs the command in a fresh interpreter, in the test's folder; an environment value of None is removed."""

    def run(*arguments: object, environment: Mapping[str, str | None] | None = None, seconds: float = 120) -> Done:
        wanted = {**os.environ, **(environment or {})}
        return subprocess.run(
            [sys.executable, "-m", "xrete", *map(str, arguments)],
            env={name: value for name, value in wanted.items() if value is not None},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )

    return run


@pytest.fixture
def fake_models() -> tuple[str, str]:
    """Options that bring the models of `plugins/fake_models.py`: hash, unloadable, crashing, fading, sleepy."""
    return "--plugin", str(PLUGINS / "fake_models.py")


@pytest.fixture
def bitext_folder(tmp_path: Path) -> Path:
    """A data folder with the two smallest languages of Tatoeba, in sentences of our own."""
    folder = tmp_path / "data"
    for language, size in (("tzl", 104), ("swg", 112)):
        for side in (language, "eng"):
            file = folder / "tatoeba" / "v1" / f"tatoeba.{language}-eng.{side}"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("".join(f"{language}: {side} sentence {row}\n" for row in range(size)), "utf-8")
    return folder
