"""Work that several metrics share, done once.

Metrics asked for together cut the same codes into the same bins, count the same informations and grow the same trees.
Functions marked :func:`once` keep what they return for as long as :func:`shared` is open, by the content of what they
were given: the values are those that each metric would have computed by itself, to the last bit.
"""

from __future__ import annotations

import copy
import functools
import hashlib
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, ParamSpec, TypeVar

import numpy as np

MOST_BYTES = 2**28
"""How much is kept; the oldest goes first."""
BLOCK = 2**16  # rows of an array that lies scattered in memory, gathered at a time

_Given = ParamSpec("_Given")
_Result = TypeVar("_Result")


class _Found:
    """Results by key, no more than ``MOST_BYTES`` of them."""

    def __init__(self) -> None:
        self.results: dict[bytes, Any] = {}
        self.bytes = 0

    def keep(self, key: bytes, result: Any) -> None:
        self.results[key] = result
        self.bytes += _size(result)
        while self.bytes > MOST_BYTES:
            self.bytes -= _size(self.results.pop(next(iter(self.results))))


_FOUND: ContextVar[_Found | None] = ContextVar("_FOUND", default=None)


def _size(result: Any) -> int:
    if isinstance(result, tuple):
        return sum(map(_size, result))
    return result.nbytes if isinstance(result, np.ndarray) else 64


@contextmanager
def shared() -> Iterator[None]:
    """Within it each function marked :func:`once` runs once for equal arguments; one within another changes nothing."""
    if _FOUND.get() is not None:
        yield
        return
    token = _FOUND.set(_Found())
    try:
        yield
    finally:
        _FOUND.reset(token)


def once(function: Callable[_Given, _Result]) -> Callable[_Given, _Result]:
    """``function``, whose results are kept while :func:`shared` is open; each caller gets a copy of its own.

    It must depend on its arguments alone: arrays, numbers, words and truth values.

    >>> calls = []
    >>> @once
    ... def doubled(values):
    ...     calls.append(len(values))
    ...     return 2 * values
    >>> with shared():
    ...     _ = doubled(np.arange(3)), doubled(np.arange(3)), doubled(np.arange(4))
    >>> calls
    [3, 4]
    """
    signature = inspect.signature(function)

    @functools.wraps(function)
    def found(*args: _Given.args, **kwargs: _Given.kwargs) -> _Result:
        store = _FOUND.get()
        if store is None:
            return function(*args, **kwargs)
        given = signature.bind(*args, **kwargs)
        given.apply_defaults()
        key = _key(function, given.arguments)
        if key not in store.results:
            result = function(*args, **kwargs)
            store.keep(key, copy.deepcopy(result))
            return result
        kept: _Result = copy.deepcopy(store.results[key])
        return kept

    return found


def _key(function: Callable[..., Any], arguments: dict[str, Any]) -> bytes:
    digest = hashlib.sha256(f"{function.__module__}.{function.__qualname__}".encode())
    for name, value in arguments.items():
        if isinstance(value, np.ndarray):
            digest.update(f"{name}:{value.dtype.str}{value.shape}".encode())
            rows = len(value) if value.ndim and not value.flags.c_contiguous else 0
            for block in (value[first : first + BLOCK] for first in range(0, rows, BLOCK)) if rows else (value,):
                digest.update(np.ascontiguousarray(block).view(np.uint8).data)
        elif isinstance(value, bool | int | float | str | np.generic | None):
            digest.update(f"{name}={value!r}".encode())
        else:
            raise TypeError(f"cannot tell by its content whether {name} is the same: {type(value).__name__}")
    return digest.digest()
