"""Devices and precisions: which are had here, and which products they have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xrete.errors import UsageError

if TYPE_CHECKING:
    import torch

DTYPES = ("float32", "bfloat16", "float16")


def pick_device(name: str) -> torch.device:
    """Returns the device that `name` asks for; "auto" takes CUDA, then Apple's GPU, then the CPU.

    Raises:
        UsageError: there is no such device here.
    """
    import torch

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UsageError(f"unknown device {name!r}; use auto, cpu, cuda, cuda:N or mps") from None
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UsageError(
            f"device {name!r}: torch sees {torch.cuda.device_count()} CUDA devices here; use --device auto or cpu"
        )
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise UsageError("device 'mps': torch sees no Apple GPU here; use --device auto or cpu")
    return device


def pick_dtype(name: str) -> torch.dtype:
    """Returns torch's type for a precision.

    Raises:
        UsageError: it is not one of `DTYPES`.
    """
    import torch

    if name not in DTYPES:
        raise UsageError(f"unknown dtype {name!r}; use one of {', '.join(DTYPES)}")
    dtype: torch.dtype = getattr(torch, name)
    return dtype


def native_dtype(device: str) -> str:
    """Returns the precision that is fastest on a device: "bfloat16" where it has products for that, else "float32".

    Raises:
        UsageError: there is no such device here.
    """
    import torch

    where = pick_device(device)
    if where.type == "cuda":
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        fast = where.type == "cpu" and multiplies_bfloat16()
    return "bfloat16" if fast else "float32"


def multiplies_bfloat16() -> bool:
    """Returns whether this processor has instructions for products in bfloat16, without which they are slow."""
    import torch

    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name) for name in ("amx_bf16", "avx512_bf16", "bf16"))


def machine_kind(device: str) -> str:
    """Names what decides how numbers are rounded on a device: torch's version and the processor's or GPU's name.

    Raises:
        UsageError: there is no such device here.
    """
    import torch

    where = pick_device(device)
    if where.type == "cuda":
        return f"{torch.__version__}, {torch.cuda.get_device_name(where)}"
    return f"{torch.__version__}, {where.type}, {torch.cpu.get_capabilities().get('cpu_name')}"
