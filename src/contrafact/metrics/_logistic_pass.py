"""One pass of logistic regression over points: scores, exponentials and gradient of a block while the cache holds it.

Points lie in blocks, their codes across, so that every loop runs along points: vectors are full whatever the number of
classes, which matrix products of a few columns leave half empty, and nothing is packed anew in each pass. Scores and
products are those of the points' precision within a block, and add up over blocks in double precision.

Shape suffixes: M blocks, B places of a block, J codes, R columns of scores, C classes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba
import numpy as np
import numpy.typing as npt

from contrafact.metrics._compile import compiled

Array = npt.NDArray[Any]
Function = TypeVar("Function", bound=Callable[..., Any])

PLACES = 496  # of a block, 31 cache lines: an odd number, so that one code's places do not evict another's
ROWS = 8  # of columns whose factors are multiplied before a logarithm is taken: no more than 2 ** 8


def _inlined(function: Function) -> Function:
    """A part of a pass: sums along points in any order, products and sums in one rounding."""
    kernel: Function = numba.njit(nogil=True, fastmath={"contract", "nsz", "reassoc"})(function)
    return kernel


def _as_written(function: Function) -> Function:
    """A part of a pass whose sums must not be put in another order."""
    kernel: Function = numba.njit(nogil=True, fastmath={"contract", "nsz"})(function)
    return kernel


@compiled
def fill_blocks(codes_NJ: Array, center_J: Array, codes_MJB: Array) -> None:
    """Put codes less their centers into blocks, zeros in the places that are left."""
    num_points, num_codes = codes_NJ.shape
    num_places = codes_MJB.shape[2]
    for m in range(codes_MJB.shape[0]):
        count = min(num_places, num_points - m * num_places)
        for b in range(count):
            for j in range(num_codes):
                codes_MJB[m, j, b] = codes_NJ[m * num_places + b, j] - center_J[j]
        if count < num_places:
            codes_MJB[m, :, count:] = 0.0


@_as_written
def _scores(codes_JB: Array, weights_RJ: Array, intercept_R: Array, scores_RB: Array) -> None:
    """Four codes by two columns at a time: as many as the registers of a processor hold."""
    num_columns, num_codes = weights_RJ.shape
    num_places = codes_JB.shape[1]
    for r in range(num_columns):
        scores_RB[r] = intercept_R[r]
    for j in range(0, num_codes - 3, 4):
        one_B, two_B, three_B, four_B = codes_JB[j], codes_JB[j + 1], codes_JB[j + 2], codes_JB[j + 3]
        for r in range(0, num_columns - 1, 2):
            left_B, right_B = scores_RB[r], scores_RB[r + 1]
            first_J, second_J = weights_RJ[r], weights_RJ[r + 1]
            a, b, c, d = first_J[j], first_J[j + 1], first_J[j + 2], first_J[j + 3]
            e, f, g, h = second_J[j], second_J[j + 1], second_J[j + 2], second_J[j + 3]
            for n in range(num_places):
                one, two, three, four = one_B[n], two_B[n], three_B[n], four_B[n]
                left_B[n] = left_B[n] + a * one + b * two + c * three + d * four
                right_B[n] = right_B[n] + e * one + f * two + g * three + h * four
        for r in range(num_columns - num_columns % 2, num_columns):
            last_B, last_J = scores_RB[r], weights_RJ[r]
            w, x, y, z = last_J[j], last_J[j + 1], last_J[j + 2], last_J[j + 3]
            for n in range(num_places):
                last_B[n] = last_B[n] + w * one_B[n] + x * two_B[n] + y * three_B[n] + z * four_B[n]
    for j in range(num_codes - num_codes % 4, num_codes):
        for r in range(num_columns):
            single = weights_RJ[r, j]
            for n in range(num_places):
                scores_RB[r, n] += single * codes_JB[j, n]


@_inlined
def _add_products(codes_JB: Array, residuals_RB: Array, gradient_RP: Array) -> None:
    """Residuals times codes, over the points of a block, likewise."""
    num_codes, num_places = codes_JB.shape
    num_columns = len(residuals_RB)
    zero = codes_JB.dtype.type(0.0)
    for j in range(0, num_codes - 3, 4):
        one_B, two_B, three_B, four_B = codes_JB[j], codes_JB[j + 1], codes_JB[j + 2], codes_JB[j + 3]
        for r in range(0, num_columns - 1, 2):
            left_B, right_B = residuals_RB[r], residuals_RB[r + 1]
            a, b, c, d, e, f, g, h = zero, zero, zero, zero, zero, zero, zero, zero
            for n in range(num_places):
                left, right = left_B[n], right_B[n]
                a += left * one_B[n]
                b += left * two_B[n]
                c += left * three_B[n]
                d += left * four_B[n]
                e += right * one_B[n]
                f += right * two_B[n]
                g += right * three_B[n]
                h += right * four_B[n]
            for row, w, x, y, z in ((r, a, b, c, d), (r + 1, e, f, g, h)):
                gradient_RP[row, j] += w
                gradient_RP[row, j + 1] += x
                gradient_RP[row, j + 2] += y
                gradient_RP[row, j + 3] += z
        for r in range(num_columns - num_columns % 2, num_columns):
            left_B = residuals_RB[r]
            a, b, c, d = zero, zero, zero, zero
            for n in range(num_places):
                left = left_B[n]
                a += left * one_B[n]
                b += left * two_B[n]
                c += left * three_B[n]
                d += left * four_B[n]
            gradient_RP[r, j] += a
            gradient_RP[r, j + 1] += b
            gradient_RP[r, j + 2] += c
            gradient_RP[r, j + 3] += d
    for j in range(num_codes - num_codes % 4, num_codes):
        one_B = codes_JB[j]
        for r in range(num_columns):
            left_B, a = residuals_RB[r], zero
            for n in range(num_places):
                a += left_B[n] * one_B[n]
            gradient_RP[r, j] += a


@_as_written
def _six_terms(y: Any, x: Any, constants: Array, first: int) -> Any:
    """Horner's rule over as many coefficients, written out: a loop in a loop would not be done in vectors."""
    y = y * x + constants[first + 5]
    y = y * x + constants[first + 4]
    y = y * x + constants[first + 3]
    y = y * x + constants[first + 2]
    y = y * x + constants[first + 1]
    return y * x + constants[first]


