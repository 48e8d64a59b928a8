"""Gradient boosting as scikit-learn does it: 100 stages, learning rate 0.1, trees of depth 3.

A classifier has one tree per class and stage, fitted to the residuals of the multinomial (two classes: binomial)
deviance, its leaves set by a Newton step; a regressor has one, fitted to the residuals themselves (Friedman 2001,
Algorithms 3 and 6). All factors grow side by side.

Shape suffixes: N points, M test points, J codes, K factors, C classes, T trees per stage (all classes of all factors).
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from contrafact.core.metric import FloatArray, IntArray
from contrafact.core.once import once
from contrafact.metrics._bins import bin_codes
from contrafact.metrics._compile import workers
from contrafact.metrics._trees import Trees, grow_trees

NUM_STAGES = 100

Array = npt.NDArray[Any]


def _boost(
    codes_NJ: FloatArray,
    codes_test_MJ: FloatArray,
    start_T: FloatArray,
    scale_T: FloatArray,
    residuals: Callable[[Array, Array, slice], None],
    newton: bool,
    seed: int,
) -> tuple[Array, Array, Array]:
    """Grow all stages.

    Args:
        codes_NJ: codes to fit on.
        codes_test_MJ: test codes.
        start_T: raw score of each tree's row before the first stage.
        scale_T: factor on each tree's leaves.
        residuals: fills residuals ``(T, n)`` from raw scores ``(T, n)`` of a slice of the points.
        newton: see :class:`~contrafact.metrics._trees.Trees`.
        seed: of the ties.

    Returns:
        sums of gains ``(T, J)``, and the raw scores of training points ``(T, N)`` and test points ``(T, M)``.
    """
    num_trees, num_points = len(start_T), len(codes_NJ)
    binned = bin_codes(codes_NJ)
    values_test_JM = np.ascontiguousarray(codes_test_MJ.T.astype(np.float32))
    raw_TN, raw_TM = (np.repeat(start_T[:, None], len(codes), axis=1) for codes in (codes_NJ, codes_test_MJ))
    residual_TN = np.empty_like(raw_TN)
    importance_TJ = np.zeros((num_trees, codes_NJ.shape[1]))
    seeds_ST = np.random.default_rng(seed).integers(1, 2**62, size=(NUM_STAGES, num_trees))

    def fill(first: int, stop: int) -> None:
        residuals(raw_TN[:, first:stop], residual_TN[:, first:stop], slice(first, stop))

    with workers() as (run_all, threads):
        point_cuts, tree_cuts = _cuts(num_points, threads), _cuts(num_trees, 2 * threads if threads > 1 else 1)
        for seed_T in seeds_ST:
            run_all(fill, pairwise(point_cuts))
            trees = Trees(residual_TN, raw_TN, raw_TM, values_test_JM, scale_T, seed_T, importance_TJ, newton)
            run_all(grow_trees, [(first, stop, trees, binned) for first, stop in pairwise(tree_cuts)])
    return importance_TJ, raw_TN, raw_TM


class _Fitted(NamedTuple):
    """One boosted classifier per factor, its trees lying side by side.

    Attributes:
        classes: values of each factor, and the training points' places among them.
        rows: trees of each factor.
        importance_TJ: sums of gains.
        raw_TN: raw scores of training points.
        raw_TM: raw scores of test points.
    """

    classes: list[tuple[IntArray, IntArray]]
    rows: list[slice]
    importance_TJ: Array
    raw_TN: Array
    raw_TM: Array


def _fit_classifiers(codes_NJ: FloatArray, factors_NK: IntArray, codes_test_MJ: FloatArray, seed: int) -> _Fitted:
    classes = [np.unique(labels_N, return_inverse=True) for labels_N in factors_NK.T]
    starts = []
    for _, labels_N in classes:
        share_C = np.bincount(labels_N) / len(labels_N)
        starts.append(np.log(share_C) if len(share_C) > 2 else np.log(share_C[1:] / share_C[:1]))
    offsets = np.concatenate([[0], np.cumsum([len(start) for start in starts])])
    rows = [slice(first, stop) for first, stop in pairwise(offsets)]
    scale_T = np.concatenate([np.full(len(s), 1.0 - 1.0 / len(s) if len(s) > 1 else 1.0) for s in starts])

    def residuals(raw_TN: Array, out_TN: Array, points: slice) -> None:
        for row, (_, labels_N) in zip(rows, classes, strict=True):
            _deviance_residuals(raw_TN[row], labels_N[points], out_TN[row])

    start_T = np.concatenate(starts)
    return _Fitted(classes, rows, *_boost(codes_NJ, codes_test_MJ, start_T, scale_T, residuals, newton=True, seed=seed))


def boosted_predictions(codes_NJ: FloatArray, factors_NK: IntArray, codes_test_MJ: FloatArray, seed: int) -> IntArray:
    """Values ``(M, K)`` that one boosted classifier per factor gives to the test points."""
    fitted = _fit_classifiers(codes_NJ, factors_NK, codes_test_MJ, seed)
    pairs = zip(fitted.classes, fitted.rows, strict=True)
    return np.stack([values[_predict(fitted.raw_TM[row])] for (values, _), row in pairs], axis=1)


@once
def boosted_classifiers(
    codes_NJ: FloatArray, factors_NK: IntArray, codes_test_MJ: FloatArray, factors_test_MK: IntArray, seed: int
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Fit one boosted classifier per factor.

    Returns:
        importances ``(J, K)`` (each column sums to 1, or to 0 where no tree could split), training accuracies ``(K,)``
        and test accuracies ``(K,)``. Test values never seen in training count as errors.
    """
    fitted = _fit_classifiers(codes_NJ, factors_NK, codes_test_MJ, seed)
    mass_JK = np.stack([fitted.importance_TJ[row].sum(axis=0) for row in fitted.rows], axis=1)
    train_K, test_K = np.zeros(len(fitted.rows)), np.zeros(len(fitted.rows))
    for k, (row, (values, labels_N)) in enumerate(zip(fitted.rows, fitted.classes, strict=True)):
        train_K[k] = np.mean(_predict(fitted.raw_TN[row]) == labels_N)
        test_K[k] = np.mean(values[_predict(fitted.raw_TM[row])] == factors_test_MK[:, k])
    return _normalized(mass_JK), train_K, test_K


