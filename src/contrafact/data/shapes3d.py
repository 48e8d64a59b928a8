"""Shapes3D: one coloured object in a coloured room, six factors; 480,000 images.

Burgess & Kim, "3D Shapes Dataset", 2018, https://github.com/deepmind/3d-shapes. The stand-in has the same factors in
the same order and the same geometry; its light is simpler (no textures, no over-exposure). Geometry does not depend on
colour, so its 480 shading buffers are rendered once and colours are composited per batch.

Shape suffixes: N images, C channels, H height, W width.
"""

from __future__ import annotations

import colorsys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from contrafact.core.dataset import FactorDataset, IntArray, check_indices
from contrafact.data import _room
from contrafact.data._files import STAND_IN, PathLike, StoredArray, cache_folder, find_file, map_npy, write_cache
from contrafact.data._grid import check_grid
from contrafact.data._h5 import H5File
from contrafact.data._pixels import check_size, shrink, to_images

FILE = "3dshapes.h5"
HUES = 10
SKY_COLOUR = (153 / 255, 226 / 255, 249 / 255)


class Shapes3D(FactorDataset):
    """Shapes3D, 480,000 images ``(3, size, size)``.

    Args:
        path: the published ``3dshapes.h5`` or a folder that holds it. By default it is looked for in the data folder,
            and the stand-in is rendered when it is not there.
        size: image side: 64, 32 or 16; below 64, pixels are area averages.

    Raises:
        ValueError: another size, no file at ``path``, or a file that is not the published one.

    >>> Shapes3D(size=32).batch([0, 479_999]).shape
    torch.Size([2, 3, 32, 32])
    """

    name = "shapes3d"
    factor_names = ("floor hue", "wall hue", "object hue", "scale", "shape", "orientation")
    factor_sizes = (HUES, HUES, HUES, 8, 4, 15)
    factors_of_interest = factor_names[:3]
    destroyed_by: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "crop": ("scale",),
        "flip": ("orientation",),
        "color": factor_names[:3],
        "grayscale": factor_names[:3],
    }

    def __init__(self, path: PathLike | None = None, size: int = 64) -> None:
        self.image_shape = (3, check_size(self.name, size, (64, 32, 16)), size)
        file = find_file(self.name, path, (FILE,))
        self.source = STAND_IN if file is None else str(file)
        if file is not None:
            self._pixels: StoredArray | None = self._open(file)
        else:
            self._pixels = None
            buffers = shrink(torch.from_numpy(_load_buffers()).float(), size)
            self._buffers = buffers.flatten(2).contiguous()  # (480, 4, H*W)
            self._hues = torch.tensor([colorsys.hsv_to_rgb(hue / HUES, 1, 1) for hue in range(HUES)])
            self._sky = torch.tensor(SKY_COLOUR)

    def _open(self, file: Path) -> StoredArray:
        count, factors = len(self), len(self.factor_sizes)
        archive = H5File(
            self.name, file, {"images": ((count, 64, 64, 3), np.uint8), "labels": ((count, factors), np.float64)}
        )
        check_grid(self.name, file, "labels", archive.read("labels"), self.factor_names, self.factor_sizes)
        return archive.stored("images")

    def batch(self, indices: IntArray | Sequence[int] | Tensor) -> Tensor:
        checked = check_indices(self, indices)
        if self._pixels is not None:
            return to_images(self._pixels.rows(checked), self.image_shape[1])
        index = torch.from_numpy(checked)
        geometry, colour = index % len(self._buffers), index // len(self._buffers)
        hues = torch.stack((colour // HUES**2, colour // HUES % HUES, colour % HUES), dim=1)
        palette = torch.cat((self._sky.expand(len(index), 1, 3), self._hues[hues]), dim=1)  # (N, 4, C)
        images = torch.bmm(palette.transpose(1, 2), self._buffers[geometry])
        return images.view(-1, *self.image_shape)


def _load_buffers() -> npt.NDArray[np.float16]:
    """The 480 shading buffers ``(480, 4, 64, 64)``, from the cache or rendered now."""
    file = cache_folder() / "shapes3d" / f"buffers-{_room.version()}.npy"
    if (stored := _cached_buffers(file)) is not None:
        return stored
    buffers = np.stack(list(_room.render_buffers())).astype(np.float16)
    try:
        write_cache(file, lambda stream: np.save(stream, buffers))
    except ValueError as error:  # costs the next process a few seconds, not this one its images
        warnings.warn(f"shapes3d: {error}", stacklevel=3)
    return buffers


def _cached_buffers(file: Path) -> npt.NDArray[np.float16] | None:
    try:
        stored = map_npy(file)
        if stored.shape != (480, 4, _room.SIZE, _room.SIZE) or stored.dtype != np.float16:
            return None
        return stored.rows(np.arange(len(stored)))
    except (OSError, ValueError):  # absent or damaged: rendered again
        return None
