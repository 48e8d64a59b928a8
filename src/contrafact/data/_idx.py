"""The idx format of MNIST and its successors, plain or gzipped, and datasets made of it.

LeCun, http://yann.lecun.com/exdb/mnist: two zero bytes, a type byte (8: unsigned byte), the number of dimensions, each
dimension as a big-endian 32-bit number, then the values.

Shape suffixes: N images, H height, W width.
"""

from __future__ import annotations

import gzip
import math
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch.nn.functional as F
from torch import Tensor

from contrafact.core.dataset import ImageDataset, IntArray, check_indices
from contrafact.data._files import PathLike, data_folder
from contrafact.data._pixels import check_size, to_images

SIDE = 28
SPLITS: Mapping[str, tuple[str, ...]] = {"train": ("train",), "test": ("t10k",), "all": ("train", "t10k")}
FILES = tuple(
    f"{prefix}-{kind}-ubyte{suffix}"
    for prefix in SPLITS["all"]
    for kind in ("images-idx3", "labels-idx1")
    for suffix in (".gz", "")
)
"""Names of the published files; with a dot before ``idx`` they are found too."""

_MOST_BYTES = 2**28
"""More than five times MNIST."""
_FIRST_TRAIN_LABELS = {"mnist": (5, 0, 4, 1, 9, 2, 1, 3), "fashion-mnist": (9, 0, 0, 3, 0, 2, 7, 2)}


def read_idx(dataset: str, file: Path, dimensions: int) -> npt.NDArray[np.uint8]:
    """The bytes of an idx file, shaped as its header says.

    Args:
        dataset: the dataset's name, for errors.
        file: the file; gzipped when its name ends in ``.gz``.
        dimensions: how many dimensions it must have.

    Raises:
        ValueError: damaged compression, another magic number, or another length than the header's.
    """
    magic, start = bytes([0, 0, 8, dimensions]), 4 + 4 * dimensions
    packed = file.suffix == ".gz"
    try:
        with gzip.open(file) if packed else file.open("rb") as stream:
            head = stream.read(start)
            if head[:4] != magic:
                raise ValueError(
                    f"{dataset}: {file} must start with the bytes {magic.hex(' ')} (idx, unsigned bytes, {dimensions} "
                    f"dimensions), found {head[:4].hex(' ') or 'nothing'}"
                )
            shape = tuple(int(side) for side in np.frombuffer(head[4:].ljust(4 * dimensions, b"\0"), dtype=">u4"))
            count = math.prod(shape)
            # The header is a stranger's: what it claims bounds what is unpacked, and is bounded itself.
            if count > _MOST_BYTES:
                raise ValueError(
                    f"{dataset}: {file} claims the shape {shape}, {count / 1e9:.2f} GB; at most "
                    f"{_MOST_BYTES / 1e9:.2f} GB are read into memory"
                )
            data = stream.read(count)
            found = len(head) + len(data) + (len(stream.read(1)) if packed else _left(file, start + count))
    except (OSError, EOFError, zlib.error) as error:
        if not packed:
            raise
        raise ValueError(f"{dataset}: {file} is not a complete gzip file ({error}); get it again") from error
    if found != start + count:
        more = " or more" if packed and found > start + count else ""
        raise ValueError(
            f"{dataset}: {file} must hold {start + count} bytes for its shape {shape}, found {found}{more}; it is "
            "truncated or damaged, get it again"
        )
    return np.frombuffer(data, dtype=np.uint8).reshape(shape)


def _left(file: Path, read: int) -> int:
    return max(0, file.stat().st_size - read)


