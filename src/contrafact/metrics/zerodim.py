"""ZeroDIM protocol: MIG, SAP and DCI on the codes of the factors of interest, as the LORD family reports them.

Gabbay et al., "An Image is Worth More Than a Thousand Words: Towards Disentanglement in the Wild", NeurIPS 2021: all
images, residual code left out, MIG on all of them, SAP, DCI and linear accuracy on one 80/20 split (seed 1337).

Shape suffixes: N points, J code dimensions, K factors, G groups (one code of several dimensions each), W dimensions per
group.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from contrafact.core.active import Active
from contrafact.core.matrices import check_varying
from contrafact.core.metric import (
    ArrayLike,
    FloatArray,
    MetricInfo,
    MetricResult,
    as_array,
    check_codes,
    check_factors,
    measured,
)
from contrafact.metrics._importance import weighted_concentration
from contrafact.metrics._linear import LOGISTIC, standard_scale
from contrafact.metrics._logistic import fit_logistic
from contrafact.metrics.dci import dci
from contrafact.metrics.mig import mig
from contrafact.metrics.sap import sap

INFO = MetricInfo(
    kind="static",
    low=0.0,
    high=1.0,
    higher_is_better=True,
    source="Gabbay et al. 2021",
    repeats=False,
    enough={"sap": 10_000, "mig": 300, "linear_accuracy": 300},
)
TEST_SHARE, SPLIT_SEED = 0.2, 1337


@dataclass(frozen=True, kw_only=True)
class ZerodimResult(MetricResult):
    """``score`` is D, ``per_factor`` the completenesses ``(K,)``, ``matrix`` the importances ``(G, K)``.

    Attributes:
        disentanglement: DCI's D, on groups where codes come in groups.
        completeness: DCI's C.
        informativeness: DCI's I.
        mig: on all points; None for groups of more than one dimension, where it is not defined.
        sap: on the split; None likewise.
        linear_accuracy: test accuracy of logistic regression per factor ``(K,)``.
        linear_accuracy_train: training accuracy ``(K,)``.
    """

    disentanglement: float
    completeness: float
    informativeness: float
    mig: float | None
    sap: float | None
    linear_accuracy: FloatArray
    linear_accuracy_train: FloatArray

    def scores(self) -> dict[str, float]:
        scores = {
            "disentanglement": self.disentanglement,
            "completeness": self.completeness,
            "informativeness": self.informativeness,
            "linear_accuracy": float(self.linear_accuracy.mean()),
        }
        if self.mig is not None and self.sap is not None:
            scores |= {"mig": self.mig, "sap": self.sap}
        return scores


@measured
def zerodim(
    codes: ArrayLike,
    factors: ArrayLike,
    *,
    factors_of_interest: ArrayLike | None = None,
    estimator: Literal["fast", "exact"] = "fast",
    seed: int = 0,
    active: Active = None,
) -> ZerodimResult:
    """MIG, SAP, D, C, I and linear accuracy in the protocol of ZeroDIM.

    Args:
        codes: ``(N, J)`` codes of the factors of interest, residual left out; ``(N, G, W)`` for G codes of W
            dimensions each, whose importances are added up.
        factors: ``(N, K)`` whole numbers.
        factors_of_interest: columns of ``factors`` to score, None for all.
        estimator: of DCI and SAP, see :func:`~contrafact.metrics.dci`.
        seed: of DCI's ties.
        active: which codes to look at: a share of the widest code's range, or numbers of codes; None for all. See
            :func:`~contrafact.core.active.active_codes`.

    Returns:
        scores in [0, 1], higher is better.

    Raises:
        ValueError: shapes, values or lengths do not fit, a factor is constant, or a column does not exist.

    >>> factors = np.random.default_rng(0).integers(3, size=(500, 2))
    >>> round(zerodim(factors * [1.0, -2.0], factors).disentanglement, 2)
    1.0
    """
    values = as_array(codes)
    grouped = values.ndim == 3
    codes_NJ = check_codes(values.reshape(len(values), -1) if grouped else values)
    factors_NK = check_factors(factors, len(codes_NJ))
    if factors_of_interest is not None:
        columns = np.asarray(factors_of_interest)
        fits = columns.ndim == 1 and columns.size and np.issubdtype(columns.dtype, np.integer)
        if not fits or not ((columns >= 0) & (columns < factors_NK.shape[1])).all():
            raise ValueError(
                f"factors_of_interest must be columns from 0 to {factors_NK.shape[1] - 1}, got {columns.tolist()}"
            )
        factors_NK = factors_NK[:, columns]
    check_varying(factors_NK)
    if len(codes_NJ) < 5:
        raise ValueError(f"need at least 5 rows to hold out a fifth, got {len(codes_NJ)}")
    from sklearn.model_selection import (
        train_test_split,
    )  # seconds, where it is the first: what is refused need not wait

    split = train_test_split(codes_NJ, factors_NK, test_size=TEST_SHARE, random_state=SPLIT_SEED)
    train_NJ, test_MJ, factors_train_NK, factors_test_MK = split
    width = values.shape[2] if grouped else 1
    base = dci(train_NJ, factors_train_NK, test_MJ, factors_test_MK, estimator=estimator, seed=seed)
    importance_GK = base.matrix.reshape(-1, width, base.matrix.shape[1]).sum(axis=1)
    disentanglement, _ = weighted_concentration(importance_GK)
    completeness, per_factor = weighted_concentration(importance_GK.T)
    single = width == 1
    gap = mig(codes_NJ, factors_NK).score if single else None
    margin = sap(train_NJ, factors_train_NK, test_MJ, factors_test_MK, estimator=estimator).score if single else None
    mean_J, scale_J = standard_scale(codes_NJ)  # of all points, as in the program
    for part in (train_NJ, test_MJ):  # in place: they are copies, and of a million points there should be no third
        part -= mean_J
        part *= scale_J
    models = [fit_logistic(train_NJ, labels_N) for labels_N in factors_train_NK.T]
    return ZerodimResult(
        score=disentanglement,
        protocol=f"zerodim_n{len(codes_NJ)}_split{SPLIT_SEED}_groups{len(importance_GK)}x{width}_{estimator}_{LOGISTIC}",
        num_train=len(train_NJ),
        num_test=len(test_MJ),
        per_factor=per_factor,
        matrix=importance_GK,
        seed=seed,
        notes=base.notes,
        disentanglement=disentanglement,
        completeness=completeness,
        informativeness=base.informativeness,
        mig=gap,
        sap=margin,
        linear_accuracy=np.array(
            [np.mean(m.predict(test_MJ) == y) for m, y in zip(models, factors_test_MK.T, strict=True)]
        ),
        linear_accuracy_train=np.array(
            [np.mean(m.predict(train_NJ) == y) for m, y in zip(models, factors_train_NK.T, strict=True)]
        ),
    )
