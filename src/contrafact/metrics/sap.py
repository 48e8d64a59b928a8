"""Separated attribute predictability: how far the best single code beats the second best at each factor.

Kumar et al., "Variational Inference of Disentangled Latent Concepts from Unlabeled Observations", ICLR 2018, Section 3;
in the protocol of Locatello et al., ICML 2019: a balanced linear support vector machine (C = 0.01) per code and factor,
or the squared correlation for continuous factors.

Shape suffixes: N points, J code dimensions, K factors.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np

from contrafact.core.active import Active
from contrafact.core.matrices import SINGLE_CODE, Pair, check_varying, dead_codes, read_pair, top_two_gap
from contrafact.core.metric import (
    ArrayLike,
    BoolArray,
    Continuous,
    FloatArray,
    MetricInfo,
    MetricResult,
    check_codes,
    check_mixed_factors,
    continuous_tag,
    measured,
    which_continuous,
)

INFO = MetricInfo(
    kind="static",
    low=0.0,
    high=1.0,
    higher_is_better=True,
    source="Kumar et al. 2018, Section 3",
    enough={"score": 10_000},
)
SMALLEST_VARIANCE = 1e-12  # below it the original calls a code constant


def squared_correlations(codes_NJ: FloatArray, factors_NK: FloatArray) -> FloatArray:
    """Squared Pearson correlation ``(J, K)`` of every code with every factor; 0 for a dead code."""
    centred_NK = factors_NK - factors_NK.mean(axis=0)
    factor_squares_K = (centred_NK**2).sum(axis=0)
    result_JK = np.zeros((codes_NJ.shape[1], factors_NK.shape[1]))
    for j in np.flatnonzero(~dead_codes(codes_NJ)):  # one code at a time keeps a million points small
        code_N = codes_NJ[:, j] - codes_NJ[:, j].mean()
        squares = float(code_N @ code_N)
        if squares / max(1, len(code_N) - 1) > SMALLEST_VARIANCE:
            result_JK[j] = (code_N @ centred_NK) ** 2 / (squares * factor_squares_K)
    return result_JK


def _accuracies_exact(pair: Pair) -> FloatArray:
    from sklearn.svm import LinearSVC

    result_JK = np.zeros((pair.codes_NJ.shape[1], pair.factors_NK.shape[1]))
    for j, k in np.ndindex(result_JK.shape):
        model = LinearSVC(C=0.01, class_weight="balanced").fit(pair.codes_NJ[:, [j]], pair.factors_NK[:, k])
        result_JK[j, k] = np.mean(model.predict(pair.codes_test_NJ[:, [j]]) == pair.factors_test_NK[:, k])
    return result_JK


def _discrete(pair: Pair, chosen_K: BoolArray) -> Pair:
    """The pair with the chosen factors alone, as whole numbers."""
    columns = (pair.factors_NK[:, chosen_K].astype(np.int64), pair.factors_test_NK[:, chosen_K].astype(np.int64))
    return replace(pair, factors_NK=columns[0], factors_test_NK=columns[1])


@measured
def sap(
    codes: ArrayLike,
    factors: ArrayLike,
    codes_test: ArrayLike | None = None,
    factors_test: ArrayLike | None = None,
    *,
    continuous: Continuous = False,
    estimator: Literal["fast", "exact"] = "fast",
    active: Active = None,
) -> MetricResult:
    """Separated attribute predictability, the mean over factors of best minus second-best single-code score.

    Args:
        codes: ``(N, J)`` numbers to fit on.
        factors: ``(N, K)`` whole numbers, or any numbers when ``continuous``.
        codes_test: ``(M, J)`` held-out codes; without them a third of the rows is held out. Unused when ``continuous``.
        factors_test: ``(M, K)`` their factors.
        continuous: score a code by its squared correlation with the factor instead of by classification; a truth value
            for each factor where only some are measurements.
        estimator: ``"fast"`` takes the steps of scikit-learn's ``LinearSVC`` in compiled code; ``"exact"`` runs it.
        active: which codes to look at: a share of the widest code's range, or numbers of codes; None for all. See
            :func:`~contrafact.core.active.active_codes`.

    Returns:
        score in [0, 1], higher is better; ``per_factor`` ``(K,)``; ``matrix`` ``(J, K)`` test accuracies or squared
        correlations. With one code the gap is its own score, and a note says so.

    Raises:
        ValueError: shapes, values or lengths do not fit, a factor is constant, or the estimator is unknown.

    >>> import numpy as np
    >>> factors = np.random.default_rng(0).integers(4, size=(1000, 2))
    >>> round(sap(factors * [1.0, -2.0], factors, continuous=True).score, 2)
    1.0
    """
    if estimator not in ("fast", "exact"):
        raise ValueError(f"estimator must be 'fast' or 'exact', got {estimator!r}")
    codes_NJ = check_codes(codes)
    factors_NK = check_varying(check_mixed_factors(factors, len(codes_NJ), continuous))
    measured_K = which_continuous(continuous, factors_NK.shape[1])
    tag = continuous_tag(continuous, factors_NK.shape[1])
    scores_JK = np.zeros((codes_NJ.shape[1], factors_NK.shape[1]))
    scores_JK[:, measured_K] = squared_correlations(codes_NJ, factors_NK[:, measured_K])
    num_train, num_test, protocol = len(codes_NJ), 0, f"sap{tag}_n{len(codes_NJ)}"
    notes: tuple[str, ...] = ()
    if not measured_K.all():
        pair = _discrete(read_pair(codes_NJ, factors_NK, codes_test, factors_test, continuous), ~measured_K)
        if estimator == "exact":
            scores_JK[:, ~measured_K] = _accuracies_exact(pair)
        else:
            from contrafact.metrics._margin import margin_accuracies

            scores_JK[:, ~measured_K] = margin_accuracies(
                pair.codes_NJ, pair.factors_NK, pair.codes_test_NJ, pair.factors_test_NK
            )
        notes = pair.notes
        num_train, num_test = len(pair.codes_NJ), len(pair.codes_test_NJ)
        protocol = f"sap{tag}_{pair.tag}_svm_C0.01_{estimator}"
    per_factor = top_two_gap(scores_JK)
    return MetricResult(
        score=float(per_factor.mean()),
        protocol=protocol,
        num_train=num_train,
        num_test=num_test,
        per_factor=per_factor,
        matrix=scores_JK,
        notes=(*notes, SINGLE_CODE) if len(scores_JK) == 1 else notes,
    )
