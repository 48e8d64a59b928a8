"""Torch's tensors among inert records: how its files describe them, each size checked before anything is made.

The descriptions are those of ``torch/_utils.py`` and ``torch/serialization.py`` since torch 0.1.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from contrafact.core.inert_limits import Budget, checked_count
from contrafact.core.inert_records import Global, InertError, Persistent, Record

_ELEMENT_TYPES: dict[str, torch.dtype] = {
    name: getattr(torch, name)
    for name in (
        *("float64", "float32", "float16", "bfloat16", "complex32", "complex64", "complex128", "bool"),
        *("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
        *("float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz"),
    )
    if hasattr(torch, name)
} | {"float": torch.float32, "double": torch.float64, "half": torch.float16, "int": torch.int32, "long": torch.int64}

_STORAGE_TYPES: dict[str, torch.dtype] = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "ComplexDoubleStorage": torch.complex128,
    "ComplexFloatStorage": torch.complex64,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
    "UntypedStorage": torch.uint8,
    # Their tensors stay records, but their bytes must be stepped over in files of the old format.
    "QUInt8Storage": torch.uint8,
    "QInt8Storage": torch.int8,
    "QInt32Storage": torch.int32,
    "QUInt4x2Storage": torch.uint8,
    "QUInt2x4Storage": torch.uint8,
}

_DEVICES = ("cpu", "cuda", "mps", "xpu", "xla", "meta")


@dataclass(frozen=True, eq=False)
class Storage:
    """The bytes that tensors view.

    Attributes:
        kind: type of its elements.
        content: its bytes, a flat uint8 tensor.
    """

    kind: torch.dtype
    content: Tensor


@dataclass(frozen=True)
class StorageKey:
    """What a pickle says of a storage that lies outside it.

    Attributes:
        kind: type of its elements.
        key: where it lies.
        count: elements of the whole storage.
        view: ``(key, first element, elements)`` of the part that is meant, or None.
    """

    kind: torch.dtype
    key: str
    count: int
    view: tuple[str, int, int] | None

    @property
    def itemsize(self) -> int:
        return self.kind.itemsize


def storage_key(reference: Persistent) -> StorageKey | None:
    """What ``reference`` says of a storage, None if it is about something else.

    Raises:
        InertError: sizes that are none.
    """
    match reference.id:
        case ("storage", Global() as kind, str() | int() as key, _, int() as count, *rest):
            element = _STORAGE_TYPES.get(kind.name) if kind.module.partition(".")[0] == "torch" else None
            if element is None:
                return None
            view = None
            match rest:
                case [(str() | int() as view_key, int() as first, int() as length)]:
                    view = (str(view_key), first, length)
            if min(count, *(view[1:] if view else (0,))) < 0 or (view and sum(view[1:]) > count):
                raise InertError(f"the storage {str(key)[:80]!r} has impossible sizes")
            return StorageKey(element, str(key), count, view)
    return None


def element_type(name: Global) -> Any:
    """A dtype of torch for its name, other names as they are."""
    return _ELEMENT_TYPES.get(name.name, name) if name.module == "torch" else name


def empty_bytes(count: int) -> tuple[Tensor, memoryview]:
    """Room for ``count`` bytes of a file: the flat tensor, and its memory to read into."""
    content = torch.empty(count, dtype=torch.uint8)
    return content, content.numpy().data


def swap_bytes(content: Tensor, kind: torch.dtype, little_endian: bool) -> None:
    """Bring the bytes of a storage to this machine's order, in place."""
    width = kind.itemsize // 2 if kind.is_complex else kind.itemsize
    if width > 1 and little_endian != (sys.byteorder == "little"):
        whole = content.numel() // width * width
        content.numpy()[:whole].view(f"u{width}").byteswap(inplace=True)


