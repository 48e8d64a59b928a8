"""Glow as it is trained: from images to noise, with what that does to volume (Kingma & Dhariwal 2018).

The generator is the same map backwards (``generators/glow.py``); :meth:`GlowFlow.generating_weights` says what weights
it then has.

Shape suffixes: N images, C channels, H, W sides, L latent dimensions.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from contrafact.core.dataset import check_count

Precision = Callable[[], AbstractContextManager[object]]
"""What the couplings' networks are computed in; the map itself stays in float32, or it could not be undone."""


class ActNorm(nn.Module):
    """Shift and scale per channel, such that the first images come out with mean 0 and variance 1 (Sec. 3.1)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(channels, 1, 1))
        self.log_scale = nn.Parameter(torch.zeros(channels, 1, 1))

    @torch.no_grad()
    def fit(self, x: Tensor) -> None:
        """Set both from activations ``(N, C, H, W)``."""
        self.shift.copy_(-x.mean(dim=(0, 2, 3))[:, None, None])
        self.log_scale.copy_(-torch.log(x.std(dim=(0, 2, 3)) + 1e-6)[:, None, None])

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The activations, and log |det| per pixel."""
        return self.log_scale.exp() * (x + self.shift), self.log_scale.sum()


class Mixing(nn.Module):
    """An invertible 1×1 convolution, kept as its LU factors, so that its determinant is that of a diagonal (Eq. 10).

    It starts as a random rotation; the permutation and the diagonal's signs stay.
    """

    permutation: Tensor
    signs: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        permutation, lower, upper = torch.linalg.lu(torch.linalg.qr(torch.randn(channels, channels))[0])
        diagonal = upper.diagonal()
        self.register_buffer("permutation", permutation)
        self.register_buffer("signs", diagonal.sign())
        self.lower, self.upper = nn.Parameter(lower.tril(-1)), nn.Parameter(upper.triu(1))
        self.log_diagonal = nn.Parameter(diagonal.abs().log())

    def weight(self) -> Tensor:
        """The matrix ``(C, C)``."""
        identity = torch.eye(len(self.signs), dtype=self.lower.dtype, device=self.lower.device)
        upper = self.upper.triu(1) + torch.diag(self.signs * self.log_diagonal.exp())
        return self.permutation @ (self.lower.tril(-1) + identity) @ upper

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The activations, and log |det| per pixel."""
        return F.conv2d(x, self.weight()[:, :, None, None]), self.log_diagonal.sum()


class ZeroConv(nn.Module):
    """A 3×3 convolution that starts at zero and learns how large it is (Sec. 3.3); a border of ones tells it where
    the image ends."""

    def __init__(self, given: int, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(given, channels, 3)
        nn.init.zeros_(self.conv.weight)
        nn.init.zeros_(self.conv.bias)  # type: ignore[arg-type]  # it has one
        self.log_gain = nn.Parameter(torch.zeros(channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """``(N, C, H, W)`` to ``(N, channels, H, W)``."""
        out: Tensor = self.conv(F.pad(x, (1, 1, 1, 1), value=1.0)) * torch.exp(3 * self.log_gain)
        return out

    def folded(self) -> tuple[Tensor, Tensor]:
        """Weight and bias of the plain convolution that does the same."""
        gain = torch.exp(3 * self.log_gain)
        return self.conv.weight * gain[..., None], self.conv.bias * gain.flatten()  # type: ignore[operator]


class Coupling(nn.Module):
    """Moves half of the channels by what the other half says, and scales them too where ``affine`` (Sec. 3.3)."""

    def __init__(self, channels: int, filters: int, affine: bool) -> None:
        super().__init__()
        self.affine = affine
        first, second = nn.Conv2d(channels // 2, filters, 3, padding=1), nn.Conv2d(filters, filters, 1)
        for conv in (first, second):
            nn.init.normal_(conv.weight, std=0.05)
            nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
        self.net = nn.ModuleList([first, second, ZeroConv(filters, channels if affine else channels // 2)])

    def forward(self, x: Tensor, precision: Precision) -> tuple[Tensor, Tensor]:
        """The activations, and log |det| ``(N,)``."""
        kept, changed = x.chunk(2, dim=1)
        with precision():
            said = self.net[2](F.relu(self.net[1](F.relu(self.net[0](kept)))))
        said = said.to(x.dtype)
        if not self.affine:
            return torch.cat((kept, changed + said), dim=1), x.new_zeros(len(x))
        log_scale, shift = said.chunk(2, dim=1)
        scale = torch.sigmoid(log_scale + 2)
        volume_N = F.logsigmoid(log_scale + 2).sum(dim=(1, 2, 3))
        return torch.cat((kept, (changed + shift) * scale), dim=1), volume_N


class Step(nn.Module):
    """One step of flow: normalisation, mixing, coupling (Fig. 2a)."""

    def __init__(self, channels: int, filters: int, affine: bool) -> None:
        super().__init__()
        self.norm, self.mixing = ActNorm(channels), Mixing(channels)
        self.coupling = Coupling(channels, filters, affine)

    def forward(self, x: Tensor, precision: Precision, first: bool) -> tuple[Tensor, Tensor]:
        """The activations, and log |det| ``(N,)``; ``first`` images set the normalisation."""
        if first:
            self.norm.fit(x)
        x, norm = self.norm(x)
        x, mixing = self.mixing(x)
        x, volume_N = self.coupling(x, precision)
        return x, volume_N + (norm + mixing) * x.shape[2] * x.shape[3]


class Block(nn.Module):
    """The steps at one scale; half of what comes out is noise, given the other half (all of it at the coarsest)."""

    def __init__(self, channels: int, steps: int, filters: int, affine: bool, coarsest: bool) -> None:
        super().__init__()
        self.coarsest = coarsest
        self.steps = nn.ModuleList(Step(channels, filters, affine) for _ in range(steps))
        self.prior = ZeroConv(channels if coarsest else channels // 2, 2 * channels if coarsest else channels)

    def forward(self, x: Tensor, precision: Precision, first: bool) -> tuple[Tensor, Tensor, Tensor]:
        """Activations for the next scale, this scale's noise, log |det| ``(N,)``."""
        x = F.pixel_unshuffle(x, 2)
        volume_N = x.new_zeros(len(x))
        for step in self.steps:
            x, more = step(x, precision, first)
            volume_N = volume_N + more
        given, drawn = (torch.zeros_like(x), x) if self.coarsest else x.chunk(2, dim=1)
        mean, log_deviation = self.prior(given).chunk(2, dim=1)
        return given, (drawn - mean) * torch.exp(-log_deviation), volume_N - log_deviation.sum(dim=(1, 2, 3))


