"""StyleGAN2's layers: modulated convolution, the image's increments, resampling.

Modulated convolution here scales the activations before and after one dense convolution, which equals scaling every
sample's weights and needs no grouped convolution; the leaky ReLU's gain √2 is folded into that scaling because it is
positively homogeneous.

Shape suffixes: N samples, I input channels, O output channels, P places, T taps, C image channels, H, W sides.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from contrafact.nn.activations import ACTIVATIONS, SLOPE
from contrafact.nn.equalized import Dense

_EPSILON = 1e-8


class StyledConv(nn.Module):
    """Modulated 3×3 convolution, noise, bias and activation; ``up`` doubles the sides first.

    Attributes:
        affine: W to styles ``(N, I)``.
        weight: ``(O, I, 3, 3)``; for ``up``, as ``conv_transpose2d`` reads it.
        noise: the fixed noise image ``(H, W)``.
    """

    noise: Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        latent_dim: int,
        side: int,
        up: bool,
        clamp: float | None,
        activation: str = "lrelu",
    ) -> None:
        super().__init__()
        self.affine = Dense(latent_dim, in_channels, bias_init=1.0)
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, 3, 3))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.noise_strength = nn.Parameter(torch.zeros(()))
        self.register_buffer("noise", torch.randn(side, side))
        self.side, self.up, self.clamp, self.activation = side, up, clamp, activation

    def forward(self, x: Tensor, w: Tensor, kernel: Tensor, noise: Tensor | None) -> Tensor:
        """Activations ``(N, O, H, W)``.

        Args:
            x: ``(N, I, H, W)``, or ``(1, I, H, W)``: the same for all samples, as in the first layer.
            w: ``(N, L)``.
            kernel: the resampling filter.
            noise: ``(H, W)``, ``(N, H, W)`` or None.
        """
        styles_NI = self.affine(w)
        weight = self.weight * (1 / math.sqrt(self.weight[0].numel()))
        energy_OI = weight.square().sum(dim=(2, 3))
        gain = math.sqrt(2) if self.activation == "lrelu" else 1.0  # others are not homogeneous: theirs comes last
        demodulation_NO = torch.rsqrt(styles_NI.square() @ energy_OI.T + _EPSILON) * gain
        if len(x) == 1 < len(w) and not self.up:
            x = _conv_of_one(x, styles_NI, weight)
        else:
            x = x * styles_NI[:, :, None, None]
            x = _upsampling_conv(x, weight, kernel) if self.up else F.conv2d(x, weight, padding=1)
        # In channels-last order throughout: a sum with a tensor of another layout would copy the activations.
        shift = self.bias if noise is None else self.bias + self.noise_strength * noise[..., None]
        x_NHWO = torch.addcmul(gain * shift, x.permute(0, 2, 3, 1), demodulation_NO[:, None, None])
        x = self._activated(x_NHWO).permute(0, 3, 1, 2)
        return x if self.clamp is None else x.clamp(-self.clamp, self.clamp)

    def _activated(self, x: Tensor) -> Tensor:
        if self.activation == "lrelu":
            return F.leaky_relu_(x, SLOPE)
        activate, gain = ACTIVATIONS[self.activation]
        return activate(x) * gain


class ToImage(nn.Module):
    """Modulated 1×1 convolution to the image's channels, without demodulation."""

    def __init__(self, in_channels: int, image_channels: int, latent_dim: int, clamp: float | None) -> None:
        super().__init__()
        self.affine = Dense(latent_dim, in_channels, bias_init=1.0)
        self.weight = nn.Parameter(torch.randn(image_channels, in_channels))
        self.bias = nn.Parameter(torch.zeros(image_channels))
        self.clamp = clamp

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """``(N, I, H, W)`` to ``(N, C, H, W)``."""
        styles_NI = self.affine(w) * (1 / math.sqrt(self.weight.shape[1]))
        weight_NIC = styles_NI[:, :, None] * self.weight.T
        # With so few outputs, one small matrix per sample beats scaling all activations.
        pixels = x.permute(0, 2, 3, 1).flatten(1, 2)
        image: Tensor = (pixels @ weight_NIC + self.bias).transpose(1, 2).unflatten(2, x.shape[2:])
        return image if self.clamp is None else image.clamp(-self.clamp, self.clamp)


def _conv_of_one(x: Tensor, styles_NI: Tensor, weight: Tensor) -> Tensor:
    """3×3 convolution of one input ``(1, I, H, W)``, its channels scaled by each sample's styles: ``(N, O, H, W)``.

    It is linear in the styles: each channel is convolved once (patches of 9 pixels T at P places), then all samples are
    one product, a ninth of the work.
    """
    patches_IPT = F.unfold(x, 3, padding=1).unflatten(1, (x.shape[1], 9)).squeeze(0).transpose(1, 2)
    response_IPO = patches_IPT @ weight.permute(1, 2, 3, 0).flatten(1, 2)
    out_NHWO: Tensor = (styles_NI @ response_IPO.flatten(1)).unflatten(1, (*x.shape[2:], -1))
    return out_NHWO.permute(0, 3, 1, 2)


def _upsampling_conv(x: Tensor, weight: Tensor, kernel: Tensor) -> Tensor:
    """Convolution onto twice the sides, then the low-pass ``kernel (4, 4)``."""
    x = F.conv_transpose2d(x, weight.transpose(0, 1), stride=2)
    channels = x.shape[1]
    return F.conv2d(x, kernel.expand(channels, 1, 4, 4), padding=1, groups=channels)


def upsample(image: Tensor, kernel: Tensor) -> Tensor:
    channels = image.shape[1]
    # The image is a sum over all sides: even in mixed precision it stays in full.
    with torch.autocast(image.device.type, enabled=False):
        return F.conv_transpose2d(image, kernel.expand(channels, 1, 4, 4), stride=2, padding=1, groups=channels)
