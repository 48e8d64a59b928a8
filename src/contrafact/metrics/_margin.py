"""Linear support vector machines on a single code: two numbers per class.

For class c of a factor, with y = +1 on the class and -1 elsewhere, minimise over the slope w and the offset b

    (w² + b²) / 2 + Σ_n weight_n · max(0, 1 - y_n (w x_n + b))²

which is what scikit-learn's ``LinearSVC`` minimises (its intercept is penalised too). The protocol's solver is the
trust region Newton method of Lin, Weng & Keerthi, JMLR 2008 (Algorithms 1 and 2), stopped early; the same steps are
taken and the same stop is made here, so that the lines are its lines and not merely near the optimum.

Shape suffixes: N points, M test points, J codes, K factors, C classes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from contrafact.core.metric import FloatArray, IntArray
from contrafact.metrics._compile import compiled, workers

MAX_STEPS = 1000
TOLERANCE = 1e-4
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
def _truncated_step(
    g_w: float, g_b: float, h_ww: float, h_wb: float, h_bb: float, radius: float
) -> tuple[float, float, float, float]:
    """Conjugate gradients towards the Newton step, no further than ``radius``: the step and what remains of -g."""
    s_w, s_b, r_w, r_b = 0.0, 0.0, -g_w, -g_b
    d_w, d_b = r_w, r_b
    enough = 0.1 * np.sqrt(g_w * g_w + g_b * g_b)
    squares = r_w * r_w + r_b * r_b
    while np.sqrt(squares) > enough:
        hd_w, hd_b = h_ww * d_w + h_wb * d_b, h_wb * d_w + h_bb * d_b
        length = squares / (d_w * hd_w + d_b * hd_b)
        next_w, next_b = s_w + length * d_w, s_b + length * d_b
        outside = np.sqrt(next_w * next_w + next_b * next_b) > radius
        if outside:  # go to where the line leaves the trust region
            along, inside = s_w * d_w + s_b * d_b, s_w * s_w + s_b * s_b
            d_squares, gap = d_w * d_w + d_b * d_b, radius * radius - inside
            root = np.sqrt(along * along + d_squares * gap)
            length = gap / (along + root) if along >= 0.0 else (root - along) / d_squares
            next_w, next_b = s_w + length * d_w, s_b + length * d_b
        s_w, s_b = next_w, next_b
        r_w, r_b = r_w - length * hd_w, r_b - length * hd_b
        if outside:
            break
        new_squares = r_w * r_w + r_b * r_b
        d_w, d_b = r_w + new_squares / squares * d_w, r_b + new_squares / squares * d_b
        squares = new_squares
    return s_w, s_b, r_w, r_b


@compiled
def _fit_line(code_N: Array, labels_N: Array, label: int, weight1: float, weight0: float) -> tuple[float, float]:
    """Slope and offset of one class against the rest."""
    positives = 0
    for i in range(len(labels_N)):
        positives += labels_N[i] == label
    rare = max(1, min(positives, len(labels_N) - positives))
    slope, offset, radius, enough, objective = 0.0, 0.0, 0.0, -1.0, 0.0
    n1, x1, xx1, loss1, n0, x0, xx0, loss0 = _active_sums(code_N, labels_N, label, 0.0, 0.0)
    objective = weight1 * loss1 + weight0 * loss0
    for step in range(MAX_STEPS):
        n, x, xx = weight1 * n1 + weight0 * n0, weight1 * x1 + weight0 * x0, weight1 * xx1 + weight0 * xx0
        g_w = slope + 2.0 * (slope * xx + offset * x - weight1 * x1 + weight0 * x0)
        g_b = offset + 2.0 * (slope * x + offset * n - weight1 * n1 + weight0 * n0)
        norm = np.sqrt(g_w * g_w + g_b * g_b)
        if step == 0:
            enough, radius = TOLERANCE * rare / len(labels_N) * norm, norm
        if norm <= enough:
            break
        first = step == 0
        accepted = False
        for _ in range(MAX_STEPS):
            s_w, s_b, r_w, r_b = _truncated_step(g_w, g_b, 1.0 + 2.0 * xx, 2.0 * x, 1.0 + 2.0 * n, radius)
            w, b = slope + s_w, offset + s_b
            sums = _active_sums(code_N, labels_N, label, w, b)
            candidate = 0.5 * (w * w + b * b) + weight1 * sums[3] + weight0 * sums[7]
            descent = g_w * s_w + g_b * s_b
            predicted = -0.5 * (descent - (s_w * r_w + s_b * r_b))
            actual = objective - candidate
            length = np.sqrt(s_w * s_w + s_b * s_b)
            if first:
                radius, first = min(radius, length), False
            excess = candidate - objective - descent
            stretch = 4.0 if excess <= 0.0 else max(0.25, -0.5 * descent / excess)
            if actual < 1e-4 * predicted:
                radius = min(stretch * length, 0.5 * radius)
            elif actual < 0.25 * predicted:
                radius = max(0.25 * radius, min(stretch * length, 0.5 * radius))
            elif actual < 0.75 * predicted:
                radius = max(0.25 * radius, min(stretch * length, 4.0 * radius))
            else:
                radius = max(radius, min(stretch * length, 4.0 * radius))
            small = 1e-12 * abs(objective)
            accepted = actual > 1e-4 * predicted
            if accepted or (abs(actual) <= small and abs(predicted) <= small):
                break
        if not accepted:
            break
        slope, offset, objective = w, b, candidate
        n1, x1, xx1, loss1, n0, x0, xx0, loss0 = sums
        if abs(actual) <= small and abs(predicted) <= small:
            break
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
def _score_code(
    j: int, codes_JN: Array, labels_N: Array, weight_C: Array, codes_JM: Array, labels_M: Array, accuracy_J: Array
) -> None:
    """Test accuracy of code ``j`` for one factor."""
    num_classes = len(weight_C)
    slope_C, offset_C = np.zeros(num_classes), np.zeros(num_classes)
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
    tasks = []
    for k in range(factors_NK.shape[1]):
        values, labels_N = np.unique(factors_NK[:, k], return_inverse=True)
        place_M = np.searchsorted(values, factors_test_MK[:, k]).clip(max=len(values) - 1)
        labels_M = np.where(values[place_M] == factors_test_MK[:, k], place_M, -1)
        weight_C = len(labels_N) / (len(values) * np.bincount(labels_N))
        data = (codes_JN, labels_N, weight_C, codes_JM, labels_M, accuracy_KJ[k])
        tasks += [(j, *data) for j in range(len(codes_JN))]
    with workers() as (run_all, _):
        run_all(_score_code, tasks)
    return np.ascontiguousarray(accuracy_KJ.T)
