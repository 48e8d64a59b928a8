"""Other people's code: entry points of installed packages, and ``FILE.py:NAME`` wherever a name is accepted.

A package offers items by entry points in the groups ``contrafact.methods``, ``.metrics``, ``.data``, ``.generators``
and ``.recipes``. Code is imported only from packages that somebody installed and from files that somebody named on
the command line or in a call; never because a data or weight file names it.
"""

from __future__ import annotations

import importlib.util
import re
import sys
import traceback
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

GROUPS = ("methods", "metrics", "data", "generators", "recipes")
"""What a package can add to."""

_FILES = "contrafact_file"
"""Package name that modules made of named files get, so that they cannot hide an installed module."""
_run: set[str] = set()
"""Files that somebody asked to run, whether it took running them or they were loaded already."""


@cache
def plugins(group: str) -> dict[str, EntryPoint]:
    """Entry points of a group (``"methods"``) by their names; the first one found of a name."""
    found: dict[str, EntryPoint] = {}
    for point in entry_points(group=f"contrafact.{group}"):
        found.setdefault(point.name, point)
    return found


def load_plugin(point: EntryPoint) -> Any:
    """The item of an entry point.

    Raises:
        ValueError: its package does not import, or has no such item; the message names the package.
    """
    try:
        return point.load()
    except (ImportError, AttributeError, SyntaxError) as error:
        raise ValueError(
            f"the plugin {_described(point)} cannot be loaded ({error}); update or uninstall it"
        ) from error


def _described(point: EntryPoint) -> str:
    package = f" of the package {point.dist.name}" if point.dist is not None else ""
    return f"{point.name!r} ({point.value}){package}"


def load_offers(package: str) -> bool:
    """Import what an installed package offers by its entry points, whatever the group; whether it offers anything.

    A part of it that does not import is left out: this is a search, and what asks for the part will say so.
    """
    offers = [point for group in GROUPS for point in plugins(group).values() if _top(point.module) == package]
    for point in offers:
        try:
            load_plugin(point)
        except ValueError:
            continue
    return bool(offers)


def _top(module: str) -> str:
    return module.partition(".")[0]


def module_name(module: str) -> str:
    """How somebody would import a module: a script and a file named on the command line by the file's name.

    >>> module_name("contrafact_file.mine"), module_name("contrafact_file_2.mine"), module_name("theirs.methods")
    ('mine', 'mine', 'theirs.methods')
    """
    if module == "__main__":
        main = sys.modules[module]
        spec, file = getattr(main, "__spec__", None), getattr(main, "__file__", None)
        return spec.name if spec is not None else Path(file).stem if file else module
    package, _, name = module.partition(".")
    return name if name and re.fullmatch(rf"{_FILES}(_\d+)?", package) else module


def is_spelled_out(text: object) -> bool:
    """Whether ``text`` has the form ``FILE.py:NAME``.

    >>> is_spelled_out("mine.py:Mine"), is_spelled_out("vae"), is_spelled_out("mnist-stl:dc-bc")
    (True, False, False)
    """
    return isinstance(text, str) and text.rpartition(":")[0].endswith(".py")


def load_file(path: str | Path) -> ModuleType:
    """Run a Python file, once however often it is asked for, and return its module.

    Raises:
        ValueError: no such file, or one that does not import; the message says at which line.

    Its folder is searched for modules it imports, after all others.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        raise ValueError(f"{file} does not exist; expected a Python file, as in FILE.py:NAME")
    file = file.resolve()
    for module in sys.modules.copy().values():
        if getattr(module, "__file__", None) == str(file):
            _run.add(str(file))
            return module
    name = f"{_FILES}.{file.stem}"
    number = 1
    while name in sys.modules:  # another file of the same name
        number += 1
        name = f"{_FILES}_{number}.{file.stem}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ValueError(f"{file} cannot be imported; expected a Python file")
    module = importlib.util.module_from_spec(spec)
    package = name.partition(".")[0]
    sys.modules.setdefault(package, ModuleType(package))
    sys.modules[name] = module  # dataclasses and pickles of its classes look it up there
    if str(file.parent) not in sys.path:
        sys.path.append(str(file.parent))
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # the documented border: somebody's program may fail in any way
        del sys.modules[name]
        raise ValueError(
            f"{file} does not import ({type(error).__name__}: {error}){_line(error, file)}; mend it first"
        ) from error
    _run.add(str(file))
    return module


def _line(error: BaseException, file: Path) -> str:
    """At which line of a file an error arose, as far as it was there."""
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == str(file)]
    return f", line {lines[-1]}" if lines else ""


def admit(text: str) -> str:
    """Let the file of ``FILE.py:NAME`` run, because somebody named it in a call or on the command line; its text.

    Any other text passes as it is. Never to be called with a text that a file holds.

    Raises:
        ValueError: what :func:`load_file` refuses.
    """
    if is_spelled_out(text):
        load_file(text.rpartition(":")[0])
    return text


def admitted_module(text: str) -> ModuleType | None:
    """The module of ``FILE.py:NAME``, if that file has been run; one called so in another folder will do, or None.

    Nothing is run for it, so the text may be a stranger's.
    """
    place = Path(text.rpartition(":")[0])
    named = None
    for module in sys.modules.copy().values():
        file = getattr(module, "__file__", None)
        if file in _run and Path(file).name == place.name:
            if Path(file) == place.expanduser().absolute():
                return module
            named = module
    return named


def find_in_named_files(text: str) -> Any:
    """What ``FILE.py:NAME`` names, if that file has been run (:func:`admitted_module`); or None."""
    module = admitted_module(text)
    return None if module is None else getattr(module, text.rpartition(":")[2], None)


def load_spelled_out(text: str) -> Any:
    """The item ``NAME`` that the file of ``FILE.py:NAME`` defines; the file is run.

    Raises:
        ValueError: no such file, one that does not import, or no such name in it; the names it has are listed.
    """
    place, _, name = text.rpartition(":")
    module = load_file(place)
    if not name.isidentifier() or not hasattr(module, name):
        own = [key for key, value in vars(module).items() if getattr(value, "__module__", None) == module.__name__]
        raise ValueError(f"{place} defines no {name!r}; it defines {', '.join(own) or 'nothing'}")
    return getattr(module, name)
