"""StyleGAN3's layers: Fourier features that the latent turns and moves, and convolutions between low-pass filters.

Filters are depthwise convolutions, without the zeros that upsampling puts between pixels. Activations stay in
channels-last order, in which those are several times as fast.

Shape suffixes: N samples, L latent dimensions, I input channels, O output channels, C channels, H, W sides.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from contrafact.generators._stylegan3_bands import Array, Band, lowpass, radial_lowpass
from contrafact.nn.activations import SLOPE
from contrafact.nn.equalized import Dense

_EPSILON = 1e-8
_LONGEST = 512
"""Taps of a filter at most."""


class FourierInput(nn.Module):
    """Sine waves over the image's plane, turned and moved as the latent says, and mixed by a matrix.

    Attributes:
        affine: W to ``(cos, sin, x, y)`` ``(N, 4)``: how the image is turned and moved, all times the length of
            ``(cos, sin)``; x and y in image sides.
        freqs: ``(C, 2)``, cycles per image along x and y.
        phases: ``(C,)``, in cycles.
        transform: ``(3, 3)``, from places of the image to where their content was before.
    """

    freqs: Tensor
    phases: Tensor
    transform: Tensor

    def __init__(self, channels: int, latent_dim: int, band: Band) -> None:
        super().__init__()
        self.affine = Dense(latent_dim, 4)
        self.weight = nn.Parameter(torch.randn(channels, channels))
        freqs = torch.randn(channels, 2)
        radii = freqs.norm(dim=1, keepdim=True)
        # Uniform in the band's disc: the Gaussian radius through its distribution function, whose root is the radius.
        uniform = (1 - (-radii.square() / 2).exp()).sqrt()
        self.register_buffer("freqs", freqs / radii * uniform * band.cutoff)
        self.register_buffer("phases", torch.rand(channels) - 0.5)
        self.register_buffer("transform", torch.eye(3))
        with torch.no_grad():
            assert self.affine.bias is not None
            self.affine.weight.zero_()
            self.affine.bias[0] = 1.0
        self.band = band

    def forward(self, w: Tensor) -> Tensor:
        """Activations ``(N, C, H, W)`` in channels-last order, of W ``(N, L)``."""
        # Places need more digits than half precision has; as in the original, it begins behind the input.
        with torch.autocast(w.device.type, enabled=False):
            return self._waves(w.float())

    def _waves(self, w: Tensor) -> Tensor:
        pose_N4 = self.affine(w)
        pose_N4 = pose_N4 / pose_N4[:, :2].norm(dim=1, keepdim=True)
        cos, sin = pose_N4[:, 0], pose_N4[:, 1]
        turn_N22 = torch.stack((cos, -sin, sin, cos), dim=1).unflatten(1, (2, 2))
        freqs_NC2 = self.freqs @ (turn_N22 @ self.transform[:2, :2])
        offset_N21 = turn_N22 @ (self.transform[:2, 2:] - pose_N4[:, 2:, None])
        phases_NC = self.phases + (self.freqs @ offset_N21).squeeze(2)
        # A transform of the user's may enlarge frequencies beyond what the sampling rate can hold.
        silent = self.band.rate / 2
        passed_NC = ((silent - freqs_NC2.norm(dim=2)) / (silent - self.band.cutoff)).clamp(0, 1)
        places = (torch.arange(self.band.side, device=w.device) + 0.5 - self.band.side / 2) / self.band.rate
        along_x_NWC = 2 * math.pi * (places[:, None] * freqs_NC2[:, None, :, 0] + phases_NC[:, None])
        along_y_NHC = 2 * math.pi * (places[:, None] * freqs_NC2[:, None, :, 1])
        # The sine of a sum of both, which takes sines of lines only.
        across, down = along_x_NWC[:, None], along_y_NHC[:, :, None]
        waves_NHWC = across.sin() * (down.cos() * passed_NC[:, None, None]) + across.cos() * (
            down.sin() * passed_NC[:, None, None]
        )
        mixed: Tensor = waves_NHWC @ (self.weight.T / math.sqrt(len(self.phases)))
        return mixed.permute(0, 3, 1, 2)


class Upsample(nn.Module):
    """Zeros between the pixels, zeros or a cut around, and a filter along both axes.

    Output i is the sum over inputs j of ``taps[factor·j + offset − i] x_j``: for each remainder of i by the factor, a
    filter of the input with every so many taps, so that no zero is multiplied.

    Args:
        taps: the filter, at the higher rate.
        factor: how many times the rate grows.
        offset: zeros before the first input, at the higher rate; cut off where negative.
        inputs: pixels of a side.
        outputs: pixels of a side at least; there may be some more, up to a multiple of the factor.
    """

    def __init__(self, taps: Array, factor: int, offset: int, inputs: int, outputs: int) -> None:
        super().__init__()
        first = -(offset // factor)
        length = -(-(len(taps) - offset + factor - 1) // factor) - first
        phases = np.zeros((factor, length))
        for phase in range(factor):
            for place in range(length):
                tap = factor * (first + place) + offset - phase
                phases[phase, place] = taps[tap] if 0 <= tap < len(taps) else 0
        self.factor, self.before = factor, -first
        self.after = -(-outputs // factor) - 1 + first + length - inputs
        self.phases: Tensor
        self.register_buffer("phases", torch.tensor(phases, dtype=torch.float32), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, C, S, S)`` to pixels in the order of :meth:`unfold`, which brings them into their places."""
        channels = x.shape[1]
        x = F.pad(x, (self.before, self.after, self.before, self.after))
        kernels = self.phases.to(x.dtype)[:, None, :, None].repeat_interleave(channels, 0)
        lines = [F.conv2d(x, kernel, groups=channels) for kernel in kernels.chunk(self.factor)]
        x_NHWC = torch.stack([line.permute(0, 2, 3, 1) for line in lines], dim=2).flatten(1, 2)
        # Along W one convolution makes all remainders as channels, which in this order of memory lie side by side.
        x = x_NHWC.repeat(1, 1, 1, self.factor).permute(0, 3, 1, 2)
        return F.conv2d(x, kernels.transpose(2, 3), groups=len(kernels))

    def unfold(self, x: Tensor) -> Tensor:
        """``(N, factor·C, S', S'/factor)`` to ``(N, C, S', S')``, in channels-last order."""
        n, channels, side, _ = x.shape
        return x.permute(0, 2, 3, 1).reshape(n, side, -1, channels // self.factor).permute(0, 3, 1, 2)


class Downsample(nn.Module):
    """A filter, of whose outputs every so many are kept: ``(N, C, S, S)`` to ``(N, C, S', S')``, channels-last.

    Args:
        taps: the filter along both axes ``(T,)``, or in the plane ``(T, T)``.
        factor: how many times the rate shrinks.
        outputs: S'.
    """

    def __init__(self, taps: Array, factor: int, outputs: int) -> None:
        super().__init__()
        self.factor, self.outputs = factor, outputs
        self.taps: Tensor
        self.register_buffer("taps", torch.tensor(taps, dtype=torch.float32), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        channels, taps, step = x.shape[1], self.taps.to(x.dtype), self.factor
        if taps.ndim == 2:
            x = F.conv2d(x, taps.expand(channels, 1, -1, -1), stride=step, groups=channels)
        else:
            x = F.conv2d(x, taps[:, None].expand(channels, 1, -1, -1), stride=(step, 1), groups=channels)
            x = F.conv2d(x, taps.expand(channels, 1, 1, -1), stride=(1, step), groups=channels)
        return x[:, :, : self.outputs, : self.outputs]


class FilteredConv(nn.Module):
    """Modulated convolution; then, at a higher sampling rate between two low-pass filters, a leaky ReLU.

    Args:
        in_channels: I.
        out_channels: O.
        latent_dim: L.
        before: what it takes.
        after: what it gives.
        kernel: side of the convolution's kernel.
        radial: whether the second filter is radially symmetric, so that it favours no direction.
        taps: length of the filters, in pixels of the lower rate.
        oversampling: how much finer than both the rate is at which the leaky ReLU works.
        clamp: bound of its output, None for none.

    Attributes:
        affine: W to styles ``(N, I)``.
        weight: ``(O, I, kernel, kernel)``.
        magnitude_ema: mean square of the inputs in training, by which they are normalised.

    Raises:
        ValueError: sampling rates that are no multiples of each other.
    """

    magnitude_ema: Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        latent_dim: int,
        before: Band,
        after: Band,
        kernel: int,
        radial: bool,
        taps: int,
        oversampling: int,
        clamp: float | None,
    ) -> None:
        super().__init__()
        self.affine = Dense(latent_dim, in_channels, bias_init=1.0)
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.register_buffer("magnitude_ema", torch.ones(()))
        self.clamp = clamp
        rate = max(before.rate, after.rate) * oversampling
        up, down = rate // before.rate, rate // after.rate
        if up * before.rate != rate or down * after.rate != rate or not max(up, down) * taps <= _LONGEST:
            raise ValueError(
                f"a layer's sampling rates must be small multiples of each other, got {before} and {after}, "
                f"taps {taps}, oversampling {oversampling}"
            )
        up_taps, down_taps = (taps * factor if factor > 1 else 1 for factor in (up, down))
        inputs = before.side + kernel - 1
        between = (after.side - 1) * down + down_taps
        # So that the places of input and output have the same middle.
        padding = between + up_taps - 1 - inputs * up
        offset = (padding + up) // 2
        # Zeros between the pixels leave 1/up of the signal; the activation's gain has no better place.
        self.up_filter = lowpass(up_taps, before, rate)
        self.upsample = Upsample(self.up_filter * up * 2**0.25, up, offset, inputs, between)
        self.down_filter = (radial_lowpass if radial and down > 1 else lowpass)(down_taps, after, rate)
        self.downsample = Downsample(self.down_filter, down, after.side)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """``(N, I, H, W)`` to ``(N, O, H', W')``, both in channels-last order, with W ``(N, L)``."""
        styles_NI = self.affine(w)
        # Demodulation takes out whatever scale weights and styles have; small numbers keep half precision finite.
        styles_NI = styles_NI * styles_NI.square().mean(dim=1, keepdim=True).rsqrt()
        weight = self.weight * self.weight.square().mean(dim=(1, 2, 3), keepdim=True).rsqrt()
        gain_NO = torch.rsqrt(styles_NI.square() @ weight.square().sum(dim=(2, 3)).T + _EPSILON)
        x = F.conv2d(x * styles_NI[:, :, None, None], weight, padding=weight.shape[2] - 1)
        gain_NO = gain_NO * self.magnitude_ema.rsqrt()
        x_NHWO = torch.addcmul(self.bias, x.permute(0, 2, 3, 1), gain_NO[:, None, None])
        # In place, and so before it is a view: in place of a view, backward would copy what surrounds it.
        x = F.leaky_relu_(self.upsample(x_NHWO.permute(0, 3, 1, 2)), SLOPE)
        if self.clamp is not None:
            # Backward through the leaky ReLU needs its output, which otherwise may make room.
            x = x.clamp(-self.clamp, self.clamp) if x.requires_grad else x.clamp_(-self.clamp, self.clamp)
        out: Tensor = self.downsample(self.upsample.unfold(x))
        return out


class ProjectedEmbedding(nn.Module):
    """StyleGAN-XL's classes: rows of features of another network's, through a layer and a leaky ReLU.

    Args:
        classes: how many.
        width: of the rows.
        out_dim: width of what comes out.
    """

    def __init__(self, classes: int, width: int, out_dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(classes, width))
        self.projection = Dense(width, out_dim, activated=True)

    def forward(self, one_hot: Tensor) -> Tensor:
        """``(N, classes)`` to ``(N, out_dim)``."""
        projected: Tensor = self.projection(one_hot @ self.weight)
        return projected


class ToImage(nn.Module):
    """Modulated 1×1 convolution to the image's channels, without demodulation or filters.

    Attributes:
        magnitude_ema: as :class:`FilteredConv`'s.
    """

    magnitude_ema: Tensor

    def __init__(self, in_channels: int, image_channels: int, latent_dim: int, clamp: float | None) -> None:
        super().__init__()
        self.affine = Dense(latent_dim, in_channels, bias_init=1.0)
        self.weight = nn.Parameter(torch.randn(image_channels, in_channels))
        self.bias = nn.Parameter(torch.zeros(image_channels))
        self.register_buffer("magnitude_ema", torch.ones(()))
        self.clamp = clamp

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """``(N, I, H, W)`` to ``(N, C, H, W)``."""
        styles_NI = self.affine(w) * (self.magnitude_ema * self.weight.shape[1]).rsqrt()
        weight_NIC = styles_NI[:, :, None] * self.weight.T
        pixels = x.permute(0, 2, 3, 1).flatten(1, 2)
        image: Tensor = (pixels @ weight_NIC + self.bias).transpose(1, 2).unflatten(2, x.shape[2:])
        return image if self.clamp is None else image.clamp(-self.clamp, self.clamp)
