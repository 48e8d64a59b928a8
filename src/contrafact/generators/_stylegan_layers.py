"""StyleGAN's layers: convolution, noise, leaky ReLU, instance normalisation, and a style from W.

Upsampling by copying pixels and then a 3×3 convolution are one transposed convolution with a 4×4 kernel, at less than
half the products; so all sides do it that way, where the originals do from 128 pixels on.

Shape suffixes: N samples, I input channels, O output channels, C image channels, H, W sides.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from contrafact.nn.activations import ACTIVATIONS
from contrafact.nn.equalized import Dense


class StyledLayer(nn.Module):
    """A 3×3 convolution and what follows it; ``up`` doubles the sides first.

    Args:
        in_channels: I; None for the first layer, which has no convolution.
        out_channels: O.
        latent_dim: dimensions of W.
        side: output side.
        up: whether it doubles the sides.
        epsilon: what the instance normalisation adds to the variance.
        activation: ``lrelu`` or ``relu``, without a gain.
        blurred_bias: whether an upsampling layer's bias comes before the low-pass filter, which dims it at the edges.

    Attributes:
        affine: W to O scales, less 1, and O shifts.
        weight: ``(O, I, 3, 3)``; for ``up``, as ``conv_transpose2d`` reads it.
        noise_strength: ``(O,)``.
        noise: the fixed noise image ``(H, W)``.
    """

    noise: Tensor

    def __init__(
        self,
        in_channels: int | None,
        out_channels: int,
        latent_dim: int,
        side: int,
        up: bool,
        epsilon: float,
        activation: str,
        blurred_bias: bool,
    ) -> None:
        super().__init__()
        self.affine = Dense(latent_dim, 2 * out_channels)
        if in_channels is not None:
            self.weight = nn.Parameter(torch.randn(out_channels, in_channels, 3, 3))
            self.gain = math.sqrt(2 / (9 * in_channels))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.noise_strength = nn.Parameter(torch.zeros(out_channels))
        self.register_buffer("noise", torch.randn(side, side))
        self.first, self.up, self.epsilon, self.activation = in_channels is None, up, epsilon, activation
        self.blurred_bias = blurred_bias and up

    def forward(self, x: Tensor, w: Tensor, kernel: Tensor, noise: Tensor | None) -> Tensor:
        """Activations ``(N, O, H, W)``.

        Args:
            x: ``(N, I, H, W)``; for the first layer the constant ``(1, O, H, W)``, of which a copy is made per latent.
            w: ``(N, L)``.
            kernel: the low-pass filter ``(3, 3)``.
            noise: ``(H, W)``, ``(N, H, W)`` or None.
        """
        if self.up:
            x = self._upsampled(x, kernel)
        elif not self.first:
            x = F.conv2d(x, self.weight * self.gain, padding=1)
        # In channels-last order throughout: a sum with a tensor of another layout would copy the activations.
        shift = self.bias.new_zeros(()) if self.blurred_bias else self.bias
        x_NHWO = x.permute(0, 2, 3, 1) + (
            shift if noise is None else torch.addcmul(shift, noise[..., None], self.noise_strength)
        )
        x_NHWO = ACTIVATIONS[self.activation][0](x_NHWO)
        # Centred before it is scaled: where a channel hardly varies, the scale is up to 1e4.
        x_NHWO = x_NHWO - x_NHWO.mean(dim=(1, 2), keepdim=True)
        deviation = torch.rsqrt(x_NHWO.square().mean(dim=(1, 2), keepdim=True) + self.epsilon)
        scale, offset = self.affine(w)[:, None, None].chunk(2, dim=3)
        return torch.addcmul(offset, x_NHWO, (scale + 1) * deviation).permute(0, 3, 1, 2)

    def _upsampled(self, x: Tensor, kernel: Tensor) -> Tensor:
        """Convolution onto twice the sides, then the low-pass filter."""
        around = F.pad(self.weight * self.gain, (1, 1, 1, 1))
        four = around[:, :, 1:, 1:] + around[:, :, :-1, 1:] + around[:, :, 1:, :-1] + around[:, :, :-1, :-1]
        bias = self.bias if self.blurred_bias else None
        x = F.conv_transpose2d(x, four.transpose(0, 1), bias, stride=2, padding=1)
        channels = x.shape[1]
        return F.conv2d(x, kernel.expand(channels, 1, 3, 3), padding=1, groups=channels)


class ToImage(nn.Module):
    """1×1 convolution to the image's channels."""

    def __init__(self, in_channels: int, image_channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(image_channels, in_channels))
        self.bias = nn.Parameter(torch.zeros(image_channels))
        self.gain = 1 / math.sqrt(in_channels)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, I, H, W)`` to ``(N, C, H, W)``."""
        return F.linear(x.permute(0, 2, 3, 1), self.weight * self.gain, self.bias).permute(0, 3, 1, 2)
