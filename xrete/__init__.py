"""XRETE: benchmark harness, leaderboard toolkit and trainer for cross-lingual sentence representations.

The Python interface, documented in docs/python.md::

    model = xrete.load_model("labse")
    task = xrete.load_task("tatoeba", data="path/to/data")
    record = xrete.evaluate(model, task)

Everything is imported on first use, so that ``import xrete`` and ``xrete --help`` stay fast.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from xrete.version import __version__

__all__ = ["MiniSampleWarning", "__version__", "evaluate", "leaderboard", "load_model", "load_task"]

if TYPE_CHECKING:
    from xrete.dataset import MiniSampleWarning
    from xrete.evaluation.run import evaluate
    from xrete.registry import load_model, load_task
    from xrete.reporting.frames import leaderboard

_here = Path(__file__).parent
if not (_here / "tasks").is_dir():  # a checkout: tasks/, models/ and results/ lie beside xrete/
    __path__.append(str(_here.parent))

_LAZY = {
    "MiniSampleWarning": "xrete.dataset",
    "evaluate": "xrete.evaluation.run",
    "leaderboard": "xrete.reporting.frames",
    "load_model": "xrete.registry",
    "load_task": "xrete.registry",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'xrete' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_LAZY[name]), name)
