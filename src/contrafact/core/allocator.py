"""How the process gets and keeps memory. Nothing here imports torch: a command line asks first."""

from __future__ import annotations

import ctypes
import os
import sys

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
