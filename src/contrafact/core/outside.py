"""Artefact classes that are not this package's: how files name them, how they are found, what they were built with.

A file calls such a class ``outside:module:Class``. That text is a stranger's: nothing is imported because of it. The
class is the one that somebody passes, or one that is loaded already (the program's own, a file named on the command
line), or one that an installed package offers by its entry points.
"""

from __future__ import annotations

import inspect
import math
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from contrafact.core.plugins import load_offers, module_name

PREFIX = "outside:"
"""Begins the name of an outside class in a file."""
_TUPLE = "tuple"
_training: ContextVar[set[str] | None] = ContextVar("training", default=None)


def is_outside(cls: type[Any]) -> bool:
    """Whether a class is somebody else's."""
    return not cls.__module__.startswith("contrafact.")


def spelled(cls: type[Any]) -> str:
    """What a file calls an outside class: how it is imported, for a script the name of its file.

    >>> spelled(type("Mine", (), {"__module__": "my_package.my_module"}))
    'outside:my_package.my_module:Mine'
    """
    return f"{PREFIX}{module_name(cls.__module__)}:{cls.__qualname__}"


def find_outside(name: str, base: type[Any]) -> Any:
    """The outside class below ``base`` that files call ``name``; None where no such class is loaded or offered.

    Of classes of one name, as a notebook's cell makes when it is run again, the last.
    """
    found = _loaded(name, base)
    if found is None and load_offers(name.removeprefix(PREFIX).partition(":")[0].partition(".")[0]):
        found = _loaded(name, base)
    return found


def _loaded(name: str, base: type[Any]) -> Any:
    return next((cls for cls in reversed([*_below(base)]) if is_outside(cls) and spelled(cls) == name), None)


def _below(cls: type[Any]) -> Iterator[type[Any]]:
    for sub in cls.__subclasses__():
        yield sub
        yield from _below(sub)


# -- what it was built with -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Given:
    """Constructor arguments.

    Attributes:
        arguments: those that JSON can say, by name.
        missing: the others, each in words: ``net (a Sequential)``.
    """

    arguments: dict[str, Any] = field(default_factory=dict)
    missing: tuple[str, ...] = ()


def given(cls: type[Any], args: tuple[Any, ...], named: Mapping[str, Any]) -> Given | None:
    """What a constructor is called with; None where it does not take that (it will say so itself)."""
    try:
        signature = inspect.signature(cls.__init__)
        bound = signature.bind(None, *args, **named).arguments
    except (TypeError, ValueError):
        return None
    arguments: dict[str, Any] = {}
    missing: list[str] = []
    for position, (name, value) in enumerate(bound.items()):
        kind = signature.parameters[name].kind
        if position == 0:
            continue
        parts = value.items() if kind is inspect.Parameter.VAR_KEYWORD else [(name, value)]
        for key, part in parts:
            if kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.POSITIONAL_ONLY):
                missing.append(f"{key} (which has no name to give it by)")
            elif is_ready(part):
                arguments[key] = written(part)
            else:
                missing.append(f"{key} (a {type(part).__name__})")
    return Given(arguments, tuple(missing))


def is_ready(value: Any) -> bool:
    """Whether a file's header can say a value: numbers, texts, None, and lists, tuples and dictionaries of them."""
    if isinstance(value, dict):
        return all(isinstance(key, str) for key in value) and all(map(is_ready, value.values()))
    if isinstance(value, list | tuple):
        return type(value) in (list, tuple) and all(map(is_ready, value))
    if isinstance(value, np.generic):
        value = value.item()
    return value is None or isinstance(value, bool | int | str) or (isinstance(value, float) and math.isfinite(value))


def written(value: Any) -> Any:
    """A value as JSON keeps it, tuples apart from lists.

    >>> written((3, 32, 32)), read(written({"sizes": [(1, 2)]}))
    ({'tuple': [3, 32, 32]}, {'sizes': [(1, 2)]})
    """
    if isinstance(value, tuple):
        return {_TUPLE: [written(part) for part in value]}
    if isinstance(value, list):
        return [written(part) for part in value]
    if isinstance(value, dict):
        return {key: written(part) for key, part in value.items()}
    return value.item() if isinstance(value, np.generic) else value


def read(value: Any) -> Any:
    """The value that :func:`written` wrote."""
    if isinstance(value, dict):
        if value.keys() == {_TUPLE} and isinstance(value[_TUPLE], list):
            return tuple(read(part) for part in value[_TUPLE])
        return {key: read(part) for key, part in value.items()}
    return [read(part) for part in value] if isinstance(value, list) else value


# -- what cannot be rebuilt is said before hours of training -----------------------------------------------------------


@contextmanager
def training() -> Iterator[None]:
    """Within the block :func:`warn` speaks."""
    token = _training.set(set())
    try:
        yield
    finally:
        _training.reset(token)


def warn(cls: type[Any], why: str) -> None:
    """Say, once for a class and while something is trained, that a file will hold its weights but not how to build it.

    Args:
        cls: the class.
        why: what is missing, as a sentence.
    """
    said = _training.get()
    if said is not None and spelled(cls) not in said:
        said.add(spelled(cls))
        print(
            f"{why}; its weights will be written all the same, and load_run(folder, encoder=..., directions=... or "
            f"generator=...) puts them into a {cls.__name__} that you build and pass",
            file=sys.stderr,
        )
