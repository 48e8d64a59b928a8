"""Writing files so that a crash, a kill or a full disk never costs what was already there."""

from __future__ import annotations

import errno
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from contrafact.core import command
from contrafact.core.foreign import MOST_JSON_BYTES, parse_json, reading

_MOST_LINES_BYTES = 128 * 2**20


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """A temporary path beside ``path`` that takes its place once the block ends without an error.

    Readers see the old file or the new one, never a part of it.

    Raises:
        OSError: the disk is full or read-only; the message names the file and the remedy, the old file is intact.
    """
    target = Path(path)
    # Named before it is made: Ctrl-C at any moment finds a name to remove.
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}{target.suffix}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "xb"):
            pass
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, target)
        sync_folder(target.parent)
    except OSError as error:
        raise explained(error, target) from error
    finally:
        with suppress(OSError):  # gone, as it should be; nor shall this hide why it could not be made
            temporary.unlink()


def sync_folder(folder: Path) -> None:
    """Make what was renamed or deleted in a folder last through a power cut."""
    if os.name == "nt":  # folders cannot be opened there
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # a file system that does not know it for folders
            raise
    finally:
        os.close(descriptor)


def sync_file(path: str | Path) -> None:
    """Bring to the disk what was appended to a file, if it is there."""
    try:
        with open(path, "rb+") as file:
            os.fsync(file.fileno())
    except FileNotFoundError:
        pass
    except OSError as error:
        raise explained(error, Path(path)) from error


def is_full(error: BaseException) -> bool:
    """Whether a disk, or a user's part of it, is full: no fault of the work, and whatever comes next meets it too."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def explained(error: OSError, target: Path) -> OSError:
    """``error`` with words that name the file and the remedy, where they are known."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        again = "the same command again" if command.name() not in ("", "fit") else "again with --resume"
        text = f"no space left on the disk for {target}; free some and run {again} (earlier files are intact)"
        return OSError(error.errno, text)
    if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
        return OSError(
            error.errno,
            f"cannot write {target}: {error.strerror}; make it writable, or choose another folder with --out",
        )
    return error


def write_bytes(path: str | Path, *parts: bytes | memoryview) -> None:
    """Write a file atomically, of parts one after the other."""
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        file.writelines(parts)


def write_text(path: str | Path, text: str) -> None:
    """Write a text file atomically."""
    write_bytes(path, text.encode())


def append_text(path: str | Path, text: str) -> None:
    """Add to the end of a text file.

    Raises:
        OSError: as for :func:`atomic_path`; what was there stays.
    """
    target = Path(path)
    try:
        with open(target, "a", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise explained(error, target) from error


def write_json(path: str | Path, value: Any) -> None:
    """Write JSON atomically, indented, keys in the given order."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def read_json(path: str | Path, finite: bool = True) -> Any:
    """Read JSON of any origin; ``finite`` as for :func:`~contrafact.core.foreign.parse_json`.

    Raises:
        ValueError: missing, or not JSON (:func:`~contrafact.core.foreign.parse_json`); names the file.
    """
    source = Path(path)
    if not source.exists():
        raise ValueError(f"{source} does not exist")
    with reading(source, "JSON file"), source.open("rb") as file:
        return parse_json(file.read(MOST_JSON_BYTES + 1), source, finite=finite)


def read_json_lines(path: str | Path, remedy: str, last_may_be_cut: bool = False) -> list[tuple[int, Any]]:
    """The values of a ``.jsonl`` file and their line numbers, from 1; empty lines are left out.

    Args:
        path: the file.
        remedy: what to do about a damaged line, for the message.
        last_may_be_cut: leave out a last line that is no JSON: a crash cut it short.

    Raises:
        ValueError: the file cannot be read, or a line is damaged; it is named.
    """
    source, values = Path(path), []
    with reading(source, "file of JSON lines"), source.open("rb") as file:
        content = file.read(_MOST_LINES_BYTES + 1)
    if len(content) > _MOST_LINES_BYTES:
        raise ValueError(f"{source} is longer than {_MOST_LINES_BYTES // 2**20} MiB; {remedy}")
    lines = content.splitlines()
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            values.append((number, parse_json(line, f"{source}, line {number},", remedy)))
        except ValueError:
            if number == len(lines) and last_may_be_cut:
                break
            raise
    return values
