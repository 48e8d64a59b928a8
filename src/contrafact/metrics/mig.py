"""Mutual information gap: does one code, and only one, know each factor?

Chen et al., "Isolating Sources of Disentanglement in VAEs", NeurIPS 2018, Eq. 6; in the protocol of Locatello et al.,
"Challenging Common Assumptions", ICML 2019: 20 equal-width bins per code, plug-in mutual information in nats.

Shape suffixes: N points, J code dimensions, K factors.
"""

from __future__ import annotations

from dataclasses import dataclass

from contrafact.core.active import Active
from contrafact.core.matrices import SINGLE_CODE, top_two_gap
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
    source="Chen et al. 2018, Eq. 6; 20-bin protocol of 2019",
    enough={"score": 300},
    pairs=True,
)


@dataclass(frozen=True, kw_only=True)
class MigResult(MetricResult):
    """A mutual information gap; ``matrix`` holds the mutual informations ``(J, K)`` in nats.

    Attributes:
        entropy: entropy of each factor ``(K,)`` in nats.
    """

    entropy: FloatArray


@measured
def mig(
    codes: ArrayLike,
    factors: ArrayLike,
    *,
    num_bins: int = 20,
    continuous: Continuous = False,
    bias: Bias = "none",
    active: Active = None,
) -> MigResult:
    """Mutual information gap, mean over factors of ``(I(best code) - I(second best)) / H(factor)``.

    Args:
        codes: ``(N, J)`` numbers.
        factors: ``(N, K)`` whole numbers.
        num_bins: equal-width bins per code.
        continuous: factors may take any value, and are binned as codes are; a truth value for each where only some may.
        bias: correction of the informations for chance: ``none`` (as published), ``miller-madow``, or ``shuffle``
            (chance is 0, full knowledge the factor's entropy).
        active: which codes to look at: a share of the widest code's range, or numbers of codes; None for all. See
            :func:`~contrafact.core.active.active_codes`.

    Returns:
        score in [0, 1], higher is better; ``per_factor`` ``(K,)``. A perfect code reaches about 0.988 at 10,000
        points, not 1: the other codes share some information with each factor by chance. With one code the second
        best is 0, and a note says so.

    Raises:
        ValueError: shapes, values or lengths do not fit, a factor is constant, or the correction is unknown.

    >>> import numpy as np
    >>> factors = np.random.default_rng(0).integers(4, size=(10_000, 2))
    >>> round(mig(factors * [1.0, -2.0], factors).score, 2)
    1.0
    """
    tag = bias_tag(bias)
    codes_NJ, bins_JN, factors_NK, kind = read_binned(codes, factors, num_bins, continuous)
    information_JK, entropy_K = informations(bins_JN, factors_NK, bias)
    per_factor = top_two_gap(information_JK) / entropy_K
    return MigResult(
        score=float(per_factor.mean()),
        protocol=f"mig_n{len(codes_NJ)}_bins{num_bins}{kind}{tag}",
        num_train=len(codes_NJ),
        per_factor=per_factor,
        matrix=information_JK,
        entropy=entropy_K,
        notes=(SINGLE_CODE,) if codes_NJ.shape[1] == 1 else (),
    )
