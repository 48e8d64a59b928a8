"""How far made images are from their targets.

Shape suffixes: N images, C channels, H height, W width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import torch.nn.functional as F
from torch import Tensor

from contrafact.core.catalog import unknown_name_message

Reconstruction = Literal["squared", "bernoulli", "multiscale", "vgg"]
Distance = Callable[[Tensor, Tensor], Tensor]
"""Of images made ``(N, C, H, W)`` from their targets, a scalar."""


def perceptual_distance(made: Tensor, images: Tensor, features: Callable[[Tensor], Sequence[Tensor]]) -> Tensor:
    """Mean absolute difference of pixels, plus that of each feature map: VGG's where it is a network's of that name.

    As the programs of LORD, OverLORD and ZeroDIM compute it, whose papers, like ContraLORD's, only name it.

    Args:
        made: ``(N, C, H, W)`` in [0, 1].
        images: targets, which get no gradient.
        features: a frozen network, images to feature maps.

    >>> import torch
    >>> black, white = torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 2, 2)
    >>> perceptual_distance(black, white, lambda images: [2 * images]).item()
    3.0
    """
    total = F.l1_loss(made, images)
    for found, wanted in zip(features(made), features(images.detach()), strict=True):
        total = total + F.l1_loss(found, wanted)
    return total


def image_distance(made: Tensor, images: Tensor, kind: Reconstruction) -> Tensor:
    """How far images are from their targets, mean over all numbers of the batch.

    Args:
        made: ``(N, C, H, W)`` in [0, 1].
        images: targets.
        kind: ``squared``; ``bernoulli``: cross-entropy, for black-and-white images; ``multiscale``: squared error of
            values and of finite differences at four scales, which stands in for a perceptual distance.

    Raises:
        ValueError: another kind; ``vgg`` needs a network, see :func:`perceptual_distance`.
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
