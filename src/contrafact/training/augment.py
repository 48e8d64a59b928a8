"""Random changes of images that keep their class, a whole batch at once, on its device.

One warp does shift, scale, rotation and flip; draws come from a generator on the CPU, so that a seed means the same
changes everywhere. Shape suffixes: N images, C channels, H height, W width.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from contrafact.core.catalog import unknown_name_message

AugmentationName = Literal["none", "weak", "strong", "weak_no_flip", "strong_no_flip"]


@dataclass(frozen=True)
class Augmentation:
    """How far images are changed; the defaults change nothing.

    Attributes:
        shift: largest shift, as a share of the side.
        scale: largest change of the logarithm of the size.
        rotation: largest rotation in degrees.
        flip: mirror left and right half the time.
        erase: side of a square set to black, as a share of the image's; half the time it lies partly outside.
        contrast: largest change of the logarithm of the brightness.
    """

    shift: float = 0.0
    scale: float = 0.0
    rotation: float = 0.0
    flip: bool = False
    erase: float = 0.0
    contrast: float = 0.0

    @classmethod
    def named(cls, name: str) -> Augmentation:
        """``weak``: shift and flip; ``strong``: everything; ``_no_flip`` where left and right make a class.

        Raises:
            ValueError: unknown name.
        """
        known = {
            "none": cls(),
            "weak": cls(shift=0.06, flip=True),
            "strong": cls(shift=0.075, scale=0.2, rotation=20, flip=True, erase=0.36, contrast=0.3),
        }
        base = known.get(name.removesuffix("_no_flip"))
        if base is None or name == "none_no_flip":
            raise ValueError(unknown_name_message("augmentation", name, [*known, "weak_no_flip", "strong_no_flip"]))
        return Augmentation(**{**vars(base), "flip": False}) if name.endswith("_no_flip") else base

    def __call__(self, images: Tensor, rng: torch.Generator) -> Tensor:
        """Changed copies of images ``(N, C, H, W)``; what comes in from outside the frame is black."""
        if self == Augmentation() or not len(images):
            return images
        n, _, height, width = images.shape
        draws = (2 * torch.rand(8, n, generator=rng) - 1).to(images.device)
        angle, size = draws[0] * math.radians(self.rotation), torch.exp(draws[1] * self.scale)
        mirror = torch.where(draws[2] < 0, -1.0, 1.0) if self.flip else torch.ones_like(size)
        cosine, sine = angle.cos() * size, angle.sin() * size
        rows = (
            torch.stack([cosine * mirror, -sine, 2 * self.shift * draws[3]], dim=1),
            torch.stack([sine * mirror, cosine, 2 * self.shift * draws[4]], dim=1),
        )
        grid = F.affine_grid(torch.stack(rows, dim=1), list(images.shape), align_corners=False)
        changed = F.grid_sample(images, grid, align_corners=False)
        if self.erase:
            down, across = torch.arange(height, device=images.device), torch.arange(width, device=images.device)
            hidden_NH = (down + 0.5 - height * (draws[5, :, None] + 1) / 2).abs() < self.erase * height / 2
            hidden_NW = (across + 0.5 - width * (draws[6, :, None] + 1) / 2).abs() < self.erase * width / 2
            changed = changed.masked_fill((hidden_NH[:, :, None] & hidden_NW[:, None])[:, None], 0.0)
        if self.contrast:
            changed = (changed * torch.exp(draws[7] * self.contrast)[:, None, None, None]).clamp(max=1.0)
        return changed