@_as_written
def _exponential(values_B: Array, power_B: Array, bits_B: Array, constants: Array) -> None:
    """In place, of values of at most 0: ``2 ** k`` times a polynomial; ``bits_B`` is ``power_B``, read as integers."""
    least, magic = constants[0], constants[1]
    per_octave, octave, rest = constants[2], constants[3], constants[4]
    one = constants.dtype.type(1.0)
    for n in range(len(values_B)):
        value = values_B[n] if values_B[n] > least else least
        values_B[n] = value
        power_B[n] = value * per_octave + magic  # its last bits are the nearest whole number
    if len(constants) == 12:
        for n in range(len(values_B)):
            whole = power_B[n] - magic
            x = (values_B[n] - whole * octave) - whole * rest
            y = _six_terms(constants[11], x, constants, 5)
            values_B[n] = y * x + one
        for n in range(len(bits_B)):
            bits_B[n] = (bits_B[n] + 127) << 23
    else:
        for n in range(len(values_B)):
            whole = power_B[n] - magic
            x = (values_B[n] - whole * octave) - whole * rest
            y = _six_terms(_six_terms(constants[17], x, constants, 11), x, constants, 5)
            values_B[n] = y * x + one
        for n in range(len(bits_B)):
            bits_B[n] = (bits_B[n] + 1023) << 52
    for n in range(len(values_B)):
        values_B[n] *= power_B[n]


def constants_of(kind: npt.DTypeLike) -> Array:
    """Of ``_exponential``: least argument, a number whose last bit is 1, octaves, and Taylor's coefficients."""
    single = np.dtype(kind) == np.float32
    magic = 1.5 * 2.0 ** (23 if single else 52)
    high = float.fromhex("0x1.62ep-1" if single else "0x1.62e42feep-1")  # short enough to be multiplied exactly
    rest = float(np.longdouble("0.693147180559945309417232121458176568") - np.longdouble(high))
    factorials = np.cumprod(np.arange(1.0, 8.0 if single else 14.0))
    return np.array([-87.0 if single else -708.0, magic, 1 / np.log(2), high, rest, *(1 / factorials)], dtype=kind)


@_inlined
def _softmax(
    scores_RB: Array, labels_B: Array, shares_B: Array, scratch_3B: Array, bits_B: Array, constants: Array, count: int
) -> None:
    """Scores to weighted probabilities; ``scratch_3B`` ends with the labels' scores below the largest, and sums."""
    below_B, total_B, power_B = scratch_3B[0], scratch_3B[1], scratch_3B[2]
    num_places = len(below_B)
    for n in range(num_places):
        total_B[n] = scores_RB[0, n]
    for r in range(1, len(scores_RB)):
        for n in range(num_places):
            total_B[n] = scores_RB[r, n] if scores_RB[r, n] > total_B[n] else total_B[n]
    for n in range(count):
        below_B[n] = total_B[n] - scores_RB[labels_B[n], n]
    for r in range(len(scores_RB)):
        for n in range(num_places):
            scores_RB[r, n] -= total_B[n]
        _exponential(scores_RB[r], power_B, bits_B, constants)
    for n in range(num_places):
        total_B[n] = scores_RB[0, n]
    for r in range(1, len(scores_RB)):
        for n in range(num_places):
            total_B[n] += scores_RB[r, n]
    for n in range(num_places):
        power_B[n] = shares_B[n] / total_B[n]
    for r in range(len(scores_RB)):
        for n in range(num_places):
            scores_RB[r, n] *= power_B[n]


