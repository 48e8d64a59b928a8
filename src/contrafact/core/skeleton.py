"""Building a module from a stranger's header: first without memory, compared with the tensors its file holds.

A header is a few words that can ask for any amount of memory or time. Constructors therefore run on torch's ``meta``
device first, where tensors have shapes and no content, under a watch that bounds what they do by the size of the file.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from contrafact.core.foreign import first_line

_MOST_NUMBER = 2**24
"""No count, size or dimension of any network is larger."""
_MOST_PIXELS = 2**26
_FREE_NUMBERS, _FREE_CALLS, _CALLS_PER_TENSOR = 2**20, 4096, 256
_FLOATING = ("F", "BF")

Shapes = Mapping[str, tuple[tuple[int, ...], bool]]
"""Shape of each tensor by name, and whether it holds floating-point numbers."""


def damaged_header(path: object, why: str) -> ValueError:
    """The one error for a header that describes no module."""
    return ValueError(f"{path} has a damaged header ({why}); make the file again")


def build(
    cls: type[nn.Module],
    arguments: Any,
    stored: Shapes,
    path: Path,
    own: nn.Module | None = None,
    eager: bool = False,
) -> Any:
    """``cls(**arguments)``, once it is known to have the tensors that the file holds.

    Args:
        cls: the class.
        arguments: of its constructor, from the file.
        stored: what the file holds (:func:`stored_shapes`).
        path: the file.
        own: a module of the user's own among the arguments.
        eager: the class is the user's own and may need numbers to be there when it is built: where it fails without
            memory, it is built at once.

    Raises:
        ValueError: arguments the constructor does not take or that ask for more than the file holds, or tensors that
            are not those of the module.
    """
    if not isinstance(arguments, dict):
        raise damaged_header(
            path, f"{cls.__name__} does not take the arguments in it, {first_line(TypeError(arguments))}"
        )
    if not eager:  # somebody's own annotations need not be right
        _check_types(cls, {name: value for name, value in arguments.items() if value is not own or own is None}, path)
    _check_numbers(arguments, max(path.stat().st_size, 2**16), path, own)
    watch = _Watch(sum(math.prod(shape) for shape, _ in stored.values()), len(stored))

    def made() -> nn.Module:
        try:
            module: nn.Module = cls(**arguments)
            return module
        except Exception as error:  # the documented border: a stranger's arguments fail in a constructor in any way
            raise damaged_header(
                path, f"{cls.__name__} does not take the arguments in it: {first_line(error)}"
            ) from error

    try:
        with torch.device("meta"), watch:
            skeleton = made()
    except ValueError as error:
        if not eager or isinstance(error.__cause__, _TooMuch):
            raise
        skeleton = made()
    state = skeleton.state_dict()
    if own is None:
        tensors = {n: t for n, t in state.items() if isinstance(t, Tensor)}  # not a module's extra state
        _check_fit({n: (tuple(t.shape), t.is_floating_point()) for n, t in tensors.items()}, stored, cls, path)
    _check_image_shape(skeleton, path)
    return made()


class _TooMuch(ValueError):
    """A constructor asks for more than the file holds."""


def stored_shapes(opened: Any) -> Shapes:
    """Of an opened safetensors file, from its header alone."""
    slices = {name: opened.get_slice(name) for name in opened.keys()}  # noqa: SIM118 - not a mapping
    return {n: (tuple(s.get_shape()), str(s.get_dtype()).startswith(_FLOATING)) for n, s in slices.items()}


class _Watch(TorchFunctionMode):
    """Bounds what a constructor asks of torch: the size of any tensor, and the number of calls."""

    def __init__(self, numbers: int, tensors: int) -> None:
        super().__init__()
        self._numbers = numbers + _FREE_NUMBERS
        self._calls = tensors * _CALLS_PER_TENSOR + _FREE_CALLS

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        # Random numbers have no values here, and a processor's generator cannot draw them for another device.
        result = func(*args, **{name: value for name, value in (kwargs or {}).items() if name != "generator"})
        self._calls -= 1
        if self._calls < 0:
            raise _TooMuch("it describes more parts than the file holds")
        if isinstance(result, Tensor) and result.numel() > self._numbers:
            raise _TooMuch(f"it describes {result.numel()} numbers, more than the file holds")
        return result


def _check_types(cls: type[nn.Module], arguments: Mapping[str, Any], path: Path) -> None:
    """Refuse a text for a number and the like: some constructors only keep what they are given, for later."""
    hints = get_type_hints(cls.__init__)
    for name, value in arguments.items():
        if name in hints and not _is_allowed(value, hints[name]):
            raise damaged_header(path, f"{name} is {str(value)[:40]!r}, of another type than {cls.__name__} takes")


def _is_allowed(value: Any, hint: Any) -> bool:
    if get_origin(hint) is Literal:
        return value in get_args(hint)
    if get_origin(hint) in (Union, UnionType):
        return any(_is_allowed(value, part) for part in get_args(hint))
    if hint in (int, float):  # Python counts a truth value among the whole numbers
        return isinstance(value, int if hint is int else int | float) and not isinstance(value, bool)
    return isinstance(value, hint) if isinstance(hint, type) and get_origin(hint) is None else True


def _check_numbers(arguments: Any, most: int, path: Path, own: nn.Module | None) -> None:
    """Refuse numbers that no module in a file of this size can have; a seed may be any."""
    for name, value in _leaves(arguments, ""):
        if isinstance(value, int) and abs(value) > min(most, _MOST_NUMBER) and not name.endswith("seed"):
            raise damaged_header(path, f"{name} is {value}, too large for the file")
        if not (value is None or value is own or isinstance(value, bool | int | float | str)):
            raise damaged_header(path, f"{name} is a {type(value).__name__}")


def _leaves(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, part in value.items():
            yield from _leaves(part, key)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _leaves(part, name)
    else:
        yield name, value


def _check_fit(needed: Shapes, stored: Shapes, cls: type[nn.Module], path: Path) -> None:
    problems = [
        *(f"Missing {name}" for name in needed if name not in stored),
        *(f"Unexpected {name}" for name in stored if name not in needed),
        *(
            f"{name} has shape {stored[name][0]}, expected {shape}"
            for name, (shape, _) in needed.items()
            if name in stored and stored[name][0] != shape
        ),
        *(
            f"{name} holds {'real' if stored[name][1] else 'whole'} numbers, expected the other kind"
            for name, (_, real) in needed.items()
            if name in stored and stored[name][1] != real
        ),
    ]
    if problems:
        more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise ValueError(
            f"{path}: the weights do not fit the {cls.__name__} its header describes: {'; '.join(problems[:3])}{more}"
        )


def _check_image_shape(module: nn.Module, path: Path) -> None:
    shape = getattr(module, "image_shape", None)
    if shape is None:
        return
    sides = tuple(shape) if isinstance(shape, tuple | list) else ()
    if [type(side) for side in sides] != [int] * 3 or min(sides) < 1 or math.prod(sides) > _MOST_PIXELS:
        raise damaged_header(path, f"images of shape {shape}")
