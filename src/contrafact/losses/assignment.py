"""Losses of classifiers that assign images to the values of factors.

Shape suffixes: N images, F factors, V values.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from contrafact.core.annotations import UNKNOWN


def assignment_entropy(logits_NFV: Tensor) -> Tensor:
    """Entropy of the classifiers' assignments in nats, mean over images and factors."""
    log_p = logits_NFV.log_softmax(dim=2)
    return -(log_p.exp() * log_p.masked_fill(log_p.isneginf(), 0.0)).sum(dim=2).mean()


def classification_loss(logits_NFV: Tensor, values_NF: Tensor, shares_NF: Tensor | None = None) -> Tensor:
    """Cross-entropy of known values, summed over factors, mean over images (ZeroDIM's release).

    Args:
        logits_NFV: of the classifiers.
        values_NF: known values; those at −1 do not count.
        shares_NF: probability of the next value, 0 to 1, where a number lies between two: the cross-entropy of both.
    """
    count, logits = max(1, len(values_NF)), logits_NFV.flatten(0, 1)
    if shares_NF is None:
        return F.cross_entropy(logits, values_NF.flatten(), reduction="sum", ignore_index=UNKNOWN) / count
    shares, next_NF = shares_NF.flatten(), values_NF + ((values_NF != UNKNOWN) & (shares_NF > 0)).long()
    below, above = (
        F.cross_entropy(logits, values.flatten(), reduction="none", ignore_index=UNKNOWN)
        for values in (values_NF, next_NF)
    )
    return ((1 - shares) * below + shares * above).sum() / count
