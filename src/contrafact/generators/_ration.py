"""Building a stranger's network in the memory that its file can account for."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from torch.overrides import TorchFunctionMode

_FREE = 1 << 24
_MAKERS = frozenset(("empty", "zeros", "ones", "rand", "randn", "full"))
"""The functions of torch that networks take their weights and buffers from."""


class Ration(TorchFunctionMode):
    """Within it, torch makes at most so many new numbers.

    What a checkpoint's readers build follows from the shapes in it, and a layer's weights are as many as the product of
    what two other tensors claim.

    Args:
        file_bytes: size of the file; four times as many numbers, and 2**24 more, may be made.
    """

    def __init__(self, file_bytes: int) -> None:
        super().__init__()
        self._left = 4 * file_bytes + _FREE

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name, given = getattr(func, "__name__", ""), kwargs or {}
        if name in _MAKERS:
            sizes = args[:1] if name == "full" else args
            self._left -= _product([*sizes, given.get("size", ())])
            if self._left < 0:
                raise ValueError("its tensors' shapes describe a network far larger than the file")
        return func(*args, **given)


def _product(sizes: Iterable[Any]) -> int:
    count = 1
    for size in sizes:
        count *= _product(size) if isinstance(size, list | tuple) else max(int(size), 0)
    return count
