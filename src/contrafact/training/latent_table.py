"""Latent optimisation: one row of trainable numbers per image, and the order in which images are visited.

Only the rows of a batch are touched by a step, so a table of a million images costs no more per step than a small one;
with ``file`` it lives on disk and is paged in as needed.

Shape suffixes: N rows of a batch, M rows of the table, D numbers per row.
"""

from __future__ import annotations

import math
import mmap
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from contrafact.core.dataset import IntArray, check_count
from contrafact.nn.factor_codes import SPREAD

_BETAS, _EPSILON = (0.5, 0.999), 1e-8
_FILL_ROWS = 65_536
_AROUND = 2**21
"""Bytes that may become resident where one row is touched: Linux maps a whole huge page of its file cache."""
_MOST_RESIDENT = 2**29
"""Bytes of a file that may be resident before its pages are handed back, which costs little."""


class Taken(NamedTuple):
    """Rows taken out of a table for one step.

    Attributes:
        values_ND: the batch's rows; differentiable, a row asked for twice is there twice.
        leaf: each different row once; gradients gather here.
        rows: its positions in the table.
    """

    values_ND: Tensor
    leaf: Tensor
    rows: Tensor


class LatentTable:
    """M rows of D numbers, trained by Adam row by row (moments of rows outside the batch stand still).

    Args:
        num_rows: M.
        dim: D; 0 makes a table of nothing, which every method accepts.
        rng: draws the initial rows, uniform in ±0.05.
        device: where batches of rows go; the table itself stays on the CPU when it lies in a file.
        file: keep rows and moments in this file instead of memory (for sets of a million images).
    """

    def __init__(
        self,
        num_rows: int,
        dim: int,
        rng: torch.Generator,
        device: torch.device | str = "cpu",
        file: str | Path | None = None,
    ) -> None:
        self.num_rows, self.dim = check_count("num_rows", num_rows), dim
        self.device = torch.device(device)
        self._mapped: np.memmap[Any, np.dtype[np.float32]] | None = None
        self._touched = 0
        home = self.device
        if file is None:
            parts = torch.zeros(3, num_rows, dim)
        else:
            path = Path(file)
            path.parent.mkdir(parents=True, exist_ok=True)
            self._mapped = np.memmap(path, dtype=np.float32, mode="w+", shape=(3, num_rows, max(dim, 1)))
            parts, home = torch.from_numpy(self._mapped)[:, :, :dim], torch.device("cpu")
        for start in range(0, num_rows, _FILL_ROWS):
            block = parts[0, start : start + _FILL_ROWS]
            block.copy_((2 * torch.rand(block.shape, generator=rng) - 1) * SPREAD)
            self._release()
        self._rows, self._mean, self._square = parts.to(home)
        self._count = torch.zeros(num_rows, dtype=torch.int32, device=home)

    def take(self, indices: IntArray | Tensor) -> Taken:
        """Rows ``(N, D)`` for a step; give the result to :meth:`update` after ``backward``."""
        wanted = torch.as_tensor(indices, device=self._rows.device)
        rows, inverse = wanted.unique(return_inverse=True)
        leaf = self._rows[rows].to(self.device).requires_grad_()
        self._touch(len(rows))
        return Taken(leaf[inverse.to(self.device)], leaf, rows)

    @torch.no_grad()
    def update(self, taken: Taken, learning_rate: float) -> None:
        """One step of Adam (0.5, 0.999) on the taken rows; bias correction counts each row's own steps."""
        if taken.leaf.grad is None:
            return
        gradient, rows = taken.leaf.grad.to(self._rows.device), taken.rows
        self._count[rows] += 1
        count = self._count[rows, None].float()
        mean = self._mean[rows].lerp_(gradient, 1 - _BETAS[0])
        square = self._square[rows].lerp_(gradient.square(), 1 - _BETAS[1])
        self._mean[rows], self._square[rows] = mean, square
        corrected = mean / (1 - _BETAS[0] ** count)
        scale = (square / (1 - _BETAS[1] ** count)).sqrt_().add_(_EPSILON)
        self._rows[rows] -= learning_rate * corrected / scale
        self._touch(2 * len(rows))

    def read(self, indices: IntArray | Tensor) -> Tensor:
        """Rows ``(N, D)`` as they are now, on the batch's device, without gradient."""
        rows: Tensor = self._rows[torch.as_tensor(indices, device=self._rows.device)]
        self._touch(len(rows))
        return rows.to(self.device)

    def state_dict(self) -> dict[str, Tensor]:
        """Rows, moments and step counts."""
        return {"rows": self._rows, "mean": self._mean, "square": self._square, "count": self._count}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Put a :meth:`state_dict` back.

        Raises:
            ValueError: a table of another shape.
        """
        if state["rows"].shape != self._rows.shape:
            raise ValueError(f"expected {tuple(self._rows.shape)} rows, got {tuple(state['rows'].shape)}")
        for name, tensor in self.state_dict().items():
            tensor.copy_(state[name])
        self._release()

    def _touch(self, rows: int) -> None:
        """Count rows read or written, and hand the file's pages back when they may have become many."""
        self._touched += rows * max(_AROUND, 4 * self.dim)
        if self._touched > _MOST_RESIDENT:
            self._release()

    def _release(self) -> None:
        """Hand the file's pages back: what was written stays in the system's cache until it reaches the disk."""
        self._touched = 0
        if self._mapped is not None:
            mapping = self._mapped._mmap  # type: ignore[attr-defined]  # numpy offers no public way to advise
            mapping.madvise(mmap.MADV_DONTNEED)


class EpochOrder:
    """Batches that visit every image equally often: a new random order each epoch, known from the step alone.

    Args:
        num_images: images to visit.
        batch_size: of every batch; the end of an order and the start of the next share one.
        rng: decides the orders.
    """

    def __init__(self, num_images: int, batch_size: int, rng: np.random.Generator) -> None:
        self.num_images, self.batch_size = check_count("num_images", num_images), check_count("batch_size", batch_size)
        self._entropy = int(rng.integers(2**63))
        self._orders: dict[int, IntArray] = {}

    def batch(self, step: int) -> IntArray:
        """Image numbers ``(batch_size,)`` of step ``step``."""
        places = np.arange(step * self.batch_size, (step + 1) * self.batch_size)
        epochs = places // self.num_images
        needed = range(int(epochs[0]), int(epochs[-1]) + 1)
        self._orders = {epoch: self._order(epoch) for epoch in needed}
        orders = np.stack([self._orders[epoch] for epoch in needed])
        chosen: IntArray = orders[epochs - epochs[0], places % self.num_images]
        return chosen

    def _order(self, epoch: int) -> IntArray:
        if epoch in self._orders:
            return self._orders[epoch]
        return np.random.default_rng([self._entropy, epoch]).permutation(self.num_images)


def cosine_rate(step: int, total: int, highest: float, lowest: float = 0.0) -> float:
    """Learning rate that falls from ``highest`` to ``lowest`` along half a cosine over ``total`` steps."""
    return lowest + 0.5 * (highest - lowest) * (1 + math.cos(math.pi * min(step, total) / max(1, total)))
