"""Options of a command from its arguments, and how commands print."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

OptionsT = TypeVar("OptionsT")


def parse(
    options: type[OptionsT], arguments: Sequence[str], command: str, default: Any = None, description: str | None = None
) -> OptionsT:
    """``arguments`` as an instance of the dataclass ``options``; its fields' docstrings are the help.

    Args:
        options: dataclass of the options.
        arguments: what follows the command's name.
        command: the command's name, for the usage line.
        default: an instance whose values are the defaults.
        description: what the command does; by default the dataclass's docstring.
    """
    import tyro

    given = {} if default is None else {"default": default}
    parsed: OptionsT = tyro.cli(
        options, args=list(arguments), prog=f"contrafact {command}", description=description, **given
    )
    return parsed


def print_table(rows: Iterable[tuple[str, str]], indent: str = "  ") -> None:
    """Print names and what they are, in two aligned columns."""
    rows = list(rows)
    width = max((len(name) for name, _ in rows), default=0)
    for name, text in rows:
        print(f"{indent}{name:<{width}}  {text}".rstrip())
