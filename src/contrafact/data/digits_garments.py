"""Digits beside garments, or on them: pairs of images that share both classes, not the instances; all is real.

The construction of Burns, Sarna, Krishnan & Maschinot, "Unsupervised Disentanglement without Autoencoding", 2021
(Appendix A.1), from what needs no download: scikit-learn's digits on the left, Fashion-MNIST on the right, 8 x 8 each.
Neither half tells of the other, so a code that tells of both has two parts. ``over`` is the form of the paper's own
data: the digit at one of eight places on the garment, which differs within a pair. ``centred`` has it in the middle
always, where the contrast finds both classes about as hard.

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

from contrafact.core.catalog import unknown_name_message
from contrafact.core.dataset import IntArray, PairDataset, Pairs, check_indices
from contrafact.data._classes import rows_of_classes
from contrafact.data._files import PathLike
from contrafact.data._pixels import check_size, enlarge, shrink
from contrafact.data.digits import Digits
from contrafact.data.fashion_mnist import FashionMNIST

SIDE, LARGE_SIDE = 16, 32
VARIANTS = ("beside", "over", "centred")
TOPS, LEFTS = (0, 16), (0, 5, 11, 16)
"""Corners of the eight places of a digit of 16 x 16 on 32 x 32."""
SHADE = 0.5
"""Brightness of garments under digits, so that these stay to be seen."""
NUM_PAIRS = {"train": 20_000, "test": 5_000}
_BLOCK = 1000


class DigitsGarments(PairDataset):
    """Pairs of grey images ``(1, size, size)``: a digit on the left, a garment on the right, black above and below.

    Or, ``over``, a digit of 16 x 16 at one of eight places on a garment at half its brightness, the larger of the two;
    ``centred``, the same in the middle of each. Both images of a pair show the same digit and the same kind of garment,
    each another instance, drawn for each; ``over`` garments the digit's place is another, too.
    ``batch`` and ``factors_of`` are those of the first image of each pair. 20,000 pairs to train, of 1,437 digits and
    60,000 garments; 5,000 to test, of the other 360 and 10,000.

    Args:
        path: folder of Fashion-MNIST's four files. By default where ``fashion-mnist`` looks for them.
        variant: ``beside``, ``over`` or ``centred``.
        split: ``train`` or ``test``.
        size: beside: 16, each half is 8 x 8, garments by area averages; or 32: 16 x 16, digits enlarged bilinearly.
            Over and centred: 32. By default the smallest.
        seed: of the pairs.

    Raises:
        ValueError: an unknown variant, split or size, no files of Fashion-MNIST (the message says how to get them), or
            damaged ones.

    >>> DigitsGarments.held, DigitsGarments.factor_sizes  # over garments also the digit's location
    (('digit class', 'garment class'), (10, 10))
    >>> DigitsGarments(split="all")
    Traceback (most recent call last):
    ValueError: digits-garments: split must be one of train, test; got 'all'
    """

    name = "digits-garments"
    factor_names: tuple[str, ...] = ("digit class", "garment class")
    factor_sizes: tuple[int, ...] = (10, 10)
    held = factor_names
    destroyed_by: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "crop": ("digit class", "garment class"),
        "flip": ("digit class",),
    }

    def __init__(
        self,
        path: PathLike | None = None,
        variant: str = "beside",
        split: str = "train",
        size: int | None = None,
        seed: int = 0,
    ) -> None:
        if variant not in VARIANTS:
            raise ValueError(unknown_name_message(f"variant of {self.name}", variant, VARIANTS))
        if split not in NUM_PAIRS:
            raise ValueError(f"{self.name}: split must be one of {', '.join(NUM_PAIRS)}; got {split!r}")
        sizes = (SIDE, LARGE_SIDE) if variant == "beside" else (LARGE_SIDE,)
        side = check_size(self.name, sizes[0] if size is None else size, sizes)
        self.image_shape = (1, side, side)
        self.variant, self.split, self.seed, self._path = variant, split, seed, path
        if variant == "over":
            self.factor_names, self.factor_sizes = (*self.held, "digit location"), (10, 10, len(TOPS) * len(LEFTS))
        digits, garments = Digits(split=split), FashionMNIST(path, split, size=32)
        self.source = f"{digits.source}'s digits beside fashion-mnist from {garments.source}"
        self._digits_NCHW = enlarge(digits.batch(range(len(digits))), side // 2)
        self._garments_NCHW = _garments(garments, side // 2 if variant == "beside" else side)
        rng = np.random.default_rng([seed, list(NUM_PAIRS).index(split)])
        factors_MK = rng.integers(self.factor_sizes, size=(len(self), len(self.factor_sizes)))
        self._factors_VMK = np.stack([factors_MK] * 2)
        if variant == "over":
            moved = rng.integers(1, self.factor_sizes[2], size=len(self))
            self._factors_VMK[1, :, 2] = (factors_MK[:, 2] + moved) % self.factor_sizes[2]
        wanted_VMK = self._factors_VMK
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
        split = "test" if self.split == "train" else "train"
        other = DigitsGarments(self._path, self.variant, split, self.image_shape[1], self.seed)
        other.name = self.name
        return (self, other) if self.split == "train" else (other, self)

    def factors_of(self, indices: IntArray | Sequence[int]) -> IntArray:
        factors: IntArray = self._factors_VMK[0, check_indices(self, indices)]
        return factors

    def batch(self, indices: IntArray | Sequence[int] | Tensor) -> Tensor:
        checked = check_indices(self, indices)
        return self._render(self._rows_VMK[0, checked], self._factors_VMK[0, checked])

    def pairs(self, indices: IntArray | Sequence[int] | Tensor) -> Pairs:
        checked = check_indices(self, indices)
        factors_VNK = self._factors_VMK[:, checked]
        views = zip(self._rows_VMK[:, checked], factors_VNK, strict=True)
        first, second = (self._render(rows_NK, factors_NK) for rows_NK, factors_NK in views)
        return Pairs(first, second, factors_VNK[0], factors_VNK[1])

    def _render(self, rows_N2: IntArray, factors_NK: IntArray) -> Tensor:
        digits, garments = self._digits_NCHW[rows_N2[:, 0]], self._garments_NCHW[rows_N2[:, 1]]
        if self.variant == "beside":
            half = digits.shape[-1] // 2
            return F.pad(torch.cat([digits, garments], dim=3), (0, 0, half, half))
        images, side = (SHADE * garments).numpy(), digits.shape[-1]
        windows = np.lib.stride_tricks.sliding_window_view(images, (side, side), axis=(2, 3), writeable=True)
        n = np.arange(len(images))
        if self.variant == "over":
            tops, lefts = np.divmod(factors_NK[:, 2], len(LEFTS))
            top, left = np.asarray(TOPS)[tops], np.asarray(LEFTS)[lefts]
        else:
            top = left = np.full(len(images), (images.shape[-1] - side) // 2)
        windows[n, :, top, left] = np.maximum(windows[n, :, top, left], digits.numpy())
        return torch.from_numpy(images)


def _garments(dataset: FashionMNIST, side: int) -> Tensor:
    """All images of a dataset, area-averaged to ``(N, C, side, side)``."""
    blocks = [np.arange(start, min(start + _BLOCK, len(dataset))) for start in range(0, len(dataset), _BLOCK)]
    return torch.cat([shrink(dataset.batch(rows), side) for rows in blocks])
