"""Gradient-boosted classifiers as scikit-learn grows them, many times faster.

One classifier per factor: 100 stages, learning rate 0.1, one depth-3 least-squares tree per class and stage fitted to
the residuals of the multinomial (two classes: binomial) deviance, leaves set by a Newton step (Friedman 2001,
Algorithm 6).

Splits are searched on a histogram of up to 256 bins per code, then at every distinct value inside the bins beside the
best edge and at both ends of the node, so that the best split of all is found nearly always. Residuals are summed in
fixed point: equal splits have exactly equal gains, and ties break by the seed alone, as in the original.

Shape suffixes: N points, M test points, J codes, B bins, T trees per stage (all classes of all factors), K factors.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from contrafact.core.metric import FloatArray, IntArray
from contrafact.metrics._compile import compiled, workers

NUM_STAGES = 100
LEARNING_RATE = 0.1
MAX_BINS = 256
SAME_VALUE = 1e-7  # scikit-learn never splits between float32 values this close
NUM_NODES = 7  # inner nodes of a tree of depth 3, numbered level by level; its 8 leaves follow

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
    """

    bins_JN: Array
    groups_JN: Array
    order_JN: Array
    bin_start_JB: Array
    last_group_JB: Array
    num_bins_J: Array
    low_JG: Array
    high_JG: Array


class Trees(NamedTuple):
    """What the trees of one stage read and add to.

    Attributes:
        residual_TN: residuals of each class at the start of the stage.
        raw_TN: raw scores of the training points.
        raw_TM: raw scores of the test points.
        values_test_JM: test codes, float32.
        factor_scale_T: (C - 1) / C for a factor of C > 2 values, else 1.
        seed_T: seed of each tree's ties.
        importance_TJ: sum of each code's gains so far.
    """

    residual_TN: Array
    raw_TN: Array
    raw_TM: Array
    values_test_JM: Array
    factor_scale_T: Array
    seed_T: Array
    importance_TJ: Array


class Work(NamedTuple):
    """Work space of one thread. A point's residual travels packed: see :func:`_pack`."""

    histogram_VJB: Array
    packed_N: Array
    packed_sorted_N: Array
    spare_packed_N: Array
    points_N: Array
    spare_points_N: Array
    node_N: Array
    before_B: Array


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
    values_JN = np.ascontiguousarray(codes_NJ.T.astype(np.float32))
    num_codes, num_points = values_JN.shape
    order_JN = np.argsort(values_JN, axis=1, kind="stable")
    sorted_JN = np.take_along_axis(values_JN, order_JN, axis=1)
    starts_group_JN = np.ones((num_codes, num_points), dtype=bool)
    starts_group_JN[:, 1:] = sorted_JN[:, 1:] > sorted_JN[:, :-1] + np.float32(SAME_VALUE)
    group_sorted_JN = np.cumsum(starts_group_JN, axis=1) - 1
    groups_JN = np.empty((num_codes, num_points), dtype=np.uint32)
    np.put_along_axis(groups_JN, order_JN, group_sorted_JN.astype(np.uint32), axis=1)

    ends = np.cumsum(_bin_sizes(num_points))
    bin_start_JB = np.full((num_codes, MAX_BINS + 1), num_points, dtype=np.int64)
    last_group_JB = np.zeros((num_codes, MAX_BINS), dtype=np.int64)
    num_bins_J = np.zeros(num_codes, dtype=np.int64)
    low_JG = np.zeros((num_codes, num_points), dtype=np.float32)
    high_JG = np.zeros((num_codes, num_points), dtype=np.float32)
    bins_JN = np.empty((num_codes, num_points), dtype=np.uint8)
    for j in range(num_codes):
        first_G = np.flatnonzero(starts_group_JN[j])
        after_G = np.append(first_G[1:], num_points)
        low_JG[j, : len(first_G)], high_JG[j, : len(first_G)] = sorted_JN[j, first_G], sorted_JN[j, after_G - 1]
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
        bins_JN, groups_JN, order_JN.astype(np.uint32), bin_start_JB, last_group_JB, num_bins_J, low_JG, high_JG
    )


@compiled
def _gain(left: int, total: int, shift: int) -> float:
    """Sum of squares explained by a split, up to a constant of the node, from its packed sums."""
    half = 1 << (shift - 1)
    count_left, count = (left + half) >> shift, (total + half) >> shift
    sum_left = float(left - (count_left << shift))
    sum_right = float(total - (count << shift)) - sum_left
    return sum_left * sum_left / count_left + sum_right * sum_right / (count - count_left)


