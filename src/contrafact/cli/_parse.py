"""Options of a command from its arguments, and how commands print."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Iterable, Sequence
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import tyro
from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

OptionsT = TypeVar("OptionsT")

Assignments = Annotated[tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(name="set", metavar="NAME=VALUE")]
"""The option ``--set NAME=VALUE``, which may be repeated: arguments of a generator that shall differ."""


def parse(
    options: type[OptionsT],
    arguments: Sequence[str],
    command: str,
    default: Any = None,
    description: str | None = None,
    finish: Callable[[OptionsT], OptionsT] | None = None,
) -> OptionsT:
    """``arguments`` as an instance of the dataclass ``options``; its fields' docstrings are the help.

    Args:
        options: dataclass of the options.
        arguments: what follows the command's name.
        command: the command's name, for the usage line.
        default: an instance whose values are the defaults.
        description: what the command does; by default the dataclass's docstring.
        finish: makes of the options what they name, before their values are checked.

    Raises:
        ValueError: a value out of its field's range, an empty argument, or a device that is not here.
    """
    from contrafact.core.ranges import check_ranges, checked_later

    _refuse_blanks(arguments)
    given = {} if default is None else {"default": default}
    # Checked later: the parser would print what is refused in a box, broken into lines.
    with checked_later(), _registry():
        parsed: OptionsT = tyro.cli(
            options, args=list(arguments), prog=f"contrafact {command}", description=description, **given
        )
        parsed = parsed if finish is None else finish(parsed)
    check_ranges(parsed)
    _check_device(getattr(parsed, "device", None) or getattr(getattr(parsed, "run", None), "device", None))
    return parsed


def _check_device(name: str | None) -> None:
    """Refuse a device that is not here before anything is read."""
    if name is not None:
        from contrafact.core.run import find_device

        find_device(name)


def _registry() -> ConstructorRegistry:
    """How the parser reads and shows types, where not its own way."""
    registry = ConstructorRegistry()
    registry.primitive_rule(_may_be_left_out)
    return registry


def _may_be_left_out(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Any] | None:
    """``int | None`` is shown as INT, and its default None as "not set", for ``{None}|INT`` helps nobody.

    ``None`` is still read: it takes back what a preset sets.
    """
    options = get_args(info.type)
    if get_origin(info.type) in (Union, UnionType) and any(map(is_module, options)):
        return _module_or_name(options)
    if get_origin(info.type) not in (Union, UnionType) or type(None) not in options:
        return None
    rest: Any = Union[tuple(option for option in options if option is not type(None))]  # noqa: UP007 - at run time
    spec = ConstructorRegistry.get_primitive_spec(PrimitiveTypeInfo.make(rest, info.markers))
    if not isinstance(spec, PrimitiveConstructorSpec):
        return None
    none, shown = ["None"], ["not", "set"]
    return dataclasses.replace(
        spec,
        instance_from_str=lambda texts: None if texts in (none, shown) else spec.instance_from_str(texts),
        str_from_instance=lambda value: shown if value is None else spec.str_from_instance(value),
        is_instance=lambda value: value is None or spec.is_instance(value),
        choices=None if spec.choices is None else (*spec.choices, *none),
    )


def is_module(kind: Any) -> bool:
    """Whether a type is torch's modules; where torch is not loaded, none is."""
    torch: Any = sys.modules.get("torch")
    return torch is not None and isinstance(kind, type) and issubclass(kind, torch.nn.Module)


def _module_or_name(options: tuple[Any, ...]) -> PrimitiveConstructorSpec[Any]:
    """A network by one of the names there are, or ``FILE.py:NAME``, which stays a text for whoever loads it.

    Any other text is read, too: what refuses it then knows the nearest name.
    """
    names = [str(name) for option in options if get_origin(option) is Literal for name in get_args(option)]
    absent = ["not", "set"]
    return PrimitiveConstructorSpec(
        nargs=1,
        metavar="|".join([*(["{" + ",".join(names) + "}"] if names else []), "FILE.py:NAME"]),
        instance_from_str=lambda texts: None if texts == ["None"] and type(None) in options else texts[0],
        is_instance=lambda value: value is None or isinstance(value, str) or is_module(type(value)),
        str_from_instance=lambda value: absent if value is None else [str(value)],
    )


def _refuse_blanks(arguments: Sequence[str]) -> None:
    """An empty argument is a slip (``--out "$UNSET"``), and as a path it would mean the present folder."""
    for before, argument in zip(["", *arguments], arguments, strict=False):
        name, given, value = argument.partition("=")
        if argument.strip() and not (name.startswith("--") and given and not value.strip()):
            continue
        option = name if name.strip() else before
        where = f"the value of {option}" if option.startswith("--") else "an argument"
        raise ValueError(f"{where} is empty; give it a value, or leave it out")


def changes_of(assignments: Sequence[str], **named: Any) -> dict[str, Any]:
    """``--set`` options, and options of their own name where they are given, as changes for ``load_generator``.

    Args:
        assignments: texts ``name=value``; a value is a number, a list, true, false, none, or else a text.
        named: the same by name; None where not given.

    Raises:
        ValueError: a text without a name or ``=``, or a name twice.

    >>> changes_of(["clamp=256", "activation=relu"], label=3, space=None)
    {'label': 3, 'clamp': 256, 'activation': 'relu'}
    """
    from contrafact.core.foreign import plain_value

    changes = {name: value for name, value in named.items() if value is not None}
    for assignment in assignments:
        name, equals, value = (part.strip() for part in assignment.partition("="))
        if not equals or not name:
            raise ValueError(f"--set takes NAME=VALUE, such as --set clamp=256; got {assignment!r}")
        if name in changes:
            raise ValueError(f"{name} is given twice, as {changes[name]!r} and as {value!r}; give it once")
        changes[name] = plain_value(value)
    return changes


def print_table(rows: Iterable[tuple[str, str]], indent: str = "  ") -> None:
    """Print names and what they are, in two aligned columns."""
    rows = list(rows)
    width = max((len(name) for name, _ in rows), default=0)
    for name, text in rows:
        print(f"{indent}{name:<{width}}  {text}".rstrip())
