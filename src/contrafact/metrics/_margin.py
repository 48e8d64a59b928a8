"""Linear support vector machines on a single code: two numbers per class, found to machine precision.

For class c of a factor, with y = +1 on the class and -1 elsewhere, minimise over the slope w and the offset b

    (w² + b²) / 2 + Σ_n weight_n · max(0, 1 - y_n (w x_n + b))²

which is what scikit-learn's ``LinearSVC`` minimises (its intercept is penalised too). The objective is piecewise
quadratic and convex: Newton steps with a line search end at its minimum after a handful of passes over the points.

Shape suffixes: N points, M test points, J codes, K factors, C classes.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from contrafact.core.metric import FloatArray, IntArray
from contrafact.metrics._compile import compiled, num_threads, run_all

MAX_STEPS = 100
TOLERANCE = 1e-12
COST = 0.01

Array = npt.NDArray[Any]


@compiled
def _active_sums(
    code_N: Array, labels_N: Array, label: int, slope: float, offset: float
) -> tuple[float, float, float, float, float, float, float, float]:
    """Sums over the points inside the margin: count, Σx, Σx², loss, of the class and of the rest."""
    n1, x1, xx1, loss1 = 0.0, 0.0, 0.0, 0.0
    n0, x0, xx0, loss0 = 0.0, 0.0, 0.0, 0.0
    for i in range(len(code_N)):
        x = code_N[i]
        value = slope * x + offset
        if labels_N[i] == label:
            gap = 1.0 - value
            if gap > 0.0:
                n1 += 1.0
                x1 += x
                xx1 += x * x
                loss1 += gap * gap
        else:
            gap = 1.0 + value
            if gap > 0.0:
                n0 += 1.0
                x0 += x
                xx0 += x * x
                loss0 += gap * gap
    return n1, x1, xx1, loss1, n0, x0, xx0, loss0


@compiled
def _fit_line(code_N: Array, labels_N: Array, label: int, weight1: float, weight0: float) -> tuple[float, float]:
    """Slope and offset of one class against the rest."""
    slope, offset = 0.0, 0.0
    n1, x1, xx1, loss1, n0, x0, xx0, loss0 = _active_sums(code_N, labels_N, label, slope, offset)
    objective = weight1 * loss1 + weight0 * loss0
    for _ in range(MAX_STEPS):
        n, x, xx = weight1 * n1 + weight0 * n0, weight1 * x1 + weight0 * x0, weight1 * xx1 + weight0 * xx0
        # Half the gradient and half the Hessian of the sum, and the penalty's.
        gradient_w = 0.5 * slope + slope * xx + offset * x - weight1 * x1 + weight0 * x0
        gradient_b = 0.5 * offset + slope * x + offset * n - weight1 * n1 + weight0 * n0
        h_ww, h_wb, h_bb = 0.5 + xx, x, 0.5 + n
        determinant = h_ww * h_bb - h_wb * h_wb
        step_w = -(h_bb * gradient_w - h_wb * gradient_b) / determinant
        step_b = -(h_ww * gradient_b - h_wb * gradient_w) / determinant
        decrease = -2.0 * (gradient_w * step_w + gradient_b * step_b)
        if decrease <= TOLERANCE * (1.0 + objective):
            break
        size = 1.0
        while True:
            w, b = slope + size * step_w, offset + size * step_b
            n1, x1, xx1, loss1, n0, x0, xx0, loss0 = _active_sums(code_N, labels_N, label, w, b)
            candidate = 0.5 * (w * w + b * b) + weight1 * loss1 + weight0 * loss0
            if candidate <= objective - 1e-4 * size * decrease or size < 1e-8:
                break
            size *= 0.5
        slope, offset, objective = w, b, candidate
    return slope, offset


@compiled
def _accuracy(code_M: Array, labels_M: Array, slope_C: Array, offset_C: Array) -> float:
    """Share of test points whose class has the highest line; the first of equals wins."""
    right = 0
    for m in range(len(code_M)):
        best, label = -np.inf, 0
        for c in range(len(slope_C)):
            value = slope_C[c] * code_M[m] + offset_C[c]
            if value > best:
                best, label = value, c
        right += labels_M[m] == label
    return right / len(code_M)


@compiled
def _score_codes(
    first: int, stop: int, codes_JN: Array, labels_N: Array, weight_C: Array, codes_JM: Array, labels_M: Array,
    accuracy_J: Array,
) -> None:  # fmt: skip
    """Test accuracy of codes ``first`` to ``stop`` for one factor."""
    num_classes = len(weight_C)
    slope_C, offset_C = np.zeros(num_classes), np.zeros(num_classes)
    for j in range(first, stop):
        if num_classes == 2:
            slope_C[1], offset_C[1] = _fit_line(codes_JN[j], labels_N, 1, COST * weight_C[1], COST * weight_C[0])
        else:
            for c in range(num_classes):
                # Balancing scales a class against its rest, not the rest itself, in the original.
                slope_C[c], offset_C[c] = _fit_line(codes_JN[j], labels_N, c, COST * weight_C[c], COST)
        accuracy_J[j] = _accuracy(codes_JM[j], labels_M, slope_C, offset_C)


def margin_accuracies(
    codes_NJ: FloatArray, factors_NK: IntArray, codes_test_MJ: FloatArray, factors_test_MK: IntArray
) -> FloatArray:
    """Test accuracy ``(J, K)`` of a balanced linear support vector machine on each code alone, for each factor."""
    codes_JN, codes_JM = np.ascontiguousarray(codes_NJ.T), np.ascontiguousarray(codes_test_MJ.T)
    accuracy_KJ = np.zeros((factors_NK.shape[1], len(codes_JN)))
    threads = num_threads()
    cuts = np.unique(np.linspace(0, len(codes_JN), 4 * threads + 1).round().astype(int)).tolist()
    tasks = []
    for k in range(factors_NK.shape[1]):
        values, labels_N = np.unique(factors_NK[:, k], return_inverse=True)
        place_M = np.searchsorted(values, factors_test_MK[:, k]).clip(max=len(values) - 1)
        labels_M = np.where(values[place_M] == factors_test_MK[:, k], place_M, -1)
        weight_C = len(labels_N) / (len(values) * np.bincount(labels_N))
        data = (codes_JN, labels_N, weight_C, codes_JM, labels_M, accuracy_KJ[k])
        tasks += [(first, stop, *data) for first, stop in pairwise(cuts)]
    with ThreadPoolExecutor(threads) as pool:
        run_all(pool, _score_codes, tasks)
    return np.ascontiguousarray(accuracy_KJ.T)
