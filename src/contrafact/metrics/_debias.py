"""Mutual informations with the part taken off that a finite sample shows by chance.

A plug-in estimate of ``N`` points is too high by about ``(R - 1)(C - 1) / 2N`` nats for ``R`` by ``C`` cells. Miller &
Madow, "Note on the bias of information estimates", 1955; Vinh, Epps & Bailey, "Information Theoretic Measures for
Clusterings Comparison", JMLR 2010, Section 3.

Shape suffixes: N points, J code dimensions, K factors.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from contrafact.core.metric import FloatArray
from contrafact.metrics._information import AnyInts, entropy, mutual_information, relabel

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

    >>> round(corrected_entropy(np.array([0, 1]), "miller-madow") - np.log(2), 4)
    0.25
    """
    plain = entropy(labels_N)
    if bias != "miller-madow" or not plain:
        return plain
    return plain + int(relabel(labels_N).max()) / (2 * len(labels_N))


def informations(bins_JN: AnyInts, factors_NK: AnyInts, bias: str = "none") -> tuple[FloatArray, FloatArray]:
    """Mutual information ``(J, K)`` of binned codes and factors, and the entropy of each factor ``(K,)``, in nats.

    ``miller-madow`` adds half the number of occupied cells less one, over N, to each of the three entropies, the
    factor's own among them. ``shuffle`` takes off the mean over all orders of the rows and stretches what is left, so
    that chance is 0 and full knowledge still the factor's entropy. Nothing is ever negative.

    >>> bits = np.array([0, 1] * 4)
    >>> informations(bits[None], bits[:, None], "shuffle")[0].round(4).tolist()
    [[0.6931]]
    """
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
