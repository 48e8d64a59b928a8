"""Reading pickle and torch files of strangers: tensors, arrays and plain values; nothing of the file is run.

:func:`read_inert` takes what ``torch.save`` has written since torch 0.1.10 (zip files and the format before torch 1.6)
and plain pickles of any protocol. See :mod:`contrafact.core.inert` for why no name in a file is ever looked up.
"""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import torch

from contrafact.core.foreign import first_line
from contrafact.core.inert import InertReader
from contrafact.core.inert_limits import Budget
from contrafact.core.inert_records import InertError, Persistent, Record
from contrafact.core.inert_tensors import (
    Storage,
    StorageKey,
    TensorMakers,
    element_type,
    empty_bytes,
    storage_key,
    swap_bytes,
)
from contrafact.core.inert_values import Values

_LEGACY_MAGIC = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19"

_MAX_NESTING = 3


@dataclass(frozen=True)
class InertContent:
    """What a file holds.

    Attributes:
        content: tensors (without gradients), arrays, plain values, lists, dicts, tuples, sets; and a ``Record`` for
            every object that is none of these.
        names: classes and functions that the file names, ``module.name``, in its order.
    """

    content: Any = field(repr=False)
    names: list[str]


def read_inert(source: str | Path | bytes, finish: Callable[[Record], Any] = lambda record: record) -> InertContent:
    """Read a torch file or a pickle without running anything of it.

    Args:
        source: the file, or its bytes.
        finish: called with each record that is not known here, the parts it was made from being values already; gives
            what to put in its place.

    Raises:
        ValueError: neither, damaged, cut short, or content that would unfold to many times the file's size. The message
            does not name the file.

    >>> import pickle
    >>> read_inert(pickle.dumps({"step": 3, "print": print}))
    InertContent(names=['builtins.print'])
    """
    with io.BytesIO(source) if isinstance(source, bytes) else open(source, "rb") as file:
        try:
            size = file.seek(0, io.SEEK_END)
            file.seek(0)
            return _File(Budget(size), finish, 0).read(file)
        except InertError:
            raise
        except RecursionError as error:
            raise InertError("its parts are nested too deep") from error


def is_legacy(start: bytes) -> bool:
    """Whether a file that begins with these 24 bytes is of torch's format before 1.6: pickles, then raw storages."""
    return start.startswith(_LEGACY_MAGIC, 2) or start.startswith(_LEGACY_MAGIC, 11)


class _File:
    """Reads one file, and the files that lie as byte strings inside it, on one budget."""

    def __init__(self, budget: Budget, finish: Callable[[Record], Any], depth: int) -> None:
        self._budget = budget
        self._finish = finish
        self._depth = depth

    def read(self, file: IO[bytes]) -> InertContent:
        start = file.read(4)
        file.seek(0)
        if start == b"PK\x03\x04":
            return self._read_zip(file)
        return self.read_stream(memoryview(file.read()))

    def read_stream(self, data: memoryview) -> InertContent:
        if is_legacy(bytes(data[:24])):
            return self._read_legacy(data)
        reader = InertReader(data)
        return self._content(reader, reader.read(), lambda reference: reference)

    def _nested(self, content: bytes | memoryview) -> Any:
        if self._depth >= _MAX_NESTING:
            raise InertError("it holds files in files in files")
        inner = _File(self._budget, self._finish, self._depth + 1)
        if bytes(content[:4]) == b"PK\x03\x04":
            return inner.read(io.BytesIO(content)).content
        return inner.read_stream(memoryview(content)).content

    def _content(self, reader: InertReader, root: Any, outside: Callable[[Persistent], Any]) -> InertContent:
        makers = TensorMakers(self._budget, self._nested).table
        values = Values(self._budget, self._finish, makers, outside, element_type)
        return InertContent(values.of(root), [repr(name) for name in reader.names.values()])

    def _read_zip(self, file: IO[bytes]) -> InertContent:
        archive = _Archive(file)
        little = archive.bytes_of("byteorder", b"little") != b"big"
        storages: dict[str, Storage] = {}

        def outside(reference: Persistent) -> Any:
            if (described := storage_key(reference)) is None:
                return reference
            if described.key not in storages:
                content = archive.read_into(f"data/{described.key}")
                swap_bytes(content, described.kind, little)
                storages[described.key] = Storage(described.kind, content)
            found = storages[described.key]
            if described.count * described.itemsize > found.content.numel():
                raise InertError(f"the storage {described.key!r} holds fewer than {described.count} elements")
            return Storage(described.kind, found.content)

        reader = InertReader(archive.bytes_of("data.pkl"))
        return self._content(reader, reader.read(), outside)

    def _read_legacy(self, data: memoryview) -> InertContent:
        reader = InertReader(data)
        _magic, _version, system = reader.read(), reader.read(), reader.read()
        little = not isinstance(system, dict) or system.get("little_endian") is not False
        root = reader.read()
        described = {d.key: d for reference in reader.persistent if (d := storage_key(reference)) is not None}
        storages = _stored_after(data, reader, described, little)

        def outside(reference: Persistent) -> Any:
            if (one := storage_key(reference)) is None:
                return reference
            whole = storages.get(one.key)
            if whole is None:
                raise InertError(f"the storage {one.key!r} is missing")
            if one.view is None:
                return Storage(one.kind, whole.content)
            first, count = one.view[1] * one.itemsize, one.view[2] * one.itemsize
            if first + count > whole.content.numel():
                raise InertError(f"the storage {one.key!r} is smaller than a view of it")
            return Storage(one.kind, whole.content[first : first + count])

        return self._content(reader, root, outside)


