"""Where a run computes, in which precision, and what it says of the machine."""

from __future__ import annotations

import platform
import time
from typing import Any, Literal

import torch

from contrafact.core.catalog import unknown_name_message

Precision = Literal["auto", "float32", "bfloat16"]


def find_device(name: str) -> torch.device:
    """The device called ``name``; ``auto`` is a GPU if there is one.

    Raises:
        ValueError: unknown name, or a device this machine does not have.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    known = ["auto", "cpu", "cuda", "mps"]
    try:
        device = torch.device(name)
    except (RuntimeError, TypeError) as error:
        raise ValueError(unknown_name_message("device", str(name), known)) from error
    if device.type not in known:
        raise ValueError(unknown_name_message("device", str(name), known))
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device {name!r} asked for, but torch sees no CUDA device here; use --device cpu")
    if device.index is not None and device.index >= (torch.cuda.device_count() if device.type == "cuda" else 1):
        count = torch.cuda.device_count() if device.type == "cuda" else 1
        raise ValueError(f"device {name!r} asked for, but there are {count} of that kind, counted from 0")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise ValueError(f"device {name!r} asked for, but this is no Apple GPU; use --device cpu")
    return device


def find_precision(name: Precision, device: torch.device) -> Literal["float32", "bfloat16"]:
    """The precision called ``name`` on a device; ``auto`` is bfloat16 where the hardware computes in it.

    Raises:
        ValueError: unknown name.
    """
    if name not in ("auto", "float32", "bfloat16"):
        raise ValueError(unknown_name_message("precision", name, ["auto", "float32", "bfloat16"]))
    if name != "auto":
        return name
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    if device.type == "cpu":
        # Emulated bfloat16 is slower than float32; only processors with bfloat16 products gain.
        return "bfloat16" if torch.ops.mkldnn._is_mkldnn_bf16_supported() and _cpu_has_bfloat16() else "float32"
    return "float32"


def _cpu_has_bfloat16() -> bool:
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def environment(device: torch.device) -> dict[str, Any]:
    """What a number was computed with: versions, device, threads, time."""
    from contrafact import __version__

    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    return {
        "contrafact": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "device": f"{device} ({name})",
        "threads": torch.get_num_threads(),
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }
