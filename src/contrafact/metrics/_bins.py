"""Codes sorted and cut into bins, ready for the search of splits.

Shape suffixes: N points, J codes, B bins, G groups of equal values.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from contrafact.core.metric import FloatArray

MAX_BINS = 256
EXACT_POINTS = 2048  # up to so many points, splits are searched at every distinct value; bins are not used
SAME_VALUE = 1e-7  # scikit-learn never splits between float32 values this close

Array = npt.NDArray[Any]


class BinnedCodes(NamedTuple):
    """Codes prepared for split search.

    Attributes:
        bins_JN: bin of each point, uint8.
        groups_JN: rank of each point's value among the distinct values of its code, uint32.
        order_JN: points sorted by value, uint32.
        bin_start_JB: first position of each bin in ``order_JN`` (one more column than bins).
        last_group_JB: highest group of each bin.
        num_bins_J: bins in use.
        low_JG: smallest value of each group.
        high_JG: largest value of each group.
        exact: few enough points to do without bins.
    """

    bins_JN: Array
    groups_JN: Array
    order_JN: Array
    bin_start_JB: Array
    last_group_JB: Array
    num_bins_J: Array
    low_JG: Array
    high_JG: Array
    exact: bool


def _bin_sizes(num_points: int) -> Array:
    """Aimed-at bin sizes ``(MAX_BINS,)``: equal in the middle, doubling from single points at both ends.

    The split that isolates a handful of extreme points often wins by chance in the original; coarse end bins would
    miss it and make noise codes look less important than they are there.
    """
    sizes = np.minimum(2.0 ** (np.arange(MAX_BINS) // 4), 1e300)
    sizes = np.minimum(sizes, sizes[::-1])
    low, high = 1.0, float(num_points)
    for _ in range(60):
        cap = 0.5 * (low + high)
        low, high = (cap, high) if np.minimum(sizes, cap).sum() < num_points else (low, cap)
    return np.asarray(np.minimum(sizes, high))


def bin_codes(codes_NJ: FloatArray) -> BinnedCodes:
    """Sort every code and cut it into bins; values scikit-learn would not tell apart share a group."""
    num_points, num_codes = codes_NJ.shape
    ends = np.cumsum(_bin_sizes(num_points))
    bin_start_JB = np.full((num_codes, MAX_BINS + 1), num_points, dtype=np.int64)
    last_group_JB = np.zeros((num_codes, MAX_BINS), dtype=np.int64)
    num_bins_J = np.zeros(num_codes, dtype=np.int64)
    low_JG = np.zeros((num_codes, num_points), dtype=np.float32)
    high_JG = np.zeros((num_codes, num_points), dtype=np.float32)
    bins_JN = np.empty((num_codes, num_points), dtype=np.uint8)
    groups_JN = np.empty((num_codes, num_points), dtype=np.uint32)
    order_JN = np.empty((num_codes, num_points), dtype=np.uint32)
    for j in range(num_codes):  # what sorting needs beside the result is large: one code's at a time
        code_N = codes_NJ[:, j].astype(np.float32)
        order_N = np.argsort(code_N, kind="stable")
        sorted_N = code_N[order_N]
        starts_group_N = np.ones(num_points, dtype=bool)
        starts_group_N[1:] = sorted_N[1:] > sorted_N[:-1] + np.float32(SAME_VALUE)
        order_JN[j] = order_N
        groups_JN[j, order_N] = np.cumsum(starts_group_N) - 1
        first_G = np.flatnonzero(starts_group_N)
        after_G = np.append(first_G[1:], num_points)
        low_JG[j, : len(first_G)], high_JG[j, : len(first_G)] = sorted_N[first_G], sorted_N[after_G - 1]
        if len(first_G) <= MAX_BINS:
            bin_of_G = np.arange(len(first_G))
        else:
            wanted_G = np.searchsorted(ends, after_G - 0.5).clip(max=MAX_BINS - 1)
            bin_of_G = np.unique(wanted_G, return_inverse=True)[1]
        used = int(bin_of_G[-1]) + 1
        first_group_B = np.searchsorted(bin_of_G, np.arange(used))
        num_bins_J[j] = used
        bin_start_JB[j, :used] = first_G[first_group_B]
        last_group_JB[j, :used] = np.append(first_group_B[1:], len(first_G)) - 1
        bins_JN[j] = bin_of_G[groups_JN[j]]
    return BinnedCodes(
        bins_JN,
        groups_JN,
        order_JN,
        bin_start_JB,
        last_group_JB,
        num_bins_J,
        low_JG,
        high_JG,
        num_points <= EXACT_POINTS,
    )
