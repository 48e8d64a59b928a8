"""Codes of several models of the same images: read, and compared pair by pair.

Shape suffixes: N points, S models.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from contrafact.core.matrices import dead_codes
from contrafact.core.metric import ArrayLike, FloatArray, check_codes


def read_models(codes: Sequence[ArrayLike]) -> list[FloatArray]:
    """One float64 matrix ``(N, J)`` per model, of any widths.

    Raises:
        ValueError: fewer than two models, anything :func:`check_codes` refuses, or different numbers of rows.
    """
    if len(codes) < 2:
        raise ValueError(f"models are compared with each other: pass the codes of at least two, got {len(codes)}")
    matrices = [check_codes(values, f"codes[{s}]") for s, values in enumerate(codes)]
    if len({len(values) for values in matrices}) > 1:
        raise ValueError(f"all models must see the same images, got {[len(values) for values in matrices]} rows")
    return matrices


def centre(codes_NJ: FloatArray) -> FloatArray:
    """Codes less their means; exactly 0 for a dead code."""
    return np.where(dead_codes(codes_NJ), 0.0, codes_NJ - codes_NJ.mean(axis=0))


def mean_of_others(pairs_SS: FloatArray) -> FloatArray:
    """Mean of each model's scores with the others ``(S,)``.

    >>> mean_of_others(np.array([[1.0, 0.2, 0.4], [0.2, 1.0, 0.6], [0.4, 0.6, 1.0]])).round(2).tolist()
    [0.3, 0.4, 0.5]
    """
    return np.asarray((pairs_SS.sum(axis=1) - np.diag(pairs_SS)) / (len(pairs_SS) - 1))
