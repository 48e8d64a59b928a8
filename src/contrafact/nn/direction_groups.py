"""Which white directions are one factor together: those that the image answers to in the same places.

Shape suffixes: P responses, V directions, N latents.
"""

from __future__ import annotations

import torch
from torch import Tensor

ALIKE = 0.988
"""Cosine of two profiles from which on two directions are one factor."""
ALIKE_ON_A_RING = 0.95
"""The same where the latents lie on a ring in their plane."""
RING = 0.8
"""A ring: the radius in the plane varies less than this share of what it would if the two were independent."""


def circles(profiles_PV: Tensor, coordinates_NV: Tensor, rng: torch.Generator) -> list[list[int]]:
    """Groups of one or two directions, the two with the most alike profiles first; in the order of their first.

    A hue turns through a circle, which takes two directions: both change the same pixels, and by as much.

    Args:
        profiles_PV: how strongly each response answers to each direction, at least 0.
        coordinates_NV: white coordinates of latents.
        rng: shuffles them, for radii as if the two were independent.

    >>> angle = torch.linspace(0, 6.28, 500)
    >>> ring = torch.stack([angle.cos(), angle.sin(), torch.linspace(-1, 1, 500)], dim=1)
    >>> circles(torch.tensor([[1.0, 0.8, 0.0], [0.0, 0.1, 1.0]]), ring, torch.Generator().manual_seed(0))
    [[0, 1], [2]]
    """
    unit_PV = profiles_PV / profiles_PV.norm(dim=0).clamp_min(1e-30)
    alike_VV = unit_PV.T @ unit_PV
    count = len(alike_VV)
    pairs = sorted(((float(alike_VV[i, j]), i, j) for i in range(count) for j in range(i + 1, count)), reverse=True)
    partner: dict[int, int] = {}
    for alike, i, j in pairs:
        if alike < ALIKE_ON_A_RING:
            break
        if i in partner or j in partner:
            continue
        if alike >= ALIKE or _radius_varies(coordinates_NV[:, [i, j]], rng) < RING:
            partner[i], partner[j] = j, i
    return [[i, partner[i]] if i in partner else [i] for i in range(count) if partner.get(i, count) > i]


def _radius_varies(plane_N2: Tensor, rng: torch.Generator) -> float:
    """How much the radius varies, as a share of how much it does when one coordinate is shuffled."""
    order = torch.randperm(len(plane_N2), generator=rng).to(plane_N2.device)
    shuffled = torch.stack([plane_N2[:, 0], plane_N2[order, 1]], dim=1)
    radius, independent = plane_N2.norm(dim=1), shuffled.norm(dim=1)
    return float((radius.std() / radius.mean()) / (independent.std() / independent.mean()))
