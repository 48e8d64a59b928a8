"""Give a direction of a run a name; from then on every command and picture calls it that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tyro.conf import Positional

from contrafact.cli._parse import parse, print_table
from contrafact.cli._types import FileOrFolder


@dataclass(frozen=True)
class Options:
    """Name a direction, such as: contrafact name runs/first 3 "rotate". Without a direction, list them."""

    run: Positional[FileOrFolder]
    """Run folder, or a file of directions."""
    direction: Positional[str | None] = None
    """Number or present name of the direction."""
    name: Positional[str | None] = None
    """Its new name; `direction 3` is what direction 3 is called without one."""


def name(arguments: Sequence[str]) -> None:
    """Store the name, or print the names."""
    options = parse(Options, arguments, "name")
    from contrafact.core.direction_files import name_direction
    from contrafact.editing.directions import is_own, load_directions

    if options.direction is None:
        names = load_directions(options.run).names
        print_table(((str(number), text) for number, text in enumerate(names)), indent="")
        return
    if options.name is None:
        raise ValueError(f"say what direction {options.direction} shall be called: contrafact name RUN 3 rotate")
    if options.run.exists() and not is_own(options.run):
        raise ValueError(
            f"{options.run} is another program's, which has no place for names: contrafact convert {options.run} "
            "directions.safetensors, and name those"
        )
    number = name_direction(options.run, options.direction, options.name)
    print(f"direction {number} of {options.run} is called {options.name.strip()!r} now")
