"""MED: DCI's disentanglement with normalised mutual information as the importance; no classifier, no training.

Cao et al., "An Empirical Study on Disentanglement of Negative-free Contrastive Learning", NeurIPS 2022, Section 3.

Shape suffixes: N points, J code dimensions, K factors.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from contrafact.core.active import Active
from contrafact.core.dataset import check_count
from contrafact.core.metric import (
    ArrayLike,
    Continuous,
    FloatArray,
    IntArray,
    MetricInfo,
    MetricResult,
    measured,
)
from contrafact.metrics._debias import Bias, bias_tag, informations, read_binned
from contrafact.metrics._importance import concentration, weighted_concentration

INFO = MetricInfo(
    kind="static",
    low=0.0,
    high=1.0,
    higher_is_better=True,
    source="Cao et al. 2022, Section 3",
    repeats=False,
    enough={"disentanglement": 10_000, "completeness": 10_000, "top_k": 10_000, "top_k_completeness": 10_000},
    pairs=True,
)


@dataclass(frozen=True, kw_only=True)
class MedResult(MetricResult):
    """``score`` is the disentanglement, ``matrix`` the importances ``(J, K)``, ``per_factor`` the completenesses.

    Attributes:
        completeness: 1 when each factor is known to one code only.
        top_k: disentanglement of the selected codes alone (Top-k MED).
        top_k_completeness: their completeness.
        selected: the selected codes.
        per_code: disentanglement of each code ``(J,)``.
    """

    completeness: float
    top_k: float
    top_k_completeness: float
    selected: IntArray
    per_code: FloatArray

    def scores(self) -> dict[str, float]:
        return {
            "disentanglement": self.score,
            "completeness": self.completeness,
            "top_k": self.top_k,
            "top_k_completeness": self.top_k_completeness,
        }


def select_codes(importance_JK: FloatArray, k: int) -> IntArray:
    """The ``k`` most disentangled codes of each factor, a code belonging to the factor it knows best; sorted."""
    per_code = concentration(importance_JK)
    owner_J = importance_JK.argmax(axis=1)
    chosen = [
        np.array([j for j in np.argsort(-per_code, kind="stable") if owner_J[j] == factor][:k], dtype=np.int64)
        for factor in range(importance_JK.shape[1])
    ]
    return np.sort(np.concatenate(chosen))


@measured
def med(
    codes: ArrayLike,
    factors: ArrayLike,
    *,
    top_k: int = 1,
    num_bins: int = 20,
    continuous: Continuous = False,
    bias: Bias = "none",
    active: Active = None,
) -> MedResult:
    """Mutual-information-based entropy disentanglement.

    Importance is the mutual information of code and factor divided by its sum over codes; the score is DCI's D of it.

    Args:
        codes: ``(N, J)`` numbers; J may be large, hence Top-k MED.
        factors: ``(N, K)`` whole numbers.
        top_k: codes kept per factor in Top-k MED.
        num_bins: equal-width bins per code.
        continuous: as :func:`~contrafact.metrics.mig` takes it.
        bias: see ``mig``.
        active: see ``mig``.

    Returns:
        score in [0, 1], higher is better. Dead codes have weight 0. With one factor the score is 1 by definition, and
        a note says so.

    Raises:
        ValueError: shapes, values or lengths do not fit, a factor is constant, a count is not positive, or the
            correction is unknown.

    >>> import numpy as np
    >>> factors = np.random.default_rng(0).integers(4, size=(10_000, 2))
    >>> round(med(factors * [1.0, -2.0], factors).score, 2)
    1.0
    """
    check_count("top_k", top_k)
    tag = bias_tag(bias)
    codes_NJ, bins_JN, factors_NK, kind = read_binned(codes, factors, num_bins, continuous)
    information_JK, _ = informations(bins_JN, factors_NK, bias)
    total_K = information_JK.sum(axis=0)
    importance_JK = information_JK / np.where(total_K > 0, total_K, 1.0)
    disentanglement, per_code = weighted_concentration(importance_JK)
    completeness, per_factor = weighted_concentration(importance_JK.T)
    selected = select_codes(importance_JK, top_k)
    notes = []
    if factors_NK.shape[1] == 1:
        notes.append("one factor only: disentanglement is 1 by definition")
    if codes_NJ.shape[1] == 1:
        notes.append("one code only: completeness is 1 by definition")
    return MedResult(
        score=disentanglement,
        protocol=f"med_n{len(codes_NJ)}_bins{num_bins}{kind}_top{top_k}{tag}",
        num_train=len(codes_NJ),
        per_factor=per_factor,
        matrix=importance_JK,
        completeness=completeness,
        top_k=weighted_concentration(importance_JK[selected])[0],
        top_k_completeness=weighted_concentration(importance_JK[selected].T)[0],
        selected=selected,
        per_code=per_code,
        notes=tuple(notes),
    )
