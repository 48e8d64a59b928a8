"""Batches of two views for contrastive losses, from any dataset of images.

Shape suffixes: N pairs, C channels, H height, W width, K known factors.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from contrafact.core.dataset import ImageDataset, PairDataset


def draw_pairs(source: ImageDataset, n: int, rng: np.random.Generator) -> tuple[Tensor, Tensor | None]:
    """``n`` pairs of images ``(2, n, C, H, W)`` and, from a dataset of pairs, their factors ``(2, n, K)``.

    Other datasets give the same image twice: the views that follow tell the two apart.
    """
    if isinstance(source, PairDataset):
        pairs = source.random_pairs(n, rng)
        factors = torch.from_numpy(np.stack([pairs.factors_first_NK, pairs.factors_second_NK]))
        return torch.stack([pairs.first, pairs.second]), factors
    images = source.random_batch(n, rng)
    return torch.stack([images, images]), None
