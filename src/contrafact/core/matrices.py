"""What static metrics do with their input before they look at it: pair it, split it, refuse it.

Shape suffixes: N points, J code dimensions, K factors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from contrafact.core.metric import (
    ArrayLike,
    BoolArray,
    Continuous,
    FloatArray,
    IntArray,
    as_array,
    check_codes,
    check_mixed_factors,
    which_continuous,
)

SPLIT_SEED = 0
# A code is dead when its spread is within this many rounding steps: a constant that went through batched arithmetic.
ROUNDING_STEPS = 64
SINGLE_CODE = "one code only: nothing competes with it, so the gap is its own score"


@dataclass(frozen=True)
class Pair:
    """Codes and factors to fit on and to test on.

    Attributes:
        codes_NJ: codes to fit on.
        factors_NK: their factors; whole numbers but for continuous ones.
        codes_test_NJ: held-out codes, of the same J.
        factors_test_NK: their factors.
        tag: ends the protocol name: ``n10000_test5000``, with ``_split`` when the held-out part was cut off here.
        notes: which factors have values on one side only.
    """

    codes_NJ: FloatArray
    factors_NK: npt.NDArray[Any]
    codes_test_NJ: FloatArray
    factors_test_NK: npt.NDArray[Any]
    tag: str
    notes: tuple[str, ...] = ()


def read_pair(
    codes: ArrayLike,
    factors: ArrayLike,
    codes_test: ArrayLike | None,
    factors_test: ArrayLike | None,
    continuous: Continuous = False,
) -> Pair:
    """Check a training pair and a held-out pair; without one, hold out a third of the rows by a fixed shuffle.

    ``continuous`` factors may take any finite value.

    Raises:
        ValueError: anything :func:`check_codes` and :func:`check_factors` refuse, a constant factor, only half of a
            held-out pair, held-out columns that do not fit, or fewer than 3 rows to split.
    """
    codes_NJ = check_codes(codes)
    factors_NK = check_varying(check_mixed_factors(factors, len(codes_NJ), continuous))
    discrete_K = ~which_continuous(continuous, factors_NK.shape[1])
    if (codes_test is None) != (factors_test is None):
        given, missing = ("codes_test", "factors_test") if factors_test is None else ("factors_test", "codes_test")
        raise ValueError(f"{given} came without {missing}; pass both, or neither to hold out a third of the rows")
    if codes_test is None or factors_test is None:
        if len(codes_NJ) < 3:
            raise ValueError(f"need at least 3 rows to hold out a third, got {len(codes_NJ)}; pass codes_test")
        train, test = hold_out(len(codes_NJ))
        kept_NK = check_varying(factors_NK[train])
        tag = f"n{len(train)}_test{len(test)}_split"
        notes = _one_sided(kept_NK, factors_NK[test], discrete_K)
        return Pair(codes_NJ[train], kept_NK, codes_NJ[test], factors_NK[test], tag, notes)
    codes_test_NJ = check_codes(codes_test, "codes_test")
    if as_array(factors_test).ndim == 2 and as_array(factors_test).shape[1] != len(discrete_K):
        num_test = as_array(factors_test).shape[1]
        raise ValueError(f"factors has {len(discrete_K)} columns but factors_test has {num_test}; use the same columns")
    factors_test_NK = check_mixed_factors(factors_test, len(codes_test_NJ), continuous, "factors_test")
    for name, train_width, test_width in (
        ("codes", codes_NJ.shape[1], codes_test_NJ.shape[1]),
        ("factors", factors_NK.shape[1], factors_test_NK.shape[1]),
    ):
        if train_width != test_width:
            raise ValueError(f"{name} has {train_width} columns but {name}_test has {test_width}; use the same columns")
    tag = f"n{len(codes_NJ)}_test{len(codes_test_NJ)}"
    notes = _one_sided(factors_NK, factors_test_NK, discrete_K)
    return Pair(codes_NJ, factors_NK, codes_test_NJ, factors_test_NK, tag, notes)


def _one_sided(
    factors_NK: npt.NDArray[Any], factors_test_MK: npt.NDArray[Any], discrete_K: BoolArray
) -> tuple[str, ...]:
    """A note per discrete factor with values that occur in training only, or among the test points only."""
    notes = []
    for k in np.flatnonzero(discrete_K):
        train_N, test_M = factors_NK[:, k].astype(np.int64), factors_test_MK[:, k].astype(np.int64)
        train, test = np.unique(train_N), np.unique(test_M)
        unseen, untested = np.setdiff1d(test, train), np.setdiff1d(train, test)
        if len(unseen):
            notes.append(f"factor {k}: {_listed(unseen)} never seen in training; test points with it count as errors")
        if len(untested):
            notes.append(f"factor {k}: {_listed(untested)} not among the test points")
    return tuple(notes)


def _listed(values: IntArray) -> str:
    shown = ", ".join(str(value) for value in values[:3])
    return f"value {shown} is" if len(values) == 1 else f"{len(values)} values ({shown}{', …' * (len(values) > 3)}) are"


def hold_out(num_points: int) -> tuple[IntArray, IntArray]:
    """Rows to fit on and rows held out, a third of them, by a fixed shuffle."""
    order_N = np.random.default_rng(SPLIT_SEED).permutation(num_points)
    cut = num_points - num_points // 3
    return order_N[:cut], order_N[cut:]


Factors = TypeVar("Factors", bound=npt.NDArray[Any])


def check_varying(factors_NK: Factors) -> Factors:
    """``factors_NK`` if every factor takes at least two values.

    Raises:
        ValueError: a factor is constant; its column is named.
    """
    constant_K = np.ptp(factors_NK, axis=0) == 0
    if constant_K.any():
        column = int(np.argmax(constant_K))
        keep = [int(k) for k in np.flatnonzero(~constant_K)]
        drop = f"drop the column (factors[:, {keep}]) or " if keep else ""
        raise ValueError(
            f"factor {column} is constant (always {factors_NK[0, column]}), so there is nothing to find in the codes; "
            f"{drop}sample more points"
        )
    return factors_NK


def dead_codes(codes_NJ: npt.NDArray[np.floating[Any]]) -> BoolArray:
    """Which codes ``(J,)`` never change, rounding noise aside."""
    low_J, high_J = codes_NJ.min(axis=0), codes_NJ.max(axis=0)
    step = float(np.finfo(codes_NJ.dtype).eps) * ROUNDING_STEPS
    return np.asarray(high_J - low_J <= step * np.maximum(np.abs(low_J), np.abs(high_J)))


def top_two_gap(scores_JK: FloatArray) -> FloatArray:
    """Best minus second-best row of each column ``(K,)``; with one row, that row.

    >>> top_two_gap(np.array([[0.2, 0.9], [0.7, 0.8], [0.4, 0.1]])).round(2).tolist()
    [0.3, 0.1]
    """
    if len(scores_JK) == 1:
        return np.array(scores_JK[0])
    top_2K = np.partition(scores_JK, len(scores_JK) - 2, axis=0)[-2:]
    gap_K: FloatArray = top_2K[1] - top_2K[0]
    return gap_K
