"""A small denoising U-Net: one residual block per level, attention at the bottleneck, conditioned on time.

Shape suffixes: N images, C channels, H height, W width, E embedding dimensions.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from contrafact.core.dataset import check_count

FREQUENCIES = 32
"""Sines, and as many cosines, that a time is given as."""


class Bottleneck(NamedTuple):
    """How far the downward half got.

    Attributes:
        h: activations of the bottleneck ``(N, C, H, W)``: the h of "h-space".
        skips: what the upward half reads beside it, the widest last.
        embedded: the time ``(N, E)``.
    """

    h: Tensor
    skips: list[Tensor]
    embedded: Tensor


class UNet(nn.Module):
    """Images with noise and times to what is asked of a denoiser, an image of the same shape.

    Sides that the levels do not halve are padded inside. The last convolution starts at zero.

    Args:
        image_shape: ``(C, H, W)``.
        channels: of each level, the widest first; every level but the first halves the sides.
        patch: side of the squares of pixels that are folded into channels first: 2 lets images of 64 pixels cost as
            much as ones of 32.

    Raises:
        ValueError: no levels, or channels that eight groups do not divide.

    >>> unet = UNet((1, 28, 28), channels=(8, 16))
    >>> unet(torch.zeros(2, 1, 28, 28), torch.tensor([0.1, 0.9])).shape, unet.h_shape
    (torch.Size([2, 1, 28, 28]), (16, 14, 14))
    """

    def __init__(self, image_shape: tuple[int, int, int], channels: tuple[int, ...], patch: int = 1) -> None:
        super().__init__()
        if not channels or any(check_count("channels", count) % 8 for count in channels):
            raise ValueError(f"channels must be one or more multiples of 8, got {tuple(channels)}")
        self.image_shape, self.channels, self.patch = tuple(image_shape), tuple(channels), check_count("patch", patch)
        deepest = patch << (len(channels) - 1)
        colours, height, width = image_shape
        self.padding = (-width % deepest, -height % deepest)
        sides = [(side + more) // deepest for side, more in zip((height, width), reversed(self.padding), strict=True)]
        self.h_shape = (channels[-1], sides[0], sides[1])
        embedding = 4 * channels[0]
        self.time = nn.Sequential(nn.Linear(2 * FREQUENCIES, embedding), nn.SiLU(), nn.Linear(embedding, embedding))
        self.first = nn.Conv2d(colours * patch**2, channels[0], 3, padding=1)
        before = (channels[0], *channels[:-1])
        self.down = nn.ModuleList(_Block(a, b, embedding) for a, b in zip(before, channels, strict=True))
        self.middle = nn.ModuleList([_Block(channels[-1], channels[-1], embedding) for _ in range(2)])
        self.attention = _Attention(channels[-1])
        after = tuple(reversed((channels[0], *channels[:-1])))
        self.up = nn.ModuleList(_Block(2 * a, b, embedding) for a, b in zip(reversed(channels), after, strict=True))
        self.norm = nn.GroupNorm(8, channels[0])
        self.last = nn.Conv2d(channels[0], colours * patch**2, 3, padding=1)
        nn.init.zeros_(self.last.weight)
        assert self.last.bias is not None
        nn.init.zeros_(self.last.bias)

    def forward(self, images: Tensor, time: Tensor, shift: Tensor | None = None) -> Tensor:
        """``(N, C, H, W)``.

        Args:
            images: with noise, ``(N, C, H, W)``.
            time: ``(N,)`` in [0, 1].
            shift: added to the bottleneck's activations, of their shape.
        """
        reached = self.reach(images, time)
        return self.end(list(self.rise(reached, shift))[-1])

    def reach(self, images: Tensor, time: Tensor) -> Bottleneck:
        """The downward half, and the bottleneck."""
        embedded = self.time(_waves(time))
        right, below = self.padding
        x = F.pad(images, (0, right, 0, below), mode="replicate") if right or below else images
        x = self.first(F.pixel_unshuffle(x, self.patch) if self.patch > 1 else x)
        skips = []
        for level, block in enumerate(self.down):
            x = block(F.avg_pool2d(x, 2) if level else x, embedded)
            skips.append(x)
        x = self.middle[1](self.attention(self.middle[0](x, embedded)), embedded)
        return Bottleneck(x, skips, embedded)

    def rise(self, reached: Bottleneck, shift: Tensor | None = None) -> Iterator[Tensor]:
        """Activations of each level of the upward half, one after the other."""
        x = reached.h if shift is None else reached.h + shift
        for level, (block, skip) in enumerate(zip(self.up, reversed(reached.skips), strict=True)):
            x = F.interpolate(x, scale_factor=2.0, mode="nearest") if level else x
            x = block(torch.cat([x, skip], dim=1), reached.embedded)
            yield x

    def end(self, activations: Tensor) -> Tensor:
        """What the widest level's activations say, at the images' size."""
        x = self.last(F.silu(self.norm(activations)))
        x = F.pixel_shuffle(x, self.patch) if self.patch > 1 else x
        _, height, width = self.image_shape
        return x[..., :height, :width]


class _Block(nn.Module):
    """Two convolutions; the time scales and shifts what comes between."""

    def __init__(self, inputs: int, outputs: int, embedding: int) -> None:
        super().__init__()
        self.norm, self.norm2 = nn.GroupNorm(8, inputs), nn.GroupNorm(8, outputs)
        self.conv, self.conv2 = (nn.Conv2d(count, outputs, 3, padding=1) for count in (inputs, outputs))
        self.film = nn.Linear(embedding, 2 * outputs)
        self.bypass = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()
        nn.init.zeros_(self.conv2.weight)  # a block starts as its bypass

    def forward(self, x: Tensor, embedded: Tensor) -> Tensor:
        scale, shift = self.film(F.silu(embedded))[..., None, None].chunk(2, dim=1)
        y = self.norm2(self.conv(F.silu(self.norm(x)))) * (1 + scale) + shift
        out: Tensor = self.bypass(x) + self.conv2(F.silu(y))
        return out


class _Attention(nn.Module):
    """Self-attention over places, with a head for every 32 channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.heads = max(1, channels // 32)
        while channels % self.heads:
            self.heads -= 1
        self.norm = nn.GroupNorm(8, channels)
        self.project, self.out = nn.Linear(channels, 3 * channels), nn.Linear(channels, channels)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, x: Tensor) -> Tensor:
        places = self.norm(x).flatten(2).transpose(1, 2)
        query, key, value = (
            part.unflatten(2, (self.heads, -1)).transpose(1, 2) for part in self.project(places).chunk(3, dim=2)
        )
        # Written out: the bottleneck has few places, and the fused kernel has no forward-mode derivative.
        weights = (query @ key.transpose(2, 3) / math.sqrt(query.shape[-1])).softmax(dim=-1)
        read = self.out((weights @ value).transpose(1, 2).flatten(2))
        out: Tensor = x + read.transpose(1, 2).unflatten(2, x.shape[2:])
        return out


def _waves(time: Tensor) -> Tensor:
    """Sines and cosines ``(N, 2·FREQUENCIES)`` of times in [0, 1]."""
    steps = torch.arange(FREQUENCIES, device=time.device, dtype=time.dtype)
    angle = 1000 * time[:, None] * torch.exp(-math.log(10_000) / FREQUENCIES * steps)
    return torch.cat([angle.sin(), angle.cos()], dim=1)
