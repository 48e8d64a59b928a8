"""Images for tests of adversarial training, and what a trained generator must have learned from them."""

from __future__ import annotations

import numpy as np
import torch

from contrafact.core.dataset import ImageDataset, check_indices
from contrafact.core.generator import Generator


class Halves(ImageDataset):
    """Grey images whose left or right half (the class) is bright, by one of eight amounts."""

    name, source, class_names = "halves", "made by the test", ("left", "right")

    def __init__(self, side: int = 8, channels: int = 1) -> None:
        self.image_shape = (channels, side, side)

    def __len__(self) -> int:
        return 16

    @property
    def labels(self) -> np.ndarray:
        return np.arange(16, dtype=np.int64) // 8

    def batch(self, indices):
        channels, side, _ = self.image_shape
        images = torch.full((len(indices), channels, side, side), 0.1)
        for row, index in enumerate(check_indices(self, indices)):
            half = slice(0, side // 2) if index < 8 else slice(side // 2, side)
            images[row, :, :, half] = 0.55 + 0.05 * (index % 8)
        return images


def distance_and_left(generator: Generator, label: torch.Tensor | None = None) -> tuple[float, float]:
    """Of 200 samples: median RMS distance to the nearest image; share whose nearest is bright on the left."""
    samples = generator(generator.sample(200, torch.Generator().manual_seed(0), label))
    data = Halves(generator.image_shape[-1], generator.image_shape[0]).batch(range(16))
    nearest = (torch.cdist(samples.flatten(1), data.flatten(1)) / data[0].numel() ** 0.5).min(dim=1)
    return float(nearest.values.median()), float((nearest.indices < 8).float().mean())
