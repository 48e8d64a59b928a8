"""DCGAN: InfoGAN's transposed-convolution generator, for 28, 32, 64 pixels and the like.

Chen et al., "InfoGAN", NeurIPS 2016, Table 1, https://arxiv.org/abs/1606.03657; ClusterGAN and CD-GAN use the same at
28 pixels. Other sizes follow its rule: transposed convolutions double a map of 4 to 7 pixels up to the image.

Shape suffixes: N samples, L latent dimensions, C channels, H, W sides.
"""

from __future__ import annotations

import itertools
from typing import Any

import torch
from torch import Tensor, nn

from contrafact.core.catalog import unknown_name_message
from contrafact.core.dataset import check_count
from contrafact.core.generator import Generator
from contrafact.nn.critics import normal_init, scaled
from contrafact.nn.decoders import num_doublings


class DCGAN(Generator):
    """FC 1024, FC to the smallest map, stride-2 transposed convolutions; batch norm and ReLU between, a sigmoid last.

    Args:
        latent_dim: L; standard normal.
        image_shape: ``(C, H, W)``.
        width: multiplies every channel count (1 is the paper's).

    >>> DCGAN(62, (1, 28, 28)).layer_names
    ('dense', 'blocks.0')
    """

    def __init__(self, latent_dim: int, image_shape: tuple[int, int, int], width: float = 1.0) -> None:
        super().__init__()
        self.latent_dim = self.prior_dim = check_count("latent_dim", latent_dim)
        channels, height, image_width = image_shape
        self.image_shape, self.width = (check_count("channels", channels), height, image_width), width
        doublings = num_doublings(height, image_width)
        sizes = [scaled(64 << level, width) for level in reversed(range(doublings))]
        self.first = (sizes[0], height >> doublings, image_width >> doublings)
        hidden, flat = scaled(1024, width), sizes[0] * self.first[1] * self.first[2]
        self.dense = nn.Sequential(
            nn.Linear(latent_dim, hidden, bias=False),
            nn.BatchNorm1d(hidden),
            nn.ReLU(inplace=True),
            nn.Linear(hidden, flat, bias=False),
            nn.BatchNorm1d(flat),
            nn.ReLU(inplace=True),
        )
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.ConvTranspose2d(i, o, 4, 2, 1, bias=False), nn.BatchNorm2d(o), nn.ReLU(inplace=True))
            for i, o in itertools.pairwise(sizes)
        )
        self.to_image = nn.ConvTranspose2d(sizes[-1], channels, 4, 2, 1)
        self.layer_names = ("dense", *(f"blocks.{i}" for i in range(len(self.blocks))))
        normal_init(self)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it

    @classmethod
    def tiny(cls) -> DCGAN:
        """A small instance for examples and contract tests."""
        return cls(5, (3, 16, 16), width=0.1)

    def forward(self, latent: Tensor) -> Tensor:
        x = self._run(latent, len(self.blocks))
        return torch.sigmoid(self.to_image(x).float())

    def features(self, latent: Tensor, layer: str) -> Tensor:
        if layer not in self.layer_names:
            raise ValueError(unknown_name_message("layer", layer, self.layer_names))
        return self._run(latent, self.layer_names.index(layer))

    def latent_weights(self, layers: tuple[int, int] | None = None) -> Tensor:
        first = self.dense[0]
        assert isinstance(first, nn.Linear)
        return first.weight

    def _run(self, latent: Tensor, depth: int) -> Tensor:
        x: Tensor = self.dense(self.check_latent(latent)).unflatten(1, self.first)
        x = x.contiguous(memory_format=torch.channels_last)
        for block in self.blocks[:depth]:
            x = block(x)
        return x

    def arguments(self) -> dict[str, Any]:
        return {"latent_dim": self.latent_dim, "image_shape": self.image_shape, "width": self.width}
