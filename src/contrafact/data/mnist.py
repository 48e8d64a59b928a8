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
    """

    name = "mnist"
    class_names = tuple(str(digit) for digit in range(10))

    destroyed_by: ClassVar[Mapping[str, tuple[str, ...]]] = {"flip": ("class",)}  # a mirrored 2 is no digit, or another
    subfolders = ("mnist", "MNIST")
    remedy = "download the four idx files of MNIST into one of these folders"
