"""Mutual information of a continuous code and a discrete factor from nearest neighbours on the line.

Ross, "Mutual Information between Discrete and Continuous Data Sets", PLOS ONE 2014, as in scikit-learn's
``mutual_info_classif``; on one dimension, sorting replaces the search trees.

Shape suffixes: N points, J codes, K factors.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from contrafact.core.metric import FloatArray, IntArray
from contrafact.metrics._compile import compiled, workers
from contrafact.metrics._information import relabel

Array = npt.NDArray[Any]
NOISE = 1e-10


@compiled
def _neighbour_counts(
    sorted_N: Array, class_start_C: Array, by_class_N: Array, neighbours: int, counts_N: Array
) -> None:
    """For each point, how many points (itself included) are nearer than its ``neighbours``-th nearest of its class.

    Points are in order of value; ``by_class_N`` lists them class by class, each class in order and of at least 2.
    """
    for c in range(len(class_start_C) - 1):
        first, size = class_start_C[c], class_start_C[c + 1] - class_start_C[c]
        k = min(neighbours, size - 1)
        for position in range(size):
            point = by_class_N[first + position]
            centre = sorted_N[point]
            distance = np.inf
            for start in range(max(0, position - k), min(position, size - 1 - k) + 1):
                below = centre - sorted_N[by_class_N[first + start]]
                above = sorted_N[by_class_N[first + start + k]] - centre
                distance = min(distance, max(below, above))
            # Bisect on the differences themselves: centre + distance would be rounded and could admit the neighbour.
            low, high = point, len(sorted_N)
            while low < high:
                middle = (low + high) // 2
                if sorted_N[middle] - centre < distance:
                    low = middle + 1
                else:
                    high = middle
            end = low
            low, high = 0, point
            while low < high:
                middle = (low + high) // 2
                if centre - sorted_N[middle] < distance:
                    high = middle
                else:
                    low = middle + 1
            counts_N[point] = end - low


def neighbour_information(codes_NJ: FloatArray, factors_NK: IntArray, neighbours: int, seed: int) -> FloatArray:
    """Mutual information ``(J, K)`` in nats, never negative; dead codes must be left out by the caller.

    Codes get a whiff of noise (1e-10) first: ties have no nearest neighbour.
    """
    from scipy.special import digamma

    num_points, num_codes = codes_NJ.shape
    rng = np.random.default_rng(seed)
    result_JK = np.zeros((num_codes, factors_NK.shape[1]))
    labels_NK = np.stack([relabel(factors_NK[:, k]) for k in range(factors_NK.shape[1])], axis=1)
    seed_J = np.asarray(rng.integers(2**32, size=num_codes))

    def one_code(j: int) -> None:
        # By a power of two first, which rounds nothing: squares of the smallest numbers are 0.
        code_N = np.ldexp(codes_NJ[:, j], -int(np.frexp(np.abs(codes_NJ[:, j]).max())[1]))
        code_N /= code_N.std(ddof=0)
        noise_N = np.random.default_rng(seed_J[j]).standard_normal(num_points)
        code_N = code_N + NOISE * max(1.0, float(np.abs(code_N).mean())) * noise_N
        order_N = np.argsort(code_N)
        for k in range(factors_NK.shape[1]):
            labels_N = labels_NK[order_N, k]
            sizes_C = np.bincount(labels_N)
            paired_N = sizes_C[labels_N] > 1  # a point alone in its class has no neighbour there and says nothing
            labels_N = labels_N[paired_N]
            if not len(labels_N):
                continue
            sizes_C = sizes_C[sizes_C > 1]
            by_class_N = np.argsort(labels_N, kind="stable")
            counts_N = np.empty(len(labels_N), dtype=np.int64)
            class_start_C = np.concatenate([[0], np.cumsum(sizes_C)])
            _neighbour_counts(code_N[order_N][paired_N], class_start_C, by_class_N, neighbours, counts_N)
            estimate = (
                digamma(len(labels_N))
                + np.average(digamma(np.minimum(neighbours, sizes_C - 1)), weights=sizes_C)
                - np.average(digamma(sizes_C), weights=sizes_C)
                - digamma(counts_N).mean()
            )
            result_JK[j, k] = max(0.0, float(estimate))

    with workers() as (run_all, _):
        run_all(one_code, [(j,) for j in range(num_codes)])
    return result_JK
