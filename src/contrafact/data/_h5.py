"""Reading arrays of HDF5 files at random access.

HDF5 files can name other files: arrays whose bytes lie elsewhere, links into other files, arrays put together from
others. None of that is followed: a dataset's file holds its own pixels.
"""

from __future__ import annotations

import itertools
import math
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from contrafact.core.foreign import reading
from contrafact.data._files import AnyArray, ArraySpec, StoredArray, check_array, unpack_once

_BLOCK_BYTES = 192 * 2**20
_MOST_CHUNK_BYTES = 128 * 2**20
_MOST_PACKED_BYTES = 2**18
"""A larger packed chunk is unpacked here first, within bounds; a smaller one cannot unpack to more than 270 MB."""
_CHECKSUM_BYTES = 4
_MOST_KEYS = 1000
_FILTERS = {1: "deflate", 2: "shuffle", 3: "fletcher32", 32_000: "lzf"}


class H5File:
    """The arrays of a dataset's HDF5 file, checked before use.

    Args:
        dataset: the dataset's name, for errors.
        file: the HDF5 file.
        expected: shape and element type by key.

    Raises:
        ValueError: not a complete HDF5 file, a key missing, an array of another shape or type, or one whose bytes lie
            in another file or unpack to more than it holds.
    """

    def __init__(self, dataset: str, file: Path, expected: Mapping[str, ArraySpec]) -> None:
        self.dataset, self.file = dataset, file
        with self._open() as handle:
            for key, wanted in expected.items():
                if key not in handle:
                    found = ", ".join(sorted(itertools.islice(handle, 20))) or "nothing"
                    raise ValueError(f"{dataset}: {file} has no key {key!r}; found {found}")
                data = self._own_array(handle, key)
                check_array(dataset, file, key, (data.shape, data.dtype), wanted)
                self._check_storage(data, key)

    def keys(self) -> list[str]:
        """Names of the arrays in the file, and of links to other places, which are refused when they are asked for."""
        import h5py

        with self._open() as handle:
            names = list(itertools.islice(handle, _MOST_KEYS))
            links = {name: not isinstance(handle.get(name, getlink=True), h5py.HardLink) for name in names}
            return [name for name in names if links[name] or isinstance(handle[name], h5py.Dataset)]

    def describe(self, key: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
        """Shape and element type of an array, which is all there and in this file.

        Raises:
            ValueError: it is not, or would unpack to more than it holds.
        """
        with self._open() as handle:
            data = self._own_array(handle, key)
            self._check_storage(data, key)
            return data.shape, data.dtype

    @contextmanager
    def _open(self) -> Iterator[Any]:
        import h5py

        with reading(f"{self.dataset}: {self.file}", "HDF5 file"):
            try:
                handle = h5py.File(self.file, "r")
            except OSError as error:
                raise ValueError(
                    f"{self.dataset}: {self.file} is not a complete HDF5 file ({error}); it may be truncated, get it "
                    "again"
                ) from error
            with handle:
                yield handle

    def _own_array(self, handle: Any, key: str) -> Any:
        """The array under ``key``, whose bytes lie in this file."""
        import h5py

        where = f"{self.dataset}: key {key!r} of {self.file}"
        if not isinstance(handle.get(key, getlink=True), h5py.HardLink):
            raise ValueError(f"{where} is a link to another place, which is not followed; get the published file")
        data = handle[key]
        if not isinstance(data, h5py.Dataset):
            raise ValueError(f"{where} is a {type(data).__name__.lower()}, expected an array")
        if data.is_virtual or data.external:
            raise ValueError(f"{where} has its bytes in other files, which are not read; get the published file")
        return data

    def _check_storage(self, data: Any, key: str) -> None:
        """Refuse an array that is not all there, or whose chunks ask for more memory than they hold."""
        where = f"{self.dataset}: key {key!r} of {self.file}"
        if data.chunks is None:
            if data.size and not data.id.get_storage_size():
                raise ValueError(f"{where} was never filled; get the file again")
            return
        created = data.id.get_create_plist()
        filters = [created.get_filter(i)[0] for i in range(created.get_nfilters())]
        unknown = [str(number) for number in filters if number not in _FILTERS]
        if unknown or sum(number in (1, 32_000) for number in filters) > 1:
            raise ValueError(
                f"{where} is packed in a way that is not read here (filters {', '.join(map(str, filters))}); save it "
                "again with gzip, lzf or no compression"
            )
        chunk_bytes = math.prod(data.chunks) * data.dtype.itemsize
        if chunk_bytes > _MOST_CHUNK_BYTES:
            raise ValueError(
                f"{where} has chunks of {chunk_bytes / 1e6:.0f} MB, at most {_MOST_CHUNK_BYTES / 1e6:.0f} MB are read; "
                "save it again with smaller ones"
            )
        expected = math.prod(-(-side // chunk) for side, chunk in zip(data.shape, data.chunks, strict=True))
        if (found := data.id.get_num_chunks()) != expected:
            raise ValueError(f"{where} is incomplete: it holds {found} of {expected} chunks; get the file again")
        if 1 in filters:
            self._check_deflated(data, filters.index(1), chunk_bytes, where)

    @staticmethod
    def _check_deflated(data: Any, place: int, chunk_bytes: int, where: str) -> None:
        """Refuse chunks that would unpack to more than they should: the library unpacks to the end, however far."""
        large: list[tuple[int, ...]] = []

        def note(chunk: Any) -> None:
            if chunk.size > _MOST_PACKED_BYTES:
                large.append(chunk.chunk_offset)

        data.id.chunk_iter(note)
        for offset in large:
            skipped, packed = data.id.read_direct_chunk(offset)
            if skipped & 1 << place:  # stored as it is, because packing it would have gained nothing
                continue
            stream = zlib.decompressobj()
            try:
                unpacked = len(stream.decompress(packed, chunk_bytes + _CHECKSUM_BYTES + 1))
            except zlib.error:
                continue  # the library meets the same error, and its rows are named then
            if unpacked > chunk_bytes + _CHECKSUM_BYTES:
                raise ValueError(
                    f"{where} is damaged: the chunk at {offset} unpacks to more than its {chunk_bytes} bytes; get the "
                    "file again"
                )

    def read(self, key: str) -> AnyArray:
        """A small array, whole."""
        return np.concatenate([block.copy() for block in self._blocks(key)])

    def stored(self, key: str) -> StoredArray:
        """A large array: mapped in place if it lies there in one piece, else unpacked once.

        A chunk of the usual files spans thousands of images and a few pixels of each, so that reading one image
        unpacks hundreds of chunks: random access is only possible to an unpacked copy.
        """
        with self._open() as handle:
            data = self._own_array(handle, key)
            shape, dtype, offset = data.shape, data.dtype, data.id.get_offset()
        if offset is not None:
            return StoredArray(self.file, offset, shape, dtype)
        return unpack_once(self.file, key, shape, dtype, lambda: self._blocks(key))

    def _blocks(self, key: str) -> Iterator[AnyArray]:
        """Blocks of whole chunk rows, as far as memory allows, so that no chunk is unpacked twice; in one buffer."""
        with self._open() as handle:
            data = self._own_array(handle, key)
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