@compiled
def _refine(
    j: int, bin_index: int, total: int, shift: int, node: int, work: Work, codes: BinnedCodes, best: float, cut: int
) -> tuple[float, int]:
    """Try every distinct value of code ``j`` inside one bin of one node."""
    left = work.before_B[bin_index]
    previous: Any = -1
    for position in range(codes.bin_start_JB[j, bin_index], codes.bin_start_JB[j, bin_index + 1]):
        point = codes.order_JN[j, position]
        if work.node_N[point] != node:
            continue
        group = np.int64(codes.groups_JN[j, point])
        if previous >= 0 and group != previous:
            gain = _gain(left, total, shift)
            if gain > best:
                best, cut = gain, previous
        left += work.packed_N[point]
        previous = group
    return best, cut


@compiled
def _best_split(
    total: int, shift: int, node: int, features: Array, work: Work, codes: BinnedCodes
) -> tuple[float, int, int]:
    """Best (gain, code, cut) of a node: points whose group is at most the cut go left. Code -1: no split exists."""
    half = 1 << (shift - 1)
    count = (total + half) >> shift
    best, best_code, best_cut = -1.0, -1, -1
    for f in range(len(features)):
        j = features[f]
        histogram_B = work.histogram_VJB[node, j]
        left = 0
        gain_j, cut_j, bin_j = -1.0, -1, -1
        first, last = -1, -1
        for b in range(codes.num_bins_J[j]):
            work.before_B[b] = left
            packed = histogram_B[b]
            if packed == 0:
                continue
            if first < 0:
                first = b
            last = b
            left += packed
            if (left + half) >> shift < count:
                gain = _gain(left, total, shift)
                if gain > gain_j:
                    gain_j, cut_j, bin_j = gain, codes.last_group_JB[j, b], b
        tried = -1
        for b in (first, bin_j, bin_j + 1, last):
            if tried < b <= last and histogram_B[b] != 0:
                gain_j, cut_j = _refine(j, b, total, shift, node, work, codes, gain_j, cut_j)
                tried = b
        if gain_j > best:
            best, best_code, best_cut = gain_j, j, cut_j
    return best, best_code, best_cut


@compiled
def _partition(
    start: int, end: int, code: int, cut: int, left_child: int, work: Work, codes: BinnedCodes
) -> tuple[Any, Any, float]:
    """Move a node's points that go left to its front: (first position of the right, packed left sum, threshold)."""
    groups_N = codes.groups_JN[code]
    left, right = start, 0
    left_sum = np.int64(0)
    highest_left, lowest_right = np.int64(-1), np.int64(len(groups_N))
    for p in range(start, end):
        point, packed = work.points_N[p], work.packed_sorted_N[p]
        group = np.int64(groups_N[point])
        if group <= cut:
            work.points_N[left], work.packed_sorted_N[left] = point, packed
            left += 1
            left_sum += packed
            work.node_N[point] = left_child
            highest_left = max(highest_left, group)
        else:
            work.spare_points_N[right], work.spare_packed_N[right] = point, packed
            right += 1
            work.node_N[point] = left_child + 1
            lowest_right = min(lowest_right, group)
    work.points_N[left:end] = work.spare_points_N[:right]
    work.packed_sorted_N[left:end] = work.spare_packed_N[:right]
    threshold = float(codes.high_JG[code, highest_left]) / 2.0 + float(codes.low_JG[code, lowest_right]) / 2.0
    return left, left_sum, threshold


@compiled
def _pack(residual_N: Array, work: Work) -> tuple[int, float]:
    """Pack each residual as one int64, a 1 above ``shift`` bits (so that sums count points) and fixed point below.

    Returns:
        shift, and the factor from residuals to fixed point: 0 when all residuals are 0.
    """
    num_points = len(residual_N)
    largest = 0.0
    for i in range(num_points):
        largest = max(largest, abs(residual_N[i]))
    count_bits = 1
    while (1 << count_bits) <= num_points:
        count_bits += 1
    shift = 62 - count_bits
    if largest == 0.0:
        return shift, 0.0
    scale = float(1 << (shift - 1 - count_bits)) / largest
    one = np.int64(1) << shift
    for i in range(num_points):
        work.packed_N[i] = one + np.int64(np.rint(residual_N[i] * scale))
        work.packed_sorted_N[i] = work.packed_N[i]
        work.points_N[i] = i
        work.node_N[i] = 0
    return shift, scale


@compiled
def _fill_children(node: int, small: int, large: int, start: int, end: int, work: Work, codes: BinnedCodes) -> None:
    """Histograms of two children: sum over the smaller one's points, the larger one is what remains."""
    for j in range(len(codes.num_bins_J)):
        small_B, large_B = work.histogram_VJB[small, j], work.histogram_VJB[large, j]
        node_B, bins_N = work.histogram_VJB[node, j], codes.bins_JN[j]
        small_B[:] = 0
        for p in range(start, end):
            small_B[bins_N[work.points_N[p]]] += work.packed_sorted_N[p]
        for b in range(codes.num_bins_J[j]):
            large_B[b] = node_B[b] - small_B[b]


