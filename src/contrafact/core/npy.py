"""Numpy's files, ``.npy`` and ``.npz``, of any origin: their headers may claim any size, so that is checked first."""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from contrafact.core.foreign import first_line, reading

Array = npt.NDArray[Any]

PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""How numpy packs. LZMA is another matter: what its header claims is allocated by who unpacks it."""

_LONGEST_HEADER = 10_000
_MOST_DIMENSIONS = 32
_MOST_UNPACKED, _MOST_LISTING, _BLOCK_BYTES = 2**30, 2**24, 2**24


def read_npy_header(stream: IO[bytes], what: object) -> tuple[tuple[int, ...], np.dtype[Any], bool]:
    """Shape, element type, and whether the array lies in Fortran order, of the ``.npy`` data that follows.

    Args:
        stream: stands before the magic string; afterwards at the first element.
        what: the file, or the part of it, for the message.

    Raises:
        ValueError: no such header, or one of objects, which only running a pickle could make.
    """
    try:
        version = np.lib.format.read_magic(stream)
        length_bytes = {(1, 0): 2, (2, 0): 4, (3, 0): 4}[version]
        length = int.from_bytes(stream.read(length_bytes), "little")
        if length > _LONGEST_HEADER:
            raise ValueError(f"its header has {length} bytes")
        text = stream.read(length)
        if len(text) < length:
            raise ValueError("its header is cut short")
        shape, fortran_order, dtype = _parse(text)
    except Exception as error:  # the documented border: numpy's parser fails in any way on damaged text
        raise ValueError(
            f"{what} does not start like an array saved by numpy ({first_line(error)}); get the file again"
        ) from error
    if dtype.hasobject or dtype.itemsize == 0:
        raise ValueError(f"{what} must hold plain numbers; found dtype {dtype}")
    return shape, dtype, fortran_order


def _parse(text: bytes) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    # numpy's own parser of the text, given a header of the second version, which may hold any text of this length.
    whole = io.BytesIO(len(text).to_bytes(4, "little") + text)
    shape, fortran_order, dtype = np.lib.format.read_array_header_2_0(whole, max_header_size=_LONGEST_HEADER)
    if len(shape) > _MOST_DIMENSIONS or any(isinstance(side, bool) or side < 0 for side in shape):
        raise ValueError(f"its shape is {shape}")
    return tuple(map(int, shape)), bool(fortran_order), dtype


def num_bytes(shape: tuple[int, ...], dtype: np.dtype[Any]) -> int:
    """Bytes of an array's elements."""
    return math.prod(shape) * dtype.itemsize


def read_npy(path: Path) -> Array:
    """The array of a ``.npy`` file, whole.

    Raises:
        ValueError: not such a file, or one of another length than its header says; nothing is allocated then.
    """
    with reading(path, "array saved by numpy"), path.open("rb") as stream:
        shape, dtype, fortran_order = read_npy_header(stream, path)
        held = path.stat().st_size - stream.tell()
        if held != num_bytes(shape, dtype):
            raise ValueError(
                f"{path} must hold {num_bytes(shape, dtype)} bytes for its shape {shape}, found {held}; get the file "
                "again"
            )
        return _whole(stream, shape, dtype, fortran_order, path)


