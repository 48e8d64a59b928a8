"""An autoencoder whose small feature map is made of entries of a codebook: what latent diffusion denoises.

van den Oord, Vinyals & Kavukcuoglu, "Neural Discrete Representation Learning", NeurIPS 2017,
https://arxiv.org/abs/1711.00937 (Eq. 3), in the shape of Rombach et al. 2022, https://arxiv.org/abs/2112.10752: 32, 64,
128 channels, two residual blocks a level. Their discriminator and perceptual distance are left out.

Shape suffixes: N images, D dimensions of an entry, K entries, P positions, H height, W width.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from contrafact.core.dataset import check_count
from contrafact.nn.token_unet import ResidualBlock

COMMITMENT = 0.25
"""β of Eq. 3: how much the encoder pays for standing away from its entry."""


class Quantised(NamedTuple):
    """What became of a feature map.

    Attributes:
        map: ``(N, D, H, W)`` entries; gradients pass to what was quantised as if nothing had been done to it.
        numbers: ``(N, H, W)`` of the entries.
        distance: the codebook's and the encoder's part of Eq. 3, means over all numbers.
    """

    map: Tensor
    numbers: Tensor
    distance: Tensor


class VectorQuantised(nn.Module):
    """Encoder, codebook and decoder.

    Args:
        image_shape: ``(C, H, W)``; sides that ``shrink`` divides.
        entries: K.
        entry_dim: D.
        shrink: how many times smaller the map is than the image, a power of 2.
        channels: of the level at the image's size; each halving doubles them.
        blocks: residual blocks of each level.

    >>> made = VectorQuantised((3, 16, 16), entries=8, channels=8)
    >>> made.encode(torch.zeros(2, 3, 16, 16)).shape, made.quantise(torch.zeros(2, 3, 4, 4)).numbers.shape
    (torch.Size([2, 3, 4, 4]), torch.Size([2, 4, 4]))
    >>> made.decode(torch.zeros(2, 3, 4, 4)).shape
    torch.Size([2, 3, 16, 16])
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        entries: int = 2048,
        entry_dim: int = 3,
        shrink: int = 4,
        channels: int = 32,
        blocks: int = 2,
    ) -> None:
        super().__init__()
        if shrink < 1 or shrink & (shrink - 1):
            raise ValueError(f"shrink must be a power of 2, got {shrink}")
        sizes = [channels * 2**level for level in range(shrink.bit_length())]
        down: list[nn.Module] = [nn.Conv2d(image_shape[0], sizes[0], 3, padding=1)]
        for before, after in itertools.pairwise([sizes[0], *sizes]):
            down += [ResidualBlock(before if k == 0 else after, after) for k in range(blocks)]
            down.append(nn.Conv2d(after, after, 3, stride=2, padding=1))
        up: list[nn.Module] = [nn.Conv2d(entry_dim, sizes[-1], 3, padding=1)]
        for before, after in itertools.pairwise([sizes[-1], *sizes[::-1]]):
            up += [ResidualBlock(before if k == 0 else after, after) for k in range(blocks)]
            up += [nn.Upsample(scale_factor=2.0, mode="nearest"), nn.Conv2d(after, after, 3, padding=1)]
        self.down = nn.Sequential(*down[:-1], nn.SiLU(), nn.Conv2d(sizes[-1], entry_dim, 3, padding=1))
        self.up = nn.Sequential(*up[:-2], nn.SiLU(), nn.Conv2d(sizes[0], image_shape[0], 3, padding=1))
        entries = check_count("entries", entries)
        self.codebook = nn.Parameter(torch.empty(entries, entry_dim).uniform_(-1 / entries, 1 / entries))

    def encode(self, pictures: Tensor) -> Tensor:
        """Maps ``(N, D, H/shrink, W/shrink)`` of pictures from −1 to 1, before they are quantised."""
        return self.down(pictures)  # type: ignore[no-any-return]

    def decode(self, entries: Tensor) -> Tensor:
        """Pictures ``(N, C, H, W)`` of maps of entries."""
        return self.up(entries)  # type: ignore[no-any-return]

    def quantise(self, maps: Tensor) -> Quantised:
        """The nearest entry at each position, and how far the two are: ‖sg z − e‖² + β‖z − sg e‖²."""
        points_PD = maps.movedim(1, 3).flatten(0, 2).float()
        with torch.no_grad():
            numbers_P = torch.cdist(points_PD, self.codebook).argmin(dim=1)
        near = F.embedding(numbers_P, self.codebook).unflatten(0, (len(maps), *maps.shape[2:])).movedim(3, 1)
        distance = (near - maps.detach()).square().mean() + COMMITMENT * (near.detach() - maps).square().mean()
        through = maps + (near - maps).detach()
        return Quantised(through, numbers_P.unflatten(0, (len(maps), *maps.shape[2:])), distance)

    def loss(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Absolute error of what is decoded, and the codebook's distance, each a mean."""
        quantised = self.quantise(self.encode(pictures))
        return (self.decode(quantised.map) - pictures).abs().float().mean(), quantised.distance.float()
