"""Mean correlation coefficient: how well do codes and factors correlate, matched one to one?

Hyvärinen and Morioka, "Unsupervised Feature Extraction by Time-Contrastive Learning and Nonlinear ICA", NeurIPS 2016;
strong and weak, held out, as in Khemakhem et al., "ICE-BeeM: Identifiable Conditional Energy-Based Deep Models",
NeurIPS 2020, whose program also has the randomised dependence coefficient of Lopez-Paz et al., NeurIPS 2013.

Shape suffixes: N points, M test points, J code dimensions, K factors, B random waves, P and Q variates.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from contrafact.core.active import Active
from contrafact.core.matrices import check_varying, dead_codes, read_pair
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
from contrafact.metrics._linear import standardize

INFO = MetricInfo(
    kind="static",
    low=0.0,
    high=1.0,
    higher_is_better=True,
    source="Hyvärinen and Morioka 2016; Khemakhem et al. 2020",
    quantities=True,
)
NUM_WAVES, WAVE_DEVIATION = 20, 0.5
"""Random sines per variable and the deviation of their frequencies, as the ICE-BeeM program has them."""
BYTES_AT_ONCE = 2**29
SMALLEST_POWER = 1e-13
"""Share of the largest variance below which a principal axis is rounding noise."""


@dataclass(frozen=True, kw_only=True)
class MccResult(MetricResult):
    """A mean correlation coefficient; ``matrix`` ``(J, K)`` holds absolute correlations on the points that are scored.

    Attributes:
        pairs: the code matched to each factor ``(K,)``, -1 for a factor that got none; of the weak coefficient, the
            canonical code matched to each canonical factor ``(Q,)``.
    """

    pairs: IntArray


def correlations(codes_NJ: FloatArray, factors_NK: FloatArray) -> FloatArray:
    """Absolute Pearson correlation ``(J, K)`` of every code with every factor; 0 where either never changes."""
    codes, factors = standardize(codes_NJ)[0], standardize(factors_NK)[0]
    return np.minimum(np.abs(codes.T @ factors) / len(codes_NJ), 1.0)


def _ranks(values_NJ: FloatArray) -> FloatArray:
    from scipy.stats import rankdata

    ranks_NJ = np.empty(values_NJ.shape)
    for j in range(values_NJ.shape[1]):  # one column at a time keeps a million points small
        ranks_NJ[:, j] = rankdata(values_NJ[:, j])
    return ranks_NJ


def rank_correlations(codes_NJ: FloatArray, factors_NK: FloatArray) -> FloatArray:
    """Absolute Spearman correlation ``(J, K)``; ties share their mean rank."""
    return correlations(_ranks(codes_NJ), _ranks(factors_NK))


def _waves(values_N: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Orthonormal basis ``(N, <=B)`` of centred random sines of a variable's ranks."""
    from scipy.stats import rankdata

    places_N = rankdata(values_N, method="ordinal") / len(values_N)
    weights_2B = rng.normal(0.0, WAVE_DEVIATION, size=(2, min(NUM_WAVES, len(values_N))))
    waves_NB = np.sin(np.multiply.outer(places_N, weights_2B[0]) + weights_2B[1])
    waves_NB -= waves_NB.mean(axis=0)
    basis_NB, sizes_B, _ = np.linalg.svd(waves_NB, full_matrices=False)
    used = sizes_B > sizes_B.max() * len(values_N) * np.finfo(np.float64).eps
    return np.ascontiguousarray(basis_NB[:, used])