class NpzFile:
    """An ``.npz`` archive of any origin: members by name, their headers, and the arrays; nothing is unpickled.

    Args:
        path: the archive.
        who: who reads it, before each message: ``"dsprites: "``.

    Attributes:
        members: zip entries by array name.

    Raises:
        ValueError: no complete zip file, one packed in another way than numpy's, or one with a listing of millions.
    """

    def __init__(self, path: Path, who: str = "") -> None:
        self.path, self.who = path, who
        with reading(f"{who}{path}", "npz file"):
            check_listing(path, who)
            try:
                with zipfile.ZipFile(path) as archive:
                    infos = archive.infolist()
            except (zipfile.BadZipFile, OSError, EOFError) as error:
                raise ValueError(
                    f"{who}{path} is not a complete npz file ({first_line(error)}); it may be truncated, get it again"
                ) from error
        if strange := [info for info in infos if info.compress_type not in PACKINGS]:
            raise ValueError(
                f"{who}{path} is not packed as numpy packs ({strange[0].filename!r:.40} by method "
                f"{strange[0].compress_type}); get it again"
            )
        self.members = {info.filename.removesuffix(".npy"): info for info in infos}

    @contextmanager
    def open(self, name: str) -> Iterator[IO[bytes]]:
        """The bytes of a member, unpacked as they are read."""
        with (
            reading(f"{self.who}key {name!r} of {self.path}", "array saved by numpy"),
            zipfile.ZipFile(self.path) as archive,
            archive.open(self.members[name]) as stream,
        ):
            yield stream

    def header(self, name: str) -> tuple[tuple[int, ...], np.dtype[Any], bool]:
        """Shape, element type, and whether in Fortran order; the member is as long as they say.

        Raises:
            ValueError: a damaged header, or a member of another length.
        """
        what = f"{self.who}key {name!r} of {self.path}"
        with self.open(name) as stream:
            shape, dtype, fortran_order = read_npy_header(stream, what)
            held = self.members[name].file_size - stream.tell()
        needed = num_bytes(shape, dtype)
        if held != needed:
            row = held // max(1, needed // max(1, shape[0])) if shape else 0
            raise ValueError(
                f"{what} is damaged (it {'ends in' if held < needed else 'goes on after'} row "
                f"{row if held < needed else shape[0] if shape else 0}"
                f"{f' of {shape[0]}' if held < needed and shape else ''}); get the file again"
            )
        return shape, dtype, fortran_order

    def read(self, name: str, most_bytes: int | None = None) -> Array:
        """An array, whole.

        Args:
            name: its name.
            most_bytes: refuse a larger one; by default 1 GiB, or four times the file where that is more.

        Raises:
            ValueError: a damaged or too large one; nothing is allocated then.
        """
        shape, dtype, fortran_order = self.header(name)
        most = max(_MOST_UNPACKED, 4 * self.path.stat().st_size) if most_bytes is None else most_bytes
        if num_bytes(shape, dtype) > most:
            raise ValueError(
                f"{self.who}key {name!r} of {self.path} would unpack to {num_bytes(shape, dtype) / 1e9:.2f} GB, more "
                f"than the {most / 1e9:.2f} GB that are read; get the file again, or save it as .npy"
            )
        what = f"{self.who}key {name!r} of {self.path}"
        with self.open(name) as stream:
            read_npy_header(stream, what)
            return _whole(stream, shape, dtype, fortran_order, what)


def _whole(stream: IO[bytes], shape: tuple[int, ...], dtype: np.dtype[Any], fortran_order: bool, what: object) -> Array:
    flat = np.empty(math.prod(shape), dtype)
    buffer, filled = flat.view(np.uint8).data, 0
    while filled < len(buffer):
        block = stream.read(min(_BLOCK_BYTES, len(buffer) - filled))
        if not block:
            raise ValueError(f"{what} is damaged (it is cut short); get the file again")
        buffer[filled : filled + len(block)] = block
        filled += len(block)
    if stream.read(1):  # the end of a member is where its checksum is compared
        raise ValueError(f"{what} is damaged (it goes on after its last element); get the file again")
    return flat.reshape(shape[::-1]).T if fortran_order else flat.reshape(shape)


def check_listing(path: Path, who: str) -> None:
    """Refuse an archive whose listing alone would fill the memory; its length stands at the file's end."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        stream.seek(max(0, size - 2**16 - 128))
        tail = stream.read()
    end = tail.rfind(b"PK\x05\x06")
    lengths = [int.from_bytes(tail[end + 12 : end + 16], "little")] if end >= 0 else []
    if (large := tail.rfind(b"PK\x06\x06")) >= 0:
        lengths.append(int.from_bytes(tail[large + 40 : large + 48], "little"))
    if any(length > _MOST_LISTING and length not in (0xFFFFFFFF, 2**64 - 1) for length in lengths):
        raise ValueError(f"{who}{path} lists too many files; get it again")
