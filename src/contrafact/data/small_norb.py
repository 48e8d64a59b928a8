"""SmallNORB: 50 toys of five kinds, five factors, grey photographs; 24,300 training and 24,300 test images.

LeCun, Huang & Bottou, "Learning Methods for Generic Object Recognition with Invariance to Pose and Lighting", CVPR
2004, https://cs.nyu.edu/~ylclab/data/norb-v1.0-small. There is no stand-in.

Shape suffixes: N images.
"""

from __future__ import annotations

import gzip
import math
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, ClassVar

import numpy as np
import numpy.typing as npt
from torch import Tensor

from contrafact.core.dataset import FactorDataset, IntArray, check_indices
from contrafact.core.foreign import reading
from contrafact.data._files import AnyArray, PathLike, StoredArray, data_folder, missing_file_message, unpack_once
from contrafact.data._pixels import check_size, to_images

PREFIXES = {
    "train": "smallnorb-5x46789x9x18x6x2x96x96-training",
    "test": "smallnorb-5x01235x9x18x6x2x96x96-testing",
}
FILES = tuple(f"{prefix}-dat.mat{suffix}" for prefix in PREFIXES.values() for suffix in ("", ".gz"))
SPLITS = {"train": ("train",), "test": ("test",), "all": ("train", "test")}
SIDE = 96
_MAGIC = {0x1E3D4C55: np.dtype(np.uint8), 0x1E3D4C54: np.dtype("<i4")}
_BLOCK_BYTES = 64 * 2**20


