"""Other programs' checkpoints: which network of a file is read, by whose reader, and what is said if none."""

from __future__ import annotations

import hashlib
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from contrafact.core.foreign import first_line
from contrafact.core.generator import Generator
from contrafact.generators import CATALOG
from contrafact.generators._nearest import nearest
from contrafact.generators._parts import PART, Part, parts, twin
from contrafact.generators._ration import Ration
from contrafact.generators._settings import Settings
from contrafact.generators._stored import NoGenerator, outline, read_stored

_SHOWN = 3
"""Networks inside others that a message lists."""

Reader = Callable[[Any, Settings], Generator | None]


def read_foreign(path: Path, changes: dict[str, Any]) -> Generator:
    """The generator of another program's checkpoint, noting where it came from and what was assumed.

    Args:
        path: file or folder.
        changes: what the user gave; what is used of it is taken out.

    Warns:
        UserWarning: what was assumed; a network of the file that could not be read while another could.

    Raises:
        ValueError: none of the file's networks is a generator that is known here.
    """
    content = read_stored(path)
    found = parts(content)
    chosen = _chosen(found, changes.pop(PART), path) if PART in changes else found
    readers = {name: getattr(CATALOG.module(name), "read", None) for name in CATALOG.names()}
    size, refusals = sum(file.stat().st_size for file in files(path)), list[ValueError]()
    # Last the file as it is: a reader may know a form that holds no state dict.
    for part in [*chosen, *([Part("", content, {}, False)] if chosen is found else [])]:
        for name, reader in readers.items():
            settings = Settings(path, changes)
            try:
                with Ration(size):
                    generator = None if reader is None else reader(part.content, settings)
                if isinstance(generator, Generator):
                    _check_finite(generator, part.place)
            except ValueError as error:
                refusals.append(error)
                continue
            except Exception as error:  # the documented border: a stranger's tensors fail in a reader in any way
                given = settings.given or "its weights"
                refusals.append(ValueError(f"no {name} network can be built with {given}: {first_line(error)}"))
                continue
            if isinstance(generator, Generator):
                generator.note = {**_origin(path, part, found, settings), **generator.note}
                for given in settings.given:
                    del changes[given]
                for text in (settings.warning(), _passed_over(path, part, refusals)):
                    if text:
                        warnings.warn(text, stacklevel=4)
                return generator
    raise ValueError(_refused(path, content, found, refusals, [n for n, r in readers.items() if r is not None]))


def _check_finite(generator: Generator, place: str) -> None:
    """Refuse weights of which some are not numbers (ValueError)."""
    bad = {name: int((~t.isfinite()).sum()) for name, t in generator.state_dict().items() if t.is_floating_point()}
    if count := sum(bad.values()):
        first = next(name for name in bad if bad[name])
        raise ValueError(
            f"{count} of the weights{f' of {place}' if place else ''} are NaN or infinite, the first in {first}: the "
            "training went astray, or the file is damaged; take an earlier checkpoint"
        )


def _chosen(found: list[Part], wanted: Any, path: Path) -> list[Part]:
    places = list(dict.fromkeys(part.place for part in found if part.place))
    chosen = [part for part in found if part.place and part.place == wanted]
    if not chosen:
        raise ValueError(
            f"{path} has no part {wanted!r}; its networks are {', '.join(map(repr, places[:12])) or 'not named'}"
        )
    return chosen


def _origin(path: Path, part: Part, found: list[Part], settings: Settings) -> dict[str, Any]:
    origin: dict[str, Any] = {"read_from": path.name, "sha256": _digest(path)}
    if part.place:
        origin[PART] = part.place
    if (raw := twin(part, found)) is not None:
        origin["weights"] = f"the running average {part.place!r}; the last ones are {raw.place!r}"
    for kind in ("read_beside", "given", "assumed"):
        if said := getattr(settings, kind):
            origin[kind] = said
    return origin


def _passed_over(path: Path, part: Part, refusals: list[ValueError]) -> str:
    """What to warn of where another network of the file came before the one that was read, and failed."""
    failed = [error for error in refusals if not isinstance(error, NoGenerator)]
    if not failed:
        return ""
    return f"{path.name}: {part.place or 'the file'!r} is read; what comes before it was not: {first_line(failed[0])}"


def _refused(path: Path, content: Any, found: list[Part], refusals: list[ValueError], known: list[str]) -> str:
    if refusals:
        # Of networks that are none, what is said of the file as a whole comes last and says most.
        failed = next((error for error in refusals if not isinstance(error, NoGenerator)), refusals[-1])
        return f"{path}: {failed}"
    near, inside = nearest(found), [part for part in found if re.fullmatch(r"[^:]+\.[^:]*[^:.]", part.place)][:_SHOWN]
    networks = "; ".join(f"{part.place} holds {outline(part.tensors)}" for part in inside)
    held = f"it holds {outline(content)}" + (f"; in it {networks}" if inside else "")
    return (
        f"{path} holds no generator of an architecture known here ({', '.join(known)}); {held}. "
        f"{near}{' ' if near else ''}Build its network yourself and pass it through contrafact.generators.wrap"
    )


def files(path: Path) -> list[Path]:
    """The file, or the files of the folder."""
    return [path] if path.is_file() else sorted(p for p in path.iterdir() if p.is_file())


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    for file in files(path):
        with open(file, "rb") as opened:
            while block := opened.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
