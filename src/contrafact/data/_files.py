"""Where dataset files and their unpacked caches live, and how caches are written so that none is ever half there."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO

PathLike = str | os.PathLike[str]


def cache_folder() -> Path:
    """Folder of caches: ``$CONTRAFACT_CACHE``, else ``$XDG_CACHE_HOME/contrafact``, else ``~/.cache/contrafact``."""
    if own := os.environ.get("CONTRAFACT_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "contrafact"


def data_folders() -> list[Path]:
    """Folders searched for dataset files: ``$CONTRAFACT_DATA`` if set, then ``data`` in the cache folder."""
    named = os.environ.get("CONTRAFACT_DATA")
    return [*([Path(named)] if named else []), cache_folder() / "data"]


def find_file(dataset: str, path: PathLike | None, names: Sequence[str]) -> Path | None:
    """The dataset's file: ``path`` itself, or one of ``names`` in the folder ``path``, or in the data folders.

    Returns:
        the file, or None when no path was given and the data folders hold none of the names.

    Raises:
        ValueError: ``path`` was given and leads to no such file.
    """
    if path is None:
        candidates = (folder / name for folder in data_folders() for name in names)
        return next((file for file in candidates if file.is_file()), None)
    given = Path(path).expanduser()
    if given.is_file():
        return given
    found = next((given / name for name in names if (given / name).is_file()), None)
    if found is None:
        what = "holds none of" if given.is_dir() else "does not exist; expected a file, or a folder with one of"
        raise ValueError(f"{dataset}: {given} {what} {', '.join(names)}")
    return found


def write_atomically(target: Path, write: Callable[[BinaryIO], None]) -> None:
    """Write a file that appears complete or not at all, whoever else writes it at the same time.

    Raises:
        ValueError: the disk is full or the folder cannot be written to; nothing is left behind.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=target.parent, prefix=f".{target.name}.", delete=False) as file:
            temporary = Path(file.name)
            try:
                write(file)
                file.flush()
                os.fsync(file.fileno())
                os.replace(temporary, target)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
    except OSError as error:
        raise ValueError(
            f"could not write the cache file {target}: {error.strerror}; free some space, or set CONTRAFACT_CACHE "
            "to a folder that can be written to"
        ) from error
