"""The command line: one command per file, found by its name, imported only when called."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Sequence

from contrafact.cli._globals import Globals, applied, split_globals, split_plugins
from contrafact.core.allocator import keep_freed_memory
from contrafact.core.catalog import Catalog
from contrafact.core.command import running
from contrafact.core.plugins import load_file

COMMANDS = Catalog("cli", "command")
_GROUPS = {
    "make": ("list", "show", "fit", "bench", "convert", "check"),
    "score": ("evaluate", "encode", "compare"),
    "edit": ("traverse", "name", "plane", "cube", "invert", "edit", "study"),
    "share": ("report", "explore", "export", "share"),
    "set up": ("completion",),
}
"""Headings of ``--help``, and their commands in the order somebody meets them; others come last."""

INTERNAL_ERROR = 70
"""Exit code of a fault that is contrafact's own (``EX_SOFTWARE`` of sysexits.h)."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``contrafact ARGUMENTS``.

    Args:
        argv: arguments after the program's name; None takes the process's own.

    Returns:
        Exit code: 0 when done, 2 for bad input (one line on stderr says what and how to mend it), 70 for a fault of
        contrafact's own (its traceback goes to a file; with ``CONTRAFACT_DEBUG=1`` or ``--verbose`` it is raised), 130
        after Ctrl-C.
    """
    # Not list(...): once the command of that name is imported, the name means its module here.
    arguments = [*(sys.argv[1:] if argv is None else argv)]
    if argv is None and arguments[:1] in (["fit"], ["bench"]):  # a process that trains, and nothing else
        keep_freed_memory()
    usual, warnings.formatwarning = warnings.formatwarning, _one_line
    wanted = Globals()
    try:
        files: list[str] = []
        if arguments[:1] != ["--complete"]:  # what a shell asks is about these options too, and runs nothing
            arguments, files = split_plugins(arguments)
            arguments, wanted = split_globals(arguments)
        with running([*arguments, *(f"--plugin={file}" for file in files)]), applied(wanted, arguments):
            for file in files:
                load_file(file)
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
        _trace(error, wanted)
        return _refuse(f"{error.strerror or error}{where}")
    except (ValueError, FloatingPointError) as error:
        _trace(error, wanted)
        return _refuse(str(error))
    except Exception as error:  # the last net: nothing should come here, and nobody should meet a traceback
        if wanted.verbose or os.environ.get("CONTRAFACT_DEBUG"):
            raise
        return _internal_error(error, arguments)
    finally:
        warnings.formatwarning = usual
    return 0


def _one_line(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    """A warning as this program says things: where in the code it arose helps nobody at a command line."""
    return f"contrafact: {_printable(str(message))}\n"


def _trace(error: Exception, wanted: Globals) -> None:
    """With ``--verbose`` a refusal says where it comes from too."""
    if wanted.verbose:
        import traceback

        traceback.print_exception(error)


def _refuse(message: str) -> int:
    print(f"contrafact: {_printable(message)}", file=sys.stderr)
    return 2


def _printable(text: str) -> str:
    """Text that may quote a stranger's file, without the control characters that steer a terminal."""
    return "".join(c if c.isprintable() or c in "\n\t" else f"\\x{ord(c):02x}" for c in text)


def _internal_error(error: Exception, arguments: Sequence[str]) -> int:
    """Keep the traceback in a file and say so in one line."""
    import platform
    import shlex
    import tempfile
    import traceback
    from importlib.metadata import PackageNotFoundError, version

    lines = [f"command: {shlex.join(['contrafact', *arguments])}", f"python {platform.python_version()}"]
    for package in ("contrafact", "torch", "numpy"):
        try:
            lines.append(f"{package} {version(package)}")
        except PackageNotFoundError:  # run from a source tree
            lines.append(f"{package} of no known version")
    lines += [platform.platform(), "", *traceback.format_exception(error)]
    summary = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0][:200]}".removesuffix(": ")
    try:
        handle, name = tempfile.mkstemp(prefix="contrafact-error-", suffix=".txt")
        with open(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write("\n".join(lines))
        where = f"the details are in {name}; please report this and send that file (look through it first)"
    except OSError as problem:
        where = f"the details could not be written ({problem.strerror}); CONTRAFACT_DEBUG=1 shows them"
    print(f"contrafact: internal error: {_printable(summary)}; {where}", file=sys.stderr)
    return INTERNAL_ERROR


def _run(arguments: Sequence[str]) -> None:
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_help())
    elif arguments[0] == "--complete":  # asked by a shell, at every press of its key
        from contrafact.cli._complete import completions

        print("\n".join(completions(arguments[1:], COMMANDS)))
    elif arguments[0] in ("-V", "--version"):
        from contrafact import __version__

        print(f"contrafact {__version__}")
    else:
        COMMANDS.get(arguments[0])(arguments[1:])


def _help() -> str:
    grouped = {name for names in _GROUPS.values() for name in names}
    groups = {**_GROUPS, "else": tuple(name for name in COMMANDS if name not in grouped)}
    width = max(map(len, COMMANDS))
    lines = []
    for heading, names in groups.items():
        if names:
            lines += [f"{heading}:", *(f"  {name:<{width}}  {COMMANDS.summary(name)}" for name in names), ""]
    return "\n".join(
        [
            "usage: contrafact COMMAND ...",
            "",
            "Point it at a pretrained generator or at images; get edit directions, an encoder and honest scores.",
            "",
            *lines,
            "Wherever a name is taken, FILE.py:NAME is one of your own. Any command takes --plugin FILE.py (once for",
            "each file): it runs a file whose classes a run folder needs.",
            "Anywhere: --json (of list, show, fit, evaluate, encode, compare and check the result as JSON on stdout),",
            "--quiet (errors only), --verbose (tracebacks, versions, time). -V, --version.",
            "",
            "`contrafact COMMAND --help` explains one. A first run:",
            "  contrafact fit disco --generator shapes3d --preset quick --out runs/first",
        ]
    )
