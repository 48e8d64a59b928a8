"""A dataset's images on the training device: as bytes where they fit, so that a batch is one gather.

Shape suffixes: N images, C channels, H height, W width.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from contrafact.core.dataset import FactorDataset, ImageDataset, IntArray, check_indices

LIMIT_BYTES = 2**30
_BLOCK = 4096


class ImagePool:
    """Batches of a dataset on a device.

    Args:
        dataset: images.
        device: where batches are wanted.
        limit_bytes: datasets whose bytes are more stay where they are, and batches are read one by one; so do grids of
            factors, which may be rendered on the fly.
    """

    def __init__(self, dataset: ImageDataset, device: torch.device, limit_bytes: int = LIMIT_BYTES) -> None:
        self.dataset, self.device = dataset, device
        self._bytes: Tensor | None = None
        small = len(dataset) * int(np.prod(dataset.image_shape)) <= limit_bytes
        if small and not isinstance(dataset, FactorDataset):
            blocks = np.split(np.arange(len(dataset)), range(_BLOCK, len(dataset), _BLOCK))
            self._bytes = torch.cat([(dataset.batch(b) * 255).round().to(torch.uint8) for b in blocks]).to(device)

    def __len__(self) -> int:
        return len(self.dataset)

    def batch(self, indices: IntArray) -> Tensor:
        """Images ``(N, C, H, W)`` at ``indices`` ``(N,)``, float32 in [0, 1].

        Raises:
            ValueError: an index out of range.
        """
        if self._bytes is None:
            return self.dataset.batch(indices).to(self.device)
        rows = torch.from_numpy(check_indices(self.dataset, indices)).to(self.device)
        return self._bytes[rows].float().div_(255)

    def random_batch(self, n: int, rng: np.random.Generator) -> Tensor:
        """``n`` images drawn uniformly with replacement."""
        return self.batch(rng.integers(len(self.dataset), size=n))
