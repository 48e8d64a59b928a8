"""Compiling metric kernels: cached on disk where a folder can be written, and run on every core without the GIL."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numba

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """``numba.njit`` without the GIL, cached where some folder is writable, else compiled anew in each process."""
    try:
        kernel: Function = numba.njit(nogil=True, cache=True)(function)
    except RuntimeError:  # numba found nowhere to write its cache
        kernel = numba.njit(nogil=True)(function)
    return kernel


def num_threads() -> int:
    """Threads to use: numba's setting (``NUMBA_NUM_THREADS``), never more than the cores this process may use."""
    return max(1, min(int(numba.get_num_threads()), len(os.sched_getaffinity(0))))


def run_all(pool: ThreadPoolExecutor, task: Callable[..., object], arguments: Iterable[tuple[Any, ...]]) -> None:
    """Call ``task`` with every tuple of arguments in the pool and wait; the first exception is raised again."""
    for future in [pool.submit(task, *values) for values in arguments]:
        future.result()
