"""Explicitness: can a linear classifier on all codes tell the values of each factor apart?

Ridgeway & Mozer, "Learning Deep Disentangled Embeddings with the F-Statistic Loss", NeurIPS 2018, Section 3; in the
protocol of Locatello et al., ICML 2019: logistic regression on standardised codes, area under the ROC curve of every
factor value against the rest, on held-out points.

Published numbers come from one model per factor value, the rest against it: the paper says so, and it was the default
of scikit-learn when both programs were written. From 0.22 on the same line of code fits one multinomial model, which
ranks the middle values of an ordered factor better. ``solver`` says which.

Shape suffixes: N points, M test points, J code dimensions, K factors, C classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from contrafact.core.active import Active
from contrafact.core.matrices import read_pair
from contrafact.core.metric import ArrayLike, FloatArray, IntArray, MetricInfo, MetricResult, measured
from contrafact.metrics._linear import standardize
from contrafact.metrics._logistic import fit_logistic

INFO = MetricInfo(kind="static", low=0.0, high=1.0, higher_is_better=True, source="Ridgeway & Mozer 2018, Section 3")


@dataclass(frozen=True, kw_only=True)
class ExplicitnessResult(MetricResult):
    """An explicitness; ``score`` and ``per_factor`` ``(K,)`` are of the held-out points.

    Attributes:
        score_train: the same on the training points.
        per_factor_train: ``(K,)``.
    """

    score_train: float
    per_factor_train: FloatArray

    def scores(self) -> dict[str, float]:
        return {"score": self.score, "score_train": self.score_train}


def area_under_roc(scores_N: FloatArray, positive_N: np.ndarray) -> float:
    """Probability that a positive's score exceeds a negative's, ties counting half.

    >>> area_under_roc(np.array([0.1, 0.4, 0.4, 0.8]), np.array([False, False, True, True]))
    0.875
    """
    from scipy.stats import rankdata

    num_positive = int(positive_N.sum())
    num_negative = len(positive_N) - num_positive
    rank_sum = float(rankdata(scores_N)[positive_N].sum())
    return (rank_sum - num_positive * (num_positive + 1) / 2) / (num_positive * num_negative)


def _mean_area(probabilities_NC: FloatArray, values_C: IntArray, labels_N: IntArray) -> tuple[float, int]:
    """Mean area over the values that occur and leave something to be told from; how many others there are."""
    usable = [c for c, value in enumerate(values_C) if 0 < np.count_nonzero(labels_N == value) < len(labels_N)]
    areas = [area_under_roc(probabilities_NC[:, c], labels_N == values_C[c]) for c in usable]
    unknown = len(np.setdiff1d(labels_N, values_C))
    return (float(np.mean(areas)) if areas else 0.5), len(values_C) - len(usable) + unknown


@measured
def explicitness(
    codes: ArrayLike,
    factors: ArrayLike,
    codes_test: ArrayLike | None = None,
    factors_test: ArrayLike | None = None,
    *,
    solver: Literal["one_vs_rest", "multinomial"] = "one_vs_rest",
    inverse_penalty: float = 1.0,
    active: Active = None,
) -> ExplicitnessResult:
    """Mean area under the ROC curve, over factors and their values, of logistic regressions.

    Args:
        codes: ``(N, J)`` numbers to fit on.
        factors: ``(N, K)`` whole numbers.
        codes_test: ``(M, J)`` held-out codes; without them a third of the rows is held out.
        factors_test: ``(M, K)`` their factors.
        solver: ``one_vs_rest`` (published: a model per value of a factor, probabilities divided by their sum) or
            ``multinomial`` (one model per factor, what today's scikit-learn makes of the published programs).
        inverse_penalty: C of the L2 penalty: 1 in the protocol of 2019, 1e10 in the authors' program; ``numpy.inf``
            for none.
        active: which codes to look at: a share of the widest code's range, or numbers of codes; None for all. See
            :func:`~contrafact.core.active.active_codes`.

    Returns:
        score in [0, 1], higher is better; 0.5 is guessing. A value missing from either side is left out of its
        factor's mean, and a note says how many were.

    Raises:
        ValueError: shapes, values or lengths do not fit, a factor is constant, the solver is unknown, or the penalty is
            not positive.

    >>> import numpy as np
    >>> factors = np.random.default_rng(0).integers(2, size=(300, 2))
    >>> explicitness(factors * [1.0, -2.0], factors).score
    1.0
    """
    if solver not in ("one_vs_rest", "multinomial"):
        raise ValueError(f"solver must be 'one_vs_rest' or 'multinomial', got {solver!r}")
    if not inverse_penalty > 0:
        raise ValueError(f"inverse_penalty must be positive (numpy.inf for no penalty), got {inverse_penalty}")
    pair = read_pair(codes, factors, codes_test, factors_test)
    train_NJ, test_MJ = standardize(pair.codes_NJ, pair.codes_test_NJ)
    num_factors = pair.factors_NK.shape[1]
    train_K, test_K = np.zeros(num_factors), np.zeros(num_factors)
    notes = []
    for k in range(num_factors):
        labels_N = pair.factors_NK[:, k]
        model = fit_logistic(train_NJ, labels_N, inverse_penalty, one_vs_rest=solver == "one_vs_rest")
        train_K[k], _ = _mean_area(model.probabilities(train_NJ), model.classes_C, labels_N)
        test_K[k], missing = _mean_area(model.probabilities(test_MJ), model.classes_C, pair.factors_test_NK[:, k])
        if missing:
            notes.append(f"factor {k}: {missing} of its values occur on one side of the split only and were left out")
    return ExplicitnessResult(
        score=float(test_K.mean()),
        protocol=f"explicitness_{pair.tag}_{solver}_C{inverse_penalty:g}",
        num_train=len(train_NJ),
        num_test=len(test_MJ),
        per_factor=test_K,
        score_train=float(train_K.mean()),
        per_factor_train=train_K,
        notes=tuple(notes),
    )
