"""From inert records to values: tensors, arrays and the plain things that lie beside them in people's files.

Works on what :class:`contrafact.core.inert.InertReader` gives. A record whose maker is in the tables of this module (or
of :mod:`contrafact.core.inert_tensors`) becomes a value once its sizes have been checked against the bytes there are.
Every other record stays one: nobody can do harm with it, and whoever looks for weights passes it by.

What is built is charged to a budget that grows with the file, because a file may refer to the same bytes, or the same
tensor, any number of times.
"""

from __future__ import annotations

import argparse
import collections
import datetime
import pathlib
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch

from contrafact.core.inert_limits import Budget, checked_count
from contrafact.core.inert_records import (
    Global,
    InertError,
    Persistent,
    Record,
    Unhashed,
    encoded_bytes,
    latin_bytes,
)

MAX_DEPTH = 200
"""Of containers in containers; what lies deeper stays a record."""

_COMPOSITE = frozenset({list, tuple, dict, Record, Persistent, memoryview})
_TOO_DEEP = Record(Global("contrafact", "nested_too_deep"), ())
_ITSELF = Record(Global("contrafact", "contains_itself"), ())
_ITEM_COST = 100
"""Bytes that an entry of a container is taken to need."""

_ARRAY_TYPES = frozenset(
    ("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "c8", "c16")
)  # never objects, structures or texts


class Values:
    """Turns the content of one pickle into values.

    Args:
        budget: what may be built.
        finish: called with each record that stays one, its parts being values already; gives what to put in its place.
        makers: further makers, by module and name: given the record, its value or the record itself.
        outside: the value of a reference to something outside the pickle.
    """

    def __init__(
        self,
        budget: Budget,
        finish: Callable[[Record], Any],
        makers: dict[tuple[str, str], Callable[[Record], Any]],
        outside: Callable[[Persistent], Any],
        names: Callable[[Global], Any],
    ) -> None:
        self._budget = budget
        self._finish = finish
        self._outside = outside
        self._name = names
        self._makers = {**self._plain_makers(), **makers}
        self._done: dict[int, Any] = {}

    def of(self, root: Any) -> Any:
        """The content as values; lists and dicts are changed in place, a part of itself is cut off.

        Raises:
            InertError: sizes that contradict each other, or more than the budget.
        """
        done, entered, todo = self._done, set[int](), [root]
        while todo:
            node = todo[-1]
            if type(node) not in _COMPOSITE or id(node) in done:
                todo.pop()
            elif id(node) in entered:
                todo.pop()
                entered.discard(id(node))
                done[id(node)] = self._made(node)
            elif len(entered) >= MAX_DEPTH:
                todo.pop()
                done[id(node)] = _TOO_DEEP
            else:
                entered.add(id(node))
                if type(node) is Record and type(node.arguments) is tuple:
                    # Calls may share their arguments; those that do not take two bytes of the file for each.
                    self._budget.charge(32 * len(node.arguments))
                todo.extend(
                    part
                    for part in _parts(node)
                    if type(part) in _COMPOSITE and id(part) not in done and id(part) not in entered
                )
        return self._value(root)

    def _value(self, node: Any) -> Any:
        if type(node) is Global:
            return self._name(node)
        if type(node) not in _COMPOSITE:
            return node
        value = self._done.get(id(node), _ITSELF)
        if isinstance(value, torch.Tensor):
            # Charged each time: readers copy tensors as often as they are named.
            self._budget.charge(value.numel() * value.element_size())
        return value

    def _made(self, node: Any) -> Any:
        kind, value = type(node), self._value
        if kind is list:
            node[:] = [value(part) for part in node]
            return node
        if kind is dict:
            for key, part in node.items():
                node[key] = value(part)
            return node
        if kind is tuple:
            return tuple([value(part) for part in node])
        if kind is memoryview:
            return bytes(node)
        if kind is Persistent:
            node.id = value(node.id)
            return self._outside(node)
        return self._of_record(node)

    def _of_record(self, record: Record) -> Any:
        value = self._value
        record.arguments, record.state = self._handed(record.arguments), self._handed(record.state)
        if type(record.maker) is not Global:
            record.maker = value(record.maker)
        if record.items is not None:
            record.items = [value(part) for part in record.items]
        if record.pairs is not None:
            record.pairs = {key: value(part) for key, part in record.pairs.items()}
        _unwrap(record)
        made: Any = record
        if type(record.maker) is Global and type(record.arguments) is tuple:
            maker = self._makers.get((record.maker.module, record.maker.name))
            if maker is not None:
                try:
                    made = maker(record)
                except (TypeError, ValueError, OverflowError, RuntimeError) as error:
                    raise InertError(f"its {record.name} makes no sense ({error})") from error
        return self._finish(record) if made is record else made

    def _handed(self, node: Any) -> Any:
        """What a maker is given: long byte strings stay views of the file, so that tensors are copied but once."""
        if type(node) is not tuple:
            return node if type(node) is memoryview else self._value(node)
        return tuple([part if type(part) is memoryview else self._value(part) for part in node])

    # What is known besides tensors. Each gives the record back where its arguments are not the usual ones.

    def _plain_makers(self) -> dict[tuple[str, str], Callable[[Record], Any]]:
        known: dict[tuple[str, str], Callable[[Record], Any]] = {
            ("_codecs", "encode"): self._encoded,
            ("dnnlib.util", "EasyDict"): self._dict,
            ("dnnlib", "EasyDict"): self._dict,
            ("collections", "defaultdict"): lambda record: dict(record.pairs or {}),
            ("collections", "OrderedDict"): self._ordered_dict,
            ("collections", "Counter"): self._dict,
            ("collections", "deque"): self._list,
            ("argparse", "Namespace"): _namespace,
            ("types", "SimpleNamespace"): _namespace,
            ("datetime", "datetime"): lambda record: _moment(record, datetime.datetime, 10),
            ("datetime", "date"): lambda record: _moment(record, datetime.date, 4),
            ("numpy", "dtype"): _array_type,
        }
        for module in ("builtins", "__builtin__"):
            known |= {
                (module, "set"): lambda record: self._set(record, set),
                (module, "frozenset"): lambda record: self._set(record, frozenset),
                (module, "complex"): _complex,
                (module, "slice"): _slice,
                (module, "bytearray"): self._bytes,
                (module, "bytes"): self._bytes,
            }
        for module in ("numpy.core", "numpy._core"):
            known |= {
                (f"{module}.multiarray", "_reconstruct"): self._array,
                (f"{module}.multiarray", "scalar"): self._array_scalar,
                (f"{module}.numeric", "_frombuffer"): self._array_of_buffer,
            }
        for module in ("pathlib", "pathlib._local"):
            for name in ("PosixPath", "PurePosixPath", "WindowsPath", "PureWindowsPath"):
                known[module, name] = self._path
        return known

    def _encoded(self, record: Record) -> Any:
        match record.arguments:
            case (str() as text, str()):
                self._budget.charge(len(text))
        content = encoded_bytes(record)
        return record if content is None else content

    def _bytes(self, record: Record) -> Any:
        match record.arguments:
            case (bytes() | memoryview() as content,):
                self._budget.charge(len(content))
                return bytes(content)
            case (str() as text, "latin-1" | "latin1"):
                self._budget.charge(len(text))
                return latin_bytes(text)
            case ():
                return b""
        return record

    def _dict(self, record: Record) -> Any:
        match record.arguments:
            case ():
                base: dict[Any, Any] = {}
            case (dict() as base,):
                self._budget.charge(_ITEM_COST * len(base))
            case _:
                return record
        return {**base, **(record.pairs or {})}

    def _ordered_dict(self, record: Record) -> Any:
        made: collections.OrderedDict[Any, Any] = collections.OrderedDict()
        match record.arguments:
            case (list() as pairs,):  # as Python 2 wrote them
                self._budget.charge(_ITEM_COST * len(pairs))
                for pair in pairs:
                    if not isinstance(pair, (list, tuple)) or len(pair) != 2 or not isinstance(pair[0], str | bytes):
                        return record
                    made[pair[0]] = pair[1]
            case ():
                pass
            case _:
                return record
        made.update(record.pairs or {})
        if isinstance(record.state, dict) and isinstance(metadata := record.state.get("_metadata"), dict):
            made._metadata = metadata  # type: ignore[attr-defined]  # versions that torch's load_state_dict looks at
        return made

    def _list(self, record: Record) -> Any:
        match record.arguments:
            case () | ((),) | ((), int() | None):
                return record.items or []
        return record

    def _set(self, record: Record, kind: type) -> Any:
        match record.arguments:
            case (list() | tuple() as items,):
                self._budget.charge(_ITEM_COST * len(items))
                return kind(part if isinstance(part, str | float | bool | None) else _small(part) for part in items)
            case ():
                return kind()
        return record

    def _path(self, record: Record) -> Any:
        parts = record.arguments
        if not all(type(part) is str for part in parts) or sum(map(len, parts)) > 1 << 16:
            return record
        self._budget.charge(_ITEM_COST + sum(map(len, parts)))
        windows = "Windows" in record.maker.name
        return pathlib.PureWindowsPath(*parts) if windows else pathlib.PurePosixPath(*parts)

    # Arrays.

    def _array(self, record: Record) -> Any:
        match record.arguments, record.state:
            case (
                (Global(module="numpy", name="ndarray"), *_),
                (int(), tuple() as shape, np.dtype() as kind, int() as fortran, bytes() | memoryview() | str() as data),
            ):
                return self._filled(data, kind, shape, "F" if fortran else "C")
        return record

    def _array_of_buffer(self, record: Record) -> Any:
        match record.arguments:
            case (bytes() | memoryview() as data, np.dtype() as kind, tuple() as shape, "C" | "F" as order) | (
                bytes() | memoryview() as data,
                np.dtype() as kind,
                tuple() as shape,
                "C" | "F" as order,
                None,
            ):
                return self._filled(data, kind, shape, order)
            case (bytes() | memoryview() as data, np.dtype() as kind, tuple() as shape, "K", tuple() as axes):
                if sorted(axes) != list(range(len(shape))):
                    raise InertError(f"an array of shape {list(shape)} has the axes {list(axes)[:32]}")
                return self._filled(data, kind, shape, "C").transpose(axes)
        return record

    def _array_scalar(self, record: Record) -> Any:
        match record.arguments:
            case (np.dtype() as kind, bytes() | str() as data):
                return self._filled(data, kind, (), "C").item()
        return record

    def _filled(self, data: bytes | memoryview | str, kind: np.dtype[Any], shape: tuple[Any, ...], order: Any) -> Any:
        content = latin_bytes(data) if isinstance(data, str) else data
        count = checked_count(shape)
        if count * kind.itemsize != len(content):
            raise InertError(f"an array of {len(content)} bytes cannot be {kind} of shape {list(shape)}")
        self._budget.charge(len(content) + _ITEM_COST)
        array = np.empty(count, kind)
        array.view(np.uint8)[:] = np.frombuffer(content, np.uint8)
        return array.reshape(shape, order=order)


def _parts(node: Any) -> Iterable[Any]:
    kind = type(node)
    if kind is dict:
        return list(node.values())
    if kind is memoryview:
        return ()
    if kind is Persistent:
        return (node.id,)
    if kind is Record:
        pairs = node.pairs.values() if node.pairs is not None else ()
        return [
            part
            for handed in (node.arguments, node.state)
            for part in (handed if type(handed) is tuple else (handed,))
            if type(part) is not memoryview
        ] + [node.maker, *(node.items or ()), *pairs]
    return list(node)


def _unwrap(record: Record) -> None:
    """Protocols 0 and 1 make objects through helper functions; afterwards the record names the class itself."""
    if type(record.maker) is Global and record.maker.module in ("copyreg", "copy_reg"):
        match record.maker.name, record.arguments:
            case "_reconstructor", (Global() as cls, Global(), base):
                record.maker, record.arguments = cls, () if base is None else (base,)
            case (("__newobj__" | "__newobj_ex__"), (Global() as cls, *rest)):
                record.maker, record.arguments = cls, tuple(rest)


def _small(part: Any) -> Any:
    return part if (type(part) is int and abs(part) < 1 << 60) or type(part) is bytes else Unhashed()


def _namespace(record: Record) -> Any:
    made = argparse.Namespace()
    for source in (record.state, record.pairs):
        if isinstance(source, dict):
            made.__dict__.update({k: v for k, v in source.items() if isinstance(k, str) and not k.startswith("__")})
    return made


def _moment(record: Record, kind: type[Any], length: int) -> Any:
    match record.arguments:
        case (bytes() as content,) if len(content) == length:
            try:
                return kind(content)
            except (TypeError, ValueError):
                return record
    return record


def _complex(record: Record) -> Any:
    match record.arguments:
        case (int() | float() as real, int() | float() as imaginary):
            try:
                return complex(real, imaginary)
            except OverflowError:
                return record
    return record


def _slice(record: Record) -> Any:
    parts = record.arguments
    return slice(*parts) if len(parts) == 3 and all(p is None or type(p) is int for p in parts) else record


def _array_type(record: Record) -> Any:
    match record.arguments, record.state:
        case (str() as text, *_), (int(), "<" | ">" | "|" | "=" as order, None, None, None, *_):
            return np.dtype(order + text) if text in _ARRAY_TYPES else record
        case (str() as text, *_), None:
            return np.dtype(text) if text in _ARRAY_TYPES else record
    return record
