"""Entropies and mutual informations of binned codes and factors, in nats.

Shape suffixes: N points, J code dimensions, K factors.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from contrafact.core.dataset import check_count
from contrafact.core.metric import ArrayLike, FloatArray, IntArray, check_continuous_factors, check_factors
from contrafact.metrics._inputs import dead_codes

AnyInts = npt.NDArray[np.integer[Any]]


def discretize(codes_NJ: npt.NDArray[np.floating[Any]], num_bins: int = 20) -> AnyInts:
    """Bin of every code ``(J, N)``: equal-width bins over each code's own range, numbered from 0.

    Edges are computed in the codes' precision, as ``numpy.histogram`` does. A dead code falls into one bin.

    >>> discretize(np.array([[0.0], [0.4], [1.0]]), num_bins=2).tolist()
    [[0, 0, 1]]

    Raises:
        ValueError: ``num_bins`` is not a whole number of at least 1.
    """
    check_count("num_bins", num_bins)
    dtype = np.uint8 if num_bins <= 256 else np.int32
    bins_JN = np.zeros(codes_NJ.shape[::-1], dtype=dtype)
    for j in np.flatnonzero(~dead_codes(codes_NJ)):
        code_N = np.ascontiguousarray(codes_NJ[:, j])
        edges = np.histogram_bin_edges(code_N, num_bins)
        bins_JN[j] = np.searchsorted(edges[1:-1], code_N, side="right")
    return bins_JN


def relabel(values_N: AnyInts) -> IntArray:
    """Whole numbers ``(N,)`` renumbered from 0 without gaps, order kept."""
    low, high = int(values_N.min()), int(values_N.max())
    if high - low > 4 * len(values_N) + 1024:
        return np.unique(values_N, return_inverse=True)[1].astype(np.int64)
    present = np.bincount(values_N.astype(np.int64) - low) > 0
    return np.asarray((np.cumsum(present) - 1)[values_N - low], dtype=np.int64)


def read_labels(factors: ArrayLike, num_points: int, continuous: bool, num_bins: int) -> AnyInts:
    """Factors as whole numbers ``(N, K)``; continuous ones by :func:`discretize`.

    Raises:
        ValueError: what :func:`check_factors`, or for continuous factors :func:`check_continuous_factors`, refuse.
    """
    if not continuous:
        return check_factors(factors, num_points)
    return discretize(check_continuous_factors(factors, num_points), num_bins).T


def _entropy_of_counts(counts: IntArray) -> float:
    used = counts[counts > 0]
    if len(used) < 2:
        return 0.0
    total = used.sum()
    return float(np.log(total) - (used * np.log(used)).sum() / total)


def entropy(labels_N: AnyInts) -> float:
    """Entropy of whole-number labels ``(N,)`` in nats; exactly 0 for a constant."""
    return _entropy_of_counts(np.bincount(relabel(labels_N)))


def mutual_information(bins_JN: AnyInts, factors_NK: AnyInts) -> FloatArray:
    """Plug-in mutual information ``(J, K)`` in nats of binned codes and factors: H(bin) + H(factor) - H(both).

    Exactly 0 where either is constant, never negative.

    >>> bits = np.array([0, 0, 1, 1])
    >>> mutual_information(np.stack([bits, 0 * bits]), bits[:, None]).round(4).tolist()
    [[0.6931], [0.0]]
    """
    result_JK = np.zeros((len(bins_JN), factors_NK.shape[1]))
    labels_KN = np.stack([relabel(factors_NK[:, k]) for k in range(factors_NK.shape[1])])
    entropy_K = [_entropy_of_counts(np.bincount(labels_N)) for labels_N in labels_KN]
    for j, bins_N in enumerate(bins_JN):
        code_N = relabel(bins_N)
        num_bins = int(code_N.max()) + 1
        code_entropy = _entropy_of_counts(np.bincount(code_N))
        if num_bins == 1:
            continue
        for k, labels_N in enumerate(labels_KN):
            if entropy_K[k] > 0:
                joint_entropy = _entropy_of_counts(np.bincount(labels_N * num_bins + code_N))
                result_JK[j, k] = max(0.0, code_entropy + entropy_K[k] - joint_entropy)
    return result_JK
