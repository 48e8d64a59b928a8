"""From stored bytes to the images every dataset hands out.

Shape suffixes: N images, C channels, H height, W width.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from contrafact.data._files import AnyArray


def check_size(dataset: str, size: int, sizes: Sequence[int]) -> int:
    """``size`` if the dataset comes in it.

    Raises:
        ValueError: it does not; the sizes on offer are named.
    """
    if isinstance(size, bool) or size not in sizes:
        raise ValueError(f"{dataset}: size must be one of {', '.join(map(str, sizes))}, got {size!r}")
    return size


def to_images(pixels_NHWC: AnyArray, size: int, white: int = 255) -> Tensor:
    """Bytes ``(N, H, W, C)`` as float32 ``(N, C, size, size)`` in [0, 1], by area averages where smaller.

    Args:
        pixels_NHWC: uint8.
        size: side of the result, at most H.
        white: byte value of white.
    """
    images = torch.from_numpy(pixels_NHWC).permute(0, 3, 1, 2).contiguous().float().div_(white)
    return shrink(images, size)


def shrink(images: Tensor, size: int) -> Tensor:
    """Images ``(N, C, H, W)`` area-averaged to side ``size``; themselves when they have it."""
    return images if images.shape[-1] == size else F.interpolate(images, size=(size, size), mode="area")


def enlarge(images: Tensor, size: int) -> Tensor:
    """Images ``(N, C, H, W)`` brought to the larger side ``size`` bilinearly; themselves when they have it."""
    return images if images.shape[-1] == size else F.interpolate(images, size=(size, size), mode="bilinear")
