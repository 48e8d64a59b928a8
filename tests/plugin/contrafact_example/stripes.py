"""Stripes: waves across an image, whose tilt, width, phase and contrast are the latent.

Made up for this package: there is nothing to train.
"""

from typing import Any

import torch
from torch import Tensor

from contrafact.core.dataset import check_count
from contrafact.core.generator import Generator


class Stripes(Generator):
    """Grey stripes in colour.

    Args:
        size: image side in pixels.
    """

    latent_dim = prior_dim = 4
    layer_names = ("waves",)

    def __init__(self, size: int = 16) -> None:
        super().__init__()
        side = check_count("size", size)
        self.image_shape = (3, side, side)
        self.grid: Tensor
        self.register_buffer("grid", torch.linspace(-1, 1, side), persistent=False)

    def features(self, latent: Tensor, layer: str) -> Tensor:
        """Waves ``(N, size, size)`` from -1 to 1."""
        if layer not in self.layer_names:
            return super().features(latent, layer)
        tilt, width, phase, contrast = self.check_latent(latent).T[..., None, None]
        across = self.grid[None, None, :] * torch.cos(tilt) + self.grid[None, :, None] * torch.sin(tilt)
        waves: Tensor = torch.sin(across * 4 * torch.exp(0.3 * width) + phase) * torch.sigmoid(1 + contrast)
        return waves

    def forward(self, latent: Tensor) -> Tensor:
        """Images ``(N, 3, size, size)``."""
        waves = self.features(latent, "waves")
        return (0.5 + 0.5 * waves)[:, None].expand(-1, 3, -1, -1)

    def arguments(self) -> dict[str, Any]:
        """What the constructor takes, for files."""
        return {"size": self.image_shape[1]}
