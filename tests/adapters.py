"""Task adapters for tests of small files."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from dataclasses import replace
from typing import Any

from xrete import registry


def with_counts(name: str, counts: Mapping[str, Any] | None = None) -> Any:
    """Returns a task's adapter with other counts than the published ones; with none, files may be small."""
    adapter: Any = copy(registry.task(name))
    adapter.card = replace(adapter.card, counts=counts or {})
    return adapter
