"""Arrays of a dataset's ``.npz`` file, checked before use, read at random where they are large."""

from __future__ import annotations

import math
import os
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from contrafact.core.foreign import reading
from contrafact.core.npy import NpzFile, read_npy_header
from contrafact.data._files import (
    AnyArray,
    StoredArray,
    check_array,
    read_ordered_header,
    unpack_once,
)

_BLOCK_BYTES = 64 * 2**20
_MOST_IN_MEMORY = 256 * 2**20


class NumpyArchive:
    """An ``.npz`` file of a dataset, its members checked before use; nothing is ever unpickled.

    Args:
        dataset: the dataset's name, for errors.
        file: the archive.

    Raises:
        ValueError: it is not a complete zip file.
    """

    def __init__(self, dataset: str, file: Path) -> None:
        self.dataset, self.file = dataset, file
        self._archive = NpzFile(file, f"{dataset}: ")

    def header(self, key: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
        """Shape and element type of a member.

        Raises:
            ValueError: no such key (the ones found are named), or a damaged one.
        """
        members = self._archive.members
        if key not in members:
            found = ", ".join(sorted(members)[:20]) or "nothing"
            raise ValueError(f"{self.dataset}: {self.file} has no key {key!r}; found {found}")
        shape, dtype, fortran_order = self._archive.header(key)
        if fortran_order or not shape:
            raise ValueError(
                f"{self.dataset}: key {key!r} of {self.file} must hold rows of plain numbers in C order; found "
                f"{dtype} of shape {shape}, Fortran order {fortran_order}"
            )
        return shape, dtype

    def keys(self) -> list[str]:
        """Names of the members."""
        return list(self._archive.members)

    def describe(self, key: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
        """Shape and element type of a member, as :meth:`header` says."""
        return self.header(key)

    def check(self, key: str, shape: tuple[int, ...], dtype: npt.DTypeLike) -> None:
        """Refuse a member of another shape or element type."""
        check_array(self.dataset, self.file, key, self.header(key), (shape, dtype))

    def read(self, key: str) -> AnyArray:
        """A small member, whole.

        Raises:
            ValueError: a damaged one, or one of more than 256 MiB.
        """
        self.header(key)
        return self._archive.read(key, _MOST_IN_MEMORY)

    def stored(self, key: str) -> StoredArray:
        """A large member that was checked: mapped in place if the archive is uncompressed, else unpacked once."""
        shape, dtype = self.header(key)
        info = self._archive.members[key]
        if info.compress_type == zipfile.ZIP_STORED:
            with reading(f"{self.dataset}: {self.file}", "npz file"), self.file.open("rb") as stream:
                stream.seek(info.header_offset + 26)
                name_bytes, extra_bytes = struct.unpack("<HH", stream.read(4))
                stream.seek(name_bytes + extra_bytes, os.SEEK_CUR)
                if read_ordered_header(stream, self.file) != (shape, dtype):
                    raise ValueError(f"{self.dataset}: {self.file} lists {key!r} where it is not; get the file again")
                return StoredArray(self.file, stream.tell(), shape, dtype)
        return unpack_once(self.file, key, shape, dtype, lambda: self._blocks(key, shape, dtype))

    def _blocks(self, key: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Iterator[AnyArray]:
        row_bytes = max(1, math.prod(shape[1:]) * dtype.itemsize)
        step = max(1, _BLOCK_BYTES // row_bytes)
        with self._archive.open(key) as stream:
            read_npy_header(stream, self.file)
            for first in range(0, shape[0], step):
                rows = min(step, shape[0] - first)
                data = stream.read(rows * row_bytes)
                if len(data) < rows * row_bytes:
                    raise EOFError(f"it ends in row {first + len(data) // row_bytes} of {shape[0]}")
                yield np.frombuffer(data, dtype).reshape(rows, *shape[1:])
            stream.read(1)  # the end is where the checksum is compared
