"""Joint entropy minus mutual information gap: does one code know each factor, and nothing else?

Do and Tran, "Theory and Evaluation Metrics for Learning Disentangled Representations", ICLR 2020.
Images are counted as rmig counts them.

Shape suffixes: N points, J code dimensions, K factors.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from contrafact.core.active import Active
from contrafact.core.matrices import SINGLE_CODE, check_varying, top_two_gap
from contrafact.core.metric import (
    ArrayLike,
    Continuous,
    FloatArray,
    MetricInfo,
    MetricResult,
    check_codes,
    continuous_tag,
    measured,
)
from contrafact.metrics._debias import Bias, bias_tag
from contrafact.metrics._information import read_labels
from contrafact.metrics._posterior import quantize

INFO = MetricInfo(
    kind="static",
    low=0.0,
    high=1.0,
    higher_is_better=True,
    source="Do and Tran 2020",
    repeats=False,
    enough={"score": 300},
    covered={"score": 0.85},
)


@dataclass(frozen=True, kw_only=True)
class JemmigResult(MetricResult):
    """A normalised JEMMIG; ``matrix`` holds the mutual informations ``(J, K)`` in nats.

    Attributes:
        jemmig: joint entropy minus gap of each factor ``(K,)`` in nats, lower is better: before it is divided by
            ``H(factor) + log(num_bins)`` and taken from 1.
    """

    jemmig: FloatArray


@measured
def jemmig(
    codes: ArrayLike,
    factors: ArrayLike,
    *,
    deviations: ArrayLike | None = None,
    num_bins: int = 100,
    continuous: Continuous = False,
    bias: Bias = "none",
    active: Active = None,
) -> JemmigResult:
    """Mean over factors of ``1 - (H(best code, factor) - gap) / (H(factor) + log(num_bins))``.

    Args:
        codes: ``(N, J)``, as :func:`~contrafact.metrics.rmig` takes them.
        factors: ``(N, K)``, likewise.
        deviations: ``(N, J)``, likewise.
        num_bins: equal-width bins; scores of different numbers of bins do not compare.
        continuous: see ``rmig``.
        bias: see ``rmig``.
        active: see ``rmig``.

    Returns:
        score in [0, 1], higher is better; ``per_factor`` ``(K,)``. A factor no code knows anything of scores 0. With
        one code the second best is 0, and a note says so.

    Raises:
        ValueError: what ``rmig`` refuses.

    >>> import numpy as np
    >>> factors = np.random.default_rng(0).integers(4, size=(10_000, 2))
    >>> noise = np.random.default_rng(1).normal(size=factors.shape)
    >>> [round(jemmig(codes, factors, num_bins=20).score, 2) for codes in (factors * 1.0, noise)]
    [1.0, 0.12]
    """
    tag = bias_tag(bias)
    codes_NJ = check_codes(codes)
    factors_NK = check_varying(read_labels(factors, len(codes_NJ), continuous, num_bins))
    found = quantize(codes_NJ, factors_NK, deviations, num_bins, bias)
    information_JK = found.information_JK
    best_K = information_JK.argmax(axis=0)
    top_K = information_JK[best_K, np.arange(len(best_K))]
    joint_K = found.entropy_J[best_K] + found.entropy_K - top_K
    jemmig_K = joint_K - top_two_gap(information_JK)
    per_factor = np.where(top_K > 0, 1.0 - jemmig_K / (found.entropy_K + np.log(num_bins)), 0.0)
    kind = f"{'_posterior' if deviations is not None else ''}{continuous_tag(continuous, factors_NK.shape[1])}"
    return JemmigResult(
        score=float(per_factor.mean()),
        protocol=f"jemmig_n{len(codes_NJ)}_bins{num_bins}{kind}{tag}",
        num_train=len(codes_NJ),
        per_factor=per_factor,
        matrix=information_JK,
        jemmig=jemmig_K,
        notes=(SINGLE_CODE,) if codes_NJ.shape[1] == 1 else (),
    )
