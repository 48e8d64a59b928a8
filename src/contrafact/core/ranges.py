"""Ranges of options, written where the option is declared: ``steps: Steps = 1000`` refuses 0 when it is made.

A dataclass of options calls :func:`check_ranges` in its ``__post_init__``. So a bad value is refused before anything is
read, computed or written, with the same words in Python and on the command line.
"""

from __future__ import annotations

import dataclasses
import math
import numbers
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin, get_type_hints

from contrafact.core.catalog import unknown_name_message


@dataclass(frozen=True)
class Range:
    """Bounds of a number, as metadata of an annotation: ``Annotated[float, Range(above=0)]``.

    Attributes:
        at_least: smallest value allowed.
        above: the value must be larger than this.
        at_most: largest value allowed.
        below: the value must be smaller than this.
    """

    at_least: float | None = None
    above: float | None = None
    at_most: float | None = None
    below: float | None = None

    def check(self, name: str, value: float) -> None:
        """Refuse a value outside.

        Raises:
            ValueError: the message names the bound that was passed.

        >>> Range(above=0).check("temperature", 0.0)
        Traceback (most recent call last):
            ...
        ValueError: temperature must be above 0, got 0.0
        """
        low, high = (
            self.at_least if self.above is None else self.above,
            self.at_most if self.below is None else self.below,
        )
        if low is not None and high is not None and high <= 2:  # a share: both its ends are worth saying
            interval = f"{'[' if self.above is None else '('}{low:g}, {high:g}{']' if self.below is None else ')'}"
            if value in (self.above, self.below) or not low <= value <= high:
                raise ValueError(f"{name} must lie in {interval}, got {value!r}")
            return
        whole = "a whole number of " if isinstance(value, int) else ""
        if self.at_least is not None and value < self.at_least:
            raise ValueError(f"{name} must be {whole}at least {self.at_least}, got {value!r}")
        if self.above is not None and value <= self.above:
            raise ValueError(f"{name} must be above {self.above}, got {value!r}")
        if self.at_most is not None and value > self.at_most:
            raise ValueError(f"{name} must be at most {self.at_most:,}, got {value!r}")
        if self.below is not None and value >= self.below:
            raise ValueError(f"{name} must be below {self.below}, got {value!r}")


Steps = Annotated[int, Range(at_least=1, at_most=1 << 40)]
"""Steps of a loop; more than 10^12 were never meant."""
Count = Annotated[int, Range(at_least=1, at_most=(1 << 31) - 1)]
"""How many images, latents or samples are looked at, one batch after the other."""
CountOrZero = Annotated[int, Range(at_least=0, at_most=(1 << 31) - 1)]
"""A count where 0 leaves something out."""
Length = Annotated[int, Range(at_least=1, at_most=1 << 24)]
"""Rows kept in memory at once: a queue, a bank of negatives."""
Size = Annotated[int, Range(at_least=1, at_most=1 << 16)]
"""A side of a tensor: dimensions, directions, images in a batch, channels."""
SizeOrZero = Annotated[int, Range(at_least=0, at_most=1 << 16)]
"""A size where 0 leaves something out, or lets the method choose."""
Panels = Annotated[int, Range(at_least=1, at_most=1024)]
"""Pictures beside or below each other, and whatever else is gone through one by one."""
Depth = Annotated[int, Range(at_least=1, at_most=256)]
"""Layers of a network."""
Layer = Annotated[int, Range(at_least=0, at_most=256)]
"""Number of a layer, counted from 0."""
Side = Annotated[int, Range(at_least=1, at_most=1 << 14)]
"""Side of an image, in pixels."""
Width = Annotated[float, Range(above=0, at_most=64)]
"""Factor of a network's channel counts."""
Rate = Annotated[float, Range(above=0, at_most=1000)]
"""A learning rate."""
RateOrZero = Annotated[float, Range(at_least=0, at_most=1000)]
"""A learning rate where 0 means another's."""
Weight = Annotated[float, Range(at_least=0, at_most=1e12)]
"""Weight of a loss, or a standard deviation that may be 0."""
Positive = Annotated[float, Range(above=0, at_most=1e12)]
"""A scale or temperature."""
Share = Annotated[float, Range(at_least=0, at_most=1)]
"""A share or probability."""
Keep = Annotated[float, Range(at_least=0, below=1)]
"""The share of a moving average that is kept at each step."""
Truncation = Annotated[float, Range(at_least=0, at_most=1)]
"""How far from the mean latents are drawn."""
Port = Annotated[int, Range(at_least=0, at_most=65535)]
"""A port to listen on, 0 for a free one."""
Seed = Annotated[int, Range(at_least=0, at_most=(1 << 63) - 1)]
"""Seed of a random stream."""
MetricSeed = Annotated[int, Range(at_least=0, at_most=(1 << 31) - 1)]
"""Seed of what scikit-learn draws too, whose seeds end at 2^32."""


