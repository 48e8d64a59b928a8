"""How far made images are from their targets.

Shape suffixes: N images, C channels, H height, W width.
"""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor

from contrafact.core.catalog import unknown_name_message

Reconstruction = Literal["squared", "bernoulli", "multiscale"]


def image_distance(made: Tensor, images: Tensor, kind: Reconstruction) -> Tensor:
    """How far images are from their targets, mean over all numbers of the batch.

    Args:
        made: ``(N, C, H, W)`` in [0, 1].
        images: targets.
        kind: ``squared``; ``bernoulli``: cross-entropy, for black-and-white images; ``multiscale``: squared error of
            values and of finite differences at four scales, which stands in for a perceptual distance.
    """
    if kind == "squared":
        return F.mse_loss(made, images)
    if kind == "bernoulli":
        return F.binary_cross_entropy(made.clamp(0, 1), images)
    if kind != "multiscale":
        raise ValueError(unknown_name_message("reconstruction", kind, ["squared", "bernoulli", "multiscale"]))
    total = F.mse_loss(made, images)
    for _ in range(4):
        difference = made - images
        total = total + difference.diff(dim=2).square().mean() + difference.diff(dim=3).square().mean()
        if min(made.shape[2:]) < 4:
            break
        made, images = F.avg_pool2d(made, 2), F.avg_pool2d(images, 2)
    return total
