"""Contrastive losses over pairs, and the entropies that go with them: pure functions, tensors in, scalar out.

Shape suffixes: Q queries, K keys, P groups, S samples, N views, J code dimensions.
"""

from __future__ import annotations

from typing import Any, Literal

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
        variation_PSJ: unit-length variations; for ``query`` those that ask only, which the positives do not (released).
        kind: ``query``: entropy of softmax(v) of each variation (released); ``mean``: of softmax of the group's mean
            (DisCo, Eqs 5–6 without 1/J); ``mean_per_dimension``: with it; ``none``: zero.
    """
    if kind == "none":
        return variation_PSJ.new_zeros(())
    if kind == "query":
        p_PSJ = variation_PSJ.softmax(dim=-1)
        return -(p_PSJ * (p_PSJ + 1e-5).log()).sum(dim=-1).mean()  # the 1e-5 is the release's
    centre = variation_PSJ.mean(dim=1)
    entropy = -(centre.softmax(dim=-1) * centre.log_softmax(dim=-1)).sum(dim=-1).mean()
    return entropy / variation_PSJ.shape[-1] if kind == "mean_per_dimension" else entropy


class _Gram(torch.autograd.Function):
    """``x @ x.T``, whose gradient is one product, ``(g + gᵀ) @ x``, where that of two operands is two."""

    @staticmethod
    def forward(x_SJ: Tensor) -> Tensor:
        return x_SJ @ x_SJ.T

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (x_SJ,) = ctx.saved_tensors
        (gradient_SS,) = gradients
        product: Tensor = (gradient_SS + gradient_SS.T) @ x_SJ
        return product


def gram(x_SJ: Tensor) -> Tensor:
    """Dot products ``(S, S)`` of all pairs of rows, with two thirds of the work of ``x @ x.T`` and its gradient."""
    products: Tensor = _Gram.apply(x_SJ)  # type: ignore[no-untyped-call]  # torch's own
    return products


def effective_dimensions(variation_SJ: Tensor) -> Tensor:
    """How many code dimensions the variations use: exp of the entropy of their mean squared coordinates, 1 to J."""
    return usage_entropy(variation_SJ.detach()).exp()


def usage_entropy(variation_SJ: Tensor) -> Tensor:
    """Entropy of the variations' mean squared coordinates, 0 to log J: large where all codes are used alike (ours)."""
    share = variation_SJ.square().mean(dim=0)
    share = share / share.sum().clamp_min(1e-12)
    entropy: Tensor = torch.special.entr(share).sum()
    return entropy


Reading = Literal["inside", "outside"]


def supervised_contrastive_loss(
    features_NJ: Tensor, labels_N: Tensor, temperature: float, reading: Reading = "outside"
) -> Tensor:
    """SupCon (Khosla et al. 2020, Eqs 2–3): samples of one class attract, all others repel; scalar.

    Args:
        features_NJ: unit-length features; for positives of one image only, give its views one label of their own.
        labels_N: class of each; a sample whose class nobody shares has no positive and is left out of the mean.
        temperature: τ.
        reading: ``outside``: mean over positives of −log p (Eq. 2); ``inside``: −log of the sum of p over positives,
            which a single close positive satisfies.
    """
    logits_NN = features_NJ @ features_NJ.T / temperature
    itself = torch.eye(len(logits_NN), dtype=torch.bool, device=logits_NN.device)
    positive_NN = (labels_N[:, None] == labels_N[None]) & ~itself
    log_p_NN = logits_NN.masked_fill(itself, -torch.inf).log_softmax(dim=1)
    count_N = positive_NN.sum(dim=1)
    if reading == "outside":
        loss_N = -log_p_NN.masked_fill(~positive_NN, 0.0).sum(dim=1) / count_N.clamp_min(1)
    else:
        # A row without positives would be log 0; zero keeps its gradient finite, and it is not counted.
        loss_N = (
            -log_p_NN.masked_fill(~positive_NN, -torch.inf).masked_fill(count_N[:, None] == 0, 0.0).logsumexp(dim=1)
        )
    has_positive = count_N > 0
    return (loss_N * has_positive).sum() / has_positive.sum().clamp_min(1)


def nt_xent_loss(first_NJ: Tensor, second_NJ: Tensor, temperature: float) -> Tensor:
    """NT-Xent (Chen et al. 2020, Eq. 1): each view's other view against all 2N − 2 views of other images; scalar.

    Args:
        first_NJ: unit-length features of one view of each image.
        second_NJ: of another view, in the same order.
        temperature: τ.
    """
    labels_N = torch.arange(len(first_NJ), device=first_NJ.device).repeat(2)
    return supervised_contrastive_loss(torch.cat([first_NJ, second_NJ]), labels_N, temperature)


def queue_infonce_loss(queries_NJ: Tensor, keys_NJ: Tensor, queue_KJ: Tensor, temperature: float) -> Tensor:
    """InfoNCE with a queue (He et al. 2020, Eq. 1): each query's own key against all K queued features; scalar.

    Args:
        queries_NJ: unit-length features of one view.
        keys_NJ: of another view, in the same order.
        queue_KJ: negatives; neither they nor the keys should carry gradients.
        temperature: τ.
    """
    positive_N = (queries_NJ * keys_NJ).sum(dim=1)
    logits_NK = torch.cat([positive_N[:, None], queries_NJ @ queue_KJ.T], dim=1) / temperature
    return -logits_NK.log_softmax(dim=1)[:, 0].mean()


def unit(features: Tensor) -> Tensor:
    """Features scaled to length 1 along their last dimension, in float32 or better."""
    return F.normalize(features.to(torch.promote_types(features.dtype, torch.float32)), dim=-1)