def _stored_after(
    data: memoryview, reader: InertReader, described: dict[str, StorageKey], little: bool
) -> dict[str, Storage]:
    """The storages behind the pickles of a file of the old format: a list of keys, then length and bytes of each."""
    keys = reader.read()
    if not isinstance(keys, list):
        raise InertError("the list of its storages is missing")
    storages: dict[str, Storage] = {}
    position = reader.position
    for key in keys:
        if (one := described.get(str(key) if isinstance(key, str | int) else "")) is None:
            raise InertError("it lists storages of which nothing is known")
        if position + 8 > len(data):
            raise InertError("it is cut short before its last storage")
        (count,) = struct.unpack_from("<q" if little else ">q", data, position)
        position += 8
        if not 0 <= count <= (len(data) - position) // one.itemsize:
            raise InertError(f"it is cut short: a storage of {count} elements is announced at byte {position}")
        content, memory = empty_bytes(count * one.itemsize)
        memory[:] = data[position : position + len(memory)]
        position += len(memory)
        swap_bytes(content, one.kind, little)
        storages[one.key] = Storage(one.kind, content)
    return storages


class _Archive:
    """The records of a zip file that torch wrote: stored as they are, none inside another."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        try:
            with zipfile.ZipFile(file) as opened:
                infos, end = opened.infolist(), opened.start_dir
        except Exception as error:  # damaged bytes make zipfile fail in many ways
            raise InertError(f"it is no whole zip file ({first_line(error)}); it may be cut short") from error
        roots = [info.filename.removesuffix("data.pkl") for info in infos if info.filename.endswith("/data.pkl")]
        root = min(roots, key=len, default=None)
        if root is None:
            raise InertError("it is a zip file, but without the data.pkl of a torch file")
        infos.sort(key=lambda info: info.header_offset)
        self._records: dict[str, zipfile.ZipInfo] = {}
        for info, following in zip(infos, [*(i.header_offset for i in infos[1:]), end], strict=True):
            first = info.header_offset
            if first < 0 or first + 30 + info.compress_size > following or info.filename in self._records:
                raise InertError(f"its record {info.filename[:80]!r} overlaps with others")
            self._records[info.filename] = info
        self._records = {n.removeprefix(root): info for n, info in self._records.items() if n.startswith(root)}

    def bytes_of(self, name: str, default: bytes | None = None) -> bytes:
        if name not in self._records and default is not None:
            return default
        return bytes(self.read_into(name).numpy().data)

    def read_into(self, name: str) -> torch.Tensor:
        """The bytes of a record, read once, into memory of torch's."""
        if name not in self._records:
            raise InertError(f"its record {name[:80]!r} is missing")
        info = self._records[name]
        if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size or info.flag_bits & 1:
            raise InertError(
                f"its record {name[:80]!r} is compressed, which torch never does; pack it again without (zip -0)"
            )
        self._file.seek(info.header_offset)
        header = self._file.read(30)
        if len(header) < 30 or header[:4] != b"PK\x03\x04":
            raise InertError(f"its record {name[:80]!r} is damaged")
        self._file.seek(info.header_offset + 30 + sum(struct.unpack_from("<HH", header, 26)))
        content, memory = empty_bytes(info.file_size)
        while memory:
            if not (count := self._file.readinto(memory)):  # type: ignore[attr-defined]
                raise InertError(f"its record {name[:80]!r} is cut short")
            memory = memory[count:]
        return content
