"""Which directions do to pictures what a stronger one does already.

Shape suffixes: D directions, S samples, M magnitudes, C, H, W image sizes.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

ALIKE = 0.9
"""Cosine of two directions' changes, over samples and both ends of the sweep, from which on one is a copy."""
_SIDE = 32


def copies(frames: Tensor) -> list[int | None]:
    """For each direction of a sweep ``(D, S, M, C, H, W)``, the first before it that changes pictures alike, or None.

    Alike is the cosine of what the two ends of the sweep change, over all samples; with the ends exchanged too, because
    a direction's sign is free. Only directions that are no copies themselves are copied.

    >>> frames = torch.zeros(3, 1, 3, 1, 1, 2)
    >>> frames[0, 0, :, 0, 0, 0] = torch.tensor([-1.0, 0.0, 1.0])
    >>> frames[1, 0, :, 0, 0, 1] = torch.tensor([-1.0, 0.0, 1.0])
    >>> frames[2, 0, :, 0, 0, 0] = torch.tensor([0.5, 0.0, -0.5])
    >>> copies(frames)
    [None, None, 0]
    """
    steps = frames.shape[2]
    shown = frames[:, :, [0, steps // 2, steps - 1]].clamp(0, 1)
    if max(shown.shape[-2:]) > _SIDE:
        small = F.adaptive_avg_pool2d(shown.flatten(0, 2), (min(shown.shape[-2], _SIDE), min(shown.shape[-1], _SIDE)))
        shown = small.unflatten(0, shown.shape[:3])
    change_DS2 = shown[:, :, [0, 2]] - shown[:, :, 1:2]
    ahead, exchanged = (F.normalize(ends.flatten(1).double(), dim=1) for ends in (change_DS2, change_DS2.flip(2)))
    alike_DD = torch.maximum(ahead @ ahead.T, ahead @ exchanged.T)
    found: list[int | None] = []
    for d in range(len(frames)):
        before = [e for e in range(d) if found[e] is None and float(alike_DD[d, e]) >= ALIKE]
        found.append(max(before, key=lambda e: float(alike_DD[d, e])) if before else None)
    return found