class IdxImages(ImageDataset):
    """Labelled grey 28 x 28 images in MNIST's four files; whole in memory (55 MB).

    Args:
        path: folder of the four files, or one of them; by default the first place known to hold them.
        split: ``train``, ``test`` or ``all`` (train, then test).
        size: 28, or 32: two black pixels added on each side.

    Attributes:
        subfolders: where in the data folder to look without ``path``; ``raw`` in them too, torchvision's layout.
        system_folders: where to look after that.
        remedy: how to get the files, for the error when there are none.

    Raises:
        ValueError: unknown split or size, no files, damaged ones, or those of a look-alike dataset.
    """

    subfolders: tuple[str, ...]
    system_folders: tuple[Path, ...] = ()
    remedy: str

    def __init__(self, path: PathLike | None = None, split: str = "train", size: int = 28) -> None:
        if split not in SPLITS:
            raise ValueError(f"{self.name}: split must be one of {', '.join(SPLITS)}; got {split!r}")
        self.image_shape = (1, check_size(self.name, size, (28, 32)), size)
        folder = self._find_folder() if path is None else Path(path).expanduser()
        if folder.is_file():
            folder = folder.parent
        if not folder.is_dir():
            raise ValueError(f"{self.name}: {folder} is not a folder; expected the one with {FILES[0]} and its like")
        parts = [_read_part(self.name, folder, prefix) for prefix in SPLITS[split]]
        self._images_NHW = np.concatenate([images for images, _ in parts])
        self._labels = np.concatenate([labels for _, labels in parts]).astype(np.int64)
        self._refuse_look_alikes(folder, split)
        self.split = split
        self.source = str(folder)

    def parts(self) -> tuple[IdxImages, IdxImages] | None:
        if self.split == "all":
            return None
        other = type(self)(self.source, "test" if self.split == "train" else "train", self.image_shape[1])
        return (self, other) if self.split == "train" else (other, self)

    def _find_folder(self) -> Path:
        own = [data_folder() / name for name in self.subfolders]
        folders = [*own, *(folder / "raw" for folder in own), *self.system_folders]
        for folder in folders:
            if idx_file(folder, "train", "images-idx3") is not None:
                return folder
        looked = ", ".join(map(str, folders))
        raise ValueError(f"{self.name}: found no {FILES[0]} in {looked}; {self.remedy}, or pass path=")

    def _refuse_look_alikes(self, folder: Path, split: str) -> None:
        """The sets share file names and shapes, so their first labels tell them apart."""
        first = tuple(int(label) for label in self._labels[:8])
        for other, labels in _FIRST_TRAIN_LABELS.items():
            if split != "test" and other != self.name and first == labels:
                raise ValueError(f"{self.name}: the files in {folder} are those of {other}; load them as {other}")
        if self._labels.max(initial=0) >= len(self.class_names):
            raise ValueError(
                f"{self.name}: labels in {folder} must lie in 0 to {len(self.class_names) - 1}, found "
                f"{self._labels.max()}; the files belong to another dataset"
            )

    @property
    def labels(self) -> IntArray:
        return self._labels

    def __len__(self) -> int:
        return len(self._labels)

    def batch(self, indices: IntArray | Sequence[int] | Tensor) -> Tensor:
        images = to_images(self._images_NHW[check_indices(self, indices)][..., None], SIDE)
        border = (self.image_shape[1] - SIDE) // 2
        return F.pad(images, (border,) * 4) if border else images


def idx_file(folder: Path, prefix: str, kind: str) -> Path | None:
    names = [f"{prefix}-{spelling}-ubyte" for spelling in (kind, kind.replace("-", "."))]
    files = [folder / f"{name}{suffix}" for name in names for suffix in (".gz", "")]
    return next((file for file in files if file.is_file()), None)


def _read_part(dataset: str, folder: Path, prefix: str) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Images ``(N, 28, 28)`` and labels ``(N,)`` of one split."""
    arrays = []
    for kind, dimensions in (("images-idx3", 3), ("labels-idx1", 1)):
        file = idx_file(folder, prefix, kind)
        if file is None:
            raise ValueError(f"{dataset}: {folder} holds no {prefix}-{kind}-ubyte.gz (or the same without .gz)")
        arrays.append(read_idx(dataset, file, dimensions))
    images, labels = arrays
    if images.shape[1:] != (SIDE, SIDE):
        raise ValueError(f"{dataset}: images in {folder} must be 28 x 28, found shape {images.shape}")
    if len(images) != len(labels) or not len(images):
        raise ValueError(
            f"{dataset}: {folder} holds {len(images)} {prefix} images and {len(labels)} labels; there must be one each"
        )
    return images, labels
