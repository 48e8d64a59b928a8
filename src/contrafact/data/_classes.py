"""Drawing instances of wanted classes."""

from __future__ import annotations

import numpy as np

from contrafact.core.dataset import IntArray


def rows_of_classes(labels: IntArray, wanted: IntArray, rng: np.random.Generator, where: str) -> IntArray:
    """A random row of each wanted class.

    Args:
        labels: class of each row, 0 to 9.
        wanted: classes, of any shape.
        rng: draws the rows.
        where: what the rows are, for the error: ``mnist-stl: mnist from data/mnist``.

    Raises:
        ValueError: a class has no row.
    """
    order = np.argsort(labels, kind="stable")
    counts = _counts(labels, where)
    starts = np.cumsum(counts) - counts
    rows: IntArray = order[starts[wanted] + np.floor(rng.random(wanted.shape) * counts[wanted]).astype(np.int64)]
    return rows


def rows_of_other_classes(labels: IntArray, unwanted: IntArray, rng: np.random.Generator, where: str) -> IntArray:
    """A random row of any class but the unwanted one, as often as the class occurs among the rows.

    Args:
        labels: class of each row, 0 to 9.
        unwanted: classes, of any shape.
        rng: draws the rows.
        where: what the rows are, for the error.

    Raises:
        ValueError: a class has no row.
    """
    _counts(labels, where)
    rows: IntArray = rng.integers(len(labels), size=unwanted.shape)
    while (again := labels[rows] == unwanted).any():
        rows[again] = rng.integers(len(labels), size=int(again.sum()))
    return rows


def _counts(labels: IntArray, where: str) -> IntArray:
    counts = np.bincount(labels, minlength=10)
    if (counts == 0).any():
        raise ValueError(f"{where} holds nothing of class {int(np.argmin(counts))}; get whole files")
    return counts