@compiled
def _grow(t: int, trees: Trees, work: Work, codes: BinnedCodes) -> None:
    """Grow tree ``t`` on its class's residuals; add its leaves to the raw scores and its gains to the importances."""
    num_points = codes.bins_JN.shape[1]
    shift, scale = _pack(trees.residual_TN[t], work)
    if scale == 0.0:
        return
    features = np.flatnonzero(codes.num_bins_J > 1)
    start = np.zeros(2 * NUM_NODES + 1, dtype=np.int64)
    end = np.zeros(2 * NUM_NODES + 1, dtype=np.int64)
    sums = np.zeros(2 * NUM_NODES + 1, dtype=np.int64)
    used = np.zeros(2 * NUM_NODES + 1, dtype=np.bool_)
    blocked = np.zeros(2 * NUM_NODES + 1, dtype=np.bool_)
    split_code = np.zeros(NUM_NODES, dtype=np.int64)
    threshold = np.full(NUM_NODES, np.inf)
    end[0], sums[0], used[0] = num_points, work.packed_N.sum(), True
    for j in features:
        histogram_B, bins_N = work.histogram_VJB[0, j], codes.bins_JN[j]
        histogram_B[:] = 0
        for i in range(num_points):
            histogram_B[bins_N[i]] += work.packed_N[i]

    random = np.uint64(trees.seed_T[t])
    for node in range(NUM_NODES):
        if not used[node]:
            continue
        left_child, right_child = 2 * node + 1, 2 * node + 2
        gain, code, cut = 0.0, -1, -1
        if end[node] - start[node] > 1 and not blocked[node]:
            for f in range(len(features) - 1, 0, -1):  # a fresh order at each node breaks ties fairly (xorshift64)
                random ^= random << np.uint64(13)
                random ^= random >> np.uint64(7)
                random ^= random << np.uint64(17)
                other = np.int64((random >> np.uint64(11)) % np.uint64(f + 1))
                features[f], features[other] = features[other], features[f]
            gain, code, cut = _best_split(sums[node], shift, node, features, work, codes)
        used[left_child] = True
        if code < 0:  # no split: all points, and the threshold of infinity, fall through to the left
            start[left_child], end[left_child] = start[node], end[node]
            blocked[left_child] = True
            continue
        count = end[node] - start[node]
        node_sum = float(sums[node] - (count << shift))
        trees.importance_TJ[t, code] += max(0.0, gain - node_sum * node_sum / count) / (scale * scale)
        middle, left_sum, threshold[node] = _partition(start[node], end[node], code, cut, left_child, work, codes)
        split_code[node] = code
        start[left_child], end[left_child], sums[left_child] = start[node], middle, left_sum
        start[right_child], end[right_child], sums[right_child] = middle, end[node], sums[node] - left_sum
        used[right_child] = True
        if left_child < NUM_NODES:
            small, large = left_child, right_child
            if end[left_child] - start[left_child] > end[right_child] - start[right_child]:
                small, large = right_child, left_child
            _fill_children(node, small, large, start[small], end[small], work, codes)

    leaf_value = np.zeros(NUM_NODES + 1)
    for leaf in range(NUM_NODES + 1):
        node = NUM_NODES + leaf
        gradient, curvature = 0.0, 0.0
        for p in range(start[node], end[node]):
            residual = trees.residual_TN[t, work.points_N[p]]
            gradient += residual
            curvature += abs(residual) * (1.0 - abs(residual))
        if curvature > 1e-150 * (end[node] - start[node]):
            leaf_value[leaf] = LEARNING_RATE * trees.factor_scale_T[t] * gradient / curvature
        for p in range(start[node], end[node]):
            trees.raw_TN[t, work.points_N[p]] += leaf_value[leaf]
    values_JM = trees.values_test_JM
    for m in range(values_JM.shape[1]):
        a = np.int64(values_JM[split_code[0], m] > threshold[0])
        b = np.int64(values_JM[split_code[1 + a], m] > threshold[1 + a])
        last = 3 + 2 * a + b
        c = np.int64(values_JM[split_code[last], m] > threshold[last])
        trees.raw_TM[t, m] += leaf_value[4 * a + 2 * b + c]


@compiled
def _grow_trees(first: int, stop: int, trees: Trees, codes: BinnedCodes) -> None:
    """Grow trees ``first`` to ``stop`` of one stage, with one set of work space."""
    num_codes, num_points = codes.bins_JN.shape
    work = Work(
        np.zeros((NUM_NODES, num_codes, MAX_BINS), dtype=np.int64),
        np.empty(num_points, dtype=np.int64),
        np.empty(num_points, dtype=np.int64),
        np.empty(num_points, dtype=np.int64),
        np.empty(num_points, dtype=np.uint32),
        np.empty(num_points, dtype=np.uint32),
        np.empty(num_points, dtype=np.uint8),
        np.zeros(MAX_BINS, dtype=np.int64),
    )
    for t in range(first, stop):
        _grow(t, trees, work, codes)


