"""Silhouette: area, lightness, width, height and slant of one object on a plain ground, measured without a network.

A garment, a digit or a sprite is judged so with nothing to install and nothing to train. Pixels weigh by how much they
differ from the ground, and the numbers are moments of these weights (Hu 1962), scaled so that a filled rectangle gets
its own area, lightness, width and height; the slant is that of Castro et al., "Morpho-MNIST", JMLR 2019.

Shape suffixes: N images, C channels, P pixels of the border, H height, W width.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

NAMES = ("area", "lightness", "width", "height", "slant")
"""Percent of the image's pixels; percent of white, of the object; percent of the image's width; percent of its height;
degrees by which upright lines lean to the right."""
FAINTEST = 0.005
"""Mean difference from the ground below which there is nothing to measure."""


def measure(images: Tensor) -> Tensor:
    """What an object looks like from afar, :data:`NAMES` ``(N, 5)`` in float64 on the CPU; nan where there is none.

    The ground is the median of the image's outermost pixels, in each channel, so that an object may cover nearly half
    of the border. Of several objects the numbers are those of all together.

    Args:
        images: ``(N, C, H, W)`` in [0, 1], of at least two pixels each way.

    Raises:
        ValueError: another shape, or whole numbers, such as bytes.

    >>> image = torch.zeros(1, 1, 20, 20)
    >>> image[..., 5:15, 8:12] = 0.5  # 10 pixels high, 4 wide
    >>> (measure(image).round(decimals=6) + 0.0).tolist()  # makes 0.0 of a processor's -0.0
    [[10.0, 50.0, 20.0, 50.0, 0.0]]
    """
    if images.ndim != 4 or min(images.shape[2:]) < 2:
        raise ValueError(
            f"silhouettes are measured in images (N, C, H, W) of at least 2 pixels each way, got {tuple(images.shape)}"
        )
    if not images.is_floating_point():
        raise ValueError(f"silhouettes are measured in images from 0 to 1, got {images.dtype}; divide bytes by 255")
    images = images.detach().cpu().double().clamp(0, 1)  # not every device has float64
    height, width = images.shape[2:]
    edges = (images[:, :, 0], images[:, :, -1], images[:, :, 1:-1, 0], images[:, :, 1:-1, -1])
    border_NCP = torch.cat(edges, dim=2)
    ground_NC = border_NCP.median(dim=2).values  # of an even number the lower of the middle two
    weight_NHW = (images - ground_NC[:, :, None, None]).abs().mean(dim=1)
    total_N = weight_NHW.sum(dim=(1, 2))
    is_there = total_N > FAINTEST * height * width
    part_NHW = weight_NHW / total_N.where(is_there, torch.ones_like(total_N))[:, None, None]
    area = 1 / part_NHW.square().sum(dim=(1, 2)) / (height * width)
    lightness = (part_NHW * images.mean(dim=1)).sum(dim=(1, 2))
    # Rows count downwards, and slant is seen upwards.
    y_H = -torch.arange(height, dtype=images.dtype)
    x_W = torch.arange(width, dtype=images.dtype)
    by_row_NH, by_column_NW = part_NHW.sum(dim=2), part_NHW.sum(dim=1)
    y_NH = y_H - (by_row_NH @ y_H)[:, None]
    x_NW = x_W - (by_column_NW @ x_W)[:, None]
    # A pixel is a square, whose own variance is 1/12.
    yy = (by_row_NH * y_NH.square()).sum(dim=1) + 1 / 12
    xx = (by_column_NW * x_NW.square()).sum(dim=1) + 1 / 12
    xy = torch.einsum("nhw,nh,nw->n", part_NHW, y_NH, x_NW)
    slant = torch.rad2deg(torch.atan2(xy, yy))
    columns = (100 * area, 100 * lightness, 100 * (12 * xx).sqrt() / width, 100 * (12 * yy).sqrt() / height, slant)
    return torch.stack(columns, dim=1).where(is_there[:, None], torch.nan)


measure.names: Sequence[str] = NAMES  # type: ignore[attr-defined,misc] # what a predictor's answers are called
