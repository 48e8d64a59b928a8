"""Trees of depth 3 as scikit-learn's gradient boosting grows them, many times faster.

Least-squares trees are fitted to residuals. With few points, splits are searched at every distinct value. With many, on
a histogram of up to 256 bins per code, then at every distinct value inside the bins beside the best edge and at both
ends of the node: the best split of all is found nearly always. Residuals are summed in fixed point, so equal splits
have exactly equal gains, and ties break by the seed alone, as in the original. All kernels are in this file: numba
compiles a cached one anew when its own file changes, not when another's does.

Shape suffixes: N points, M test points, J codes, B bins, T trees per stage (all classes of all factors), V inner nodes.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from contrafact.metrics._bins import MAX_BINS, BinnedCodes
from contrafact.metrics._compile import compiled

LEARNING_RATE = 0.1
NUM_NODES = 7  # inner nodes of a tree of depth 3, numbered level by level; its 8 leaves follow

Array = npt.NDArray[Any]


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
        newton: leaves take a Newton step of the deviance, curvature |r| (1 - |r|) per point; else the mean residual.
    """

    residual_TN: Array
    raw_TN: Array
    raw_TM: Array
    values_test_JM: Array
    factor_scale_T: Array
    seed_T: Array
    importance_TJ: Array
    newton: bool


class Work(NamedTuple):
    """Work space of one thread: best gain and cut of each node and code. Residuals travel packed: see :func:`_pack`."""

    gain_VJ: Array
    cut_VJ: Array
    histogram_VJB: Array
    packed_N: Array
    packed_sorted_N: Array
    spare_packed_N: Array
    points_N: Array
    spare_points_N: Array
    node_N: Array
    before_B: Array
    tied_J: Array


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
def _search_values(first: int, sums: Array, shift: int, features: Array, work: Work, codes: BinnedCodes) -> None:
    """Try every distinct value of every code, for all nodes of the level that node ``first`` begins."""
    left_V, previous_V = np.empty(NUM_NODES, dtype=np.int64), np.empty(NUM_NODES, dtype=np.int64)
    work.gain_VJ[first:] = -1.0
    work.cut_VJ[first:] = -1
    for j in features:
        order_N, groups_N = codes.order_JN[j], codes.groups_JN[j]
        left_V[:] = 0
        previous_V[:] = -1
        for position in range(len(order_N)):
            point = order_N[position]
            node = np.int64(work.node_N[point])
            if node < first:  # its node could not be split
                continue
            group, previous = np.int64(groups_N[point]), previous_V[node]
            if previous >= 0 and group != previous:
                gain = _gain(left_V[node], sums[node], shift)
                if gain > work.gain_VJ[node, j]:
                    work.gain_VJ[node, j], work.cut_VJ[node, j] = gain, previous
            left_V[node] += work.packed_N[point]
            previous_V[node] = group


@compiled
def _search_bins(node: int, total: int, shift: int, features: Array, work: Work, codes: BinnedCodes) -> None:
    """Try the edges of every code's bins for one node, then the values near the best edge and at both ends."""
    half = 1 << (shift - 1)
    count = (total + half) >> shift
    for j in features:
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
                tried = b
                before = codes.last_group_JB[j, b - 1] if b > 0 else -1
                if codes.last_group_JB[j, b] > before + 1:  # there is more than one value in the bin
                    gain_j, cut_j = _refine(j, b, total, shift, node, work, codes, gain_j, cut_j)
        work.gain_VJ[node, j], work.cut_VJ[node, j] = gain_j, cut_j


@compiled
def _best_split(node: int, features: Array, work: Work) -> tuple[float, int, int, int]:
    """Best (gain, code, cut) of a node: points whose group is at most the cut go left. Code -1: no split exists.

    Also returns how many codes reach that gain; they are listed in ``work.tied_J``, and the first of them splits.
    """
    best, best_code, best_cut, num_tied = -1.0, -1, -1, 0
    for j in features:
        gain, cut = work.gain_VJ[node, j], work.cut_VJ[node, j]
        if gain > best:
            best, best_code, best_cut, num_tied = gain, j, cut, 0
        if gain == best and cut >= 0:
            work.tied_J[num_tied] = j
            num_tied += 1
    return best, best_code, best_cut, num_tied


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
def _fill_root(features: Array, work: Work, codes: BinnedCodes) -> None:
    """Histograms of all points."""
    for j in features:
        histogram_B, bins_N = work.histogram_VJB[0, j], codes.bins_JN[j]
        histogram_B[:] = 0
        for i in range(len(bins_N)):
            histogram_B[bins_N[i]] += work.packed_N[i]


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
    if not codes.exact:
        _fill_root(features, work, codes)
    random = np.uint64(trees.seed_T[t])
    for node in range(NUM_NODES):
        if codes.exact and node in (0, 1, 3):  # a new level
            _search_values(node, sums, shift, features, work, codes)
        if not used[node]:
            continue
        left_child, right_child = 2 * node + 1, 2 * node + 2
        gain, code, cut, num_tied = 0.0, -1, -1, 0
        if end[node] - start[node] > 1 and not blocked[node]:
            for f in range(len(features) - 1, 0, -1):  # a fresh order at each node breaks ties fairly (xorshift64)
                random ^= random << np.uint64(13)
                random ^= random >> np.uint64(7)
                random ^= random << np.uint64(17)
                other = np.int64((random >> np.uint64(11)) % np.uint64(f + 1))
                features[f], features[other] = features[other], features[f]
            if not codes.exact:
                _search_bins(node, sums[node], shift, features, work, codes)
            gain, code, cut, num_tied = _best_split(node, features, work)
        used[left_child] = True
        if code < 0:  # no split: all points, and the threshold of infinity, fall through to the left
            start[left_child], end[left_child] = start[node], end[node]
            blocked[left_child] = True
            continue
        count = end[node] - start[node]
        node_sum = float(sums[node] - (count << shift))
        # Each of the tied codes would have been drawn as often: sharing the gain is the mean over all such draws.
        share = max(0.0, gain - node_sum * node_sum / count) / (scale * scale) / num_tied
        for j in work.tied_J[:num_tied]:
            trees.importance_TJ[t, j] += share
        middle, left_sum, threshold[node] = _partition(start[node], end[node], code, cut, left_child, work, codes)
        split_code[node] = code
        start[left_child], end[left_child], sums[left_child] = start[node], middle, left_sum
        start[right_child], end[right_child], sums[right_child] = middle, end[node], sums[node] - left_sum
        used[right_child] = True
        if left_child < NUM_NODES and not codes.exact:
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
            curvature += abs(residual) * (1.0 - abs(residual)) if trees.newton else 1.0
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
def grow_trees(first: int, stop: int, trees: Trees, codes: BinnedCodes) -> None:
    """Grow trees ``first`` to ``stop`` of one stage, with one set of work space."""
    num_codes, num_points = codes.bins_JN.shape
    work = Work(
        np.empty((NUM_NODES, num_codes)),
        np.empty((NUM_NODES, num_codes), dtype=np.int64),
        np.zeros((NUM_NODES, num_codes, MAX_BINS), dtype=np.int64),
        np.empty(num_points, dtype=np.int64),
        np.empty(num_points, dtype=np.int64),
        np.empty(num_points, dtype=np.int64),
        np.empty(num_points, dtype=np.uint32),
        np.empty(num_points, dtype=np.uint32),
        np.empty(num_points, dtype=np.uint8),
        np.zeros(MAX_BINS, dtype=np.int64),
        np.zeros(num_codes, dtype=np.int64),
    )
    for t in range(first, stop):
        _grow(t, trees, work, codes)
