"""The header of numpy's file format, read within bounds: a header may claim any size and be of any length."""

from __future__ import annotations

import io
import math
from typing import IO, Any

import numpy as np

from contrafact.core.foreign import first_line

_LONGEST_HEADER = 10_000
_MOST_DIMENSIONS = 32


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
