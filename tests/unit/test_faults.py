"""No write of results, caches, checkpoints or prepared text can be killed or fail and leave harm (tests/faults)."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

FAULTS = Path(__file__).parents[1] / "faults"
COMPILER = shutil.which("cc") or shutil.which("gcc")


@pytest.mark.slow
@pytest.mark.timeout(3_000)
@pytest.mark.skipif(sys.platform != "linux" or COMPILER is None, reason="needs Linux and a C compiler")
def test_a_fault_at_every_write(tmp_path: Path) -> None:
    shim = tmp_path / "faults.so"
    subprocess.run([str(COMPILER), "-shared", "-fPIC", "-o", shim, FAULTS / "faults.c", "-ldl"], check=True)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-s", "-p", "no:cacheprovider", str(FAULTS / "cases.py")],
        env={**os.environ, "LD_PRELOAD": str(shim)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-20_000:]
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("injected "))
    counts = json.loads(line.removeprefix("injected "))
    print(line, "total", sum(counts.values()))
    assert sum(counts.values()) > 800 // int(os.environ.get("XRETE_FAULTS", "13"))
