"""Losses of classifiers that assign images to the values of factors.

Shape suffixes: N images, F factors, V values.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def assignment_entropy(logits_NFV: Tensor) -> Tensor:
    """Entropy of the classifiers' assignments in nats, mean over images and factors."""
    log_p = logits_NFV.log_softmax(dim=2)
    return -(log_p.exp() * log_p.masked_fill(log_p.isneginf(), 0.0)).sum(dim=2).mean()


def classification_loss(logits_NFV: Tensor, values_NF: Tensor) -> Tensor:
    """Cross-entropy of known values, summed over factors, mean over images (ZeroDIM's release)."""
    return F.cross_entropy(logits_NFV.flatten(0, 1), values_NF.flatten(), reduction="sum") / max(1, len(values_NF))
