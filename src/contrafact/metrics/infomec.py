"""InfoM, InfoC, InfoE: modularity, compactness and explicitness measured as normalised information.

Hsu et al., "Disentanglement via Latent Quantization", NeurIPS 2023, Section 4: normalised mutual information from 10
nearest neighbours (counts for quantised codes), codes of too small a range pruned, explicitness by unpenalised logistic
regression.

Shape suffixes: N points, J code dimensions, K factors.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

from contrafact.core.active import Active
from contrafact.core.dataset import check_count
from contrafact.core.matrices import check_varying, dead_codes
from contrafact.core.metric import (
    ArrayLike,
    BoolArray,
    FloatArray,
    IntArray,
    MetricInfo,
    MetricResult,
    check_codes,
    check_factors,
    measured,
)
from contrafact.metrics._debias import Bias, bias_tag, informations
from contrafact.metrics._information import entropy
from contrafact.metrics._linear import standardize

INFO = MetricInfo(
    kind="static", low=0.0, high=1.0, higher_is_better=True, source="Hsu et al. 2023, Section 4", repeats=False
)
ACTIVE_SHARE = 1 / 20  # a continuous code is active when its range exceeds this share of the largest


@dataclass(frozen=True, kw_only=True)
class InfoMecResult(MetricResult):
    """``score`` is InfoM; ``matrix`` ``(J, K)`` the normalised mutual information; ``per_factor`` InfoE's parts.

    Attributes:
        modularity: InfoM, 1 when each active code knows one factor only.
        compactness: InfoC, 1 when each factor is known to one active code only.
        explicitness: InfoE, share of each factor's entropy that a linear classifier on all codes predicts.
        active: which codes count ``(J,)``.
    """

    modularity: float
    compactness: float
    explicitness: float
    active: BoolArray

    def scores(self) -> dict[str, float]:
        return {
            "modularity": self.modularity,
            "compactness": self.compactness,
            "explicitness": self.explicitness,
        }


def _rescaled_share(information: FloatArray, axis: int) -> float:
    """Mean of ``max / sum`` along an axis, shifted and scaled so that evenly spread is 0; a line of zeros is even."""
    size = information.shape[axis]
    if size == 1:
        return 1.0
    total, top = information.sum(axis=axis), information.max(axis=axis)
    share = np.where(total > 0, top / np.where(total > 0, total, 1.0), 1.0 / size)
    return float((share.mean() - 1.0 / size) / (1.0 - 1.0 / size))


def _logistic_loss(codes_NJ: FloatArray, labels_N: IntArray, discrete: bool) -> float:
    """Mean log loss in nats, on its own points, of an unpenalised, class-balanced logistic regression."""
    if discrete:
        return _one_hot_loss(codes_NJ, labels_N)
    from contrafact.metrics._logistic import fit_logistic

    model = fit_logistic(codes_NJ, labels_N, np.inf, balanced=True)
    places_N = np.searchsorted(model.classes_C, labels_N)
    likely_N = np.take_along_axis(model.probabilities(codes_NJ), places_N[:, None], axis=1)
    return float(-np.log(np.maximum(likely_N, np.finfo(float).tiny)).mean())


def _one_hot_loss(codes_NJ: FloatArray, labels_N: IntArray) -> float:
    """The same from one-hot values, which only scikit-learn takes as the few ones they are: 100 of its steps."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import log_loss
    from sklearn.preprocessing import OneHotEncoder

    inputs = OneHotEncoder().fit_transform(codes_NJ)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the protocol stops after 100 steps
        warnings.filterwarnings("ignore", "The number of unique classes", UserWarning)  # whole numbers are classes here
        model = LogisticRegression(C=np.inf, class_weight="balanced", max_iter=100).fit(inputs, labels_N)
    return float(log_loss(labels_N, model.predict_proba(inputs), labels=model.classes_))


def _explicitness(codes_NJ: FloatArray, factors_NK: IntArray, discrete: bool) -> FloatArray:
    """Predictable share of each factor's entropy ``(K,)``, in [0, 1]."""
    inputs_NJ = codes_NJ if discrete else standardize(codes_NJ)[0]
    result_K = np.zeros(factors_NK.shape[1])
    for k in range(factors_NK.shape[1]):
        # With balanced classes the null model predicts all values alike, whatever their frequencies.
        null = np.log(len(np.unique(factors_NK[:, k])))
        result_K[k] = (null - _logistic_loss(inputs_NJ, factors_NK[:, k], discrete)) / null
    return np.clip(result_K, 0.0, 1.0)


