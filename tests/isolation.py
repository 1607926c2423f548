"""Keeps tests off the network, off the user's caches, and apart from each other."""

from __future__ import annotations

import atexit
import os
import runpy
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

OFFLINE = Path(__file__).parent / "offline"
HOME = "XRETE_TESTS_HOME"

if HOME not in os.environ:  # else this is a worker of pytest-xdist, and shares the folder of its parent
    os.environ[HOME] = tempfile.mkdtemp(prefix="xrete-tests-")
    atexit.register(shutil.rmtree, os.environ[HOME], ignore_errors=True)
home = Path(os.environ[HOME])
(home / "cache" / "models").mkdir(parents=True, exist_ok=True)
os.environ |= {
    "HF_HOME": str(home / "hub"),
    "HF_HUB_OFFLINE": "1",
    "PYTHONPATH": os.pathsep.join(filter(None, [str(OFFLINE), os.environ.get("PYTHONPATH")])),
    "XRETE_CACHE": str(home / "cache"),
}
# Tests run beside each other, and start processes: the threads of each would fight for the same cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
if "LD_PRELOAD" not in os.environ:  # which is how tests/faults break this call, too
    os.fsync = lambda fd: None  # no test cuts the power, and a disk takes milliseconds for each of thousands
# Started in the background, this process ignores Ctrl-C, and so would every command that a test interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)
runpy.run_path(str(OFFLINE / "sitecustomize.py"))


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gives each test a cache of its own, but for unpacked models, which take seconds to make."""
    cache = tmp_path / "xrete-cache"
    cache.mkdir()
    (cache / "models").symlink_to(home / "cache" / "models")
    monkeypatch.setenv("XRETE_CACHE", str(cache))


@pytest.fixture(autouse=True)
def _own_registry() -> Iterator[None]:
    """Forgets the plugin files of a test after it."""
    from xrete import registry

    names = registry.names  # a test may have replaced it
    yield
    registry.plugin_files.clear()
    names.cache_clear()
