"""Downstream accuracy: how well, and from how few labels, each factor is predicted from all codes.

Locatello et al., "Challenging Common Assumptions", ICML 2019, Section 5.5: 10 to 10,000 labels, gradient-boosted trees
or cross-validated logistic regression, and the statistical efficiency (accuracy at 100 over accuracy at 10,000 labels).

Shape suffixes: N points, M test points, J code dimensions, K factors, S sizes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from contrafact.core.active import Active
from contrafact.core.dataset import check_count
from contrafact.core.matrices import Pair, read_pair
from contrafact.core.metric import ArrayLike, FloatArray, IntArray, MetricInfo, MetricResult, measured
from contrafact.metrics._linear import fit_lbfgs

INFO = MetricInfo(
    kind="static",
    low=0.0,
    high=1.0,
    higher_is_better=True,
    source="Locatello et al. 2019, Section 5.5",
    ranges={"efficiency": (0.0, math.inf)},
    covered={"accuracy_10": 0.8},
)
SIZES = (10, 100, 1_000, 10_000)
NUM_FOLDS = 5
PENALTIES = np.logspace(-4, 4, 10)  # scikit-learn's grid of ten inverse penalties


@dataclass(frozen=True, kw_only=True)
class DownstreamResult(MetricResult):
    """``score`` is the mean test accuracy at the largest size, ``per_factor`` ``(K,)`` its parts.

    Attributes:
        sizes: numbers of labels ``(S,)``.
        accuracies: mean test accuracy at each ``(S,)``.
        accuracies_per_factor: ``(S, K)``.
        efficiency: accuracy at the second size over accuracy at the last, with the default sizes 100 over 10,000.
    """

    sizes: IntArray
    accuracies: FloatArray
    accuracies_per_factor: FloatArray
    efficiency: float

    def scores(self) -> dict[str, float]:
        by_size = {f"accuracy_{size}": float(a) for size, a in zip(self.sizes, self.accuracies, strict=True)}
        return {**by_size, "efficiency": self.efficiency}


def _boosted(codes_NJ: FloatArray, factors_NK: IntArray, pair: Pair, columns: IntArray, seed: int) -> FloatArray:
    from contrafact.metrics._boosting import boosted_classifiers

    truth_MK = pair.factors_test_NK[:, columns]
    return boosted_classifiers(codes_NJ, factors_NK, pair.codes_test_NJ, truth_MK, seed)[2]


def _logistic(codes_NJ: FloatArray, factors_NK: IntArray, pair: Pair, columns: IntArray, seed: int) -> FloatArray:
    """Logistic regressions whose penalty has the best mean accuracy over five folds in order, as the protocol's."""
    folds = np.array_split(np.arange(len(codes_NJ)), min(NUM_FOLDS, len(codes_NJ)))
    accuracies = []
    for k, labels_N in zip(columns, factors_NK.T, strict=True):
        mean_accuracy = []
        for penalty in PENALTIES:
            hits = []
            for fold in folds:
                rest = np.setdiff1d(np.arange(len(labels_N)), fold)
                if len(np.unique(labels_N[rest])) > 1:
                    model = fit_lbfgs(codes_NJ[rest], labels_N[rest], seed, penalty)
                    hits.append(np.mean(model.predict(codes_NJ[fold]) == labels_N[fold]))
                else:
                    hits.append(np.mean(labels_N[fold] == labels_N[rest][0]))
            mean_accuracy.append(np.mean(hits))
        best = fit_lbfgs(codes_NJ, labels_N, seed, PENALTIES[int(np.argmax(mean_accuracy))])
        accuracies.append(np.mean(best.predict(pair.codes_test_NJ) == pair.factors_test_NK[:, k]))
    return np.array(accuracies)


@measured
def downstream(
    codes: ArrayLike,
    factors: ArrayLike,
    codes_test: ArrayLike | None = None,
    factors_test: ArrayLike | None = None,
    *,
    sizes: Sequence[int] = SIZES,
    predictor: Literal["boosted_trees", "logistic"] = "boosted_trees",
    seed: int = 0,
    active: Active = None,
) -> DownstreamResult:
    """Test accuracy of a classifier per factor, fitted on the first 10, 100, 1,000 and 10,000 points.

    Args:
        codes: ``(N, J)`` numbers to fit on, in random order.
        factors: ``(N, K)`` whole numbers.
        codes_test: ``(M, J)`` held-out codes; without them a third of the rows is held out.
        factors_test: ``(M, K)`` their factors.
        sizes: numbers of labels; those beyond N become N, once.
        predictor: ``boosted_trees`` (as DCI's) or ``logistic`` (five-fold cross-validated penalty; minutes at 10,000).
        seed: of the predictor.
        active: which codes to look at: a share of the widest code's range, or numbers of codes; None for all. See
            :func:`~contrafact.core.active.active_codes`.

    Returns:
        score in [0, 1], higher is better. Where the labelled points show one value of a factor only, that value is
        the guess.

    Raises:
        ValueError: shapes, values or lengths do not fit, a factor is constant, sizes are not positive, or the
            predictor is unknown.

    >>> import numpy as np
    >>> factors = np.random.default_rng(0).integers(2, size=(300, 2))
    >>> downstream(factors * [1.0, -2.0], factors, sizes=[20, 200]).score
    1.0
    """
    if predictor not in ("boosted_trees", "logistic"):
        raise ValueError(f"predictor must be 'boosted_trees' or 'logistic', got {predictor!r}")
    if not len(sizes):
        raise ValueError("sizes must name at least one number of labels")
    pair = read_pair(codes, factors, codes_test, factors_test)
    used = sorted({min(check_count("sizes", size), len(pair.codes_NJ)) for size in sizes})
    fit = _boosted if predictor == "boosted_trees" else _logistic
    accuracy_SK = np.zeros((len(used), pair.factors_NK.shape[1]))
    for s, size in enumerate(used):
        seen_NK = pair.factors_NK[:size]
        accuracy_SK[s] = (pair.factors_test_NK == seen_NK[0]).mean(axis=0)  # all that one seen value allows
        columns = np.flatnonzero(np.ptp(seen_NK, axis=0) > 0)
        if len(columns):
            accuracy_SK[s, columns] = fit(pair.codes_NJ[:size], seen_NK[:, columns], pair, columns, seed)
    accuracies = accuracy_SK.mean(axis=1)
    last = float(accuracies[-1])
    fitted = predictor if predictor == "boosted_trees" else f"logistic_cv{NUM_FOLDS}"
    return DownstreamResult(
        score=last,
        protocol=f"downstream_{pair.tag}_{fitted}_{used[0]}to{used[-1]}",
        num_train=used[-1],
        num_test=len(pair.codes_test_NJ),
        per_factor=accuracy_SK[-1],
        seed=seed,
        notes=pair.notes,
        sizes=np.array(used),
        accuracies=accuracies,
        accuracies_per_factor=accuracy_SK,
        efficiency=float(accuracies[min(1, len(used) - 1)]) / last if last > 0 else 0.0,
    )
