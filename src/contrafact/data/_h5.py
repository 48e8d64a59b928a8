"""Reading arrays of HDF5 files at random access."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from contrafact.data._files import AnyArray, ArraySpec, StoredArray, check_array, unpack_once

_BLOCK_BYTES = 192 * 2**20


class H5File:
    """The arrays of a dataset's HDF5 file, checked before use.

    Args:
        dataset: the dataset's name, for errors.
        file: the HDF5 file.
        expected: shape and element type by key.

    Raises:
        ValueError: not a complete HDF5 file, a key missing, or an array of another shape or type.
    """

    def __init__(self, dataset: str, file: Path, expected: Mapping[str, ArraySpec]) -> None:
        self.dataset, self.file = dataset, file
        with self._open() as handle:
            for key, wanted in expected.items():
                if key not in handle:
                    found = ", ".join(sorted(handle)) or "nothing"
                    raise ValueError(f"{dataset}: {file} has no key {key!r}; found {found}")
                check_array(dataset, file, key, (handle[key].shape, handle[key].dtype), wanted)

    def _open(self) -> Any:
        import h5py

        try:
            return h5py.File(self.file, "r")
        except OSError as error:
            raise ValueError(
                f"{self.dataset}: {self.file} is not a complete HDF5 file ({error}); it may be truncated, get it again"
            ) from error

    def read(self, key: str) -> AnyArray:
        """A small array, whole."""
        return np.concatenate([block.copy() for block in self._blocks(key)])

    def stored(self, key: str) -> StoredArray:
        """A large array: mapped in place if it lies there in one piece, else unpacked once.

        A chunk of the usual files spans thousands of images and a few pixels of each, so that reading one image
        unpacks hundreds of chunks: random access is only possible to an unpacked copy.
        """
        with self._open() as handle:
            data = handle[key]
            shape, dtype, offset = data.shape, data.dtype, data.id.get_offset()
        if offset is not None:
            return StoredArray(self.file, offset, shape, dtype)
        return unpack_once(self.file, key, shape, dtype, lambda: self._blocks(key))

    def _blocks(self, key: str) -> Iterator[AnyArray]:
        """Blocks of whole chunk rows, as far as memory allows, so that no chunk is unpacked twice; in one buffer."""
        with self._open() as handle:
            data = handle[key]
            rows = max(1, _BLOCK_BYTES // max(1, math.prod(data.shape[1:]) * data.dtype.itemsize))
            if data.chunks is not None and data.chunks[0] <= rows:
                rows -= rows % data.chunks[0]
            buffer = np.empty((min(rows, len(data)), *data.shape[1:]), dtype=data.dtype)
            for first in range(0, len(data), rows):
                count = min(rows, len(data) - first)
                try:
                    data.read_direct(buffer, np.s_[first : first + count], np.s_[:count])
                except OSError as error:
                    raise ValueError(
                        f"{self.dataset}: key {key!r} of {self.file} is damaged near row {first} ({error}); get the "
                        "file again"
                    ) from error
                yield buffer[:count]
