"""What a stranger's file may cost: bytes built from it, and the shapes it may claim."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from contrafact.core.inert_records import InertError

MAX_DIMENSIONS = 32


class Budget:
    """Bytes that may be built from one file.

    Args:
        file_bytes: size of the file.
    """

    def __init__(self, file_bytes: int) -> None:
        self._left = 16 * file_bytes + (256 << 20)

    def charge(self, count: int) -> None:
        """Take ``count`` bytes.

        Raises:
            InertError: fewer are left.
        """
        self._left -= count
        if self._left < 0:
            raise InertError("its content would unfold to many times its size")


def checked_count(shape: Iterable[Any]) -> int:
    """Number of elements of a shape that a file gives.

    Raises:
        InertError: it is no shape, or one beyond all memory.
    """
    sides = list(shape)
    if len(sides) > MAX_DIMENSIONS or not all(type(side) is int and 0 <= side < 1 << 60 for side in sides):
        raise InertError("a tensor or array has sides that are no whole numbers, or too many")
    if math.prod(max(side, 1) for side in sides) >= 1 << 60:
        raise InertError(f"a tensor or array has the impossible shape {sides}")
    return math.prod(sides)
