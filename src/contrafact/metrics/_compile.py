"""Compiling metric kernels: cached on disk where a folder can be written, and run on every core without the GIL."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

import numba

Function = TypeVar("Function", bound=Callable[..., Any])
RunAll = Callable[[Callable[..., object], Iterable[tuple[Any, ...]]], None]


def compiled(function: Function) -> Function:
    """``numba.njit`` without the GIL, cached where some folder is writable, else compiled anew in each process."""
    try:
        kernel: Function = numba.njit(nogil=True, cache=True)(function)
    except RuntimeError:  # numba found nowhere to write its cache
        kernel = numba.njit(nogil=True)(function)
    return kernel


def num_threads() -> int:
    """Threads to use: ``NUMBA_NUM_THREADS``, else ``OMP_NUM_THREADS``, never more than the cores at hand.

    Raises:
        ValueError: the variable is set to something else than a positive whole number.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for variable in ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS"):
        value = os.environ.get(variable, "")
        if value:
            if not value.isdigit() or int(value) < 1:
                raise ValueError(f"{variable} must be a positive whole number, got {value!r}")
            return min(int(value), cores)
    return cores


@contextmanager
def workers() -> Iterator[tuple[RunAll, int]]:
    """A function that calls a task with every tuple of arguments and waits, on threads, and how many there are.

    Python threads and kernels without the GIL, not numba's own: those abort the process when two threads of a user's
    program meet in them, or after a fork.
    """
    threads = num_threads()
    if threads == 1:

        def one_by_one(task: Callable[..., object], arguments: Iterable[tuple[Any, ...]]) -> None:
            for values in arguments:
                task(*values)

        yield one_by_one, 1
        return
    with ThreadPoolExecutor(threads) as pool:

        def at_once(task: Callable[..., object], arguments: Iterable[tuple[Any, ...]]) -> None:
            for future in [pool.submit(task, *values) for values in arguments]:
                future.result()

        yield at_once, threads
