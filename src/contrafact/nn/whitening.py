"""Coordinates of an edit space in which typical latents have unit variance in every direction.

Shape suffixes: N latents, L latent dimensions, R white axes.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

KEPT = 0.6
"""Share of the latents, the innermost, that mean and covariance are taken from."""
_ROUNDS = 3
# Variances below this share of the largest are rounding: the latents do not reach there.
_FLAT = 1e-8


class Whitening(NamedTuple):
    """White coordinates ``q = (w − center) @ dual.T`` and back, ``w = center + q @ axes``.

    Attributes:
        center_L: mean of typical latents.
        axes_RL: step in the edit space of one standard deviation along each white axis, largest variance first.
        dual_RL: what reads the coordinates off; ``dual @ axes.T`` is the identity.

    >>> normal = torch.randn(4000, 2, generator=torch.Generator().manual_seed(0))
    >>> latents = normal @ torch.tensor([[3.0, 0.0], [1.0, 0.5]])
    >>> white = whitening(latents)
    >>> torch.allclose(torch.cov(white.coordinates(latents).T), torch.eye(2), atol=0.1)
    True
    """

    center_L: Tensor
    axes_RL: Tensor
    dual_RL: Tensor

    def coordinates(self, latent_NL: Tensor) -> Tensor:
        """White coordinates ``(N, R)``."""
        return (latent_NL - self.center_L) @ self.dual_RL.T

    def turned(self, frame_DR: Tensor) -> Whitening:
        """The same space along the orthonormal rows of ``frame_DR``, in white coordinates."""
        frame = frame_DR.to(self.axes_RL)
        return Whitening(self.center_L, frame @ self.axes_RL, frame @ self.dual_RL)


def whitening(latents_NL: Tensor) -> Whitening:
    """Robust whitening: mean and covariance of the innermost latents by Mahalanobis radius, in three rounds.

    The far ends of a prior that was mapped (W of a StyleGAN, a flow) would otherwise set the axes. The covariance is
    scaled so that the median radius is that of a standard normal, which makes the unit one standard deviation of what
    is typical.

    Raises:
        ValueError: latents of another shape, too few, or all equal.
    """
    if latents_NL.ndim != 2 or len(latents_NL) < 2 * latents_NL.shape[1]:
        raise ValueError(
            f"expected latents (N, L) with N at least 2·L to whiten the space they fill, got {tuple(latents_NL.shape)}"
        )
    latents = latents_NL.detach().double().cpu()
    kept = latents
    for _ in range(_ROUNDS):
        center = kept.mean(dim=0)
        variances, vectors = torch.linalg.eigh(torch.cov(kept.T).reshape(len(center), -1))
        reached = variances > _FLAT * variances[-1].clamp_min(1e-30)
        if not reached.any():
            raise ValueError("all latents are equal: the edit space has no directions")
        variances, vectors = variances[reached].flip(0), vectors[:, reached].flip(1)
        radius_N = ((latents - center) @ vectors / variances.sqrt()).square().sum(dim=1)
        kept = latents[radius_N <= radius_N.quantile(KEPT)] if len(radius_N) < 1 << 24 else latents
    spread = float(radius_N.median()) / _median_radius(len(variances))
    deviations = (variances * spread).sqrt()
    white = Whitening(center, (vectors * deviations).T, (vectors / deviations).T)
    return Whitening(*(part.to(latents_NL) for part in white))


def _median_radius(dimensions: int) -> float:
    """Median squared length of a standard normal vector."""
    from scipy.stats import chi2

    return float(np.asarray(chi2.median(dimensions)))
