"""STL-10's binary files: 96 x 96 colour images of ten classes.

Coates, Lee & Ng, "An Analysis of Single-Layer Networks in Unsupervised Feature Learning", AISTATS 2011,
https://cs.stanford.edu/~acoates/stl10: bytes, channel by channel, each channel column by column; labels 1 to 10.

Shape suffixes: N images, H height, W width, C channels.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from contrafact.core.dataset import IntArray
from contrafact.data._files import StoredArray

SIDE = 96
CLASSES = ("airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck")
IMAGE_BYTES = 3 * SIDE * SIDE


def stl10_files(folder: Path, split: str) -> tuple[Path, Path]:
    """Image and label file of a labelled split (``train`` or ``test``) in a folder."""
    return folder / f"{split}_X.bin", folder / f"{split}_y.bin"


def find_stl10(root: Path, split: str) -> Path | None:
    """The folder of a labelled split's images: ``root`` or a usual subfolder; None when there is none."""
    folders = (root, *(root / name for name in ("stl10", "stl10_binary", "STL10", "stl10/stl10_binary")))
    return next((folder for folder in folders if stl10_files(folder, split)[0].is_file()), None)


def open_stl10(images: Path) -> StoredArray:
    """The images of a file as stored, ``(N, 3, 96 columns, 96 rows)`` bytes, read at random; see :func:`upright`.

    Raises:
        ValueError: not a whole number of images.
    """
    size = images.stat().st_size
    if not size or size % IMAGE_BYTES:
        raise ValueError(
            f"stl10: {images} must hold {IMAGE_BYTES} bytes an image, found {size} bytes in all; it is truncated or "
            "another set's, get it again"
        )
    return StoredArray(images, 0, (size // IMAGE_BYTES, 3, SIDE, SIDE), np.uint8)


def upright(stored: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Stored images ``(N, 3, columns, rows)`` as ``(N, H, W, 3)``."""
    return stored.transpose(0, 3, 2, 1)


def read_stl10_labels(labels: Path, count: int) -> IntArray:
    """Classes 0 to 9 of ``count`` images.

    Raises:
        ValueError: no such file, another number of labels, or one outside 1 to 10.
    """
    if not labels.is_file():
        raise ValueError(f"stl10: {labels} does not exist; put it beside its images")
    stored = np.frombuffer(labels.read_bytes(), np.uint8)
    if len(stored) != count or not len(stored) or stored.min() < 1 or stored.max() > len(CLASSES):
        span = f"{stored.min()} to {stored.max()}" if len(stored) else "nothing"
        raise ValueError(
            f"stl10: {labels} must hold {count} labels from 1 to {len(CLASSES)}, found {len(stored)}, {span}"
        )
    return stored.astype(np.int64) - 1
