"""Robust mutual information gap: the gap of the best two codes at each factor, counted with the encoder's own noise.

Do and Tran, "Theory and Evaluation Metrics for Learning Disentangled Representations", ICLR 2020: 100 bins
between -4 and 4, and every image spreads over them as its posterior does.

Shape suffixes: N points, J code dimensions, K factors.
"""

from __future__ import annotations

from dataclasses import dataclass

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
    enough={"score": 10_000},
    covered={"score": 0.87},
)


@dataclass(frozen=True, kw_only=True)
class RmigResult(MetricResult):
    """A robust mutual information gap; ``matrix`` holds the mutual informations ``(J, K)`` in nats.

    Attributes:
        entropy: entropy of each factor ``(K,)`` in nats; ``per_factor`` times this is the paper's gap before division.
    """

    entropy: FloatArray


@measured
def rmig(
    codes: ArrayLike,
    factors: ArrayLike,
    *,
    deviations: ArrayLike | None = None,
    num_bins: int = 100,
    continuous: Continuous = False,
    bias: Bias = "none",
    active: Active = None,
) -> RmigResult:
    """Robust mutual information gap, mean over factors of ``(I(best code) - I(second best)) / H(factor)``.

    Args:
        codes: ``(N, J)`` numbers: the means of the encoder's distributions.
        factors: ``(N, K)`` whole numbers.
        deviations: ``(N, J)`` their standard deviations, in units of the prior's. Without them each image falls into
            one bin of its code's own range, and the score is a mutual information gap of more bins. They belong to the
            rows: pass them to this function, not to one that resamples rows.
        num_bins: equal-width bins; the paper's 100 need many points (20 times as many as bins and values together).
        continuous: factors may take any value, and are cut into ``num_bins`` bins themselves; a truth value for each
            where only some may.
        bias: correction of the informations for chance: ``none`` (as published), ``miller-madow``, or ``shuffle``
            (chance is 0, full knowledge the factor's entropy). It corrects counts, so not beside ``deviations``.
        active: which codes to look at: a share of the widest code's range, or numbers of codes; None for all. See
            :func:`~contrafact.core.active.active_codes`.

    Returns:
        score in [0, 1], higher is better; ``per_factor`` ``(K,)``. With one code the second best is 0, and a note says
        so.

    Raises:
        ValueError: shapes, values or lengths do not fit, a factor is constant, the correction is unknown, or it came
            with ``deviations``.

    >>> import numpy as np
    >>> factors = np.random.default_rng(0).integers(4, size=(10_000, 2))
    >>> sharp, blurred = (np.full(factors.shape, width) for width in (0.05, 0.5))
    >>> [round(rmig(factors - 1.5, factors, deviations=width).score, 1) for width in (sharp, blurred)]
    [1.0, 0.6]
    """
    tag = bias_tag(bias)
    codes_NJ = check_codes(codes)
    factors_NK = check_varying(read_labels(factors, len(codes_NJ), continuous, num_bins))
    found = quantize(codes_NJ, factors_NK, deviations, num_bins, bias)
    per_factor = top_two_gap(found.information_JK) / found.entropy_K
    kind = f"{'_posterior' if deviations is not None else ''}{continuous_tag(continuous, factors_NK.shape[1])}"
    return RmigResult(
        score=float(per_factor.mean()),
        protocol=f"rmig_n{len(codes_NJ)}_bins{num_bins}{kind}{tag}",
        num_train=len(codes_NJ),
        per_factor=per_factor,
        matrix=found.information_JK,
        entropy=found.entropy_K,
        notes=(SINGLE_CODE,) if codes_NJ.shape[1] == 1 else (),
    )
