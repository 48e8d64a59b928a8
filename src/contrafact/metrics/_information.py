"""Entropies and mutual informations of binned codes and factors, in nats.

Shape suffixes: N points, J code dimensions, K factors.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from contrafact.core.dataset import check_count
from contrafact.core.matrices import dead_codes
from contrafact.core.metric import (
    ArrayLike,
    Continuous,
    FloatArray,
    IntArray,
    check_mixed_factors,
    which_continuous,
)
from contrafact.core.once import once

AnyInts = npt.NDArray[np.integer[Any]]
GAP = -1  # bin of a code of which nothing is known
NO_VALUE = np.iinfo(np.int64).min  # the same of a factor, whose values may be any other whole number
CODES_AT_ONCE = 8  # codes copied together, so that a million points stay small


@once
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
    live = np.flatnonzero(~dead_codes(codes_NJ))
    for first in range(0, len(live), CODES_AT_ONCE):
        block = live[first : first + CODES_AT_ONCE]
        for j, code_N in zip(block, np.ascontiguousarray(codes_NJ[:, block].T), strict=True):
            limits = np.array([code_N.min(), code_N.max()])
            bins_JN[j] = _bins_of(code_N, np.histogram_bin_edges(limits, num_bins))
    return bins_JN


def _bins_of(code_N: npt.NDArray[np.floating[Any]], edges: npt.NDArray[np.floating[Any]]) -> AnyInts:
    """Bin of each value: found by division, and searched for among the edges where rounding led astray."""
    lowest, highest, last = edges[0], edges[-1], len(edges) - 2
    with np.errstate(over="ignore", invalid="ignore"):
        place_N = (code_N - lowest) * ((last + 1) / (highest - lowest))
    if not np.isfinite(place_N[-1]):  # so small a range that its inverse overflows
        return np.asarray(np.searchsorted(edges[1:-1], code_N, side="right"))
    bins_N: AnyInts = np.minimum(place_N.astype(np.intp), last)
    upper = np.append(edges[1:-1], np.inf)
    wrong_N = (code_N < edges[bins_N]) | (code_N >= upper[bins_N])
    bins_N[wrong_N] = np.searchsorted(edges[1:-1], code_N[wrong_N], side="right")
    return bins_N


def relabel(values_N: AnyInts) -> IntArray:
    """Whole numbers ``(N,)`` renumbered from 0 without gaps, order kept."""
    low, high = int(values_N.min()), int(values_N.max())
    if high - low > 4 * len(values_N) + 1024:
        return np.unique(values_N, return_inverse=True)[1].astype(np.int64)
    present = np.bincount(values_N.astype(np.int64) - low) > 0
    return np.asarray((np.cumsum(present) - 1)[values_N - low], dtype=np.int64)


def read_labels(factors: ArrayLike, num_points: int, continuous: Continuous, num_bins: int) -> AnyInts:
    """Factors as whole numbers ``(N, K)``; continuous ones by :func:`discretize`.

    Raises:
        ValueError: what :func:`check_mixed_factors` refuses.
    """
    factors_NK = check_mixed_factors(factors, num_points, continuous)
    measured_K = which_continuous(continuous, factors_NK.shape[1])
    if not measured_K.any():
        return np.asarray(factors_NK)
    if measured_K.all():
        return discretize(factors_NK, num_bins).T
    labels_NK = factors_NK.astype(np.int64)
    labels_NK[:, measured_K] = discretize(factors_NK[:, measured_K], num_bins).T
    return np.asarray(labels_NK)


def _entropy_of_counts(counts: IntArray) -> float:
    used = counts[counts > 0]
    if len(used) < 2:
        return 0.0
    total = used.sum()
    return float(np.log(total) - (used * np.log(used)).sum() / total)


def entropy(labels_N: AnyInts) -> float:
    """Entropy of whole-number labels ``(N,)`` in nats; exactly 0 for a constant."""
    return _entropy_of_counts(np.bincount(relabel(labels_N)))


@once
def mutual_information(bins_JN: AnyInts, factors_NK: AnyInts) -> FloatArray:
    """Plug-in mutual information ``(J, K)`` in nats of binned codes and factors: H(bin) + H(factor) - H(both).

    Bins are numbered from 0, factors in any way. Exactly 0 where either is constant, never negative.

    >>> bits = np.array([0, 0, 1, 1])
    >>> mutual_information(np.stack([bits, 0 * bits]), bits[:, None]).round(4).tolist()
    [[0.6931], [0.0]]
    """
    num_factors = factors_NK.shape[1]
    result_JK = np.zeros((len(bins_JN), num_factors))
    labels_KN = [relabel(factors_NK[:, k]) for k in range(num_factors)]
    entropy_K = [_entropy_of_counts(np.bincount(labels_N)) for labels_N in labels_KN]
    for j, bins_N in enumerate(bins_JN):
        code_N = bins_N.astype(np.intp)
        counts = np.bincount(code_N)
        code_entropy = _entropy_of_counts(counts)
        if code_entropy == 0.0:
            continue
        for k in np.flatnonzero(entropy_K):
            joint_entropy = _entropy_of_counts(np.bincount(labels_KN[k] * len(counts) + code_N))
            result_JK[j, k] = max(0.0, code_entropy + entropy_K[k] - joint_entropy)
    return result_JK
