"""Where dataset files and their unpacked caches live, how caches are written, and rows read at random."""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from contrafact.core.dataset import STAND_IN as STAND_IN  # datasets without a file import it from here
from contrafact.core.dataset import IntArray
from contrafact.core.files import atomic_path, read_json
from contrafact.core.foreign import Kind, check_fields
from contrafact.core.npy import read_npy_header
from contrafact.core.places import cache_folder as cache_folder
from contrafact.core.progress import Progress

PathLike = str | os.PathLike[str]
AnyArray = npt.NDArray[Any]
ArraySpec = tuple[tuple[int, ...], npt.DTypeLike]
"""Shape and element type."""

_BLOCK_BYTES = 64 * 2**20
_DAY_SECONDS = 86_400.0


def data_folder() -> Path:
    """Folder searched for dataset files: ``$CONTRAFACT_DATA``, else ``data`` in the cache folder.

    Raises:
        ValueError: the variable names no folder; a stand-in taken silently would be worse.
    """
    if named := os.environ.get("CONTRAFACT_DATA"):
        folder = Path(named).expanduser()
        if not folder.is_dir():
            raise ValueError(f"CONTRAFACT_DATA is {named!r}, which is not a folder; create it or unset the variable")
        return folder
    return cache_folder() / "data"


def find_file(dataset: str, path: PathLike | None, names: Sequence[str]) -> Path | None:
    """The dataset's file: ``path`` itself or in the folder ``path``; without ``path``, in the data folder.

    Args:
        dataset: the dataset's name; its own subfolder of the data folder is searched too.
        path: what the caller was given.
        names: file names to look for, in order of preference.

    Returns:
        the file, or None when no ``path`` was given and the data folder holds none of the names.

    Raises:
        ValueError: ``path`` was given and leads to no such file.
    """
    if path is None:
        folders = (data_folder(), data_folder() / dataset)
        return next((folder / name for folder in folders for name in names if (folder / name).is_file()), None)
    given = Path(path).expanduser()
    if given.is_file():
        return given
    found = next((given / name for name in names if (given / name).is_file()), None)
    if found is None:
        problem = "holds none of" if given.is_dir() else "does not exist; expected a file, or a folder with one of"
        raise ValueError(f"{dataset}: {given} {problem}: {', '.join(names)}")
    return found


def missing_file_message(dataset: str, names: Sequence[str], remedy: str) -> str:
    """Error text for a dataset that has no stand-in and whose file is nowhere."""
    return (
        f"{dataset}: found none of {', '.join(names)} in {data_folder()}; {remedy}, then put it there, pass path=, "
        "or set CONTRAFACT_DATA to its folder"
    )


