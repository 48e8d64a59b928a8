"""Rows of a matrix that share a factor's value: what votes are drawn from where there is no grid of images.

Shape suffixes: N rows, K factors, S draws (of any shape).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from contrafact.core.metric import IntArray
from contrafact.metrics._information import AnyInts, relabel


class SharedRows:
    """The rows of each value of each factor, ready to be drawn from.

    A value is drawn as often as rows show it, rows of it alike and independently: on a full grid that is the published
    protocol. Values of a single row are never drawn: nothing shares them.

    Args:
        labels_NK: values of the factors.

    Raises:
        ValueError: a factor has no value that two rows share.
    """

    def __init__(self, labels_NK: AnyInts) -> None:
        num_factors = labels_NK.shape[1]
        labels_KN = np.stack([relabel(labels_NK[:, k]) for k in range(num_factors)])
        self._order_KN = np.argsort(labels_KN, axis=1, kind="stable")
        self._first_KN, self._size_KN = np.empty_like(labels_KN), np.empty_like(labels_KN)
        self._shared: list[IntArray] = []
        self.sizes: list[IntArray] = []
        for k, labels_N in enumerate(labels_KN):
            sizes = np.bincount(labels_N)
            self.sizes.append(sizes)
            self._size_KN[k] = sizes[labels_N]
            self._first_KN[k] = (np.cumsum(sizes) - sizes)[labels_N]
            self._shared.append(np.flatnonzero(self._size_KN[k] > 1))
            if not len(self._shared[-1]):
                raise ValueError(
                    f"factor {k} has another value in every row: no two rows share one; drop the column or bin it"
                )

    def draw(self, factors_S: IntArray, rng: np.random.Generator) -> IntArray:
        """A row for each draw, one of several that share its value of the factor."""
        counts_K = np.array([len(rows) for rows in self._shared])
        place_S = rng.integers(counts_K[factors_S])
        rows_S = np.empty_like(place_S)
        for k, rows in enumerate(self._shared):
            rows_S[factors_S == k] = rows[place_S[factors_S == k]]
        return rows_S

    def partners(self, rows_S: IntArray, factors_S: IntArray, rng: np.random.Generator) -> IntArray:
        """A row for each of ``rows_S`` that has the same value of the factor, at times the row itself."""
        step_S: npt.NDArray[Any] = rng.integers(self._size_KN[factors_S, rows_S])
        return np.asarray(self._order_KN[factors_S, self._first_KN[factors_S, rows_S] + step_S])

    def notes(self, least: int) -> tuple[str, ...]:
        """Which factors have values of a single row, or of fewer than ``least``."""
        found = []
        for k, sizes in enumerate(self.sizes):
            if alone := int((sizes == 1).sum()):
                found.append(f"factor {k}: {alone} values of a single row were never held fixed")
            if few := int(((sizes > 1) & (sizes < least)).sum()):
                found.append(f"factor {k}: {few} values have fewer than {least} rows, which then repeat within a vote")
        return tuple(found)
