"""STL-10: 13,000 labelled photographs of ten classes and 100,000 unlabelled ones, 96 x 96.

Coates, Lee & Ng, "An Analysis of Single-Layer Networks in Unsupervised Feature Learning", AISTATS 2011,
https://cs.stanford.edu/~acoates/stl10. The binary files hold images column by column, labels from 1.

Shape suffixes: N images, C channels, H height, W width.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

from contrafact.core.dataset import ImageDataset, IntArray, check_indices
from contrafact.data._files import PathLike, StoredArray, data_folder
from contrafact.data._pixels import check_size, to_images

FOLDER = "stl10_binary"
FILES = (FOLDER, "train_X.bin")
SIDE, RECORD = 96, 3 * 96 * 96


class STL10(ImageDataset):
    """STL-10: 5,000 training, 8,000 test and 100,000 unlabelled images ``(3, size, size)``, read from the file.

    Args:
        path: folder of the binary files, or the one that holds ``stl10_binary``; by default the data folder's.
        split: ``train``, ``test``, or ``unlabelled`` (without labels).
        size: 96, 48, 32 or 24: smaller by area averages.

    Raises:
        ValueError: unknown split or size, no files, or damaged ones.

    >>> from pathlib import Path
    >>> import contrafact as cf
    >>> Path("stl").mkdir()
    >>> _ = Path("stl/train_X.bin").write_bytes(bytes(2 * 3 * 96 * 96))
    >>> _ = Path("stl/train_y.bin").write_bytes(bytes([1, 10]))
    >>> images = cf.data.STL10("stl", size=32)
    >>> [images.class_names[label] for label in images.labels], images.image_shape
    (['airplane', 'truck'], (3, 32, 32))
    """

    name = "stl10"
    class_names: tuple[str, ...] = ("airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck")

    def __init__(self, path: PathLike | None = None, split: str = "train", size: int = SIDE) -> None:
        if split not in ("train", "test", "unlabelled"):
            raise ValueError(f"stl10: split must be one of train, test, unlabelled; got {split!r}")
        side = check_size("stl10", size, (96, 48, 32, 24))
        self.image_shape, self.split = (3, side, side), split
        stem = "unlabeled" if split == "unlabelled" else split
        file = _find(None if path is None else Path(path).expanduser(), f"{stem}_X.bin")
        length = file.stat().st_size
        if not length or length % RECORD:
            raise ValueError(
                f"stl10: {file} must hold images of {RECORD} bytes, found {length} bytes; it is truncated or damaged, "
                "get it again"
            )
        self._images = StoredArray(file, 0, (length // RECORD, 3, SIDE, SIDE), np.uint8)
        self.source = str(file.parent)
        self._labels: IntArray | None = None
        if split == "unlabelled":
            self.class_names = ()
        else:
            self._labels = _read_labels(file.with_name(f"{stem}_y.bin"), len(self))

    def parts(self) -> tuple[STL10, STL10] | None:
        if self.split == "unlabelled":
            return None
        other = STL10(self.source, "test" if self.split == "train" else "train", self.image_shape[1])
        return (self, other) if self.split == "train" else (other, self)

    @property
    def labels(self) -> IntArray | None:
        return self._labels

    def __len__(self) -> int:
        return len(self._images)

    def batch(self, indices: IntArray | Sequence[int] | Tensor) -> Tensor:
        columns_NCWH = self._images.rows(check_indices(self, indices))
        return to_images(columns_NCWH.transpose(0, 3, 2, 1), self.image_shape[1])


def _find(given: Path | None, name: str) -> Path:
    roots = [data_folder(), data_folder() / "stl10"] if given is None else [given, given.parent]
    for place in (place for root in roots for place in (root, root / FOLDER)):
        if (place / name).is_file():
            return place / name
    looked = str(given) if given is not None else f"{roots[0]} and {roots[1]}"
    raise ValueError(
        f"stl10: found no {name} in {looked}; unpack stl10_binary.tar.gz of https://cs.stanford.edu/~acoates/stl10 "
        "there, or pass path="
    )


def _read_labels(file: Path, count: int) -> IntArray:
    if not file.is_file():
        raise ValueError(f"stl10: {file} is missing; labels must lie beside the images")
    labels = np.fromfile(file, dtype=np.uint8, count=count + 1).astype(np.int64) - 1
    if len(labels) != count or labels.min(initial=0) < 0 or labels.max(initial=0) > 9:
        raise ValueError(
            f"stl10: {file} must hold a label from 1 to 10 for each of {count} images, found {len(labels)} labels"
            + (f" from {labels.min() + 1} to {labels.max() + 1}" if len(labels) else "")
        )
    return labels
