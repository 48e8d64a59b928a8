"""Options of a command from its arguments, and how commands print."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, Any, TypeVar

import tyro

from contrafact.cli._types import refusing_in_a_line, registry

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
        ValueError: a value of another type or out of its field's range, an unknown option, something missing, an empty
            argument, or a device that is not here.
    """
    from contrafact.core.ranges import check_ranges, checked_later

    _refuse_blanks(arguments)
    given = {} if default is None else {"default": default}
    # Checked later: the parser would print what is refused in a box, broken into lines.
    with checked_later():
        with registry(), refusing_in_a_line(command):
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