class SmallNORB(FactorDataset):
    """SmallNORB, images ``(1, size, size)`` of the left camera.

    Args:
        path: folder of the published ``.mat`` files, gzipped or not, or one of them; by default the data folder's
            ``small-norb`` or itself. Gzipped images are unpacked once.
        split: ``train`` (toys 4, 6, 7, 8, 9 of each kind), ``test`` (toys 0, 1, 2, 3, 5) or ``all`` (ten toys a kind).
        size: image side: 96, 64, 48 or 32; below 96, pixels are area averages.

    Raises:
        ValueError: unknown split or size, no files, damaged ones, or labels that do not fill the grid.

    >>> import contrafact as cf
    >>> dict(zip(cf.data.SmallNORB.factor_names, cf.data.SmallNORB.split_sizes))
    {'category': 5, 'instance': 5, 'elevation': 9, 'azimuth': 18, 'lighting': 6}
    >>> cf.data.SmallNORB("nowhere")
    Traceback (most recent call last):
    ValueError: small-norb: nowhere holds neither smallnorb-5x46789x9x18x6x2x96x96-training-dat.mat nor ...
    """

    name = "small-norb"
    factor_names = ("category", "instance", "elevation", "azimuth", "lighting")
    factors_of_interest = ("elevation", "azimuth", "lighting")
    destroyed_by: ClassVar[Mapping[str, tuple[str, ...]]] = {"flip": ("azimuth", "lighting"), "light": ("lighting",)}
    class_names = ("animal", "human", "airplane", "truck", "car")
    split_sizes = (5, 5, 9, 18, 6)
    """Factor sizes of one split."""

    def __init__(self, path: PathLike | None = None, split: str = "all", size: int = 64) -> None:
        if split not in SPLITS:
            raise ValueError(f"small-norb: split must be one of {', '.join(SPLITS)}; got {split!r}")
        self.image_shape = (1, check_size(self.name, size, (96, 64, 48, 32)), size)
        folder = _find_folder(path)
        parts = [_read_split(folder, PREFIXES[part], math.prod(self.split_sizes)) for part in SPLITS[split]]
        self._stores = [store for store, _ in parts]
        categories, instances, *others = self.split_sizes
        self.factor_sizes = (categories, instances * len(parts), *others)
        self._rows = self._grid_rows(np.concatenate([labels for _, labels in parts]), folder)
        self.split = split
        self.source = str(folder)

    def _grid_rows(self, labels: IntArray, folder: Path) -> IntArray:
        """Row in the files, one split after the other, of every point of the grid."""
        ranks = [np.unique(column, return_inverse=True) for column in labels.T]
        found = tuple(len(values) for values, _ in ranks)
        grid = np.ravel_multi_index(tuple(rank for _, rank in ranks), found)
        if found != self.factor_sizes or len(np.unique(grid)) != len(grid):
            raise ValueError(
                f"small-norb: labels in {folder} must take each combination of {self.factor_sizes} values of "
                f"{', '.join(self.factor_names)} once; found {found} values in {len(np.unique(grid))} combinations"
            )
        return np.argsort(grid)

    @property
    def labels(self) -> IntArray:
        return np.repeat(np.arange(self.factor_sizes[0]), len(self) // self.factor_sizes[0])

    def batch(self, indices: IntArray | Sequence[int] | Tensor) -> Tensor:
        rows = self._rows[check_indices(self, indices)]
        store, row = np.divmod(rows, len(self._stores[0]))
        pixels = np.empty((len(rows), SIDE, SIDE), dtype=np.uint8)
        for number, images in enumerate(self._stores):
            pixels[store == number] = images.rows(row[store == number])[:, 0]
        return to_images(pixels[..., None], self.image_shape[1])


def _find_folder(path: PathLike | None) -> Path:
    if path is not None:
        given = Path(path).expanduser()
        return given.parent if given.is_file() else given
    for folder in (data_folder(), data_folder() / "small-norb"):
        if any((folder / file).is_file() for file in FILES):
            return folder
    remedy = "download the six .mat.gz files from https://cs.nyu.edu/~ylclab/data/norb-v1.0-small"
    raise ValueError(missing_file_message("small-norb", FILES[1::2], remedy))


def _read_split(folder: Path, prefix: str, count: int) -> tuple[StoredArray, IntArray]:
    """Images ``(N, 2, 96, 96)`` of both cameras and the factor values ``(N, 5)`` of one split."""
    files = {part: _existing(folder, f"{prefix}-{part}.mat") for part in ("dat", "cat", "info")}
    with reading(f"small-norb: {folder}", "folder of SmallNORB"):
        category = _read_array(files["cat"], (count,), np.dtype("<i4"))
        info = _read_array(files["info"], (count, 4), np.dtype("<i4"))
    labels = np.concatenate((category[:, None], info), axis=1).astype(np.int64)
    return _store_images(files["dat"], (count, 2, SIDE, SIDE)), labels


def _existing(folder: Path, name: str) -> Path:
    file = next((folder / spelling for spelling in (name, f"{name}.gz") if (folder / spelling).is_file()), None)
    if file is None:
        present = [part for part, prefix in PREFIXES.items() if any(folder.glob(f"{prefix}-dat.mat*"))]
        other = next((part for part in present if not name.startswith(PREFIXES[part])), None)
        remedy = f"; for the half that is there, say split={other!r} (--split {other})" if other else ""
        raise ValueError(f"small-norb: {folder} holds neither {name} nor {name}.gz{remedy}")
    return file


def _open(file: Path) -> IO[bytes]:
    return gzip.open(file) if file.suffix == ".gz" else file.open("rb")  # type: ignore[return-value]


def _check_header(stream: IO[bytes], file: Path, shape: tuple[int, ...], dtype: np.dtype[np.generic]) -> None:
    """Read the header: magic, number of dimensions, at least three dimensions; all little-endian 32 bits."""
    magic, dimensions = np.frombuffer(stream.read(8).ljust(8, b"\0"), dtype="<u4")
    if _MAGIC.get(int(magic)) != dtype or dimensions != len(shape):
        expected = next(number for number, known in _MAGIC.items() if known == dtype)
        raise ValueError(
            f"small-norb: {file} must start with the magic number {expected:#x} and {len(shape)} dimensions, found "
            f"{magic:#x} and {dimensions}; it is another file or a damaged one"
        )
    stored = max(3, len(shape))
    found = tuple(map(int, np.frombuffer(stream.read(4 * stored).ljust(4 * stored, b"\0"), dtype="<i4")))[: len(shape)]
    if found != shape:
        raise ValueError(f"small-norb: {file}: expected shape {shape}, found {found}")


def _read_array(file: Path, shape: tuple[int, ...], dtype: np.dtype[np.generic]) -> npt.NDArray[np.int32]:
    return np.concatenate(list(_blocks(file, shape, dtype)))


def _store_images(file: Path, shape: tuple[int, ...]) -> StoredArray:
    dtype = np.dtype(np.uint8)
    if file.suffix == ".gz":
        return unpack_once(file, "images", shape, dtype, lambda: _blocks(file, shape, dtype))
    with _open(file) as stream:
        _check_header(stream, file, shape, dtype)
        return StoredArray(file, stream.tell(), shape, dtype)


def _blocks(file: Path, shape: tuple[int, ...], dtype: np.dtype[np.generic]) -> Iterator[AnyArray]:
    row_bytes = math.prod(shape[1:]) * dtype.itemsize
    step = max(1, _BLOCK_BYTES // row_bytes)
    try:
        with _open(file) as stream:
            _check_header(stream, file, shape, dtype)
            for first in range(0, shape[0], step):
                rows = min(step, shape[0] - first)
                data = stream.read(rows * row_bytes)
                if len(data) < rows * row_bytes:
                    raise EOFError(f"it ends in row {first + len(data) // row_bytes} of {shape[0]}")
                yield np.frombuffer(data, dtype).reshape(rows, *shape[1:])
    except (EOFError, OSError, zlib.error) as error:
        raise ValueError(f"small-norb: {file} is truncated or damaged ({error}); get it again") from error
