"""DisCo's contrast of image variations (Eqs 1 to 4, 7; Table 2): the settings that say what is contrasted and how.

Shape suffixes: Q queries, K keys, S samples, J code dimensions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from contrafact.core.ranges import Positive
from contrafact.core.settings import Group
from contrafact.losses import contrastive
from contrafact.methods._edits import Pairs


@dataclass(frozen=True)
class Contrast(Group):
    """What is contrasted, and by which loss."""

    variation: Literal["difference", "concatenation"] = "difference"
    """What is contrasted: |E(x') − E(x)| (Eq. 1), or both codes side by side (Table 2)."""
    objective: Literal["logits", "infonce", "classification"] = "logits"
    """Binary contrast (Eqs 3–4), InfoNCE (Eq. 2), or guessing direction and magnitude (Table 2)."""
    temperature: Positive = 1.0
    """Temperature τ."""
    threshold: float = 0.95
    """Negatives at least this similar are flipped (T)."""
    flipping: contrastive.Flipping | None = None
    """none, pseudo_label (Eq. 7), or cross_entropy (released); by default the formulation's."""
    detach_negatives: bool | None = None
    """Stop gradients through the negatives (released); by default the formulation's."""
    reduction: Literal["mean", "sum"] | None = None
    """Mean over all pairs (released), or sum over a query's keys (Eq. 3); by default the formulation's."""

    def variations(self, before_SJ: Tensor, after_SJ: Tensor) -> Tensor:
        """What each edit did to the codes, at unit length (Eq. 1); bases that edits share repeat in their order."""
        before_SJ = before_SJ.repeat(len(after_SJ) // len(before_SJ), 1)
        if self.variation == "difference":
            return F.normalize((after_SJ - before_SJ).abs(), dim=1)
        return F.normalize(torch.cat([after_SJ, before_SJ], dim=1), dim=1)

    def logits(self, pairs: Pairs) -> Tensor:
        """Similarity of every query and key over τ, ``(Q, K)``."""
        queries, keys = pairs.queries_QJ, pairs.keys_KJ
        logits_QK = queries @ keys.T / self.temperature
        if self.detach_negatives:
            return torch.where(pairs.negative_QK, queries @ keys.detach().T / self.temperature, logits_QK)
        return logits_QK

    def loss(self, logits_QK: Tensor, pairs: Pairs) -> Tensor:
        """Eqs 3, 4 and 7, or Eq. 2: queries and keys of one direction are alike, others are not."""
        counted_QK = pairs.positive_QK | pairs.negative_QK
        if self.objective == "infonce":
            return contrastive.infonce_loss(logits_QK, pairs.positive_QK, counted_QK)
        flipping = self.flipping or "none"
        terms_QK = contrastive.pair_losses(logits_QK, pairs.positive_QK, self.threshold, flipping) * counted_QK
        return terms_QK.sum() / (len(logits_QK) if self.reduction == "sum" else counted_QK.sum())
