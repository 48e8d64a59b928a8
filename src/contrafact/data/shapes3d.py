"""Shapes3D: one coloured object in a coloured room, six factors; 480,000 images.

Burgess & Kim, "3D Shapes Dataset", 2018, https://github.com/deepmind/3d-shapes. The stand-in has the same factors in
the same order and the same geometry; its light is simpler (no textures, no over-exposure). Geometry does not depend on
colour, so its 480 shading buffers are rendered once and colours are composited per batch.

Shape suffixes: N images, C channels, H height, W width.
"""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from contrafact.core.dataset import FactorDataset, IntArray, check_indices
from contrafact.data import _room
from contrafact.data._files import PathLike, cache_folder, write_atomically

HUES = 10
SKY_COLOUR = (153 / 255, 226 / 255, 249 / 255)
SIZES = (64, 32, 16)


class Shapes3D(FactorDataset):
    """Shapes3D, 480,000 images ``(3, size, size)``.

    Args:
        path: the published ``3dshapes.h5`` or a folder that holds it; by default it is looked for in the data folders,
            and rendered when it is not there.
        size: image side, 64, 32 or 16; below 64, pixels are area averages of the native ones.

    Raises:
        ValueError: another size, or a file that is not the published one.

    >>> Shapes3D(size=32).batch([0, 479_999]).shape
    torch.Size([2, 3, 32, 32])
    """

    name = "shapes3d"
    factor_names = ("floor hue", "wall hue", "object hue", "scale", "shape", "orientation")
    factor_sizes = (HUES, HUES, HUES, 8, 4, 15)

    def __init__(self, path: PathLike | None = None, size: int = 64) -> None:
        if size not in SIZES:
            raise ValueError(f"shapes3d: size must be one of {', '.join(map(str, SIZES))}, got {size!r}")
        self.image_shape = (3, size, size)
        self.source = "procedural stand-in"
        buffers = torch.from_numpy(_load_buffers().astype(np.float32))
        if size != _room.SIZE:
            buffers = F.avg_pool2d(buffers, _room.SIZE // size)
        self._buffers = buffers.flatten(2).contiguous()  # (480, 4, H*W)
        hues = torch.tensor([colorsys.hsv_to_rgb(hue / HUES, 1, 1) for hue in range(HUES)])
        self._sky = torch.tensor(SKY_COLOUR)
        self._hues = hues

    def batch(self, indices: IntArray | Sequence[int] | Tensor) -> Tensor:
        index = torch.from_numpy(check_indices(self, indices))
        geometry = index % len(self._buffers)
        colour = index // len(self._buffers)
        hues = torch.stack((colour // HUES**2, colour // HUES % HUES, colour % HUES), dim=1)
        palette = torch.cat((self._sky.expand(len(index), 1, 3), self._hues[hues]), dim=1)  # (N, 4, C)
        images = torch.bmm(palette.transpose(1, 2), self._buffers[geometry])
        return images.view(-1, *self.image_shape)


def _load_buffers() -> np.ndarray[tuple[int, ...], np.dtype[np.float16]]:
    """The 480 shading buffers float16 ``(480, 4, 64, 64)``, from the cache or rendered now."""
    file = cache_folder() / "shapes3d" / f"buffers-{_room.version()}.npy"
    shape = (480, 4, _room.SIZE, _room.SIZE)
    if (stored := _stored_buffers(file, shape)) is not None:
        return stored
    buffers = np.stack(list(_room.render_buffers())).astype(np.float16)
    write_atomically(file, lambda stream: np.save(stream, buffers))
    return buffers


def _stored_buffers(file: Path, shape: tuple[int, ...]) -> np.ndarray[tuple[int, ...], np.dtype[np.float16]] | None:
    if not file.is_file():
        return None
    try:
        stored = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError):  # damaged: it is only a cache, so it is rendered again
        return None
    return stored if stored.shape == shape and stored.dtype == np.float16 else None
