"""MIG-sup: does each code know one factor, and only one? The mutual information gap, asked of codes.

Li et al., "Progressive Learning and Disentanglement of Hierarchical Representations", ICLR 2020.

Shape suffixes: N points, J code dimensions, K factors.
"""

from __future__ import annotations

from dataclasses import dataclass

from contrafact.core.active import Active
from contrafact.core.matrices import dead_codes, top_two_gap
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
    source="Li et al. 2020",
    enough={"score": 300},
    pairs=True,
)
SINGLE_FACTOR = "one factor only: nothing competes with it, so the gap is its own information"


@dataclass(frozen=True, kw_only=True)
class MigSupResult(MetricResult):
    """A mutual information gap of codes; ``matrix`` ``(J, K)`` holds informations as shares of the factor's entropy.

    Attributes:
        per_code: gap of each code ``(J,)``; 0 for a dead one, which the mean leaves out.
    """

    per_code: FloatArray


@measured
def mig_sup(
    codes: ArrayLike,
    factors: ArrayLike,
    *,
    num_bins: int = 20,
    continuous: Continuous = False,
    bias: Bias = "none",
    active: Active = None,
) -> MigSupResult:
    """Mean over codes that vary of the gap between the two largest ``I(code, factor) / H(factor)``.

    Args:
        codes: ``(N, J)``, as :func:`~contrafact.metrics.mig` takes them.
        factors: ``(N, K)``, likewise.
        num_bins: see ``mig``.
        continuous: see ``mig``.
        bias: see ``mig``.
        active: see ``mig``.

    Returns:
        score in [0, 1], higher is better. With one factor the second best is 0, and a note says so.

    Raises:
        ValueError: what ``mig`` refuses.

    >>> import numpy as np
    >>> factors = np.random.default_rng(0).integers(4, size=(10_000, 2))
    >>> twice = np.hstack([factors, factors]) * 1.0
    >>> round(mig_sup(twice, factors).score, 2)
    1.0
    """
    tag = bias_tag(bias)
    codes_NJ, bins_JN, factors_NK, kind = read_binned(codes, factors, num_bins, continuous)
    information_JK, entropy_K = informations(bins_JN, factors_NK, bias)
    known_JK = information_JK / entropy_K
    per_code, live_J = top_two_gap(known_JK.T), ~dead_codes(codes_NJ)
    return MigSupResult(
        score=float(per_code[live_J].mean()) if live_J.any() else 0.0,
        protocol=f"mig_sup_n{len(codes_NJ)}_bins{num_bins}{kind}{tag}",
        num_train=len(codes_NJ),
        matrix=known_JK,
        per_code=per_code,
        notes=(SINGLE_FACTOR,) if factors_NK.shape[1] == 1 else (),
    )
