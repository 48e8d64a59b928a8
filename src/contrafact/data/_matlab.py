"""MATLAB 5 files, as far as an array of bytes needs: SciPy's reader is compiled code that damaged files can crash.

The format is MathWorks', "MAT-File Format", level 5: a header of 128 bytes, then variables, each as it is or deflated.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from itertools import islice
from typing import Literal, NamedTuple

import numpy as np

from contrafact.data._files import AnyArray

HEADER = 128
_UINT8, _MATRIX, _DEFLATED = 2, 14, 15  # types of data elements
_CLASSES = (
    *("", "cell", "struct", "object", "char", "sparse", "double", "single"),
    *("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "function", "opaque"),
)
_LOGICAL = 2  # flag of an array that holds truth values
_MOST_SIDES = 32

_Order = Literal["little", "big"]


class Variable(NamedTuple):
    """A variable of a file: what it says of itself, and its bytes, read no further than that.

    Attributes:
        name: its name.
        kind: its class, ``uint8`` or ``cell``.
        shape: its sides.
        data: the elements that follow.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    data: _Elements

    def bytes_array(self) -> AnyArray:
        """The values of a ``uint8`` array, first side fastest in the file, as everywhere in MATLAB.

        Raises:
            ValueError: its values are not as many bytes as its sides say.
        """
        kind, values = next(self.data, (0, b""))
        if kind != _UINT8 or len(values) != math.prod(self.shape):
            raise ValueError(f"{self.name!r} has {len(values)} bytes of values of type {kind}, expected {self.shape}")
        return np.frombuffer(values, np.uint8).reshape(self.shape, order="F")


def read_variables(content: bytes, most: int) -> Iterator[Variable]:
    """The variables of a MATLAB 5 file, one after the other; what has no name (a function's workspace) is left out.

    Args:
        content: the file.
        most: bytes that its variables may have, unpacked, all together.

    Raises:
        ValueError: another file, a damaged one, or one that unpacks to more.
    """
    if content[:6] != b"MATLAB":
        raise ValueError("no MATLAB header")
    order: _Order = "little" if content[126:HEADER] == b"IM" else "big"
    left = most
    for kind, whole in _Elements(content[HEADER:], order):
        variables = [(kind, whole)]
        if kind == _DEFLATED:
            unpacked = zlib.decompressobj().decompress(whole, left + 1)
            if len(unpacked) > left:
                raise ValueError(f"it unpacks to more than {most} bytes")
            variables = [*_Elements(unpacked, order)]
        for inner, part in variables:
            left -= len(part)
            if left < 0:
                raise ValueError(f"it unpacks to more than {most} bytes")
            if inner == _MATRIX and (variable := _described(part, order)) is not None:
                yield variable


def _described(part: bytes, order: _Order) -> Variable | None:
    elements = _Elements(part, order)
    head = [value for _, value in islice(elements, 3)]
    if len(head) < 3 or len(head[0]) < 8:
        return None
    flags, sides, name = head
    word = int.from_bytes(flags[:4], order)
    number, marks = word & 0xFF, word >> 8 & 0xFF
    shape = tuple(int.from_bytes(sides[i : i + 4], order, signed=True) for i in range(0, len(sides), 4))
    if not 0 < len(shape) <= _MOST_SIDES or min(shape) < 0:
        raise ValueError(f"a variable has the shape {shape[:_MOST_SIDES]}")
    kind = _CLASSES[number] if 0 < number < len(_CLASSES) else f"class {number}"
    return Variable(name.decode("latin-1"), "logical" if marks & _LOGICAL else kind, shape, elements)


class _Elements(Iterator[tuple[int, bytes]]):
    """Data elements one after the other: type and bytes of each.

    Raises:
        ValueError: an element that is longer than what is left.
    """

    def __init__(self, content: bytes, order: _Order) -> None:
        self._content, self._order, self._place = content, order, 0

    def __next__(self) -> tuple[int, bytes]:
        place, content = self._place, self._content
        if place + 8 > len(content):
            raise StopIteration
        kind = int.from_bytes(content[place : place + 4], self._order)
        size, begin = int.from_bytes(content[place + 4 : place + 8], self._order), place + 8
        if kind >> 16:  # up to four bytes lie in the tag itself
            kind, size, begin = kind & 0xFFFF, kind >> 16, place + 4
        end = begin + size
        if end > len(content) or (begin == place + 4 and size > 4):
            raise ValueError(f"it ends inside an element of {size} bytes")
        self._place = end if kind == _DEFLATED else end + -end % 8
        return kind, content[begin:end]
