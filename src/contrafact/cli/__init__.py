"""The command line: one command per file, found by its name, imported only when called."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from contrafact.core.catalog import Catalog

COMMANDS = Catalog("cli", "command")
_ORDER = (
    *("list", "show", "fit", "evaluate", "traverse", "name", "compare", "plane", "cube", "study"),
    *("export", "invert", "edit", "report", "convert", "bench"),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``contrafact ARGUMENTS``.

    Args:
        argv: arguments after the program's name; None takes the process's own.

    Returns:
        Exit code: 0 when done, 2 for bad input (one line on stderr says what and how to mend it), 130 after Ctrl-C.
    """
    # Not list(...): once the command of that name is imported, the name means its module here.
    arguments = [*(sys.argv[1:] if argv is None else argv)]
    try:
        _run(arguments)
        sys.stdout.flush()  # now, while a reader that went away can still be told from an error
    except KeyboardInterrupt as interruption:  # a run that saved itself says how to go on
        print(f"contrafact: {str(interruption) or 'interrupted'}", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output went away (`contrafact list | head`)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        print(f"contrafact: {error.strerror or error}{where}", file=sys.stderr)
        return 2
    except (ValueError, FloatingPointError) as error:
        print(f"contrafact: {error}", file=sys.stderr)
        return 2
    return 0


def _run(arguments: Sequence[str]) -> None:
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_help())
    elif arguments[0] == "--version":
        from contrafact import __version__

        print(f"contrafact {__version__}")
    else:
        COMMANDS.get(arguments[0])(arguments[1:])


def _help() -> str:
    names = sorted(COMMANDS, key=lambda name: (_ORDER.index(name) if name in _ORDER else len(_ORDER), name))
    width = max(map(len, names))
    lines = [f"  {name:<{width}}  {COMMANDS.summary(name)}" for name in names]
    return "\n".join(
        [
            "usage: contrafact COMMAND ...",
            "",
            "Point it at a pretrained generator or at images; get edit directions, an encoder and honest scores.",
            "",
            *lines,
            "",
            "`contrafact COMMAND --help` explains one. A first run:",
            "  contrafact fit disco --generator shapes3d --preset quick --out runs/first",
        ]
    )
