"""Pictures of edited photographs: before, reconstruction, after.

Shape suffixes: N images, C channels, H height, W width.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from contrafact.core.catalog import slug
from contrafact.core.pictures import save_png, to_bytes
from contrafact.report.sheets import sheet

if TYPE_CHECKING:
    from PIL.Image import Image


def inversion_sheet(images: Tensor, reconstructions: Tensor, psnr: Sequence[float], names: Sequence[str]) -> Image:
    """Photographs, what the generator makes of their latents, and three times the difference, on grey.

    Args:
        images: ``(N, C, H, W)``.
        reconstructions: ``(N, C, H, W)``.
        psnr: N numbers of decibels.
        names: N names.
    """
    difference = (0.5 + 1.5 * (reconstructions.clamp(0, 1) - images)).clamp(0, 1)
    cells = to_bytes(torch.stack((images, reconstructions, difference), dim=1))
    labels = [f"{name}\nPSNR {value:.1f} dB" for name, value in zip(names, psnr, strict=True)]
    return sheet(cells, "", labels, ["photograph", "reconstruction", "difference × 3"])


def edit_sheet(columns: Sequence[tuple[str, Tensor]], names: Sequence[str], title: str = "") -> Image:
    """Rows of images, a column for each state.

    Args:
        columns: heading and images ``(N, C, H, W)`` of each: before, reconstruction, after.
        names: N names.
        title: line above.

    Raises:
        ValueError: numbers of images and names that differ.
    """
    cells = to_bytes(torch.stack([images for _, images in columns], dim=1))
    return sheet(cells, title, names, [heading for heading, _ in columns])


def save_images(images: Tensor, folder: str | Path, names: Sequence[str], suffix: str) -> list[Path]:
    """Write each image at its own size as ``<name>_<suffix>.png``; a name met again gets a number.

    Args:
        images: ``(N, C, H, W)``; clamped. Of four channels the fourth is opacity, which the files keep.
        folder: where to.
        names: N names; what a file name cannot hold becomes a hyphen.
        suffix: what the images are.
    """
    from PIL import Image as pil

    slugs = [slug(name) or "image" for name in names]
    written = []
    bytes_NHWC = to_bytes(images)
    if images.shape[1] == 4:  # a picture by itself keeps its opacity, a sheet is laid on white
        colours = to_bytes(images[:, :3])
        bytes_NHWC = np.concatenate((colours, to_bytes(images[:, 3:])[..., :1]), axis=-1)
    for number, (pixels, name) in enumerate(zip(bytes_NHWC, slugs, strict=True)):
        again = slugs[:number].count(name)
        unique = f"{name}-{again + 1}" if again else name
        written.append(save_png(pil.fromarray(np.asarray(pixels)), Path(folder) / f"{unique}_{suffix}.png"))
    return written
