"""Convolutional decoders: latents to images.

Shape suffixes: N samples, L latent dimensions, C channels, H height, W width.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

from contrafact.core.dataset import check_count
from contrafact.nn.encoders import Activation, activation_layer, glorot_init, kaiming_init


def num_doublings(height: int, width: int) -> int:
    """Stride-2 layers from the first feature map to the image: 4 at 64 px (from 4×4), 2 at 28 px (from 7×7).

    Raises:
        ValueError: the sides cannot be halved down to at most 16.
    """
    doublings = 0
    while (height | width) % 2 ** (doublings + 1) == 0 and min(height, width) // 2 ** (doublings + 1) >= 4:
        doublings += 1
    if doublings == 0 or max(height, width) // 2**doublings > 16:
        raise ValueError(
            f"this decoder doubles a small feature map until it is the image, which does not reach {height}×{width}; "
            "choose sides such as 28, 32, 48, 64 or 96 (--size)"
        )
    return doublings


class ConvDecoder(nn.Module):
    """DisCo's VAE decoder (Table 8): three linear layers, stride-2 transposed conv4s, a conv7 to the image, a sigmoid.

    Args:
        latent_dim: L.
        image_shape: ``(C, H, W)``; H and W must be even, and halve evenly down to a small first feature map.
        width: multiplies every channel count (1 is the paper's).
        activation: ``relu`` (as printed) or ``leaky_relu`` (keeps more latents alive).
    """

    def __init__(
        self,
        latent_dim: int,
        image_shape: tuple[int, int, int],
        width: float = 1.0,
        activation: Activation = "leaky_relu",
    ) -> None:
        super().__init__()
        channels, height, image_width = image_shape
        if not width > 0:
            raise ValueError(f"width must be positive, got {width}")
        doublings = num_doublings(height, image_width)
        self.base = (height // 2**doublings, image_width // 2**doublings)
        sizes = [max(8, round(c * width)) for c in [*[256] * (doublings - 1), 128, 64]]
        hidden = max(8, round(256 * width))
        self.stem = nn.Sequential(
            nn.Linear(check_count("latent_dim", latent_dim), hidden),
            activation_layer(activation),
            nn.Linear(hidden, hidden),
            activation_layer(activation),
            nn.Linear(hidden, sizes[0] * self.base[0] * self.base[1]),
            activation_layer(activation),
        )
        blocks = [
            nn.Sequential(nn.ConvTranspose2d(before, after, 4, stride=2, padding=1), activation_layer(activation))
            for before, after in itertools.pairwise(sizes)
        ]
        self.blocks = nn.ModuleList(blocks)
        self.to_image = nn.Conv2d(sizes[-1], channels, 7, padding=3)
        if activation == "leaky_relu":
            kaiming_init(self)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it

    def logits(self, latent: Tensor) -> Tensor:
        """Images ``(N, C, H, W)`` before the sigmoid."""
        hidden = self.features(latent, len(self.blocks))
        image: Tensor = self.to_image(hidden)
        return image

    def features(self, latent: Tensor, depth: int) -> Tensor:
        """Feature maps ``(N, F, h, w)`` after ``depth`` upsampling blocks (0: the first map)."""
        hidden: Tensor = self.stem(latent).unflatten(1, (-1, *self.base)).contiguous(memory_format=torch.channels_last)
        for block in self.blocks[:depth]:
            hidden = block(hidden)
        return hidden

    def forward(self, latent: Tensor) -> Tensor:
        """Images ``(N, C, H, W)`` in [0, 1] of latents ``(N, L)``."""
        return torch.sigmoid(self.logits(latent))


class LocatelloDecoder(nn.Module):
    """The small decoder of Locatello et al. 2019: two linear layers, transposed conv4 64, 32, 32 and one to the image.

    At 64 pixels exactly theirs, with ReLU and a sigmoid at the end; a smaller image has fewer layers.

    Args:
        latent_dim: L.
        image_shape: ``(C, H, W)``; H and W must be even, and halve evenly down to a small first feature map.
        width: multiplies every channel count.
    """

    def __init__(self, latent_dim: int, image_shape: tuple[int, int, int], width: float = 1.0) -> None:
        super().__init__()
        channels, height, image_width = image_shape
        if not width > 0:
            raise ValueError(f"width must be positive, got {width}")
        doublings = num_doublings(height, image_width)
        self.base = (height // 2**doublings, image_width // 2**doublings)
        wide = [64] * max(1, doublings - 2) + [32] * min(2, doublings - 1)  # 64, 64, 32, 32 at 64 pixels
        sizes = [max(8, round(c * width)) for c in wide]
        hidden = max(8, round(256 * width))
        self.stem = nn.Sequential(
            nn.Linear(check_count("latent_dim", latent_dim), hidden),
            nn.ReLU(inplace=True),
            nn.Linear(hidden, sizes[0] * self.base[0] * self.base[1]),
            nn.ReLU(inplace=True),
        )
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.ConvTranspose2d(before, after, 4, stride=2, padding=1), nn.ReLU(inplace=True))
            for before, after in itertools.pairwise(sizes)
        )
        self.to_image = nn.ConvTranspose2d(sizes[-1], channels, 4, stride=2, padding=1)
        glorot_init(self)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it

    def logits(self, latent: Tensor) -> Tensor:
        """Images ``(N, C, H, W)`` before the sigmoid."""
        image: Tensor = self.to_image(self.features(latent, len(self.blocks)))
        return image

    def features(self, latent: Tensor, depth: int) -> Tensor:
        """Feature maps ``(N, F, h, w)`` after ``depth`` upsampling blocks (0: the first map)."""
        hidden: Tensor = self.stem(latent).unflatten(1, (-1, *self.base)).contiguous(memory_format=torch.channels_last)
        for block in self.blocks[:depth]:
            hidden = block(hidden)
        return hidden

    def forward(self, latent: Tensor) -> Tensor:
        """Images ``(N, C, H, W)`` in [0, 1] of latents ``(N, L)``."""
        return torch.sigmoid(self.logits(latent))
