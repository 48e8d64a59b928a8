"""Contrastive losses over pairs, and the entropies that go with them: pure functions, tensors in, scalar out.

Shape suffixes: Q queries, K keys, P groups, S samples, J code dimensions.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Flipping = Literal["none", "pseudo_label", "cross_entropy"]
Domination = Literal["none", "query", "mean", "mean_per_dimension"]


def pair_losses(logits_QK: Tensor, positive_QK: Tensor, threshold: float, flipping: Flipping) -> Tensor:
    """Loss of every (query, key) pair (DisCo, Eqs 4 and 7, with the sign Eq. 8 lacks): ``(Q, K)``.

    Args:
        logits_QK: similarities over temperature, a.
        positive_QK: whether query and key share a direction.
        threshold: negatives with a ≥ T are taken for false ones and flipped, their own a (no gradient) as the label.
        flipping: ``pseudo_label``: −a·log σ(a); ``cross_entropy``: that and −(1 − a)·log(1 − σ(a)); ``none``: no flip.
    """
    as_positive, as_negative = -F.logsigmoid(logits_QK), -F.logsigmoid(-logits_QK)
    if flipping != "none":
        label = logits_QK.detach().clamp_max(1.0)
        flipped = label * as_positive
        if flipping == "cross_entropy":
            flipped = flipped + (1 - label) * as_negative
        as_negative = torch.where(logits_QK >= threshold, flipped, as_negative)
    return torch.where(positive_QK, as_positive, as_negative)


def infonce_loss(logits_QK: Tensor, positive_QK: Tensor, counted_QK: Tensor) -> Tensor:
    """InfoNCE (DisCo, Eq. 2): every positive against all counted keys; summed over positives, mean over queries."""
    denominator_Q1 = logits_QK.masked_fill(~counted_QK, -torch.inf).logsumexp(dim=1, keepdim=True)
    return ((denominator_Q1 - logits_QK) * positive_QK).sum() / len(logits_QK)


def domination_loss(variation_PSJ: Tensor, kind: Domination) -> Tensor:
    """Entropy that is low when one code dimension dominates, mean over P groups of S variations of one direction.

    Args:
        variation_PSJ: unit-length variations.
        kind: ``query``: entropy of softmax(v) of each variation (released); ``mean``: of softmax of the group's mean
            (DisCo, Eqs 5–6 without 1/J); ``mean_per_dimension``: with it; ``none``: zero.
    """
    if kind == "none":
        return variation_PSJ.new_zeros(())
    centre = variation_PSJ if kind == "query" else variation_PSJ.mean(dim=1)
    entropy = -(centre.softmax(dim=-1) * centre.log_softmax(dim=-1)).sum(dim=-1).mean()
    return entropy / variation_PSJ.shape[-1] if kind == "mean_per_dimension" else entropy


def effective_dimensions(variation_SJ: Tensor) -> Tensor:
    """How many code dimensions the variations use: exp of the entropy of their mean squared coordinates, 1 to J."""
    share = variation_SJ.detach().square().mean(dim=0)
    share = share / share.sum()
    entropy: Tensor = torch.special.entr(share).sum()
    return entropy.exp()
