"""What a run runs on: versions, the checkout's commit, memory. Nothing here names the machine or its user."""

from __future__ import annotations

import importlib.metadata
import platform
import resource
import subprocess
import sys
from functools import cache
from pathlib import Path

from xrete.record import CodePart, Environment
from xrete.version import __version__

PACKAGES = (
    "torch",
    "transformers",
    "tokenizers",
    "sentence-transformers",
    "datasets",
    "numpy",
    "scipy",
    "scikit-learn",
)


@cache
def code() -> CodePart:
    """Returns the version, and the commit where XRETE itself runs from a git checkout."""
    root = Path(__file__).parents[2]
    commit = _git(root, "rev-parse", "HEAD") if (root / ".git").exists() else None
    dirty = None if commit is None else bool(_git(root, "status", "--porcelain", "--untracked-files=no"))
    return CodePart(version=__version__, commit=commit, dirty=dirty)


def environment(device: str, dtype: str, processes: int, seed: int) -> Environment:
    """Describes where a run takes place."""
    return Environment(
        python=platform.python_version(),
        platform=f"{platform.system()} {platform.machine()}",
        versions={name: version for name in PACKAGES if (version := package_version(name))},
        device=device,
        dtype=dtype,
        processes=processes,
        seed=seed,
    )


def package_version(name: str) -> str | None:
    """Returns a distribution's version, or None where it is not installed."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def peak_memory_bytes() -> int:
    """Returns the most memory this process has held."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # kilobytes everywhere else


def _git(root: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True, timeout=10
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
