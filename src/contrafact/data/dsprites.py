"""dSprites: a square, ellipse or heart on black, five factors; plain, coloured, noisy, on a painting.

Matthey, Higgins, Hassabis & Lerchner, "dSprites", 2017, https://github.com/deepmind/dsprites-dataset; the variants are
those of Locatello et al., "Challenging Common Assumptions", ICML 2019. The stand-in draws the same shapes: a pixel is
on if its centre is inside; it differs from the published file by a few pixels of the outline.

Shape suffixes: N images, K factors, P pixels of a sprite's window (P rows by P columns).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from contrafact.core.dataset import FactorDataset, IntArray, check_indices
from contrafact.core.foreign import first_line
from contrafact.data._files import STAND_IN, PathLike, StoredArray, find_file
from contrafact.data._grid import check_grid
from contrafact.data._noise import uniforms
from contrafact.data._npz import NumpyArchive
from contrafact.data._pixels import check_size, shrink, to_images

FILE = "dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz"
SIDE = 64
VARIANTS = ("plain", "color", "noisy", "scream")
SHAPES = ("square", "ellipse", "heart")
ORIENTATIONS = 40
POSITIONS = 32

SQUARE_SIDE = 19.2
ELLIPSE_AXES = (12.75, 7.25)
HEART_WIDTH, HEART_HEIGHT, HEART_RISE = 9.6, 0.65, 1.5
"""Half width; factor of the height; how far the heart's curve lies above the centre. All at scale 1, in pixels."""

_WINDOW = 30
"""Side of the window around the centre that holds every sprite: the square's half diagonal is 13.6."""
_PICTURE_SIZE = (350, 274)


class DSprites(FactorDataset):
    """dSprites, 737,280 images: ``(1, size, size)``, or ``(3, size, size)`` for the variants.

    Args:
        path: the published ``.npz`` or a folder that holds it. By default it is looked for in the data folder, and the
            stand-in is drawn when it is not there.
        size: image side: 64, 32 or 16; below 64, pixels are area averages.
        variant: ``plain``; ``color``: each channel of the sprite times U(0.5, 1); ``noisy``: the smaller of 1 and
            sprite + U(0, 1) per pixel and channel; ``scream``: a random crop of a picture, averaged with a random
            colour, inverted under the sprite.
        scream_picture: picture for ``scream`` (The Scream by Munch in the paper), at least 64 pixels a side after
            it is fitted into 350 x 274.
        seed: of the variants' randomness. An image's colour, noise and crop depend on its index and this seed alone.

    Raises:
        ValueError: another size or variant, no file at ``path``, a file that is not the published one, or a picture
            that is missing, too small, or given to another variant.

    >>> DSprites().images(np.array([[0, 5, 0, 0, 0]])).sum().item()  # a square, 19.2 pixels a side
    400.0
    """

    name = "dsprites"
    factor_names = ("shape", "scale", "orientation", "position x", "position y")
    factor_sizes = (len(SHAPES), 6, ORIENTATIONS, POSITIONS, POSITIONS)
    factors_of_interest = ("scale", "position x", "position y")
    destroyed_by: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "crop": factors_of_interest,
        "flip": ("orientation", "position x"),
    }

    def __init__(
        self,
        path: PathLike | None = None,
        size: int = SIDE,
        variant: str = "plain",
        scream_picture: PathLike | None = None,
        seed: int = 0,
    ) -> None:
        check_size(self.name, size, (64, 32, 16))
        if variant not in VARIANTS:
            raise ValueError(f"dsprites: variant must be one of {', '.join(VARIANTS)}; got {variant!r}")
        if (scream_picture is not None) != (variant == "scream"):
            raise ValueError(
                "dsprites: variant 'scream' and scream_picture= (a picture file) belong together; give both"
            )
        self.variant = variant
        self.image_shape = (1 if variant == "plain" else 3, size, size)
        self._seed = seed
        self._picture = None if scream_picture is None else _load_picture(Path(scream_picture))
        file = find_file(self.name, path, (FILE,))
        self.source = STAND_IN if file is None else str(file)
        self._pixels = None if file is None else self._open(file)

    def _open(self, file: Path) -> StoredArray:
        archive = NumpyArchive(self.name, file)
        count, latents = len(self), len(self.factor_sizes) + 1  # the file counts colour, which is always white
        archive.check("imgs", (count, SIDE, SIDE), np.uint8)
        archive.check("latents_values", (count, latents), np.float64)
        archive.check("latents_classes", (count, latents), np.int64)
        classes = archive.read("latents_classes")
        check_grid(self.name, file, "latents_classes", classes, ("color", *self.factor_names), (1, *self.factor_sizes))
        stored = archive.stored("imgs")
        brightest = int(stored.rows(np.linspace(0, count - 1, min(count, 64)).astype(np.int64)).max())
        if brightest != 1:
            raise ValueError(
                f"dsprites: key 'imgs' of {file}: expected pixels 0 and 1, found {brightest}; get the file again"
            )
        return stored

    def batch(self, indices: IntArray | Sequence[int] | Tensor) -> Tensor:
        checked = check_indices(self, indices)
        if self._pixels is None:
            sprites = draw_sprites(self.factors_of(checked))
        else:
            sprites = to_images(self._pixels.rows(checked)[..., None], SIDE, white=1)
        return shrink(self._vary(sprites, checked), self.image_shape[1])

    def _vary(self, sprites: Tensor, indices: IntArray) -> Tensor:
        if self.variant == "color":
            colours = torch.from_numpy(0.5 + uniforms(indices, 3, self._seed) / 2)
            return sprites * colours[:, :, None, None]
        if self.variant == "noisy":
            noise = torch.from_numpy(uniforms(indices, 3 * SIDE * SIDE, self._seed)).view(-1, 3, SIDE, SIDE)
            return (noise + sprites).clamp_(max=1)
        if self._picture is not None:
            backgrounds = _crops(self._picture, uniforms(indices, 5, self._seed))
            return torch.where(sprites > 0, 1 - backgrounds, backgrounds)
        return sprites


