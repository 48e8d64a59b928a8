"""The command that is running: what may be written down of it, and what to say about going on after a stop.

What is written travels: into run folders, reports, generators that are passed on. So no path above the working folder
is kept, only the names at its end.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

PROGRAM = "contrafact"

_running: list[tuple[tuple[str, ...], ExitStack]] = []


@contextmanager
def running(arguments: Sequence[str]) -> Iterator[None]:
    """Within the block the command line is ``contrafact ARGUMENTS``, whatever program called it."""
    with ExitStack() as stack:
        _running.append((tuple(arguments), stack))
        try:
            yield
        finally:
            _running.pop()


def until_it_ends(context: AbstractContextManager[object]) -> None:
    """Enter ``context`` and leave it when the running command ends."""
    if not _running:
        raise RuntimeError("no command is running; use the context in a with statement")
    _running[-1][1].enter_context(context)


def name() -> str:
    """The command's name, ``fit``; empty when a program of somebody's own is running."""
    return next(iter(_running[-1][0]), "") if _running else ""


def title() -> str:
    """Who is running, in a word or two: ``contrafact fit``, or the program's file name."""
    return f"{PROGRAM} {name()}" if name() else Path(sys.argv[0]).name or "python"


def recorded() -> list[str]:
    """The command line as it may be written down: paths as :func:`without_home` leaves them."""
    if _running:
        return [PROGRAM, *map(without_home, _running[-1][0])]
    return [Path(sys.argv[0]).name, *map(without_home, sys.argv[1:])]


def without_home(text: str) -> str:
    """``text``; an absolute path is cut to its part below the working folder, or to its name where it lies elsewhere.

    Args:
        text: a path, an option with one, or anything else, which stays.

    >>> without_home("/home/ann/my photos"), without_home("--data=~/faces.h5"), without_home("shapes3d")
    ('my photos', '--data=faces.h5', 'shapes3d')
    """
    option, equals, value = text.partition("=") if text.startswith("-") else ("", "", text)
    if not (value.startswith("~") or Path(value).is_absolute()):
        return text
    path = Path(value)
    kept = str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else path.name
    return option + equals + (kept or "...")


def quoted(*parts: object) -> str:
    """Parts of a command as a shell takes them: ``'my run'`` in quotes.

    >>> quoted("my run", 3)
    "'my run' 3"
    """
    return shlex.join(map(str, parts))


def how_to_go_on() -> str:
    """What to type after a stop: every command but ``fit`` goes on from what it finds when called again."""
    if name() in ("", "fit"):
        return "go on with the same command and --resume"
    return "the same command goes on from there"
