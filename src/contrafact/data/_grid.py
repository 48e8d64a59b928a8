"""Checks that a file's labels are the full grid its dataset promises.

Shape suffixes: N images, K factors.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from contrafact.data._files import AnyArray


def check_grid(
    dataset: str, file: Path, key: str, labels_NK: AnyArray, names: Sequence[str], sizes: Sequence[int]
) -> None:
    """Refuse labels that do not run through the grid row-major, the last factor fastest.

    Args:
        dataset: the dataset's name, for errors.
        file: the file the labels come from.
        key: their key in it.
        labels_NK: values of the factors, one row per image.
        names: K factor names.
        sizes: K numbers of values.

    Raises:
        ValueError: names the first factor that is out of order.
    """
    for axis, (name, size) in enumerate(zip(names, sizes, strict=True)):
        grid = np.moveaxis(labels_NK[:, axis].reshape(sizes), axis, -1).reshape(-1, size)
        values = grid[0]
        if (grid != values).any() or (np.diff(values) <= 0).any():
            raise ValueError(
                f"{dataset}: key {key!r} of {file}: column {axis} ({name}) must rise through {size} values in grid "
                "order, the last factor fastest; the file was reordered or belongs to another dataset"
            )