def check_value(name: str, value: Any, hint: Any) -> Any:
    """``value`` if it fits an annotation, numpy's numbers as Python's and lists as tuples.

    Numbers must be finite, text must not be blank, and a bool is no number. Annotations that are none of ``bool``,
    ``int``, ``float``, ``str``, ``Path``, ``Literal``, dataclasses, tuples and unions of these are not looked at; in a
    union, of any other class instances are taken.

    Args:
        name: what the message calls it.
        value: any value.
        hint: the annotation, with its :class:`Range` if it has one; a class in its metadata is accepted too.

    Raises:
        ValueError: another type, or out of range.

    >>> check_value("steps", 10**20, Steps)
    Traceback (most recent call last):
        ...
    ValueError: steps must be at most 1,099,511,627,776, got 100000000000000000000
    """
    origin, parts = get_origin(hint), get_args(hint)
    if origin is Annotated:
        if any(isinstance(value, other) for other in hint.__metadata__ if isinstance(other, type)):
            return value
        checked = check_value(name, value, parts[0])
        for bounds in hint.__metadata__:
            if isinstance(bounds, Range) and checked is not None:
                bounds.check(name, checked)
        return checked
    if origin in (Union, UnionType):
        return _check_union(name, value, parts)
    if origin is Literal:
        if value not in parts:
            raise ValueError(unknown_name_message(name, str(value), [str(choice) for choice in parts]))
        return value
    if origin is tuple:
        return _check_tuple(name, value, parts)
    if dataclasses.is_dataclass(hint) and not isinstance(value, cast("type[Any]", hint)):
        raise ValueError(f"{name} must be {getattr(hint, '__name__', hint)}(...), got {value!r}")
    check = _CHECKS.get(hint)
    return value if check is None else check(name, value)


def check_ranges(options: Any, spelled: bool = True) -> None:
    """Check every field of a dataclass against its annotation, and those of dataclasses in it; for ``__post_init__``.

    Args:
        options: the instance; a frozen one too.
        spelled: whether fields are options of the command line, so that the message spells them as such.

    Raises:
        ValueError: a field of another type, or out of range; the message names it.
    """
    if _LATER.get():
        return
    cls: Any = type(options)
    hints = _hints(cls)
    for field in dataclasses.fields(options):
        before = getattr(options, field.name)
        if dataclasses.is_dataclass(before) and not isinstance(before, type):  # settings that belong together
            check_ranges(before, spelled)
        try:
            checked = check_value(field.name, before, hints[field.name])
        except ValueError as error:
            if not spelled:
                raise
            raise ValueError(f"{error}; give another --{field.name.replace('_', '-')}") from None
        if checked is not before:
            object.__setattr__(options, field.name, checked)


@contextmanager
def checked_later() -> Iterator[None]:
    """Within the block :func:`check_ranges` lets everything pass: for a parser that makes options of its own and would
    print what they refuse in its own way. Who opens the block checks afterwards."""
    token = _LATER.set(True)
    try:
        yield
    finally:
        _LATER.reset(token)


def are_checked_later() -> bool:
    """Whether the caller runs within :func:`checked_later`."""
    return _LATER.get()


@cache
def _hints(cls: type[Any]) -> Mapping[str, Any]:
    return get_type_hints(cls, include_extras=True)


def _check_union(name: str, value: Any, parts: tuple[Any, ...]) -> Any:
    if value is None and type(None) in parts:
        return None
    others = [part for part in parts if isinstance(part, type) and _is_other(part)]
    if isinstance(value, (*others,)):
        return value
    kinds = [part for part in parts if part is not type(None) and part not in others]
    if not kinds:
        expected = " or ".join(other.__name__ for other in others)
        raise ValueError(f"{name} must be a {expected} or None, got {value!r}")
    for kind in kinds[:-1]:
        try:
            return check_value(name, value, kind)
        except ValueError:
            continue
    return check_value(name, value, kinds[-1])


def _is_other(kind: type[Any]) -> bool:
    """Whether a part of a union is a class whose instances pass as they are, such as a module of somebody's own."""
    return kind is not type(None) and kind not in _CHECKS and not dataclasses.is_dataclass(kind)


def _check_tuple(name: str, value: Any, parts: tuple[Any, ...]) -> Any:
    if not isinstance(value, tuple | list):
        raise ValueError(f"{name} must be a list, got {value!r}")
    if len(parts) == 2 and parts[1] is ...:
        kinds = [parts[0]] * len(value)
    elif len(parts) != len(value):
        raise ValueError(f"{name} must hold {len(parts)} values, got {len(value)}")
    else:
        kinds = list(parts)
    checked = tuple(check_value(f"each of {name}", part, kind) for part, kind in zip(value, kinds, strict=True))
    return value if checked == value else checked


def _check_bool(name: str, value: Any) -> bool:
    if not isinstance(value, bool) and type(value).__name__ not in ("bool", "bool_"):
        raise ValueError(f"{name} must be True or False, got {value!r}")
    return bool(value)


def _check_int(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise ValueError(f"{name} must be a whole number, got {value!r}")
    return int(value)


def _check_float(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise ValueError(f"{name} must be a number, got {value!r}")
    if not math.isfinite(value):
        raise ValueError(f"{name} must be a finite number, got {value!r}")
    # A whole number is a number too, and stays as it was written.
    return value if isinstance(value, int | float) and type(value) in (int, float) else float(value)


def _check_text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{name} must be text, got {value!r}")
    if not value.strip():
        raise ValueError(f"{name} must not be empty; leave it out, or give it a value")
    return value


def _check_path(name: str, value: Any) -> Any:
    if not isinstance(value, str | os.PathLike):
        raise ValueError(f"{name} must be a path, got {value!r}")
    return value


_LATER: ContextVar[bool] = ContextVar("checked_later", default=False)
_CHECKS: Mapping[Any, Any] = {
    bool: _check_bool,
    int: _check_int,
    float: _check_float,
    str: _check_text,
    Path: _check_path,
}