def dependence_coefficients(codes_NJ: FloatArray, factors_NK: FloatArray, seed: int) -> FloatArray:
    """Randomised dependence coefficient ``(J, K)``: largest canonical correlation of random sines of the ranks.

    It is near 1 for any function of one variable alone, monotone or not; 0 where either variable never changes.
    """
    result_JK = np.zeros((codes_NJ.shape[1], factors_NK.shape[1]))
    seed_J, seed_K = (np.random.SeedSequence([seed, side]).spawn(n) for side, n in enumerate(result_JK.shape))
    live_J, live_K = np.flatnonzero(~dead_codes(codes_NJ)), np.flatnonzero(~dead_codes(factors_NK))
    together = max(1, BYTES_AT_ONCE // (8 * NUM_WAVES * len(codes_NJ)))
    for first in range(0, len(live_K), together):
        block = live_K[first : first + together]
        bases = [_waves(factors_NK[:, k], np.random.default_rng(seed_K[k])) for k in block]
        for j in live_J:
            basis_NB = _waves(codes_NJ[:, j], np.random.default_rng(seed_J[j]))
            for k, other_NB in zip(block, bases, strict=True):
                result_JK[j, k] = min(1.0, float(np.linalg.norm(basis_NB.T @ other_NB, ord=2)))
    return result_JK


def canonical_maps(codes_NJ: FloatArray, factors_NK: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Linear maps of codes ``(J, P)`` and of factors ``(K, Q)`` to their canonical variates, best pair first.

    P and Q are the ranks of the two: dead and redundant columns add no variate.
    """
    whitened, maps = [], []
    for values_NJ in (codes_NJ, factors_NK):
        scaled_NJ = standardize(values_NJ)[0]
        power_J, axes_JJ = np.linalg.eigh(scaled_NJ.T @ scaled_NJ)
        used = power_J > power_J.max() * len(power_J) * SMALLEST_POWER
        map_JP = axes_JJ[:, used] / np.sqrt(power_J[used])
        whitened.append(scaled_NJ @ map_JP)
        deviation_J = np.where(dead_codes(values_NJ), np.inf, values_NJ.std(axis=0))
        maps.append(map_JP / deviation_J[:, None])
    left, _, right = np.linalg.svd(whitened[0].T @ whitened[1])
    return maps[0] @ left, maps[1] @ right.T


def match(scores_JK: FloatArray) -> IntArray:
    """The code of each factor ``(K,)`` in the one-to-one matching of highest sum; -1 where codes run out.

    >>> match(np.array([[0.9, 0.8], [0.7, 0.1]])).tolist()
    [1, 0]
    """
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(scores_JK, maximize=True)
    pairs_K = np.full(scores_JK.shape[1], -1)
    pairs_K[columns] = rows
    return pairs_K


@measured
def mcc(
    codes: ArrayLike,
    factors: ArrayLike,
    codes_test: ArrayLike | None = None,
    factors_test: ArrayLike | None = None,
    *,
    correlation: Literal["pearson", "spearman", "rdc"] = "pearson",
    alignment: Literal["strong", "weak"] = "strong",
    active: Active = None,
    seed: int = 0,
) -> MccResult:
    """Mean correlation coefficient of codes and factors in the best one-to-one matching.

    Args:
        codes: ``(N, J)`` numbers.
        factors: ``(N, K)`` numbers of any kind; a category has no order and should be left out.
        codes_test: ``(M, J)`` held-out codes: pairs are matched on the others and scored on these.
        factors_test: ``(M, K)`` their factors.
        correlation: ``pearson`` (the usual one), ``spearman`` (unchanged by monotone maps of one code) or ``rdc`` (the
            randomised dependence coefficient, unchanged by any invertible map of one code).
        alignment: ``strong`` matches the codes as they are; ``weak`` asks for identifiability up to an affine map: it
            matches canonical variates (CCA) fitted on the one part and computed on the other; without held-out points
            a third of the rows is held out.
        active: which codes to look at: a share of the widest code's range, or numbers of codes; None for all. See
            :func:`~contrafact.core.active.active_codes`.
        seed: of the random sines of ``rdc``.

    Returns:
        score in [0, 1], higher is better: the mean over factors of the absolute correlation with their code. A factor
        that finds no code left counts 0, with a note; ``per_factor`` ``(K,)`` (not for ``weak``, whose variates mix
        factors).

    Raises:
        ValueError: shapes, values or lengths do not fit, a factor is constant, or an unknown correlation or alignment.

    >>> import numpy as np
    >>> factors = np.random.default_rng(0).normal(size=(1000, 2))
    >>> turned = factors @ [[0.8, 0.6], [-0.6, 0.8]]
    >>> [round(mcc(turned, factors, alignment=kind).score, 1) for kind in ("strong", "weak")]
    [0.8, 1.0]
    """
    if correlation not in ("pearson", "spearman", "rdc"):
        raise ValueError(f"correlation must be 'pearson', 'spearman' or 'rdc', got {correlation!r}")
    if alignment not in ("strong", "weak"):
        raise ValueError(f"alignment must be 'strong' or 'weak', got {alignment!r}")
    held_out = alignment == "weak" or codes_test is not None or factors_test is not None
    if held_out:
        pair = read_pair(codes, factors, codes_test, factors_test, continuous=True)
        train, test, tag = (pair.codes_NJ, pair.factors_NK), (pair.codes_test_NJ, pair.factors_test_NK), pair.tag
    else:
        codes_NJ = np.ascontiguousarray(check_codes(codes))  # sums in one order, whatever the layout
        train = test = (codes_NJ, check_varying(check_continuous_factors(factors, len(codes_NJ))))
        tag = f"n{len(codes_NJ)}"

    def compare(codes_NJ: FloatArray, factors_NK: FloatArray) -> FloatArray:
        if correlation == "rdc":
            return dependence_coefficients(codes_NJ, factors_NK, seed)
        return (correlations if correlation == "pearson" else rank_correlations)(codes_NJ, factors_NK)

    notes: tuple[str, ...] = ()
    if (short := train[0].shape[1]) < train[1].shape[1]:
        notes = (f"{short} codes for {train[1].shape[1]} factors: those that find no code left count 0",)
    if alignment == "weak":
        maps = canonical_maps(*train)
        matrix = fitted = compare(test[0] @ maps[0], test[1] @ maps[1])  # the program, too, matches where it scores
    else:
        fitted = compare(*train)
        matrix = compare(*test) if held_out else fitted
    pairs = match(fitted)
    matched = np.flatnonzero(pairs >= 0)
    found = np.zeros(len(pairs))
    found[matched] = matrix[pairs[matched], matched]
    return MccResult(
        score=float(found.mean()),
        protocol=f"mcc_{alignment}_{correlation}_{tag}",
        num_train=len(train[0]),
        num_test=len(test[0]) if held_out else 0,
        per_factor=found if alignment == "strong" else None,
        matrix=matrix if alignment == "strong" else None,
        seed=seed if correlation == "rdc" else None,
        notes=notes,
        pairs=pairs,
    )