def _residuals(raw_CN: Array, labels_N: IntArray, out_CN: Array) -> None:
    """One-hot labels minus predicted probabilities, one row per tree; two classes have one row, the second's."""
    if len(raw_CN) == 1:
        np.negative(raw_CN, out=out_CN)
        np.exp(out_CN, out=out_CN)
        out_CN += 1.0
        np.divide(-1.0, out_CN, out=out_CN)
        out_CN[0] += labels_N
        return
    np.subtract(raw_CN, raw_CN.max(axis=0), out=out_CN)
    np.exp(out_CN, out=out_CN)
    out_CN /= -out_CN.sum(axis=0)
    out_CN[labels_N, np.arange(len(labels_N))] += 1.0


def boosted_importances(
    codes_NJ: FloatArray, factors_NK: IntArray, codes_test_MJ: FloatArray, factors_test_MK: IntArray, seed: int
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Fit one boosted classifier per factor.

    Returns:
        importances ``(J, K)`` (each column sums to 1, or to 0 where no tree could split), training accuracies ``(K,)``
        and test accuracies ``(K,)``. Test values never seen in training count as errors.
    """
    num_points, num_codes = codes_NJ.shape
    num_factors = factors_NK.shape[1]
    binned = bin_codes(codes_NJ)
    values_test_JM = np.ascontiguousarray(codes_test_MJ.T.astype(np.float32))
    classes = [np.unique(factors_NK[:, k], return_inverse=True) for k in range(num_factors)]
    widths = [len(values) if len(values) > 2 else 1 for values, _ in classes]
    offsets = np.concatenate([[0], np.cumsum(widths)])
    num_trees = int(offsets[-1])
    raw_TN, raw_TM = np.zeros((num_trees, num_points)), np.zeros((num_trees, len(codes_test_MJ)))
    factor_scale_T = np.ones(num_trees)
    for k, (values, labels_N) in enumerate(classes):
        rows = slice(offsets[k], offsets[k + 1])
        share_C = np.bincount(labels_N) / num_points
        start_C = np.log(share_C) if len(values) > 2 else np.log(share_C[1:] / share_C[:1])
        raw_TN[rows], raw_TM[rows] = start_C[:, None], start_C[:, None]
        factor_scale_T[rows] = (len(values) - 1) / len(values) if len(values) > 2 else 1.0
    residual_TN = np.empty_like(raw_TN)
    importance_TJ = np.zeros((num_trees, num_codes))
    seeds_ST = np.random.default_rng(seed).integers(1, 2**62, size=(NUM_STAGES, num_trees))

    def residuals(first: int, stop: int) -> None:
        for k, (_, labels_N) in enumerate(classes):
            rows = slice(offsets[k], offsets[k + 1])
            _residuals(raw_TN[rows, first:stop], labels_N[first:stop], residual_TN[rows, first:stop])

    with workers() as (run_all, threads):
        point_cuts, tree_cuts = _cuts(num_points, threads), _cuts(num_trees, 2 * threads if threads > 1 else 1)
        for seed_T in seeds_ST:
            run_all(residuals, pairwise(point_cuts))
            trees = Trees(residual_TN, raw_TN, raw_TM, values_test_JM, factor_scale_T, seed_T, importance_TJ)
            run_all(_grow_trees, [(first, stop, trees, binned) for first, stop in pairwise(tree_cuts)])

    importances_JK = np.zeros((num_codes, num_factors))
    accuracy_train_K, accuracy_test_K = np.zeros(num_factors), np.zeros(num_factors)
    for k, (values, labels_N) in enumerate(classes):
        rows = slice(offsets[k], offsets[k + 1])
        mass_J = importance_TJ[rows].sum(axis=0)
        importances_JK[:, k] = mass_J / mass_J.sum() if mass_J.sum() > 0 else 0.0
        accuracy_train_K[k] = np.mean(_predict(raw_TN[rows]) == labels_N)
        accuracy_test_K[k] = np.mean(values[_predict(raw_TM[rows])] == factors_test_MK[:, k])
    return importances_JK, accuracy_train_K, accuracy_test_K


def _predict(raw_CN: Array) -> Array:
    return np.asarray(raw_CN[0] > 0 if len(raw_CN) == 1 else raw_CN.argmax(axis=0)).astype(np.int64)


def _cuts(size: int, parts: int) -> list[int]:
    """Edges of ``parts`` nearly equal, non-empty pieces of ``range(size)``."""
    return [int(edge) for edge in np.unique(np.linspace(0, size, parts + 1).round())]
