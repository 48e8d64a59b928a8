"""How well a decoder's image explains a given one.

Shape suffixes: N images, C channels, H height, W width.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from contrafact.core.catalog import unknown_name_message

Likelihood = Literal["gaussian", "bernoulli"]


def reconstruction_loss(logits: Tensor, images: Tensor, likelihood: Likelihood, sigma: float) -> Tensor:
    """Negative log-likelihood of images ``(N, C, H, W)``, summed over pixels, mean over the batch, constants left out.

    Args:
        logits: images before the sigmoid.
        images: targets in [0, 1].
        likelihood: ``gaussian``: ``‖x − x̂‖² / 2σ²``; ``bernoulli``: cross-entropy.
        sigma: the Gaussian's standard deviation.
    """
    if likelihood == "gaussian":
        return (torch.sigmoid(logits) - images).square().sum() / (2 * sigma**2 * len(images))
    if likelihood == "bernoulli":
        return F.binary_cross_entropy_with_logits(logits, images, reduction="sum") / len(images)
    raise ValueError(unknown_name_message("likelihood", likelihood, ["gaussian", "bernoulli"]))