class TensorMakers:
    """The records that describe tensors, by the names torch writes.

    Args:
        budget: what may be built.
        nested: reads the storage that a byte string holds, as torch pickles one by itself.
    """

    def __init__(self, budget: Budget, nested: Callable[[bytes | memoryview], Any]) -> None:
        self._budget = budget
        self._nested = nested
        utils = {
            "_rebuild_tensor": self._tensor,
            "_rebuild_tensor_v2": self._tensor,
            "_rebuild_tensor_v3": self._tensor_of_type,
            "_rebuild_parameter": _first,
            "_rebuild_parameter_with_state": _first,
            "_rebuild_device_tensor_from_cpu_tensor": _first,
            "_rebuild_device_tensor_from_numpy": _first,
            "_rebuild_xla_tensor": _first,
        }
        self.table: dict[tuple[str, str], Callable[[Record], Any]] = {
            **{("torch._utils", name): maker for name, maker in utils.items()},
            ("torch._tensor", "_rebuild_from_type_v2"): self._of_type,
            ("torch.tensor", "_rebuild_from_type_v2"): self._of_type,
            ("torch.storage", "_load_from_bytes"): self._of_bytes,
            ("torch", "Size"): _size,
            ("torch", "device"): _device,
        }
        for name in _STORAGE_TYPES:
            self.table["torch", name.replace("Storage", "Tensor")] = self._of_state

    def _tensor(self, record: Record) -> Any:
        match record.arguments:
            case (Storage() as storage, int() as offset, tuple() as size, tuple() as stride, *rest):
                if len(rest) > 2 and rest[2]:
                    return record  # conjugated or negated on access
                return self._view(storage, storage.kind, offset, size, stride)
        return record

    def _tensor_of_type(self, record: Record) -> Any:
        match record.arguments:
            case (Storage() as storage, int() as offset, tuple() as size, tuple() as stride, _, _, kind, *rest):
                if isinstance(kind, torch.dtype) and not any(rest):
                    return self._view(storage, kind, offset, size, stride)
        return record

    def _of_state(self, record: Record) -> Any:
        """As torch 0.3 and before wrote tensors."""
        match record.arguments, record.state:
            case (), (Storage() as storage, int() as offset, tuple() as size, tuple() as stride):
                return self._view(storage, storage.kind, offset, size, stride)
        return record

    def _of_type(self, record: Record) -> Any:
        match record.arguments:
            case (Global() as function, _, tuple() as arguments, *_):
                maker = self.table.get((function.module, function.name))
                if maker is not None and function.name.startswith("_rebuild") and maker != self._of_type:
                    plain = Record(function, arguments)
                    made = maker(plain)
                    return record if made is plain else made
        return record

    def _of_bytes(self, record: Record) -> Any:
        match record.arguments:
            case (bytes() | memoryview() as content,):
                self._budget.charge(len(content))
                return self._nested(content)
        return record

    def _view(
        self, storage: Storage, kind: torch.dtype, offset: int, size: tuple[Any, ...], stride: tuple[Any, ...]
    ) -> Tensor:
        count = checked_count(size)
        if not all(type(step) is int and 0 <= step < 1 << 60 for step in stride):
            raise InertError("a tensor has strides that are no whole numbers")
        elements = storage.content.numel() // kind.itemsize
        last = offset + sum((side - 1) * step for side, step in zip(size, stride, strict=True))
        if offset < 0 or (count and last >= elements):
            raise InertError(
                f"a tensor of shape {list(size)} begins at element {offset} of a storage of {elements}; it may be cut "
                "short"
            )
        self._budget.charge(count * kind.itemsize)
        whole = storage.content[: elements * kind.itemsize].view(kind)
        return whole.as_strided(size, stride, offset if count else 0)


def _first(record: Record) -> Any:
    match record.arguments:
        case (Tensor() as tensor, *_):
            return tensor
        case (np.ndarray() as array, *_):
            return torch.from_numpy(array)
    return record


def _size(record: Record) -> Any:
    match record.arguments:
        case (tuple() | list() as size,) if all(type(side) is int and abs(side) < 1 << 62 for side in size):
            return torch.Size(size)
    return record


def _device(record: Record) -> Any:
    match record.arguments:
        case (str() as kind,) | (str() as kind, int() | None) if kind in _DEVICES:
            index = record.arguments[1] if len(record.arguments) == 2 else None
            return torch.device(kind) if index is None or not 0 <= index < 128 else torch.device(kind, index)
    return record
