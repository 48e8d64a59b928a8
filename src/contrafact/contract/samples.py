"""Small codes, factors, images and an encoder that metrics are checked on.

Shape suffixes: N points, J code dimensions, K factors.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from contrafact.core.dataset import FactorDataset, IntArray
from contrafact.core.metric import FloatArray

SIZES = (4, 3, 2)


def draw_factors(n: int = 400, sizes: Sequence[int] = SIZES, seed: int = 0) -> IntArray:
    """Factors ``(n, K)`` of these sizes."""
    return np.random.default_rng(seed).integers(sizes, size=(n, len(sizes)))


def noisy_codes(factors: IntArray, extra: int = 2, noise: float = 0.5, seed: int = 1) -> FloatArray:
    """Each factor with noise, mixed a little, and ``extra`` codes of pure noise: ``(N, K + extra)``."""
    rng = np.random.default_rng(seed)
    mix = np.eye(factors.shape[1]) + 0.3 * rng.normal(size=(factors.shape[1],) * 2)
    codes = factors @ mix + noise * rng.normal(size=factors.shape)
    return np.hstack([codes, rng.normal(size=(len(factors), extra))])


class Flags(FactorDataset):
    """Images whose pixels spell their factors: row k of the image is filled with factor k's value over its size."""

    name = "flags"
    source = "made up"
    image_shape = (1, 3, 4)
    factor_names = ("first", "second", "third")
    factor_sizes = SIZES

    def batch(self, indices: IntArray | Sequence[int] | Tensor) -> Tensor:
        factors = self.factors_of(np.asarray(indices))
        rows = torch.from_numpy(factors / np.array(self.factor_sizes)).float()
        return rows[:, None, :, None].expand(-1, 1, 3, 4).contiguous()


class Counter:
    """An encoder that reads the factors off the image, and counts the images it was shown.

    Args:
        mix: ``(3, J)`` matrix from factors to codes; the identity by default.
    """

    def __init__(self, mix: FloatArray | None = None) -> None:
        self.mix = np.eye(3) if mix is None else mix
        self.seen: list[bytes] = []

    def __call__(self, images: Tensor) -> FloatArray:
        """Codes ``(N, J)`` of images ``(N, 1, 3, 4)``."""
        self.seen += [image.numpy().tobytes() for image in images]
        codes: FloatArray = images[:, 0, :, 0].double().numpy() @ self.mix
        return codes
