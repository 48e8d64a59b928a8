"""DCIMIG (3CharM): disentanglement, completeness and informativeness in one gap of mutual informations.

Sepliarskaia, Kiseleva and de Rijke, "How to Not Measure Disentanglement" ("Evaluating Disentangled Representations"),
arXiv:1910.05587.

Shape suffixes: N points, J code dimensions, K factors.
"""

from __future__ import annotations

import numpy as np

from contrafact.core.active import Active
from contrafact.core.matrices import top_two_gap
from contrafact.core.metric import (
    ArrayLike,
    Continuous,
    MetricInfo,
    MetricResult,
    measured,
)
from contrafact.metrics._debias import Bias, bias_tag, informations, read_binned
from contrafact.metrics.mig_sup import SINGLE_FACTOR

INFO = MetricInfo(
    kind="static",
    low=0.0,
    high=1.0,
    higher_is_better=True,
    source="Sepliarskaia et al. 2019 (DCIMIG)",
    enough={"score": 300},
    pairs=True,
)


@measured
def dcimig(
    codes: ArrayLike,
    factors: ArrayLike,
    *,
    num_bins: int = 20,
    continuous: Continuous = False,
    bias: Bias = "none",
    active: Active = None,
) -> MetricResult:
    """Sum over factors of the best gap among the codes that know the factor best, over the sum of factor entropies.

    Args:
        codes: ``(N, J)``, as :func:`~contrafact.metrics.mig` takes them.
        factors: ``(N, K)``, likewise.
        num_bins: see ``mig``.
        continuous: see ``mig``.
        bias: see ``mig``.
        active: see ``mig``.

    Returns:
        score in [0, 1], higher is better; ``per_factor`` ``(K,)`` the factor's gap over its entropy; ``matrix``
        ``(J, K)`` mutual informations in nats. With one factor a code's second best is 0, and a note says so.

    Raises:
        ValueError: what ``mig`` refuses.

    >>> import numpy as np
    >>> factors = np.random.default_rng(0).integers(4, size=(10_000, 2))
    >>> round(dcimig(factors * [1.0, -2.0], factors).score, 2)
    1.0
    """
    tag = bias_tag(bias)
    codes_NJ, bins_JN, factors_NK, kind = read_binned(codes, factors, num_bins, continuous)
    information_JK, entropy_K = informations(bins_JN, factors_NK, bias)
    gaps_K = np.zeros(len(entropy_K))
    np.maximum.at(gaps_K, information_JK.argmax(axis=1), top_two_gap(information_JK.T))
    return MetricResult(
        score=float(gaps_K.sum() / entropy_K.sum()),
        protocol=f"dcimig_n{len(codes_NJ)}_bins{num_bins}{kind}{tag}",
        num_train=len(codes_NJ),
        per_factor=gaps_K / entropy_K,
        matrix=information_JK,
        notes=(SINGLE_FACTOR,) if factors_NK.shape[1] == 1 else (),
    )
