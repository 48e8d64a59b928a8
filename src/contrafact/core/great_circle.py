"""The way between two vectors that keeps their length."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def great_circle(first: Tensor, last: Tensor, share: float) -> Tensor:
    """The vector at a share of the angle from ``first`` to ``last``, over the last dimension.

    Between opposite vectors, where every way is as short, on the straight line.

    >>> great_circle(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0]), 0.5)
    tensor([0.7071, 0.7071])
    """
    cosine = F.cosine_similarity(first.double(), last.double(), dim=-1)[..., None]
    angle = torch.acos(cosine.clamp(-1.0, 1.0))
    near = angle.sin().abs() < 1e-6  # the same place, or opposite ones
    sine = torch.where(near, 1.0, angle.sin())
    start = torch.where(near, 1.0 - share, ((1.0 - share) * angle).sin() / sine)
    end = torch.where(near, share, (share * angle).sin() / sine)
    return start.to(first.dtype) * first + end.to(first.dtype) * last
