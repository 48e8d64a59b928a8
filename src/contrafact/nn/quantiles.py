"""A prior for latents that have none: each coordinate as it is distributed over images, by its quantiles.

Shape suffixes: N samples, L latent dimensions, Q quantiles.
"""

from __future__ import annotations

import torch
from torch import Tensor

QUANTILES = 129


def normal_quantiles(latent_dim: int) -> Tensor:
    """``(L, Q)`` quantiles of standard normal coordinates, which stand in until some are measured."""
    levels = torch.linspace(0, 1, QUANTILES).clamp(1e-3, 1 - 1e-3)
    normal: Tensor = torch.special.ndtri(levels)
    return normal.repeat(latent_dim, 1)


def measured_quantiles(latents_NL: Tensor) -> Tensor:
    """``(L, Q)`` quantiles of each coordinate of latents ``(N, L)``."""
    levels = torch.linspace(0, 1, QUANTILES, device=latents_NL.device)
    return torch.quantile(latents_NL.float(), levels, dim=0).T


def at_quantiles(quantiles_LQ: Tensor, normal_NL: Tensor) -> Tensor:
    """Standard normal noise ``(N, L)`` to latents: the quantile of each coordinate at Φ(z).

    >>> noise = torch.tensor([[-1.0, 0.0], [0.0, 2.0]])
    >>> torch.allclose(at_quantiles(normal_quantiles(2), noise), noise, atol=1e-2)
    True
    """
    place = torch.special.ndtr(normal_NL) * (QUANTILES - 1)
    below = place.floor().clamp(0, QUANTILES - 2).long()
    low, high = (quantiles_LQ.gather(1, (below + step).T).T for step in (0, 1))
    return torch.lerp(low, high, place - below)
