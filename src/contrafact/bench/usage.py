"""What a piece of work costs: wall and processor time, the most memory it held, where it ran."""

from __future__ import annotations

import functools
import platform
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import torch

from contrafact.core.catalog import PACKAGE_ROOT

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_PROCESSORS = Path("/proc/cpuinfo")


class Used(NamedTuple):
    """What another process used: seconds of a processor, and the most bytes, where the system tells."""

    processor_seconds: float
    peak_memory: int | None


class Usage:
    """Counted from when it is made.

    Args:
        device: where the work computes.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._wall, self._processor = time.perf_counter(), time.process_time()
        self._others_seconds, self._others_memory = 0.0, 0
        _forget_peak()
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)

    def add(self, used: Used) -> None:
        """Count another process's too, which worked at the same time."""
        self._others_seconds += used.processor_seconds
        self._others_memory += used.peak_memory or 0

    def so_far(self) -> dict[str, Any]:
        """Seconds, bytes, machine and its processor, commit and date, as they may stand in a JSON file.

        ``peak_memory`` is that of the process while it worked, with those that were added; None where the system does
        not tell it.
        """
        peak = _peak()
        facts: dict[str, Any] = {
            "wall_seconds": round(time.perf_counter() - self._wall, 3),
            "processor_seconds": round(time.process_time() - self._processor + self._others_seconds, 3),
            "peak_memory": None if peak is None else peak + self._others_memory,
            "machine": platform.node(),
            "processor": processor(),
            "commit": commit(),
            "date": time.strftime("%Y-%m-%d"),
        }
        if self.device.type == "cuda":
            facts["peak_device_memory"] = torch.cuda.max_memory_allocated(self.device)
        return facts


def _forget_peak() -> None:
    with suppress(OSError):
        _CLEAR.write_text("5")  # Linux: the peak is counted from here


def _peak() -> int | None:
    try:
        lines = _STATUS.read_text().splitlines()
    except OSError:
        if sys.platform == "win32":
            return None
        import resource

        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024
    kilobytes = next((line.split()[1] for line in lines if line.startswith("VmHWM")), None)
    return None if kilobytes is None else int(kilobytes) * 1024


@functools.cache
def processor() -> str:
    """The processor's model, or its architecture where the system does not name it."""
    with suppress(OSError):
        lines = (line.partition(":") for line in _PROCESSORS.read_text(errors="replace").splitlines())
        if model := next((value.strip() for name, _, value in lines if name.strip() == "model name"), ""):
            return model
    return platform.processor() or platform.machine()


@functools.cache
def commit() -> str | None:
    """The commit of the checkout the package runs from, ``+`` behind it where files differ; None outside of one."""
    git = ["git", "-C", str(PACKAGE_ROOT)]
    try:
        top = subprocess.run([*git, "ls-files", "--error-unmatch", "__init__.py"], capture_output=True, check=False)
        if top.returncode:
            return None
        head = subprocess.run([*git, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=True)
        changed = subprocess.run([*git, "diff", "--quiet", "HEAD", "--", "."], capture_output=True, check=False)
    except (OSError, subprocess.SubprocessError):
        return None
    return head.stdout.strip() + ("+" if changed.returncode else "")
