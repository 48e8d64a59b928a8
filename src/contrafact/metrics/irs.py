"""Interventional robustness: does a code stay put when the factors it should ignore change?

Suter et al., "Robustly Disentangled Causal Mechanisms", ICML 2019, Section 4; in the protocol of Locatello et al.,
ICML 2019: the 99th percentile of the deviations stands for their maximum, factors in 20 equal-width bins.

Shape suffixes: N points, J code dimensions, K factors.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from contrafact.core.active import Active
from contrafact.core.matrices import dead_codes
from contrafact.core.metric import (
    ArrayLike,
    FloatArray,
    IntArray,
    MetricInfo,
    MetricResult,
    check_codes,
    check_continuous_factors,
    measured,
)
from contrafact.metrics._information import discretize

INFO = MetricInfo(
    kind="static",
    low=-math.inf,
    high=1.0,
    higher_is_better=True,
    source="Suter et al. 2019, Section 4",
    repeats=False,
    extreme=True,
    quantities=True,
)


@dataclass(frozen=True, kw_only=True)
class IrsResult(MetricResult):
    """An interventional robustness score; ``matrix`` ``(J, K)`` is 1 where holding factor k holds code j.

    Attributes:
        per_code: best entry of each code's row ``(J,)``, 0 for dead codes.
        parents: the factor that entry belongs to ``(J,)``, -1 for dead codes.
        max_deviations: largest distance of each code from its mean ``(J,)``; the weights of the score.
        num_active: codes that change at all.
    """

    per_code: FloatArray
    parents: IntArray
    max_deviations: FloatArray
    num_active: int


@measured
def irs(
    codes: ArrayLike, factors: ArrayLike, *, quantile: float = 0.99, num_bins: int = 20, active: Active = None
) -> IrsResult:
    """Interventional robustness, mean over codes weighted by how far they move.

    For code j and factor k: hold k at each of its values, take the ``quantile`` of the code's deviations from its mean
    there, average over the values, divide by the code's largest deviation of all; 1 minus that, best factor per code.

    Args:
        codes: ``(N, J)`` numbers.
        factors: ``(N, K)`` numbers; more than ``num_bins`` values are binned, so continuous factors are welcome.
        quantile: in [0, 1]; 1 is the paper's maximum.
        num_bins: equal-width bins per factor.
        active: which codes to look at: a share of the widest code's range, or numbers of codes; None for all. See
            :func:`~contrafact.core.active.active_codes`.

    Returns:
        score of at most 1, higher is better; 0 when every code is dead. It can fall below 0, where codes deviate more
        from their mean at a value of a factor than they ever do from their mean of all. It rises with the number of
        points, as the largest deviation does and the ``quantile`` does not; and with fewer than about ten points per
        factor value, where hardly anything deviates.

    Raises:
        ValueError: shapes, values or lengths do not fit, or ``quantile`` is outside [0, 1].

    >>> import numpy as np
    >>> factors = np.random.default_rng(0).integers(4, size=(1000, 2))
    >>> irs(factors * [1.0, -2.0], factors).score
    1.0
    """
    if not 0.0 <= quantile <= 1.0:
        raise ValueError(f"quantile must lie in [0, 1], got {quantile}")
    codes_NJ = check_codes(codes)
    bins_KN = discretize(check_continuous_factors(factors, len(codes_NJ)), num_bins)
    num_codes, num_factors = codes_NJ.shape[1], len(bins_KN)
    live_J = ~dead_codes(codes_NJ)
    live_NJ = codes_NJ[:, live_J]
    matrix_JK, deviations_J = np.zeros((num_codes, num_factors)), np.zeros(num_codes)
    per_code, parents_J = np.zeros(num_codes), np.full(num_codes, -1, dtype=np.int64)
    score = 0.0
    if live_J.any():
        deviations_J[live_J] = np.abs(live_NJ - live_NJ.mean(axis=0)).max(axis=0)
        for k, bins_N in enumerate(bins_KN):
            values = np.unique(bins_N)
            spread_J = np.zeros(live_NJ.shape[1])
            for value in values:
                group_NJ = live_NJ[bins_N == value]
                spread_J += np.quantile(np.abs(group_NJ - group_NJ.mean(axis=0)), quantile, axis=0)
            matrix_JK[live_J, k] = 1.0 - spread_J / len(values) / deviations_J[live_J]
        per_code[live_J] = matrix_JK[live_J].max(axis=1)
        parents_J[live_J] = matrix_JK[live_J].argmax(axis=1)
        score = float(np.average(per_code, weights=deviations_J))
    constant = [k for k, bins_N in enumerate(bins_KN) if bins_N.min() == bins_N.max()]
    return IrsResult(
        score=score,
        protocol=f"irs_n{len(codes_NJ)}_q{quantile:g}",
        num_train=len(codes_NJ),
        matrix=matrix_JK,
        per_code=per_code,
        parents=parents_J,
        max_deviations=deviations_J,
        num_active=int(live_J.sum()),
        notes=(f"constant factors {constant} hold no code",) if constant else (),
    )