@once
def boosted_regressors(
    codes_NJ: FloatArray, factors_NK: FloatArray, codes_test_MJ: FloatArray, factors_test_MK: FloatArray, seed: int
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Fit one boosted least-squares regressor per factor.

    Returns:
        importances ``(J, K)`` as of :func:`boosted_classifiers`, and the coefficients of determination of training and
        test points ``(K,)``, at least 0.
    """
    targets_KN = np.ascontiguousarray(factors_NK.T)

    def residuals(raw_TN: Array, out_TN: Array, points: slice) -> None:
        np.subtract(targets_KN[:, points], raw_TN, out=out_TN)

    start_K = targets_KN.mean(axis=1)
    importance_KJ, raw_KN, raw_KM = _boost(
        codes_NJ, codes_test_MJ, start_K, np.ones(len(start_K)), residuals, newton=False, seed=seed
    )
    train_K, test_K = determination(raw_KN.T, factors_NK), determination(raw_KM.T, factors_test_MK)
    return _normalized(importance_KJ.T), train_K, test_K


def determination(predictions_NK: FloatArray, targets_NK: FloatArray) -> FloatArray:
    """Coefficient of determination of each column ``(K,)``, not below 0; 0 for constant targets.

    >>> determination(np.array([[0.0], [1.0]]), np.array([[0.0], [1.0]])).tolist()
    [1.0]
    """
    error_K = ((predictions_NK - targets_NK) ** 2).sum(axis=0)
    total_K = ((targets_NK - targets_NK.mean(axis=0)) ** 2).sum(axis=0)
    return np.where(total_K > 0, np.maximum(1.0 - error_K / np.where(total_K > 0, total_K, 1.0), 0.0), 0.0)


def _normalized(mass_JK: FloatArray) -> FloatArray:
    total_K = mass_JK.sum(axis=0)
    return np.asarray(mass_JK / np.where(total_K > 0, total_K, 1.0))


def _deviance_residuals(raw_CN: Array, labels_N: IntArray, out_CN: Array) -> None:
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


def _predict(raw_CN: Array) -> Array:
    return np.asarray(raw_CN[0] > 0 if len(raw_CN) == 1 else raw_CN.argmax(axis=0)).astype(np.int64)


def _cuts(size: int, parts: int) -> list[int]:
    """Edges of ``parts`` nearly equal, non-empty pieces of ``range(size)``."""
    return [int(edge) for edge in np.unique(np.linspace(0, size, parts + 1).round())]
