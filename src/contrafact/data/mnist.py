"""MNIST: 70,000 handwritten digits, 28 x 28, grey, ten classes.

LeCun, Bottou, Bengio & Haffner, "Gradient-Based Learning Applied to Document Recognition", Proc. IEEE 1998.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from contrafact.data import _idx

FILES = _idx.FILES


class MNIST(_idx.IdxImages):
    """MNIST: 60,000 training and 10,000 test images ``(1, size, size)`` with labels.

    Args:
        path: folder of the four idx files, gzipped or not. By default the data folder's ``mnist``.
        split: ``train``, ``test`` or ``all`` (train, then test).
        size: 28, or 32: two black pixels added on each side.

    Raises:
        ValueError: unknown split or size, no files, or damaged ones.

    >>> from pathlib import Path
    >>> import contrafact as cf
    >>> import numpy as np
    >>> Path("idx").mkdir()
    >>> for kind, array in (("images-idx3", np.zeros((2, 28, 28), "u1")), ("labels-idx1", np.array([7, 2], "u1"))):
    ...     head = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    ...     _ = Path(f"idx/train-{kind}-ubyte").write_bytes(head + array.tobytes())
    >>> digits = cf.data.MNIST("idx", size=32)
    >>> digits.labels.tolist(), digits.image_shape
    ([7, 2], (1, 32, 32))
    """

    name = "mnist"
    class_names = tuple(str(digit) for digit in range(10))

    destroyed_by: ClassVar[Mapping[str, tuple[str, ...]]] = {"flip": ("class",)}  # a mirrored 2 is no digit, or another
    subfolders = ("mnist", "MNIST")
    remedy = "download the four idx files of MNIST into one of these folders"