def draw_sprites(factors_NK: IntArray) -> Tensor:
    """Sprites of the given factor values: float32 ``(N, 1, 64, 64)``, 0 and 1.

    Centre (16 + 32 i/31, 16 + 32 j/31) pixels from the top left corner, scale s = 0.5 + 0.1 k, turned
    counter-clockwise by 2πk/39. Square of side 19.2 s; ellipse with semi-axes (12.75, 7.25) s; heart inside the curve
    x = 9.6 s sin³t, y = -0.65 s (13 cos t - 5 cos 2t - 2 cos 3t - cos 4t) - 1.5 s, with y downwards.
    """
    factors = torch.from_numpy(factors_NK)
    shapes, scales = factors[:, 0], 0.5 + 0.1 * factors[:, 1].float()
    angles = 2 * np.pi * (factors[:, 2] % (ORIENTATIONS - 1)).float() / (ORIENTATIONS - 1)  # the last is the first
    centres = 16 + 32 * factors[:, 3:].float() / (POSITIONS - 1)
    corners = centres.long() - _WINDOW // 2
    offsets = corners[..., None] + torch.arange(_WINDOW) + 0.5 - centres[..., None]  # (N, 2, P)
    across, down = offsets[:, 0, None, :], offsets[:, 1, :, None]
    cosine, sine = torch.cos(angles)[:, None, None], torch.sin(angles)[:, None, None]
    u, v = across * cosine - down * sine, across * sine + down * cosine
    inside = torch.empty_like(u)
    for shape, is_inside in enumerate((_in_square, _in_ellipse, _in_heart)):
        mine = torch.nonzero(shapes == shape).squeeze(1)
        s = scales[mine, None, None]
        inside[mine] = is_inside(u[mine] / s, v[mine] / s).float()
    rows, columns = corners[:, 1, None] + torch.arange(_WINDOW), corners[:, 0, None] + torch.arange(_WINDOW)
    pixels = (rows[:, :, None] * SIDE + columns[:, None, :]).flatten(1)
    canvas = torch.zeros(len(factors), SIDE * SIDE)
    return canvas.scatter_(1, pixels, inside.flatten(1)).view(-1, 1, SIDE, SIDE)


def _in_square(u: Tensor, v: Tensor) -> Tensor:
    return torch.maximum(u.abs(), v.abs()) <= SQUARE_SIDE / 2


def _in_ellipse(u: Tensor, v: Tensor) -> Tensor:
    long, short = ELLIPSE_AXES
    return (u / long) ** 2 + (v / short) ** 2 <= 1


def _in_heart(u: Tensor, v: Tensor) -> Tensor:
    """Between the two points of the curve at this u: t and π - t, whose cosines are c and -c."""
    sine_cubed = u.abs() / HEART_WIDTH
    c = (1 - sine_cubed.clamp(max=1) ** (2 / 3)).sqrt()
    cos_2t = 2 * c * c - 1
    odd = 13 * c - 2 * (4 * c**3 - 3 * c)
    even = -5 * cos_2t - (2 * cos_2t * cos_2t - 1)
    top, bottom = -HEART_HEIGHT * (even + odd) - HEART_RISE, -HEART_HEIGHT * (even - odd) - HEART_RISE
    return (sine_cubed <= 1) & (v >= top) & (v <= bottom)


def _load_picture(file: Path) -> Tensor:
    """The picture fitted into 350 x 274 pixels: float32 ``(3, H, W)``."""
    from PIL import Image

    try:
        with Image.open(file) as picture:
            picture.thumbnail(_PICTURE_SIZE)
            pixels: npt.NDArray[np.uint8] = np.array(picture.convert("RGB"))[None]
    except Exception as error:  # the documented border: on a damaged file Pillow's readers raise nearly anything
        raise ValueError(
            f"dsprites: scream_picture {file} cannot be read as a picture ({first_line(error)})"
        ) from error
    if min(pixels.shape[1:3]) < SIDE:
        raise ValueError(
            f"dsprites: scream_picture {file} is {pixels.shape[2]} x {pixels.shape[1]} once fitted into "
            f"{_PICTURE_SIZE[0]} x {_PICTURE_SIZE[1]}; it must be at least {SIDE} pixels a side"
        )
    return to_images(pixels, pixels.shape[2])[0]


def _crops(picture: Tensor, random_N5: npt.NDArray[np.float32]) -> Tensor:
    """Crops ``(N, 3, 64, 64)`` at random places, each averaged with a random colour."""
    free = torch.tensor([side - SIDE + 1 for side in picture.shape[1:]])
    random = torch.from_numpy(random_N5)
    corner = (random[:, :2] * free).long()
    rows, columns = corner[:, 0, None] + torch.arange(SIDE), corner[:, 1, None] + torch.arange(SIDE)
    crops = picture[:, rows[:, :, None], columns[:, None, :]].transpose(0, 1)
    return (crops + random[:, 2:, None, None]) / 2
