"""Files by their names, on this machine or anywhere fsspec reaches, of which any part is read alone.

A text names one file, several (``{000..099}``, ``{a,b}``, ``*``) or all shards of a folder; one with ``://`` is an
address.
"""

from __future__ import annotations

import glob
import importlib
import io
import itertools
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from contrafact.core.foreign import first_line, reading

SHARDS = (".tar", ".parquet")
"""Endings of the files that hold many pictures each."""

_MOST_FILES = 10**6
_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(\d{1,18})\.\.(\d{1,18})")
_PACKAGES = {"s3": "s3fs", "s3a": "s3fs", "http": "aiohttp", "https": "aiohttp", "gs": "gcsfs", "hf": "huggingface_hub"}


def is_remote(text: str) -> bool:
    """Whether a text is an address rather than a path.

    >>> is_remote("s3://bucket/train-{000..099}.tar"), is_remote("/data/train-000.tar")
    (True, False)
    """
    return "://" in text


def is_sharded(text: str) -> bool:
    """Whether a text can mean nothing but shards: an address, several files at once, or a tar.

    >>> [is_sharded(text) for text in ("s3://bucket/a.parquet", "a-{0..9}.parquet", "a.tar", "a.parquet", "photos")]
    [True, True, True, False, False]
    """
    several = "{" in text or "*" in text
    return is_remote(text) or text.lower().endswith(".tar") or (several and text.lower().endswith(SHARDS))


def expand(text: str) -> list[str]:
    """The names that a text with braces stands for, in its order.

    Args:
        text: with ranges ``{000..099}``, whose width counts, or choices ``{a,b}``; several multiply.

    Raises:
        ValueError: a range that is none, or more than a million names.

    >>> expand("{a,b}-{08..10}.tar")
    ['a-08.tar', 'a-09.tar', 'a-10.tar', 'b-08.tar', 'b-09.tar', 'b-10.tar']
    """
    pieces = _BRACES.split(text)
    choices = [_choices(piece, text) if place % 2 else [piece] for place, piece in enumerate(pieces)]
    count = 1
    for several in choices:
        count *= len(several)
    if count > _MOST_FILES:
        raise ValueError(f"shards: {text!r} stands for {count} files; at most {_MOST_FILES} are read")
    return ["".join(chosen) for chosen in itertools.product(*choices)]


def _choices(inside: str, text: str) -> Sequence[str]:
    found = _RANGE.fullmatch(inside)
    if found is None:
        if "," not in inside:
            raise ValueError(f"shards: {{{inside}}} in {text!r} is no range; write {{000..099}} or {{a,b}}")
        return inside.split(",")
    first, last = int(found[1]), int(found[2])
    if not 0 <= last - first < _MOST_FILES:
        raise ValueError(
            f"shards: {{{inside}}} in {text!r} counts {last - first + 1} files; expected 1 to {_MOST_FILES}"
        )
    width = len(found[1])
    return [f"{number:0{width}}" for number in range(first, last + 1)]


def without_secrets(address: str) -> str:
    """An address as it may be written down: without password and query.

    >>> without_secrets("https://ann:secret@data.org/a-{0..9}.tar?token=1")
    'https://data.org/a-{0..9}.tar'
    """
    parts = urlsplit(address)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


