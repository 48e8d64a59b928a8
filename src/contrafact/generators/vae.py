"""VAE decoder (DisCo, Table 8) as a generator: prior noise in, images out.

Deviation: LeakyReLU instead of ReLU by default, which keeps more latents active when trained briefly.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from contrafact.core.catalog import unknown_name_message
from contrafact.core.generator import Generator
from contrafact.nn.decoders import ConvDecoder
from contrafact.nn.encoders import Activation


class VAE(Generator):
    """A convolutional decoder whose latent is standard normal; Z is its edit space.

    Args:
        latent_dim: L.
        image_shape: ``(C, H, W)``.
        width: multiplies every channel count.
        activation: ``leaky_relu`` or ``relu``.

    >>> VAE(10, (3, 32, 32)).layer_names
    ('blocks.0', 'blocks.1', 'blocks.2', 'blocks.3')
    """

    def __init__(
        self,
        latent_dim: int,
        image_shape: tuple[int, int, int],
        width: float = 1.0,
        activation: Activation = "leaky_relu",
    ) -> None:
        super().__init__()
        self.decoder = ConvDecoder(latent_dim, image_shape, width, activation)
        self.latent_dim = self.prior_dim = latent_dim
        channels, height, image_width = image_shape
        self.image_shape = (channels, height, image_width)
        self.width, self.activation = width, activation
        self.layer_names = tuple(f"blocks.{i}" for i in range(len(self.decoder.blocks) + 1))

    @classmethod
    def tiny(cls) -> VAE:
        """A small instance for examples and contract tests."""
        return cls(3, (3, 16, 16), width=0.1)

    def forward(self, latent: Tensor) -> Tensor:
        return torch.sigmoid(self.logits(latent))

    def logits(self, latent: Tensor) -> Tensor:
        """Images ``(N, C, H, W)`` before the sigmoid, for a Bernoulli likelihood."""
        return self.decoder.logits(self.check_latent(latent))

    def features(self, latent: Tensor, layer: str) -> Tensor:
        if layer not in self.layer_names:
            raise ValueError(unknown_name_message("layer", layer, self.layer_names))
        return self.decoder.features(self.check_latent(latent), self.layer_names.index(layer))

    def arguments(self) -> dict[str, Any]:
        return {
            "latent_dim": self.latent_dim,
            "image_shape": self.image_shape,
            "width": self.width,
            "activation": self.activation,
        }
