"""Digits: 1,797 handwritten digits, 8 x 8, in 17 greys, that come with scikit-learn.

Alpaydin & Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository, 1998,
https://doi.org/10.24432/C50P49 (CC BY 4.0): its test part, by thirteen people.

Shape suffixes: N images, H height, W width.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from torch import Tensor

from contrafact.core.dataset import ImageDataset, IntArray, check_indices
from contrafact.data._files import PathLike, find_file
from contrafact.data._pixels import check_size, enlarge, to_images

FILES = ("digits.csv.gz", "optdigits.tes")
"""scikit-learn's name and UCI's; both hold the same lines: 64 pixels from 0 to 16, then the digit."""
SIDE, WHITE = 8, 16
PARTS = ("all", "train", "test")

_TEST = 360
_MOST_BYTES = 2**22
"""Eight times the published file."""


class Digits(ImageDataset):
    """Handwritten digits, 1,797 grey images ``(1, size, size)`` with labels.

    Args:
        path: ``digits.csv.gz`` or ``optdigits.tes``, or a folder that holds one. By default it is looked for in the
            data folder, then scikit-learn's own is taken.
        split: ``all``, ``test`` (the last 360) or ``train`` (the others).
        size: 8, or 16 or 32: enlarged, bilinearly.

    Raises:
        ValueError: another size or split, no file at ``path``, or one that holds something else.

    >>> digits = Digits()
    >>> len(digits), digits.image_shape, digits.labels[:5].tolist()
    (1797, (1, 8, 8), [0, 1, 2, 3, 4])
    """

    name = "digits"
    class_names = tuple("0123456789")
    destroyed_by: ClassVar[Mapping[str, tuple[str, ...]]] = {"flip": ("class",)}

    def __init__(self, path: PathLike | None = None, split: str = "all", size: int = SIDE) -> None:
        if split not in PARTS:
            raise ValueError(f"{self.name}: split must be one of {', '.join(PARTS)}; got {split!r}")
        self.image_shape = (1, check_size(self.name, size, (SIDE, 16, 32)), size)
        file = find_file(self.name, path, FILES)
        pixels_NHW, labels = _scikit_learns() if file is None else _read(file)
        part = {"all": slice(None), "train": slice(None, -_TEST), "test": slice(-_TEST, None)}[split]
        self._pixels_NHW, self._labels = pixels_NHW[part], labels[part]
        self.split, self._path = split, path
        self.source = "scikit-learn" if file is None else str(file)

    def __len__(self) -> int:
        return len(self._labels)

    @property
    def labels(self) -> IntArray:
        return self._labels

    def parts(self) -> tuple[Digits, Digits] | None:
        if self.split == "all":
            return None
        other = Digits(self._path, "test" if self.split == "train" else "train", self.image_shape[1])
        return (self, other) if self.split == "train" else (other, self)

    def batch(self, indices: IntArray | Sequence[int] | Tensor) -> Tensor:
        images = to_images(self._pixels_NHW[check_indices(self, indices)][..., None], SIDE, WHITE)
        return enlarge(images, self.image_shape[1])


def _scikit_learns() -> tuple[npt.NDArray[np.uint8], IntArray]:
    from sklearn.datasets import load_digits  # a second to import

    pixels, labels = load_digits(return_X_y=True)
    return pixels.reshape(-1, SIDE, SIDE).astype(np.uint8), labels.astype(np.int64)


def _read(file: Path) -> tuple[npt.NDArray[np.uint8], IntArray]:
    """Pixels ``(N, 8, 8)`` and labels ``(N,)`` of a file of lines."""
    try:
        with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as stream:
            lines = stream.read(_MOST_BYTES).split()
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(f"digits: {file} is not a complete gzip file ({error}); get it again") from error
    values = _numbers(lines)
    if values is None or (values < 0).any() or (values > (*[WHITE] * SIDE**2, 9)).any():
        found = f"{len(lines)} lines{' of something else' if lines else ''}"
        raise ValueError(
            f"digits: {file} must hold more than {_TEST} lines of 64 pixels from 0 to {WHITE} and a digit, separated "
            f"by commas; found {found}; get it again"
        )
    return values[:, :-1].reshape(-1, SIDE, SIDE).astype(np.uint8), values[:, -1]


def _numbers(lines: list[bytes]) -> IntArray | None:
    """Whole numbers ``(lines, 65)``, None where the lines hold anything else or are too few."""
    if len(lines) <= _TEST or any(line.count(b",") != SIDE**2 for line in lines):
        return None
    try:
        return np.array([line.split(b",") for line in lines]).astype(np.int64)
    except (ValueError, OverflowError):
        return None
