"""Dots: a bright square on a dark ground, at each place of a grid, in several colours.

Made up for this package.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from contrafact.core.dataset import FactorDataset, IntArray, check_count

COLOURS = torch.tensor([[1.0, 0.2, 0.2], [0.2, 1.0, 0.2], [0.3, 0.3, 1.0]])


class Dots(FactorDataset):
    """Colour images of a square.

    Args:
        path: None, as there are no files.
        size: image side in pixels, a multiple of 8.

    Raises:
        ValueError: a path, or a size that is none.
    """

    name = "dots"
    source = "made up"
    factor_names = ("row", "column", "colour")
    factor_sizes = (8, 8, 3)

    def __init__(self, path: str | Path | None = None, size: int = 16) -> None:
        side = check_count("size", size)
        if side % 8:
            raise ValueError(f"size must be a multiple of 8, got {size}")
        if path is not None:
            raise ValueError(f"dots are drawn, not read from files; leave out the path {path}")
        self.image_shape = (3, side, side)

    def batch(self, indices: IntArray | Sequence[int] | Tensor) -> Tensor:
        """Images ``(N, 3, size, size)``."""
        row, column, colour = torch.from_numpy(self.factors_of(indices)).T
        place = torch.arange(self.image_shape[1]) * 8 // self.image_shape[1]
        inside = (place[None] == row[:, None])[:, :, None] & (place[None] == column[:, None])[:, None, :]
        return torch.where(inside[:, None], COLOURS[colour][:, :, None, None], 0.1).contiguous()
