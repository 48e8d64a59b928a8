"""Digits beside garments: pairs of images that share both classes, not the instances; both halves are real.

The construction of Burns, Sarna, Krishnan & Maschinot, "Unsupervised Disentanglement without Autoencoding", 2021
(Appendix A.1), from what needs no download: scikit-learn's digits on the left, Fashion-MNIST on the right, 8 x 8 each.
Neither half tells of the other, so a code that tells of both has two parts.

Shape suffixes: N images, M pairs, K factors, V views (2), C channels, H height, W width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from contrafact.core.dataset import IntArray, PairDataset, Pairs, check_indices
from contrafact.data._classes import rows_of_classes
from contrafact.data._files import PathLike
from contrafact.data._pixels import check_size, enlarge, shrink
from contrafact.data.digits import Digits
from contrafact.data.fashion_mnist import FashionMNIST

SIDE = 16
NUM_PAIRS = {"train": 20_000, "test": 5_000}
_BLOCK = 1000


class DigitsGarments(PairDataset):
    """Pairs of grey images ``(1, size, size)``: a digit on the left, a garment on the right, black above and below.

    Both images of a pair show the same digit and the same kind of garment, each another instance, drawn for each.
    ``batch`` and ``factors_of`` are those of the first image of each pair. 20,000 pairs to train, of 1,437 digits and
    60,000 garments; 5,000 to test, of the other 360 and 10,000.

    Args:
        path: folder of Fashion-MNIST's four files. By default where ``fashion-mnist`` looks for them.
        split: ``train`` or ``test``.
        size: 16: each half is 8 x 8, garments by area averages; or 32: 16 x 16, digits enlarged bilinearly.
        seed: of the pairs.

    Raises:
        ValueError: an unknown split or size, no files of Fashion-MNIST (the message says how to get them), or damaged
            ones.

    >>> DigitsGarments.held, DigitsGarments.factor_sizes
    (('digit class', 'garment class'), (10, 10))
    >>> DigitsGarments(split="all")
    Traceback (most recent call last):
    ValueError: digits-garments: split must be one of train, test; got 'all'
    """

    name = "digits-garments"
    factor_names = ("digit class", "garment class")
    factor_sizes = (10, 10)
    held = factor_names
    destroyed_by: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "crop": ("digit class", "garment class"),
        "flip": ("digit class",),
    }

    def __init__(self, path: PathLike | None = None, split: str = "train", size: int = SIDE, seed: int = 0) -> None:
        if split not in NUM_PAIRS:
            raise ValueError(f"{self.name}: split must be one of {', '.join(NUM_PAIRS)}; got {split!r}")
        self.image_shape = (1, check_size(self.name, size, (SIDE, 32)), size)
        self.split, self.seed, self._path = split, seed, path
        digits, garments = Digits(split=split), FashionMNIST(path, split, size=32)
        self.source = f"{digits.source}'s digits beside fashion-mnist from {garments.source}"
        self._digits_NCHW, self._garments_NCHW = digits.batch(range(len(digits))), _garments(garments, size // 2)
        rng = np.random.default_rng([seed, list(NUM_PAIRS).index(split)])
        self._factors_MK = rng.integers(self.factor_sizes, size=(len(self), 2))
        wanted_VMK = np.stack([self._factors_MK] * 2)
        drawn = [
            rows_of_classes(digits.labels, wanted_VMK[..., 0], rng, f"{self.name}: digits from {digits.source}"),
            rows_of_classes(garments.labels, wanted_VMK[..., 1], rng, f"{self.name}: garments from {garments.source}"),
        ]
        self._rows_VMK = np.stack(drawn, axis=-1)

    @property
    def source_name(self) -> str:
        whose, words, path = self.source.partition(" from ")
        return f"{whose}{words}{Path(path).name}"

    def __len__(self) -> int:
        return NUM_PAIRS[self.split]

    def parts(self) -> tuple[DigitsGarments, DigitsGarments]:
        other = DigitsGarments(self._path, "test" if self.split == "train" else "train", self.image_shape[1], self.seed)
        return (self, other) if self.split == "train" else (other, self)

    def factors_of(self, indices: IntArray | Sequence[int]) -> IntArray:
        factors: IntArray = self._factors_MK[check_indices(self, indices)]
        return factors

    def batch(self, indices: IntArray | Sequence[int] | Tensor) -> Tensor:
        return self._render(self._rows_VMK[0, check_indices(self, indices)])

    def pairs(self, indices: IntArray | Sequence[int] | Tensor) -> Pairs:
        checked = check_indices(self, indices)
        factors_NK = self._factors_MK[checked]
        first, second = (self._render(rows_MK[checked]) for rows_MK in self._rows_VMK)
        return Pairs(first, second, factors_NK, factors_NK.copy())

    def _render(self, rows_NK: IntArray) -> Tensor:
        side = self.image_shape[1] // 2
        digits = enlarge(self._digits_NCHW[rows_NK[:, 0]], side)
        both = torch.cat([digits, self._garments_NCHW[rows_NK[:, 1]]], dim=3)
        return F.pad(both, (0, 0, side // 2, side // 2))


def _garments(dataset: FashionMNIST, side: int) -> Tensor:
    """All images of a dataset, area-averaged to ``(N, C, side, side)``."""
    blocks = [np.arange(start, min(start + _BLOCK, len(dataset))) for start in range(0, len(dataset), _BLOCK)]
    return torch.cat([shrink(dataset.batch(rows), side) for rows in blocks])
