"""Any folder of pictures (PNG, JPEG, WebP); subfolders, where there are any, are classes.

Shape suffixes: N images, H height, W width.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
from torch import Tensor

from contrafact.core.dataset import ImageDataset, IntArray, check_count, check_indices
from contrafact.data._files import PathLike, StoredArray, unpack_once
from contrafact.data._pixels import to_images

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
_BLOCK_IMAGES = 256


class Images(ImageDataset):
    """A folder of pictures, each shrunk until its shorter side is ``size``, then cropped to the centre.

    Pictures are decoded on first use, once, into a cache in the cache folder. When every picture lies in a subfolder,
    the first-level subfolders are its classes.

    Args:
        path: the folder; searched with all its subfolders, hidden ones excepted.
        size: image side in pixels. A picture with a shorter side is refused, not enlarged.

    Raises:
        ValueError: no such folder, no pictures in it, or a size below 1; on first use also a picture that cannot be
            decoded, is too small, or has more than 8 bits a channel.
    """

    name = "images"

    def __init__(self, path: PathLike, size: int = 64) -> None:
        self.folder = Path(path).expanduser()
        self.image_shape = (3, check_count("size", size), size)
        self.source = str(self.folder)
        if not self.folder.is_dir():
            raise ValueError(f"images: {self.folder} is not a folder; expected a folder of {', '.join(SUFFIXES)} files")
        self.files = _find_pictures(self.folder)
        if not self.files:
            raise ValueError(f"images: {self.folder} and its subfolders hold no {', '.join(SUFFIXES)} files")
        parts = [file.relative_to(self.folder).parts for file in self.files]
        self._labels: IntArray | None = None
        if all(len(names) > 1 for names in parts):
            classes, labels = np.unique([names[0] for names in parts], return_inverse=True)
            self.class_names = tuple(map(str, classes))
            self._labels = labels.astype(np.int64)
        self._decoded: StoredArray | None = None

    @property
    def labels(self) -> IntArray | None:
        return self._labels

    def __len__(self) -> int:
        return len(self.files)

    def batch(self, indices: IntArray | Sequence[int] | Tensor) -> Tensor:
        checked = check_indices(self, indices)
        if self._decoded is None:
            self._decoded = self._decode()
        return to_images(self._decoded.rows(checked), self.image_shape[1])

    def _decode(self) -> StoredArray:
        stamps = [(str(file.relative_to(self.folder)), file.stat()) for file in self.files]
        listing = "\n".join(f"{name} {stamp.st_size} {stamp.st_mtime_ns}" for name, stamp in stamps)
        size = self.image_shape[1]
        part = f"{size} {hashlib.sha256(listing.encode()).hexdigest()}"
        return unpack_once(self.folder, part, (len(self), size, size, 3), np.uint8, self._blocks)

    def _blocks(self) -> Iterator[npt.NDArray[np.uint8]]:
        with ThreadPoolExecutor(os.cpu_count()) as pool:  # decoding releases the interpreter lock
            for first in range(0, len(self), _BLOCK_IMAGES):
                files = self.files[first : first + _BLOCK_IMAGES]
                yield np.stack(list(pool.map(partial(_decode_picture, size=self.image_shape[1]), files)))


def _find_pictures(folder: Path) -> list[Path]:
    found = []
    for parent, subfolders, names in os.walk(folder):
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        found += [Path(parent) / name for name in names if name.lower().endswith(SUFFIXES) and name[0] != "."]
    return sorted(found)


def _decode_picture(file: Path, size: int) -> npt.NDArray[np.uint8]:
    """The picture's centre, RGB bytes ``(size, size, 3)``."""
    from PIL import Image, ImageOps

    try:
        with Image.open(file) as opened:
            if opened.mode[0] in "IF":  # Pillow would cut these to 8 bits, not scale them
                raise ValueError(f"images: {file} has more than 8 bits a channel; convert it to 8 bits")
            if min(opened.size) < size:
                raise ValueError(
                    f"images: {file} is {opened.width} x {opened.height}, smaller than size={size}; load the folder "
                    f"with size={min(opened.size)} or less, or remove the file"
                )
            opened.draft("RGB", (2 * size, 2 * size))  # JPEG decodes several times faster at a half or a quarter
            picture = ImageOps.exif_transpose(opened).convert("RGB")
            fitted = ImageOps.fit(picture, (size, size), Image.Resampling.LANCZOS, centering=(0.5, 0.5))
            return np.asarray(fitted)
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(
            f"images: {file} cannot be decoded ({error}); it may be truncated: repair or remove it"
        ) from error
