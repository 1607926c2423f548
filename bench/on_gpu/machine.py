"""The machine that numbers come from: its card, driver and clocks, and what its products of matrices reach."""

from __future__ import annotations

import platform
import shutil
import subprocess
from functools import cache
from importlib.metadata import version
from typing import Any

import torch

from on_gpu.given import MEASUREMENTS, Given
from xrete.models.emmax.log import PEAK_FLOPS

FIELDS = "name,driver_version,clocks.sm,clocks.mem,clocks.max.sm,power.limit,memory.total"


def describe(given: Given) -> None:
    """Writes the row of the machine, if no part before has."""
    rows = given.out / MEASUREMENTS
    if rows.exists() and '"name": "machine"' in rows.read_text("utf-8"):
        return
    packages = {name: version(name) for name in ("torch", "transformers", "sentence-transformers", "accelerate")}
    values: dict[str, Any] = {"python": platform.python_version(), **packages}
    if given.where == "cuda":
        values |= {"cuda": torch.version.cuda, "capability": ".".join(map(str, torch.cuda.get_device_capability()))}
        if shutil.which("nvidia-smi"):
            command = ["nvidia-smi", f"--query-gpu={FIELDS}", "--format=csv,noheader"]
            line = subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines()[:1]
            values["card"] = dict(zip(FIELDS.split(","), line[0].split(", "), strict=False)) if line else None
    else:
        values["card"] = platform.processor() or platform.machine()
    given.record("machine", **values, peak_bfloat16_tflops=peak(given, "bfloat16") / 1e12)


@cache
def peak(given: Given, dtype: str) -> float:
    """Returns the operations a second of a large product of matrices, measured here and now."""
    size = 256 if given.toy else 8192
    left, right = (torch.randn(size, size, device=given.where).to(getattr(torch, dtype)) for _ in range(2))
    return 2 * size**3 / given.seconds_of(lambda: left @ right, repeats=10)


def sheet_peak(given: Given) -> float | None:
    """Returns the bfloat16 operations a second on the maker's sheet, or None where it is not known."""
    if given.where != "cuda":
        return None
    name = torch.cuda.get_device_name()
    return next((flops for part, flops in PEAK_FLOPS.items() if part in name), None)
