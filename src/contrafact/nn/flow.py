"""A small normalising flow over vectors: affine coupling layers (Dinh et al. 2017, Real NVP).

Shape suffixes: N samples, L dimensions.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from contrafact.core.dataset import check_count


class _Coupling(nn.Module):
    """Shifts and scales the dimensions outside ``mask`` by a function of those inside."""

    mask: Tensor

    def __init__(self, dim: int, hidden_dim: int, mask: Tensor) -> None:
        super().__init__()
        self.register_buffer("mask", mask)
        last = nn.Linear(hidden_dim, 2 * dim)
        # A flow that starts as the identity trains stably however many layers it has.
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.network = nn.Sequential(
            nn.Linear(dim, hidden_dim), nn.SiLU(), nn.Linear(hidden_dim, hidden_dim), nn.SiLU(), last
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Log-scale and shift ``(N, L)``, zero inside the mask; the log-scale is bounded to ±2."""
        log_scale, shift = self.network(x * self.mask).chunk(2, dim=1)
        free = 1 - self.mask
        return 2 * torch.tanh(log_scale / 2) * free, shift * free


class CouplingFlow(nn.Module):
    """An invertible map between standard normal noise and a distribution of vectors.

    Args:
        dim: L.
        layers: coupling layers; neighbours act on complementary halves of the dimensions, chosen at random.
        hidden_dim: width of each layer's network.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, dim: int, layers: int = 8, hidden_dim: int = 128) -> None:
        super().__init__()
        if check_count("dim", dim) < 2:
            raise ValueError("a coupling flow needs at least 2 dimensions")
        rng = torch.Generator().manual_seed(0)  # which halves couple is part of the architecture, not of the weights
        masks: list[Tensor] = []
        for number in range(check_count("layers", layers)):
            mask = torch.zeros(dim)
            mask[torch.randperm(dim, generator=rng)[: dim // 2]] = 1.0
            masks.append(1 - masks[-1] if number % 2 else mask)
        self.couplings = nn.ModuleList(_Coupling(dim, hidden_dim, mask) for mask in masks)
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("std", torch.ones(dim))

    def standardise(self, samples: Tensor) -> None:
        """Set the affine part from samples ``(N, L)`` of the target distribution."""
        self.mean.copy_(samples.mean(dim=0))
        spread = samples.std(dim=0) if len(samples) > 1 else torch.zeros_like(self.std)
        self.std.copy_(spread.clamp_min(1e-6))

    def forward(self, noise: Tensor) -> Tensor:
        """Noise ``(N, L)`` to vectors ``(N, L)``."""
        x = noise
        for coupling in self.couplings:
            log_scale, shift = coupling(x)
            x = x * log_scale.exp() + shift
        return x * self.std + self.mean

    def negative_log_likelihood(self, vectors: Tensor) -> Tensor:
        """Mean negative log-density of vectors ``(N, L)``, in nats."""
        x = (vectors - self.mean) / self.std
        log_density = -self.std.log().sum() - 0.5 * x.shape[1] * math.log(2 * math.pi)
        for coupling in reversed(self.couplings):
            log_scale, shift = coupling(x)
            x = (x - shift) * (-log_scale).exp()
            log_density = log_density - log_scale.sum(dim=1)
        loss: Tensor = (0.5 * x.square().sum(dim=1) - log_density).mean()
        return loss