class Store:
    """The files that a text stands for; any part of each is read alone.

    Attributes:
        names: where each lies.
        sizes: bytes of each.
        stamps: what else tells one version of a file from another: its date, or what the server says of it.

    Args:
        text: path or address of a file, of several, or of a folder of shards.

    Raises:
        ValueError: there are none, they cannot be reached, or the package that reaches them is not installed.
    """

    def __init__(self, text: str) -> None:
        self.text, self._system = text, None
        if is_remote(text):
            with reading(without_secrets(text), "address that can be read", "see that it is right and can be reached"):
                self._find_remote(text)
        else:
            self._find_here(text)
        if not self.names:
            raise ValueError(
                f"shards: {without_secrets(text) if is_remote(text) else text} holds no {' or '.join(SHARDS)} files"
            )

    @property
    def is_here(self) -> bool:
        """Whether the files lie on this machine."""
        return self._system is None

    def shown(self, file: int) -> str:
        """A file's name for a message."""
        return without_secrets(self.names[file]) if is_remote(self.names[file]) else self.names[file]

    def _find_here(self, text: str) -> None:
        names: list[str] = []
        for name in expand(os.path.expanduser(text)):
            if os.path.isdir(name):
                names += sorted(str(path) for path in Path(name).rglob("*") if path.suffix.lower() in SHARDS)
            elif "*" in name:
                names += sorted(glob.glob(name))
            else:
                names.append(name)
        missing = [name for name in names if not os.path.isfile(name)]
        if missing:
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            raise ValueError(f"shards: {missing[0]}{more} of {text!r} is no file; name those that are there")
        self.names = names
        found = [os.stat(name) for name in names]
        self.sizes, self.stamps = [stat.st_size for stat in found], [str(stat.st_mtime_ns) for stat in found]

    def _find_remote(self, text: str) -> None:
        protocol = text.partition("://")[0]
        try:
            core = importlib.import_module("fsspec.core")
            system, _ = core.url_to_fs(text.partition("{")[0].partition("*")[0])
        except ImportError as error:
            package = _PACKAGES.get(protocol, "that fsspec names for it")
            how = (
                f"pip install {package}"
                if package in ("gcsfs", "huggingface_hub")
                else "pip install 'contrafact[remote]'"
            )
            raise ValueError(f"shards: {protocol}:// needs the package {package}: {how}") from error
        except ValueError as error:
            raise ValueError(f"shards: {text.partition('{')[0]!r} begins with no address that fsspec knows") from error
        names: list[str] = []
        for address in expand(text):
            name = system._strip_protocol(address)
            if "*" in name:
                names += sorted(map(str, system.glob(name)))
            elif name.lower().endswith(SHARDS) or "?" in name:
                names.append(str(name))
            else:
                names += sorted(found for found in map(str, system.find(name)) if found.lower().endswith(SHARDS))
        described = [system.info(name) for name in names]
        self._system, self.names = system, names
        if any(not isinstance(info.get("size"), int) for info in described):
            raise ValueError(
                f"shards: the server does not say how long {without_secrets(text)} is, so no part can be read alone"
            )
        self.sizes = [int(info["size"]) for info in described]
        keys = ("ETag", "etag", "LastModified", "mtime", "created")
        self.stamps = [str(next((info[key] for key in keys if info.get(key)), "")) for info in described]

    def read(self, file: int, start: int, length: int) -> bytes:
        """Bytes ``[start, start + length)`` of a file, by its number.

        Raises:
            ValueError: it cannot be read, or there are not as many.
        """
        name, shown = self.names[file], self.shown(file)
        with reading(shown, "file that can be read in parts"):
            if self._system is None:
                with open(name, "rb", buffering=0) as stream:
                    stream.seek(start)
                    content = stream.read(length)
            else:
                try:
                    content = self._system.cat_file(name, start=start, end=start + length)
                except OSError as error:
                    raise ValueError(f"{shown} cannot be read ({first_line(error)}); see that it is there") from error
        if len(content) != length:
            raise ValueError(
                f"{shown}: expected {length} bytes from byte {start} on, got {len(content)}; it was cut short, or its "
                "server does not give parts of files"
            )
        return bytes(content)


class Ahead(io.RawIOBase):
    """A file of a store as a stream that is read in pieces of at least ``ahead`` bytes.

    Args:
        store: where it lies.
        file: its number there.
        ahead: bytes.
    """

    def __init__(self, store: Store, file: int, ahead: int) -> None:
        self._store, self._file, self._ahead = store, file, ahead
        self._place, self._held, self._held_from = 0, b"", 0
        self.length = store.sizes[file]

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def tell(self) -> int:
        """Where the next byte comes from."""
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a byte."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self.length}[whence]
        self._place = max(0, base + offset)
        return self._place

    def part(self, start: int, length: int) -> bytes:
        """Bytes from ``start`` on, fewer at the file's end."""
        length = max(0, min(length, self.length - start))
        within = start - self._held_from
        if within < 0 or within + length > len(self._held):
            wanted = max(0, min(max(length, self._ahead), self.length - start))
            self._held = self._store.read(self._file, start, wanted) if wanted else b""
            self._held_from, within = start, 0
        return self._held[within : within + length]

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer from where the stream stands."""
        view = memoryview(buffer).cast("B")
        content = self.part(self._place, len(view))
        view[: len(content)] = content
        self._place += len(content)
        return len(content)
