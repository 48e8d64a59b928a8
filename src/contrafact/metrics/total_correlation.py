"""Total correlation of the codes as if they were Gaussian, and its Wasserstein form: how dependent they are.

Watanabe 1960; as reported by Locatello et al., "Challenging Common Assumptions", ICML 2019, with the mean mutual
information between binned codes. Needs no factors.

Shape suffixes: N points, J code dimensions.
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
    MetricInfo,
    MetricResult,
    check_codes,
    check_codes_as_given,
    measured,
)
from contrafact.metrics._debias import Bias, bias_tag, informations
from contrafact.metrics._information import discretize

INFO = MetricInfo(
    kind="static",
    low=0.0,
    high=math.inf,
    higher_is_better=False,
    source="Locatello et al. 2019",
    enough={"mutual_information": 10_000},
)


@dataclass(frozen=True, kw_only=True)
class TotalCorrelationResult(MetricResult):
    """A Gaussian total correlation in nats; ``matrix`` is the mutual information ``(J, J)`` between codes, diagonal 0.

    Attributes:
        wasserstein: squared 2-Wasserstein distance from the Gaussian to the product of its marginals.
        wasserstein_normalized: the same divided by the total variance.
        mutual_information: mean mutual information between two different codes, in nats.
    """

    wasserstein: float
    wasserstein_normalized: float
    mutual_information: float

    def scores(self) -> dict[str, float]:
        return {
            "total_correlation": self.score,
            "wasserstein": self.wasserstein,
            "wasserstein_normalized": self.wasserstein_normalized,
            "mutual_information": self.mutual_information,
        }


def gaussian_total_correlation(covariance_JJ: FloatArray) -> float:
    """``(Σ log Σ_jj - log det Σ) / 2`` in nats; infinite when a code is a linear function of the others.

    >>> gaussian_total_correlation(np.eye(3))
    0.0
    """
    deviation_J = np.sqrt(np.diag(covariance_JJ))
    sign, log_determinant = np.linalg.slogdet(covariance_JJ / np.outer(deviation_J, deviation_J))
    return math.inf if sign <= 0 else max(0.0, -0.5 * float(log_determinant))


def gaussian_wasserstein(covariance_JJ: FloatArray) -> float:
    """``2 tr Σ - 2 tr (D^½ Σ D^½)^½`` with D the diagonal of Σ.

    >>> gaussian_wasserstein(np.eye(3))
    0.0
    """
    variance_J = np.diag(covariance_JJ)
    deviation_J = np.sqrt(variance_J)
    correlation_JJ = covariance_JJ / np.outer(deviation_J, deviation_J)
    try:
        factor_JJ = np.linalg.cholesky(correlation_JJ)
    except np.linalg.LinAlgError:  # a code is a linear function of the others
        values_J, vectors_JJ = np.linalg.eigh(correlation_JJ)
        factor_JJ = vectors_JJ * np.sqrt(values_J.clip(min=0.0))
    # Singular values of a factor are exact to rounding; roots of small eigenvalues would lose half of the digits.
    roots = np.linalg.svd(variance_J[:, None] * factor_JJ, compute_uv=False)
    return max(0.0, float(2.0 * np.trace(covariance_JJ) - 2.0 * roots.sum()))


@measured
def total_correlation(
    codes: ArrayLike, *, num_bins: int = 20, bias: Bias = "none", active: Active = None
) -> TotalCorrelationResult:
    """Gaussian total correlation, Gaussian Wasserstein correlation and mean pairwise mutual information of codes.

    Args:
        codes: ``(N, J)`` numbers, at least two rows.
        num_bins: equal-width bins per code, for the mutual information.
        bias: correction of the mutual information for chance: ``none`` (as published), ``miller-madow``, or ``shuffle``
            (chance is 0, full knowledge the entropy of the code that has less, so that the matrix stays symmetric).
        active: which codes to look at: a share of the widest code's range, or numbers of codes; None for all. See
            :func:`~contrafact.core.active.active_codes`.

    Returns:
        score in [0, ∞) nats, lower is better; infinite when a code is a linear function of the others. Dead codes
        depend on nothing and are left out. All values are 0 with fewer than two live codes, and a note says so.

    Raises:
        ValueError: shapes or values do not fit, there is one row only, or the correction is unknown.

    >>> import numpy as np
    >>> total_correlation(np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])).score
    0.0
    """
    tag = bias_tag(bias)
    given_NJ = check_codes_as_given(codes)
    codes_NJ = check_codes(given_NJ)
    if len(codes_NJ) < 2:
        raise ValueError("codes need at least two rows to have a covariance, got 1")
    live_J = ~dead_codes(given_NJ)
    num_codes = codes_NJ.shape[1]
    information_JJ = np.zeros((num_codes, num_codes))
    correlation = wasserstein = share = mean_information = 0.0
    notes = []
    if live_J.sum() >= 2:
        covariance_JJ = np.cov(codes_NJ[:, live_J], rowvar=False)
        correlation = gaussian_total_correlation(covariance_JJ)
        wasserstein = gaussian_wasserstein(covariance_JJ)
        share = wasserstein / float(np.trace(covariance_JJ))
        bins_JN = discretize(given_NJ, num_bins)
        information_JJ, _ = informations(bins_JN, bins_JN.T, bias)
        if bias == "shuffle":  # stretched to the entropy of the column's code; the larger is of the one that has less
            information_JJ = np.maximum(information_JJ, information_JJ.T)
        np.fill_diagonal(information_JJ, 0.0)
        mean_information = float(information_JJ.sum() / (num_codes**2 - num_codes))
        if math.isinf(correlation):
            notes.append("a code is a linear function of the others: the total correlation is infinite")
    else:
        notes.append("fewer than two codes change: nothing can depend on anything")
    return TotalCorrelationResult(
        score=correlation,
        protocol=f"total_correlation_n{len(codes_NJ)}{tag}",
        num_train=len(codes_NJ),
        matrix=information_JJ,
        wasserstein=wasserstein,
        wasserstein_normalized=share,
        mutual_information=mean_information,
        notes=tuple(notes),
    )
