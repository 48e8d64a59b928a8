"""Where a run computes, in which precision, and what it says of the machine."""

from __future__ import annotations

import ctypes
import os
import platform
import sys
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


_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3
"""Numbers of ``mallopt``'s parameters, from glibc's malloc.h."""
_CHOSEN = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_TOP_PAD_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_MMAP_MAX_", "GLIBC_TUNABLES")


def keep_freed_memory() -> bool:
    """Let this process keep the memory that its tensors leave, for the next ones; returns whether it does.

    glibc hands large blocks back to the system at once, and every step of a training loop then pays for their pages
    anew: a fifth of a step's time at 256 images of 64 pixels. Kept, the process's peak may be a quarter higher. Nothing
    happens where malloc is not glibc's, or where the environment (``MALLOC_TRIM_THRESHOLD_`` and its like) says how it
    should work.
    """
    if sys.platform != "linux" or any(name in os.environ for name in _CHOSEN):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    asked = ((_MMAP_THRESHOLD, 2**30), (_TRIM_THRESHOLD, 2**31 - 1), (_TOP_PAD, 2**26))
    taken = [mallopt(parameter, value) == 1 for parameter, value in asked]
    return all(taken)


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
