"""The generator of a run on a module of somebody's own, which no file holds: how it is given again, and if it is it.

Nothing is imported because a run names it. What stands in its configuration is where the generator came from, for the
message that says which option to give, and the fingerprint of its weights, which what is given must have.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from contrafact.core.artefact import fingerprint, unbuildable
from contrafact.core.command import quoted
from contrafact.core.generator import Generator
from contrafact.core.outside import is_ready
from contrafact.core.places import portable
from contrafact.core.plugins import is_spelled_out, plugins

GIVEN = "given"
"""In a generator's note and in a run's configuration: arguments that somebody's function was called with."""


def origin(generator: Generator, folder: Path) -> dict[str, Any]:
    """What a run's configuration says of where such a generator came from: ``from``, and ``given`` where there is any.

    Args:
        generator: what the run is made on.
        folder: the run's.
    """
    if not is_spelled_out(generator.name):
        return {}
    place = generator.name.rpartition(":")[0]
    arguments = generator.note.get(GIVEN)
    is_said = isinstance(arguments, dict) and is_ready(arguments)
    return {"from": portable(place, folder)} | ({GIVEN: arguments} if is_said else {})


def options(source: Mapping[str, Any], folder: Path) -> list[str]:
    """The options that give the generator again; ``--generator FILE.py:FUNCTION`` where nobody knows its name.

    Args:
        source: of the run's configuration.
        folder: the run's.
    """
    name = str(source.get("name", ""))
    if is_spelled_out(name):
        place, _, item = name.rpartition(":")
        found = [f"--generator={_place(source, folder, place)}:{item}"]
    elif name in plugins("generators"):
        found = [f"--generator={name}"]
    else:
        return ["--generator", "FILE.py:FUNCTION"]
    given = source.get(GIVEN)
    settings = given.items() if isinstance(given, dict) else ()
    return [*found[0].split("=", 1), *(part for key, value in settings for part in ("--set", f"{key}={value}"))]


def _place(source: Mapping[str, Any], folder: Path, name: str) -> str:
    """The file as somebody would write it here; the name it was given by where it is not to be found."""
    origin = source.get("from")
    beside = Path(os.path.normpath(folder / origin)) if isinstance(origin, str) and origin else None
    return next((str(path) for path in (Path(name), beside) if path is not None and path.is_file()), name)


def missing(source: Mapping[str, Any], folder: Path) -> str:
    """How to give the generator that is asked for and not there, as the end of a sentence."""
    given = options(source, folder)
    said = f"on a command line {quoted(*given)}"
    if given[1] == "FILE.py:FUNCTION":
        return f"{said}, a function that returns it; in Python load_run(folder, generator=...)"
    changes = source.get(GIVEN)
    called = f'load_generator("{given[1]}"' + (f", {changes}" if isinstance(changes, dict) else "") + ")"
    return f"{said}, in Python load_run(folder, generator={called})"


def is_it(generator: Generator, source: Mapping[str, Any]) -> bool:
    """Whether a generator has the weights of the one that a run was made on; older runs do not say."""
    return source.get("weights") in (None, fingerprint(generator))


def check(generator: Generator, source: Mapping[str, Any], folder: Path) -> None:
    """Refuse another generator than the run's (ValueError); one that files can hold is compared where it is read."""
    if unbuildable(generator) is None or is_it(generator, source):
        return
    raise ValueError(
        f"the run in {folder} was made on a generator with other weights than the one given (fingerprint "
        f"{source['weights']} then, {fingerprint(generator)} now): give that one, with the weights it had (a function "
        "that draws them at random needs a seed of its own); to try the directions on another generator: contrafact "
        f"traverse --generator OTHER --use {quoted(folder)} --out FOLDER"
    )
