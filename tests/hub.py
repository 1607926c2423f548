"""A hub without a network: data set repositories in the layout of huggingface_hub's own cache."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

MakeSnapshot = Callable[..., Path]


@pytest.fixture
def snapshot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeSnapshot:
    """Puts files into the hub's cache as one revision of a data set; returns the folder of the revision."""
    cache = tmp_path / "hub-cache"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))

    def make(repo: str, revision: str, files: Mapping[str, str | bytes]) -> Path:
        folder = cache / f"datasets--{repo.replace('/', '--')}" / "snapshots" / revision
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        return folder

    return make
