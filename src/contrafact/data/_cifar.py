"""CIFAR's two published forms, python and binary batches, and datasets made of them. No code of a file is run.

Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009, https://www.cs.toronto.edu/~kriz/cifar.html.
A python batch is a pickle of a dict of bytes; it is read as inert records, from which only arrays are built.

Shape suffixes: N images, C channels, H height, W width.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from torch import Tensor

from contrafact.core.dataset import ImageDataset, IntArray, check_indices
from contrafact.core.foreign import reading
from contrafact.core.inert_files import read_inert
from contrafact.core.inert_records import InertError, Record
from contrafact.data._files import PathLike, data_folder
from contrafact.data._pixels import check_size, to_images

SIDE, PIXELS = 32, 3 * 32 * 32
SPLITS = ("train", "test", "all")
_MOST_RECORDS = 100_000
"""Twice the images of the largest file."""


def read_python_batch(dataset: str, file: Path, label_key: str) -> tuple[npt.NDArray[np.uint8], IntArray]:
    """Pixels ``(N, 3072)`` and labels ``(N,)`` of a python batch.

    Raises:
        ValueError: a file that is no such batch, or is damaged. Calls that it asks for are not made.
    """
    try:
        with reading(file, "CIFAR batch"):
            batch = read_inert(file).content
    except InertError as error:
        raise ValueError(f"{dataset}: {file} is damaged ({error}); get it again") from error
    batch = {_text(key): value for key, value in batch.items()} if isinstance(batch, dict) else {}
    pixels, labels = batch.get("data"), batch.get(label_key)
    if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.ndim != 2 or pixels.shape[1] != PIXELS:
        found = f"{pixels.dtype} {pixels.shape}" if isinstance(pixels, np.ndarray) else _kind(pixels)
        raise ValueError(f"{dataset}: {file} must hold 'data' of uint8 (N, {PIXELS}), found {found}")
    if not isinstance(labels, list) or len(labels) != len(pixels) or not all(isinstance(v, int) for v in labels):
        raise ValueError(
            f"{dataset}: {file} must hold {label_key!r}, a whole number for each of its {len(pixels)} images"
        )
    return pixels, np.asarray(labels, dtype=np.int64)


def _kind(value: object) -> str:
    if isinstance(value, Record):
        return f"a call of {value.name}, which was not made: get the file again from a source you trust"
    return type(value).__name__


def _text(key: object) -> str:
    return key.decode("ascii", "replace") if isinstance(key, bytes) else str(key)


def read_binary_batch(dataset: str, file: Path, label_bytes: int) -> tuple[npt.NDArray[np.uint8], IntArray]:
    """Pixels ``(N, 3072)`` and labels ``(N,)`` of a binary batch: the last label byte, then the pixels, per image.

    Raises:
        ValueError: a length that is no multiple of a record's, or more than 100,000 records.
    """
    record, length = label_bytes + PIXELS, file.stat().st_size
    if not length or length % record or length > record * _MOST_RECORDS:
        raise ValueError(
            f"{dataset}: {file} must hold up to {_MOST_RECORDS} records of {record} bytes, found {length} bytes; it is "
            "truncated or damaged, get it again"
        )
    rows = np.fromfile(file, dtype=np.uint8).reshape(-1, record)
    return rows[:, label_bytes:], rows[:, label_bytes - 1].astype(np.int64)


class CifarImages(ImageDataset):
    """Labelled 32 x 32 colour photographs in python or binary batches; whole in memory (184 MB for all).

    Args:
        path: folder of the batches, or the one that holds it; by default the dataset's places in the data folder.
        split: ``train``, ``test`` or ``all`` (train, then test).
        size: 32, 16 or 8: smaller by area averages.

    Attributes:
        folders: names of the published folders, the python form first.
        batches: file names without ``.bin``, by split.
        label_key: the python form's name of the labels.
        label_bytes: label bytes before each image of the binary form.

    Raises:
        ValueError: unknown split or size, no files, or damaged ones.
    """

    folders: tuple[str, str]
    batches: dict[str, tuple[str, ...]]
    label_key: str
    label_bytes: int
    address = "https://www.cs.toronto.edu/~kriz/cifar.html"

    def __init__(self, path: PathLike | None = None, split: str = "train", size: int = SIDE) -> None:
        if split not in SPLITS:
            raise ValueError(f"{self.name}: split must be one of {', '.join(SPLITS)}; got {split!r}")
        side = check_size(self.name, size, (32, 16, 8))
        self.image_shape = (3, side, side)
        folder, suffix = self._find(None if path is None else Path(path).expanduser())
        names = self.batches["train"] + self.batches["test"] if split == "all" else self.batches[split]
        parts = [self._read(folder / f"{name}{suffix}") for name in names]
        self._pixels = np.concatenate([pixels for pixels, _ in parts])
        self._labels = np.concatenate([labels for _, labels in parts])
        if self._labels.max() >= len(self.class_names) or self._labels.min() < 0:
            raise ValueError(
                f"{self.name}: labels in {folder} must lie in 0 to {len(self.class_names) - 1}, found "
                f"{self._labels.min()} to {self._labels.max()}; the files belong to another dataset"
            )
        self.split, self.source = split, str(folder)

    def parts(self) -> tuple[CifarImages, CifarImages] | None:
        if self.split == "all":
            return None
        other = type(self)(self.source, "test" if self.split == "train" else "train", self.image_shape[1])
        return (self, other) if self.split == "train" else (other, self)

    def _find(self, given: Path | None) -> tuple[Path, str]:
        """The folder of the batches, and their suffix."""
        roots = [data_folder(), data_folder() / self.name] if given is None else [given, given.parent]
        places = [place for root in roots for place in (root, *(root / name for name in self.folders))]
        for place in places:
            for suffix in ("", ".bin"):
                if (place / f"{self.batches['train'][0]}{suffix}").is_file():
                    return place, suffix
        looked = str(given) if given is not None else f"{roots[0]} and {roots[1]}"
        raise ValueError(
            f"{self.name}: found no {self.batches['train'][0]} (or the same with .bin) in {looked}; unpack the python "
            f"or binary version from {self.address} there, or pass path="
        )

    def _read(self, file: Path) -> tuple[npt.NDArray[np.uint8], IntArray]:
        if not file.is_file():
            raise ValueError(f"{self.name}: {file} is missing; all batches must lie in one folder")
        if file.suffix == ".bin":
            return read_binary_batch(self.name, file, self.label_bytes)
        return read_python_batch(self.name, file, self.label_key)

    @property
    def labels(self) -> IntArray:
        return self._labels

    def __len__(self) -> int:
        return len(self._labels)

    def batch(self, indices: IntArray | Sequence[int] | Tensor) -> Tensor:
        rows = self._pixels[check_indices(self, indices)].reshape(-1, 3, SIDE, SIDE)
        return to_images(rows.transpose(0, 2, 3, 1), self.image_shape[1])
