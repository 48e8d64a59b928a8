"""Where data lies, and what may be written down of it.

Run folders are passed on and moved, so a path stands in them relative to the folder or, where that would tell of
somebody's home, as a name alone, beside a fingerprint of the content. Where content of that fingerprint was last seen
on this machine is noted in the cache folder, which stays here.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from contrafact.core.files import write_text

_WHOLE_BYTES = 64 * 2**20
_END_BYTES = 2**20
_HOMES = ("home", "Users")


def cache_folder() -> Path:
    """Folder of caches: ``$CONTRAFACT_CACHE``, else ``$XDG_CACHE_HOME/contrafact``, else ``~/.cache/contrafact``."""
    if own := os.environ.get("CONTRAFACT_CACHE"):
        return Path(own).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "contrafact"


def portable(path: str | Path, folder: str | Path) -> str:
    """How ``path`` is written down in a file of ``folder``: relative to it, or its name where that would say more.

    >>> portable("/data/photos", "/data/runs/first"), portable("/home/ann/photos", "/scratch/first")
    ('../../photos', 'photos')
    """
    absolute, base = Path(os.path.abspath(Path(path).expanduser())), Path(os.path.abspath(folder))
    try:
        common = Path(os.path.commonpath([absolute, base]))
    except ValueError:  # on different drives
        return absolute.name
    home = Path.home()
    if common == Path(common.anchor) or common.name in _HOMES or (home != common and home.is_relative_to(common)):
        return absolute.name
    return Path(os.path.relpath(absolute, base)).as_posix()


def fingerprint_files(files: Iterable[Path], folder: Path | None = None) -> str:
    """Hash of files' names and sizes, of their contents up to 64 MiB together, and of both ends of one larger file.

    Args:
        files: in an order that means something.
        folder: what their names are relative to; None leaves the names out.
    """
    listed = list(files)
    sizes = [file.stat().st_size for file in listed]
    digest = hashlib.sha256()
    for file, size in zip(listed, sizes, strict=True):
        name = "" if folder is None else file.relative_to(folder).as_posix()
        digest.update(f"{name}\0{size}\0".encode("utf-8", "surrogateescape"))
    for file, size in zip(listed, sizes, strict=True):
        if sum(sizes) <= _WHOLE_BYTES:
            digest.update(file.read_bytes())
        elif len(listed) == 1:
            with file.open("rb") as stream:
                digest.update(stream.read(_END_BYTES))
                stream.seek(size - _END_BYTES)
                digest.update(stream.read(_END_BYTES))
    return digest.hexdigest()[:16]


def remember_place(fingerprint: str, path: str | Path) -> None:
    """Note for this machine where content of this fingerprint lies; if that fails, it is looked for by name later."""
    with suppress(OSError):
        note = _note(fingerprint)
        if not note.exists() or note.read_text(encoding="utf-8") != os.path.abspath(path):
            write_text(note, os.path.abspath(path))


def last_place(fingerprint: str) -> Path | None:
    """Where content of this fingerprint was last seen on this machine, if something still lies there."""
    try:
        path = Path(_note(fingerprint).read_text(encoding="utf-8"))
        return path if path.exists() else None
    except (OSError, ValueError):
        return None


def find_place(source: Mapping[str, Any], folder: Path) -> Path | None:
    """Where the data of a run's configuration lies now, so far as anybody knows.

    Args:
        source: what ``config.json`` says of the source.
        folder: the run's.
    """
    if source.get("kind") != "data" or not source.get("from"):
        return None
    origin, content = str(source["from"]), str(source.get("fingerprint", ""))
    beside, seen = Path(os.path.normpath(folder / origin)), last_place(content) if content else None
    return next((path for path in (beside, seen, Path(origin)) if path is not None and _is_there(path)), None)


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a text that is no path
        return False


def _note(fingerprint: str) -> Path:
    # Read from a file that may be a stranger's: no more than a name.
    return cache_folder() / "places" / "".join(c for c in fingerprint if c.isalnum())[:64]
