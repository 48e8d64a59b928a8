"""Photographs for a generator: decoded, upright, in its colours, and of its size or fitted to it.

Shape suffixes: N images, C channels, H height, W width.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch import Tensor

from contrafact.core.catalog import unknown_name_message
from contrafact.core.decoding import MODES, PICTURES, UnusableError, decode, first_of, parse_background, shown_name

if TYPE_CHECKING:
    from PIL.Image import Image

Fit = Literal["crop", "resize"]


def find_photographs(paths: Sequence[str | Path]) -> list[Path]:
    """Picture files among ``paths``, each a file or a folder whose pictures are taken in order of their names.

    Raises:
        ValueError: a path that does not exist, a folder without pictures, or no path.
    """
    if not paths:
        raise ValueError("name at least one picture, or a folder of them")
    found: list[Path] = []
    for path in map(Path, paths):
        if not path.exists():
            raise ValueError(f"{path} does not exist; expected a picture or a folder of them")
        inside = sorted(p for p in path.iterdir() if p.suffix.lower() in PICTURES) if path.is_dir() else [path]
        if not inside:
            raise ValueError(f"the folder {path} holds no {', '.join(PICTURES)} files")
        found += inside
    return found


def read_photographs(
    paths: Sequence[str | Path],
    image_shape: tuple[int, int, int],
    fit: Fit | None = None,
    background: str = "white",
) -> Tensor:
    """Pictures as images ``(N, C, H, W)``, float32, black 0 and white 1.

    They are turned upright (EXIF), laid on a background where they are see-through (a warning counts them), and made
    grey for a grey generator. For one of four channels the fourth is their opacity, and nothing is laid on anything.

    Args:
        paths: picture files.
        image_shape: ``(C, H, W)`` of the generator.
        fit: what to do with a picture of another size: ``crop`` scales it until it covers the image and cuts the rest
            off around the centre, ``resize`` squeezes it; None refuses it.
        background: what see-through parts are laid on: a colour's name, or a code such as ``#80ff00``.

    Raises:
        ValueError: a picture of another size while ``fit`` is None, one that cannot be decoded or has more than 16 bits
            a channel, an unknown colour, or a generator whose images have neither one, three nor four channels.
    """
    if fit not in (None, "crop", "resize"):
        raise ValueError(unknown_name_message("fit", fit, ["crop", "resize"]))
    channels = image_shape[0]
    if channels not in MODES:
        raise ValueError(f"pictures have one, three or four channels, but the generator's images have {channels}")
    ground, images, faults, see_through = parse_background(background), [], [], 0
    for path in map(Path, paths):
        try:
            decoded = decode(path, channels, ground)
        except UnusableError as error:
            faults.append(f"{shown_name(path)} {error}")
            continue
        see_through += decoded.see_through and channels != 4
        pixels = np.asarray(_fitted(decoded.picture, path, image_shape, fit))
        images.append(torch.from_numpy(pixels.copy()).view(*image_shape[1:], channels).permute(2, 0, 1))
    if faults:
        raise ValueError(
            f"{len(faults)} of {len(paths)} pictures cannot be used: {first_of(faults, '; ')}; expected whole pictures "
            "of 8 or 16 bits a channel: mend them, or leave them out"
        )
    if see_through:
        warnings.warn(
            f"{see_through} of {len(images)} pictures are see-through and were laid on {ground}; another background= "
            "(--background) may suit the generator better",
            stacklevel=2,
        )
    return torch.stack(images).float() / 255


def _fitted(picture: Image, path: Path, image_shape: tuple[int, int, int], fit: Fit | None) -> Image:
    from PIL import Image as pil
    from PIL import ImageOps

    _, height, width = image_shape
    if picture.size == (width, height):
        return picture
    if fit is None:
        raise ValueError(
            f"{path} is {picture.width}×{picture.height} pixels, the generator makes {width}×{height}: cut it out and "
            'scale it yourself, or let it be done with fit="crop" (--fit crop; keeps proportions, cuts the borders '
            'off) or fit="resize" (squeezes it)'
        )
    if fit == "crop":
        return ImageOps.fit(picture, (width, height), pil.Resampling.LANCZOS)
    return picture.resize((width, height), pil.Resampling.LANCZOS)