@measured
def infomec(
    codes: ArrayLike,
    factors: ArrayLike,
    *,
    discrete: bool = False,
    neighbours: int = 10,
    bias: Bias = "none",
    seed: int = 0,
    active: Active = None,
) -> InfoMecResult:
    """InfoM, InfoC and InfoE.

    With ``NMI(j, k) = I(code j; factor k) / H(factor k)`` over active codes: InfoM is the mean over codes of
    ``max_k / Σ_k``, InfoC the mean over factors of ``max_j / Σ_j``, both rescaled so that evenly spread is 0; InfoE is
    the mean share of a factor's entropy that logistic regression on all codes predicts.

    Args:
        codes: ``(N, J)`` numbers.
        factors: ``(N, K)`` whole numbers.
        discrete: the codes are quantised: count values instead of measuring distances, one-hot inputs for InfoE.
        neighbours: of the mutual information estimate; the protocol's is 10.
        bias: of ``discrete`` codes, correction of the counted informations for chance: ``none`` (as published),
            ``miller-madow`` or ``shuffle``. Neighbours need none.
        seed: of the noise that breaks ties.
        active: which codes to look at: a share of the widest code's range, or numbers of codes; None for all. See
            :func:`~contrafact.core.active.active_codes`.

    Returns:
        three scores in [0, 1], higher is better. With one factor InfoM is 1, with one active code InfoC is 1, by
        definition; with no active code InfoM and InfoC are 0. A note says so.

    Raises:
        ValueError: shapes, values or lengths do not fit, a factor is constant, or the correction is unknown or
            asked for continuous codes.

    >>> import numpy as np
    >>> factors = np.random.default_rng(0).integers(3, size=(600, 2))
    >>> result = infomec(factors * [1.0, -2.0], factors)
    >>> result.modularity > 0.95, result.compactness > 0.95, result.explicitness > 0.95
    (True, True, True)
    """
    check_count("neighbours", neighbours)
    tag = bias_tag(bias)
    if tag and not discrete:
        raise ValueError(f"bias={bias!r} corrects counts; it needs discrete=True, informations from neighbours do not")
    codes_NJ = check_codes(codes)
    factors_NK = check_varying(check_factors(factors, len(codes_NJ)))
    range_J = np.ptp(codes_NJ, axis=0)
    active_J = ~dead_codes(codes_NJ)
    if not discrete:
        active_J &= range_J > ACTIVE_SHARE * range_J.max()
    entropy_K = np.array([entropy(factors_NK[:, k]) for k in range(factors_NK.shape[1])])
    information_JK = np.zeros((codes_NJ.shape[1], factors_NK.shape[1]))
    live_J = ~dead_codes(codes_NJ)
    if discrete:
        labels_JN = np.stack([np.unique(code_N, return_inverse=True)[1] for code_N in codes_NJ.T])
        information_JK, entropy_K = informations(labels_JN, factors_NK, bias)
    elif live_J.any():
        from contrafact.metrics._neighbours import neighbour_information

        information_JK[live_J] = neighbour_information(codes_NJ[:, live_J], factors_NK, neighbours, seed)
    information_JK /= entropy_K
    notes = []
    compactness = modularity = 0.0
    if active_J.any():
        modularity = _rescaled_share(information_JK[active_J], axis=1)
        compactness = _rescaled_share(information_JK[active_J], axis=0)
    else:
        notes.append("no code is active: InfoM and InfoC are 0")
    if factors_NK.shape[1] == 1:
        notes.append("one factor only: InfoM is 1 by definition")
    if active_J.sum() == 1:
        notes.append("one active code only: InfoC is 1 by definition")
    per_factor = _explicitness(codes_NJ, factors_NK, discrete)
    # The optimum, or where the protocol's 100 steps end: near enough unless codes tell classes apart almost everywhere.
    solver = "logistic_Cinf_balanced" if discrete else "logistic_Cinf_balanced_optimum"
    return InfoMecResult(
        score=modularity,
        protocol=f"infomec_n{len(codes_NJ)}_{'discrete' if discrete else f'k{neighbours}'}{tag}_{solver}",
        num_train=len(codes_NJ),
        per_factor=per_factor,
        matrix=information_JK,
        seed=seed,
        modularity=modularity,
        compactness=compactness,
        explicitness=float(per_factor.mean()),
        active=active_J,
        notes=tuple(notes),
    )