@_inlined
def _sum(values_B: Array) -> float:
    total = values_B.dtype.type(0.0)
    for n in range(len(values_B)):
        total += values_B[n]
    return float(total)


@_inlined
def _sigmoids(
    scores_B: Array,
    labels_B: Array,
    label: int,
    shares_B: Array,
    scratch_3B: Array,
    bits_B: Array,
    constants: Array,
) -> float:
    """Scores of one question to weighted residuals, factors into ``scratch_3B[1]``; the linear part of the loss."""
    signed_B, factor_B, power_B = scratch_3B[0], scratch_3B[1], scratch_3B[2]
    zero, one = scores_B.dtype.type(0.0), scores_B.dtype.type(1.0)
    part = zero
    for n in range(len(scores_B)):
        value = scores_B[n]
        signed_B[n] = value
        scores_B[n] = -abs(value)
        above = value if value > zero else zero
        part += shares_B[n] * (above - (value if labels_B[n] == label else zero))
    _exponential(scores_B, power_B, bits_B, constants)
    for n in range(len(scores_B)):
        small = scores_B[n]
        inverse = shares_B[n] / (one + small)
        # The label's side is subtracted before rounding: a residual far below 1 keeps its digits.
        positive = signed_B[n] > zero
        likely = inverse if positive else small * inverse
        unlikely = -small * inverse if positive else -inverse
        scores_B[n] = unlikely if labels_B[n] == label else likely
        factor_B[n] *= one + small
    return float(part)


@compiled
def add_pass(
    codes_MJB: Array,
    labels_N: Array,
    weight_C: Array,
    softmax: bool,
    first: int,
    weights_RJ: Array,
    intercept_R: Array,
    constants: Array,
    bits_B: Array,
    scratch_4B: Array,
    gradient_RP: Array,
) -> float:
    """Add the points' part of the gradient to ``gradient_RP``; returns theirs of the loss.

    Args:
        codes_MJB: blocks of as many points as there are labels.
        labels_N: places of the labels among the classes.
        weight_C: weight of a point of each class.
        softmax: one question, else one a column.
        first: class of the first question.
        weights_RJ: coefficients, in the codes' precision.
        intercept_R: intercepts, likewise.
        constants: ``constants_of`` that precision.
        bits_B: the last row of ``scratch_4B``, read as integers.
        scratch_4B: room.
        gradient_RP: gradient, intercepts last.
    """
    num_blocks, num_codes, num_places = codes_MJB.shape
    num_columns = len(weights_RJ)
    scores_RB = np.empty((num_columns, num_places), codes_MJB.dtype)
    shares_B, scratch_3B = scratch_4B[0], scratch_4B[1:]
    labels_B = np.zeros(num_places, np.int64)
    product_C = np.ones(len(weight_C))  # one logarithm for many points
    loss = 0.0
    for m in range(num_blocks):
        count = min(num_places, len(labels_N) - m * num_places)
        shares_B[count:] = 0.0
        for n in range(count):
            labels_B[n] = labels_N[m * num_places + n]
            shares_B[n] = weight_C[labels_B[n]]
        _scores(codes_MJB[m], weights_RJ, intercept_R, scores_RB)
        rows = num_columns if softmax else ROWS
        for start in range(0, num_columns, rows):
            if softmax:
                _softmax(scores_RB, labels_B, shares_B, scratch_3B, bits_B, constants, count)
                for n in range(count):
                    loss += weight_C[labels_B[n]] * scratch_3B[0, n]
                    scores_RB[labels_B[n], n] -= shares_B[n]
            else:
                scratch_3B[1] = 1.0
                for r in range(start, min(start + rows, num_columns)):
                    loss += _sigmoids(scores_RB[r], labels_B, r + first, shares_B, scratch_3B, bits_B, constants)
            for n in range(count):
                label = labels_B[n]
                product_C[label] *= scratch_3B[1, n]
                if product_C[label] > 1e250:
                    loss += weight_C[label] * np.log(product_C[label])
                    product_C[label] = 1.0
        for r in range(num_columns):
            gradient_RP[r, num_codes] += _sum(scores_RB[r])
        _add_products(codes_MJB[m], scores_RB, gradient_RP)
    for c in range(len(weight_C)):
        loss += weight_C[c] * np.log(product_C[c])
    return loss