class GlowFlow(nn.Module):
    """Images, less a half, to as many standard normal numbers.

    Args:
        image_channels: C.
        num_blocks: scales.
        num_steps: steps of flow per scale.
        filters: channels within the couplings.
        affine: whether couplings scale as well as shift.
    """

    def __init__(self, image_channels: int, num_blocks: int, num_steps: int, filters: int, affine: bool) -> None:
        super().__init__()
        check_count("num_steps", num_steps)
        widths = [check_count("image_channels", image_channels) * 4 << i for i in range(num_blocks)]
        self.blocks = nn.ModuleList(
            Block(width, num_steps, filters, affine, i == num_blocks - 1) for i, width in enumerate(widths)
        )

    def forward(self, x: Tensor, precision: Precision = nullcontext, first: bool = False) -> tuple[Tensor, Tensor]:
        """Noise and volume.

        Args:
            x: images less 0.5, ``(N, C, H, W)``.
            precision: context of the couplings' networks.
            first: whether these images set the normalisations.

        Returns:
            latents ``(N, L)``, finest scale first as the generator takes them, and log |det| ``(N,)``.
        """
        volume_N, noises = x.new_zeros(len(x)), []
        for block in self.blocks:
            x, noise, more = block(x, precision, first)
            volume_N = volume_N + more
            noises.append(noise.flatten(1))
        return torch.cat(noises, dim=1), volume_N

    @torch.no_grad()
    def generating_weights(self) -> dict[str, Tensor]:
        """State of the generator ``glow`` that runs this map backwards."""
        weights: dict[str, Tensor] = {}
        for b, block in enumerate(self.blocks):
            weights[f"blocks.{b}.prior.weight"], weights[f"blocks.{b}.prior.bias"] = block.prior.folded()  # type: ignore[union-attr, operator]
            for s, step in enumerate(block.steps):  # type: ignore[arg-type]
                name = f"blocks.{b}.steps.{s}"
                for i in (0, 1):
                    weights[f"{name}.net.{i}.weight"] = step.coupling.net[i].weight
                    weights[f"{name}.net.{i}.bias"] = step.coupling.net[i].bias
                weights[f"{name}.net.2.weight"], weights[f"{name}.net.2.bias"] = step.coupling.net[2].folded()
                undone = torch.linalg.inv(step.mixing.weight().double()).float()
                weights[f"{name}.mix.weight"] = (undone * torch.exp(-step.norm.log_scale)[:, :, 0])[:, :, None, None]
                weights[f"{name}.mix.bias"] = -step.norm.shift.flatten()
        return {name: value.detach().clone() for name, value in weights.items()}
