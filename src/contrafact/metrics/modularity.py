"""Modularity: does each code know one factor only?

Ridgeway & Mozer, "Learning Deep Disentangled Embeddings with the F-Statistic Loss", NeurIPS 2018, Section 3; in the
protocol of Locatello et al., ICML 2019: 20 equal-width bins per code, mutual information in nats.

Shape suffixes: N points, J code dimensions, K factors.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from contrafact.core.active import Active
from contrafact.core.metric import (
    ArrayLike,
    Continuous,
    FloatArray,
    MetricInfo,
    MetricResult,
    measured,
)
from contrafact.metrics._debias import Bias, bias_tag, informations, read_binned

INFO = MetricInfo(
    kind="static",
    low=0.0,
    high=1.0,
    higher_is_better=True,
    source="Ridgeway & Mozer 2018, Section 3",
    repeats=False,
    pairs=True,
)


@dataclass(frozen=True, kw_only=True)
class ModularityResult(MetricResult):
    """A modularity; ``matrix`` holds the mutual informations ``(J, K)`` in nats.

    Attributes:
        per_code: modularity of each code ``(J,)``, 0 for a code that knows nothing.
    """

    per_code: FloatArray


@measured
def modularity(
    codes: ArrayLike,
    factors: ArrayLike,
    *,
    num_bins: int = 20,
    continuous: Continuous = False,
    bias: Bias = "none",
    active: Active = None,
) -> ModularityResult:
    """Mean over codes of ``1 - Σ_{k≠k*} I(j,k)² / ((K-1) I(j,k*)²)``, k* being the factor the code knows best.

    Args:
        codes: ``(N, J)`` numbers.
        factors: ``(N, K)`` whole numbers. A constant factor is nobody's secret and counts as unknown to every code.
        num_bins: equal-width bins per code.
        continuous: as :func:`~contrafact.metrics.mig` takes it.
        bias: see ``mig``.
        active: see ``mig``.

    Returns:
        score in [0, 1], higher is better. A dead code scores 0. With one factor every informative code scores 1, by
        definition, and a note says so.

    Raises:
        ValueError: shapes, values or lengths do not fit, or the correction is unknown.

    >>> import numpy as np
    >>> factors = np.random.default_rng(0).integers(4, size=(10_000, 2))
    >>> round(modularity(factors * [1.0, -2.0], factors).score, 2)
    1.0
    """
    tag = bias_tag(bias)
    codes_NJ, bins_JN, factors_NK, kind = read_binned(codes, factors, num_bins, continuous, varying=False)
    information_JK, _ = informations(bins_JN, factors_NK, bias)
    squares_JK = information_JK**2
    best_J = squares_JK.max(axis=1)
    num_factors = factors_NK.shape[1]
    rest_J = squares_JK.sum(axis=1) - best_J
    safe_J = np.where(best_J > 0, best_J, 1.0) * max(1, num_factors - 1)
    per_code = np.where(best_J > 0, 1.0 - rest_J / safe_J, 0.0)
    notes = []
    if num_factors == 1:
        notes.append("one factor only: every code that knows it has modularity 1 by definition")
    constant = [int(k) for k in np.flatnonzero(np.ptp(factors_NK, axis=0) == 0)]
    if constant:
        notes.append(f"constant factors {constant} count as unknown to every code")
    return ModularityResult(
        score=float(per_code.mean()),
        protocol=f"modularity_n{len(codes_NJ)}_bins{num_bins}{kind}{tag}",
        num_train=len(codes_NJ),
        matrix=information_JK,
        per_code=per_code,
        notes=tuple(notes),
    )
