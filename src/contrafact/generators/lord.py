"""LORD's decoders: factor codes and a residual in, images out (Gabbay & Hoshen 2020).

Demystifying Inter-Class Disentanglement, ICLR 2020, https://arxiv.org/abs/1906.11796. ``conv`` is the decoder of the
factor benchmarks (linear 256, a 4×4×64 map, stride-2 transposed conv4s with 64, 32, 32 channels); ``style`` a
StyleGAN2 synthesis network without mapping or noise, for photographs.

The latents of latent optimisation have no prior. To draw one, each coordinate is drawn by itself from its own
distribution over the training images: what disentangled codes allow.

Shape suffixes: N samples, L latent dimensions, Q quantiles, C channels, H height, W width.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from contrafact.core.catalog import unknown_name_message
from contrafact.core.dataset import check_count
from contrafact.core.generator import Generator
from contrafact.generators.stylegan2 import StyleGAN2
from contrafact.nn.decoders import num_doublings
from contrafact.nn.quantiles import at_quantiles, measured_quantiles, normal_quantiles

Decoder = Literal["conv", "style"]


class LORD(Generator):
    """Images of latents whose columns are codes of factors, then a residual.

    Args:
        latent_dim: L.
        image_shape: ``(C, H, W)``.
        decoder: ``conv`` or ``style``.
        width: multiplies every channel count.
        parts: columns ``(first, last)`` of each factor and of the residual.

    >>> LORD(4, (3, 32, 32)).layer_names
    ('blocks.0', 'blocks.1', 'blocks.2')
    """

    quantiles: Tensor

    def __init__(
        self,
        latent_dim: int,
        image_shape: tuple[int, int, int],
        decoder: Decoder = "conv",
        width: float = 1.0,
        parts: Mapping[str, tuple[int, int]] | None = None,
    ) -> None:
        super().__init__()
        if decoder not in ("conv", "style"):
            raise ValueError(unknown_name_message("decoder", decoder, ["conv", "style"]))
        if not width > 0:
            raise ValueError(f"width must be positive, got {width}")
        channels, height, image_width = image_shape
        self.latent_dim = self.prior_dim = check_count("latent_dim", latent_dim)
        self.image_shape, self.decoder, self.width = (channels, height, image_width), decoder, width
        self.parts = {name: (int(first), int(last)) for name, (first, last) in (parts or {}).items()}
        self.space = "codes"
        if decoder == "conv":
            doublings = num_doublings(height, image_width)
            self.base = (height // 2**doublings, image_width // 2**doublings)
            sizes = [max(4, round(c * width)) for c in [64, 64, *[32] * doublings][:doublings]]
            hidden = max(8, round(256 * width))
            self.stem = nn.Sequential(
                nn.Linear(latent_dim, hidden),
                nn.ReLU(inplace=True),
                nn.Linear(hidden, sizes[0] * self.base[0] * self.base[1]),
                nn.ReLU(inplace=True),
            )
            self.blocks = nn.ModuleList(
                nn.ConvTranspose2d(before, after, 4, stride=2, padding=1)
                for before, after in itertools.pairwise([*sizes, channels])
            )
            self.layer_names = tuple(f"blocks.{i}" for i in range(doublings))
        else:
            if height != image_width:
                raise ValueError(f"the style decoder makes square images, got {height}×{image_width}; use conv")
            counts_at = [max(4, round(min(512, 32768 >> r) * width)) for r in range(2, height.bit_length())]
            self.synthesis = StyleGAN2(
                height, latent_dim, channels=counts_at, mapping_layers=1, image_channels=channels
            )
            self.synthesis.mapping = nn.ModuleList()  # codes go straight into the layers
            self.layer_names = self.synthesis.layer_names
        self.register_buffer("quantiles", normal_quantiles(latent_dim))
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it

    @classmethod
    def tiny(cls) -> LORD:
        """A small instance for examples and contract tests."""
        return cls(5, (3, 16, 16), width=0.25, parts={"hue": (0, 2), "residual": (2, 5)})

    @torch.no_grad()
    def fit_prior(self, latents: Tensor) -> None:
        """Draw from now on each coordinate as it is distributed in ``latents (N, L)``."""
        self.quantiles.copy_(measured_quantiles(latents))

    def map(self, z: Tensor, label: Tensor | None = None, truncation: float | None = None) -> Tensor:
        """Prior noise ``(N, L)`` to codes: the quantile of each coordinate at Φ(z)."""
        truncation = self.check_condition(label, truncation)
        return at_quantiles(self.quantiles, z * truncation)

    def forward(self, latent: Tensor) -> Tensor:
        latent = self.check_latent(latent)
        if self.decoder == "style":
            return self.synthesis(latent, noise="none")  # type: ignore[no-any-return]
        return torch.sigmoid(self.features(latent, self.layer_names[-1]))

    def features(self, latent: Tensor, layer: str) -> Tensor:
        if layer not in self.layer_names:
            raise ValueError(unknown_name_message("layer", layer, self.layer_names))
        if self.decoder == "style":
            return self.synthesis.features(latent, layer)
        hidden: Tensor = self.stem(latent).unflatten(1, (-1, *self.base)).contiguous(memory_format=torch.channels_last)
        for number, block in enumerate(self.blocks[: self.layer_names.index(layer) + 1]):
            hidden = block(F.relu_(hidden) if number else hidden)
        return hidden

    def latent_weights(self, layers: tuple[int, int] | None = None) -> Tensor:
        if self.decoder == "style":
            return self.synthesis.latent_weights(layers)
        first = self.stem[0]
        assert isinstance(first, nn.Linear)
        return first.weight

    def arguments(self) -> dict[str, Any]:
        return {
            "latent_dim": self.latent_dim,
            "image_shape": self.image_shape,
            "decoder": self.decoder,
            "width": self.width,
            "parts": self.parts,
        }
