"""The VAE of latent diffusion (Rombach et al. 2022) as a generator of its own.

High-Resolution Image Synthesis with Latent Diffusion Models, CVPR 2022, https://arxiv.org/abs/2112.10752; the network
is that of the diffusers library. Latents are in units of its scaling factor, in which a diffusion model sees them, so
that they vary by about 1. They are a grid of local codes: drawn noise gives textures, not pictures; photographs'
latents (:meth:`AutoencoderKL.image_latents`) are where to start.

Shape suffixes: N samples, L latent dimensions, C, H, W sides.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from contrafact.core.generator import Generator
from contrafact.generators._networks import vae_of, watched


class AutoencoderKL(Generator):
    """A VAE's decoder, and its encoder to find photographs' latents with.

    Args:
        config: of diffusers' ``AutoencoderKL``.
        size: ``(H, W)`` of images; None for what it was trained on.

    Raises:
        ValueError: diffusers is not installed, a configuration that it does not take, or a size that the VAE does not
            divide.

    >>> generator = AutoencoderKL.tiny().freeze()
    >>> generator(generator.sample(2, seed=0)).shape, generator.latent_dim
    (torch.Size([2, 3, 16, 16]), 256)
    """

    vae: Any
    layer_names: tuple[str, ...] = ("mid_block",)
    truncated_in = "nowhere"

    def __init__(self, config: Mapping[str, Any], size: tuple[int, int] | None = None) -> None:
        super().__init__()
        self.config = dict(config)
        self.vae = vae_of({"class": "AutoencoderKL", "config": config})
        known: Any = self.vae.config
        factor, sample = 2 ** (len(known.block_out_channels) - 1), known.sample_size
        sides = [sample, sample] if isinstance(sample, int) else list(sample)
        height, width = sides if size is None else size
        if height % factor or width % factor or min(height, width) < factor:
            raise ValueError(f"this VAE divides sides by {factor}; images of {height}×{width} pixels do not fit")
        self.image_shape = (known.out_channels, height, width)
        self.latent_shape = (known.latent_channels, height // factor, width // factor)
        self.latent_dim = self.prior_dim = known.latent_channels * (height // factor) * (width // factor)
        self.layer_names = ("mid_block", *(f"up{number}" for number in range(len(known.block_out_channels))))

    @classmethod
    def tiny(cls) -> AutoencoderKL:
        """A small one with random weights, for the tests."""
        return cls(
            {
                "sample_size": 16, "block_out_channels": [8, 8], "norm_num_groups": 4, "latent_channels": 4,
                "down_block_types": ["DownEncoderBlock2D"] * 2, "up_block_types": ["UpDecoderBlock2D"] * 2,
            }
        )  # fmt: skip

    def forward(self, latent: Tensor) -> Tensor:
        """Images ``(N, C, H, W)``."""
        grid = self.check_latent(latent).unflatten(1, self.latent_shape)
        scaled = grid / self.vae.config.scaling_factor + (self.vae.config.get("shift_factor") or 0.0)
        images: Tensor = self.vae.decode(scaled, return_dict=False)[0]
        return images / 2 + 0.5

    def features(self, latent: Tensor, layer: str) -> Tensor:
        """Activations of the decoder's bottleneck, or of a block of its upward half."""
        if layer not in self.layer_names:
            return super().features(latent, layer)
        decoder = self.vae.decoder
        with watched(decoder.mid_block if layer == "mid_block" else decoder.up_blocks[int(layer[2:])]) as seen:
            self(latent)
        return seen[0]

    @torch.no_grad()
    def image_latents(self, images: Tensor) -> Tensor:
        """Latents ``(N, L)`` of images ``(N, C, H, W)``: the mean of what the encoder says."""
        mean = self.vae.encode(2 * images - 1, return_dict=False)[0].mean
        shifted = (mean - (self.vae.config.get("shift_factor") or 0.0)) * self.vae.config.scaling_factor
        return shifted.flatten(1)  # type: ignore[no-any-return]

    def check_truncates(self, truncation: float) -> None:
        """Refuse a truncation below 1 (ValueError): shorter codes are flat images, not likelier ones."""
        if truncation != 1.0:
            raise ValueError(
                f"this AutoencoderKL has no truncation: the mean of its codes is no mean image; use truncation 1, got "
                f"{truncation:g}"
            )

    def arguments(self) -> dict[str, Any]:
        """What the constructor takes, for files."""
        return {"config": self.config, "size": self.image_shape[1:]}
