"""Mutual informations with the part taken off that a finite sample shows by chance.

A plug-in estimate of ``N`` points is too high by about ``(R - 1)(C - 1) / 2N`` nats for ``R`` by ``C`` cells. Miller &
Madow, "Note on the bias of information estimates", 1955; Vinh, Epps & Bailey, "Information Theoretic Measures for
Clusterings Comparison", JMLR 2010, Section 3.

Shape suffixes: N points, J code dimensions, K factors.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from contrafact.core.inputs import fill_gaps
from contrafact.core.matrices import check_varying
from contrafact.core.metric import ArrayLike, Continuous, FloatArray, check_codes_as_given, continuous_tag
from contrafact.metrics._information import (
    GAP,
    NO_VALUE,
    AnyInts,
    discretize,
    entropy,
    mutual_information,
    read_labels,
    relabel,
)

Bias = Literal["none", "miller-madow", "shuffle"]
BIASES = ("none", "miller-madow", "shuffle")


def bias_tag(bias: str) -> str:
    """What the protocol's name says of a correction: nothing without one.

    Raises:
        ValueError: unknown correction.
    """
    if bias not in BIASES:
        raise ValueError(f"bias must be 'none', 'miller-madow' or 'shuffle', got {bias!r}")
    return "" if bias == "none" else f"_{bias}"


def corrected_entropy(labels_N: AnyInts, bias: str = "none") -> float:
    """Entropy of whole-number labels ``(N,)`` in nats; ``miller-madow`` adds half the values less one, over N.

    >>> round(float(corrected_entropy(np.array([0, 1]), "miller-madow") - np.log(2)), 4)
    0.25
    """
    plain = entropy(labels_N)
    if bias != "miller-madow" or not plain:
        return plain
    return plain + int(relabel(labels_N).max()) / (2 * len(labels_N))


class Binned(NamedTuple):
    """Codes and factors as whole numbers.

    Attributes:
        codes_NJ: the codes themselves; under a mask some other value of the column.
        bins_JN: bin of each code, ``GAP`` under a mask.
        factors_NK: values of the factors, ``NO_VALUE`` under a mask.
        kind: what the protocol's name says of continuous factors and of gaps.
    """

    codes_NJ: npt.NDArray[np.floating[Any]]
    bins_JN: AnyInts
    factors_NK: AnyInts
    kind: str


def read_binned(
    codes: ArrayLike, factors: ArrayLike, num_bins: int, continuous: Continuous, varying: bool = True
) -> Binned:
    """Codes in equal-width bins and factors as whole numbers, both with their gaps where they are masked arrays.

    Args:
        codes: ``(N, J)``.
        factors: ``(N, K)``.
        num_bins: bins of a code, and of a continuous factor.
        continuous: which factors are measurements.
        varying: refuse a constant factor.

    Raises:
        ValueError: shapes, values or lengths do not fit, a column is masked throughout, or a factor is constant.
    """
    full_codes, no_code_NJ = fill_gaps(codes)
    full_factors, no_factor_NK = fill_gaps(factors)
    codes_NJ = check_codes_as_given(full_codes)
    factors_NK = read_labels(full_factors, len(codes_NJ), continuous, num_bins)
    bins_JN = discretize(codes_NJ, num_bins)
    if varying:
        check_varying(factors_NK)
    if no_code_NJ is not None:
        bins_JN = np.where(no_code_NJ.T, GAP, bins_JN.astype(np.int64))
    if no_factor_NK is not None:
        factors_NK = np.where(no_factor_NK, NO_VALUE, factors_NK.astype(np.int64))
    has_gaps = no_code_NJ is not None or no_factor_NK is not None
    kind = continuous_tag(continuous, factors_NK.shape[1]) + "_pairwise" * has_gaps
    return Binned(codes_NJ, bins_JN, factors_NK, kind)


def informations(bins_JN: AnyInts, factors_NK: AnyInts, bias: str = "none") -> tuple[FloatArray, FloatArray]:
    """Mutual information ``(J, K)`` of binned codes and factors, and the entropy of each factor ``(K,)``, in nats.

    ``miller-madow`` adds half the number of occupied cells less one, over N, to each of the three entropies, the
    factor's own among them. ``shuffle`` takes off the mean over all orders of the rows and stretches what is left, so
    that chance is 0 and full knowledge still the factor's entropy. Nothing is ever negative. Where there are gaps
    (:class:`Binned`) each information is of the rows that have both, each entropy of those that have the factor.

    >>> bits = np.array([0, 1] * 4)
    >>> informations(bits[None], bits[:, None], "shuffle")[0].round(4).tolist()
    [[0.6931]]
    """
    if int(bins_JN.min()) == GAP or int(factors_NK.min()) == NO_VALUE:
        return _pairwise(bins_JN, factors_NK, bias)
    information_JK = mutual_information(bins_JN, factors_NK)
    entropy_K = np.array([corrected_entropy(column_N, bias) for column_N in factors_NK.T])
    if bias == "none":
        return information_JK, entropy_K
    num_points = len(factors_NK)
    labels_KN = [relabel(factors_NK[:, k]) for k in range(factors_NK.shape[1])]
    values_K = np.array([int(labels_N.max()) + 1 for labels_N in labels_KN])
    corrected_JK = np.zeros_like(information_JK)
    for j, k in zip(*np.nonzero(information_JK), strict=True):
        code_N = relabel(bins_JN[j])
        num_bins = int(code_N.max()) + 1
        counts = np.bincount(labels_KN[k] * num_bins + code_N, minlength=num_bins * values_K[k])
        if bias == "miller-madow":
            cells = num_bins + int(values_K[k]) - 1 - np.count_nonzero(counts)
            corrected_JK[j, k] = information_JK[j, k] + cells / (2 * num_points)
        else:
            from sklearn.metrics.cluster import expected_mutual_information

            chance = float(expected_mutual_information(counts.reshape(-1, num_bins), num_points))
            room = entropy_K[k] - chance
            if room > 0:
                corrected_JK[j, k] = (information_JK[j, k] - chance) * entropy_K[k] / room
    return np.maximum(corrected_JK, 0.0), entropy_K


def _pairwise(bins_JN: AnyInts, factors_NK: AnyInts, bias: str) -> tuple[FloatArray, FloatArray]:
    num_codes, num_factors = len(bins_JN), factors_NK.shape[1]
    information_JK, entropy_K = np.zeros((num_codes, num_factors)), np.zeros(num_factors)
    for k, factor_N in enumerate(factors_NK.T):
        known_N = factor_N != NO_VALUE
        entropy_K[k] = corrected_entropy(factor_N[known_N], bias)
        for j, code_N in enumerate(bins_JN):
            both_N = known_N & (code_N != GAP)
            if both_N.any():
                of_pair, _ = informations(code_N[None, both_N], factor_N[both_N, None], bias)
                information_JK[j, k] = of_pair[0, 0]
    return information_JK, entropy_K
