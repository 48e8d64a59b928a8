"""Codes of a dataset's images, each distinct image encoded once however often a protocol draws it.

Shape suffixes: N draws, J code dimensions, K factors.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from contrafact.core.dataset import FactorDataset, IntArray, check_count
from contrafact.core.metric import ArrayLike, as_array

if TYPE_CHECKING:
    from torch import Tensor

Encode: TypeAlias = Callable[["Tensor"], ArrayLike]


class Codes:
    """An encoder's codes of a factor dataset, remembered.

    Interventional metrics draw millions of images from a grid of some hundred thousand: give several of them one
    ``Codes`` in place of the encoder, and each image is rendered and encoded once for all of them.

    Args:
        encode: images ``(n, C, H, W)`` in [0, 1] to codes ``(n, J)``; an ``nn.Module`` is run in evaluation mode,
            without gradients, on its own device.
        dataset: where images come from.
        batch_size: images per call of ``encode``.

    Attributes:
        num_encoded: images encoded so far.

    >>> from contrafact.contract.samples import Counter, Flags  # an encoder that reads three factors off
    >>> flags = Flags()
    >>> codes = Codes(Counter(), flags)
    >>> codes.at(np.array([0, 23])).shape, codes.of(np.array([[3, 2, 1]])).round(2).tolist()
    ((2, 3), [[0.75, 0.67, 0.5]])
    """

    def __init__(self, encode: Encode, dataset: FactorDataset, batch_size: int = 256) -> None:
        self.encode, self.dataset = encode, dataset
        self.batch_size = check_count("batch_size", batch_size)
        self.num_encoded = 0
        self._row_of = np.full(len(dataset), -1, dtype=np.int32)
        self._rows: npt.NDArray[np.floating[Any]] | None = None

    def at(self, indices: IntArray) -> npt.NDArray[np.floating[Any]]:
        """Codes ``(N, J)`` of the images at grid indices ``(N,)``, in the encoder's precision.

        Raises:
            ValueError: the encoder returned another number of rows, another shape, or values that are not finite.
        """
        new = np.unique(indices[self._row_of[indices] < 0])
        if len(new):
            parts = [] if self._rows is None else [self._rows]
            parts += [self._encode(new[i : i + self.batch_size]) for i in range(0, len(new), self.batch_size)]
            widths = {part.shape[1] for part in parts}
            if len(widths) > 1:
                raise ValueError(f"encode returned codes of different widths: {sorted(widths)}")
            self._rows = np.concatenate(parts)
            self._row_of[new] = np.arange(self.num_encoded, self.num_encoded + len(new), dtype=np.int32)
            self.num_encoded += len(new)
        if self._rows is None:
            raise ValueError("no images asked for; pass at least one index")
        return np.asarray(self._rows[self._row_of[indices]])

    def of(self, factors: IntArray) -> npt.NDArray[np.floating[Any]]:
        """Codes ``(N, J)`` of the images with factors ``(N, K)``."""
        return self.at(self.dataset.index_of(factors))

    def _encode(self, indices: IntArray) -> npt.NDArray[np.floating[Any]]:
        import torch
        from torch import nn

        images = self.dataset.batch(indices)
        if isinstance(self.encode, nn.Module):
            parameter = next(self.encode.parameters(), None)
            training = self.encode.training
            self.encode.eval()
            with torch.no_grad():
                codes = as_array(self.encode(images if parameter is None else images.to(parameter.device)))
            self.encode.train(training)
        else:
            with torch.no_grad():
                codes = as_array(self.encode(images))
        if codes.ndim != 2 or len(codes) != len(images):
            raise ValueError(
                f"encode got {len(images)} images and returned an array of shape {codes.shape}; "
                f"expected one row of codes per image, ({len(images)}, J)"
            )
        if not (np.issubdtype(codes.dtype, np.floating) or np.issubdtype(codes.dtype, np.integer)):
            raise ValueError(f"encode must return numbers, got dtype {codes.dtype}")
        finite = np.isfinite(codes)
        if not finite.all():
            row, column = (int(i) for i in np.argwhere(~finite)[0])
            raise ValueError(
                f"encode returned {codes[row, column]} for image {int(indices[row])} of {self.dataset.name}, "
                f"code {column}; find out why before scoring it"
            )
        return codes if codes.dtype in (np.float32, np.float64) else codes.astype(np.float64)


def remembered(encode: Encode | Codes, dataset: FactorDataset) -> Codes:
    """``encode`` if it remembers codes of this very dataset, else a fresh :class:`Codes`.

    Raises:
        ValueError: a :class:`Codes` of another dataset, or a dataset without known factors.
    """
    if not isinstance(dataset, FactorDataset):
        raise ValueError(f"expected a dataset with known factors, got {type(dataset).__name__}")
    if isinstance(encode, Codes):
        if encode.dataset is not dataset:
            raise ValueError(f"these codes are of {encode.dataset!r}, not of {dataset!r}; pass the encoder itself")
        return encode
    return Codes(encode, dataset)


def draw_fixed_factor(
    dataset: FactorDataset, num_votes: int, batch_size: int, num_sides: int, rng: np.random.Generator
) -> tuple[IntArray, IntArray]:
    """Draw the factor each vote holds fixed ``(V,)`` and independent factors of its images ``(V, sides, batch, K)``."""
    num_factors = len(dataset.factor_sizes)
    held_V = rng.integers(num_factors, size=num_votes)
    factors = rng.integers(np.asarray(dataset.factor_sizes), size=(num_votes, num_sides, batch_size, num_factors))
    return held_V, factors
