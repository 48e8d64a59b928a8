"""Options every command takes, wherever they stand: ``--json``, ``--quiet``, ``--verbose``; and what they change.

With ``--json`` stdout holds one JSON value, what the command found out; whatever it prints besides goes to stderr.
With ``--quiet`` nothing is said but errors, and the text of commands that are called for it.
"""

from __future__ import annotations

import io
import json
import math
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from typing import Any

_ANSWERING = ("list", "show", "fit", "evaluate", "encode", "compare", "check")
"""Commands that have an answer for ``--json``."""
_CALLED_FOR_TEXT = ("list", "show", "evaluate", "check", "completion", "bench")
"""Commands whose printed text is what somebody wants, so that ``--quiet`` leaves it."""
OPTIONS = ("json", "quiet", "verbose")


@dataclass(frozen=True)
class Globals:
    """What was asked for.

    Attributes:
        json: print the answer as JSON, and nothing else, on stdout.
        quiet: no progress, no hints, no warnings.
        verbose: tracebacks of refusals too, versions, and how long it took.
    """

    json: bool = False
    quiet: bool = False
    verbose: bool = False


_answers: list[Any] = []
_asked: list[Globals] = []


def split_globals(arguments: Sequence[str]) -> tuple[list[str], Globals]:
    """The arguments without those every command takes, and what these ask for.

    Raises:
        ValueError: ``--quiet`` with ``--verbose``, or ``--json`` for a command without an answer.

    >>> split_globals(["list", "--json", "metrics"])
    (['list', 'metrics'], Globals(json=True, quiet=False, verbose=False))
    """
    found = Globals(**{name: f"--{name}" in arguments for name in OPTIONS})
    rest = [
        argument for argument in arguments if argument.removeprefix("--") == argument or argument[2:] not in OPTIONS
    ]
    if found.quiet and found.verbose:
        raise ValueError("--quiet and --verbose ask for opposite things; leave one out")
    if found.json and not _asks_for_help(rest) and rest[0] not in _ANSWERING:
        raise ValueError(f"{rest[0]} has no answer in JSON; leave out --json ({', '.join(_ANSWERING)} have one)")
    return rest, found


def _asks_for_help(arguments: Sequence[str]) -> bool:
    return (
        not arguments or arguments[0].startswith("-") or arguments == ["fit"] or bool({"-h", "--help"} & {*arguments})
    )


@contextmanager
def applied(wanted: Globals, arguments: Sequence[str]) -> Iterator[None]:
    """Within the block the command prints where ``wanted`` says; at its end the answer is printed."""
    begin = time.monotonic()
    out, err, kept = sys.stdout, sys.stderr, io.StringIO()
    _asked.append(wanted)
    silent = wanted.quiet and not (_asks_for_help(arguments) or arguments[0] in _CALLED_FOR_TEXT)
    out_of_the_way = kept if wanted.quiet else err
    try:
        with (
            redirect_stdout(out_of_the_way if silent or (wanted.json and not _asks_for_help(arguments)) else out),
            redirect_stderr(out_of_the_way),
        ):
            yield
    except SystemExit as stopped:
        if stopped.code == 2 and wanted.quiet:  # the parser has said why
            err.write(kept.getvalue())
        raise
    finally:
        _asked.pop()
        if wanted.json and _answers:
            print(json.dumps(_plain(_answers[-1]), indent=1, allow_nan=False), file=out)
        _answers.clear()
        if wanted.verbose:
            _say_versions(time.monotonic() - begin)


def answer(value: Any) -> None:
    """Say what the command found out, for ``--json``."""
    _answers.append(value)


def wants_hints() -> bool:
    """Whether to say what could be done next."""
    return not (_asked and (_asked[-1].quiet or _asked[-1].json))


def _plain(value: Any) -> Any:
    """``value`` as JSON says it: what is no finite number is null, and what JSON does not know is text."""
    if isinstance(value, Mapping):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def _say_versions(seconds: float) -> None:
    import platform
    from importlib.metadata import PackageNotFoundError, version

    said = [f"python {platform.python_version()}"]
    for package in ("contrafact", "torch", "numpy"):
        try:
            said.append(f"{package} {version(package)}")
        except PackageNotFoundError:  # run from a source tree
            said.append(f"{package} of no known version")
    print(f"{', '.join(said)}; {seconds:.1f} s", file=sys.stderr)


def split_plugins(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """The arguments without ``--plugin FILE.py``, wherever it stands, and the files it names.

    Raises:
        ValueError: ``--plugin`` without a file.
    """
    rest: list[str] = []
    files: list[str] = []
    left = iter(arguments)
    for argument in left:
        option, given, file = argument.partition("=")
        if option != "--plugin":
            rest.append(argument)
            continue
        file = file if given else next(left, "")
        if not file.strip() or file.startswith("-"):
            raise ValueError("--plugin takes a Python file, as in --plugin mine.py")
        files.append(file)
    return rest, files