def write_cache(target: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Write a cache file that appears complete or not at all, whoever else writes it at the same time.

    Raises:
        ValueError: the disk is full or the folder cannot be written to; nothing is left behind.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        for partial in target.parent.glob(f".{target.name}.*"):  # left by killed processes; no unpacking takes a day
            if time.time() - partial.stat().st_mtime > _DAY_SECONDS:
                partial.unlink(missing_ok=True)
        with atomic_path(target) as temporary, temporary.open("wb") as file:
            write(file)
    except OSError as error:
        raise ValueError(
            f"could not write the cache file {target} ({error.strerror or error}); free some space, or set "
            "CONTRAFACT_CACHE to a folder that can be written to"
        ) from error


class StoredArray:
    """Rows of an array that lies uncompressed in a file, read at random; nothing but the rows asked for is in memory.

    Rows are read with positioned reads. A memory map would be no faster from the page cache, and the pages it touches
    (with their neighbours, up to the whole file) would count as this process's memory.

    Args:
        file: the file.
        offset: byte at which the array starts.
        shape: ``(rows, ...)``.
        dtype: element type.

    Raises:
        ValueError: the file is too short for the array.
    """

    def __init__(self, file: Path, offset: int, shape: tuple[int, ...], dtype: npt.DTypeLike) -> None:
        self.file, self.offset, self.shape, self.dtype = file, offset, shape, np.dtype(dtype)
        self._row_bytes = math.prod(shape[1:]) * self.dtype.itemsize
        needed, found = offset + shape[0] * self._row_bytes, file.stat().st_size
        if found < needed:
            raise ValueError(f"{file} is truncated: expected at least {needed} bytes, found {found}; get it again")
        self._stream = file.open("rb", buffering=0)
        self._seeking = threading.Lock()

    def __len__(self) -> int:
        return self.shape[0]

    def __reduce__(self) -> tuple[type[StoredArray], tuple[Path, int, tuple[int, ...], str]]:
        return StoredArray, (self.file, self.offset, self.shape, self.dtype.str)

    def rows(self, indices: IntArray) -> AnyArray:
        """A copy of the rows at ``indices``, in that order."""
        picked = np.empty((len(indices), *self.shape[1:]), dtype=self.dtype)
        buffer, size = picked.view(np.uint8).reshape(-1).data, self._row_bytes
        for place in np.argsort(indices, kind="stable").tolist():  # in the file's order, kinder to disks
            start = self.offset + int(indices[place]) * size
            if self._read_into(buffer[place * size : (place + 1) * size], start) != size:
                raise ValueError(f"{self.file} was cut short while in use; get it again")
        return picked

    def _read_into(self, part: memoryview, start: int) -> int:
        """Fill ``part`` from byte ``start`` on; how many bytes there were."""
        if hasattr(os, "preadv"):
            return os.preadv(self._stream.fileno(), [part], start)
        with self._seeking:  # Windows has no positioned read, and threads share the file's position
            self._stream.seek(start)
            return self._stream.readinto(part) or 0


def unpack_once(
    source: Path, part: str, shape: tuple[int, ...], dtype: npt.DTypeLike, blocks: Callable[[], Iterator[AnyArray]]
) -> StoredArray:
    """The array that ``blocks`` yields row block by row block, kept uncompressed in the cache folder.

    A checksum is stored beside it. It is compared again whenever the cached file's size or date differ from what was
    written, and a damaged cache is unpacked anew; another ``source`` file (by name, size or date) gets its own.

    Args:
        source: the packed file or the folder it stands for.
        part: which array of it, and all else the result depends on; of a folder, its files.
        shape: ``(rows, ...)`` of the whole.
        dtype: element type.
        blocks: called when there is work to do.

    Raises:
        ValueError: too little disk space; or whatever ``blocks`` raises.
    """
    stamp = source.stat()
    state = f"{stamp.st_size} {stamp.st_mtime_ns}" if source.is_file() else "folder"
    identity = f"{source.name}|{state}|{part}|{shape}|{np.dtype(dtype).str}"
    digest = hashlib.sha256(identity.encode()).hexdigest()[:16]
    target = cache_folder() / "unpacked" / f"{source.stem}-{digest}.npy"
    if not _is_intact(target):
        _unpack(source, target, shape, np.dtype(dtype), blocks)
    return map_npy(target)


def _unpack(
    source: Path, target: Path, shape: tuple[int, ...], dtype: np.dtype[Any], blocks: Callable[[], Iterator[AnyArray]]
) -> None:
    needed = math.prod(shape) * dtype.itemsize
    folder = next(parent for parent in target.parents if parent.is_dir())
    if (free := shutil.disk_usage(folder).free) < needed:
        raise ValueError(
            f"unpacking {source} needs {needed / 1e9:.2f} GB in {target.parent}, where {free / 1e9:.2f} GB are free; "
            "free some space, or set CONTRAFACT_CACHE to a folder on a larger disk"
        )
    checksum = 0

    def write(file: IO[bytes]) -> None:
        nonlocal checksum
        header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        with Progress(f"unpacking {source.name} (once)", shape[0]) as progress:
            for block in _readable(source, blocks):
                data = np.ascontiguousarray(block, dtype=dtype).data
                checksum = zlib.crc32(data, checksum)
                file.write(data)
                progress.advance(len(block))

    write_cache(target, write)
    _write_record(target, source, checksum)


def _readable(source: Path, blocks: Callable[[], Iterator[AnyArray]]) -> Iterator[AnyArray]:
    """The blocks, their reading errors told apart from the cache's writing errors."""
    try:
        yield from blocks()
    except OSError as error:
        raise ValueError(f"could not read {source} ({error}); get it again") from error


def _write_record(target: Path, source: Path | str, checksum: int) -> None:
    stamp = target.stat()
    record = {"source": str(source), "bytes": stamp.st_size, "modified_ns": stamp.st_mtime_ns, "crc32": checksum}
    write_cache(_record_path(target), lambda file: file.write(json.dumps(record).encode()))


def _record_path(target: Path) -> Path:
    return target.with_name(f"{target.name}.json")


def _is_intact(target: Path) -> bool:
    """Whether the cached file is the one that was written, by its record."""
    fields: dict[str, Kind] = {"source": str, "bytes": int, "modified_ns": int, "crc32": int}
    try:
        record = check_fields(read_json(_record_path(target)), fields, target, "")
        stamp = target.stat()
    except (FileNotFoundError, ValueError):
        return False
    if stamp.st_size != record["bytes"]:
        return False
    if stamp.st_mtime_ns == record["modified_ns"]:
        return True
    if _checksum(target) != record["crc32"]:
        return False
    _write_record(target, record["source"], record["crc32"])
    return True


def _checksum(file: Path) -> int:
    """CRC-32 of a .npy file's data."""
    checksum = 0
    with file.open("rb") as stream:
        read_npy_header(stream, file)
        while block := stream.read(_BLOCK_BYTES):
            checksum = zlib.crc32(block, checksum)
    return checksum


def map_npy(file: Path) -> StoredArray:
    """The array of a .npy file, not read into memory."""
    with file.open("rb") as stream:
        shape, dtype = read_ordered_header(stream, file)
        return StoredArray(file, stream.tell(), shape, dtype)


def read_ordered_header(stream: IO[bytes], what: object) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and element type of the .npy data that follows in ``stream``: rows in C order.

    Raises:
        ValueError: another order, or no rows.
    """
    shape, dtype, fortran_order = read_npy_header(stream, what)
    if fortran_order or not shape:
        raise ValueError(
            f"{what} must hold rows of plain numbers in C order; found {dtype} of shape {shape}, Fortran order "
            f"{fortran_order}"
        )
    return shape, dtype


def check_array(
    dataset: str, file: Path, key: str, found: tuple[tuple[int, ...], np.dtype[Any]], expected: ArraySpec
) -> None:
    """Refuse an array of another shape or element type than its dataset's.

    Raises:
        ValueError: names the file, the key, what was expected and what was found.
    """
    if found != (expected[0], np.dtype(expected[1])):
        raise ValueError(
            f"{dataset}: key {key!r} of {file}: expected {np.dtype(expected[1])} of shape {expected[0]}, found "
            f"{found[1]} of shape {found[0]}; it is another dataset's file or an incomplete one"
        )
